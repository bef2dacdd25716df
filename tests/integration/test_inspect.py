"""What is inside a trained net: its layers as counted by hand, plots, and signals that vanish."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import mnist_cnn.inspect.__main__ as inspect
from mnist_cnn.inspect.decision import decision_of
from mnist_cnn.inspect.flow import flow_of
from mnist_cnn.inspect.layers import inspected_layers, multiply_adds
from mnist_cnn.models.layers import build_sequential

OPTIONS = {"init": "glorot_uniform", "bn_momentum": 0.1, "bn_eps": 1e-3}


def net_of(activation: str, layers: list) -> nn.Sequential:
    torch.manual_seed(0)
    return build_sequential(layers, activation, **OPTIONS)[0].eval()


def test_layers_are_counted_as_by_hand():
    net = net_of("relu", [{"conv": 4}, "pool", {"conv": {"filters": 6, "kernel": 5}}, "flatten", {"dense": 10}])
    rows = {row.name: row for row in inspected_layers(net)}
    assert [(row.shape, row.sees, row.stride) for row in rows.values()] == [
        ((4, 26, 26), (3, 3), 1), ((4, 26, 26), (3, 3), 1), ((4, 13, 13), (4, 4), 2), ((6, 9, 9), (12, 12), 2),
        ((6, 9, 9), (12, 12), 2), ((486,), (28, 28), None), ((10,), (28, 28), None),
    ]  # fmt: skip
    assert [rows[name].multiply_adds for name in ("0", "3", "6")] == [26 * 26 * 4 * 9, 9 * 9 * 6 * 25 * 4, 4860]
    assert multiply_adds(net) == sum(row.multiply_adds for row in rows.values())
    assert sum(row.parameters for row in rows.values()) == sum(each.numel() for each in net.parameters())


def test_a_branch_sees_as_far_as_its_longer_way():
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = nn.Conv2d(1, 2, 9, padding=4), nn.Conv2d(1, 2, 1)
            self.last = nn.Conv2d(2, 10, 3, stride=2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.last(self.wide(images) + self.narrow(images)).mean((2, 3))

    rows = {row.name: row for row in inspected_layers(Branch().eval())}
    assert {name: (row.sees, row.stride) for name, row in rows.items()} == {
        "wide": ((9, 9), 1), "narrow": ((1, 1), 1), "last": ((11, 11), 2),
    }  # fmt: skip


def test_a_layer_that_is_used_again_is_counted_again_but_for_its_parameters():
    shared = {"conv": {"filters": 4, "share": "all", "bias": False}}
    net = net_of("relu", [{"conv": 4}, shared, "batch_norm", shared, "batch_norm", shared, "gap", {"dense": 10}])
    for _ in range(2):  # each run counts anew
        rows = {row.name: row for row in inspected_layers(net)}
    again = [rows[name] for name in ("2", "2 (use 2)", "2 (use 3)")]
    assert [(row.shape[1], row.sees, row.parameters, row.multiply_adds) for row in again] == [
        (24, (5, 5), 144, 24 * 24 * 144), (22, (7, 7), 0, 22 * 22 * 144), (20, (9, 9), 0, 20 * 20 * 144),
    ]  # fmt: skip
    assert sum(row.parameters for row in rows.values()) == sum(each.numel() for each in net.parameters())
    assert multiply_adds(net) == sum(row.multiply_adds for row in rows.values())
    flows = {flow.name for flow in flow_of(net, torch.rand(4, 1, 28, 28), torch.arange(4))}
    assert {row.name for row in again} <= flows


def test_gradients_vanish_behind_sigmoids_and_not_behind_relu():
    images, labels = torch.rand(40, 1, 28, 28), torch.arange(40) % 10
    layers = [*[{"conv": {"filters": 8, "padding": "same"}}] * 6, "gap", {"dense": 10}]
    first = {}
    for activation in ("sigmoid", "relu"):
        flows = flow_of(net_of(activation, layers), images, labels)
        weighted = [flow.weight_gradient for flow in flows if flow.weight_gradient is not None]
        first[activation] = weighted[0] / weighted[-1]
    assert first["sigmoid"] < first["relu"] / 100


def test_what_is_covered_or_followed_back_is_what_counts():
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10, bias=False))
    nn.init.zeros_(net[1].weight)
    with torch.no_grad():
        net[1].weight[3, 28 * 10 + 12], net[1].weight[5, 28 * 20 + 20] = 4.0, 1.0
    found = decision_of(net, torch.ones(1, 1, 28, 28))
    assert (found.first, found.second) == (3, 5)
    assert found.covered[10, 12] == pytest.approx(4)
    assert found.covered[12, 14] == pytest.approx(4)
    assert found.covered[13, 12] == 0
    assert found.gradients[10, 12] == pytest.approx(4)
    assert found.gradients.sum() == pytest.approx(3)


def test_a_run_is_inspected(cli, capsys, tiny_overrides, tmp_path):
    run = tmp_path / "run"
    assert (
        cli("model=gap", "model.stages=[[2],[3]]", "trainer.max_epochs=1", *tiny_overrides, f"hydra.run.dir={run}") == 0
    )
    page = np.full((90, 80), 250, np.uint8)
    page[20:70, 35:42] = 10
    Image.fromarray(page).save(tmp_path / "one.png")
    capsys.readouterr()
    for more in (["one.png"], ["untrained=true", "out=fresh"]):
        assert cli(f"run_dir={run}", "images=20", *more, main=inspect.main) == 0
    printed = capsys.readouterr().out
    assert "8 × 8" in printed
    assert "multiply-adds" in printed
    for folder in (run / "inspect", tmp_path / "fresh"):
        assert sorted(file.name for file in folder.iterdir()) == ["decision.png", "filters.png", "flow.png", "maps.png"]
    wrong = {"two.png three.png": "one picture at a time", "images=0": "images = 0", "imges=5": "did you mean 'images'",
             "out=one.png": "one.png: a file, not a folder"}  # fmt: skip
    for call, words in wrong.items():
        assert cli(f"run_dir={run}", *call.split(), main=inspect.main) == 2
        error = capsys.readouterr().err
        assert words in error
        assert len(error.splitlines()) == 1
