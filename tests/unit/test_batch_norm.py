"""The fast batch norm against PyTorch's own, in double precision: rounding far below what a mistake would show."""

import pytest
import torch
from torch import nn

from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.speed.batch_norm import FastBatchNorm2d


def pair() -> tuple[nn.BatchNorm2d, FastBatchNorm2d]:
    plain, fast = (kind(12, eps=1e-3, momentum=0.01).double() for kind in (nn.BatchNorm2d, FastBatchNorm2d))
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
def test_same_output_gradients_and_state(order):
    torch.manual_seed(0)
    plain, fast = pair()
    for _ in range(3):
        images = (torch.randn(8, 12, 7, 9).double() * 3 + 5).contiguous(memory_format=order)
        gradient = torch.randn(8, 12, 7, 9).double()
        found = []
        for norm in (plain, fast):
            norm.zero_grad()
            x = images.clone().requires_grad_()
            y = norm(x)
            y.backward(gradient)
            found.append([y.detach(), x.grad, norm.weight.grad, norm.bias.grad])
        for a, b in zip(*found, strict=True):
            assert torch.allclose(a, b, atol=1e-11)
    for name, value in plain.state_dict().items():
        assert torch.allclose(fast.state_dict()[name].double(), value.double(), atol=1e-12), name
    assert torch.allclose(fast.eval()(images), plain.eval()(images), atol=1e-12)


def test_large_means_do_not_spoil_the_variance():
    """Sums of squares would lose what is left of float32."""
    torch.manual_seed(0)
    images = (torch.randn(16, 4, 10, 10) * 0.01 + 100).to(memory_format=torch.channels_last)
    found = FastBatchNorm2d(4)(images)
    assert torch.allclose(found, nn.BatchNorm2d(4).double()(images.double()).float(), atol=2e-2)
    assert found.std().item() == pytest.approx(1, abs=0.05)


def test_gradient_by_finite_differences():
    norm = pair()[1]
    images = torch.randn(2, 12, 3, 2).double().to(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: norm(x), (images,))


@pytest.mark.parametrize(
    ("kind", "shape", "order"),
    [
        (BatchNorm1d, (16, 4), torch.contiguous_format),
        (BatchNorm2d, (16, 4, 3, 5), torch.contiguous_format),
        (FastBatchNorm2d, (16, 4, 3, 5), torch.contiguous_format),
        (FastBatchNorm2d, (16, 4, 3, 5), torch.channels_last),
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
