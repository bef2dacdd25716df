"""Which of the training images train and which validate, each by a seed of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mnist_cnn.errors import DataError


def holdout(count: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices that train, and `size` that validate; whatever their class."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[size:], order[:size]


def stratified(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the rest, and of this share of every class, both in the order of the data.

    Of a class of two or more, at least one on either side.
    """
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for members in _members(labels, seed):
        count = min(max(1, round(share * len(members))), len(members) - 1)
        chosen[members[:count]] = True
    return (~chosen).nonzero().flatten(), chosen.nonzero().flatten()


def fold(labels: Tensor, number: int, folds: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices that train, and those of fold `number`: every class is dealt out among the folds like cards.

    Raises:
        DataError: fewer images than folds.
    """
    if len(labels) < folds:
        raise DataError(f"data.folds = {folds}: there are only {len(labels)} training images")
    dealt = torch.cat(_members(labels, seed))  # class after class: no fold gets two images more than another
    of_fold = torch.empty_like(dealt)
    of_fold[dealt] = torch.arange(len(labels)) % folds
    return (of_fold != number).nonzero().flatten(), (of_fold == number).nonzero().flatten()


def kept(labels: Tensor, fraction: float, imbalance: float | Sequence[float] | None, seed: int) -> Tensor:
    """Indices of the training images that stay, in their order: a share of each class.

    A smaller share of the same seed is part of a larger one; at least one image of each class stays.

    Args:
        imbalance: a share of each class, or how many times rarer the last class is than the first: the classes between
            thin out geometrically (Cui et al., 2019).

    Raises:
        DataError: a list of another length than there are classes.
    """
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    classes = _members(labels, seed)
    if isinstance(imbalance, Sequence) and len(imbalance) != len(classes):
        raise DataError(f"data.imbalance: {len(imbalance)} shares for {len(classes)} classes")
    for i, members in enumerate(classes):
        if isinstance(imbalance, Sequence):
            share = imbalance[i]
        else:
            share = (imbalance or 1.0) ** (-i / max(1, len(classes) - 1))
        chosen[members[: max(1, round(fraction * share * len(members)))]] = True
    return chosen.nonzero().flatten()


def _members(labels: Tensor, seed: int) -> list[Tensor]:
    """Indices of each class that occurs, in a random order."""
    generator = torch.Generator().manual_seed(seed)
    found = [(labels == label).nonzero().flatten() for label in labels.unique().tolist()]
    return [members[torch.randperm(len(members), generator=generator)] for members in found]
