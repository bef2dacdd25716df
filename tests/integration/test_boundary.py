"""What a configuration names is built where its key is known: what it refuses is one line, a mistake of ours none."""

import resource
import sys
import tempfile
from pathlib import Path

import pytest

import mnist_cnn as mc
from mnist_cnn import errors, evaluate, train, validate
from mnist_cnn.config.instantiate import build
from mnist_cnn.config.python_values import command
from mnist_cnn.data.augment import RandomAffine
from mnist_cnn.errors import ConfigError
from mnist_cnn.search import __main__ as search

LR = "scheduler._target_=torch.optim.lr_scheduler."
# entry point, arguments, what the one line must say
REFUSED = {
    **{
        f"no {group}": (validate, [f"{group}=null"], [f"{group}=null: no such {group}; allowed: "])
        for group in ("model", "optimizer", "scheduler", "data", "augment", "trainer", "callbacks", "logger", "metrics")
    },
    "no experiment": (validate, ["experiment=null"], ["experiment=null: no such experiment; leave it out"]),
    "no such space": (search, ["space=nnoe"], ["space=nnoe: no such space; did you mean 'none'?"]),
    "no number of epochs": (validate, ["~trainer.max_epochs"], ["trainer.max_epochs: missing"]),
    "no precision": (validate, ["~trainer.precision"], ["trainer.precision: missing"]),
    "no accelerator": (validate, ["~trainer.accelerator"], ["trainer.accelerator: missing"]),
    "validation of no epoch": (validate, ["trainer.check_val_every_n_epoch=null"], ["check_val_every_n_epoch = None"]),
    "a number for a class": (validate, ["model._target_=3"], ["model._target_ = 3", "dotted name"]),
    "a list for a class": (validate, ["optimizer._target_=[a]"], ["optimizer._target_ = ['a']"]),
    "a value of an optimizer": (
        validate, ["optimizer=any", "optimizer._target_=torch.optim.Adagrad", "optimizer.lr_decay=-1"],
        ["optimizer.lr_decay = -1: torch.optim.Adagrad: Invalid lr_decay value: -1"],
    ),
    "values that exclude each other": (
        validate, ["optimizer=adam", "optimizer.foreach=true", "optimizer.fused=true"],
        ["optimizer.foreach = True, optimizer.fused = True: torch.optim.Adam: "],
    ),
    "a schedule that has begun": (validate, ["scheduler=step", "scheduler.last_epoch=5"], ["scheduler.last_epoch = 5"]),
    "a schedule of no length": (
        validate, ["scheduler=any", f"{LR}CosineAnnealingLR", "scheduler.T_max=0"], ["T_max=0: ", "by zero"],
    ),
    "a word for a function": (
        validate, ["scheduler=any", f"{LR}LambdaLR", "scheduler.lr_lambda=abc"], ["scheduler.lr_lambda = 'abc'"],
    ),
    "a word for a list": (
        validate, ["scheduler=any", f"{LR}MultiStepLR", "scheduler.milestones=abc"], ["milestones = 'abc'"],
    ),
    "a word for a switch of Hydra's": (validate, ["optimizer._partial_=maybe"], ["optimizer._partial_ = 'maybe'"]),
    "more than 64 bits": (validate, ["data.batch_size=9223372036854775808"], ["data.batch_size = 9", "below 2**63"]),
    "epochs of 64 bits": (validate, ["trainer.max_epochs=9223372036854775808"], ["max_epochs = 9", "below 2**63"]),
    "a range without a step": (validate, ["-m", "seed=range(1,3,0)"], ["seed=range(1,3,0): range() arg 3"]),
    "a sweep without an end": (validate, ["-m", "seed=range(1,1000000000)"], ["more than 100,000 values"]),
    "a sweep over nothing": (validate, ["-m", "seed=range(5,1)"], ["seed=range(5,1): no value"]),
    "a launcher that is not there": (validate, ["-m", "hydra/launcher=rays", "seed=1,2"], ["=rays: no such "]),
    "a folder that is not there": (validate, ["--config-dir", "/nowhere"], ["--config-dir /nowhere: no such folder"]),
    "another configuration": (validate, ["--config-name", "foo"], ["--config-name means nothing here"]),
    "another configuration, in short": (validate, ["-cn", "foo"], ["-cn means nothing here"]),
    "Hydra's package": (validate, ["--package", "foo"], ["--package"]),
    "a run directory that is a number": (evaluate, ["run_dir=3"], ["run_dir = 3"]),
    "a run directory that is a list": (evaluate, ["run_dir=[a]"], ["run_dir = ['a']"]),
    "a checkpoint that is a number": (evaluate, ["checkpoint=5"], ["checkpoint = 5"]),
    "a seed that is a word": (search, ["sampler_seed=abc"], ["sampler_seed = 'abc'"]),
    "pruning, perhaps": (search, ["prune=maybe"], ["prune = 'maybe': must be true or false"]),
    "true trials": (search, ["trials=true"], ["trials = True"]),
    "a range of switches": (
        search, ["model=bn_dropout", "space.model.dropout={low: true, high: true}"], ["space.model.dropout = "],
    ),
    "a key that is searched and given": (search, ["optimizer.lr=0.1"], ["optimizer.lr=0.1: is searched too", "=null"]),
    "fewer epochs than none": (validate, ["trainer.min_epochs=-1"], ["trainer.min_epochs = -1"]),
    "a value for no key": (validate, ["@seed=1"], ["@seed=1': expected key=value"]),
    "a sweep to resume that is none": (validate, ["-m", "resume=zzz"], ["zzz"]),
    "fewest epochs above the most": (validate, ["trainer.min_epochs=10", "trainer.max_epochs=1"], ["min_epochs = 10"]),
    "steps below zero": (validate, ["trainer.log_every_n_steps=-1"], ["trainer.log_every_n_steps = -1"]),
    "a rehearsal below zero": (validate, ["trainer.num_sanity_val_steps=-5"], ["trainer.num_sanity_val_steps = -5"]),
    "no steps": (validate, ["trainer.max_steps=0"], ["trainer.max_steps = 0"]),
    "an average of no steps": (
        validate, ["callbacks=[checkpoint,ema]", "callbacks.ema.update_every_n_steps=0"], ["update_every_n_steps = 0"],
    ),
    "no stages": (validate, ["model=gap", "model.stages=[]"], ["model.stages = []", "non-empty list"]),
    "no filters": (validate, ["model=gap", "model.stages=[[]]"], ["model.stages = [[]]", "non-empty list"]),
    "a digest of no file": (validate, ["data.md5.foo=abc"], ["data.md5", "'foo'"]),
    "an umlaut in a folder": (evaluate, ["run_dir=ä b's"], ["ä b's: not a run directory"]),
    "a run to resume": (train, ["resume=ä b's"], ["ä b's: "]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(cli, capsys, tmp_path, name):
    entry, arguments, said = REFUSED[name]
    assert cli(*arguments, main=entry.main) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert len(message.splitlines()) == 1
    assert [words for words in said if words not in message] == [], message
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_of_the_package_keeps_its_traceback(monkeypatch):
    def mistaken(self, *given, **options):
        self.scales["none"]

    monkeypatch.setattr(RandomAffine, "__init__", mistaken)
    monkeypatch.setattr(errors, "PACKAGE", Path(__file__).parent)  # the line above stands in it
    with pytest.raises(Exception, match="scales") as raised:
        build({"_target_": "mnist_cnn.data.augment.RandomAffine"}, "augment")
    assert not isinstance(raised.value, ConfigError)
    monkeypatch.undo()


def test_commands_can_be_pasted():
    assert command("train", resume="/runs/a") == "python -m mnist_cnn.train resume=/runs/a"
    assert command("train", "-m", resume="/ä b/it's") == """python -m mnist_cnn.train -m 'resume=/ä b/it'"'"'s'"""
    assert command("evaluate", run_dir="a,b") == """python -m mnist_cnn.evaluate 'run_dir='"'"'a,b'"'"''"""


# What values alone do not show: arguments, what the one line must say.
REHEARSED = {
    "batches that are none": (["trainer.limit_val_batches=1e-9"], ["limit_val_batches = 1e-09: no batch of 1"]),
    "steps that are none": (["trainer.limit_train_batches=1e-9"], ["limit_train_batches = 1e-09: no batch of 8"]),
    "validation after the end of an epoch": (["trainer.val_check_interval=9"], ["interval = 9: more than the 8 batch"]),
    "a batch larger than the data": (["data.batch_size=2000"], ["data.batch_size = 2000: there are only 240 training"]),
    "a typo that a logger passes on": (
        ["logger=tensorboard", "logger.tensorboard.nam=x"], ["logger.tensorboard.nam: unknown key"],
    ),
    "a net of a thousand machines": (["model.stages=[[100000000],[4]]"], ["model.stages = [[100000000], [4]]", "GiB"]),
    "a batch of a thousand machines": (["data.batch_size=10000000000"], ["data.batch_size = 10000000000", "GiB"]),
    "a callback that fails": (["+callbacks.mine._target_=my_nets.Clumsy"], ["callbacks.mine", "at once", "my_nets.py"]),
    "images that are not there": (["data.root=/nowhere"], ["/nowhere/custom/raw"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REHEARSED)
def test_a_rehearsal_finds_it(cli, capsys, tmp_path, own, tiny_overrides, name):
    arguments, said = REHEARSED[name]
    before = sorted(tmp_path.iterdir())
    small = ["model=gap", "model.stages=[[2]]"]
    assert cli(*small, *tiny_overrides, *arguments, main=validate.main) == 2
    message = capsys.readouterr().err
    assert [words for words in said if words not in message] == [], message
    assert "Traceback" not in message
    assert [file for file in tmp_path.iterdir() if file.name != "__pycache__"] == before


def test_a_rehearsal_without_room_blames_nothing_else(cli, capsys, tiny_overrides):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        code = cli("-m", "model=gap", "model.stages=[[2]],[[3]]", "bad_jobs=skip", *tiny_overrides, main=validate.main)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: rehearsal: no room in {tempfile.gettempdir()} (File too large); rehearse=false")
    assert message.count("\n") == 1


def test_what_is_right_is_rehearsed_without_a_trace(cli, capsys, tmp_path, tiny_overrides, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(temporary := tmp_path / "temporary"))
    temporary.mkdir()
    wide = ["callbacks=[checkpoint,ema,early_stopping]", "trainer.accumulate_grad_batches=50", "metrics=f1"]
    call = ["-m", "model=gap", "model.stages=[[2]],[[3]]", "seed=1,2", *wide, *tiny_overrides]
    assert cli(*call, main=validate.main) == 0
    assert cli(*call, "rehearse=false", main=validate.main) == 0
    assert capsys.readouterr().out == "ok: 4 jobs, 2 rehearsed\nok: 4 jobs\n"
    assert list(tmp_path.rglob("*")) == [temporary]
    assert cli("rehearse=perhaps", main=validate.main) == 2


def test_a_class_that_was_mended_is_tried_anew(tiny_overrides, tmp_path, monkeypatch):
    """As in a notebook, where the module is loaded again; also where the class stands in the notebook itself."""
    monkeypatch.syspath_prepend(tmp_path)
    layers = "torch.nn.Flatten(), torch.nn.Linear(784, 7)"
    wrong = f"import torch\ndef net() -> torch.nn.Module:\n    return torch.nn.Sequential({layers})\n"
    (tmp_path / "mended.py").write_text(wrong)
    call = ["model=net", "model._target_=mended.net", *tiny_overrides]
    with pytest.raises(ConfigError, match="7 logits for 10 classes"):
        mc.check(*call, rehearse=False)
    import mended

    (tmp_path / "mended.py").write_text(wrong.replace("784, 7", "784, 10"))
    exec((tmp_path / "mended.py").read_text(), vars(mended))
    assert mc.check(*call, rehearse=False)
    monkeypatch.setitem(vars(sys.modules["__main__"]), "net_of_a_cell", mended.net)
    own = ["model=net", "model._target_=__main__.net_of_a_cell", *tiny_overrides]
    assert mc.check(*own, rehearse=False)
    with pytest.raises(ConfigError, match="the class must lie in a file"):
        mc.check(*own, rehearse=False, sweep=True, seed=[1, 2])
    run = mc.fit(*own, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/run").run
    assert "again     in this notebook or script alone" in run.log_file.read_text()
    monkeypatch.delattr(sys.modules["__main__"], "net_of_a_cell")
    with pytest.raises(ConfigError, match=r"cannot import __main__\.net_of_a_cell: it was in a notebook or script"):
        mc.load(run.path)


def test_python_checks_too(tiny_overrides):
    small = ["model=gap", "model.stages=[[2]]", *tiny_overrides]
    assert mc.check(*small, rehearse=False, seed=3)[0][-1] == "seed=3"
    assert len(mc.check(*small, rehearse=False, sweep=True, seed=[1, 2])) == 2
    with pytest.raises(ConfigError, match=r"data\.batch_size = 2000"):
        mc.check(*small, "data.batch_size=2000")
