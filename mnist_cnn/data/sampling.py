"""In which order the images of a split come, and to which process."""

import math
import multiprocessing
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler, Sampler


class ShardSampler(Sampler[int]):
    """Every image once, in order, dealt out among the processes; unlike DistributedSampler it never pads."""

    def __init__(self, size: int, rank: int, processes: int) -> None:
        self.indices = range(rank, size, processes)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


class BalancedSampler(Sampler[int]):
    """As many images an epoch as there are, from every class the same number, in a new order each epoch.

    A class that is too small is gone through several times; one that is too large is cut, elsewhere each epoch. The
    epoch follows from (seed, epoch) alone, so a resumed run draws what the uninterrupted one drew.

    Args:
        labels: (N,) int64.
    """

    def __init__(self, labels: Tensor, seed: int, rank: int, processes: int) -> None:
        self.members = [(labels == label).nonzero().flatten() for label in labels.unique().tolist()]
        self.seed, self.rank, self.processes, self.epoch = seed, rank, processes, 0
        self.each = math.ceil(len(labels) / processes)  # as many in every process

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        total, classes = self.each * self.processes, len(self.members)
        extra = set(torch.randperm(classes, generator=generator)[: total % classes].tolist())
        drawn = [_draw(of_class, total // classes + (i in extra), generator) for i, of_class in enumerate(self.members)]
        order = torch.cat(drawn)[torch.randperm(total, generator=generator)]
        return iter(order[self.rank :: self.processes].tolist())

    def __len__(self) -> int:
        return self.each


class EpochSeeded(Sampler[int]):
    """Somebody's sampler, whose draws from PyTorch's global numbers follow from (seed, epoch) and leave these alone.

    Args:
        generator: of the loader, which seeds its workers: by (seed, epoch) too.
    """

    def __init__(self, sampler: Any, seed: int, generator: torch.Generator, epoch: int) -> None:
        self.sampler, self.seed, self.generator = sampler, seed, generator
        self.set_epoch(epoch)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.generator.manual_seed(self._mixed())
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._mixed())
            order = list(self.sampler)
        return iter(order)

    def _mixed(self) -> int:
        return int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0])

    def __len__(self) -> int:
        return len(self.sampler)


def training_sampler(
    images: Dataset[tuple[Tensor, Tensor]],
    labels: Tensor,
    balanced: bool,
    seed: int,
    rank: int,
    processes: int,
    epoch: int,
) -> Sampler[int]:
    """A new order each epoch, seeded by `seed` and the epoch, of which this one is the first."""
    # A hashed seed: consecutive seeds must not share permutations (the samplers add the epoch to their seed).
    mixed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    sampler: Any
    if balanced:
        sampler = BalancedSampler(labels, mixed, rank, processes)
    else:
        sampler = DistributedSampler(
            images, num_replicas=processes, rank=rank, shuffle=True, seed=mixed, drop_last=False
        )
    sampler.set_epoch(epoch)
    return sampler


def end_with_parent(worker: int) -> None:
    """Ends a loader's worker when the training does, however that ends: it has inherited the lock on the run."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _draw(indices: Tensor, count: int, generator: torch.Generator) -> Tensor:
    rounds = [indices[torch.randperm(len(indices), generator=generator)] for _ in range(-(-count // len(indices)))]
    return torch.cat(rounds or [indices[:0]])[:count]
