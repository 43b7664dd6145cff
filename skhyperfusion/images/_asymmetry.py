"""Left and right by what the images show: a head whose asymmetry runs against that of the others.

Heads are not symmetric, and on the whole alike in how they are not (the right frontal and the left occipital
lobe are larger in most). A header that calls left right shows as the opposite.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skhyperfusion.images._voxels._geometry import (
    Grid,
    crop_voxels,
    foreground_box,
    resample_to_shape,
    resample_voxels,
)

_SIDE = 12  # cells along each axis: lobes, not folds, and what a scan's position shifts little
_N_LEAST = 40  # images from which the mean of the others is certain enough
# How far below zero a correlation must lie: of 40 brains of IXI, 2 in 100 then lie there wrongly.
_MARGIN = 0.1
_LEAST = 0.1  # the least correlation of most images with the others that says anything
# A larger part is another kind of head (a lesion on the other side), not a fault of headers.
_MOST_TURNED = 0.1
# Of fewer images one false alarm is more than one in a hundred: there a correlation must also lie so many
# standard deviations below the usual one.
_N_LARGE, _N_DEVIATIONS = 100, 4.0
_N_ERRORS = 4.0  # and how many standard errors it must lie above zero


def asymmetry(voxels: np.ndarray) -> np.ndarray | None:
    """Return how the right half of (C, X, Y, Z) in RAS differs from the left, as a vector of length one.

    The head's bounding box is stretched over a coarse grid first, so that size and position count little.
    None for a picture, and for what is symmetric or not finite.
    """
    if voxels.ndim != 4:
        return None
    first = voxels[:1].astype(np.float32)
    every = tuple(slice(None, None, max(1, n // 64)) for n in first.shape)
    low, high = np.percentile(first[every], [2, 98])
    if not np.isfinite(low) or not np.isfinite(high) or not low < high:
        return None
    head = crop_voxels(first, foreground_box(first > low + 0.1 * (high - low)))
    shape = (_SIDE,) * 3
    coarse = resample_voxels(head, resample_to_shape(Grid(head.shape[1:], None), shape))[0]
    half = (coarse - coarse[::-1])[: _SIDE // 2].ravel()
    length = np.linalg.norm(half)
    if not np.isfinite(length) or length <= 1e-6 * np.linalg.norm(coarse):
        return None
    return half / length


def perhaps_swapped(asymmetries: Sequence[np.ndarray]) -> np.ndarray:
    """Return which images to tell of: bool (n_images,)."""
    odd, _ = against_the_others(asymmetries)
    if not odd.any() or odd.sum() > _MOST_TURNED * len(odd):
        return np.zeros_like(odd)
    if len(odd) >= _N_LARGE:
        return odd
    correlations = _with_the_others(np.where(odd, -1, 1)[:, None] * np.stack(asymmetries))
    usual, spread = _middle(correlations)
    return odd & (-correlations < usual - _N_DEVIATIONS * spread)


def against_the_others(asymmetries: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Return which images are asymmetric the other way, and most images' correlation with the others.

    Each is correlated with the mean of the others, and the one that most looks turned is turned back, until
    none does. Where most images do not resemble each other in this, as in noise or in symmetric phantoms,
    none is told.

    Returns
    -------
    odd : ndarray of shape (n_images,), bool
    usual : float
        The median of the correlations; NaN for fewer than 40 images.
    """
    odd = np.zeros(len(asymmetries), dtype=bool)
    if len(asymmetries) < _N_LEAST:
        return odd, np.nan
    stacked = np.stack(asymmetries)
    correlations = _with_the_others(stacked)
    usual, spread = _middle(correlations)
    if usual < max(_N_ERRORS * spread / np.sqrt(len(stacked)), _LEAST):
        return odd, float(usual)
    for _ in range(len(stacked) // 2):
        signs = np.where(odd, -1, 1)
        correlations = _with_the_others(signs[:, None] * stacked)
        least = int(np.argmin(correlations))
        if correlations[least] > -_MARGIN:
            break
        odd[least] = not odd[least]
    return odd, float(usual)


def _middle(values: np.ndarray) -> tuple[float, float]:
    """Return the median, and the standard deviation that the median distance from it stands for."""
    middle = np.median(values)
    return middle, 1.4826 * np.median(np.abs(values - middle))


def _with_the_others(stacked: np.ndarray) -> np.ndarray:
    """Return each row's correlation with the mean of the other rows."""
    others = stacked.sum(axis=0) - stacked
    lengths = np.linalg.norm(others, axis=1)
    return (stacked * others).sum(axis=1) / np.where(lengths > 0, lengths, 1)
