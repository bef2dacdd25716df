"""The group `speed`: which measures are taken, and how they change a net. What is computed stays the same function."""

import contextlib
import ctypes
import functools
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.errors import ConfigError
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.net import NetClassifier
from mnist_cnn.optim import can_fuse, flattens
from mnist_cnn.speed import huge_pages
from mnist_cnn.speed.cuda_graph import CudaGraphs

if TYPE_CHECKING:
    from mnist_cnn.speed.fast import FastNet  # Numba takes a while to import

log = logging.getLogger(__name__)
Net = Callable[[nn.Module, Tensor], Tensor]  # calls a net on images
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
PR_SET_THP_DISABLE, PR_GET_THP_DISABLE = 41, 42  # linux/prctl.h
# Bytes; larger blocks, such as those of validation, would tear the heap, which would grow with every epoch.
KEPT_UP_TO = 2**26
KEPT_WITHOUT_HUGE_PAGES = 2**23
# What glibc's own sliding thresholds come to after blocks as large as PyTorch's were freed; fixed ones cannot be unset.
USUAL_TRIM, USUAL_MMAP = 2**26, 2**25
COMPILERS = {"darwin": "clang++", "win32": "cl"}
FLATTENED_AT_MOST = 10_000  # flattening reorders channels_last images; with more numbers that costs more than it saves


class Speed:
    """Each argument switches one measure on.

    Args:
        keep_memory: glibc keeps freed blocks up to `KEPT_UP_TO`; by default it returns large ones to the system after
            every step, which then faults in thousands of pages again. No effect with another C library. Without it no
            huge pages either (`speed.huge_pages`): to clear them anew in every step costs more than they save.
        channels_last: memory order of the images and of the convolutions' weights, unless a large image is flattened;
            not with `fused_layers`, which have their own.
        fused_layers: the package's own kernels for the layers of a flat net, on a CPU (`speed.fast`).
        pool_first: a ReLU that is followed by max-pooling changes places with it: the same function and gradient.
        fused_optimizer: one pass over the weights per step where PyTorch's optimizer has such a form (Adam, AdamW, SGD,
            Adagrad). Where gradients vanish it also avoids a slow path of the CPU for numbers below 1e-38.
        compile: `torch.compile` for the net while it trains: fewer passes over memory, after a wait at the start. Full
            batches only. Needs a C++ compiler on a CPU.
        cuda_graph: on a GPU the images lie on it, and a step is recorded once and replayed (`speed.cuda_graph`).

    Raises:
        ConfigError: `compile` without a C++ compiler.
    """

    def __init__(
        self,
        keep_memory: bool,
        channels_last: bool,
        fused_layers: bool,
        pool_first: bool,
        fused_optimizer: bool,
        compile: bool,
        cuda_graph: bool,
    ) -> None:
        compiler = os.environ.get("CXX", COMPILERS.get(sys.platform, "g++"))  # as PyTorch looks for it
        if compile and not torch.cuda.is_available() and shutil.which(compiler) is None:
            raise ConfigError([f"speed.compile = true: needs a C++ compiler, and there is no {compiler!r} on the PATH"])
        self.keep_memory, self.channels_last = keep_memory, channels_last
        self.fused_layers, self.pool_first = fused_layers, pool_first
        self.fused_optimizer, self.compile = fused_optimizer, compile
        self.cuda_graph = cuda_graph

    @contextlib.contextmanager
    def memory(self) -> Iterator[None]:
        """Sets how the process keeps freed memory, and puts it back."""
        if sys.platform != "linux":
            yield
            return
        libc = ctypes.CDLL(None)
        before = libc.prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0)
        keeps = self.keep_memory and hasattr(libc, "mallopt")
        kept = KEPT_UP_TO if huge_pages.asked_for() else KEPT_WITHOUT_HUGE_PAGES
        _set_memory(libc, not self.keep_memory, (2**31 - 1, kept) if keeps else None)
        try:
            yield
        finally:
            _set_memory(libc, bool(before), (USUAL_TRIM, USUAL_MMAP) if keeps else None)
            if keeps:
                libc.malloc_trim(0)

    def apply(self, model: Classifier, mixed: bool = False, clips: bool = False, on_gpu: bool = False) -> None:
        """Changes the model in place; the names of the weights in a checkpoint stay the same.

        Args:
            mixed: in mixed precision, which PyTorch's own layers do.
            clips: gradients are clipped: Lightning refuses fused optimisers there, in mixed precision.
            on_gpu: it will train on one, where the kernels for a CPU are of no use.
        """
        make = model.optimizer
        if (net := _flat(model)) is not None:
            model.call_net = fast_net() if self.fused_layers and not mixed and not on_gpu else None
            in_rows = self.channels_last and model.call_net is None and not (make and flattens(make, model))
            self._rebuild(net, in_rows)
        if self.fused_optimizer and not (mixed and clips) and make and can_fuse(make):
            model.optimizer = functools.partial(make, fused=True)
        if self.compile:
            model.call_net = Compiled()

    def callbacks(self, data: pl.LightningDataModule) -> list[pl.Callback]:
        """What a Trainer needs for those measures that take effect in it."""
        return [CudaGraphs(data)] if self.cuda_graph and isinstance(data, ImageDataModule) else []

    def _rebuild(self, net: nn.Sequential, in_rows: bool) -> None:
        widest = max((m.in_features for m in net if isinstance(m, nn.Linear)), default=0)
        for i, module in enumerate(net):
            if self.pool_first and i > 0 and isinstance(module, nn.MaxPool2d) and isinstance(net[i - 1], nn.ReLU):
                net[i - 1], net[i] = module, net[i - 1]
        if in_rows and widest <= FLATTENED_AT_MOST:
            net.to(memory_format=torch.channels_last)


def _set_memory(libc: ctypes.CDLL, without_huge_pages: bool, thresholds: tuple[int, int] | None) -> None:
    libc.prctl(PR_SET_THP_DISABLE, *(ctypes.c_ulong(value) for value in (without_huge_pages, 0, 0, 0)))
    if thresholds is not None:
        libc.mallopt(M_TRIM_THRESHOLD, thresholds[0])
        libc.mallopt(M_MMAP_THRESHOLD, thresholds[1])


@functools.cache
def _fast_nets() -> "type[FastNet] | None":
    """None without Numba, which is then said once."""
    try:
        from mnist_cnn.speed.fast import FastNet
    except ImportError:
        log.info("numba is not installed: the layers take PyTorch's own, slower ways")
        return None
    return FastNet


def fast_net() -> Net | None:
    """Ready to run: what it needs is compiled before anybody looks at a clock."""
    make = _fast_nets()
    if make is None:
        return None
    net = make()
    net.prepare()
    return net


def hasten_answers(model: nn.Module) -> None:
    """Answers of a flat net on a CPU come from the package's own kernels from now on: worth it for 10,000 images."""
    if isinstance(model, Classifier) and _flat(model) is not None and model.call_net is None:
        model.call_net = fast_net()


def _flat(model: Classifier) -> nn.Sequential | None:
    """Its net, where that is one layer after the other and nothing else."""
    return model.net if type(model.net) is nn.Sequential and not isinstance(model, NetClassifier) else None


class Compiled:
    """`torch.compile` while training, for full batches."""

    def __init__(self) -> None:
        self.compiled, self.batch = torch.compile(_call, dynamic=False), 0

    def __call__(self, net: nn.Module, images: Tensor) -> Tensor:
        self.batch = self.batch or (len(images) if net.training else 0)
        full = net.training and len(images) == self.batch  # the last, short one is not worth compiling for
        return self.compiled(net, images) if full else net(images)


def _call(net: nn.Module, images: Tensor) -> Tensor:
    return net(images)
