"""What Hydra makes of the chosen files, kept while they stand: composing takes a tenth of a second, and the jobs of a
sweep, or the calls of a notebook, choose the same files over and over and differ in values.

Hydra merges the files first and sets the values then, in the order of the call: the values alone are set here.
"""

import contextlib
import functools
import os
import pickle
from collections.abc import Sequence

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from mnist_cnn.config.place import config_dir, is_group

MOST = 32  # choices that are kept, of about 20 kB each
MOST_PARSED = 4096  # overrides that are kept


def compose_chosen(config_name: str, texts: Sequence[str]) -> DictConfig:
    """As `hydra.compose` with Hydra's own node; where anything is wrong or unusual, by that alone."""
    overrides = [parsed(text) for text in texts]
    values = [override for override in overrides if not _chooses(override)]
    choices = tuple(override.input_line or "" for override in overrides if _chooses(override))
    if all(map(_is_plain, values)) and all(_is_usual(override) for override in overrides if _chooses(override)):
        with contextlib.suppress(HydraException, OmegaConfBaseException):  # which Hydra says of the whole call
            return _with(_of_files(config_name, choices, _stamp()), overrides, values)
    return compose(config_name, list(texts), return_hydra_config=True)


@functools.lru_cache(MOST_PARSED)
def parsed(text: str) -> Override:
    """As Hydra reads it; once, since the jobs of a sweep share most of them.

    Raises:
        HydraException: it cannot.
    """
    [override] = OverridesParser.create().parse_overrides([text])
    return override


def _chooses(override: Override) -> bool:
    key = override.key_or_group
    return key.startswith("hydra/") or is_group(key)


def _is_usual(override: Override) -> bool:
    return not override.is_sweep_override() and not isinstance(override.value(), dict)


def _is_plain(override: Override) -> bool:
    """`key=value` and `++key=value`; not what adds, removes, sweeps or names further folders."""
    changes = not (override.is_add() or override.is_delete() or override.is_sweep_override() or override.package)
    return changes and override.key_or_group not in ("hydra", "hydra.searchpath")


def _stamp() -> tuple[tuple[str, int, int], ...]:
    """Another one when a file has changed."""
    found = []
    for folder, _, names in os.walk(config_dir()):
        for name in names:
            about = os.stat(file := os.path.join(folder, name))
            found.append((file, about.st_mtime_ns, about.st_size))
    return tuple(sorted(found))


@functools.lru_cache(MOST)
def _of_files(config_name: str, choices: tuple[str, ...], stamp: object) -> bytes:
    """Pickled, which is copied in a fifth of the time."""
    cfg = compose(config_name, list(choices), return_hydra_config=True)
    cfg.hydra.job.override_dirname = "???"  # made of the values: an error where it is asked for
    return pickle.dumps(cfg)


def _with(files: bytes, overrides: Sequence[Override], values: Sequence[Override]) -> DictConfig:
    cfg: DictConfig = pickle.loads(files)
    for override in values:
        OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True, force_add=override.is_force_add())
    with open_dict(cfg.hydra):
        cfg.hydra.overrides.task = [o.input_line for o in overrides if not o.is_hydra_override()]
        cfg.hydra.overrides.hydra = [o.input_line for o in overrides if o.is_hydra_override()]
        cfg.hydra.runtime.cwd = os.getcwd()
        _ = cfg.hydra.run.dir, cfg.hydra.sweep.dir
    return cfg
