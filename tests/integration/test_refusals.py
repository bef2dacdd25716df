"""Bad configurations and inputs: one message that names them all, exit code 2, and nothing written."""

import pytest
from conftest import write_images

from mnist_cnn import validate

# arguments, what the message must say
BAD = {
    "root typo": (["seeed=1"], ["seeed", "did you mean 'seed'"]),
    "appended typo": (["+typo=1"], ["typo: unknown key"]),
    "optimizer typo": (["optimizer.lrr=0.1"], ["optimizer.lrr", "'optimizer.lr'"]),
    "key of another optimizer": (["optimizer=sgd", "+optimizer.betas=[0.9,0.99]"], ["optimizer.betas"]),
    "model typo": (["model=gap", "model.stage=[[8]]"], ["model.stage", "'model.stages'"]),
    "model typo among the shared options": (["model.activaton=relu"], ["'model.activation'"]),
    "data typo": (["data.batchsize=3"], ["'data.batch_size'"]),
    "augment typo": (["augment=affine", "augment.degree=3"], ["'augment.degrees'"]),
    "scheduler typo": (["scheduler=step", "scheduler.gama=0.1"], ["'scheduler.gamma'"]),
    "trainer typo": (["trainer.max_epoch=3"], ["'trainer.max_epochs'"]),
    "callback typo": (
        ["callbacks=[checkpoint,early_stopping]", "callbacks.early_stopping.patiense=1"],
        ["'callbacks.early_stopping.patience'"],
    ),
    "callback switched on by a value": (
        ["callbacks.early_stopping.patience=3"],
        ["callbacks.early_stopping", "_target_"],
    ),
    "unknown model": (["model=gpa"], ["did you mean 'gap'", "vanilla_49k"]),
    "unknown group": (["modle=gap"], ["modle", "did you mean 'model'"]),
    "unknown experiment": (["experiment=under_15k/bn_dropout"], ["under_15k/bn_dropout_14k"]),
    "unknown callback in a list": (["callbacks=[checkpoint,erly_stopping]"], ["did you mean 'early_stopping'"]),
    "negative learning rate": (["optimizer.lr=-1"], ["optimizer.lr = -1", "> 0"]),
    "learning rate that is no number": (["optimizer.lr=fast"], ["optimizer.lr = 'fast'", "float"]),
    "learning rate that is not finite": (["optimizer.lr=nan"], ["optimizer.lr = nan", "> 0"]),
    "betas out of range": (["optimizer=adam", "optimizer.betas=[0.9,1.5]"], ["optimizer.betas", "[0, 1)"]),
    "momentum above one": (["optimizer=sgd", "optimizer.momentum=1.5"], ["optimizer.momentum = 1.5", "[0, 1)"]),
    "memory above one": (["optimizer=rmsprop", "optimizer.alpha=1.5"], ["optimizer.alpha = 1.5", "[0, 1)"]),
    "no eps": (["optimizer=adam", "optimizer.eps=0"], ["optimizer.eps = 0", "> 0"]),
    "gamma below zero": (
        [
            "scheduler=step",
            "scheduler._target_=torch.optim.lr_scheduler.ExponentialLR",
            "~scheduler.step_size",
            "scheduler.gamma=-1",
        ],
        ["scheduler.gamma = -1", "> 0"],
    ),
    "batch size zero": (["data.batch_size=0"], ["data.batch_size = 0", ">= 1"]),
    "batch size as text": (["data.batch_size=many"], ["data.batch_size = 'many'", "int"]),
    "boolean as a number": (["data.num_workers=true"], ["data.num_workers", "int"]),
    "unknown protocol": (["data.validate_on=tset"], ["'tset'", "'test'"]),
    "seed below zero": (["seed=-1"], ["seed = -1"]),
    "no epochs": (["trainer.max_epochs=0"], ["trainer.max_epochs = 0"]),
    "dropout of one": (["model=bn_dropout", "model.dropout=1.0"], ["model.dropout = 1.0"]),
    "unknown precision": (["trainer.precision=bf16"], ["'bf16'", "bf16-mixed"]),
    "half precision without a GPU": (["trainer=cpu", "trainer.precision=16-mixed"], ["CUDA"]),
    "synchronized batch norm with debiased averages": (
        ["model=bn_dropout", "trainer.sync_batchnorm=true"],
        ["trainer.sync_batchnorm", "model.bn_debias=false"],
    ),
    "unknown monitor": (["callbacks.checkpoint.monitor=val/accuracy"], ["val/accuracy", "'val/acc'"]),
    "no monitor": (["callbacks.checkpoint.monitor=null"], ["callbacks.checkpoint.monitor"]),
    "monitor in the wrong direction": (["callbacks.checkpoint.mode=min"], ["callbacks.checkpoint.mode", "'max'"]),
    "no checkpoint": (["callbacks.checkpoint=null"], ["callbacks.checkpoint"]),
    "rate monitor without a logger": (["callbacks=[checkpoint,lr_monitor]"], ["logger"]),
    "a test that is none": (["test=nevr"], ["'never'", "auto, never, once"]),
    "unknown test weights": (["test_weights=bset"], ["'bset'", "'best'"]),
    "target that does not exist": (["optimizer._target_=torch.optim.Adm"], ["torch.optim.Adm", "did you mean"]),
    "checkpoint that keeps more than one": (["callbacks.checkpoint.save_top_k=3"], ["callbacks.checkpoint.save_top_k"]),
    "checkpoints elsewhere": (["callbacks.checkpoint.dirpath=/tmp/x"], ["callbacks.checkpoint.dirpath"]),
    "no validation": (["trainer.limit_val_batches=0"], ["trainer.limit_val_batches = 0"]),
    "validation after the end": (["trainer.check_val_every_n_epoch=5", "trainer.max_epochs=3"], ["no validation"]),
    "early stopping without validation": (
        ["callbacks=[checkpoint,early_stopping]", "trainer.check_val_every_n_epoch=2"],
        ["check_val_every_n_epoch"],
    ),
    "unknown accelerator": (["trainer.accelerator=gpuu"], ["gpuu"]),
    "unknown strategy": (["trainer.strategy=dpp"], ["dpp"]),
    "no devices": (["trainer.accelerator=cpu", "trainer.devices=0"], ["trainer"]),
    "unknown profiler": (["trainer.profiler=simpel"], ["profiler", "simple"]),
    "epochs left open": (["trainer.max_epochs=null"], ["trainer.max_epochs"]),
    "fast_dev_run": (["trainer.fast_dev_run=true"], ["trainer.fast_dev_run: unknown key; debug=one_batch does that"]),
    "schedule that counts steps, per epoch": (["model=gap", "scheduler.interval=epoch"], ["scheduler.interval"]),
    "average that never moves": (["callbacks=[checkpoint,ema]", "callbacks.ema.decay=5"], ["callbacks.ema.decay = 5"]),
    "list for a number": (["optimizer=sgd", "optimizer.lr=[0.1,0.2]"], ["optimizer.lr"]),
    "unknown data set": (["data.dataset=mnist"], ["'mnist'", "'MNIST'"]),
    "sweep over ddp": (["-m", "trainer=ddp", "seed=1,2"], ["ddp does not go with --multirun"]),
    "target of another kind": (["model._target_=subprocess.run"], ["model._target_", "must be a class of nn.Module"]),
    "schedule that schedules nothing": (["scheduler=step", "scheduler._target_=os.system"], ["must take an optimizer"]),
    "group that is no mapping": (["learning_rates=3"], ["learning_rates = 3", "dict"]),
    "logger that is not installed": (["logger=wandb"], ["wandb", "pip install"]),
    "shapes that do not fit": (["model.stage2=[8,8,8,8,8,8]"], ["layer", "does not fit"]),
    "filters below one": (["model.stage1=[0]"], ["model.stage1 = [0]", ">= 1"]),
    "unknown activation": (["model.activation=relo"], ["did you mean 'relu'"]),
    "unknown loss": (["model.loss=mae"], ["'mae'", "mse"]),
    "label smoothing with mse": (["model.loss=mse", "model.label_smoothing=0.1"], ["label_smoothing"]),
    "rate for an unknown optimizer": (["learning_rates.adm=0.1"], ["learning_rates.adm", "'learning_rates.adam'"]),
    "override that does not parse": (["data.root=[1,2"], ["not a valid override"]),
    "one bad job of a sweep": (["-m", "optimizer.lr=0.1,-2"], ["job 1", "optimizer.lr = -2"]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_configuration_is_refused(cli, capsys, tmp_path, name):
    arguments, said = BAD[name]
    assert cli(*arguments, main=validate.main) == 2
    message = capsys.readouterr().err
    for words in said:
        assert words in message
    assert "Traceback" not in message
    assert list(tmp_path.iterdir()) == []


def test_training_refuses_before_anything_is_written(cli, capsys, tmp_path):
    assert cli("seeed=1", "trainer.max_epochs=1") == 2
    assert "did you mean 'seed'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_all_errors_come_in_one_message(cli, capsys):
    assert cli("seeed=1", "+typo=2", "optimizer.lr=abc", "trainer.max_epoch=3", main=validate.main) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: 4 errors in the configuration:")
    assert len(message.strip().splitlines()) == 5


def test_a_typo_inside_an_experiment_file_is_found(cli, capsys, tmp_path):
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    text = "# @package _global_\nsede: 3\ntrainer:\n  max_epoch: 3\noptimizer:\n  momentum: 0.9\n"
    (folder / "bad.yaml").write_text(text)
    assert cli("--config-dir", str(tmp_path / "mine"), "experiment=bad", "model=bn_dropout") == 2
    message = capsys.readouterr().err
    for words in ("sede", "'trainer.max_epochs'", "optimizer.momentum"):
        assert words in message


def test_validate_accepts_what_is_right_and_counts_the_jobs(cli, capsys):
    assert cli("model=gap", main=validate.main) == 0
    assert cli("-m", "model=gap,vanilla", "seed=range(1,4)", main=validate.main) == 0
    assert capsys.readouterr().out.split("\n")[:2] == ["ok: 1 job, 1 rehearsed", "ok: 6 jobs, 2 rehearsed"]


def test_arguments_of_the_trainer_need_no_plus(cli, tiny_overrides, run_of):
    assert cli(*tiny_overrides, "debug=one_batch", "trainer.accumulate_grad_batches=2") == 0
    assert run_of().config().trainer.accumulate_grad_batches == 2


def test_a_folder_that_cannot_be_written_is_one_clear_error(cli, capsys, tiny_overrides, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert cli("model=sequential", "debug=one_batch", f"run_root={tmp_path}/file", *tiny_overrides) == 1
    message = capsys.readouterr().err
    assert f"{tmp_path}/file" in message
    assert "Traceback" not in message


def test_bad_data_is_refused_by_name(cli, capsys, tmp_path):
    write_images(tmp_path / "data" / "custom" / "raw")
    (tmp_path / "data" / "custom" / "raw" / "train-images-idx3-ubyte").write_bytes(b"\0\0\10\3\0\0")
    assert cli("data=custom", f"data.root={tmp_path}/data", "trainer=cpu") == 2
    assert "train-images-idx3-ubyte" in capsys.readouterr().err
