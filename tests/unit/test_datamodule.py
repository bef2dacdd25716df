"""Splits, batches and what may be read when."""

import pytest
import torch
from conftest import NAMES, idx, write_images

from mnist_cnn.data.datamodule import MNISTDataModule
from mnist_cnn.data.sampling import ShardSampler
from mnist_cnn.errors import DataError


def module(root, **changes):
    settings = {
        "dataset": "custom", "root": str(root), "md5": None, "batch_size": 32, "eval_batch_size": 50,
        "validate_on": "holdout", "validation_size": 80, "split_seed": 0, "seed": 1, "num_workers": 0,
        "fold": None, "folds": 5, "fraction": 1.0, "imbalance": None, "balanced": False, "prepare": "resize",
        "class_names": None,
        "pin_memory": False, "limit_train": None, "limit_val": None, "limit_test": None, "divide_by": 255.0,
    }  # fmt: skip
    return MNISTDataModule(**(settings | changes))


def fitted(root, **changes):
    data = module(root, **changes)
    data.prepare_data()
    data.setup("fit")
    return data


def rows(images):
    return {tuple(row.flatten().tolist()) for row in images.images}


def test_holdout_splits_the_training_images_without_overlap(tiny):
    data = fitted(tiny)
    train, val = data.splits["train"], data.splits["val"]
    assert (len(train), len(val)) == (240, 80)
    assert not rows(train) & rows(val)
    assert data.protocol()["test_images_watched"] is False


def test_the_split_depends_on_its_own_seed_alone(tiny):
    first, other_run, other_split = fitted(tiny), fitted(tiny, seed=9), fitted(tiny, split_seed=1)
    assert torch.equal(first.splits["val"].images, other_run.splits["val"].images)
    assert not torch.equal(first.splits["val"].images, other_split.splits["val"].images)


def test_training_never_opens_the_test_images_under_holdout(tiny, tmp_path):
    write_images(tmp_path / "custom" / "raw")
    for name in NAMES[2:]:
        (tmp_path / "custom" / "raw" / name).write_bytes(b"not readable as images")
    data = fitted(tmp_path)
    assert "test" not in data.splits
    with pytest.raises(DataError, match="t10k-images"):
        data.setup("test")


def test_validate_on_test_watches_the_test_images_and_says_so(tiny):
    data = fitted(tiny, validate_on="test")
    data.setup("test")
    assert len(data.splits["train"]) == 320
    assert rows(data.splits["val"]) == rows(data.splits["test"])
    assert data.protocol()["test_images_watched"] is True


def test_an_epoch_has_every_image_once_in_an_order_of_its_own(tiny):
    loader = fitted(tiny).train_dataloader()
    orders = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        batches = list(loader)
        assert [len(labels) for _, labels in batches] == [32] * 7 + [16]
        assert batches[0][0].dtype == torch.uint8
        orders.append(list(loader.sampler))
        assert sorted(orders[-1]) == list(range(240))
    assert orders[0] != orders[1]


def test_workers_hand_out_the_same_batches(tiny):
    alone, helped = (fitted(tiny, num_workers=n).train_dataloader() for n in (0, 2))
    for (images, labels), (images2, labels2) in zip(alone, helped, strict=True):
        assert torch.equal(images, images2)
        assert torch.equal(labels, labels2)


def test_consecutive_seeds_share_no_epoch_order(tiny):
    orders = set()
    for seed in range(3):
        sampler = fitted(tiny, seed=seed).train_dataloader().sampler
        for epoch in range(3):
            sampler.set_epoch(epoch)
            orders.add(tuple(sampler))
    assert len(orders) == 9


def test_limits_cut_each_split(tiny):
    data = fitted(tiny, limit_train=50, limit_val=20, limit_test=10)
    data.setup("test")
    assert [len(data.splits[s]) for s in ("train", "val", "test")] == [50, 20, 10]


def test_shards_count_every_image_exactly_once():
    for processes in (1, 2, 3):
        shards = [list(ShardSampler(10, rank, processes)) for rank in range(processes)]
        assert sorted(i for shard in shards for i in shard) == list(range(10))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (NAMES[0], b"\0\0\10\3", "cut short: 4 bytes"),
        (NAMES[0], idx(torch.zeros(320, 784).numpy()), "2 dimensions; needed: 3"),
        (NAMES[0], idx(torch.zeros(320, 2, 28).numpy()), "28 x 2 pixels"),
        (NAMES[1], idx(torch.zeros(319).numpy()), "319 labels"),
        (NAMES[1], idx(torch.full((320,), 11).numpy()), "label 11"),
    ],
)
def test_files_that_are_not_such_images_are_named(tmp_path, name, content, said):
    write_images(tmp_path / "custom" / "raw")
    (tmp_path / "custom" / "raw" / name).write_bytes(content)
    with pytest.raises(DataError, match=said) as error:
        fitted(tmp_path)
    assert name in str(error.value)


def test_a_missing_file_of_a_custom_set_is_named(tmp_path):
    with pytest.raises(DataError, match="t10k-labels"):
        fitted(tmp_path)


def test_a_holdout_larger_than_the_set_is_refused(tiny):
    with pytest.raises(DataError, match="only 320"):
        fitted(tiny, validation_size=320)
