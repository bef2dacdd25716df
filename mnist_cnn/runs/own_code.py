"""Files with classes of a user's own, so that a change of one after training is told and does not pass for the net."""

import hashlib
import sys
import sysconfig
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

import mnist_cnn
from mnist_cnn.config.locate import check_inside
from mnist_cnn.runs.record import Record

NOT_OWN = [Path(path).resolve() for path in (*mnist_cnn.__path__, sysconfig.get_paths()["stdlib"])]
INSTALLED = {"site-packages", "dist-packages"}
_imported: dict[str, tuple[ModuleSpec | None, str]] = {}  # digests by module, of what is in memory


def own_code(cfg: DictConfig | dict[str, Any]) -> dict[str, str]:
    """Digests of the files with what a configuration names, by module, as they were when they were first seen here."""
    return {module.__name__: _digest_when_imported(module, file) for module, file in _own_modules(cfg).items()}


def recorded_code(cfg: DictConfig, before: Record | None) -> dict[str, Any]:
    """What a record says of it.

    Args:
        before: the record of the run that goes on, whose code may have been another.
    """
    own = own_code(cfg)
    earlier = dict((before.earlier_code if before is not None else None) or {})
    for module, digest in ((before.own_code if before is not None else None) or {}).items():
        if own.get(module, digest) != digest:
            earlier[module] = [*earlier.get(module, []), digest]
    return ({"own_code": own} if own else {}) | ({"earlier_code": earlier} if earlier else {})


def changes_of_code(cfg: DictConfig | dict[str, Any], record: Record | None) -> list[str]:
    """In words: files that are others than in the run of the record, or than this process has in memory."""
    before = (record.own_code if record is not None else None) or {}
    told = []
    for module, file in _own_modules(cfg).items():
        used = _digest_when_imported(module, file)
        if used != _digest(file):
            told.append(
                f"{file}: changed after it was imported; what runs is the old code (restart Python, or reload it)"
            )
        if used != before.get(module.__name__, used):
            told.append(f"{file}: changed since the run was trained; what is built from it now may be something else")
    return told


def _own_modules(cfg: DictConfig | dict[str, Any]) -> dict[ModuleType, Path]:
    """Those of every `_target_`, with their files."""
    found: dict[ModuleType, Path] = {}

    def keep(target: Any, node: dict[str, Any], path: str) -> list[str]:
        module = sys.modules.get(getattr(target, "__module__", None) or "")
        if file := getattr(module, "__file__", None):
            place = Path(file).resolve()
            others = INSTALLED & set(place.parts) or any(place.is_relative_to(path) for path in NOT_OWN)
            if module is not None and place.is_file() and not others:
                found[module] = place
        return []

    check_inside(OmegaConf.to_container(cfg) if isinstance(cfg, DictConfig) else cfg, "", keep)
    return found


def _digest_when_imported(module: ModuleType, file: Path) -> str:
    """Reloading makes a new specification."""
    spec, digest = _imported.get(module.__name__, (None, ""))
    if not digest or spec is not module.__spec__:
        digest = _digest(file)
        _imported[module.__name__] = (module.__spec__, digest)
    return digest


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
