"""The Python interface: what the commands do, in a script or a notebook, any number of times in one process.

Every call leaves the process as it found it: random numbers, log handlers, warning filters, Hydra's and PyTorch's
settings. Calls from several threads wait for each other. What a command prints as an error is an exception here, with
the same words.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.utilities.seed import isolate_rng

from mnist_cnn.compare.judge import compare_runs as compare_runs
from mnist_cnn.config.build import build_model
from mnist_cnn.config.call import Call
from mnist_cnn.config.checks import starts_processes
from mnist_cnn.config.compose import compose_named, config_dir, parse
from mnist_cnn.config.data_module import MNISTDataModule as MNISTDataModule
from mnist_cnn.config.data_module import with_saved_arrays
from mnist_cnn.config.module import check_module, plain_node
from mnist_cnn.config.python_values import as_override, plain, quoted
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.config.schema import find_problems
from mnist_cnn.errors import ConfigError, shortened
from mnist_cnn.evaluate import evaluate
from mnist_cnn.runs.choosing import choose
from mnist_cnn.runs.listing import as_dict, find_runs
from mnist_cnn.runs.shipped import run_path
from mnist_cnn.runs.start import find_start
from mnist_cnn.runs.trained import checkpoint_of, load_net
from mnist_cnn.sweep.groups import rows_of
from mnist_cnn.sweep.multirun import run_here, sweep_of
from mnist_cnn.sweep.plan import Sweep
from mnist_cnn.sweep.summary import write_summary
from mnist_cnn.train import Result, train
from mnist_cnn.training.rehearsal import check_call, rehearse_late_kinds

_one_at_a_time = threading.RLock()
_ENVIRONMENT = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS", "CUBLAS_WORKSPACE_CONFIG")


def fit(*overrides: str, **settings: Any) -> Result:
    """Trains one net, as `python -m mnist_cnn.train` does with the same words, and returns what it left.

    Args:
        overrides: `"model=gap"`, `"trainer.max_epochs=2"`, `"resume=auto"`.
        settings: the same for keys without a dot, as Python has them: `seed=3`, numbers of NumPy, a `Path`;
            `data=(images, labels)`, or with the test's `data=((images, labels), (images, labels))`, trains on arrays.

    Raises:
        UserError: what the command would print; `ConfigError` before anything is written.
        Interrupted: the notebook's stop button or Ctrl-C; the message says how to resume.
    """
    began = time.monotonic()
    with _guest(), _called(overrides, settings) as asked:
        start = find_start(asked.call)
        asked.begun = start.run.config_file.is_file
        if starts_processes(start.cfg.trainer):
            words = "ddp and several devices start processes by a command line: python -m mnist_cnn.train"
            raise ConfigError([f"trainer: {words}"])
        return train(start.cfg, start.run, start.overrides, start.checkpoint, began)


def check(*overrides: str, rehearse: bool = True, sweep: bool = False, **settings: Any) -> list[list[str]]:
    """Whether `fit` would train, without doing so: all values, and a step of everything in a temporary folder.

    Args:
        overrides, settings: as for `fit`; with `sweep` as for `fit_many`.
        rehearse: False checks the values alone.

    Returns:
        the overrides of every job.

    Raises:
        UserError: what the command `validate` would print.
    """
    with _guest(), _called(overrides, settings, multirun=sweep) as asked:
        jobs, _ = check_call(asked.call, rehearse)
    return jobs


def fit_many(*overrides: str, **settings: Any) -> list[dict[str, Any]]:
    """Runs a sweep, jobs side by side in processes of their own, as `python -m mnist_cnn.train -m` does.

    Args:
        overrides: as for `fit`, also with several values: `"model=gap,vanilla"`.
        settings: what holds several values is a sweep over them: `seed=[1, 2]`, `seed=range(1, 4)`.

    Returns:
        the rows of `summarize`.

    Raises:
        UserError: what the command would print.
    """
    with _guest():
        with _called(overrides, settings, multirun=True) as asked:
            if asked.call.has_launcher():
                raise ConfigError(["hydra/launcher: start such a sweep by python -m mnist_cnn.train -m"])
            sweep, known = sweep_of(asked.call, rehearse_late_kinds)
            asked.begun = lambda: True
            run_here(sweep, known, asked.call, train)
        write_summary(sweep)
    return summarize(sweep.path)


def summarize(directory: str | Path) -> list[dict[str, Any]]:
    """The jobs of a sweep or search, best validation accuracy first, as dictionaries with the columns of summary.csv.

    Swept values are numbers where they are; `directory` of a row is that of its run, `sweep_directory` that of all.

    Raises:
        RunError: not a sweep directory.
    """
    sweep = Sweep.load(Path(directory).resolve())
    return [
        row.as_dict()
        | {key: parse([f"{key}={text}"])[0].value() for key, text in row.values.items()}
        | {"directory": str(sweep.run(row.job).path), "sweep_directory": str(sweep.path)}
        for row in rows_of(sweep)
    ]


def load(path: str | Path, weights: str | None = None) -> Any:
    """The trained net of a run directory or of a checkpoint, ready for `predict` and `read`; on the CPU.

    A `Classifier`; or somebody's own LightningModule, which has what its class has. The file of a class of one's own
    must lie in the working folder, on the Python path, or where the `--config-dir` of its run was.

    Args:
        path: the text `"gap"`, which is the net that comes with the package, is no path: a folder of that name is
            `"./gap"`.
        weights: `best` or `last` of a run directory; by default those that the run itself tested.

    Raises:
        RunError: no run, a damaged checkpoint, or one that could run code.
        ConfigError: a net that this version does not have.
    """
    with _guest():  # building draws random numbers, for weights that are replaced at once
        return load_net(checkpoint_of(run_path(path), weights)).module


def evaluate_run(run: str | Path | Sequence[str | Path], **settings: Any) -> dict[str, Any]:
    """The figures of a trained net on the test images, as `python -m mnist_cnn.evaluate` prints them.

    Args:
        run: a run directory, `"gap"` or a checkpoint; several for an ensemble of them.
        settings: those of the command: `details=True`, `corruptions=True`, `data_root="elsewhere"`.

    Raises:
        UserError: what the command would print.
    """
    one = isinstance(run, str | Path)
    key = "ensemble" if not one else "checkpoint" if Path(run).is_file() else "run_dir"  # type: ignore[arg-type]
    names = quoted(str(run)) if one else f"[{','.join(quoted(str(each)) for each in run)}]"  # type: ignore[union-attr]
    words = [f"{key}={names}", *(as_override(name, value) for name, value in settings.items())]
    with _guest(), quiet_libraries():
        return evaluate(compose_named("evaluate", [f"++{text}" for text in words]))


def list_runs(
    folder: str | Path = "runs", *tests: str, sort: str = "age", columns: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The runs below a folder as dictionaries, as `python -m mnist_cnn.runs` lists them, newest first.

    Args:
        tests: `"model=gap"`, `"val/acc>99.4%"`, `"age<2d"`: any setting or figure.
        sort: a setting or figure; accuracies highest first, all else lowest first, and the other way behind a minus.
        columns: further settings or figures.

    Raises:
        RunError: no such folder.
        ConfigError: a test that is none, or a key that no run has.
    """
    return [as_dict(run, columns) for run in choose(find_runs(Path(folder)), tests, sort)]


def list_models() -> list[str]:
    """Names for `model=` and `create_model`."""
    return sorted(file.stem for file in (config_dir() / "model").glob("*.yaml"))


def create_model(name: str, **options: Any) -> Any:
    """An untrained net with the optimizer and the schedule of its recipe, for anyone's Trainer.

    Its weights come from PyTorch's random numbers, as those of any module: `torch.manual_seed` before it.

    Args:
        options: instead of what conf/model/<name>.yaml says, e.g. `dropout=0.05`.

    Raises:
        ConfigError: no such model, an unknown option or a value out of range.
    """
    with _guest():
        cfg = Call([f"model={name}"]).check()[0].cfg
        node = plain_node(cfg.model) | {key: plain(value) for key, value in options.items()}
        problems = check_module(node)
        if not problems:
            cfg.model = node
            if isinstance(classes := node.get("num_classes"), int):  # the data are whoever's the Trainer is
                cfg.data.class_names = [str(number) for number in range(classes)]
            problems = find_problems(cfg)
    if problems:
        raise ConfigError(problems)
    return build_model(cfg)


@dataclass
class _Asked:
    call: Call
    begun: Callable[[], bool] = lambda: False  # whether there is a run, or may be one


@contextlib.contextmanager
def _called(overrides: Sequence[str], settings: dict[str, Any], multirun: bool = False) -> Iterator[_Asked]:
    """What was asked for; arrays that were saved for a run that does not begin are taken away again."""
    bad = [text for text in overrides if not isinstance(text, str)]
    if bad:
        raise ConfigError([f"{text!r}: must be an override such as 'model=gap'" for text in bad])
    if not multirun and not isinstance(settings.get("test"), str | None):
        needed = "'once' or 'never'; test images go with data=((images, labels), (test images, test labels))"
        raise ConfigError([f"test = {shortened(settings['test'])}: must be {needed}"])
    settings, saved = with_saved_arrays(overrides, settings)
    words = [*overrides, *(as_override(key, value, multirun) for key, value in settings.items())]
    asked = _Asked(Call(words, multirun))
    try:
        yield asked
    finally:
        if not asked.begun():
            for file in saved:
                file.unlink(missing_ok=True)


@contextlib.contextmanager
def _guest() -> Iterator[None]:
    """One call at a time, which puts back what belongs to the whole process."""
    with _one_at_a_time, isolate_rng():
        variables = {name: os.environ.get(name) for name in _ENVIRONMENT}
        benchmark = torch.backends.cudnn.benchmark
        deterministic = torch.get_deterministic_debug_mode()
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = benchmark
            torch.set_deterministic_debug_mode(deterministic)
            for name, value in variables.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
