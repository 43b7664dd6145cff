"""Where voxels lie: orientation, resampling, crop boxes, windows; each for a grid, and for its voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from scipy import sparse

from skhyperfusion.images._formats._raw import BadImage

_SMALLEST, _LARGEST = 1e-6, 1e6  # mm: from a molecule to a mountain

Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Grid:
    """Shape of a voxel grid, and its affine (voxel index to mm) of shape (d + 1, d + 1) where known."""

    shape: tuple[int, ...]
    affine: np.ndarray | None = None

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Distance of neighbouring voxels along each axis, in mm."""
        if self.affine is None:
            return None
        return tuple(float(s) for s in np.linalg.norm(self.affine[:-1, :-1], axis=0))

    @property
    def orientation(self) -> str | None:
        """Axis codes such as "RAS"; None for pictures and where no affine is known."""
        if self.affine is None or len(self.shape) != 3:
            return None
        return "".join(aff2axcodes(self.affine))

    def moved(self, scale: Sequence[float], start: Sequence[float], shape: Sequence[int]) -> Grid:
        """Return the grid whose voxel i lies at index ``start + scale * i`` of this one."""
        affine = self.affine
        if affine is not None:
            step = np.diag([*scale, 1.0])
            step[:-1, -1] = start
            affine = affine @ step
        return Grid(tuple(int(n) for n in shape), affine)


def check_affine(affine: np.ndarray | None) -> None:
    """Refuse an affine that puts several voxels into one place, or makes them of no size that a scan has."""
    if affine is None:
        return
    axes = affine[:-1, :-1]
    with np.errstate(all="ignore"):
        sizes = np.linalg.norm(axes, axis=0)
        # The volume of a voxel as a part of its box: 1 for axes at right angles, 0 for axes in one plane.
        upright = abs(np.linalg.det(axes / sizes)) if np.isfinite(affine).all() and sizes.all() else 0.0
    if not upright > 1e-3 or sizes.min() < _SMALLEST or sizes.max() > _LARGEST:
        raise BadImage(
            "has an affine that no scan has, or that cannot be inverted "
            f"({affine[:-1].round(4).tolist()}): where its voxels lie is unknown. Repair its header, or "
            "drop the row."
        )


def orient_grid(grid: Grid, orientation: str) -> tuple[np.ndarray, Grid]:
    """Return the axes' permutation and flips (nibabel's "ornt") to `orientation`, and the grid after it."""
    ornt = ornt_transform(io_orientation(grid.affine), axcodes2ornt(tuple(orientation)))
    shape = [0, 0, 0]
    for axis, target in enumerate(ornt[:, 0].astype(int)):
        shape[target] = grid.shape[axis]
    return ornt, Grid(tuple(shape), grid.affine @ inv_ornt_aff(ornt, grid.shape))


def orient_voxels(voxels: np.ndarray, ornt: np.ndarray) -> np.ndarray:
    """Apply `ornt` to (C, X, Y, Z): a view, nothing is copied."""
    return np.moveaxis(apply_orientation(np.moveaxis(voxels, 0, -1), ornt), -1, 0)


@dataclass(frozen=True)
class Turn:
    """A permutation and flips of the axes (nibabel's "ornt", or None), then one flat axis less, or None."""

    ornt: np.ndarray | None = None
    flat: int | None = None

    def __call__(self, voxels: np.ndarray) -> np.ndarray:
        """Turn (C, *S): a view."""
        if self.ornt is not None:
            voxels = orient_voxels(voxels, self.ornt)
        return voxels if self.flat is None else voxels.squeeze(self.flat + 1)

    def back(self, voxels: np.ndarray) -> np.ndarray:
        """Turn (C, *S) back: a view."""
        if self.flat is not None:
            voxels = np.expand_dims(voxels, self.flat + 1)
        if self.ornt is None:
            return voxels
        back = np.empty_like(self.ornt)
        for axis, (target, flip) in enumerate(self.ornt):
            back[int(target)] = axis, flip
        return orient_voxels(voxels, back)


@dataclass(frozen=True)
class Resampling:
    """Output voxel i lies at input index ``start + scale * i``, axis by axis."""

    shape: tuple[int, ...]
    scale: tuple[float, ...]
    start: tuple[float, ...]

    def grid(self, grid: Grid) -> Grid:
        """Return the grid of the result."""
        return grid.moved(self.scale, self.start, self.shape)


def resample_to_shape(grid: Grid, shape: Sequence[int]) -> Resampling:
    """Stretch the field of view over `shape` voxels: the outer borders stay where they are."""
    scale = tuple(n / m for n, m in zip(grid.shape, shape, strict=True))
    return Resampling(tuple(shape), scale, tuple((s - 1) / 2 for s in scale))


def resample_to_spacing(grid: Grid, spacing: Sequence[float]) -> Resampling:
    """Take voxels of `spacing` mm over the field of view, around the same centre."""
    assert grid.spacing is not None  # the recipe refuses what does not tell it
    scale = tuple(new / old for new, old in zip(spacing, grid.spacing, strict=True))
    shape = tuple(max(1, round(n / s)) for n, s in zip(grid.shape, scale, strict=True))
    start = tuple((n - 1) / 2 - s * (m - 1) / 2 for n, s, m in zip(grid.shape, scale, shape, strict=True))
    return Resampling(shape, scale, start)


def resample_voxels(voxels: np.ndarray, resampling: Resampling) -> np.ndarray:
    """Interpolate (C, *S) linearly; where voxels grow, average them by the same triangle, made wider.

    Separable, one sparse matrix an axis: three times as fast as a Gaussian filter and an affine transform.
    The axis that shrinks most goes first.
    """
    axes = sorted(range(len(resampling.shape)), key=lambda a: resampling.shape[a] / voxels.shape[a + 1])
    for axis in axes:
        n, scale, start = resampling.shape[axis], resampling.scale[axis], resampling.start[axis]
        if n == voxels.shape[axis + 1] and abs(scale - 1) < 1e-6 and abs(start) < 1e-6:
            continue
        weights = triangle_weights(voxels.shape[axis + 1], n, scale, start)
        front = np.moveaxis(voxels, axis + 1, 0)
        rest = front.shape[1:]
        voxels = np.moveaxis((weights @ front.reshape(front.shape[0], -1)).reshape(n, *rest), 0, axis + 1)
    return voxels


def triangle_weights(n_in: int, n_out: int, scale: float, start: float) -> sparse.csr_array:
    """Return (n_out, n_in): rows are triangles around each output voxel's place, and sum to one."""
    reach = max(1.0, scale)
    centres = np.clip(start + scale * np.arange(n_out), 0, n_in - 1)
    first = np.maximum(np.ceil(centres - reach), 0).astype(int)
    width = int(2 * reach) + 2
    columns = first[:, None] + np.arange(width)
    weights = np.maximum(0, 1 - np.abs(columns - centres[:, None]) / reach)
    weights[columns > n_in - 1] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(n_out)[:, None], columns.shape)
    keep = weights > 0
    return sparse.csr_array(
        (weights[keep].astype(np.float32), (rows[keep], columns[keep])), shape=(n_out, n_in)
    )


def crop_grid(grid: Grid, box: Box) -> Grid:
    """Return the grid of `box`, ``((start, stop), ...)`` in voxels; a box beyond the image is refused."""
    for axis, (start, stop) in enumerate(box):
        if not 0 <= start < stop <= grid.shape[axis]:
            raise BadImage(
                f"has {grid.shape[axis]} voxels along axis {axis}, so the crop box {box} does not fit into "
                f"its shape {grid.shape}. Change crop, or resample first with ImageLoader(spacing=...)."
            )
    shape = [stop - start for start, stop in box]
    return grid.moved([1.0] * len(box), [start for start, _ in box], shape)


def crop_voxels(voxels: np.ndarray, box: Box) -> np.ndarray:
    """Cut `box` out of (C, *S)."""
    return voxels[(slice(None), *(slice(start, stop) for start, stop in box))]


def foreground_box(voxels: np.ndarray) -> Box:
    """Return the smallest box around the non-zero voxels of (C, *S); the whole image where all are zero."""
    filled = (voxels != 0).any(axis=0)
    box = []
    for axis, n in enumerate(filled.shape):
        along = filled.any(axis=tuple(a for a in range(filled.ndim) if a != axis))
        where = np.flatnonzero(along)
        box.append((int(where[0]), int(where[-1]) + 1) if len(where) else (0, n))
    return tuple(box)


def window_grid(grid: Grid, shape: Sequence[int]) -> Grid:
    """Return the grid of `shape` voxels around the centre of `grid`, at the same spacing."""
    starts = [(n - m) // 2 for n, m in zip(grid.shape, shape, strict=True)]
    return grid.moved([1.0] * len(shape), starts, shape)


def window_voxels(voxels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Cut or fill with zeros, evenly on both sides, until (C, *S) has `shape`."""
    padding, cuts = [(0, 0)], [slice(None)]
    for n, m in zip(voxels.shape[1:], shape, strict=True):
        start = (n - m) // 2
        cuts.append(slice(max(0, start), max(0, start) + min(n, m)))
        padding.append((max(0, -start), max(0, m - n + start)))
    voxels = voxels[tuple(cuts)]
    return np.pad(voxels, padding) if any(a or b for a, b in padding) else voxels


def halves(voxels: np.ndarray, axis: int, right_is_high: bool) -> list[np.ndarray]:
    """Return the right half of (C, *S), and the left half mirrored, so that both have the midline first.

    An odd number of voxels gives both halves the middle one.
    """
    axis += 1
    n = voxels.shape[axis]
    size = (n + 1) // 2
    high = voxels[(slice(None),) * axis + (slice(n - size, None),)]
    low = voxels[(slice(None),) * axis + (slice(None, size),)]
    if right_is_high:
        return [high, np.flip(low, axis)]
    return [low, np.flip(high, axis)]


def half_grid(grid: Grid, axis: int) -> Grid:
    """Return the grid of one half along `axis`."""
    shape = list(grid.shape)
    shape[axis] = (shape[axis] + 1) // 2
    return replace(grid, shape=tuple(shape))
