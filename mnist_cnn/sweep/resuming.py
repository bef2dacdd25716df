"""The sweep that a call continues."""

from pathlib import Path

from mnist_cnn.config.call import Call
from mnist_cnn.config.python_values import command
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.layout import PLAN
from mnist_cnn.runs.listing import find_sweeps
from mnist_cnn.sweep.engine import engine_of
from mnist_cnn.sweep.plan import Sweep

OF_THE_CALL = ("hydra.", "hydra/", "resume=", "jobs=", "rehearse=", "detach=")  # say how, not what


def own_arguments(call: Call) -> list[str]:
    """The arguments that make the sweep what it is."""
    return [text for text in call.texts if not text.startswith(OF_THE_CALL)]


def resumed_sweep(call: Call) -> Sweep:
    """The sweep that `resume=` of a call names.

    Raises:
        RunError, ConfigError: there is none, or the call asks for something else.
    """
    if call.has_launcher() and engine_of(call.launcher()).name == "hydra":
        words = "does not resume a sweep; resume its runs one by one, or all of them here without it"
        raise ConfigError([f"{call.launcher()[0]}: {words}"])
    sweep = _found_sweep(call)
    if any(text.startswith("hydra/launcher") for text in call.launcher()):
        sweep.launcher = call.launcher()
    elif sweep.launcher:
        sweep.launcher += call.launcher()
    return sweep


def _found_sweep(call: Call) -> Sweep:
    arguments = own_arguments(call)
    resume = str(call.value("resume"))
    if resume == "auto":
        root = Path(str(call.setting("run_root"))).resolve()
        return _newest_unfinished(root, [a for a in arguments if not a.startswith("run_root=")] and arguments)
    if Run(Path(resume)).config_file.is_file():
        raise RunError(f"resume={resume}: a single run; continue it without -m")
    sweep = Sweep.load(Path(resume).resolve())
    if sweep.is_search:
        raise RunError(f"{resume}: a search; continue it with {command('search', directory=resume)}")
    if arguments and sorted(arguments) != sorted(sweep.arguments):
        raise ConfigError([f"resume: a sweep continues as it was started: {' '.join(sweep.arguments)}"])
    return sweep


def _newest_unfinished(root: Path, arguments: list[str]) -> Sweep:
    """The newest sweep below `root` that nobody runs and has jobs left; with `arguments`, started with just these.

    Raises:
        RunError: there is none.
    """
    linked = [plan.parent for plan in (root / "multirun").glob(f"*/{PLAN}")]  # perhaps to another disk
    found = {path.resolve(): path for path in [*linked, *find_sweeps(root)]}.values()
    for path in sorted(found, key=lambda path: (path / PLAN).stat().st_mtime_ns, reverse=True):
        try:
            sweep = Sweep.load(path)
        except RunError:  # a plan that nothing can be told from
            continue
        ours = not (sweep.is_search or sweep.elsewhere or Run(sweep.path).busy)
        if ours and sorted(sweep.arguments) == sorted(arguments or sweep.arguments) and sweep.unfinished():
            return sweep
    words = f" that was started with {' '.join(arguments)}" if arguments else ""
    raise RunError(f"nothing to resume below {root}: no sweep{words} has jobs left to run")
