"""Folders of pictures, tables and arrays: what is read from them, and what is refused in one line."""

import functools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from own_data import bars, table, write_all, write_folders
from PIL import Image

import mnist_cnn as mc
from mnist_cnn.config.build import build_data
from mnist_cnn.config.compose import compose_run
from mnist_cnn.data.images import UNKNOWN
from mnist_cnn.errors import DataError


@functools.cache
def composed(kind: str):
    return compose_run([f"data={kind}"]).cfg


def module(kind: str, folder: Path, **options):
    cfg = composed(kind).copy()
    cfg.data.update({"root": str(folder)} | options)
    return build_data(cfg)


def read(kind: str, folder: Path, **options):
    """All that a run reads of its data, in its order."""
    data = module(kind, folder, **options)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    return data


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pets")
    write_all(root)
    return root


@pytest.mark.parametrize("kind", ["folder", "csv", "arrays"])
def test_each_kind_gives_the_same_splits_and_names(everything, kind):
    data = read(kind, everything)
    names = [f"class_{i}" for i in range(10)] if kind == "folder" else [str(i) for i in range(10)]
    assert (data.dataset, data.class_names) == (everything.name, names)
    assert [len(data.splits[name]) for name in ("train", "val", "test")] == [110, 10, 40]
    assert data.splits["val"].labels.bincount().tolist() == [1] * 10  # a share is taken of each class
    images, labels = data.splits["train"].images, data.splits["train"].labels
    assert (images.shape, images.dtype, labels.dtype) == ((110, 1, 28, 28), torch.uint8, torch.int64)
    brightest = images.float().mean(3).argmax(2).flatten()  # the row of the bar
    assert all(brightest[labels == i].unique().numel() <= 3 for i in range(10))
    assert all(brightest[labels == i].max() < brightest[labels == i + 1].min() for i in range(9))
    assert data.protocol()["verified"] is False


@pytest.mark.parametrize("kind", ["folder", "csv", "arrays"])
def test_a_digest_tells_other_images_of_one_name_whatever_validates(everything, tmp_path, kind):
    other = tmp_path / everything.name
    write_all(other, train=130)
    one, fold, another = read(kind, everything), read(kind, everything, fold=1, split_seed=3), read(kind, other)
    assert one.protocol()["dataset"] == another.protocol()["dataset"]
    assert set(one.protocol()["images"]) == {"train", "test"}
    assert one.protocol()["images"] == fold.protocol()["images"]
    assert one.protocol()["images"]["train"] != another.protocol()["images"]["train"]
    assert one.protocol()["images"]["test"] == another.protocol()["images"]["test"]


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_black_and_white_is_not_nearly_black(tmp_path, kind):
    images, labels = bars(60)
    black_and_white = (images > 127).astype(kind)
    data = mc.MNISTDataModule.from_arrays(black_and_white, labels)
    data.setup("fit")
    assert data.splits["train"].images.unique().tolist() == [0, 255]
    if kind in (bool, np.uint8):
        net = mc.create_model("gap").eval()
        assert np.array_equal(net.predict(black_and_white), net.predict(black_and_white.astype(np.uint8) * 255))
    if kind is np.int64:
        (tmp_path / "train.csv").write_text(table(black_and_white, labels))
        assert read("csv", tmp_path).splits["train"].images.unique().tolist() == [0, 255]


@pytest.mark.parametrize(
    ("placed", "options", "way"),
    [(slice(4, 24), {}, "mnist"), (slice(0, 28), {}, "resize"), (slice(0, 28), {"prepare": "mnist"}, "mnist")],
)
def test_pictures_for_a_net_are_made_as_its_images_for_training_lie(placed, options, way):
    """In 20 x 20 pixels in the middle, as MNIST's, or anywhere."""
    images = np.zeros((60, 28, 28), np.uint8)
    images[:, placed, placed] = 200
    data = mc.MNISTDataModule.from_arrays(images, np.arange(60) % 3, **options)
    data.setup("fit")
    assert data.for_pictures == way


def test_clothes_are_not_handwritten():
    ways = {name: mc.MNISTDataModule(dataset=name).for_pictures for name in ("MNIST", "FashionMNIST", "EMNISTLetters")}
    assert ways == {"MNIST": "mnist", "FashionMNIST": "resize", "EMNISTLetters": "mnist"}


def test_a_table_without_labels_is_to_be_predicted(everything):
    data = read("csv", everything)
    assert data.test_images == "unlabelled"
    assert data.splits["test"].labels.unique().tolist() == [UNKNOWN]
    assert data.image_names()[:2] == ["1", "2"]
    assert torch.equal(data.splits["test"].images[:, 0], torch.from_numpy(bars(40, seed=1)[0]))


def test_test_pictures_without_classes_are_to_be_predicted_by_name(tmp_path):
    write_folders(tmp_path / "train", 40)
    write_folders(tmp_path / "test", 5, labelled=False)
    data = read("folder", tmp_path)
    assert data.test_images == "unlabelled"
    assert data.image_names() == [f"{i:03}.png" for i in range(5)]


def test_one_folder_of_classes_is_split_three_ways(tmp_path):
    write_folders(tmp_path, 100)
    data = read("folder", tmp_path)
    assert {name: len(images) for name, images in data.splits.items()} == {"train": 70, "val": 10, "test": 20}
    assert torch.equal(read("folder", tmp_path, seed=9).splits["test"].images, data.splits["test"].images)
    alone = module("folder", tmp_path, test_share=0)
    assert alone.test_images == "none"


def test_one_file_as_keras_has_it(tmp_path):
    images, labels = bars(60)
    np.savez(tmp_path / "mnist.npz", x_train=images, y_train=labels, x_test=images[:20] / 255, y_test=labels[:20])
    data = read("arrays", tmp_path, train="mnist.npz")
    assert [len(data.splits[name]) for name in ("train", "val", "test")] == [50, 10, 20]
    assert torch.equal(data.splits["test"].images[:, 0], torch.from_numpy(images[:20]))  # floats from 0 to 1


def test_tables_with_and_without_names_with_gaps_in_the_labels_and_floats(tmp_path):
    images, labels = bars(60)
    (tmp_path / "train.csv").write_text(table(images, labels + 1, header=False).replace(",0,", ",0.0,"))
    data = read("csv", tmp_path, test_share=0.5)
    assert data.class_names == [str(i) for i in range(1, 11)]  # 1 to 10, as EMNIST's letters come on Kaggle
    assert data.splits["train"].labels.unique().tolist() == list(range(10))


def test_a_table_of_floats_from_0_to_1_has_their_greys(tmp_path):
    images, labels = bars(40)
    greys = [[f"{grey / 255:.4f}" for grey in image.ravel()] for image in images]
    lines = [",".join([f"{label}", *row]) for label, row in zip(labels, greys, strict=True)]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    data = read("csv", tmp_path, test_share=0.5, validation_size=0.5)
    found = torch.cat([data.splits[split].images for split in ("train", "val", "test") if split in data.splits])
    assert {image.tobytes() for image in found.numpy()[:, 0]} <= {image.tobytes() for image in images}


def test_limits_of_images_that_come_class_by_class_take_some_of_each(tmp_path):
    write_folders(tmp_path / "train", 400, (28, 28))
    write_folders(tmp_path / "test", 100, (28, 28))
    data = read("folder", tmp_path, limit_train=30, limit_val=20, limit_test=20)
    assert {split: (len(images), len(images.labels.unique())) for split, images in data.splits.items()} == {
        "train": (30, 10), "val": (20, 10), "test": (20, 10),
    }  # fmt: skip


def test_arrays_from_python():
    images, labels = bars(100, 40, 30)
    data = mc.MNISTDataModule.from_arrays(images, labels, batch_size=7)
    data.setup("fit")
    batch, _ = next(iter(data.train_dataloader()))
    assert batch.shape == (7, 1, 28, 28)
    tested = mc.MNISTDataModule.from_arrays(torch.from_numpy(images), labels.tolist(), test=(images[:9], labels[:9]))
    tested.setup("test")
    assert len(tested.splits["test"]) == 9


def broken(root: Path, what: str) -> tuple[str, dict]:
    """Damages a copy of good data; the kind and the settings that then meet it."""
    kind, _, case = what.partition(": ")
    settings: dict = {}
    images, labels = bars(60)
    arrays = {"images": images, "labels": labels}
    if kind == "folder":
        write_folders(root / "train", 40)
        write_folders(root / "test", 20)
    picture = root / "train" / "class_3" / "003.png"
    match case:
        case "unreadable picture":
            picture.write_bytes(picture.read_bytes()[:60])
        case "no picture at all":
            picture.write_text("hello")
        case "empty class":
            (root / "train" / "empty").mkdir()
            (root / "test" / "empty").mkdir()
        case "other classes in the test":
            (root / "test" / "class_3").rename(root / "test" / "dog")
        case "absurd size":
            Image.new("L", (1, 900)).save(picture)
        case "no folder":
            settings["root"] = str(root / "nowhere")
        case "no train beside test":
            (root / "train").rename(root / "training")
        case "one class":
            settings["train"] = "train/class_3"
            (root / "train" / "class_3" / "only").mkdir()
        case "names for other classes":
            settings["class_names"] = ["cat", "dog"]
        case "783 columns":
            lines = table(images, labels).splitlines()
            lines[6] = lines[6].rpartition(",")[0]
            (root / "train.csv").write_text("\n".join(lines))
        case "783 columns throughout":
            (root / "train.csv").write_text("\n".join(x.rpartition(",")[0] for x in table(images, None).splitlines()))
        case "no labels":
            (root / "train.csv").write_text(table(images, None))
        case "label in words":
            (root / "train.csv").write_text(table(images, labels).replace("\n4,", "\nfour,", 1))
        case "label below 0":
            (root / "train.csv").write_text(table(images, labels - 1))
        case "pixel above 255":
            images = images.astype(int)
            images[8, 0, 5] = 300
            (root / "train.csv").write_text(table(images, labels))
        case "pixel in words":
            (root / "train.csv").write_text(table(images, labels).replace(",255,", ",x,", 1))
        case "other labels in the test":
            (root / "train.csv").write_text(table(images, labels % 5))
            (root / "test.csv").write_text(table(images, labels))
        case "missing file":
            settings["train"] = "train2.csv"
        case "missing test file":
            (root / "train.csv").write_text(table(images, labels))
            settings["test"] = "test2.csv"
        case "labels for other images":
            arrays["labels"] = labels[:-1]
        case "fractions as labels":
            arrays["labels"] = labels + 0.5
        case "class of 1,000":
            arrays["labels"] = labels * 111 + 1
        case "negative pixels":
            arrays["images"] = images.astype(float) - 1
        case "flat images":
            arrays["images"] = images.reshape(60, -1)
        case "objects":
            arrays["images"] = np.array([{}] * 60)
        case "a name too few":
            settings["class_names"] = list("abcdefghi")
        case "class without an image":
            settings["class_names"] = list("abcdefghijk")
        case "imbalance for other classes":
            settings["imbalance"] = [1.0, 0.5]
        case "no image left to validate":
            arrays = {"images": images[:10], "labels": labels[:10]}
    if kind == "arrays" and case == "no archive":
        (root / "train.npz").write_text("hello")
    elif kind == "arrays":
        np.savez(root / "train.npz", **arrays)
        if case == "a directory of another version":
            content = bytearray((root / "train.npz").read_bytes())
            content[content.index(b"PK\x01\x02") + 6] = 212
            (root / "train.npz").write_bytes(content)
        if case == "a name without an end":
            content = bytearray((root / "train.npz").read_bytes())
            content[26:28] = b"\xff\xff"
            (root / "train.npz").write_bytes(content)
    return kind, settings


REFUSED = {
    "folder: unreadable picture": ["class_3/003.png", "not a picture that can be read"],
    "folder: no picture at all": ["class_3/003.png", "not a picture that can be read"],
    "folder: empty class": ["train/empty", "empty class"],
    "folder: other classes in the test": ["test: other classes", "missing: class_3", "only here: dog"],
    "folder: absurd size": ["003.png", "1 x 900 pixels", "4 to 10,000"],
    "folder: no folder": ["nowhere: no such folder", "(data.root=; where a run is read, data_root=)"],
    "folder: no train beside test": ["/train: no such file or folder"],
    "folder: one class": ["1 classes (only)", "needed: 2 to 1,000"],
    "folder: names for other classes": ["data.class_names: 2 names for 10 classes"],
    "csv: 783 columns": ["train.csv, line 7: 784 columns; the first line has 785"],
    "csv: 783 columns throughout": ["train.csv, line 1: 783 columns; needed: a label and 784 pixels"],
    "csv: no labels": ["train.csv: has no labels"],
    "csv: label in words": ["train.csv, line 6: label 'four' is no whole number"],
    "csv: label below 0": ["label -1; needed: whole numbers from 0 to 999"],
    "csv: pixel above 255": ["train.csv, line 10: pixel 5 is 300; needed: 0 to 255"],
    "csv: pixel in words": ["train.csv, line 2: not a number (", "'x'"],
    "csv: other labels in the test": ["test.csv: label 5, which no training image has"],
    "csv: missing file": ["train2.csv: no such file", "data.train="],
    "csv: missing test file": ["test2.csv: no such file", "data.test="],
    "arrays: labels for other images": ["train.npz: 59 labels for 60 images"],
    "arrays: fractions as labels": ["train.npz: labels are float64, not all whole numbers"],
    "arrays: class of 1,000": ["label 1000; needed: whole numbers from 0 to 999"],
    "arrays: negative pixels": ["images from -1 to 254", "0 to 255"],
    "arrays: flat images": ["images have shape (60, 784)"],
    "arrays: objects": ["train.npz: images cannot be read"],
    "arrays: no archive": ["train.npz: no .npz file with `images` and `labels`"],
    "arrays: a directory of another version": [
        "train.npz: no .npz file with `images` and `labels` (zip file version 21.2)"
    ],
    "arrays: a name without an end": ["train.npz: images cannot be read (File name in directory 'images.npy'"],
    "arrays: a name too few": ["label 9; data.class_names has only 9 names"],
    "arrays: class without an image": ["no image of class 10, 'k'"],
    "arrays: imbalance for other classes": ["data.imbalance: 2 shares for 10 classes"],
    "arrays: no image left to validate": ["data.validation_size = 0.1: no image"],
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, what):
    kind, settings = broken(tmp_path, what)
    with pytest.raises(DataError) as error:
        read(kind, tmp_path, **settings)
    for words in REFUSED[what]:
        assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.linspace(0, 2, 1568), "images from 0 to 2, as greys of 255 they would be nearly black"),
        (np.linspace(0, 1.1, 1568, dtype=np.float32), "images from 0 to 1.1"),
        (np.linspace(0, 1.004, 1568, dtype=np.float32), "images from 0 to 1.004"),
        (np.append(np.linspace(0, 1, 1566), [np.nan, np.inf]), "images with 2 NaN or infinite values"),
    ],
)
def test_floats_of_another_unit_are_refused(images, words):
    with pytest.raises(DataError, match=f"^train arrays: {words}.*; needed: 0 to 255, or 0 to 1$"):
        mc.MNISTDataModule.from_arrays(images.reshape(2, 28, 28), [0, 1])


def test_floats_that_are_greys_are_taken_as_such():
    dark = np.tile([0.0, 3.0], 392 * 40).reshape(40, 28, 28)
    for images, brightest in ((dark, 3), (dark + 16.4, 19), (dark / 3, 255), (dark * 0.3334, 255)):
        data = mc.MNISTDataModule.from_arrays(images, np.arange(40) % 2)
        data.setup("fit")
        assert int(data.splits["train"].images.max()) == brightest


def test_a_class_without_an_image_to_validate_is_told(tmp_path, caplog):
    images, _ = bars(40)
    labels = np.array([0] * 37 + [1, 2, 2])
    test = {"images": images[:37], "labels": labels[:37]}
    np.savez(tmp_path / "train.npz", images=images, labels=labels)
    np.savez(tmp_path / "test.npz", **test)
    read("arrays", tmp_path)
    assert f"{tmp_path.name}: no validation image of class 1: the validation figures leave that out" in caplog.text
    assert f"{tmp_path.name}: no test image of class 1, 2: the test figures leave that out" in caplog.text
    caplog.clear()
    np.savez(tmp_path / "test.npz", images=images[:37])
    read("arrays", tmp_path, limit_val=1)
    assert "no " not in caplog.text


@pytest.mark.parametrize("data", [(1, 2, 3), "text", (np.zeros((3, 28, 28)), ["a", "b", "c"])])
def test_arrays_from_python_that_are_none(data):
    from mnist_cnn.data.arrays import by_split

    with pytest.raises(DataError):
        by_split(data)


@pytest.mark.parametrize("kind", ["folder", "csv", "arrays"])
def test_images_for_validation_validate(everything, tmp_path, kind):
    usual = {"folder": "train", "csv": "train.csv", "arrays": "train.npz"}[kind]
    for name in ("train", "val"):
        copy = shutil.copytree if kind == "folder" else shutil.copy
        copy(everything / usual, tmp_path / usual.replace("train", name))
    data = read(kind, tmp_path)
    assert [len(data.splits[name]) for name in ("train", "val", "test")] == [100, 120, 20]
    assert data.protocol()["remarks"] == [
        f"validation on {usual.replace('train', 'val')}, which is apart from the images for training",
        "test images are 20% of each class, put aside from training",
    ]
    folds = read(kind, tmp_path, fold=0)
    assert [len(folds.splits[name]) for name in ("train", "val")] == [80, 20]
    assert folds.protocol()["remarks"] == data.protocol()["remarks"][1:]
    assert "val" not in read(kind, tmp_path, validation_size=0).splits
    other = tmp_path / f"other{Path(usual).suffix}"
    (tmp_path / usual.replace("train", "val")).rename(other)
    assert len(read(kind, tmp_path).splits["val"]) == 10
    assert len(read(kind, tmp_path, val=other.name).splits["val"]) == 120
    for options in ({"fold": 0}, {"validation_size": 0}, {"validate_on": "test"}):
        with pytest.raises(DataError, match=rf"data\.val = {other.name}: not with data\.{next(iter(options))}"):
            read(kind, tmp_path, val=other.name, **options)


def test_images_for_validation_need_labels_and_the_classes_of_training(everything, tmp_path):
    shutil.copytree(everything / "train", tmp_path / "train")
    shutil.copytree(everything / "train" / "class_3", tmp_path / "valid")
    with pytest.raises(DataError, match="valid, a folder for each class"):
        read("folder", tmp_path)
    shutil.copytree(everything / "train" / "class_3", tmp_path / "valid" / "class_x")
    shutil.copytree(everything / "train" / "class_3", tmp_path / "valid" / "class_3")
    with pytest.raises(DataError, match="valid: other classes than for training"):
        read("folder", tmp_path)
    (tmp_path / "train.csv").write_text(table(*bars(60)))
    (tmp_path / "val.csv").write_text(table(bars(60)[0], None))
    with pytest.raises(DataError, match=r"val\.csv: has no labels, which validation needs"):
        read("csv", tmp_path)


def test_classes_in_the_root_may_have_images_for_validation_elsewhere(everything, tmp_path):
    shutil.copytree(everything / "train", tmp_path / "all")
    data = read("folder", tmp_path / "all", val=str(everything / "test"))
    assert len(data.splits["val"]) == 40
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        read("folder", tmp_path / "all", val="nowhere")
