"""The way back: from the voxels of a loaded image to those of the image that it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from skhyperfusion.images._voxels import _geometry as geometry
from skhyperfusion.images._voxels._recipe import Recipe


@dataclass(frozen=True)
class Placement:
    """Of which stored voxels those of a view are made.

    Parameters
    ----------
    turn : Turn
        From the stored axes to the loaded ones.
    weights : tuple of sparse arrays (n_loaded, n_turned)
        For each axis after turning, how its positions are mixed: turning apart, all steps of a loader work
        axis by axis.
    """

    turn: geometry.Turn
    weights: tuple[sparse.csr_array, ...]

    def take(self, voxels: np.ndarray) -> np.ndarray:
        """Make a view (C, *S) of stored voxels (C, *S)."""
        return _along_axes(self.weights, self.turn(voxels))

    def put_back(self, view: np.ndarray) -> np.ndarray:
        """Give what each voxel of a view (C, *S) has to the stored voxels (C, *S) that it was made of.

        By their weights, so that sums are kept, but for what lies in filling beyond the stored image; and a
        derivative with respect to the view becomes one with respect to what is stored.
        """
        return self.turn.back(_along_axes([weight.T.tocsr() for weight in self.weights], view))


def put_back(placements: list[Placement], views: np.ndarray, *, level: bool) -> np.ndarray:
    """Put what is known of the voxels of all views (V, *S) in their places in the stored image (*S).

    Parameters
    ----------
    placements : list of Placement
        One for each view.
    views : ndarray (V, *S)
    level : bool
        False: sums are kept, as `Placement.put_back` does. True: a stored voxel gets the weighted mean of
        the voxels that it is part of, and zero where it is part of none.
    """
    pairs = list(zip(placements, views, strict=True))
    stored = sum(placement.put_back(view[None])[0] for placement, view in pairs)
    if not level:
        return stored
    share = sum(placement.put_back(np.ones_like(view)[None])[0] for placement, view in pairs)
    return np.divide(stored, share, out=np.zeros_like(stored), where=share > 1e-9)


def placements(recipe: Recipe, value: Any) -> tuple[list[Placement], np.ndarray, geometry.Grid]:
    """Return how an image is loaded by a recipe: the placement of each view, the stored voxels, their grid.

    Parameters
    ----------
    recipe : Recipe
        Of the loader.
    value : str, ndarray or nibabel image
        The image.
    """
    stored, header, _ = recipe.stored_voxels(value)
    origin = recipe.stored_grid(header)
    turn, grid = recipe.oriented(origin)
    resampling, resampled = recipe.resampled(grid)
    voxels = turn(stored)
    weights = [_shifted(n, n, 0) for n in grid.shape]
    if resampling is not None:
        weights = _then(weights, _resampled(grid, resampling))
        voxels = geometry.resample_voxels(voxels, resampling)
    views: list[list[Any]] = []
    for box in recipe.boxes(voxels, resampled):
        view, cropped = weights, resampled
        if box is not None:
            cut = [
                _shifted(n, stop - start, start) for n, (start, stop) in zip(cropped.shape, box, strict=True)
            ]
            view, cropped = _then(view, cut), geometry.crop_grid(cropped, box)
        step, shaped = recipe.shaped(cropped)
        if isinstance(step, geometry.Resampling):
            view = _then(view, _resampled(cropped, step))
        elif step is not None:
            window = zip(cropped.shape, step, strict=True)
            view = _then(view, [_shifted(n, m, (n - m) // 2) for n, m in window])
        views += [view] if recipe.bilateral is None else _halves(recipe, view, shaped)
    return [Placement(turn, tuple(view)) for view in views], stored, origin


def _along_axes(matrices, voxels):
    for axis, matrix in enumerate(matrices, start=1):
        front = np.moveaxis(voxels, axis, 0)
        moved = (matrix @ front.reshape(front.shape[0], -1)).reshape(matrix.shape[0], *front.shape[1:])
        voxels = np.moveaxis(moved, 0, axis)
    return voxels


def _then(weights, following):
    return [after @ before for before, after in zip(weights, following, strict=True)]


def _resampled(grid, resampling):
    parts = zip(grid.shape, resampling.shape, resampling.scale, resampling.start, strict=True)
    return [geometry.triangle_weights(*part).astype(np.float64) for part in parts]


def _shifted(n_in, n_out, start):
    """Position i of the result is position start + i, or nothing where there is none."""
    return sparse.eye_array(n_out, n_in, k=start, format="csr")


def _halves(recipe, weights, grid):
    axis = recipe.bilateral_axis(grid)
    n = grid.shape[axis]
    size = (n + 1) // 2
    high, low = weights[axis][n - size :], weights[axis][:size]
    right_is_high = grid.orientation is None or grid.orientation[axis] != "L"
    halves = (high, low[::-1]) if right_is_high else (low, high[::-1])
    return [[*weights[:axis], half, *weights[axis + 1 :]] for half in halves]
