"""What makes training faster without changing what it computes: the group `speed`."""

import ctypes
import functools
import inspect
import sys

import torch
from torch import nn

from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.dropout import FastDropout

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
FLATTENED_AT_MOST = 10_000  # flattening reorders channels_last images; with more numbers that costs more than it saves


class Speed:
    """Each argument switches one measure on.

    Args:
        keep_memory: glibc keeps freed memory; by default it returns large blocks to the system after every step,
            which then faults in thousands of pages again. No effect with another C library.
        channels_last: memory order of the images and of the convolutions' weights, unless a large image is flattened.
        fast_dropout: `FastDropout` in place of PyTorch's, on a CPU.
        pool_first: a ReLU that is followed by max-pooling changes places with it: the same function and gradient.
        fused_optimizer: one pass over the weights per step where PyTorch's optimizer has such a form (Adam, AdamW, SGD,
            Adagrad). Where gradients vanish it also avoids a slow path of the CPU for numbers below 1e-38.
    """

    def __init__(
        self, keep_memory: bool, channels_last: bool, fast_dropout: bool, pool_first: bool, fused_optimizer: bool
    ) -> None:
        self.keep_memory, self.channels_last = keep_memory, channels_last
        self.fast_dropout, self.pool_first = fast_dropout, pool_first
        self.fused_optimizer = fused_optimizer

    def prepare_process(self) -> None:
        if self.keep_memory and sys.platform == "linux":
            mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
            if mallopt is not None:
                mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
                mallopt(M_MMAP_THRESHOLD, 2**30)

    def apply(self, model: Classifier, clips_mixed: bool = False) -> None:
        """Changes the model in place; the names of the weights in a checkpoint stay the same.

        Args:
            clips_mixed: gradients are clipped in mixed precision: Lightning refuses fused optimisers there.
        """
        self._rebuild(model.net)
        make = model.optimizer
        if self.fused_optimizer and not clips_mixed and make and "fused" in inspect.signature(make).parameters:
            model.optimizer = functools.partial(make, fused=True)

    def _rebuild(self, net: nn.Sequential) -> None:
        widest = max((m.in_features for m in net if isinstance(m, nn.Linear)), default=0)
        if self.channels_last and widest <= FLATTENED_AT_MOST:
            net.to(memory_format=torch.channels_last)
        for i, module in enumerate(net):
            if self.fast_dropout and isinstance(module, nn.Dropout):
                net[i] = FastDropout(module.p)
            if self.pool_first and isinstance(module, nn.MaxPool2d) and isinstance(net[i - 1], nn.ReLU):
                net[i - 1], net[i] = module, net[i - 1]
