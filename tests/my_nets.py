"""Nets, a loss, a metric and a LightningModule as a user would write them, in a file of their own."""

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Res(nn.Module):
    def __init__(self, width: int, num_classes: int = 10, lazy: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1, stride=2)
        self.norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.LazyLinear(num_classes) if lazy else nn.Linear(width * 49, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).relu()
        x = F.max_pool2d(x + self.second(x), 2)
        return self.head(self.dropout(x).flatten(1))


class TwoOutputs(Res):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x), x


class BreaksInTraining(Res):
    steps = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            type(self).steps += 1
            if type(self).steps > 10:
                raise ValueError("my own mistake")
        return super().forward(x)


class Colour(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3, stride=3)
        self.head = nn.Linear(2 * 81, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(x).flatten(1))


def make(width: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 10))


def by_name(name: str, **options: Any) -> nn.Module:
    net: nn.Module = globals()[name](**options)
    return net


def nine() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 9))


def unsaid(width: int):  # it does not say what it returns
    return make(width)


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    losses = F.cross_entropy(logits, labels, reduction="none")
    return ((1 - (-losses).exp()) ** gamma * losses).mean()


def each_its_own(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none")


class Lit(pl.LightningModule):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = make(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        logits = self(batch[0])
        self.log("val/loss", F.cross_entropy(logits, batch[1]))
        self.log("val/top1", (logits.argmax(1) == batch[1]).float().mean(), prog_bar=True)

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self.log("test/top1", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Untested(Lit):
    test_step = pl.LightningModule.test_step


class Blind(Lit):
    validation_step = pl.LightningModule.validation_step


class Clumsy(pl.Callback):
    """Fails in the first step."""

    def on_train_batch_start(self, *given: object) -> None:
        raise RuntimeError("at once")


class TwoOptimizers(Lit):
    """Steps by itself, as a pair of nets that compete does."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.automatic_optimization = False

    def training_step(self, batch: Any, index: int) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(super().training_step(batch, index))
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), lr=0.1), torch.optim.SGD(self.parameters(), lr=0.01)], []


class Untrained(Lit):
    def configure_optimizers(self) -> None:
        return None
