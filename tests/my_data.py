"""Data modules as a user would write them, in a file of their own."""

import itertools

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset


class Digits(pl.LightningDataModule):
    def __init__(self, count: int, shape: tuple[int, ...] = (1, 28, 28), kind: str = "float32", most: int = 9):
        super().__init__()
        self.count, self.shape, self.kind, self.most = count, shape, kind, most

    def setup(self, stage):
        generator = torch.Generator().manual_seed(0)
        images = (torch.rand(self.count, *self.shape, generator=generator) * 255).to(getattr(torch, self.kind))
        self.images = TensorDataset(images, torch.arange(self.count) % (self.most + 1))

    def train_dataloader(self):
        return DataLoader(self.images, batch_size=8, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.images, batch_size=8)


class MislabelledLater(Digits):
    class_names = ("left", "right")

    def __init__(self, count: int, bad: int, in_validation: bool = False):
        super().__init__(count, most=1)
        self.bad, self.in_validation = bad, in_validation

    def train_dataloader(self):
        return self._loader(not self.in_validation)

    def val_dataloader(self):
        return self._loader(self.in_validation)

    def _loader(self, bad):
        images, labels = self.images.tensors
        labels = labels.clone()
        labels[self.bad] = 5 if bad else 0
        return DataLoader(TensorDataset(images, labels), batch_size=8)


class WithoutArguments(pl.LightningDataModule):
    def train_dataloader(self):
        return []


class ValidatesOnImagesAlone(Digits):
    def val_dataloader(self):
        return DataLoader(TensorDataset(self.images.tensors[0]), batch_size=8)


class WithTest(Digits):
    def test_dataloader(self):
        return DataLoader(self.images, batch_size=8)


class TestsNothing(Digits):
    def test_dataloader(self):
        return []


class Stream(Digits):
    """Has no length and no sampler that ends."""

    def train_dataloader(self):
        images = self.images

        class Endless(IterableDataset):
            def __iter__(self):
                return iter(images)

        return DataLoader(Endless(), batch_size=8)


class Inverts(WithTest):
    """Each image as it is, turned to dark on light by a hook; which asks its trainer, as many do."""

    def on_before_batch_transfer(self, batch, dataloader_idx):
        images, labels = batch
        return (255 - images if self.trainer.world_size == 1 else images), labels


class TestsOnImagesAlone(Digits):
    def test_dataloader(self):
        return DataLoader(TensorDataset(self.images.tensors[0]), batch_size=8)


class TestsNoLoader(Digits):
    def test_dataloader(self):
        return None


class TestsInTwoParts(Digits):
    def test_dataloader(self):
        return [self.val_dataloader(), self.val_dataloader()]


class EndlessAlone(Digits):
    """No validation, and training images without an end."""

    val_dataloader = pl.LightningDataModule.val_dataloader

    def train_dataloader(self):
        images = self.images

        class Endless(IterableDataset):
            def __iter__(self):
                return itertools.cycle(images)

        return DataLoader(Endless(), batch_size=64)


class Breaks(WithTest):
    def test_dataloader(self):
        raise ValueError("no disk in drive A")
