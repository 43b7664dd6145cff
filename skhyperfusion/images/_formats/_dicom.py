"""DICOM by pydicom and highdicom (extra ``dicom``): one file, or a folder as one series."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from skhyperfusion._wording import quoted, show
from skhyperfusion.images._formats._content import absent, is_text, mislabelled
from skhyperfusion.images._formats._dicom_file import (
    is_dicom,
    n_channels,
    n_frames,
    open_dicom,
    photometric,
)
from skhyperfusion.images._formats._dicom_geometry import direction, numbers, pixel_spacing, place_frames
from skhyperfusion.images._formats._dicom_layout import layout
from skhyperfusion.images._formats._dicom_values import decode
from skhyperfusion.images._formats._raw import BadImage, RawHeader, RawImage, unreadable

# What makes several images of one place, from the commonest.
_PHASES = (
    "EchoTime",
    "EchoNumbers",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "DiffusionBValue",
    "AcquisitionNumber",
    "InversionTime",
    "ImageType",
    "ConvolutionKernel",
    "AcquisitionTime",
    "InstanceNumber",
)


def read_dicom_header(path: str) -> RawHeader:
    """Return shape and affine of a DICOM file or of the series in a folder; decodes no pixels."""
    if os.path.isdir(path):
        return _Series(path).header
    return layout(open_dicom(path))[0]


def read_dicom(path: str) -> RawImage:
    """Return the values as the modality means them, without window, overlays or other means of display."""
    if os.path.isdir(path):
        series = _Series(path)
        return RawImage(series.voxels(), series.header.affine, "volume")
    dataset = open_dicom(path, pixels=True)
    header, order = layout(dataset)
    frames = decode(dataset, order)
    # Frames are (slice, row, column, colour...): volumes run along the column first.
    voxels = frames[0] if header.kind == "picture" else np.moveaxis(frames, [0, 1, 2], [2, 1, 0])
    return RawImage(voxels, header.affine, header.kind)


def series_files(folder: str) -> list[str]:
    """Return the files of a series folder that are, or should be, its slices, in the order of their names.

    A file that is no DICOM counts where its name ends as those of the slices do and it is no plain text: it
    is a slice that was damaged or not fetched, and leaving it out would shorten the volume without a word.
    """
    names = sorted(name for name in os.listdir(folder) if not name.startswith(".") and name != "DICOMDIR")
    paths = [os.path.join(folder, name) for name in names]
    paths = [path for path in paths if os.path.isfile(path) or not os.path.exists(path)]  # no folder, no pipe
    sound = {path for path in paths if path.lower().endswith(".dcm") or is_dicom(path)}
    endings = {_ending(path) for path in sound}
    found = [path for path in paths if path in sound or (_ending(path) in endings and not is_text(path))]
    for path in found:
        if not os.path.exists(path):
            with _naming(path):
                raise BadImage(absent(path, None, FileNotFoundError()))
    return found


def _ending(path: str) -> str:
    suffix = os.path.splitext(path)[1].lower()
    return "" if suffix[1:].isdigit() else suffix  # a part of a number, such as 1.2.840.17


class _Series:
    """The slices of a folder, checked and in the order of their places."""

    def __init__(self, folder: str) -> None:
        self._files = series_files(folder)
        self._check_folder(folder)
        self._headers = []
        for file in self._files:
            with _naming(file):
                self._headers.append(open_dicom(file))
        self._check_one_series()
        self._check_alike()
        first = self._headers[0]
        order, affine = place_frames(
            np.array([self._position(i) for i in range(len(self._files))]),
            direction(first),
            pixel_spacing(first),
            (first.Rows, first.Columns),
            what="a DICOM series",
            name=self._name,
            differing=self._differing,
        )
        self._files = [self._files[i] for i in order]
        colours = (3,) if n_channels(first) > 1 else ()
        shape = (int(first.Columns), int(first.Rows), len(order), *colours)
        self.header = RawHeader(shape, affine, "volume")

    def voxels(self) -> np.ndarray:
        """Return the values (column, row, slice), or with a last axis of RGB; one file is open at a time."""
        voxels = np.empty(self.header.shape, dtype=np.float32)
        for i, file in enumerate(self._files):
            with _naming(file):
                frames = decode(open_dicom(file, pixels=True), np.zeros(1, dtype=int))
                voxels[:, :, i] = np.swapaxes(frames[0], 0, 1)
        return voxels

    def _name(self, i: int) -> str:
        return repr(os.path.basename(self._files[i]))

    def _names(self, positions: list[int]) -> str:
        return quoted([os.path.basename(self._files[i]) for i in positions], limit=3)

    def _check_folder(self, folder: str) -> None:
        if not self._files:
            below = sorted(e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith("."))
            pointers = [e.path for e in os.scandir(folder) if e.is_file() and mislabelled(e.path)]
            said = f" It holds the folders {quoted(below, limit=3)}." if below else ""
            if pointers:
                said = f" Its file {os.path.basename(pointers[0])!r} {mislabelled(pointers[0])}"
            raise BadImage(
                f"is a folder without DICOM files. Name a file, or the folder of one series.{said}"
            )
        if len(self._files) == 1:
            raise BadImage("is a folder with a single DICOM file. Name that file instead.")

    def _check_one_series(self) -> None:
        found: dict[str, list[int]] = {}
        for i, dataset in enumerate(self._headers):
            found.setdefault(str(dataset.get("SeriesInstanceUID") or ""), []).append(i)
        if len(found) > 1:
            uids = sorted(found)
            descriptions = "; ".join(self._described(uid, found[uid]) for uid in uids[:3])
            raise BadImage(
                f"is a folder with {len(uids)} DICOM series; a cell names one. Sort the files into a folder "
                f"for each (SeriesInstanceUID {', '.join(uids[:2])}{', ...' * (len(uids) > 2)}): "
                f"{descriptions}."
            )

    def _described(self, uid: str, positions: list[int]) -> str:
        dataset = self._headers[positions[0]]
        kinds = [str(dataset.get(name)) for name in ("Modality", "SeriesDescription") if dataset.get(name)]
        kinds += ["a localiser"] * _is_localiser(dataset)
        kinds.append(f"{len(positions)} files")
        return f"{uid or 'no UID'} ({', '.join(kinds)}: {self._names(positions)})"

    def _check_alike(self) -> None:
        localisers = [i for i, dataset in enumerate(self._headers) if _is_localiser(dataset)]
        if 0 < len(localisers) < len(self._headers):
            raise BadImage(
                "is a DICOM series with localisers among slices that are not parallel to them (ImageType): "
                f"{self._names(localisers)}. Remove localisers from the folder."
            )
        odd = self._odd(lambda d: (d.Rows, d.Columns, n_channels(d), n_frames(d), photometric(d)))
        if odd or n_frames(self._headers[0]) != 1:
            raise BadImage(
                "is a DICOM series whose files differ in rows, columns, samples or frames: "
                f"{self._names(odd or [0])} from the others. Name a series of single slices, or one file."
            )
        odd = self._far_from_most(direction, 0.01)
        if odd or direction(self._headers[0]) is None:
            raise BadImage(
                "is a DICOM series whose slices are not parallel, or do not tell where they lie "
                f"(ImageOrientationPatient): {self._names(odd or [0])}. Remove localisers and reports from "
                "the folder."
            )
        odd = self._far_from_most(pixel_spacing, 1e-4)
        if odd:
            raise BadImage(
                "is a DICOM series whose files differ in the size of their pixels (PixelSpacing): "
                f"{self._names(odd)} from the others. Put them into a folder of their own."
            )

    def _odd(self, read: Any) -> list[int]:
        """Return the positions of the files that differ from most."""
        values = [repr(value) for value in self._each(read)]
        usual = Counter(values).most_common(1)[0][0]
        return [i for i, value in enumerate(values) if value != usual]

    def _far_from_most(self, read: Any, tolerance: float) -> list[int]:
        """Return the positions of the files whose numbers are further from most than scanners round them."""
        values = self._each(read)
        told = [value for value in values if value is not None]
        if 2 * len(told) < len(values):
            return [i for i, value in enumerate(values) if value is not None]
        usual = np.median(told, axis=0)
        return [i for i, v in enumerate(values) if v is None or (np.abs(v - usual) > tolerance).any()]

    def _each(self, read: Any) -> list[Any]:
        values = []
        for file, dataset in zip(self._files, self._headers, strict=True):
            with _naming(file):
                values.append(read(dataset))
        return values

    def _position(self, i: int) -> np.ndarray:
        with _naming(self._files[i]):
            position = numbers(self._headers[i], "ImagePositionPatient", 3)
            if position is None:
                raise BadImage("does not tell its place (ImagePositionPatient).")
            return position

    def _differing(self, i: int, j: int) -> str:
        a, b = self._headers[i], self._headers[j]
        if a.get("SOPInstanceUID") == b.get("SOPInstanceUID"):
            return "the same slice twice: one SOPInstanceUID"
        name = next((name for name in _PHASES if a.get(name) != b.get(name)), None)
        return "told by no element" if name is None else f"{name} {show(a.get(name))} and {show(b.get(name))}"


def _is_localiser(dataset: Any) -> bool:
    return "LOCALIZER" in list(dataset.get("ImageType") or ())


@contextmanager
def _naming(file: str) -> Iterator[None]:
    """Let what is wrong with one file of a series be told with its name."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:  # as a reader's: a damaged file may raise anything
        what = error if isinstance(error, BadImage) else unreadable(error, file)
        raise BadImage(
            f"is a DICOM series whose file {os.path.basename(file)!r} {what} If it is no slice, move it out "
            "of the folder."
        ) from error
