"""DICOM by pydicom (extra ``dicom``): one file, or a folder as one series, in millimetres and RAS+."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from skhyperfusion._optional import import_optional
from skhyperfusion.images._formats._raw import BadImage, RawHeader, RawImage

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_EVEN = 0.05  # of the distance between slices: scanners round positions to hundredths of a millimetre


def is_dicom(path: str) -> bool:
    """Tell whether a file has the mark of DICOM behind its preamble."""
    try:
        with open(path, "rb") as file:
            file.seek(128)
            return file.read(4) == b"DICM"
    except OSError:
        return False


def series_files(folder: str) -> list[str]:
    """Return the files of a series folder that may be its slices, in the order of their names."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith(".") and name != "DICOMDIR")
    paths = [os.path.join(folder, name) for name in names]
    return [
        path for path in paths if os.path.isfile(path) and (path.lower().endswith(".dcm") or is_dicom(path))
    ]


def read_dicom_header(path: str) -> RawHeader:
    """Return shape and affine of a DICOM file or of the series in a folder; decodes no pixels."""
    datasets = [dataset for _, dataset in _sorted_slices(path)] if os.path.isdir(path) else [_open(path)]
    return _describe(datasets)


def read_dicom(path: str) -> RawImage:
    """Return the pixels with the rescale slope and intercept applied, and no window."""
    if not os.path.isdir(path):
        dataset = _open(path, pixels=True)
        header = _describe([dataset])
        voxels = _pixels(dataset)
        if header.kind == "volume":
            # Frames are (slice, row, column, colour...): volumes run along the column first.
            voxels = np.moveaxis(voxels, [0, 1, 2], [2, 1, 0])
        return RawImage(voxels, header.affine, header.kind)
    slices = _sorted_slices(path)
    header = _describe([dataset for _, dataset in slices])
    voxels = np.empty(header.shape, dtype=np.float32)
    for i, (file, _) in enumerate(slices):
        voxels[:, :, i] = np.swapaxes(_pixels(_open(file, pixels=True)), 0, 1)
    return RawImage(voxels, header.affine, "volume")


def _open(path: str, *, pixels: bool = False) -> Any:
    pydicom = import_optional("pydicom", "Reading DICOM", extra="dicom")
    dataset = pydicom.dcmread(path, stop_before_pixels=not pixels)
    for name in ("Rows", "Columns"):
        if name not in dataset:
            raise BadImage(
                f"is a DICOM file without {name}: it holds no image. Drop the row, or name another file."
            )
    return dataset


def _sorted_slices(folder: str) -> list[tuple[str, Any]]:
    """Return files and headers of the folder's one series, by their place along its normal."""
    files = series_files(folder)
    if not files:
        raise BadImage("is a folder without DICOM files. Name a file, or the folder of one series.")
    slices = [(file, _open(file)) for file in files]
    series = sorted({str(dataset.get("SeriesInstanceUID", "")) for _, dataset in slices})
    if len(series) > 1:
        raise BadImage(
            f"is a folder with {len(series)} DICOM series; a cell names one. Sort the files into a folder "
            f"for each series (SeriesInstanceUID {series[0]}, {series[1]}, ...)."
        )
    if len(slices) == 1:
        raise BadImage("is a folder with a single DICOM file. Name that file instead.")
    shapes = {(d.Rows, d.Columns, _n_channels(d), d.get("NumberOfFrames", 1)) for _, d in slices}
    if len(shapes) > 1 or next(iter(shapes))[3] != 1:
        raise BadImage(
            f"is a DICOM series whose files differ in rows, columns, samples or frames: {sorted(shapes)}. "
            "Name a series of single slices, or one file."
        )
    directions = [_orientation(dataset) for _, dataset in slices]
    if any(d is None or not np.allclose(d, directions[0], atol=1e-3) for d in directions):
        raise BadImage(
            "is a DICOM series whose slices are not parallel, or do not tell where they lie "
            "(ImageOrientationPatient). Remove localisers and reports from the folder."
        )
    normal = np.cross(*directions[0])
    places = [float(np.dot(_position(dataset), normal)) for _, dataset in slices]
    order = np.argsort(places, kind="stable")
    _check_even(np.array(places)[order])
    return [slices[i] for i in order]


def _check_even(places: np.ndarray) -> None:
    steps = np.diff(places)
    usual = float(np.median(steps))
    if (steps < 1e-4).any():
        raise BadImage(
            f"is a DICOM series with {int((steps < 1e-4).sum())} slices at the same place as another: "
            "several echoes or time points. Put each into a folder of its own."
        )
    if (np.abs(steps - usual) > _EVEN * usual).any():
        raise BadImage(
            f"is a DICOM series whose slices are {steps.min():.3g} to {steps.max():.3g} mm apart: some are "
            "missing. Complete the folder, or drop the row."
        )


def _describe(datasets: Sequence[Any]) -> RawHeader:
    first = datasets[0]
    colours = (n,) if (n := _n_channels(first)) > 1 else ()
    n_frames = int(first.get("NumberOfFrames", 1) or 1)
    if len(datasets) == 1 and n_frames == 1:
        return RawHeader((int(first.Rows), int(first.Columns), *colours), _picture_affine(first), "picture")
    if len(datasets) == 1:
        positions, direction, spacing = _frames(first, n_frames)
    else:
        positions = np.array([_position(dataset) for dataset in datasets])
        direction, spacing = _orientation(first), _spacing(first)
    if spacing is None or direction is None:
        raise BadImage(
            "does not tell the size of its pixels (PixelSpacing). Save it as NIfTI with the right size."
        )
    affine = np.eye(4)
    affine[:3, 0] = direction[0] * spacing[1]
    affine[:3, 1] = direction[1] * spacing[0]
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 3] = positions[0]
    shape = (int(first.Columns), int(first.Rows), len(positions), *colours)
    return RawHeader(shape, _LPS_TO_RAS @ affine, "volume")


def _frames(dataset: Any, n_frames: int) -> tuple[np.ndarray, np.ndarray | None, list[float] | None]:
    """Return positions, directions and pixel size of an enhanced (multi-frame) object."""
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence", []))
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence", [])), None)
    if len(groups) != n_frames:
        raise BadImage(
            f"is a DICOM file of {n_frames} frames that does not tell where they lie (a film?). Save the "
            "frame that you want, or the volume as NIfTI."
        )

    def find(group: Any, sequence: str) -> Any:
        for holder in (group, shared):
            if holder is not None and sequence in holder:
                return holder[sequence][0]
        return {}

    placed = [find(group, "PlanePositionSequence") for group in groups]
    if any("ImagePositionPatient" not in place for place in placed):
        raise BadImage("is a DICOM file whose frames do not tell where they lie. Save the volume as NIfTI.")
    positions = np.array([_position(place) for place in placed])
    direction = _orientation(find(groups[0], "PlaneOrientationSequence"))
    spacing = _spacing(find(groups[0], "PixelMeasuresSequence"))
    if direction is not None:
        places = positions @ np.cross(*direction)
        _check_even(places if places[-1] > places[0] else places[::-1])
    return positions, direction, spacing


def _position(dataset: Any) -> np.ndarray:
    value = dataset.get("ImagePositionPatient")
    if value is None or len(value) != 3:
        raise BadImage("is a DICOM series with a slice that does not tell its place (ImagePositionPatient).")
    return np.array(value, dtype=float)


def _orientation(dataset: Any) -> np.ndarray | None:
    """Return the directions (2, 3) in which columns and rows are counted."""
    value = dataset.get("ImageOrientationPatient")
    return None if value is None or len(value) != 6 else np.array(value, dtype=float).reshape(2, 3)


def _spacing(dataset: Any) -> list[float] | None:
    """Return the distance of rows, and that of columns, in mm."""
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        value = dataset.get(name)
        if value is not None and len(value) == 2:
            return [float(v) for v in value]
    return None


def _picture_affine(dataset: Any) -> np.ndarray | None:
    spacing = _spacing(dataset)
    return None if spacing is None else np.diag([*spacing, 1.0])


def _n_channels(dataset: Any) -> int:
    colour = dataset.get("PhotometricInterpretation") == "PALETTE COLOR"
    return 3 if colour else int(dataset.get("SamplesPerPixel", 1) or 1)


def _pixels(dataset: Any) -> np.ndarray:
    from pydicom.pixels import apply_color_lut, apply_rescale, convert_color_space

    voxels = dataset.pixel_array
    kind = str(dataset.get("PhotometricInterpretation", ""))
    if kind == "PALETTE COLOR":
        voxels = apply_color_lut(voxels, dataset)
    elif kind.startswith("YBR"):
        voxels = convert_color_space(voxels, kind, "RGB")
    elif kind == "MONOCHROME1":
        # Stored with white as 0; turned round, so that bright is bright whatever the device.
        top = 2 ** int(dataset.BitsStored) - 1 if not dataset.PixelRepresentation else -1
        voxels = top - voxels.astype(np.int64)
    if "RescaleSlope" in dataset:
        voxels = apply_rescale(voxels, dataset)
    return np.asarray(voxels, dtype=np.float32)
