"""Batch norm with the moving averages of early Keras."""

import pytest
import torch

from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d


@pytest.mark.parametrize(("kind", "shape"), [(BatchNorm1d, (16, 4)), (BatchNorm2d, (16, 4, 3, 5))])
def test_debiased_averages_weigh_only_what_was_seen(kind, shape):
    torch.manual_seed(0)
    norm, plain = kind(4, 1e-3, 0.01, debias=True), kind(4, 1e-3, 0.01)
    batches = [torch.randn(shape) * 0.2 + 7 for _ in range(3)]
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
