"""Names for what public functions take: any table, any array, a path, a seed, an estimator."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np


class ArrayLike(Protocol):
    """What has rows: an array, list or Series, a table; no number, no iterator."""

    def __len__(self) -> int:
        """Count the rows."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return some of it."""

    def __iter__(self) -> Iterator[Any]:
        """Go through it."""


class Estimator(Protocol):
    """What `sklearn.base.clone` takes and a search can set: no class is asked for, only these methods."""

    @property
    def fit(self) -> Callable[..., Any]:
        """What learns."""

    @property
    def get_params(self) -> Callable[..., dict[str, Any]]:
        """What tells the parameters."""

    @property
    def set_params(self) -> Callable[..., Any]:
        """What sets them."""


class Transformer(Protocol):
    """What has `fit` and `transform`."""

    @property
    def fit(self) -> Callable[..., Any]:
        """What learns."""

    @property
    def transform(self) -> Callable[..., Any]:
        """What changes rows."""


class Splitter(Protocol):
    """A cross-validator of scikit-learn's kind."""

    @property
    def split(self) -> Callable[..., Iterable[Any]]:
        """What yields pairs (train, test)."""


TableLike: TypeAlias = ArrayLike
# A DataFrame where `set_output` asked for one.
Transformed: TypeAlias = np.ndarray | Any
PathLike: TypeAlias = str | os.PathLike[str]
Seed: TypeAlias = int | np.random.RandomState | None
Columns: TypeAlias = str | int | Sequence[str | int]
Names: TypeAlias = str | Sequence[str] | None
Folds: TypeAlias = int | Splitter | Iterable[tuple[ArrayLike, ArrayLike]]
# A name, or what is called with (estimator, X, y).
Scorer: TypeAlias = str | Callable[..., float]
Scorers: TypeAlias = Scorer | Sequence[Scorer] | Mapping[str, Scorer]

Augmentation: TypeAlias = Literal["shift", "light", "medical"] | Callable[..., Any] | None
FeatureMethod: TypeAlias = Literal["pca", "voxels"] | Callable[[int, int], Any]
Backbone: TypeAlias = Literal["resnet", "vgg", "resnet-paper", "vgg-paper"] | Callable[[int, int], Any]
Fusion: TypeAlias = Literal[
    "hyper", "concat", "film", "daft", "tabattention", "max", "multiply", "reverse", "late", "image",
    "tabular",
]  # fmt: skip
HyperInit: TypeAlias = Literal["principled", "residual"]
Optimizer: TypeAlias = Literal["adamw", "adam", "sgd"] | Callable[..., Any]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float64"]
Schedule: TypeAlias = Literal["cosine"] | Callable[[Any], Any] | None
Voting: TypeAlias = Literal["confidence", "confidence_hard", "most_confident", "soft", "hard"]

# A box in voxels, (start, stop) for each axis.
Crop: TypeAlias = Literal["foreground"] | Sequence[Sequence[int]] | Callable[[np.ndarray], Any] | None
Intensity: TypeAlias = (
    Literal["zscore", "minmax", "percentile"] | Sequence[float] | Callable[[np.ndarray], np.ndarray] | None
)

OnOdd: TypeAlias = Literal["warn", "ignore", "raise"] | Mapping[str, Literal["warn", "ignore", "raise"]]
Imputer: TypeAlias = Literal["iterative", "median", "knn"] | Transformer | None
MissingValues: TypeAlias = Sequence[str | float] | Mapping[str, Sequence[str | float]]
