"""Training: the only room that knows skorch."""

from skhyperfusion._training._callbacks import ClassifierPredictions, RegressorPredictions, ValidationScore
from skhyperfusion._training._device import resolve_precision, seeded, spread_device
from skhyperfusion._training._train import train

__all__ = [
    "ClassifierPredictions",
    "RegressorPredictions",
    "ValidationScore",
    "resolve_precision",
    "seeded",
    "spread_device",
    "train",
]
