"""FusedDropout against the definition of dropout."""

import math

import pytest
import torch

from mnist_cnn.speed.fused import FusedDropout
from mnist_cnn.speed.passes import Around


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def masks(rate: float, *shape: int, calls: int = 1) -> torch.Tensor:
    layer = FusedDropout(Around(rate=rate))
    return torch.stack([(layer(torch.ones(shape)) == 0).double() for _ in range(calls)])


@pytest.mark.parametrize("rate", [1e-5, 0.098, 0.1, 0.25, 0.5, 0.9])
def test_rate_and_expectation(rate):
    x = torch.ones(997, 1003)
    y = FusedDropout(Around(rate=rate))(x)
    spread = math.sqrt(rate * (1 - rate) / x.numel())
    assert float((y == 0).double().mean()) == pytest.approx(rate, abs=5 * spread)
    assert y.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
    assert float(y.double().mean()) == pytest.approx(1, abs=5 * spread / (1 - rate))


def test_neighbours_channels_images_steps_and_layers_are_independent():
    drawn = masks(0.3, 16, 8, 20, 20, calls=6) - 0.3
    n = drawn[0].numel()
    variance = 0.3 * 0.7
    for dim in range(1, 5):
        for lag in (1, 2, 3, 4):
            if drawn.shape[dim] > lag:
                a, b = (drawn.narrow(dim, start, drawn.shape[dim] - lag) for start in (0, lag))
                correlation = float((a * b).mean()) / variance
                assert abs(correlation) < 5 / math.sqrt(a.numel())
    for step in range(1, 6):
        assert abs(float((drawn[0] * drawn[step]).mean()) / variance) < 5 / math.sqrt(n)


def test_the_share_per_image_varies_as_that_of_independent_draws():
    share = masks(0.2, 4000, 500)[0].mean(dim=1)
    assert float(share.var()) == pytest.approx(0.2 * 0.8 / 500, rel=0.15)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_has_the_same_mask_and_the_memory_order_is_kept(memory_format):
    x = torch.randn(4, 6, 10, 10).contiguous(memory_format=memory_format).requires_grad_()
    y = FusedDropout(Around(rate=0.4))(x)
    assert y.is_contiguous(memory_format=memory_format)
    y.sum().backward()
    assert torch.allclose(y, x * x.grad)
    assert torch.equal(x.grad == 0, y == 0)


def test_a_view_with_gaps():
    x = torch.randn(8, 12)[:, ::2].requires_grad_()
    y = FusedDropout(Around(rate=0.5))(x)
    y.sum().backward()
    assert torch.allclose(y, x * x.grad)


def test_bf16_keeps_the_expectation():
    y = FusedDropout(Around(rate=0.1))(torch.ones(400, 1000, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    assert float(y.double().mean()) == pytest.approx(1, abs=5e-3)


def test_evaluation_changes_nothing_and_draws_nothing():
    layer, x = FusedDropout(Around(rate=0.5)).eval(), torch.randn(10)
    state = torch.get_rng_state()
    assert torch.equal(layer(x), x)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_decides():
    torch.manual_seed(7)
    first = masks(0.5, 10, 10)
    torch.manual_seed(7)
    assert torch.equal(first, masks(0.5, 10, 10))
    assert not torch.equal(first, masks(0.5, 10, 10))


@pytest.mark.parametrize("rate", [0.0, 1e-6, 1 - 1e-9])
def test_extreme_rates_stay_finite(rate):
    y = FusedDropout(Around(rate=rate))(torch.ones(10, 100))
    assert y.isfinite().all()


def test_the_mask_does_not_hang_on_the_number_of_threads():
    found = []
    for threads in (1, 3):
        torch.manual_seed(0)
        torch.set_num_threads(threads)
        found.append(masks(0.3, 3001, 601))
    torch.set_num_threads(1)
    assert torch.equal(*found)


def test_nothing_and_a_relu_before():
    layer = FusedDropout(Around(rate=0.5))
    assert layer(torch.empty(0, 3)).shape == (0, 3)
    x = torch.randn(50, 60).requires_grad_()
    y = FusedDropout(Around(relu_before=True, rate=0.25))(x)
    y.sum().backward()
    assert torch.allclose(y, x * x.grad)
    assert torch.allclose(y[y != 0], (x / 0.75)[y != 0])
    assert 0 < int((y == 0).sum() - (x <= 0).sum()) < 1000
