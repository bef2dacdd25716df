"""The training step as a CUDA graph: recorded once for each batch size, replayed without Python in between."""

import logging
from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BaseFinetuning, GradientAccumulationScheduler, ModelPruning
from torch.optim import LBFGS, Optimizer

from mnist_cnn.data.augment import RandomAffine
from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.data.resident import fits
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.speed.device_adam import DeviceAdam
from mnist_cnn.speed.replay import ReplayedOptimization

log = logging.getLogger(__name__)
# Hooks that nothing calls when a step is replayed.
INSIDE = ("on_before_zero_grad", "on_before_backward", "on_after_backward")
# Whose modules do all that they do on the device; those of others may draw or count in Python, which a graph would not.
KNOWN = ("torch", "torchvision", "timm", "mnist_cnn")
# Callbacks that leave the net as it is between steps: Lightning's and ours, but for some.
QUIET = ("pytorch_lightning", "lightning", "mnist_cnn")
CHANGE_THE_STEP = (BaseFinetuning, GradientAccumulationScheduler, ModelPruning)


class CudaGraphs(pl.Callback):
    """Puts the images on the GPU, records the steps before the first epoch, and lets the Trainer replay them.

    Recorded are forward pass, loss, backward pass and the figures of the epoch; the scaling of the images and
    `RandomAffine` with them; the step of Adam and AdamW too, unless something wants the gradients before it. The rest
    of a run, from other optimizers to schedules and checkpoints, is as it is without. What cannot be recorded trains
    as ever, and one line says why.
    """

    def __init__(self, data: ImageDataModule) -> None:
        self.data = data

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        device = trainer.strategy.root_device
        if stage != "fit" or not on_gpu(device):
            return
        alone = trainer.world_size == 1
        self.data.resident = alone and all(fits(images, device) for images in self.data.splits.values())
        if (hindrance := hindrance_of(trainer, pl_module)) is not None:
            log.info(f"no CUDA graph: {hindrance}")
            return
        assert isinstance(pl_module, Classifier)
        trainer.fit_loop.epoch_loop.automatic_optimization = ReplayedOptimization(trainer, pl_module, self.data)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loop = trainer.fit_loop.epoch_loop.automatic_optimization
        if not isinstance(loop, ReplayedOptimization):
            return
        [optimizer] = trainer.optimizers
        if (hindrance := _hindrance_in(optimizer)) is not None:
            log.info(f"no CUDA graph: {hindrance}")
            return
        transform = self.data.augment.transform if self.data.augment is not None else None
        self.data.raw = transform is None or type(transform) is RandomAffine
        images, size = self.data.splits["train"], self.data.batch_size
        sizes = [min(size, len(images))]
        if trainer.num_training_batches * size > len(images) > size:
            sizes.append(len(images) % size)
        whole = DeviceAdam.suits(optimizer) and not trainer.gradient_clip_val
        whole = whole and not _wanted("on_before_optimizer_step", trainer, pl_module)
        try:
            loop.record([images.first(each) for each in sizes], optimizer, whole)
        except RuntimeError as error:
            self.data.raw = False
            loop.forget()
            log.info(f"no CUDA graph: the step cannot be recorded ({str(error).splitlines()[0]})")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loop = trainer.fit_loop.epoch_loop.automatic_optimization
        if isinstance(loop, ReplayedOptimization):
            loop.forget()


def on_gpu(device: torch.device) -> bool:
    return device.type == "cuda"


def hindrance_of(trainer: pl.Trainer, model: pl.LightningModule) -> str | None:
    """Why a step of this model under this Trainer cannot be recorded; None where it can, as far as is known."""
    if not isinstance(model, Classifier) or not _is_known(type(model)):
        return f"{type(model).__name__} has a step of its own"
    parts = [*model.net.modules(), *([] if isinstance(model.loss, str) else [model.loss])]
    if foreign := [type(part).__name__ for part in parts if not _is_known(type(part))]:
        return f"{foreign[0]} may do something in Python"
    if model.call_net is not None:
        return "the net is compiled"
    if trainer.precision not in ("32-true", "bf16-mixed"):
        return f"trainer.precision={trainer.precision}"
    if trainer.world_size > 1:
        return "several processes"
    if trainer.accumulate_grad_batches != 1:
        return "gradients are accumulated"
    for callback in _callbacks(trainer):
        if isinstance(callback, CHANGE_THE_STEP) or not _is_known(type(callback), QUIET):
            return f"{type(callback).__name__} may change the net between steps"
    if trainer.overfit_batches:  # type: ignore[attr-defined]
        return "trainer.overfit_batches"
    if wanted := [hook for hook in INSIDE if _wanted(hook, trainer, model)]:
        return f"something has a hook {wanted[0]}"
    return None


def _hindrance_in(optimizer: Optimizer) -> str | None:
    if isinstance(optimizer, LBFGS) or not _is_known(type(optimizer)):
        return f"{type(optimizer).__name__} may compute several losses in a step"
    return "trainer.detect_anomaly" if torch.is_anomaly_enabled() else None


def _is_known(kind: type, packages: Sequence[str] = KNOWN) -> bool:
    return kind.__module__.partition(".")[0] in packages


def _callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    found: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return found


def _wanted(hook: str, trainer: pl.Trainer, model: pl.LightningModule) -> bool:
    own = getattr(type(model), hook) is not getattr(pl.LightningModule, hook)
    return own or any(getattr(type(each), hook) is not getattr(pl.Callback, hook) for each in _callbacks(trainer))
