"""What a message advises: the key that was meant, and nothing that would be refused in its turn."""

import pytest

import mnist_cnn.compare.__main__ as compare
import mnist_cnn.demo.__main__ as demo
import mnist_cnn.export.__main__ as export
import mnist_cnn.inspect.__main__ as inspect
import mnist_cnn.predict.__main__ as predict
import mnist_cnn.records.__main__ as records
import mnist_cnn.reproduce.__main__ as reproduce
import mnist_cnn.runs.__main__ as runs
import mnist_cnn.search.__main__ as search
import mnist_cnn.sweep.__main__ as sweep
from mnist_cnn import evaluate, validate
from mnist_cnn.config.place import config_dir

# entry point, arguments, what the message must say, what it must not
ADVICE = {
    "keys without their group": (
        validate,
        ["lr=0.1", "max_epochs=3", "batch_size=32", "epochs=3", "patience=3"],
        ["lr: unknown key; did you mean 'optimizer.lr'?\n", " max_epochs: unknown key; did you mean 'trainer.max_",
         "'data.batch_size'?\n", "epochs: unknown key; did you mean 'trainer.max_epochs'?"],
        ["logger'", "'trainer'"],
    ),
    "no equals sign": (
        validate,
        ["optimizer.lr", "model = gap", "gap", "data.root=[1,2"],
        ["'optimizer.lr': expected key=value\n", "'model = gap': expected key=value, without spaces\n",
         "'gap': expected key=value"],
        ["Lexer", "'optimizer.lr': not a valid"],
    ),
    "only what is allowed": (
        validate,
        ["trainer.precision=fp32", "trainer.deterministic=maybe", "jobs=atuo"],
        ["allowed: 16-mixed, 32-true, bf16-mixed\n", "deterministic = 'maybe': must be true or false or 'warn'",
         "jobs = 'atuo': must be 'auto' or int >= 1; did you mean 'auto'?"],
        ["did you mean '32'", "allowed: warn", "allowed: auto"],
    ),
    "long": (validate, [f"seed={'x' * 20_000}"], ["xxx..."], ["x" * 600]),
    "long word": (validate, ["y" * 20_000], ["yyy..."], ["y" * 600]),
    "long name": (validate, [f"model={'x' * 20_000}"], ["no such model"], ["x" * 600]),
    "two models": (validate, ["model=[gap,vanilla]"], ["model=[gap,vanilla]:", "-m model=gap,vanilla"], ["stages"]),
    "two runs to resume": (validate, ["-m", "resume=a,b"], ["resume=a,b: one at a time"], []),
    "values that nothing names": (validate, ["-m", "seed=glob(*)"], ["a sweep needs values"], ["ConfigLoader"]),
    "settings of a search": (search, ["triales=3", "lr=0.1"], ["'trials'", "'optimizer.lr'"], ["override"]),
    "an option as of other programs": (validate, ["--epochs", "3"], ["--epochs; settings are key=value"], []),
    "several values in a search": (
        search, ["seed=1,2", "model=gap,vanilla"],
        ["seed=1,2: ", "'space.seed={choices: [1, 2]}'", "model=gap,vanilla: a search takes one model"], ["Ambiguous"],
    ),
    "range beside the default's choices": (
        search, ["space.data.batch_size={low: 32, high: 64}"], ["space.data.batch_size.choices=null"], [],
    ),
    "setting of an evaluation": (evaluate, ["run_dri=3"], ["run_dri: unknown key; did you mean 'run_dir'?"], []),
    "no run": (evaluate, ["run_dir="], ["run_dir = ''"], [".:"]),
    "sweep for a run": (evaluate, ["run_dir=sweep"], ["sweep: a sweep; name one of its jobs: run_dir=sweep/0"], []),
    "checkpoint for a run": (evaluate, ["run_dir=some.ckpt"], ["some.ckpt: a file", "checkpoint=some.ckpt"], []),
}  # fmt: skip


@pytest.mark.parametrize("name", ADVICE)
def test_a_message_names_what_was_meant(cli, capsys, tmp_path, name):
    entry, arguments, said, unsaid = ADVICE[name]
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    (tmp_path / "sweep" / "sweep.yaml").write_text("arguments: []\njobs: []\n")
    (tmp_path / "sweep" / "0" / "config.yaml").touch()
    (tmp_path / "some.ckpt").touch()
    assert cli(*arguments, main=entry.main) == 2
    message = capsys.readouterr().err
    assert [words for words in said if words not in message] == [], message
    assert [words for words in unsaid if words in message] == [], message


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_short_and_has_the_comments_of_conf(cli, capsys, word):
    assert cli(word) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 60
    assert [line for line in lines if len(line) > 80 and str(config_dir()) not in line] == []
    text = " ".join(" ".join(lines).split())
    for words in ("model bn_dropout, gap, keras", "ablation/ (7)", "seed=1 initial weights, order of the images",
                  "optimizer.lr= ", "trainer.max_epochs=20 ", "data.batch_size=128 "):  # fmt: skip
        assert words in text
    assert "${" not in text
    assert "common" not in text  # conf/data/common.yaml: no data set
    assert cli(word, main=validate.main) == 0
    assert capsys.readouterr().out.startswith("Checks what a training or a sweep is asked for, and rehearses it")
    assert cli(word, main=evaluate.main) == 0
    assert "run_dir=null" in capsys.readouterr().out


ENTRIES = [search, sweep, reproduce, runs, compare, records, export, inspect, predict, evaluate, demo]


@pytest.mark.parametrize("entry", ENTRIES)
def test_help_fits_80_columns(cli, capsys, entry):
    assert cli("--help", main=entry.main) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_a_missing_gpu_is_told_by_the_word_that_asked_for_it(cli, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert cli("trainer.accelerator=cuda", "rehearse=false", main=validate.main) == 2
    assert "trainer.accelerator = 'cuda': this machine has no usable CUDA GPU" in capsys.readouterr().err


def test_version_is_ours(cli, capsys):
    assert [cli("--version"), cli("--version", main=search.main)] == [0, 0]
    assert capsys.readouterr().out == "mnist-cnn 0.2.0\n" * 2
