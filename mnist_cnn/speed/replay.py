"""Lightning's loop with recorded steps."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.loops.optimization.automatic import _AutomaticOptimization
from torch import Tensor
from torch.optim import Optimizer

from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.data.images import Batch, ImageSet
from mnist_cnn.models.classifier import FINITE_EVERY, Classifier
from mnist_cnn.models.metrics import SplitMetrics
from mnist_cnn.speed.device_adam import DeviceAdam

WARM_UP = 3  # steps before recording, in which libraries set themselves up and cuDNN chooses its kernels


class ReplayedOptimization(_AutomaticOptimization):
    """Lightning's automatic optimization with recorded steps; a batch of another size is trained on as ever."""

    def __init__(self, trainer: pl.Trainer, model: Classifier, data: ImageDataModule) -> None:
        super().__init__(trainer)
        self.model, self.data = model, data
        self.figures = cast(SplitMetrics, model.metrics["train_"])
        self.steps: dict[tuple[Any, ...], RecordedStep] = {}
        self.adam: DeviceAdam | None = None

    def record(self, samples: Sequence[ImageSet], optimizer: Optimizer, whole: bool) -> None:
        """Records a step for each sample's size; weights, moving averages and the optimizer's state stay as they are.

        Args:
            whole: with the optimizer's own step.

        Raises:
            RuntimeError: something in it cannot be recorded.
        """
        device, state = self.model.device, self.model.state_dict()
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        before = {name: tensor.clone() for name, tensor in state.items()}
        moments = {w: {name: tensor.clone() for name, tensor in own.items()} for w, own in optimizer.state.items()}
        self.figures.add_up_on(device)
        try:
            if whole:
                self.adam = DeviceAdam(optimizer)
                self.adam.send()
            for sample in samples:
                batch = self.data.on_after_batch_transfer((sample.images.to(device), sample.targets.to(device)), 0)
                self.steps[_kind(batch)] = RecordedStep(self._compute, weights, batch)
        finally:
            optimizer.zero_grad()
            self.figures.clear()
            with torch.no_grad():
                for name, tensor in state.items():
                    tensor.copy_(before[name])
                for weight, own in optimizer.state.items() if whole else ():
                    for name, tensor in own.items():
                        tensor.copy_(moments[weight][name]) if weight in moments else tensor.zero_()
            if self.adam is not None:
                self.adam.count()

    def forget(self) -> None:
        """Gives the memory of the recorded steps back."""
        self.steps, self.adam = {}, None

    def run(self, optimizer: Optimizer, batch_idx: int, kwargs: OrderedDict[str, Any]) -> dict[str, Any]:
        batch = kwargs["batch"]
        step = self.steps.get(_kind(batch))
        if step is None:
            kwargs["batch"] = self.data.prepared(batch) if self.data.raw else batch
            return super().run(optimizer, batch_idx, kwargs)
        if self.adam is None:
            self._optimizer_step(batch_idx, lambda: step.replay(batch).hand_gradients())
        else:
            progress = self.optim_progress.optimizer.step
            progress.increment_ready()
            self.adam.send()
            step.replay(batch)
            progress.increment_completed()
        self.figures.images += len(batch[1])
        if batch_idx % FINITE_EVERY == 0:
            self.model.require_finite("training loss", step.loss)
        return {"loss": step.loss.clone()}

    def _compute(self, images: Tensor, labels: Tensor) -> Tensor:
        """What is recorded, of the batch as the loop gets it."""
        with torch.device(images.device):  # where augmentation then draws
            batch = self.data.prepared((images, labels)) if self.data.raw else (images, labels)
        with self.trainer.precision_plugin.train_step_context():
            loss = self.model.recorded_step(batch)
        loss.backward()
        if self.adam is not None:
            self.adam.step()
        return loss.detach()


class RecordedStep:
    """Args:
    compute: from a batch to its loss, with the gradients and all else that is to happen.
    weights: those that get gradients.
    batch: of the size that is to be recorded.
    """

    def __init__(self, compute: Callable[[Tensor, Tensor], Tensor], weights: Sequence[Tensor], batch: Batch) -> None:
        self.batch = batch[0].clone(), batch[1].clone()
        self.weights = weights

        def step() -> None:
            for weight in weights:  # so that gradients are made in memory of the graph's own
                weight.grad = None
            self.loss = compute(*self.batch)
            self.gradients = [weight.grad for weight in weights]

        self._replay = recorded(step)

    def replay(self, batch: Batch) -> "RecordedStep":
        """Computes on another batch of that size; `loss` is its loss until the next call."""
        for place, tensor in zip(self.batch, batch, strict=True):
            place.copy_(tensor)
        self._replay()
        return self

    def hand_gradients(self) -> Tensor:
        """Puts them where optimizers look for them, and returns the loss."""
        for weight, gradient in zip(self.weights, self.gradients, strict=True):
            weight.grad = gradient
        return self.loss


def _kind(batch: Batch) -> tuple[Any, ...]:
    """What a recorded step needs a batch to have: a random MixUp gives labels now as classes, now as probabilities."""
    images, labels = batch
    return images.shape, labels.shape, labels.dtype


def recorded(step: Callable[[], None]) -> Callable[[], None]:
    """The step as a CUDA graph: what a call of it launches on the device, and nothing else of it."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            step()
    except RuntimeError as error:
        # Random numbers stay in the state of being recorded, and could not be drawn any more.
        torch.cuda.default_generators[aside.device_index].graphsafe_set_state(
            torch.Generator(aside.device).graphsafe_get_state()
        )
        raise RuntimeError(*(error.__context__ or error).args) from error  # the first is what went wrong
    return graph.replay
