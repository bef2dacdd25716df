"""Hydra: the configuration folder, composing, and the sweeps that a Hydra launcher runs.

Hydra keeps global state. Here it is set for the time of a call and put back, so that a notebook's own Hydra goes on.
"""

import contextlib
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from mnist_cnn.config.build import with_defaults
from mnist_cnn.config.chosen import compose_chosen, parsed
from mnist_cnn.config.place import config_dir, import_from
from mnist_cnn.config.protocol import data_class
from mnist_cnn.config.python_values import TEXT, quoted
from mnist_cnn.config.tiny import is_tiny
from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.errors import ConfigError, ForeignError, UserError, in_one_line, is_ours, shortened

OF_TWO_LAUNCHERS = "\n'hydra/launcher/ray' is validated against"  # where hydra-ray-launcher is installed too
KEY = re.compile(r"[~+]{0,2}[\w/$][\w./@$-]*")


@dataclass(frozen=True)
class Composed:
    """The configuration of one run, and what Hydra knows beside it.

    Args:
        cfg: resolved, not validated.
        name: of the experiment if one was chosen, else of the model.
        run_dir, sweep_dir: what `hydra.run.dir` and `hydra.sweep.dir` ask for, if anything.
        swept: `hydra.sweeper.params` of the chosen files: the values of a sweep by key.
    """

    cfg: DictConfig
    name: str
    run_dir: Path | None
    sweep_dir: Path | None
    swept: dict[str, str]


def compose_run(overrides: Sequence[str], whole: bool = False) -> Composed:
    """What overrides of `python -m mnist_cnn.train` ask for.

    Args:
        whole: all images, also where trainings are shrunk.

    Raises:
        ConfigError: what Hydra refuses.
    """
    import_from(searched(overrides))
    with hydra_in_conf():
        cfg = _compose("train", overrides if whole else _shrunk(overrides))
        HydraConfig.instance().cfg = cfg  # type: ignore[assignment]  # `set_config` would copy it
        settings, choices = cfg.hydra, cfg.hydra.runtime.choices
        OmegaConf.set_struct(cfg, False)
        swept = {str(k): str(v) for k, v in (settings.sweeper.params or {}).items()}
        run_dir, sweep_dir = (Path(text).resolve() if text else None for text in (settings.run.dir, settings.sweep.dir))
        with contextlib.suppress(OmegaConfBaseException):  # validation says what cannot be resolved
            _resolve_ours(cfg)
    name = str(choices.get("experiment") or choices.get("model"))
    del cfg["hydra"]
    if is_tiny() and not whole:
        _leave_own_data_whole(cfg)
    return Composed(with_defaults(cfg), name, run_dir, sweep_dir, swept)


def searched(overrides: Sequence[str]) -> list[str]:
    """The folders of `--config-dir` among the overrides of a run."""
    given: list[Any] = [o.value() for o in parse([t for t in overrides if t.startswith("hydra.searchpath=")])]
    return [str(folder) for value in given for folder in value or []]


def compose_launcher(overrides: Sequence[str]) -> dict[str, Any]:
    """The settings of `hydra/launcher` that overrides name."""
    with hydra_in_conf():
        cfg = _compose("train", overrides)
        HydraConfig.instance().cfg = cfg  # type: ignore[assignment]
        settings: Any = OmegaConf.to_container(cfg.hydra.launcher, resolve=True)
        return settings


def _resolve_ours(cfg: DictConfig) -> None:
    """All but Hydra's own node, which has values that are missing until a job runs."""
    for key in (str(key) for key in cfg if key != "hydra"):
        if OmegaConf.is_interpolation(cfg, key):
            cfg[key] = cfg[key]
        if OmegaConf.is_config(cfg[key]):
            OmegaConf.resolve(cfg[key])


def _shrunk(overrides: Sequence[str]) -> list[str]:
    """With `debug=tiny` where all is only tried out."""
    chosen = any(text.lstrip("+").startswith("debug=") for text in overrides)
    return [*overrides, "debug=tiny"] if is_tiny() and not chosen else list(overrides)


def _leave_own_data_whole(cfg: DictConfig) -> None:
    """`debug=tiny` shrinks our data sets; a data module of the user's own takes no limits."""
    target = data_class(cfg.get("data"))
    if target is not None and not issubclass(target, ImageDataModule):
        shrunk: Any = OmegaConf.load(config_dir() / "debug" / "tiny.yaml")
        for key in shrunk.data:
            cfg.data.pop(key, None)


def compose_named(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration of another entry point, from conf/<config_name>.yaml."""
    with hydra_in_conf():
        cfg = _compose(config_name, overrides)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def _compose(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """Only Hydra's own code and the files that it reads are at work here: whatever it says is about those."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", OF_TWO_LAUNCHERS)
            return compose_chosen(config_name, overrides)
    except Exception as error:
        raise ConfigError([in_one_line(error)]) from error


def data_defaults(dataset: str | None = None, kind: str = "mnist") -> dict[str, Any]:
    """A file of conf/data with the seed of conf/train.yaml, whatever a model would change.

    Args:
        dataset: what the file of this set says counts instead; one that none is for has no MD5.
    """
    folder = config_dir() / "data"
    layers: list[Any] = [OmegaConf.load(folder / f"{name}.yaml") for name in ("common", kind)]
    if dataset is not None:
        found: Any = (OmegaConf.load(file) for file in sorted(folder.glob("*.yaml")))
        layers.append(next((node for node in found if node.get("dataset") == dataset), {"md5": None}))
    seed = OmegaConf.load(config_dir() / "train.yaml").seed
    tree: Any = OmegaConf.to_container(OmegaConf.create({"seed": seed, "data": OmegaConf.merge(*layers)}), resolve=True)
    return {key: value for key, value in tree["data"].items() if key != "defaults"}


@contextlib.contextmanager
def hydra_in_conf() -> Iterator[None]:
    """Lets Hydra find the package's configuration, says what it refuses as we do, and leaves its state as it was."""
    everywhere, of_job, base = GlobalHydra.instance(), HydraConfig.instance(), VersionBase.instance()
    before = everywhere.hydra, of_job.cfg, base.version_base
    everywhere.clear()
    try:
        with initialize_config_dir(str(config_dir().resolve()), version_base="1.3"):
            yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError([str(error).strip().splitlines()[0]]) from error
    finally:
        everywhere = GlobalHydra.instance()
        everywhere.hydra, of_job.cfg, base.version_base = before


def hydra_options(group: str) -> list[str]:
    """What there is for a group of Hydra's own, with the plugins that are installed: `hydra/launcher`."""
    with hydra_in_conf():
        running = GlobalHydra.instance().hydra
        assert running is not None
        return list(running.config_loader.get_group_options(group))


def answer_question(config_name: str) -> None:
    """`--help`, `--cfg`, `--info` and tab completion: Hydra reads the command line itself and answers."""
    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(lambda cfg: None)()


def launch(overrides: Sequence[str], task: Callable[[DictConfig], Any]) -> list[Any]:
    """Runs every job of a sweep by the Hydra launcher that the overrides name, perhaps on other machines.

    Returns:
        what the task returned, by job.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        with hydra_in_conf():
            running = GlobalHydra.instance().hydra
            assert running is not None
            batches: Any = running.multirun("train", task, _shrunk(overrides))
            return [job.return_value for batch in batches for job in batch]
    except (UserError, HydraException, OmegaConfBaseException):
        raise
    except Exception as error:
        if is_ours(error):
            raise
        raise ForeignError(f"hydra/launcher: {in_one_line(error)}") from error
    finally:  # Hydra sets up logging for the whole process
        root.handlers[:] = handlers
        root.setLevel(level)


def parse(texts: Sequence[str]) -> list[Override]:
    """Overrides as Hydra reads them; a value that it cannot read and that is no list or the like is text.

    So a path needs no quotes beside those of the shell.

    Raises:
        ConfigError: naming every one that is not `key=value`.
    """
    problems, read = [], []
    for text in texts:
        key, sign, value = text.partition("=")
        for attempt in (text, f"{key}={quoted(value)}" if sign and TEXT.fullmatch(value) else ""):
            with contextlib.suppress(HydraException):
                found = parsed(attempt or text)
                if found.key_or_group:
                    read.append(found)
                    break
        else:
            if KEY.fullmatch(key) and sign:
                hint = "text with such signs needs quotes within the shell's" if value else "expected key=value"
                problems.append(f"{shortened(text)}: not a valid override; {hint}, such as \"{key}='...'\"")
            else:
                problems.append(f"{shortened(text)}: expected key=value" + ", without spaces" * (" " in text))
    if problems:
        raise ConfigError(problems)
    return read


def line(override: Override) -> str:
    """An override as it was written."""
    return override.input_line or ""
