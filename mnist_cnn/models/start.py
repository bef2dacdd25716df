"""Where training starts from: weights of another run, all of them or what fits; and layers that stay as they are."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor, nn

from mnist_cnn.errors import ConfigError, nearest

NAMED = 4  # of the tensors that do not fit; more are counted


def start_from(model: nn.Module, weights: Mapping[str, Any], source: str) -> str:
    """Takes over every tensor whose name and shape fit, and says in one line how many did.

    The others keep their first values: a head for other classes, say.

    Args:
        weights: by name; those of a bare net fit a net's `net.` too.

    Raises:
        ConfigError: none fits.
    """
    own = model.state_dict()
    given = {name: value for name, value in weights.items() if isinstance(value, Tensor)}
    if not given.keys() & own.keys():
        given = {f"net.{name}": value for name, value in given.items()}
    fit = {name: value for name, value in given.items() if name in own and value.shape == own[name].shape}
    if not fit:
        raise ConfigError([f"weights = {source}: none of its {len(given)} tensors fits the {len(own)} of this net"])
    with torch.no_grad():
        for name, value in fit.items():
            own[name].copy_(value)
    missing = [
        f"{name} ({_shape(own[name])}{f', there {_shape(given[name])}' if name in given else ''})"
        for name in own
        if name not in fit
    ]
    rest = missing[:NAMED] + ([f"and {len(missing) - NAMED} more"] if len(missing) > NAMED else [])
    return f"{len(fit)} of {len(own)} tensors from {source}" + (f"; new: {', '.join(rest)}" if rest else "")


def freeze(model: nn.Module, patterns: Sequence[str]) -> str:
    """Takes weights out of training, by patterns of their names such as `net.0.*`, and says in one line how many.

    Moving averages of batch norm go on.

    Raises:
        ConfigError: a pattern that no weight has, or nothing left to train.
    """
    named = dict(model.named_parameters())
    problems = []
    for pattern in patterns:
        found = [name for name in named if any(fnmatch(n, pattern) for n in (name, name.removeprefix("net.")))]
        problems += [] if found else [f"freeze: no weight is named {pattern!r}{nearest(pattern, named)}"]
        for name in found:
            named[name].requires_grad_(False)
    left = sum(parameter.numel() for parameter in named.values() if parameter.requires_grad)
    if not left and not problems:
        problems.append("freeze: nothing is left to train")
    if problems:
        raise ConfigError(problems)
    return f"{sum(not p.requires_grad for p in named.values())} of {len(named)} weights, {left:,} numbers are trained"


def _shape(tensor: Tensor) -> str:
    return " × ".join(str(n) for n in tensor.shape) or "one number"
