"""Dropout whose random numbers do not cost more than the convolutions around it."""

import numpy as np
import torch
from torch import Tensor, nn

LEVELS = 2**16
COARSE = 2**6 / LEVELS  # below this rate the rounding would be more than a percent of it


class FastDropout(nn.Dropout):
    """Inverted dropout (Srivastava et al., 2014) with 16 random bits per element, on a CPU.

    PyTorch's `bernoulli_` draws 53 bits per element, one at a time; here one 64-bit number of NumPy's SFC64, its
    fastest generator, serves four elements. The rate is rounded to a multiple of 1/65,536 (0.1 becomes 0.100006) and
    the survivors are scaled by exactly its inverse, so that the expectation is kept. Each call seeds its generator from
    PyTorch's global one, so a run repeats from its seed. Elsewhere than on a CPU, and for rates below 0.001, this is
    PyTorch's dropout.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        if not self.training or input.device.type != "cpu" or self.p < COARSE or not input.numel():
            return super().forward(input)
        dropped = min(round(self.p * LEVELS), LEVELS - 1)
        draw = _survivors_in_graph if torch.compiler.is_compiling() else _survivors
        return torch.mul(input, draw(input.detach(), dropped)).mul_(LEVELS / (LEVELS - dropped))


def _survivors(x: Tensor, dropped: int) -> Tensor:
    """1 where an element of `x` stays and 0 elsewhere, as `x` lies in memory."""
    count = x.numel()
    generator = np.random.Generator(np.random.SFC64(int(torch.randint(2**63 - 1, ()))))
    words = generator.integers(-(2**63), 2**63 - 1, size=(count + 3) // 4, endpoint=True)
    bits = torch.from_numpy(words).view(torch.int16)[:count]  # uniform in [-2**15, 2**15)
    kept = torch.ge(bits, dropped - LEVELS // 2, out=torch.empty(count, dtype=x.dtype))
    return kept.as_strided(x.size(), torch.empty_like(x, device="meta").stride())


# A graph's own random numbers are slow on a CPU, so a compiled net calls this function as it is. The tag keeps the
# compiler from merging two calls, or calling again in the backward pass.
_survivors_in_graph = torch.library.custom_op(
    "mnist_cnn::survivors", _survivors, mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,)
)
_survivors_in_graph.register_fake(lambda x, dropped: torch.empty_like(x))
