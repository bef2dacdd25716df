"""What every variant shares: the step, the loss, the metrics, the optimiser, the guard against a broken loss."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from mnist_cnn.data.photo import Preparation
from mnist_cnn.errors import Diverged, LayerError
from mnist_cnn.models.answers import Reading, as_prepared, read_prepared
from mnist_cnn.models.layers import CLASSES, LayerRow, build_sequential, rows_of
from mnist_cnn.models.metrics import SplitMetrics, columns
from mnist_cnn.models.reading import Images, Scale, as_input
from mnist_cnn.optim import Schedule
from mnist_cnn.values import Count, NotNegative, Positive, PositiveShare, Share

Loss = Callable[[Tensor, Tensor], Tensor]  # of logits (N, classes) and labels (N,)
PREDICTED_AT_ONCE = 1000
FINITE_EVERY = 100  # steps between two looks at the loss: a look waits for the device


class Classifier(pl.LightningModule):
    """Base of the variants, which turn their own arguments into a layer list and pass it to `set_layers`.

    A subclass may as well assign any module from (N, 1, 28, 28) to logits (N, classes) to `net`.

    Metrics are logged once per epoch as `train/loss`, `train/acc` (running means in training mode, as Keras prints
    them), `val/...` and `test/...`; those of `watch` for validation and test.

    Args:
        activation: follows every convolution and dense layer but the last.
        init: `pytorch` (its layers' own) or `glorot_uniform` with zero biases (Keras).
        bn_momentum: weight of the newest batch in the moving averages (Keras' momentum is one minus this).
        bn_debias: leave the start out of the moving averages, as Keras 2.1.3 to 2.2 (see `models.batch_norm`).
        loss: `cross_entropy`, or `mse`: mean over classes and images of (softmax - one-hot) squared, as Keras; or any
            function of logits and labels.
        label_smoothing: for cross-entropy, while training.
        class_weights: for cross-entropy, while training: a weight per class.
        num_classes: None for those of the data; 10 without data.
        optimizer: makes the optimiser from the named parameters.
        scheduler: makes the schedule from the optimiser; None for a constant rate.
    """

    net: torch.nn.Module
    class_weights: Tensor | None

    def __init__(
        self,
        activation: str = "relu",
        init: Literal["pytorch", "glorot_uniform"] = "pytorch",
        bn_momentum: PositiveShare = 0.1,
        bn_eps: Positive = 1e-5,
        bn_debias: bool = False,
        loss: Literal["cross_entropy", "mse"] | Loss = "cross_entropy",
        label_smoothing: Share = 0.0,
        class_weights: Sequence[NotNegative] | None = None,
        num_classes: Count | None = None,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        scheduler: Schedule | None = None,
    ) -> None:
        super().__init__()
        # A checkpoint holds plain values alone; what it takes to build the net again is written by `SelfContained`.
        objects = ["net"] if isinstance(loss, str) else ["net", "loss"]
        self.save_hyperparameters(ignore=["optimizer", "scheduler", *objects])
        self.optimizer, self.scheduler = optimizer, scheduler
        self.loss, self.label_smoothing = loss, label_smoothing
        self.num_classes = num_classes or CLASSES
        if class_weights is not None and len(class_weights) != self.num_classes:
            raise LayerError(f"class_weights: {len(class_weights)} weights for {self.num_classes} classes")
        weights = torch.tensor(class_weights, dtype=torch.float32) if class_weights is not None else None
        self.register_buffer("class_weights", weights, persistent=False)
        self.scale: Scale | None = None  # of the images it was trained on, once there are such
        self.class_names: list[str] | None = None  # of what they show
        self.layer_options: dict[str, Any] = {
            "activation": activation,
            "init": init,
            "bn_momentum": bn_momentum,
            "bn_eps": bn_eps,
            "bn_debias": bn_debias,
        }
        self.call_net: Callable[[torch.nn.Module, Tensor], Tensor] | None = None  # a faster way than `net(images)`
        self.confusion = MulticlassConfusionMatrix(self.num_classes)
        self.predictions: list[Tensor] = []  # (N, 3) per batch: label, predicted class, its probability
        splits = ("train", "val", "test")
        self.metrics = torch.nn.ModuleDict({f"{split}_": SplitMetrics(self.num_classes) for split in splits})
        self.watched = torch.nn.ModuleDict({f"{split}_": torch.nn.ModuleDict() for split in splits})

    def set_layers(self, layers: Sequence[Any]) -> None:
        self.net, self._rows = build_sequential(layers, **self.layer_options, classes=self.num_classes)

    def watch(self, metrics: Mapping[str, Metric]) -> None:
        """Measures more, of validation and test: `val/<name>`, or `val/<name>_<i>` for each number of a vector.

        Args:
            metrics: of torchmetrics, or the like: updated with probabilities (N, classes) and labels (N,).
        """
        for split in ("val", "test"):
            self.watched[f"{split}_"] = torch.nn.ModuleDict({name: metrics[name].clone() for name in metrics})

    @property
    def layer_rows(self) -> list[LayerRow]:
        """The printed summary: the layer list, or the children of a net that is none."""
        return getattr(self, "_rows", None) or rows_of(self.net)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 1, 28, 28) in [0, 1] to logits (N, classes)."""
        return self.net(images) if self.call_net is None else self.call_net(self.net, images)

    def predict(self, images: Images) -> Any:
        """Classes of images as people have them, as int64 of the kind that was given.

        Args:
            images: (N, 28, 28) or (N, 1, 28, 28), white on black as in MNIST, of NumPy or PyTorch; uint8 from 0 to 255,
                floats or uint8 from 0 to 1, or truth values.

        Raises:
            InputError: another shape or range.
        """
        batch = as_input(images, self.scale or Scale())
        self.eval()
        with torch.inference_mode():
            parts = [self(part.to(self.device)).argmax(1).cpu() for part in batch.split(PREDICTED_AT_ONCE)]
        classes = torch.cat(parts) if parts else torch.empty(0, dtype=torch.long)
        return classes if isinstance(images, Tensor) else classes.numpy()

    def read(self, picture: Any, prepare: Preparation | None = None) -> Reading:
        """What a picture from outside shows.

        Args:
            picture: the name of a file, an array (H, W), (H, W, 3) or (H, W, 4) of uint8, or a picture of Pillow's.
            prepare: `mnist` makes a digit as MNIST's were, `resize` scales the whole picture; None for what makes it
                like the images that the net was trained on.

        Raises:
            DataError: a file that cannot be read; InputError: something else.
        """
        self.eval()
        scale = self.scale or Scale()
        return read_prepared(self, scale, [as_prepared(picture, prepare or scale.preparation)], self.class_names)[0]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss, _ = self._step(batch, "train")
        del self._metrics("train").batches[batch_idx + 1 :]  # optimizers may ask twice (LBFGS): the first answer counts
        if batch_idx % FINITE_EVERY == 0:
            self.require_finite("training loss", loss.detach())
        return loss

    def recorded_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """As `training_step`, for a CUDA graph: it waits for nothing, and figures are added up on the device."""
        images, labels = batch
        logits = self(images)
        loss = self.loss_of(logits, labels, "train")
        self._metrics("train").add(loss.detach(), logits.detach().argmax(1), _true(labels))
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
        if metrics.empty:
            return {}
        loss, accuracy = metrics.compute()
        return {f"{split}/loss": loss, f"{split}/acc": accuracy}

    def configure_optimizers(self) -> Any:
        if self.optimizer is None:
            raise RuntimeError("this module was built without an optimizer: it can predict and test, not train")
        optimizer = self.optimizer(self.named_parameters())
        if self.scheduler is None:
            return optimizer
        schedule = self.scheduler.build(optimizer, self.scheduler.length(self.trainer))
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _step(self, batch: tuple[Tensor, Tensor], split: str) -> tuple[Tensor, Tensor]:
        """Loss and logits of a batch, counted in the metrics of its split."""
        images, labels = batch
        logits = self(images)
        loss = self.loss_of(logits, labels, split)
        self._metrics(split).batches.append((loss.detach(), logits.detach().argmax(1), _true(labels)))
        if watched := self._watched(split):
            probabilities = logits.float().softmax(1)
            for metric in watched.values():
                metric.update(probabilities, labels)
        return loss, logits

    def _metrics(self, split: str) -> SplitMetrics:
        metrics = self.metrics[f"{split}_"]  # with a `_`: `train` is a method of nn.Module
        assert isinstance(metrics, SplitMetrics)
        return metrics

    def _watched(self, split: str) -> Mapping[str, Metric]:
        found: Any = self.watched[f"{split}_"]
        return found

    def loss_of(self, logits: Tensor, labels: Tensor, split: str) -> Tensor:
        """Of a batch; label smoothing and weights of the classes count while training alone."""
        if not isinstance(self.loss, str):
            return self.loss(logits, labels)
        if self.loss == "mse":
            wanted = F.one_hot(labels, self.num_classes) if labels.ndim == 1 else labels
            return F.mse_loss(logits.float().softmax(1), wanted.float())
        if split == "train":
            return F.cross_entropy(logits, labels, self.class_weights, label_smoothing=self.label_smoothing)
        return F.cross_entropy(logits, labels)

    def _finish_epoch(self, split: str) -> None:
        figures = self.running(split)
        if not figures:  # Lightning ends an epoch once more when it resumes after it
            return
        self.require_finite(f"{split} loss", figures[f"{split}/loss"])
        self.log_dict(figures)
        self._metrics(split).clear()
        for name, metric in self._watched(split).items():
            values = columns(f"{split}/{name}", metric.compute())
            self.log_dict(values, prog_bar=len(values) == 1)
            metric.reset()

    def require_finite(self, what: str, loss: Tensor | float) -> None:
        value = float(loss)
        if not math.isfinite(value):
            advice = "try a lower optimizer.lr or trainer.gradient_clip_val=1"
            if self.global_step == 0:
                advice = "no weight has changed yet, so it is the loss, the net or the images"
            where = f"epoch {self.current_epoch + 1}, step {self.global_step}"
            raise Diverged(f"diverged: {what} is {value} in {where}; {advice}")


def _true(labels: Tensor) -> Tensor:
    """The class (N,); MixUp and CutMix give probabilities (N, classes)."""
    return labels if labels.ndim == 1 else labels.argmax(1)


def _predictions(logits: Tensor, labels: Tensor) -> Tensor:
    probability, predicted = logits.float().softmax(1).max(1)
    return torch.stack([labels.float(), predicted.float(), probability], 1)
