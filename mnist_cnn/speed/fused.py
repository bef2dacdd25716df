"""ReLU, batch norm and dropout as one layer on a CPU, in half the passes over memory that they take alone."""

from typing import Any

import torch
from torch import Tensor, nn

from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.speed.passes import NOTHING_DROPPED, Around, Drop, Normalize, in_rows, kernels, transform


class _Fused:
    """Batch norm (Ioffe and Szegedy, 2015) with the ReLU and the dropout (Srivastava et al., 2014) around it.

    Same function, gradient and state; the rate of dropout is rounded to a multiple of 2**-32, and each step seeds its
    masks from PyTorch's global generator. In compiled graphs, mixed precision and memory orders other than
    channels_last, and elsewhere than on a CPU, these are PyTorch's layers.
    """

    around = Around()

    def forward(self: Any, input: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) to the same shape."""
        asked = self.training or not torch.is_grad_enabled()  # a gradient in evaluation is rare
        if not asked or not in_rows(input) or input.dtype != self.weight.dtype or len(input) < 2:
            return self.around.plain(input, super().forward, self.training)  # type: ignore[misc]
        if self.training:
            output, mean, variance = Normalize.apply(input, self.weight, self.bias, self.eps, self.around)
            count = input.numel() // self.num_features
            self.forget_start()
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
                self.num_batches_tracked.add_(1)
            return output
        mean, variance = self.averages()
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return transform(input, self.around, scale.detach().numpy(), shift.detach().numpy(), NOTHING_DROPPED)


class FusedBatchNorm1d(_Fused, BatchNorm1d):
    pass


class FusedBatchNorm2d(_Fused, BatchNorm2d):
    pass


class FusedDropout(nn.Dropout):
    """Dropout with the ReLU before it, as `FusedBatchNorm2d` does them."""

    def __init__(self, around: Around) -> None:
        super().__init__(around.rate)
        self.around = around

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        flat = input.ndim == 4 and input.is_contiguous()  # as good as any order: no channel differs here
        rows = input.flatten(1) if flat else input
        if not self.training or not in_rows(rows):
            return self.around.plain(input, nn.Identity(), self.training)
        return Drop.apply(rows, self.around).view_as(input)


def fuse(net: nn.Sequential) -> None:
    """Puts each batch norm and dropout of a net with the ReLUs next to it; what is in it then does nothing.

    Names of weights stay the same.
    """
    if any(isinstance(module, BatchNorm1d | BatchNorm2d | nn.Dropout) for module in net):
        kernels()  # compiled before any step is timed
    for i, module in enumerate(net):
        if isinstance(module, BatchNorm1d | BatchNorm2d):
            before, after = _is_relu(net, i - 1), _is_relu(net, i + 1)
            then = i + 1 + after
            last: Any = net[then] if then < len(net) else None
            rate = last.p if isinstance(last, nn.Dropout) else None
            kind = FusedBatchNorm2d if isinstance(module, BatchNorm2d) else FusedBatchNorm1d
            fused: Any = kind(module.num_features, module.eps, module.momentum, module.debias)
            fused.to(module.weight.dtype).load_state_dict(module.state_dict())
            fused.around = Around(before, after, rate or 0.0)
            net[i] = fused
            gone = [i - 1] * before + [i + 1] * after + [then] * (rate is not None)
        elif isinstance(module, nn.Dropout) and not isinstance(module, FusedDropout):
            before = _is_relu(net, i - 1)
            net[i] = FusedDropout(Around(relu_before=before, rate=module.p))
            gone = [i - 1] * before
        else:
            continue
        for j in gone:
            net[j] = nn.Identity()


def _is_relu(net: nn.Sequential, i: int) -> bool:
    return 0 <= i < len(net) and type(net[i]) is nn.ReLU
