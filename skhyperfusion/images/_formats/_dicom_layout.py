"""The shape and the place of the image in one DICOM file: a picture, or frames that make a volume."""

from __future__ import annotations

from typing import Any

import numpy as np

from skhyperfusion._wording import show
from skhyperfusion.images._formats._dicom_file import n_channels, n_frames
from skhyperfusion.images._formats._dicom_geometry import (
    direction,
    numbers,
    picture_affine,
    pixel_spacing,
    place_frames,
)
from skhyperfusion.images._formats._raw import BadImage, RawHeader

_RTDOSE = "1.2.840.10008.5.1.4.1.1.481.2"


def layout(dataset: Any) -> tuple[RawHeader, np.ndarray]:
    """Return shape and affine of a file's image, and the order in which its frames make a volume."""
    colours = (3,) if n_channels(dataset) > 1 else ()
    size = (int(dataset.Rows), int(dataset.Columns))
    count = n_frames(dataset)
    if count == 1:
        affine = picture_affine(dataset, group(dataset, 0, "PixelMeasuresSequence"))
        return RawHeader((*size, *colours), affine, "picture"), np.zeros(1, dtype=int)
    order, affine = place_frames(
        _positions(dataset, count),
        _shared(dataset, count, "PlaneOrientationSequence", direction),
        _shared(dataset, count, "PixelMeasuresSequence", lambda item: pixel_spacing(item, item)),
        size,
        what=f"a DICOM file of {count} frames",
        name=lambda i: f"frame {i + 1}",
        differing=lambda i, j: _differing_frames(dataset, i, j),
    )
    return RawHeader((size[1], size[0], count, *colours), affine, "volume"), order


def group(dataset: Any, frame: int, keyword: str) -> Any:
    """Return the item of a functional group for one frame, its own before the shared one; None without."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for holder in (*per_frame[frame : frame + 1], *shared[:1]):
        if holder.get(keyword):
            return holder[keyword][0]
    return None


def _positions(dataset: Any, count: int) -> np.ndarray:
    if dataset.get("SOPClassUID") == _RTDOSE or dataset.get("GridFrameOffsetVector"):
        return _dose_positions(dataset, count)
    # As many groups as there are, never as many as the header says: that may be any number.
    n_groups = len(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    places = [group(dataset, i, "PlanePositionSequence") for i in range(min(count, n_groups))]
    positions = [None if item is None else numbers(item, "ImagePositionPatient", 3) for item in places]
    placed = [position for position in positions if position is not None]
    if len(placed) != count:
        raise BadImage(
            f"is a DICOM file of {count} frames that does not tell where they lie (a film?): "
            f"{count - len(placed)} have no ImagePositionPatient. Save the frame that you want, or the "
            "volume as NIfTI."
        )
    return np.array(placed)


def _dose_positions(dataset: Any, count: int) -> np.ndarray:
    """Return where a dose grid's planes lie, by offsets along the normal or along z (PS3.3 C.8.8.3.2)."""
    first, axes = numbers(dataset, "ImagePositionPatient", 3), direction(dataset)
    offsets = numbers(dataset, "GridFrameOffsetVector", count)
    if first is None or axes is None or offsets is None:
        raise BadImage(
            f"is a DICOM file of {count} frames that does not tell where they lie: it lacks "
            "ImagePositionPatient, ImageOrientationPatient or GridFrameOffsetVector. Save the volume as "
            "NIfTI."
        )
    normal = np.cross(*axes)
    if offsets[0] != 0:
        if not np.isclose(abs(normal[2]), 1) or not np.isclose(offsets[0], first[2]):
            raise BadImage(
                f"is a DICOM dose grid whose GridFrameOffsetVector begins at {offsets[0]:g}, neither at 0 "
                "nor at its ImagePositionPatient. Its header is damaged: restore the file."
            )
        offsets = (offsets - offsets[0]) * normal[2]
    return first + np.outer(offsets, normal)


def _shared(dataset: Any, count: int, keyword: str, read: Any) -> np.ndarray | None:
    """Return a value that all frames of a volume have in common."""
    groups = [group(dataset, i, keyword) for i in range(count)]
    values = [read(dataset if item is None else item) for item in groups]
    odd = [i for i, value in enumerate(values) if not _close(value, values[0])]
    if odd:
        raise BadImage(
            f"is a DICOM file whose frames differ in {keyword.removesuffix('Sequence')}, frame {odd[0] + 1} "
            "from the first: localisers, or several volumes. Save the volume that you want as NIfTI."
        )
    return values[0]


def _close(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is None and b is None if a is None or b is None else np.allclose(a, b, atol=1e-3)


def _differing_frames(dataset: Any, i: int, j: int) -> str:
    content = [group(dataset, k, "FrameContentSequence") for k in (i, j)]
    if None in content:
        return "nothing tells them apart"
    shown = [[show(list(item.get("DimensionIndexValues") or ())), item.get("StackID")] for item in content]
    return "DimensionIndexValues " + " and ".join(str(values[0]) for values in shown)
