"""Whether the images of a study agree with each other, and with those that a model was fitted on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from skhyperfusion.images._image_cells import Bad, Cell
from skhyperfusion.images._spec import ImageSpec
from skhyperfusion.images._voxels._recipe import Header

# A voxel a twentieth longer is a brain a twentieth larger; scanners' rounding stays far below.
SPACING_TOLERANCE = 0.05


def agree(headers: Sequence[Header], n_columns: int, intensity: str) -> ImageSpec:
    """Return what most images are; `strangers` names the others."""
    usual = Counter((h.n_channels, h.n_views, h.shape) for h in headers).most_common(1)[0][0]
    alike = [h for h in headers if (h.n_channels, h.n_views, h.shape) == usual]
    spacings = Counter(h.spacing for h in alike if h.spacing is not None).most_common(1)
    orientations = Counter(h.orientation for h in alike if h.orientation is not None).most_common(1)
    return ImageSpec(
        shape=usual[2],
        n_channels=usual[0] * n_columns,
        n_views=usual[1],
        spacing=tuple(round(s, 4) for s in spacings[0][0]) if spacings else None,
        orientation=orientations[0][0] if orientations else None,
        intensity=intensity,
    )


def strangers(
    cells: Sequence[Cell], headers: Sequence[Header], spec: ImageSpec, n_columns: int, *, fitted: bool
) -> list[Bad]:
    """Return the images that differ from `spec`, each with what differs and what to do."""
    theirs = "the model was fitted on" if fitted else "most images here are"
    bad = []
    for cell, header in zip(cells, headers, strict=True):
        what = _difference(header, spec, n_columns, theirs)
        if what is not None:
            bad.append(Bad(cell, what))
    return bad


def _difference(header: Header, spec: ImageSpec, n_columns: int, theirs: str) -> str | None:
    shape = header.shape
    if shape is not None and len(shape) != spec.spatial_dims:
        return (
            f"is a {len(shape)}-D image of shape {shape}; {theirs} {spec.spatial_dims}-D, of shape "
            f"{spec.shape}. Drop the row, or read the right files."
        )
    n_channels = spec.n_channels // n_columns
    if header.n_channels != n_channels:
        hint = (
            "channels='grey' or channels='rgb'"
            if {header.n_channels, n_channels} == {1, 3}
            else "channels=..."
        )
        return (
            f"has {_count(header.n_channels, 'channel')}; {theirs} of {_count(n_channels, 'channel')}. Pass "
            f"ImageLoader({hint}), or drop the row."
        )
    if shape is not None and shape != spec.shape:
        return (
            f"has shape {shape}; {theirs} of shape {spec.shape}. Pass ImageLoader(shape=...) to resample "
            "all images to one shape, or drop the row."
        )
    if header.n_views != spec.n_views:
        return f"gives {header.n_views} views; {theirs} of {spec.n_views}. Change ImageLoader's crop."
    if header.spacing is not None and spec.spacing not in (None, header.spacing):
        ratio = np.divide(header.spacing, spec.spacing)
        if (np.abs(np.log(ratio)) > SPACING_TOLERANCE).any():
            return (
                f"has voxels of {_millimetres(header.spacing)}; {theirs} of {_millimetres(spec.spacing)}. "
                "Pass ImageLoader(spacing=...) to resample all images, or drop the row."
            )
    if header.orientation is not None and spec.orientation not in (None, header.orientation):
        return (
            f"is oriented {header.orientation}; {theirs} {spec.orientation}. Pass "
            "ImageLoader(orientation='RAS') to turn all images alike, or drop the row."
        )
    return None


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _millimetres(spacing: tuple[float, ...]) -> str:
    return " x ".join(f"{s:.3g}" for s in spacing) + " mm"
