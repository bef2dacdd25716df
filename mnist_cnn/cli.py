"""The command line: what an entry point does around its task, and how a user's mistake ends."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_cnn.errors import ConfigError, Interrupted, UserError
from mnist_cnn.multirun import plan_sweep, run_sweep
from mnist_cnn.preflight import Call, config_dir
from mnist_cnn.report.console import quieten_libraries
from mnist_cnn.report.sweep import summarize
from mnist_cnn.resume import find_resumption
from mnist_cnn.runs import Run

# Where runs go: by experiment where one is chosen, else by model.
OmegaConf.register_new_resolver("first", lambda *names: next(n for n in names if n), replace=True)


def run_training(train: Callable[..., Any]) -> None:
    """Checks every job of the call, then lets Hydra run it, or continues the run that `resume=` names."""
    with user_errors():
        call = command_line()
        if call is None:
            return
        if call.multirun and not call.has_launcher():
            sys.exit(run_sweep(call))
        if call.value("resume") is not None:
            found = find_resumption(call)
            # resume= stays: the processes that DDP starts get these arguments
            sys.argv[1:] = [f"hydra.run.dir='{found.run.path}'", f"resume='{found.checkpoint}'"]
            run_hydra("train", lambda _: train(found.cfg, found.run, found.run.overrides(), found.checkpoint))
            return
        call.check()
        sweep = plan_sweep(call) if call.multirun else None
        switches = [a for a in sys.argv[1:] if a not in call.texts]
        sys.argv[1:] = switches + [call.forced(o) for o in call.overrides]
        if sweep is None:
            run_hydra("train", functools.partial(_hydra_task, train))
            return
        sys.argv.append(f"hydra.sweep.dir='{sweep.path}'")
        try:
            run_hydra("train", functools.partial(_hydra_task, train))
        finally:
            print(summarize(sweep))


def _hydra_task(train: Callable[..., Any], cfg: DictConfig) -> Any:
    """What Hydra calls for each job, also on another machine: it must be picklable."""
    quieten_libraries()
    settings = HydraConfig.get()
    return train(cfg, Run(Path(settings.runtime.output_dir)), list(settings.overrides.task))


def command_line() -> Call | None:
    """The call as Hydra's own parser reads it; None after `--help`, `--cfg` and the like, which Hydra has answered."""
    arguments = get_args_parser().parse_args()
    asks = (arguments.help, arguments.hydra_help, arguments.cfg, arguments.info, arguments.shell_completion)
    if any(asks):
        run_hydra("train", lambda cfg: None)
        return None
    return Call(arguments)


def run_hydra(config_name: str, task: Callable[[DictConfig], Any]) -> None:
    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(task)()


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """A user's mistake ends in one message and an exit code, without a traceback."""
    quieten_libraries()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra must pass errors on instead of printing them its way
    try:
        yield
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {str(error).strip()}", file=sys.stderr)
        sys.exit(ConfigError.exit_code)
    except BrokenPipeError:  # `| head` has read enough: end without a word, with the code a shell has for it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:  # a full disk, a folder that cannot be written; the run's log has the traceback
        print(f"error: {error}", file=sys.stderr)
        sys.exit(UserError.exit_code)
    except KeyboardInterrupt as error:
        stop = error if isinstance(error, Interrupted) else Interrupted()
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)
