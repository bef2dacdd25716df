"""Batch norm with the moving averages of early Keras."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """PyTorch's batch norm, whose moving averages can leave out what they started from.

    Without that the mean starts from 0 and the variance from 1, and with a weight of 0.01 for the newest batch a tenth
    of it is still there after 230 batches. Keras 2.1.3 to 2.2 on TensorFlow (`zero_debias`) divides it out, as Adam
    does (Kingma and Ba, 2015, section 3). Here the averages are kept as PyTorch keeps them, with the share that the
    start has in them, and corrected where they are used: training is the same with and without. (PyTorch's count of
    batches would not do for the share: averaging weights rounds it down.)

    Args:
        debias: leave out the start.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    start: Tensor
    momentum: float

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, debias: bool = False) -> None:
        super().__init__(num_features, eps, momentum)
        self.debias = debias
        if debias:
            self.register_buffer("start", torch.ones(()))

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            self.forget_start()
        if self.training or not self.debias:
            return super().forward(input)
        return F.batch_norm(input, *self.averages(), self.weight, self.bias, eps=self.eps)

    def averages(self) -> tuple[Tensor, Tensor]:
        """Mean and variance (C,) for use after training."""
        if not self.debias:
            return self.running_mean, self.running_var
        start = torch.where(self.start < 1, self.start, 0)  # with no batch seen there is nothing else
        return self.running_mean / (1 - start), (self.running_var - start) / (1 - start)

    def forget_start(self) -> None:
        """To be called for every batch in training."""
        if self.debias:
            with torch.no_grad():
                self.start.mul_(1 - self.momentum)


class BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    pass


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    pass
