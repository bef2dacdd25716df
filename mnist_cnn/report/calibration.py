"""How far to trust each class and each probability of a net."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

BINS = 15  # of equal width, as Guo, Pleiss, Sun and Weinberger (2017) have it
COLDEST, HOTTEST = 0.05, 20.0  # temperatures that are looked at
NEARLY = 1.5  # an end as good as reached


@dataclass(frozen=True)
class ClassFigures:
    """Args: precision: None where the class is never predicted; images: of the class."""

    name: str
    precision: float | None
    recall: float | None
    f1: float
    images: int


@dataclass(frozen=True)
class Bin:
    """Images whose best class has a probability within the bin: its mean, the share that is right, and their number."""

    confidence: float
    accuracy: float
    images: int


def class_figures(logits: Tensor, labels: Tensor, names: Sequence[str]) -> list[ClassFigures]:
    """Args: logits: (N, classes); labels: (N,)."""
    predicted, found = logits.argmax(1), []
    for label, name in enumerate(names):
        right = int(((predicted == label) & (labels == label)).sum())
        said, true = int((predicted == label).sum()), int((labels == label).sum())
        f1 = 2 * right / (said + true) if said + true else 0.0
        found.append(ClassFigures(name, right / said if said else None, right / true if true else None, f1, true))
    return found


def calibration(logits: Tensor, labels: Tensor) -> tuple[float, list[Bin]]:
    """The expected calibration error, and the bins that it is the weighted mean distance of."""
    confidence, predicted = (values.numpy() for values in logits.double().softmax(1).max(1))
    right = predicted == labels.numpy()
    places = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    bins = []
    for place in range(BINS):
        own = places == place
        if own.any():
            bins.append(Bin(float(confidence[own].mean()), float(right[own].mean()), int(own.sum())))
    error = sum(each.images * abs(each.confidence - each.accuracy) for each in bins) / max(1, len(labels))
    return error, bins


def fitted_temperature(logits: Tensor, labels: Tensor) -> float | None:
    """What logits are to be divided by so that the cross-entropy is least: of images that were not trained on.

    None where no image is wrong, so that colder is always better, and where the hottest is best, of a net that knows
    nothing.
    """
    if bool((logits.argmax(1) == labels).all()):
        return None
    exact = logits.double()

    def loss(logarithm: float) -> float:
        return float(F.cross_entropy(exact / float(np.exp(logarithm)), labels))

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    temperature = float(np.exp(found.x))
    return temperature if COLDEST * NEARLY < temperature < HOTTEST / NEARLY else None


def prediction_rows(logits: Tensor, labels: Tensor) -> list[dict[str, str]]:
    """As in predictions.csv."""
    probability, predicted = logits.float().softmax(1).max(1)
    triples = zip(labels.tolist(), predicted.tolist(), probability.tolist(), strict=True)
    return [
        {"image": str(i), "label": str(label), "predicted": str(said), "probability": f"{sure:.4f}"}
        for i, (label, said, sure) in enumerate(triples)
    ]


def mean_of_probabilities(members: Sequence[Tensor]) -> Tensor:
    """Logits (N, classes) of an ensemble: the logarithm of the mean of its members' probabilities."""
    return torch.stack([logits.double().softmax(1) for logits in members]).mean(0).clamp_min(1e-300).log()
