"""Each measure of `speed` gives what the plain form gives."""

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mnist_cnn.models.sequential import SequentialCNN
from mnist_cnn.runs import Run, load_checkpoint
from mnist_cnn.speed import Speed

LAYERS = [{"conv": 8}, "batch_norm", {"dropout": 0.0}, {"conv": 6}, "pool", {"conv": 6}, "flatten", {"dense": 10}]
OFF = {
    "keep_memory": False,
    "channels_last": False,
    "fast_dropout": False,
    "pool_first": False,
    "fused_optimizer": False,
}


def trained(model: SequentialCNN) -> dict[str, torch.Tensor]:
    """State after three steps on the same images."""
    generator = torch.Generator().manual_seed(0)
    net, optimizer = model.net, model.optimizer(model.parameters())
    for _ in range(3):
        images, labels = torch.rand(16, 1, 28, 28, generator=generator).double(), torch.arange(16) % 10
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net.state_dict()


@pytest.mark.parametrize(
    ("measure", "exact"),
    [("channels_last", False), ("fast_dropout", True), ("pool_first", True), ("fused_optimizer", False)],
)
def test_training_ends_in_the_same_weights(measure, exact):
    torch.manual_seed(0)
    plain = SequentialCNN(LAYERS, optimizer=functools.partial(torch.optim.Adam, lr=0.01))
    plain.double()  # rounding far below what a mistake would show
    fast = copy.deepcopy(plain)
    Speed(**OFF | {measure: True}).apply(fast)
    expected, found = trained(plain), trained(fast)
    assert list(found) == list(expected)
    for name, value in expected.items():
        if exact:
            assert torch.equal(found[name], value), name
        else:
            assert torch.allclose(found[name], value, atol=1e-10), name


def test_only_a_relu_changes_places_with_the_pooling():
    for activation, first in (("relu", nn.MaxPool2d), ("sigmoid", nn.Sigmoid)):
        model = SequentialCNN([{"conv": 4}, "pool", "flatten", {"dense": 10}], activation=activation)
        Speed(**OFF | {"pool_first": True}).apply(model)
        assert isinstance(model.net[1], first)


@pytest.mark.parametrize(
    ("optimizer", "fused"), [("adam", True), ("sgd", True), ("adagrad", True), ("adadelta", False)]
)
def test_optimizers_are_fused_where_they_can_be(cli, tiny_overrides, run_of, optimizer, fused):
    assert cli("model=vanilla", f"optimizer={optimizer}", "trainer.max_epochs=1", *tiny_overrides) == 0
    [group] = load_checkpoint(run_of().checkpoint("last"))["optimizer_states"][0]["param_groups"]
    assert bool(group.get("fused")) == fused


def test_gradients_are_clipped_in_mixed_precision(cli, tiny_overrides):
    """Lightning refuses that with a fused optimiser, so this run does not get one."""
    mixed = ["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1"]
    assert cli("model=vanilla", "trainer.max_epochs=1", *mixed, *tiny_overrides) == 0


def test_a_run_with_every_measure_and_one_with_none_agree(cli, tiny_overrides, tmp_path):
    """Up to rounding, where no random numbers are involved."""
    figures = {}
    for name in ("fast", "plain"):
        folder = f"hydra.run.dir={tmp_path}/{name}"
        assert cli("model=vanilla", f"speed={name}", "trainer.max_epochs=1", *tiny_overrides, folder) == 0
        figures[name] = Run(tmp_path / name).metrics()["figures"]
    assert figures["fast"] == pytest.approx(figures["plain"], abs=1e-3)
