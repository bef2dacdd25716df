"""What every variant shares: the step, the loss, the metrics, the optimiser, the guard against a broken loss."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from mnist_cnn.errors import Diverged
from mnist_cnn.models.layers import CLASSES, LayerRow, build_sequential, rows_of
from mnist_cnn.models.reading import Images, Scale, as_input
from mnist_cnn.optim import Schedule
from mnist_cnn.values import Positive, PositiveShare, Share

PREDICTED_AT_ONCE = 1000
FINITE_EVERY = 100  # steps between two looks at the loss: a look waits for the device


class Classifier(pl.LightningModule):
    """Base of the variants, which turn their own arguments into a layer list and pass it to `set_layers`.

    A subclass may as well assign any module from (N, 1, 28, 28) to logits (N, 10) to `net`.

    Metrics are logged once per epoch as `train/loss`, `train/acc` (running means in training mode, as Keras prints
    them), `val/...` and `test/...`.

    Args:
        activation: follows every convolution and dense layer but the last.
        init: `pytorch` (its layers' own) or `glorot_uniform` with zero biases (Keras).
        bn_momentum: weight of the newest batch in the moving averages (Keras' momentum is one minus this).
        bn_debias: leave the start out of the moving averages, as Keras 2.1.3 to 2.2 (see `models.batch_norm`).
        loss: `cross_entropy`, or `mse`: mean over classes and images of (softmax - one-hot) squared, as Keras.
        label_smoothing: for cross-entropy.
        optimizer: makes the optimiser from the parameters.
        scheduler: makes the schedule from the optimiser (and `total_steps`, if it has such an argument);
            None for a constant rate.
    """

    def __init__(
        self,
        activation: str = "relu",
        init: Literal["pytorch", "glorot_uniform"] = "pytorch",
        bn_momentum: PositiveShare = 0.1,
        bn_eps: Positive = 1e-5,
        bn_debias: bool = False,
        loss: Literal["cross_entropy", "mse"] = "cross_entropy",
        label_smoothing: Share = 0.0,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        scheduler: Schedule | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["optimizer", "scheduler"])
        self.optimizer, self.scheduler = optimizer, scheduler
        self.loss, self.label_smoothing = loss, label_smoothing
        self.scale: Scale | None = None  # of the images it was trained on; `load` fills it in
        self.layer_options: dict[str, Any] = {
            "activation": activation,
            "init": init,
            "bn_momentum": bn_momentum,
            "bn_eps": bn_eps,
            "bn_debias": bn_debias,
        }
        self.compiled: Callable[[torch.nn.Module, Tensor], Tensor] | None = None  # calls the net; while training only
        self.compiled_batch = 0
        self.confusion = MulticlassConfusionMatrix(CLASSES)
        self.predictions: list[Tensor] = []  # (N, 3) per batch: label, predicted class, its probability
        self.metrics = torch.nn.ModuleDict({f"{split}_": SplitMetrics() for split in ("train", "val", "test")})

    def set_layers(self, layers: Sequence[Any]) -> None:
        self.net, self._rows = build_sequential(layers, **self.layer_options)

    @property
    def layer_rows(self) -> list[LayerRow]:
        """The printed summary: the layer list, or the children of a net that is none."""
        return getattr(self, "_rows", None) or rows_of(self.net)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 1, 28, 28) in [0, 1] to logits (N, 10)."""
        if self.compiled is None or not self.training:
            return self.net(images)
        self.compiled_batch = self.compiled_batch or len(images)
        if len(images) != self.compiled_batch:  # the last, short one: not worth compiling for
            return self.net(images)
        return self.compiled(self.net, images)

    def predict(self, images: Images) -> Any:
        """Classes of images as people have them, as int64 of the kind that was given.

        Args:
            images: (N, 28, 28) or (N, 1, 28, 28), white on black as in MNIST, of NumPy or PyTorch; uint8 from 0 to 255,
                or floats from 0 to 1.

        Raises:
            InputError: another shape or range.
        """
        batch = as_input(images, self.scale or Scale())
        self.eval()
        with torch.inference_mode():
            parts = [self(part.to(self.device)).argmax(1).cpu() for part in batch.split(PREDICTED_AT_ONCE)]
        classes = torch.cat(parts) if parts else torch.empty(0, dtype=torch.long)
        return classes if isinstance(images, Tensor) else classes.numpy()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss, _ = self._step(batch, "train")
        if batch_idx % FINITE_EVERY == 0:
            self._require_finite("training loss", loss.detach())
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._step(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        _, logits = self._step(batch, "test")
        rows = _predictions(logits, batch[1])
        self.confusion.update(rows[:, 1].long(), batch[1])
        self.predictions.append(rows.cpu())

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """(N, 3): label, predicted class, its probability."""
        return _predictions(self(batch[0]), batch[1]).cpu()

    def on_test_epoch_start(self) -> None:
        self.predictions = []
        self.confusion.reset()

    def on_train_epoch_end(self) -> None:
        self._finish_epoch("train")

    def on_validation_epoch_end(self) -> None:
        self._finish_epoch("val")

    def on_test_epoch_end(self) -> None:
        self._finish_epoch("test")

    def running(self, split: str) -> dict[str, float]:
        """Figures of the epoch so far; empty before its first step."""
        metrics = self._metrics(split)
        if not metrics.batches:
            return {}
        loss, accuracy = metrics.compute()
        return {f"{split}/loss": loss, f"{split}/acc": accuracy}

    def configure_optimizers(self) -> Any:
        if self.optimizer is None:
            raise RuntimeError("this module was built without an optimizer: it can predict and test, not train")
        optimizer = self.optimizer(self.parameters())
        if self.scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": self.scheduler.build(optimizer, int(self.trainer.estimated_stepping_batches)),
        }

    def _step(self, batch: tuple[Tensor, Tensor], split: str) -> tuple[Tensor, Tensor]:
        """Loss and logits of a batch, counted in the metrics of its split."""
        images, labels = batch
        logits = self(images)
        loss = self._loss(logits, labels, self.label_smoothing if split == "train" else 0.0)
        self._metrics(split).batches.append((loss.detach(), logits.detach().argmax(1), labels))
        return loss, logits

    def _metrics(self, split: str) -> "SplitMetrics":
        metrics = self.metrics[f"{split}_"]  # with a `_`: `train` is a method of nn.Module
        assert isinstance(metrics, SplitMetrics)
        return metrics

    def _loss(self, logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
        if self.loss == "mse":
            return F.mse_loss(logits.float().softmax(1), F.one_hot(labels, CLASSES).float())
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)

    def _finish_epoch(self, split: str) -> None:
        figures = self.running(split)
        if not figures:  # Lightning ends an epoch once more when it resumes after it
            return
        self._require_finite(f"{split} loss", figures[f"{split}/loss"])
        self.log_dict(figures)
        self._metrics(split).batches.clear()

    def _require_finite(self, what: str, loss: Tensor | float) -> None:
        value = float(loss)
        if not math.isfinite(value):
            raise Diverged(
                f"diverged: {what} is {value} in epoch {self.current_epoch + 1}, step {self.global_step}; "
                "try a lower optimizer.lr or trainer.gradient_clip_val=1"
            )


def _predictions(logits: Tensor, labels: Tensor) -> Tensor:
    probability, predicted = logits.float().softmax(1).max(1)
    return torch.stack([labels.float(), predicted.float(), probability], 1)


class SplitMetrics(torch.nn.Module):
    """Mean loss and accuracy of one split; a NaN loss stays a NaN.

    A step only puts its results into `batches`: updating the metrics there costs as much as a small layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[Tensor, Tensor, Tensor]] = []  # loss (), predicted classes (N,), labels (N,)
        self.loss = MeanMetric(nan_strategy="disable")
        self.accuracy = MulticlassAccuracy(CLASSES, average="micro", validate_args=False)

    def compute(self) -> tuple[float, float]:
        """Over all images in `batches`, those of the other processes included."""
        losses, predicted, labels = zip(*self.batches, strict=True)
        self.loss.reset()
        self.accuracy.reset()
        sizes = torch.tensor([len(of_batch) for of_batch in labels], device=losses[0].device)
        self.loss.update(torch.stack(losses).repeat_interleave(sizes))  # once per image: `disable` ignores weights
        self.accuracy.update(torch.cat(predicted), torch.cat(labels))
        return float(self.loss.compute()), float(self.accuracy.compute())
