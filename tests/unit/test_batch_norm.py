"""The fused batch norm against PyTorch's own, in double precision: rounding far below what a mistake would show."""

import importlib
import logging
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.speed import passes
from mnist_cnn.speed.fused import FusedBatchNorm1d, FusedBatchNorm2d
from mnist_cnn.speed.passes import Around

PLAIN = Around()


def pair(around: Around = PLAIN, images: bool = True) -> tuple[nn.Module, nn.Module]:
    kinds = (nn.BatchNorm2d, FusedBatchNorm2d) if images else (nn.BatchNorm1d, FusedBatchNorm1d)
    plain, fast = (kind(12, eps=1e-3, momentum=0.01).double() for kind in kinds)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    fast.load_state_dict(plain.state_dict())
    fast.around = around
    return plain, fast


@pytest.mark.parametrize("shape", [(8, 12, 7, 9), (70, 12)])
@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("before", "after"), [(False, False), (True, False), (False, True), (True, True)])
def test_same_output_gradients_and_state(shape, order, before, after):
    torch.manual_seed(0)
    around = Around(before, after)
    plain, fast = pair(around, len(shape) == 4)
    if len(shape) == 2:
        order = torch.contiguous_format
    for _ in range(3):
        images = (torch.randn(shape).double() * 3 + 1).contiguous(memory_format=order)
        gradient = torch.randn(shape).double()
        found = []
        for norm in (plain, fast):
            norm.zero_grad()
            x = images.clone().requires_grad_()
            y = around.plain(x, norm, True) if norm is plain else norm(x)
            y.backward(gradient)
            found.append([y.detach(), x.grad, norm.weight.grad, norm.bias.grad])
        for a, b in zip(*found, strict=True):
            assert torch.allclose(a, b, atol=1e-11)
        assert found[1][0].stride() == found[0][0].stride()
    for name, value in plain.state_dict().items():
        assert torch.allclose(fast.state_dict()[name].double(), value.double(), atol=1e-12), name
    plain.eval(), fast.eval()
    assert torch.allclose(fast(images), around.plain(images, plain, False), atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(fast(images), around.plain(images, plain, False), atol=1e-12)


def test_float32_is_as_near_to_float64_as_pytorch():
    torch.manual_seed(0)
    plain, fast = pair(Around(relu_before=True))
    images, gradient = torch.randn(64, 12, 20, 20), torch.randn(64, 12, 20, 20)
    found = []
    for norm, kind in ((plain, torch.float64), (plain, torch.float32), (fast, torch.float32)):
        norm.to(kind).zero_grad()
        x = images.to(kind, memory_format=torch.channels_last).requires_grad_()
        y = fast.around.plain(x, norm, True) if norm is plain else norm(x)
        y.backward(gradient.to(kind))
        found.append([y.detach(), x.grad, norm.weight.grad, norm.bias.grad])
    for truth, torchs, ours in zip(*found, strict=True):
        assert error(ours, truth) < max(1e-6, error(torchs, truth))


def error(found: Tensor, truth: Tensor) -> float:
    return float((found - truth).abs().max() / truth.abs().max())


@pytest.mark.parametrize("around", [Around(True, True, 0.3), Around(rate=0.5)])
def test_dropout_takes_its_share_of_output_and_gradient(around):
    torch.manual_seed(0)
    plain, fast = pair(around)
    images = torch.randn(50, 12, 8, 8).double().contiguous(memory_format=torch.channels_last).requires_grad_()
    y, whole = fast(images), Around(around.relu_before, around.relu_after).plain(images, plain, True)
    kept = y != 0
    assert torch.allclose(y[kept], whole[kept] / (1 - around.rate))
    share = float(kept.sum() / (whole != 0).sum())
    assert share == pytest.approx(1 - around.rate, abs=0.02)
    gradient = torch.randn_like(whole)
    y.backward(gradient)
    [expected] = torch.autograd.grad(whole, images, gradient * kept / (1 - around.rate))
    assert torch.allclose(images.grad, expected)


def test_large_means_do_not_spoil_the_variance():
    """Sums of squares would lose what is left of float32."""
    torch.manual_seed(0)
    images = (torch.randn(16, 4, 10, 10) * 0.01 + 100).to(memory_format=torch.channels_last)
    found = FusedBatchNorm2d(4)(images)
    assert torch.allclose(found, nn.BatchNorm2d(4).double()(images.double()).float(), atol=2e-2)
    assert found.std().item() == pytest.approx(1, abs=0.05)


def test_gradient_by_finite_differences():
    norm = pair(Around(relu_before=True))[1]
    images = torch.randn(2, 12, 3, 2).double().to(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: norm(x), (images,))


@pytest.mark.parametrize(
    ("kind", "shape", "order"),
    [
        (BatchNorm1d, (16, 4), torch.contiguous_format),
        (BatchNorm2d, (16, 4, 3, 5), torch.contiguous_format),
        (FusedBatchNorm2d, (16, 4, 3, 5), torch.contiguous_format),
        (FusedBatchNorm2d, (16, 4, 3, 5), torch.channels_last),
    ],
)
def test_debiased_averages_weigh_only_what_was_seen(kind, shape, order):
    torch.manual_seed(0)
    norm, plain = kind(4, 1e-3, 0.01, debias=True), kind(4, 1e-3, 0.01)
    batches = [(torch.randn(shape) * 0.2 + 7).contiguous(memory_format=order) for _ in range(3)]
    assert torch.equal(norm.eval()(batches[0]), plain.eval()(batches[0]))  # nothing seen
    for batch in batches:
        assert torch.equal(norm.train()(batch), plain.train()(batch))
    weights = torch.tensor([0.99**2, 0.99, 1]) / (0.99**2 + 0.99 + 1)
    others = [d for d in range(len(shape)) if d != 1]
    mean = sum(w * batch.mean(others) for w, batch in zip(weights, batches, strict=True))
    variance = sum(w * batch.var(others) for w, batch in zip(weights, batches, strict=True))
    along = (1, 4) + (1,) * (len(shape) - 2)
    expected = (batches[0] - mean.view(along)) / (variance.view(along) + 1e-3).sqrt()
    assert torch.allclose(norm.eval()(batches[0]), expected, atol=1e-3)
    assert (plain.eval()(batches[0]) - expected).abs().min() > 1
    assert all(torch.equal(norm.state_dict()[name], value) for name, value in plain.state_dict().items())


def test_evaluation_needs_no_further_kernel(monkeypatch):
    """One compiled for other types would cost seconds in the first validation."""
    compiled = passes.kernels()
    norm = pair()[1].float()
    images = torch.rand(4, 12, 5, 5).contiguous(memory_format=torch.channels_last)
    norm(images).sum().backward()
    names = ("sums", "transform", "gradient_sums", "gradient")
    before = {name: len(getattr(compiled, name).signatures) for name in names}
    with torch.no_grad():
        norm.eval()(images)
    assert {name: len(getattr(compiled, name).signatures) for name in names} == before


def test_without_numba_pytorchs_own_layers_train_and_it_is_said_once(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(sys.modules, "mnist_cnn.speed.kernels", None)
    monkeypatch.delattr("mnist_cnn.speed.kernels")
    passes.kernels.cache_clear()
    try:
        plain, fast = pair(Around(relu_before=True))
        images = torch.randn(4, 12, 5, 5).double().contiguous(memory_format=torch.channels_last)
        for _ in range(2):
            assert torch.allclose(fast(images), fast.around.plain(images, plain, True))
    finally:
        passes.kernels.cache_clear()
    assert [record.message for record in caplog.records if "numba" in record.message] == [
        "numba is not installed: batch norm and dropout take PyTorch's own, slower ways"
    ]


def test_without_a_folder_to_keep_them_in_kernels_are_compiled_all_the_same(monkeypatch):
    import numba.core.caching

    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(error)
    kept = sys.modules.pop("mnist_cnn.speed.kernels")
    try:
        again = importlib.import_module("mnist_cnn.speed.kernels")
        partial = np.zeros((1, 2, 1))
        again.sums(np.ones((2, 3), np.float32), np.float32(0), np.zeros(3, np.float32), partial)
        assert partial.ravel().tolist() == [6, 6]
    finally:
        sys.modules["mnist_cnn.speed.kernels"] = kept
        monkeypatch.setattr("mnist_cnn.speed.kernels", kept)
