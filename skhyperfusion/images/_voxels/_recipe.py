"""From one cell to one image (V, C, *S): the steps of `ImageLoader`, first on the header, then on voxels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skhyperfusion.images._fingerprint import fingerprint
from skhyperfusion.images._formats._raw import (
    BadImage,
    RawHeader,
    RawImage,
    as_raw_header,
    as_raw_image,
    unreadable,
)
from skhyperfusion.images._formats._readers import find_reader
from skhyperfusion.images._voxels import _geometry as geometry
from skhyperfusion.images._voxels._geometry import Grid
from skhyperfusion.images._voxels._intensity import apply_intensity, call_users

# Part of every cache key: raise it whenever the same file and parameters give other voxels.
FORMAT_VERSION = 3

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Plan:
    """What a loaded image will be: known from the file's header where the crop does not look at voxels.

    `uncut` is the shape before it was cut or filled to that of the images that a model was fitted on.
    """

    shape: tuple[int, ...] | None
    n_channels: int
    n_views: int
    spacing: tuple[float, ...] | None
    orientation: str | None
    uncut: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Decoded:
    """An image (V, C, *S) as float32, the header of what it was made from, and whether every voxel was 0."""

    image: np.ndarray
    stored: RawHeader
    is_empty: bool


@dataclass(frozen=True)
class Layout:
    """Which axes of the stored array are spatial, and which are channels."""

    grid: tuple[int, ...]
    n_channels: int

    def channels_first(self, voxels: np.ndarray) -> np.ndarray:
        """Return (C, *S): a view."""
        return np.moveaxis(voxels.reshape(*self.grid, self.n_channels), -1, 0)


@dataclass(frozen=True)
class Recipe:
    """The parameters of an `ImageLoader` that decide what an image looks like.

    `window` is the shape of the images that a model was fitted on, where `spacing` alone decides it: images
    with another field of view are cut or filled with zeros around their centre.
    """

    shape: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | float | None = None
    orientation: str | None = "RAS"
    crop: Any = None
    bilateral: int | None = None
    intensity: Any = "zscore"
    channels: str | int = "auto"
    max_voxels: int = 512**3
    window: tuple[int, ...] | None = None

    def key(self) -> str | None:
        """Return a text that is equal for recipes that give equal images; None where that is not known.

        `window` is left out: most images have its shape by themselves, and are then shared.
        """
        rules = [fingerprint(rule) if callable(rule) else repr(rule) for rule in (self.crop, self.intensity)]
        if None in rules:
            return None
        parts = [FORMAT_VERSION, self.shape, self.spacing, self.orientation, self.bilateral, self.channels]
        return repr([*parts, *rules])

    # -- reading -----------------------------------------------------------------------------------------

    def stored_header(self, value: Any) -> RawHeader | None:
        """Return the header of a path, array or nibabel image; None where only decoding tells."""
        if not isinstance(value, str):
            return self.check_size(as_raw_header(value))
        reader = find_reader(value)
        if reader.header is None:
            return None
        return self.check_size(_as_header(call_reader(reader.header, value)))

    def image(self, value: Any) -> Decoded:
        """Decode a path, array or nibabel image."""
        voxels, stored, kind = self.stored_voxels(value)
        with np.errstate(all="ignore"):
            is_empty = not voxels.any()
            voxels = self._convert_channels(voxels, kind)
            images = self._arrange(voxels, self.stored_grid(stored))
        return Decoded(images, stored, is_empty)

    def stored_voxels(self, value: Any) -> tuple[np.ndarray, RawHeader, str]:
        """Return the voxels as stored (C, *S), float32, their header, and what kind of image they are."""
        stored = self.stored_header(value)
        raw = call_reader(lambda v: as_raw_image(find_reader(v).read(v) if isinstance(v, str) else v), value)
        if stored is None:
            stored = self.check_size(raw.header)
        if raw.voxels.size != stored.n_voxels:
            raise BadImage(
                f"holds an array of shape {raw.voxels.shape} while its header says {stored.shape}. Restore "
                "the file."
            )
        with np.errstate(all="ignore"):  # float64 beyond float32 becomes infinite, and is refused
            voxels = self._layout(stored).channels_first(raw.voxels).astype(np.float32, copy=False)
            _check_finite(voxels)
        return voxels, stored, raw.kind

    def check_size(self, stored: RawHeader) -> RawHeader:
        """Refuse a header without voxels, and one with more than `max_voxels`; nothing is decoded yet."""
        if len(stored.shape) < 2 or min(stored.shape) < 1:
            raise BadImage(f"has shape {stored.shape}; an image has two or three axes, none of them empty.")
        if stored.n_voxels > self.max_voxels:
            raise BadImage(
                f"has shape {stored.shape}, {stored.n_voxels} voxels, and max_voxels={self.max_voxels}. If "
                "its header is right, pass ImageLoader(max_voxels=...); otherwise restore the file."
            )
        return stored

    def stored_grid(self, stored: RawHeader) -> Grid:
        """Return shape and affine of the spatial axes, as stored."""
        return Grid(self._layout(stored).grid, stored.affine)

    def channels_first(self, raw: RawImage) -> np.ndarray:
        """Return the voxels as stored, (C, *S), float32."""
        with np.errstate(all="ignore"):
            return self._layout(raw.header).channels_first(raw.voxels).astype(np.float32, copy=False)

    # -- channels ----------------------------------------------------------------------------------------

    def _layout(self, stored: RawHeader) -> Layout:
        shape, kind, wanted = stored.shape, stored.kind, self._wanted_dims
        if kind == "array":
            kind = "picture" if self._is_picture(shape, wanted) else "volume"
        n_spatial = 2 if kind == "picture" else 3
        grid = shape[:n_spatial] + (1,) * (n_spatial - len(shape))
        n_channels = math.prod(shape[n_spatial:])
        if kind == "picture" and stored.kind == "array" and self.channels == "auto" and n_channels > 4:
            raise BadImage(
                f"is an array of shape {shape}: a picture is (H, W) or (H, W, C). Move the channels last, "
                f"or pass ImageLoader(channels={n_channels}) if they are."
            )
        return Layout(grid, n_channels)

    @property
    def _wanted_dims(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    def _is_picture(self, shape: tuple[int, ...], wanted: int | None) -> bool:
        if len(shape) != 3 or wanted == 3:
            return len(shape) == 2
        if wanted == 2 or self.channels == "rgb":
            return True
        return shape[-1] in (3, 4) if isinstance(self.channels, str) else shape[-1] == self.channels

    def _n_channels(self, found: int, is_2d: bool) -> int:
        rule, colour = self.channels, is_2d and found in (3, 4)
        if rule == "auto":
            return found
        if rule == "grey" and (found == 1 or colour):
            return 1
        if rule == "rgb" and (found in (1, 3) or colour):
            return 3
        if rule == found:
            return found
        raise BadImage(
            f"has {found} channels, and channels={rule!r}. Pass ImageLoader(channels={found}), or drop the "
            "row."
        )

    def _convert_channels(self, voxels: np.ndarray, kind: str) -> np.ndarray:
        is_2d = kind == "picture" or (kind == "array" and voxels.ndim == 3)
        wanted = self._n_channels(voxels.shape[0], is_2d)
        if wanted == voxels.shape[0]:
            return voxels
        if wanted == 1:
            return np.tensordot(LUMINANCE, voxels[:3], axes=1)[None]
        return np.repeat(voxels, 3, axis=0) if voxels.shape[0] == 1 else voxels[:3]

    # -- geometry ----------------------------------------------------------------------------------------

    def plan(self, stored: RawHeader) -> Plan:
        """Return what the image will be, or refuse it; `shape` is None where `crop` looks at the voxels."""
        layout = self._layout(stored)
        grid = self.oriented(Grid(layout.grid, stored.affine))[1]
        grid, n_views = self.resampled(grid)[1], 1
        has_box = self.crop is None or not (callable(self.crop) or self.crop == "foreground")
        if self.crop is not None and has_box:
            grid = geometry.crop_grid(grid, self._checked_box(self.crop, grid))
        grid = self.shaped(grid)[1]
        if self.bilateral is not None:
            grid, n_views = geometry.half_grid(grid, self.bilateral_axis(grid)), 2
        return Plan(
            shape=grid.shape if has_box or (self.shape is not None and not callable(self.crop)) else None,
            n_channels=self._n_channels(layout.n_channels, len(layout.grid) == 2),
            n_views=n_views,
            spacing=None if self.shape is not None and self.spacing is None else grid.spacing,
            orientation=grid.orientation,
        )

    def _arrange(self, voxels: np.ndarray, grid: Grid) -> np.ndarray:
        """Turn, resample, crop, scale and split (C, *S) into (V, C, *S)."""
        turn, grid = self.oriented(grid)
        voxels = turn(voxels)
        resampling, grid = self.resampled(grid)
        if resampling is not None:
            voxels = geometry.resample_voxels(voxels, resampling)
        views = []
        for box in self.boxes(voxels, grid):
            cropped = grid if box is None else geometry.crop_grid(grid, box)
            view = voxels if box is None else geometry.crop_voxels(voxels, box)
            step, cropped = self.shaped(cropped)
            view = apply_intensity(_fitted(view, step), self.intensity)
            if self.bilateral is None:
                views.append(view)
                continue
            axis = self.bilateral_axis(cropped)
            right_is_high = cropped.orientation is None or cropped.orientation[axis] != "L"
            views += geometry.halves(view, axis, right_is_high)
        if len({view.shape for view in views}) != 1:
            raise BadImage(
                f"gives views of shapes {[view.shape[1:] for view in views]}. Let crop return boxes of one "
                "size, or pass ImageLoader(shape=...)."
            )
        images = np.ascontiguousarray(np.stack(views), dtype=np.float32)
        _check_finite(images)
        return images

    def oriented(self, grid: Grid) -> tuple[geometry.Turn, Grid]:
        """Return how axes are turned and a flat one is dropped, and the grid after it."""
        geometry.check_affine(grid.affine)
        ornt = None
        if len(grid.shape) == 3 and grid.affine is not None and self.orientation is not None:
            ornt, grid = geometry.orient_grid(grid, self.orientation)
        if self._wanted_dims not in (None, len(grid.shape)):
            flat = [axis for axis, n in enumerate(grid.shape) if n == 1]
            if self._wanted_dims == 2 and len(flat) == 1:
                return geometry.Turn(ornt, flat[0]), _without_axis(grid, flat[0])
            raise BadImage(
                f"is {len(grid.shape)}-D with shape {grid.shape}, and shape={self.shape} asks for "
                f"{self._wanted_dims}-D images. Change ImageLoader(shape=...), or drop the row."
            )
        if 1 in grid.shape and grid.shape != self.shape:
            axis = grid.shape.index(1)
            raise BadImage(
                f"has a single voxel along axis {axis} (shape {grid.shape}), which no network can look "
                "along. Pass ImageLoader(shape=(H, W)) to read it as a 2-D picture, or drop the row."
            )
        return geometry.Turn(ornt), grid

    def resampled(self, grid: Grid) -> tuple[geometry.Resampling | None, Grid]:
        """Return how voxels of `spacing` are made, None where that is not asked for, and the grid."""
        if self.spacing is None:
            return None, grid
        if grid.spacing is None:
            raise BadImage(
                f"does not tell the size of its voxels, and spacing={self.spacing} needs it. Pass "
                "ImageLoader(shape=...) instead, or save the image as NIfTI."
            )
        spacing: Any = self.spacing
        if np.ndim(spacing) == 0:
            spacing = (float(spacing),) * len(grid.shape)
        if len(spacing) != len(grid.shape):
            raise BadImage(f"is {len(grid.shape)}-D, and spacing={self.spacing} has {len(spacing)} numbers.")
        resampling = geometry.resample_to_spacing(grid, spacing)
        n_voxels = math.prod(resampling.shape)
        if n_voxels > self.max_voxels:
            raise BadImage(
                f"has voxels of {tuple(round(s, 3) for s in grid.spacing)} mm; at spacing={self.spacing} "
                f"its shape would be {resampling.shape}, {n_voxels} voxels, and "
                f"max_voxels={self.max_voxels}. Is its header right? Otherwise pass "
                "ImageLoader(max_voxels=...)."
            )
        return resampling, resampling.grid(grid)

    def shaped(self, grid: Grid) -> tuple[geometry.Resampling | tuple[int, ...] | None, Grid]:
        """Return how `shape` is reached, and the grid: a resampling, the shape of a window, or None."""
        shape = self.shape if self.window is None else self._windowed(grid.shape, self.window)
        if shape is None or shape == grid.shape:
            return None, grid
        if self.spacing is not None:
            return shape, geometry.window_grid(grid, shape)
        resampling = geometry.resample_to_shape(grid, shape)
        return resampling, resampling.grid(grid)

    def _windowed(self, shape: tuple[int, ...], window: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape before it is halved that gives `window` after it."""
        if len(shape) != len(window):
            return shape  # another image altogether, which is refused later
        axis = self.bilateral
        if axis is None or not 0 <= axis < len(shape):
            return window
        whole = shape[axis] if (shape[axis] + 1) // 2 == window[axis] else 2 * window[axis]
        return (*window[:axis], whole, *window[axis + 1 :])

    def boxes(self, voxels: np.ndarray, grid: Grid) -> list[geometry.Box | None]:
        """Return the box of each view; None for the whole image."""
        if self.crop is None:
            return [None]
        if not callable(self.crop):
            box = geometry.foreground_box(voxels) if self.crop == "foreground" else self.crop
            return [self._checked_box(box, grid)]
        boxes = call_users(self.crop, voxels, "crop")
        if np.ndim(boxes) == 2:
            boxes = [boxes]
        return [self._checked_box(box, grid) for box in boxes]

    def _checked_box(self, box: Any, grid: Grid) -> geometry.Box:
        if np.shape(box) != (len(grid.shape), 2):
            raise BadImage(
                f"is {len(grid.shape)}-D with shape {grid.shape}, and the crop box {box!r} does not give "
                f"{len(grid.shape)} pairs (start, stop). Change ImageLoader(crop=...)."
            )
        return tuple((int(start), int(stop)) for start, stop in box)

    def bilateral_axis(self, grid: Grid) -> int:
        """Return the axis that is halved, or refuse an image that has no two halves along it."""
        axis = self.bilateral
        if axis is None or not 0 <= axis < len(grid.shape) or grid.shape[axis] < 2:
            raise BadImage(
                f"has shape {grid.shape}, and bilateral={axis} is no axis along which it has two halves. "
                "Change ImageLoader(bilateral=...)."
            )
        return axis


def _fitted(voxels: np.ndarray, step: geometry.Resampling | tuple[int, ...] | None) -> np.ndarray:
    if step is None:
        return voxels
    if isinstance(step, geometry.Resampling):
        return geometry.resample_voxels(voxels, step)
    return geometry.window_voxels(voxels, step)


def _without_axis(grid: Grid, axis: int) -> Grid:
    spacing = grid.spacing
    shape = grid.shape[:axis] + grid.shape[axis + 1 :]
    if spacing is None:
        return Grid(shape)
    return Grid(shape, np.diag([*spacing[:axis], *spacing[axis + 1 :], 1.0]))


def _check_finite(voxels: np.ndarray) -> None:
    # The sum is finite unless a voxel is not (or it overflows): one pass, and nothing allocated.
    if np.isfinite(voxels.sum(dtype=np.float64)):
        return
    n_bad = int(voxels.size - np.isfinite(voxels).sum())
    if n_bad:
        raise BadImage(
            f"has {n_bad} NaN or infinite voxels of {voxels.size}. Replace them in the file "
            "(numpy.nan_to_num), or drop the row."
        )


def _as_header(value: Any) -> RawHeader:
    """Accept what a registered header function may return: a shape, (shape, affine), or an image."""
    if isinstance(value, tuple) and len(value) == 2 and np.ndim(value[0]) == 1:
        return RawHeader(tuple(int(n) for n in value[0]), np.asarray(value[1], dtype=float), "volume")
    if isinstance(value, tuple | list):
        return RawHeader(tuple(int(n) for n in value))
    return as_raw_header(value)


def call_reader(function: Callable[[Any], Any], value: Any) -> Any:
    """Call a reader: whatever a damaged file makes it raise becomes one kind of error."""
    try:
        return function(value)
    except (BadImage, ImportError):  # a library that is not installed is no fault of the file
        raise
    except Exception as error:  # readers meet arbitrary bytes; the caller adds row, column and path
        raise unreadable(error, value if isinstance(value, str) else None) from error
