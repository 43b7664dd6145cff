"""Where the frames of a DICOM image lie, and how large their pixels are: in millimetres and RAS+."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skhyperfusion._optional import import_optional
from skhyperfusion.images._formats._raw import BadImage

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_EVEN = 0.05  # of the distance between slices: scanners round positions to hundredths of a millimetre
_SAME = 1e-4  # mm
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def numbers(dataset: Any, keyword: str, n: int) -> np.ndarray | None:
    """Return an element's `n` finite numbers; None where it is absent or empty. Anything else is refused."""
    value = dataset.get(keyword)
    if value is None or (np.ndim(value) > 0 and len(value) == 0):
        return None
    found = np.atleast_1d(np.array(value, dtype=float))
    if found.shape != (n,) or not np.isfinite(found).all():
        raise BadImage(
            f"is a DICOM file whose {keyword} is {value!r} in place of {n} numbers. Its header is damaged: "
            "restore the file, or drop the row."
        )
    return found


def pixel_spacing(dataset: Any, measures: Any = None) -> np.ndarray | None:
    """Return the distance of rows, and that of columns, in mm; None where it is not told, or told as 0.

    In the patient (PixelSpacing) before that on the detector, which a radiograph's magnification enlarges,
    before that of the film that was scanned (PS3.3 10.7.1.3).
    """
    for holder, keyword in [(measures, "PixelSpacing"), *((dataset, name) for name in _SPACINGS)]:
        spacing = None if holder is None else numbers(holder, keyword, 2)
        if spacing is None or (spacing == 0).any():  # radiographs say 0 where they do not know
            continue
        if (spacing < 0).any():
            raise BadImage(
                f"is a DICOM file whose {keyword} is {spacing.tolist()}: a size cannot be negative."
            )
        if keyword == "ImagerPixelSpacing":
            magnification = numbers(dataset, "EstimatedRadiographicMagnificationFactor", 1)
            if magnification is not None and magnification[0] > 0:
                spacing = spacing / magnification[0]
        return spacing
    return None


def picture_affine(dataset: Any, measures: Any = None) -> np.ndarray | None:
    """Return the affine (3 x 3) of a single frame, or None where the size of its pixels is not told."""
    spacing = pixel_spacing(dataset, measures)
    if spacing is not None:
        return np.diag([*spacing, 1.0])
    ratio = numbers(dataset, "PixelAspectRatio", 2)
    if ratio is not None and ratio[0] != ratio[1]:
        raise BadImage(
            f"is a DICOM file with PixelAspectRatio {ratio.astype(int).tolist()}: its pixels are no squares, "
            "and their size in mm is not told. Resample the picture to square pixels."
        )
    return None


def direction(dataset: Any) -> np.ndarray | None:
    """Return the directions (2, 3) in which columns and rows are counted; None where they are not told."""
    value = numbers(dataset, "ImageOrientationPatient", 6)
    if value is None:
        return None
    axes = value.reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-2):
        raise BadImage(
            f"is a DICOM file whose ImageOrientationPatient is {value.tolist()}, which are no two directions "
            "at a right angle. Its header is damaged: restore the file, or drop the row."
        )
    return axes


def place_frames(
    positions: np.ndarray,
    axes: np.ndarray | None,
    spacing: np.ndarray | None,
    shape: Sequence[int],
    *,
    what: str,
    name: Callable[[int], str],
    differing: Callable[[int, int], str],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of frames along their normal, and the affine (column, row, slice) to RAS mm.

    Parameters
    ----------
    positions : ndarray of shape (n, 3)
        ImagePositionPatient of each frame.
    axes, spacing : ndarray of shape (2, 3) and (2,)
        Directions of columns and rows; distance of rows and columns.
    shape : pair of int
        Rows and columns.
    what : str
        "a DICOM series" or the like, for messages.
    name : callable
        What a message calls the frame of a number.
    differing : callable
        What tells two frames of one place apart, in words.
    """
    if axes is None:
        raise BadImage(
            f"is {what} that does not tell how its slices lie (ImageOrientationPatient). Save it as NIfTI."
        )
    if spacing is None:
        raise BadImage(
            f"is {what} that does not tell the size of its pixels (PixelSpacing). Save it as NIfTI with the "
            "right size."
        )
    _check_volume(positions, axes, spacing, what, name, differing)
    spatial = import_optional("highdicom.spatial", "Reading a DICOM volume", extra="dicom")
    volume = import_optional("highdicom.volume", "Reading a DICOM volume", extra="dicom")
    orientation = axes.ravel().tolist()
    # The tilt was judged above, in millimetres: 2 lets every direction pass.
    step, places = spatial.get_volume_positions(positions, orientation, rtol=_EVEN, perpendicular_tol=2.0)
    if step is None:
        raise BadImage(f"is {what} whose slices make no even volume. Complete it, or drop the row.")
    order = np.argsort(places)
    geometry = volume.VolumeGeometry.from_attributes(
        image_position=positions[order[0]].tolist(),
        image_orientation=orientation,
        rows=int(shape[0]),
        columns=int(shape[1]),
        pixel_spacing=spacing.tolist(),
        spacing_between_slices=step,
        number_of_frames=len(order),
        coordinate_system="PATIENT",
    )
    # highdicom: (slice, row, column), against the normal; ours: (column, row, slice), along it.
    return order[::-1], _LPS_TO_RAS @ geometry.permute_spatial_axes([2, 1, 0]).flip_spatial(2).affine


def _check_volume(
    positions: np.ndarray,
    axes: np.ndarray,
    spacing: np.ndarray,
    what: str,
    name: Callable[[int], str],
    differing: Callable[[int, int], str],
) -> None:
    normal = np.cross(*axes)
    places = positions @ normal
    order = np.argsort(places, kind="stable")
    steps = np.diff(places[order])
    same = np.flatnonzero(steps < _SAME)
    if same.size:
        a, b = int(order[same[0]]), int(order[same[0] + 1])
        raise BadImage(
            f"is {what} with {same.size} slice{'s' * (same.size > 1)} at the same place as another, "
            f"{name(a)} and {name(b)} first: several echoes, time points or segments ({differing(a, b)}). "
            "Put each into a series of its own."
        )
    usual = float(np.median(steps))
    odd = np.flatnonzero(np.abs(steps - usual) > _EVEN * usual)
    if odd.size:
        a, b = int(order[odd[0]]), int(order[odd[0] + 1])
        raise BadImage(
            f"is {what} whose slices are {steps.min():.3g} to {steps.max():.3g} mm apart: some are missing, "
            f"between {name(a)} and {name(b)} first. Complete it, or drop the row."
        )
    drift = positions - positions[order[0]] - np.outer(places - places[order[0]], normal)
    shift = float(np.linalg.norm(drift, axis=1).max())
    if shift > 0.5 * spacing.min():
        raise BadImage(
            f"is {what} whose slices are shifted against each other by up to {shift:.3g} mm: the gantry was "
            "tilted, or the slices are sheared. Make it upright (dcm2niix does), and save it as NIfTI."
        )
