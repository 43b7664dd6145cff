"""Rules that make the brightness of images comparable."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from skhyperfusion._typing import Intensity
from skhyperfusion._wording import did_you_mean
from skhyperfusion.images._formats._raw import BadImage

RULES = ("zscore", "minmax", "percentile")
PERCENTILES = (1.0, 99.0)


def check_intensity(rule: Any) -> None:
    """Refuse what is no rule, naming the nearest."""
    pair = isinstance(rule, tuple | list) and len(rule) == 2
    if (
        pair
        and all(isinstance(p, Real) and not isinstance(p, bool) for p in rule)
        and 0 <= rule[0] < rule[1] <= 100
    ):
        return
    if rule is None or callable(rule) or (isinstance(rule, str) and rule in RULES):
        return
    hint = did_you_mean(rule, RULES) if isinstance(rule, str) else ""
    raise ValueError(
        "The 'intensity' parameter of ImageLoader must be 'zscore', 'minmax', 'percentile', a pair of "
        f"percentiles such as (1, 99), None or a callable. Got {rule!r} instead{hint}."
    )


def intensity_name(rule: Intensity) -> str:
    """Return how `ImageSpec` calls the rule."""
    if callable(rule):
        names = (getattr(rule, name, None) for name in ("__qualname__", "__name__"))  # a ufunc has the second
        return next(filter(None, names), type(rule).__qualname__)
    return str(tuple(rule)) if isinstance(rule, tuple | list) else str(rule)


def apply_intensity(voxels: np.ndarray, rule: Intensity) -> np.ndarray:
    """Apply `rule` to one image (C, *S), float32; see `ImageLoader` for the rules."""
    if rule is None:
        return voxels
    if callable(rule):
        return _checked(call_users(rule, voxels, "intensity"), voxels.shape)
    if rule == "zscore":
        return _zscore(voxels)
    if rule == "minmax":
        return _scale(voxels, float(voxels.min()), float(voxels.max()))
    percentiles = PERCENTILES if isinstance(rule, str) else rule
    filled = voxels[:, (voxels != 0).any(axis=0)]
    low, high = (float(p) for p in np.percentile(filled if filled.size else voxels, percentiles))
    if _is_flat(low, high):  # a mask (one value besides zero) is no constant image
        low, high = float(voxels.min()), float(voxels.max())
    return np.clip(_scale(voxels, low, high), 0, 1)


def call_users(function: Callable, voxels: np.ndarray, parameter: str) -> Any:
    """Call a user's function on a copy, so that it may change what it is given."""
    try:
        return function(voxels.copy())
    except Exception as error:  # the caller adds the row, column and path that the function failed on
        said = " ".join(str(error).split())[:300] or "no further word"
        raise BadImage(
            f"made the function given as ImageLoader({parameter}=...) fail with {type(error).__name__}: "
            f"{said}."
        ) from error


def _zscore(voxels: np.ndarray) -> np.ndarray:
    filled = voxels[:, (voxels != 0).any(axis=0)]
    # A mask (one value besides zero) has no spread among its filled voxels, but it is no constant image.
    for values in (filled, voxels):
        if values.size:
            mean, spread = values.mean(dtype=np.float64), values.std(dtype=np.float64)
            if spread > 1e-6 * abs(mean):
                return (voxels - np.float32(mean)) / np.float32(spread)
    return np.zeros_like(voxels)


def _scale(voxels: np.ndarray, low: float, high: float) -> np.ndarray:
    if _is_flat(low, high):
        return np.zeros_like(voxels)
    return (voxels - np.float32(low)) / np.float32(high - low)


def _is_flat(low: float, high: float) -> bool:
    return high - low <= 1e-6 * max(abs(low), abs(high))


def _checked(voxels: object, shape: tuple[int, ...]) -> np.ndarray:
    voxels = np.asarray(voxels)
    if voxels.shape != shape:
        raise BadImage(
            f"came back from intensity=callable with shape {voxels.shape}. It is given (C, *S), here "
            f"{shape}, and must return the same shape."
        )
    return voxels.astype(np.float32, copy=False)
