"""Folds, shares and balanced epochs: which training images train, validate, and how often they are seen."""

import pytest
import torch

from mnist_cnn.data import splits
from mnist_cnn.data.sampling import BalancedSampler
from mnist_cnn.errors import DataError

LABELS = torch.tensor([0] * 50 + [1] * 33 + [2] * 7)[torch.randperm(90, generator=torch.Generator().manual_seed(0))]


def counts(indices):
    return torch.bincount(LABELS[indices], minlength=3).tolist()


def test_every_image_validates_in_exactly_one_fold_and_every_fold_has_its_share_of_each_class():
    parts = [splits.fold(LABELS, number, 4, seed=1) for number in range(4)]
    assert sorted(i for _, held_out in parts for i in held_out.tolist()) == list(range(90))
    for rest, held_out in parts:
        assert not set(rest.tolist()) & set(held_out.tolist())
        assert len(rest) + len(held_out) == 90
        assert len(held_out) in (22, 23)
        assert all(abs(found - whole / 4) < 1 for found, whole in zip(counts(held_out), (50, 33, 7), strict=True))
    assert not torch.equal(splits.fold(LABELS, 0, 4, seed=2)[1], parts[0][1])
    with pytest.raises(DataError, match=r"data\.folds = 100: there are only 90"):
        splits.fold(LABELS, 0, 100, seed=1)


def test_a_share_is_taken_of_each_class_and_a_smaller_one_is_part_of_a_larger():
    half, fifth = (splits.kept(LABELS, fraction, None, seed=1) for fraction in (0.5, 0.2))
    assert counts(half) == [25, 16, 4]
    assert counts(fifth) == [10, 7, 1]
    assert set(fifth.tolist()) < set(half.tolist())
    assert half.tolist() == sorted(half.tolist())
    assert counts(splits.kept(LABELS, 0.001, None, seed=1)) == [1, 1, 1]  # no class vanishes
    rest, held_out = splits.stratified(LABELS, 0.2, seed=1)
    assert counts(held_out) == [10, 7, 1]
    assert sorted([*rest.tolist(), *held_out.tolist()]) == list(range(90))


def test_imbalance_thins_classes_out():
    assert counts(splits.kept(LABELS, 1.0, 25, seed=1)) == [50, 7, 1]  # 1, 1/5 and 1/25: 33 / 5 and 7 / 25
    assert counts(splits.kept(LABELS, 1.0, [0.5, 1.0, 1.0], seed=1)) == [25, 33, 7]
    with pytest.raises(DataError, match="2 shares for 3 classes"):
        splits.kept(LABELS, 1.0, [0.5, 1.0], seed=1)


def test_a_balanced_epoch_has_every_class_equally_often_and_follows_from_seed_and_epoch():
    sampler = BalancedSampler(LABELS, seed=5, rank=0, processes=1)
    sampler.set_epoch(3)
    order = list(sampler)
    assert counts(torch.tensor(order)) == [30, 30, 30]
    assert len(set(order)) == 30 + 30 + 7  # nothing twice before all of a class were there
    again = BalancedSampler(LABELS, seed=5, rank=0, processes=1)
    again.set_epoch(3)
    assert list(again) == order
    again.set_epoch(4)
    assert list(again) != order


def test_processes_share_a_balanced_epoch():
    shards = []
    for rank in range(4):
        sampler = BalancedSampler(LABELS, seed=5, rank=rank, processes=4)
        shards.append(list(sampler))
        assert len(shards[-1]) == len(sampler) == 23
    together = torch.tensor([i for shard in shards for i in shard])
    assert max(counts(together)) - min(counts(together)) <= 1
