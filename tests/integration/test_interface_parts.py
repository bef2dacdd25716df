"""The package's data, nets and checkpoints in other people's programs."""

import inspect
import typing
import warnings
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F

import mnist_cnn as mc
from mnist_cnn.config.data_module import DataOptions
from mnist_cnn.data import base, datamodule
from mnist_cnn.errors import ConfigError, InputError, RunError


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_checkpoint_alone_is_enough(here, tiny, tiny_overrides):
    run = mc.fit("model=bn_dropout", *tiny_overrides, "trainer.max_epochs=1").run
    alone = here / "elsewhere.ckpt"
    run.checkpoint("best").rename(alone)
    net = mc.load(alone)
    data = mc.MNISTDataModule(dataset="custom", root=str(tiny), md5=None, validation_size=80)
    data.setup("test")
    images = data.splits["test"].images
    with (run.predictions_file).open() as file:
        expected = [int(line.split(",")[2]) for line in file.readlines()[1:]]
    assert net.predict(images).tolist() == expected
    assert net.scale.mean == pytest.approx(float(_train_mean(tiny)), rel=1e-6)
    with pytest.raises(RunError, match="no such checkpoint"):
        mc.load(here / "nowhere.ckpt")


def _train_mean(root: Path) -> torch.Tensor:
    data = mc.MNISTDataModule(dataset="custom", root=str(root), md5=None, validation_size=80)
    data.setup("fit")
    return data.splits["train"].images.float().mean()


class Linear(pl.LightningModule):
    """Anyone's module."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(784, 10)

    def training_step(self, batch, _):
        return F.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("own", [True, False])
def test_the_data_module_and_the_models_go_with_anyones_trainer(here, tiny, own):
    data = mc.MNISTDataModule(dataset="custom", root=str(tiny), md5=None, validation_size=80, batch_size=32)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(Linear() if own else mc.create_model("gap"), datamodule=data)
    assert trainer.global_step == 8


def test_every_argument_of_the_data_module_is_optional_and_checked():
    data = mc.MNISTDataModule()
    assert (data.dataset, data.batch_size, data.validation_size, data.divide_by) == ("MNIST", 128, 5000, 255.0)
    assert isinstance(data, datamodule.MNISTDataModule)
    taken = datamodule.MNISTDataModule.__init__, base.ImageDataModule.__init__
    arguments = {name for each in taken for name in inspect.signature(each).parameters} - {"self", "options"}
    assert set(typing.get_type_hints(DataOptions)) == arguments
    with pytest.raises(ConfigError, match=r"'data\.batch_size'"):
        mc.MNISTDataModule(batchsize=3)
    with pytest.raises(ConfigError, match=r"data\.batch_size = 0: must be int >= 1"):
        mc.MNISTDataModule(batch_size=0)
    with pytest.raises(ConfigError, match=r"data\.batch_size = <object.*must be int >= 1"):
        mc.MNISTDataModule(batch_size=object())
    data = mc.MNISTDataModule(batch_size=np.int64(7), divide_by=torch.tensor(2.0), root=Path("here"))
    assert (data.batch_size, data.divide_by, data.root) == (7, 2.0, Path("here"))


def test_another_data_set_is_not_held_against_the_md5_of_mnist():
    digests = [mc.MNISTDataModule(dataset=name).md5 for name in ("MNIST", "FashionMNIST", "mine")]
    assert digests[0] == mc.MNISTDataModule().md5 != digests[1]
    assert set(digests[0]) == set(digests[1])
    assert digests[2] is None
    assert mc.MNISTDataModule(dataset="mine", md5=digests[0]).md5 == digests[0]


def test_the_weights_of_a_new_net_hang_on_pytorchs_seed_alone():
    torch.manual_seed(5)
    net = mc.create_model("gap", bn_momentum=np.float32(0.5))
    assert net.hparams.bn_momentum == 0.5
    torch.manual_seed(5)
    plain = type(net)(**net.hparams)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), plain.parameters(), strict=True))


def test_images_are_read_in_any_byte_order_or_refused():
    net = mc.create_model("vanilla")
    images = np.random.default_rng(0).random((3, 28, 28))
    assert np.array_equal(net.predict(images), net.predict(images.astype(">f4")))
    for strange in (images.astype(object), images.astype("U5")):
        with pytest.raises(InputError, match=r"images are (object|<U5); needed: uint8"):
            net.predict(strange)


def test_models_by_name():
    assert {"bn_dropout", "gap", "vanilla"} <= set(mc.list_models())
    net = mc.create_model("bn_dropout", dropout=0.05)
    assert {m.p for m in net.net if isinstance(m, torch.nn.Dropout)} == {0.05}
    assert net.hparams.bn_debias is True  # as conf/model/bn_dropout.yaml says
    assert mc.create_model("gap", num_classes=4)(torch.zeros(2, 1, 28, 28)).shape == (2, 4)
    for name, options, words in [
        ("gpa", {}, "did you mean 'gap'"),
        ("bn_dropout", {"droput": 0.1}, "did you mean 'model.dropout'"),
        ("bn_dropout", {"dropout": 1.0}, "model.dropout = 1.0: must be float in"),
        ("vanilla", {"stage2": [8] * 6}, "does not fit"),
    ]:
        with pytest.raises(ConfigError, match=words.replace("[", r"\[")):
            mc.create_model(name, **options)
