"""Each measure of `speed` gives what the plain form gives."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mnist_cnn.models.layers import build_sequential
from mnist_cnn.speed import Speed

LAYERS = [{"conv": 8}, "batch_norm", {"dropout": 0.0}, {"conv": 6}, "pool", {"conv": 6}, "flatten", {"dense": 10}]
OFF = {"keep_memory": False, "channels_last": False, "fast_dropout": False, "pool_first": False}


def trained(net: nn.Sequential) -> dict[str, torch.Tensor]:
    """State after three steps on the same images."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        images, labels = torch.rand(16, 1, 28, 28, generator=generator).double(), torch.arange(16) % 10
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net.state_dict()


@pytest.mark.parametrize(("measure", "exact"), [("channels_last", False), ("fast_dropout", True), ("pool_first", True)])
def test_training_ends_in_the_same_weights(measure, exact):
    torch.manual_seed(0)
    plain, _ = build_sequential(LAYERS, activation="relu", init="pytorch", bn_momentum=0.1, bn_eps=1e-5)
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
    options = {"init": "pytorch", "bn_momentum": 0.1, "bn_eps": 1e-5}
    for activation, first in (("relu", nn.MaxPool2d), ("sigmoid", nn.Sigmoid)):
        net, _ = build_sequential([{"conv": 4}, "pool", "flatten", {"dense": 10}], activation=activation, **options)
        Speed(**OFF | {"pool_first": True}).apply(net)
        assert isinstance(net[1], first)


def test_a_run_with_every_measure_and_one_with_none_agree(cli, tiny_overrides, tmp_path):
    """Up to rounding, where no random numbers are involved."""
    from mnist_cnn.runs import Run

    figures = {}
    for name in ("fast", "plain"):
        folder = f"hydra.run.dir={tmp_path}/{name}"
        assert cli("model=vanilla", f"speed={name}", "trainer.max_epochs=1", *tiny_overrides, folder) == 0
        figures[name] = Run(tmp_path / name).metrics()["figures"]
    assert figures["fast"] == pytest.approx(figures["plain"], abs=1e-3)
