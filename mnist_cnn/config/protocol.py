"""Which images do what: what follows from other settings, what earlier versions did, and what does not go together."""

import inspect
from pkgutil import resolve_name
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from mnist_cnn.config.instantiate import build
from mnist_cnn.config.locate import locate
from mnist_cnn.config.signatures import arguments
from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.data.datamodule import MNISTDataModule
from mnist_cnn.data.images import DIGITS
from mnist_cnn.data.own import OwnDataModule
from mnist_cnn.data.presets import PRESETS
from mnist_cnn.errors import ConfigError, DataError, nearest

# What runs did before there was a choice; with the group `data` of their saved configurations as it is today.
BEFORE: dict[str, Any] = {
    "test": "once", "data.fold": None, "data.folds": 5, "data.fraction": 1.0, "data.imbalance": None,
    "data.balanced": False, "data.prepare": "resize", "data.class_names": None, "speed.cuda_graph": False,
    "teacher": None, "teacher_share": 0.5, "teacher_temperature": 2.0, "detach": False,
}  # fmt: skip
READ_HERE = ("validate_on", "fold", "folds", "imbalance", "class_names")  # keys of `data`
MONITOR = "val/acc"  # of conf/callbacks/checkpoint.yaml


def settle_protocol(cfg: DictConfig) -> None:
    """Writes what follows from other settings into a composed or saved configuration, so that it says what was done.

    `test=auto` becomes `never` with a fold, else `once`. Without validation there is no best epoch: the last one's
    weights are tested, unless something other than validation is told to choose.
    """
    data = OmegaConf.select(cfg, "data", throw_on_missing=False)
    if not isinstance(data, DictConfig):
        return
    OmegaConf.set_struct(cfg, False)
    target = data_class(data)
    ours = target is not None and issubclass(target, ImageDataModule)
    for key, value in BEFORE.items():
        if (ours or not key.startswith("data.")) and OmegaConf.select(cfg, key, default=...) is ...:
            OmegaConf.update(cfg, key, value, force_add=True)
    if target is not None and issubclass(target, OwnDataModule):
        data.setdefault("val", False)  # earlier, what lay beside the images for training was passed over
    if cfg.get("test") == "auto":
        cfg.test = "never" if data.get("fold") is not None else "once"
    if target is not None and not ours:
        _drop_what_is_not_taken(data, target)
    if no_validation(cfg):
        checkpoint = OmegaConf.select(cfg, "callbacks.checkpoint")
        if isinstance(checkpoint, DictConfig) and checkpoint.get("monitor") == MONITOR:
            cfg.callbacks.checkpoint = None
        if OmegaConf.select(cfg, "callbacks.checkpoint") is None:
            cfg.test_weights = "last"


def data_class(data: Any) -> type[pl.LightningDataModule] | None:
    """The class that the group `data` names; None where it is none, which validation tells."""
    try:
        found = resolve_name(str(data.get("_target_")))
    except Exception:
        return None
    return found if inspect.isclass(found) and issubclass(found, pl.LightningDataModule) else None


def own_module_elsewhere(data: dict[str, Any]) -> list[str]:
    """A user's own module among the settings of ours, one line for all of them that it does not take."""
    target = data_class(data)
    if target is None or issubclass(target, ImageDataModule) or "eval_batch_size" not in data:
        return []
    name = data["_target_"]
    return [f"data._target_ = {name!r}: a module of your own takes none of our settings: data=own data._target_={name}"]


def classes_of(data: dict[str, Any]) -> int | None:
    """How many classes there are, by a checked node or by the labels of the files it names; None where neither tells.

    Files that are not there, or that are wrong, are for the start of the run to complain of.
    """
    if data.get("class_names") is not None:
        return len(data["class_names"])
    target = data_class(data)
    if target is None or issubclass(target, MNISTDataModule):
        return len(DIGITS) if target is not None else None
    if not issubclass(target, OwnDataModule):
        names = getattr(target, "class_names", None)
        return len(names) if isinstance(names, list | tuple) else None
    try:
        return len(build(data, "data").class_names)
    except (ConfigError, DataError, OSError):
        return None


def validates(data: Any, target: type[pl.LightningDataModule]) -> bool:
    """Whether any image is held out for validation, or watched."""
    if issubclass(target, ImageDataModule):
        return data.get("validate_on") == "test" or data.get("fold") is not None or data.get("validation_size") != 0
    return target.val_dataloader is not pl.LightningDataModule.val_dataloader


def no_validation(tree: Any) -> str | None:
    """Why nothing validates a run; None where something does, or where what it names cannot be found."""
    data, model = tree["data"], tree.get("model")
    target = data_class(data)
    if target is not None and not validates(data, target):
        ours = issubclass(target, ImageDataModule)
        return "no image validates (data.validation_size=0)" if ours else f"{data['_target_']} has no val_dataloader"
    kind: Any = locate(model.get("_target_"), "model")[0] if model else None
    own = inspect.isclass(kind) and issubclass(kind, pl.LightningModule)
    if own and kind.validation_step is pl.LightningModule.validation_step:
        return f"{model['_target_']} has no validation_step"
    return None


def check_protocol(tree: dict[str, Any]) -> list[str]:
    """What does not go together in the group `data` and around it."""
    data, problems = tree["data"], []
    target = data_class(data)
    if target is None:
        return []
    if reason := no_validation(tree):
        problems += _without_validation(tree, reason)
    if not issubclass(target, ImageDataModule):
        return problems
    if missing := [key for key in READ_HERE if key not in data]:
        return [*problems, *(f"data.{key}: missing" for key in missing)]
    fold, folds = data["fold"], data["folds"]
    if fold is not None and fold >= folds:
        problems.append(f"data.fold = {fold}: must be 0 to {folds - 1}, since data.folds = {folds}")
    if data["validate_on"] == "test":
        if tree["test"] == "never":
            problems.append(
                "test = 'never': data.validate_on=test watches the test images; use data.validate_on=holdout"
            )
        if fold is not None:
            problems.append(f"data.fold = {fold}: validation is on the test images; use data.validate_on=holdout")
    if isinstance(data["imbalance"], list) and data["class_names"] is not None:
        shares, names = len(data["imbalance"]), len(data["class_names"])
        if shares != names:
            problems.append(f"data.imbalance: {shares} shares for {names} classes")
    return problems + _check_digests(data)


def _without_validation(tree: dict[str, Any], reason: str) -> list[str]:
    watchers = {f"callbacks.{name}": node for name, node in tree["callbacks"].items() if node}
    watchers["scheduler"] = tree["scheduler"] or {}
    return [
        f"{path}.monitor = {monitor!r}: {reason}; watch train/loss"
        for path, node in watchers.items()
        if str(monitor := node.get("monitor")).startswith("val/")
    ]


def _check_digests(data: dict[str, Any]) -> list[str]:
    md5, dataset = data.get("md5"), data.get("dataset")
    if md5 is None:
        return []
    if dataset not in PRESETS:
        return [f"data.dataset = {dataset!r}: unknown value{nearest(dataset, PRESETS)} (any with data=idx)"]
    files = PRESETS[dataset].files
    if isinstance(md5, dict) and set(md5) != set(files):
        wrong = sorted(set(md5) ^ set(files))[0]
        return [f"data.md5: {wrong!r} is no file of {dataset}, or is missing; needed: {', '.join(files)}"]
    return []


def _drop_what_is_not_taken(data: DictConfig, target: Any) -> None:
    """A model's file sets the batch size for whatever data; a module that takes none keeps its own."""
    allowed, _, open_ended = arguments(target)
    if "batch_size" in data and "batch_size" not in allowed and not open_ended:
        del data["batch_size"]
