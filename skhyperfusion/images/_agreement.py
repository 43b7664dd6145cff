"""Whether the images of a study agree with each other, and with those that a model was fitted on."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from skhyperfusion._wording import listing
from skhyperfusion.images._image_cells import Bad, Cell
from skhyperfusion.images._spec import ImageSpec
from skhyperfusion.images._voxels._recipe import Plan

# A voxel a twentieth longer is a brain a twentieth larger; scanners' rounding stays far below.
SPACING_TOLERANCE = 0.05
_TOLD_CUT = 0.1


def most_common_spec(plans: Sequence[Plan], n_columns: int, intensity: str) -> ImageSpec:
    """Return what most images are; `mismatches` names the others."""
    usual = Counter((p.n_channels, p.n_views, p.shape) for p in plans).most_common(1)[0][0]
    alike = [p for p in plans if (p.n_channels, p.n_views, p.shape) == usual]
    spacing = _usual_spacing([p.spacing for p in alike if p.spacing is not None])
    orientations = Counter(p.orientation for p in alike if p.orientation is not None).most_common(1)
    assert usual[2] is not None  # images are decoded where only that tells their shape
    return ImageSpec(
        shape=usual[2],
        n_channels=usual[0] * n_columns,
        n_views=usual[1],
        spacing=None if spacing is None else tuple(round(s, 4) for s in spacing),
        orientation=orientations[0][0] if orientations else None,
        intensity=intensity,
    )


def _usual_spacing(spacings: Sequence[tuple[float, ...]]) -> tuple[float, ...] | None:
    """Return the commonest of those of which most are about alike: in its last digit each may be alone."""
    if not spacings:
        return None
    steps = [tuple(round(math.log(s) / SPACING_TOLERANCE) for s in spacing) for spacing in spacings]
    usual = Counter(steps).most_common(1)[0][0]
    near = [spacing for spacing, step in zip(spacings, steps, strict=True) if step == usual]
    return Counter(near).most_common(1)[0][0]


def mismatches(
    cells: Sequence[Cell], plans: Sequence[Plan], spec: ImageSpec, n_columns: int, *, fitted: bool
) -> list[Bad]:
    """Return the images that differ from `spec`, each with what differs and what to do."""
    found = [_difference(plan, spec, n_columns, fitted) for plan in plans]
    return [Bad(cell, what) for cell, what in zip(cells, found, strict=True) if what is not None]


def warn_of_cut(cells: Sequence[Cell], plans: Sequence[Plan]) -> None:
    """Say which images are cut or filled by more than a tenth along an axis to have a model's shape."""
    rows = []
    for cell, plan in zip(cells, plans, strict=True):
        if plan.uncut is not None and plan.shape is not None:
            change = np.abs(np.log(np.divide(plan.uncut, plan.shape)))
            if (change > _TOLD_CUT).any():
                rows.append((cell.row, plan.uncut))
    if rows:
        warnings.warn(
            f"The field of view of {listing([row for row, _ in rows])} differs by more than a tenth from "
            f"that of the images that the model was fitted on ({rows[0][1]} voxels first). It is cut, or "
            "filled with zeros, around the centre; look at these images.",
            UserWarning,
            stacklevel=4,
        )


def _difference(plan: Plan, spec: ImageSpec, n_columns: int, fitted: bool) -> str | None:
    theirs = "the model was fitted on images" if fitted else "most images here are"
    shape, n_channels = plan.shape, _count(spec.n_channels // n_columns, "channel")
    if shape is not None and len(shape) != spec.spatial_dims:
        theirs = "the model was fitted on" if fitted else "most images here are"
        return (
            f"is a {len(shape)}-D image of shape {shape}; {theirs} {spec.spatial_dims}-D, of shape "
            f"{spec.shape}. Drop the row, or read the right files."
        )
    if plan.n_channels != spec.n_channels // n_columns:
        is_colour = {plan.n_channels, spec.n_channels // n_columns} == {1, 3}
        advice = _advice(
            fitted,
            "channels='grey' or channels='rgb'" if is_colour else "channels=...",
            by_hand=f"convert it to {n_channels}",
        )
        return f"has {_count(plan.n_channels, 'channel')}; {theirs} of {n_channels}. {advice}"
    if shape is not None and shape != spec.shape:
        advice = _advice(
            fitted, "shape=...", "bring it to that shape", " to resample all images to one shape"
        )
        return f"has shape {shape}; {theirs} of shape {spec.shape}. {advice}"
    # Where `crop` looks at the voxels, only reading tells shape and number of views.
    if shape is not None and plan.n_views != spec.n_views:
        return f"gives {plan.n_views} views; {theirs} of {spec.n_views}. Change ImageLoader's crop."
    if plan.spacing is not None and spec.spacing not in (None, plan.spacing):
        ratio = np.divide(plan.spacing, spec.spacing)
        if (np.abs(np.log(ratio)) > SPACING_TOLERANCE).any():
            theirs = "the model was fitted on those" if fitted else "most images here are"
            advice = _advice(fitted, "spacing=...", "resample it", " to resample all images")
            wanted = _millimetres(spec.spacing)
            return f"has voxels of {_millimetres(plan.spacing)}; {theirs} of {wanted}. {advice}"
    if plan.orientation is not None and spec.orientation not in (None, plan.orientation):
        theirs = "the model was fitted on images that are" if fitted else "most images here are"
        advice = _advice(fitted, "orientation='RAS'", "turn it", " to turn all images alike")
        return f"is oriented {plan.orientation}; {theirs} {spec.orientation}. {advice}"
    return None


def _advice(fitted: bool, parameter: str, by_hand: str, purpose: str = "") -> str:
    """Say what to do: a model that is fitted can only be given other images, or be fitted anew."""
    if fitted:
        return f"Drop the row, or {by_hand}; a model fitted with ImageLoader({parameter}) takes it as it is."
    return f"Pass ImageLoader({parameter}){purpose}, or drop the row."


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _millimetres(spacing: tuple[float, ...]) -> str:
    return " x ".join(f"{s:.3g}" for s in spacing) + " mm"
