"""Nets run by the package's own kernels against PyTorch's own layers, mostly in double precision: rounding far below
what a mistake would show.
"""

import copy
import importlib
import json
import logging
import math
import os
import pickle
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.models.layers import build_sequential
from mnist_cnn.speed import measures
from mnist_cnn.speed.fast import FastNet

PLAIN = {"padding": "same", "bias": False, "activation": "none"}
NETS = {
    "after the activation": [{"conv": 3}, "batch_norm", {"dropout": 0}, {"conv": {"filters": 8, "kernel": 1}}, "pool",
                             {"conv": 7}, "batch_norm", {"conv": {"filters": 10, "kernel": 11}}, "flatten"],
    "before it": [{"conv": {"filters": 6, **PLAIN}}, "batch_norm", "activation", {"conv": {"filters": 13, **PLAIN}},
                  "batch_norm", "pool", "activation", "gap", {"dense": 10}],
    "odd windows": [{"conv": {"filters": 5, "kernel": 4}}, {"pool": 5}, {"dropout": 0},
                    {"conv": {"filters": 2, "kernel": 5, "padding": "same"}}, "flatten",
                    {"dense": 40}, "batch_norm", {"dense": 10}],
    "with layers of PyTorch's between": [{"conv": 2}, {"pool": 3}, {"conv": {"filters": 4, "activation": "tanh"}},
                                         "gmp", {"dense": 12}, "activation", {"dense": 10}],
    "wide": [{"pool": 4}, "flatten", {"dense": 700}, {"dropout": 0}, {"dense": 10}],
}  # fmt: skip


def net_of(layers: list, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return build_sequential(layers, "relu", "pytorch", bn_momentum=0.01, bn_eps=1e-3, bn_debias=True)[0].to(dtype)


def images(count: int = 24, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(count, 1, 28, 28, dtype=dtype)


def gradients(call, net: nn.Module, x: Tensor) -> list[Tensor]:
    net.zero_grad()
    logits = call(x)
    F.cross_entropy(logits, torch.arange(len(x)) % logits.shape[1]).backward()
    return [logits.detach(), *(parameter.grad.clone() for parameter in net.parameters())]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("count", [64, 27])  # whole vectors, and not
def test_same_outputs_gradients_and_state(name, count):
    plain = net_of(NETS[name])
    net, fast = copy.deepcopy(plain), FastNet()
    for _ in range(2):
        x = images(count)
        expected, found = gradients(plain, plain, x), gradients(lambda x: fast(net, x), net, x)
        for a, b in zip(expected, found, strict=True):
            assert torch.allclose(a, b, atol=1e-11)
    for key, value in plain.state_dict().items():
        assert torch.allclose(net.state_dict()[key].double(), value.double(), atol=1e-11), key
    with torch.no_grad():
        assert torch.allclose(fast(net.eval(), x), plain.eval()(x), atol=1e-12)


RELU, DENSE = nn.ReLU(), nn.Linear(36, 36)
OWN = {
    "pools that overlap": [nn.Conv2d(1, 4, 3), nn.MaxPool2d(3, stride=2), nn.ReLU()],
    "pools with padding": [nn.MaxPool2d(2, padding=1), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)],
    "oblong pools": [nn.Conv2d(1, 3, 3), nn.MaxPool2d((2, 3)), nn.ReLU(), nn.MaxPool2d((2, 2), (2, 2), (0, 0))],
    "padding": [nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 4, (3, 5), padding=(2, 0)), nn.MaxPool2d(2)],
    "more padding": [nn.Conv2d(1, 3, 3, padding=3), nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular")],
    "another flattening": [nn.Conv2d(1, 4, 3), nn.Flatten(2), nn.Flatten(2, -1), nn.Flatten()],
    "dense on rows": [nn.Linear(28, 5), nn.ReLU(), nn.Flatten(), nn.Linear(140, 10)],
    "one module twice": [nn.Conv2d(1, 4, 3), RELU, nn.Conv2d(4, 1, 3), RELU, nn.MaxPool2d(4), nn.Flatten(),
                         DENSE, RELU, DENSE, BatchNorm1d(36), nn.Linear(36, 10)],
    "one norm twice": [nn.Flatten(), *[BatchNorm1d(784, debias=True)] * 2],
    "all dropped": [nn.Conv2d(1, 4, 3), nn.Dropout(1.0)],
    "nothing to do": [nn.Flatten(), nn.Identity(), nn.Flatten(1), nn.Linear(784, 3), nn.Identity()],
    "depthwise": [nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), BatchNorm2d(6),
                  nn.Conv2d(6, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, (3, 5), padding=(0, 2), groups=8), nn.ReLU(),
                  nn.MaxPool2d(2), nn.Conv2d(8, 8, 4, padding=(2, 1), groups=8)],
    "depthwise first, and wider than the image": [nn.Conv2d(1, 2, 2), nn.MaxPool2d(13),
                                                  nn.Conv2d(2, 2, 5, padding=2, groups=2), BatchNorm2d(2)],
    "separable": [nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.Conv2d(4, 7, 1, bias=False),
                  BatchNorm2d(7)],
    "SiLU": [nn.Conv2d(1, 4, 3), nn.SiLU(), BatchNorm2d(4), nn.SiLU(), nn.MaxPool2d(2), BatchNorm2d(4), nn.ReLU(),
             nn.SiLU(), nn.SiLU(), nn.Conv2d(4, 3, 3), nn.ReLU(), BatchNorm2d(3), nn.SiLU(), nn.Flatten()],
    "groups": [nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, groups=3), nn.Conv2d(6, 12, 3, groups=6)],
    "rows of the weights apart": [nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)],
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_layers_of_a_users_net(name):
    torch.manual_seed(0)
    plain = nn.Sequential(*OWN[name]).double()
    net, fast, x = copy.deepcopy(plain), FastNet(), images()
    for _ in range(2):
        expected, found = (call(x).flatten(1) for call in (plain, lambda x: fast(net, x)))
        assert torch.allclose(found, expected, atol=1e-12)
        for one in (expected, found):
            (one**2).sum().backward()
    for (key, a), b in zip(plain.named_parameters(), net.parameters(), strict=True):
        # atol: of a bias before a norm it is zero, but for rounding
        assert torch.allclose(a.grad, b.grad, rtol=1e-10, atol=1e-6), key
    for key, value in plain.state_dict().items():
        assert torch.allclose(net.state_dict()[key].double(), value.double(), atol=1e-12), key
    with torch.no_grad():
        assert torch.allclose(fast(net.eval(), x), plain.eval()(x), atol=1e-12)


@pytest.mark.parametrize("count", [72, 70, 24, 27])  # more images than go together, or fewer; whole vectors, or not
def test_a_wide_layer_takes_its_taps_in_turns(count):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(40, 44, 3, padding="same"), nn.ReLU(), nn.Conv2d(44, 5, 3), nn.Flatten()).double()
    net, fast, x = copy.deepcopy(plain), FastNet(), torch.randn(count, 40, 5, 4, dtype=torch.float64)
    for a, b in zip(gradients(plain, plain, x), gradients(lambda x: fast(net, x), net, x), strict=True):
        assert torch.allclose(a, b, atol=1e-11)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(3, 4, 3)],
        [nn.Conv2d(1, 4, 3), BatchNorm2d(5)],
        [nn.Flatten(), nn.Linear(783, 2)],
        [nn.Conv2d(1, 1, 29)],
        [nn.MaxPool2d(29)],
        [nn.Flatten(), nn.Conv2d(1, 2, 3)],
    ],
)
def test_layers_that_do_not_fit_are_refused_by_pytorch(layers):
    with pytest.raises((RuntimeError, ValueError)):
        FastNet()(nn.Sequential(*layers).double(), images())


def test_what_a_layer_is_told_between_two_steps():
    net, fast = nn.Sequential(nn.Dropout(0.0), BatchNorm2d(1), nn.Tanh()), FastNet()
    x = images(dtype=torch.float32)
    fast(net, x)
    net[0].p, net[1].momentum, mean = 0.5, 1.0, net[1].running_mean.clone()
    fast(net, x)
    assert float(net[1].running_mean) == pytest.approx(0.5, abs=0.02)
    assert not torch.equal(net[1].running_mean, mean)
    expected = fast(net.double(), x.double())
    assert expected.dtype == torch.float64
    assert expected.isfinite().all()


def test_plans_are_few_whatever_batches_come():
    net, fast = net_of(NETS["before it"]), FastNet()
    for count in range(16, 30):
        fast(net, images(count)).sum().backward()
    kept = [fast(net, images(count)) for count in range(16, 30)]  # whose way back never comes
    assert len(kept) == 14
    assert [len(part.plans) for part in fast.parts] == [4]


def test_frozen_layers_are_planned_once():
    net, fast = net_of(NETS["before it"]), FastNet()
    net.requires_grad_(False)
    fast(net, images(16))
    planned = fast.parts[0].plans
    fast(net, images(16))
    assert fast.parts[0].plans is planned


def test_float32_is_as_near_to_float64_as_pytorch():
    layers = [{"conv": 12}, "batch_norm", {"conv": 20}, "batch_norm", "pool", {"conv": 16}, "gap", {"dense": 10}]
    truth = net_of(layers)
    plain = copy.deepcopy(truth).float()
    net, fast = copy.deepcopy(plain), FastNet()
    x = images(128, torch.float32)
    exact = gradients(truth, truth, x.double())
    calls = ((plain, plain), (net, lambda x: fast(net, x)))
    errors = [[error(a, b) for a, b in zip(gradients(call, of, x), exact, strict=True)] for of, call in calls]
    assert max(errors[1]) < max(1e-5, max(errors[0]))


def error(found: Tensor, truth: Tensor) -> float:
    return float((found - truth).abs().max() / truth.abs().max())


def test_gradient_by_finite_differences():
    net, fast = nn.Sequential(nn.Conv2d(2, 3, 3, padding="same"), BatchNorm2d(3), nn.ReLU()).double(), FastNet()
    x = torch.randn(8, 2, 3, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: fast(net, x), (x,))


def test_large_means_do_not_spoil_the_variance():
    """Sums of squares would lose what is left of float32."""
    torch.manual_seed(0)
    x = torch.randn(16, 4, 10, 10) * 0.01 + 100
    found = FastNet()(nn.Sequential(BatchNorm2d(4)), x)
    assert torch.allclose(found, nn.BatchNorm2d(4).double()(x.double()).float(), atol=2e-2)
    assert found.std().item() == pytest.approx(1, abs=0.05)


def dropped(x: Tensor, rate: float, *before: nn.Module) -> Tensor:
    return FastNet()(nn.Sequential(*before, nn.Dropout(rate)), x)


def masks(rate: float, *shape: int, calls: int = 1) -> Tensor:
    torch.manual_seed(0)
    return torch.stack([(dropped(torch.ones(shape), rate) == 0).double() for _ in range(calls)])


@pytest.mark.parametrize("rate", [1e-5, 0.098, 0.1, 0.25, 0.5, 0.9])
def test_rate_and_expectation_of_dropout(rate):
    torch.manual_seed(0)
    x = torch.ones(997, 1003)
    y = dropped(x, rate)
    spread = math.sqrt(rate * (1 - rate) / x.numel())
    assert float((y == 0).double().mean()) == pytest.approx(rate, abs=5 * spread)
    assert y.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
    assert float(y.double().mean()) == pytest.approx(1, abs=5 * spread / (1 - rate))


def test_neighbours_channels_images_and_steps_are_dropped_independently():
    drawn = masks(0.3, 16, 8, 20, 20, calls=6) - 0.3
    variance = 0.3 * 0.7
    for dim in range(1, 5):
        for lag in (1, 2, 3, 4):
            a, b = (drawn.narrow(dim, start, drawn.shape[dim] - lag) for start in (0, lag))
            assert abs(float((a * b).mean()) / variance) < 5 / math.sqrt(a.numel())
    for step in range(1, 6):
        assert abs(float((drawn[0] * drawn[step]).mean()) / variance) < 5 / math.sqrt(drawn[0].numel())


def test_layers_are_dropped_independently():
    net = nn.Sequential(nn.Dropout(0.5), nn.Tanh(), nn.Dropout(0.5))
    torch.manual_seed(0)
    y = FastNet()(net, torch.ones(64, 4000))
    assert float((y == 0).double().mean()) == pytest.approx(0.75, abs=0.01)


def test_the_share_per_image_varies_as_that_of_independent_draws():
    share = masks(0.2, 4000, 500)[0].mean(dim=1)
    assert float(share.var()) == pytest.approx(0.2 * 0.8 / 500, rel=0.15)


def test_the_gradient_has_the_mask_of_the_output_and_the_relu_before_it():
    torch.manual_seed(0)
    x = torch.randn(50, 4, 6, 6).requires_grad_()
    y = dropped(x, 0.25, nn.ReLU())
    y.sum().backward()
    assert torch.allclose(y, x * x.grad)
    assert torch.allclose(y[y != 0], (x / 0.75)[y != 0])
    assert 0 < int((y == 0).sum() - (x <= 0).sum()) < 2000


def test_silu_is_dropped_as_others_are_and_by_the_same_mask_on_the_way_back():
    torch.manual_seed(0)
    x = torch.randn(50, 4, 6, 6).requires_grad_()
    net = nn.Sequential(BatchNorm2d(4), nn.SiLU(), nn.Dropout(0.25))
    y = FastNet()(nn.Sequential(nn.SiLU(), nn.Dropout(0.25)), x)
    [found] = torch.autograd.grad(y.sum(), x)
    whole = F.silu(x)
    [slope] = torch.autograd.grad(whole.sum(), x)
    stays = y != 0
    assert float(stays.double().mean()) == pytest.approx(0.75, abs=0.03)
    assert torch.allclose(y, stays * whole / 0.75, atol=1e-6)
    assert torch.allclose(found, stays * slope / 0.75, atol=1e-6)
    assert float(FastNet()(net, x.detach()).detach().mean()) == pytest.approx(float(whole.detach().mean()), abs=0.02)


def test_silu_of_any_number():
    x = torch.cat([torch.linspace(-80, 80, 5000), torch.tensor([-1e4, -88, 88, 1e4, math.inf, math.nan, 0])])
    with torch.no_grad():
        found = FastNet()(nn.Sequential(nn.SiLU()).eval(), x.repeat(16, 1, 1, 1))[3, 0, 0]
    exact = F.silu(x.double())
    assert found[:5000].double().numpy() == pytest.approx(exact[:5000].numpy(), rel=5e-7, abs=1e-30)
    assert found[5000:].double().numpy() == pytest.approx(exact[5000:].numpy(), abs=1e-30, nan_ok=True)


@pytest.mark.parametrize("rate", [0.0, 1e-6, 1 - 1e-9])
def test_extreme_rates_stay_finite(rate):
    assert dropped(torch.ones(20, 100), rate).isfinite().all()


def test_the_seed_decides_and_the_number_of_threads_does_not():
    layers = [{"conv": 5}, "batch_norm", {"dropout": 0.3}, "pool", "flatten", {"dense": 10}]
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            net, fast = net_of(layers, torch.float32), FastNet()
            found.append(gradients(lambda x, fast=fast, net=net: fast(net, x), net, images(50, torch.float32)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    assert not torch.equal(*masks(0.5, 20, 10, calls=2))


def test_steps_that_overlap_do_not_disturb_each_other():
    net, fast = net_of(NETS["before it"]), FastNet()
    x = images(), images()
    expected = [torch.autograd.grad(fast(net, part).logsumexp(1).sum(), list(net.parameters())) for part in x]
    logits = [fast(net, part) for part in x]
    found = [torch.autograd.grad(one.logsumexp(1).sum(), list(net.parameters())) for one in logits]
    for a, b in zip(expected, found, strict=True):
        assert all(map(torch.equal, a, b))


def test_what_another_step_has_overwritten_is_not_gone_back_through():
    net, fast = net_of(NETS["before it"]), FastNet()
    logits = fast(net, images())
    logits.sum().backward(retain_graph=True)
    logits.sum().backward()
    logits = fast(net, images())
    logits.sum().backward(retain_graph=True)
    fast(net, images())
    with pytest.raises(RuntimeError, match="backward a second time, after another forward"):
        logits.sum().backward()


def test_weights_that_come_to_lie_elsewhere_are_found():
    net, fast = net_of(NETS["before it"]), FastNet()
    x = images()
    gradients(lambda x: fast(net, x), net, x)
    for parameter in net.parameters():
        parameter.data = parameter.data.clone() * 2
    other = net_of(NETS["before it"])
    expected = copy.deepcopy(net)
    for a, b in zip(gradients(lambda x: fast(net, x), net, x), gradients(expected, expected, x), strict=True):
        assert torch.allclose(a, b, atol=1e-11)
    assert torch.allclose(fast(other, x), copy.deepcopy(other)(x))  # another net altogether


def test_a_copy_begins_anew():
    net, fast = net_of(NETS["before it"]), FastNet()
    fast(net, images())
    for again in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert again(net, images()).shape == (24, 10)


def test_not_a_number_stays():
    x = torch.ones(16, 2, 4, 4)
    x[3, 1, 2, 2] = math.nan
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU(), nn.Dropout(0.0))
    assert FastNet()(net, x)[3, :, 1, 1].isnan().all()
    assert FastNet()(net, x)[:3].isfinite().all()


def test_where_pytorchs_own_layers_do_it():
    """Few images, gradients in evaluation, a part in evaluation, mixed precision, other kinds of convolution."""
    net, fast = net_of(NETS["before it"], torch.float32), FastNet()
    assert torch.equal(fast(net, images(4, torch.float32)), net(images(4, torch.float32))) is False  # random images
    x = images(32, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert fast(net, x).dtype == torch.bfloat16
    assert torch.equal(fast(net.eval(), x), net(x))
    net.train()[1].eval()
    mean = net[1].running_mean.clone()
    assert torch.equal(fast(net, x), net(x))
    assert torch.equal(net[1].running_mean, mean)
    other = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten())
    assert torch.equal(fast(other, x), other(x))


def test_hooks_see_each_layer():
    net, fast, seen = net_of(NETS["before it"]), FastNet(), []
    net[0].register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    fast(net, images())
    assert seen == [(24, 6, 28, 28)]


def test_without_numba_pytorchs_own_layers_train_and_it_is_said_once(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(sys.modules, "mnist_cnn.speed.fast", None)
    measures._fast_nets.cache_clear()
    try:
        assert [measures.fast_net() for _ in range(2)] == [None, None]
    finally:
        measures._fast_nets.cache_clear()
    assert [record.message for record in caplog.records] == [
        "numba is not installed: the layers take PyTorch's own, slower ways"
    ]


def test_without_a_folder_to_keep_them_in_kernels_are_compiled_all_the_same(monkeypatch):
    import numba.core.caching

    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(error)
    kept = importlib.import_module("mnist_cnn.speed.kept")

    @kept.compiled()
    def one_more(x):
        return x + 1

    assert one_more(1) == 2


KERNEL = """
from mnist_cnn.speed.kept import Entry, compiled

@compiled()
def add(x):
    return x + 1

def _count(address):
    add(address)

count = Entry(_count)
"""


def test_a_damaged_kernel_is_compiled_again(monkeypatch, tmp_path):
    kept = importlib.import_module("mnist_cnn.speed.kept")
    (tmp_path / "tiny_kernel.py").write_text(KERNEL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kept._folder.cache_clear()
    try:
        for ending in ("*.nbc", "*.nbi", None):
            monkeypatch.delitem(sys.modules, "tiny_kernel", raising=False)
            assert importlib.import_module("tiny_kernel").count.address > 0
            [done] = tmp_path.rglob("_count.done")
            files = {file: file.read_bytes() for file in done.parent.rglob(ending or "*.nb?")}
            assert len(files) >= 2
            assert json.loads(done.read_text())
            for file, content in files.items() if ending else ():
                file.write_bytes(content[:100] + bytes([content[100] ^ 255]) + content[101:])
    finally:
        kept._folder.cache_clear()


HASH = """
import hashlib, torch
from torch import nn
from mnist_cnn.speed.fast import FastNet
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 9, 3), nn.MaxPool2d(2), nn.Flatten())
FastNet()(net, torch.rand(48, 1, 28, 28)).logsumexp(1).sum().backward()
print(hashlib.md5(b"".join(p.grad.numpy().tobytes() for p in net.parameters())).hexdigest())
"""


@pytest.mark.slow
def test_the_process_that_compiles_and_those_after_it_round_alike(tmp_path):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", HASH]
    found = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]
    assert found[0] == found[1]
    assert list(tmp_path.rglob("_float32.done"))
