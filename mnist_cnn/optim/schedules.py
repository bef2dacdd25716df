"""The schedules that PyTorch lacks, each a function that returns one of PyTorch's."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

from mnist_cnn.values import Count, NotNegative, Positive, PositiveShare, Share, Unit


def inverse_time(optimizer: Optimizer, decay: NotNegative, restart_every: Count | None = None) -> LambdaLR:
    """lr / (1 + decay * epoch), rounded to 10 decimals, as the documents' Keras `LearningRateScheduler` sets it.

    `decay` is per epoch, epochs counted from 0, and from 0 again after every `restart_every` epochs: a notebook's
    fit cell run once more.
    """
    highest = optimizer.param_groups[0]["lr"]

    def factor(epoch: int) -> float:
        since_start = epoch % restart_every if restart_every else epoch
        return round(highest / (1 + decay * since_start), 10) / highest

    return LambdaLR(optimizer, factor)


def exponential(optimizer: Optimizer, rate: Positive, decay_steps: Count) -> LambdaLR:
    """lr * rate ** (step / decay_steps): Keras' `ExponentialDecay` without its staircase."""
    return LambdaLR(optimizer, lambda step: rate ** (step / decay_steps))


def one_cycle(
    optimizer: Optimizer, total_steps: int, warmup_fraction: Share, start_factor: PositiveShare
) -> OneCycleLR:
    """Cosine up to the optimizer's own learning rate, then cosine down to nothing, in `total_steps` steps.

    Every part of the net has its own peak. Beta1 (or momentum) cycles between 0.95 and 0.85 the other way round, as
    PyTorch's `OneCycleLR` does by default. Smith and Topin, Super-convergence, 2018.
    """
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total_steps,
        pct_start=warmup_fraction,
        div_factor=1 / start_factor,
        cycle_momentum=any(key in optimizer.defaults for key in ("betas", "momentum")),
    )


def cosine_with_warmup(optimizer: Optimizer, total_steps: int, warmup_fraction: Share, final_factor: Unit) -> LambdaLR:
    """Linear warm-up over `warmup_fraction` of the steps, then half a cosine down to `final_factor` of the rate.

    Loshchilov and Hutter, SGDR, 2017 (without restarts).
    """
    warmup = round(total_steps * warmup_fraction)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, factor)
