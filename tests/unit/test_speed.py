"""Each measure of `speed` gives what the plain form gives."""

import copy
import functools
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import metrics_of
from torch import nn

from mnist_cnn import evaluate
from mnist_cnn.models.sequential import SequentialCNN
from mnist_cnn.runs.checkpoint import load_checkpoint
from mnist_cnn.runs.directory import Run
from mnist_cnn.speed.device_adam import DeviceAdam
from mnist_cnn.speed.measures import Speed

LAYERS = [{"conv": 8}, "batch_norm", {"dropout": 0.0}, {"conv": 6}, "pool", {"conv": 6}, "flatten", {"dense": 10}]
MEASURES = [
    "keep_memory", "channels_last", "fused_layers", "pool_first", "fused_optimizer", "compile", "cuda_graph",
]  # fmt: skip
OFF = dict.fromkeys(MEASURES, False)


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
    ("measures", "exact"),
    [
        (["channels_last"], False),
        (["fused_layers"], False),
        (["channels_last", "fused_layers"], False),
        (["pool_first"], True),
        (["fused_optimizer"], False),
    ],
)
def test_training_ends_in_the_same_weights(measures, exact):
    torch.manual_seed(0)
    plain = SequentialCNN(LAYERS, optimizer=functools.partial(torch.optim.Adam, lr=0.01))
    plain.double()  # rounding far below what a mistake would show
    fast = copy.deepcopy(plain)
    Speed(**OFF | dict.fromkeys(measures, True)).apply(fast)
    expected, found = trained(plain), trained(fast)
    assert list(found) == list(expected)
    for name, value in expected.items():
        if exact:
            assert torch.equal(found[name], value), name
        else:
            assert torch.allclose(found[name], value, atol=1e-10), name


@pytest.mark.parametrize(
    ("kind", "decay"), [(torch.optim.Adam, 0.0), (torch.optim.Adam, 0.1), (torch.optim.AdamW, 0.1)]
)
def test_adam_by_numbers_on_the_device_is_adam(kind, decay):
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((3, 4), (5,))]
    ours, plain = ([nn.Parameter(weight.clone()) for weight in start] for _ in range(2))
    optimizers = [kind(weights, lr=0.01, weight_decay=decay, fused=True) for weights in (ours, plain)]
    assert DeviceAdam.suits(optimizers[0])
    for weight in plain:  # DeviceAdam takes a step without gradients for its state
        weight.grad = torch.zeros_like(weight)
    optimizers[1].step()
    adam = DeviceAdam(optimizers[0])
    for step in range(4):
        for optimizer in optimizers:
            optimizer.param_groups[0].update(lr=0.01 * (step + 1), betas=(0.95 - 0.02 * step, 0.999))
        for a, b in zip(ours, plain, strict=True):
            a.grad = b.grad = torch.randn(a.shape, generator=generator, dtype=torch.float64)
        adam.send()
        adam.step()
        optimizers[1].step()
    for a, b in zip(ours, plain, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-14)
        for name, value in optimizers[1].state[b].items():
            assert torch.allclose(optimizers[0].state[a][name], value, rtol=1e-12, atol=1e-14), name


def test_only_a_relu_changes_places_with_the_pooling():
    for activation, first in (("relu", nn.MaxPool2d), ("sigmoid", nn.Sigmoid)):
        model = SequentialCNN([{"conv": 4}, "pool", "flatten", {"dense": 10}], activation=activation)
        Speed(**OFF | {"pool_first": True}).apply(model)
        assert isinstance(model.net[1], first)


MEMORY = """
import resource, sys, torch
from mnist_cnn.models.sequential import SequentialCNN
from mnist_cnn.speed.device_adam import DeviceAdam
from mnist_cnn.speed.measures import Speed

context = Speed(sys.argv[1] == "keep", *[False] * 6).memory()
context.__enter__()
net = SequentialCNN([{"conv": 32}, {"conv": 32}, "pool", "flatten", {"dense": 10}]).net
results = []
for _ in range(2):
    for _ in range(8):
        net.train()(torch.rand(32, 1, 28, 28)).sum().backward()
        results.append(torch.rand(32))  # small and alive until the epoch ends: it lands amid freed blocks
    with torch.no_grad():
        results.append(net.eval()(torch.rand(1000, 1, 28, 28)).argmax(1))
    results.clear()
print(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20)  # MiB
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a measure for glibc")
@pytest.mark.slow
def test_kept_memory_leaves_out_the_large_blocks_of_validation():
    """They tore the heap: a net with 147 MB blocks in validation grew to 5.7 GB in 6 epochs."""
    resident = {}
    for memory in ("keep", "give back"):
        command = [sys.executable, "-c", MEMORY, memory]
        resident[memory] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert resident["keep"] < resident["give back"] + 100


HUGE_PAGES = """
import re, sys
from mnist_cnn.speed import huge_pages
huge_pages.ask_for()
import mnist_cnn.train
import torch
from mnist_cnn.speed.device_adam import DeviceAdam
from mnist_cnn.speed.measures import Speed

for memory in sys.argv[1:]:
    with Speed(memory == "keep", *[False] * 6).memory():
        image = torch.ones(2**24)
        found = open("/proc/self/smaps_rollup").read()
print(re.search("AnonHugePages: *([0-9]+)", found)[1])  # KiB
"""
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(not SETTING.exists() or "[never]" in SETTING.read_text(), reason="needs Linux with huge pages")
@pytest.mark.slow
def test_kept_memory_lies_on_huge_pages():
    """On small ones a net with 19 MB blocks grew to 4.1 GB within an epoch; on these it needs 1.2."""
    huge = {}
    for *before, memory in (["give back", "keep"], ["give back"]):
        command = [sys.executable, "-c", HUGE_PAGES, *before, memory]
        huge[memory] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert huge["keep"] > 32_000
    assert huge["give back"] == 0


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
        figures[name] = metrics_of(Run(tmp_path / name))["figures"]
    assert figures["fast"] == pytest.approx(figures["plain"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled_and_not_agree_on_outputs_and_gradients():
    """A batch of another size, as the last one of an epoch, is not compiled for."""
    layers = [{"conv": 8}, "batch_norm", "pool", "flatten", {"dense": 10}]
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = SequentialCNN(layers).double()
        Speed(**OFF | {"channels_last": True, "compile": compiled}).apply(model)
        found.append([])
        for size in (16, 16, 7):
            images, labels = torch.rand(size, 1, 28, 28).double(), torch.arange(size) % 10
            model.zero_grad()
            logits = model(images)
            F.cross_entropy(logits, labels).backward()
            found[-1] += [logits.detach(), *(p.grad.clone() for p in model.parameters())]
    for plain, fast in zip(*found, strict=True):
        assert torch.allclose(plain, fast, atol=1e-9)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.slow
def test_a_compiled_run_is_like_any_other(cli, tiny_overrides, run_of):
    """It validates, saves weights under the usual names and can be measured again."""
    assert cli("model=vanilla", "speed=compiled", "trainer.max_epochs=1", *tiny_overrides) == 0
    assert "net.0.weight" in load_checkpoint(run_of().checkpoint("best"))["state_dict"]
    assert cli(f"run_dir={run_of().path}", main=evaluate.main) == 0


def test_compiling_without_a_compiler_is_refused(cli, tiny_overrides, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert cli("speed=compiled", *tiny_overrides) == 2
    assert "needs a C++ compiler, and there is no 'no-such-compiler'" in capsys.readouterr().err
