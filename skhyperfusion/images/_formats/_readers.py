"""The registry of readers, one per file suffix, and that for NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skhyperfusion._table._suffixes import register_image_suffix
from skhyperfusion.images._fingerprint import fingerprint
from skhyperfusion.images._formats._content import folder_for_file, format_of, mislabelled
from skhyperfusion.images._formats._dicom import read_dicom, read_dicom_header
from skhyperfusion.images._formats._dicom_file import is_dicom
from skhyperfusion.images._formats._nibabel import read_volume, read_volume_header
from skhyperfusion.images._formats._pictures import read_picture, read_picture_header
from skhyperfusion.images._formats._raw import BadImage, RawHeader, RawImage, plain_voxels


@dataclass(frozen=True)
class Reader:
    """How files of one suffix are read.

    `header` tells shape and affine without decoding voxels; None where only decoding tells. `token` names
    the reader in cache keys, so that another reader's images are never taken for its own; None where it
    cannot be told from others, and shares its images with none. `takes_folders`: a
    user's reader may want a folder (Zarr); of ours only that for DICOM does.
    """

    read: Callable[[str], Any]
    header: Callable[[str], RawHeader] | None
    token: str | None
    takes_folders: bool = True


_readers: dict[str, Reader] = {}


def register_reader(suffix: str, reader: Callable[[str], Any], *, header: Callable | None = None) -> None:
    """Teach `ImageLoader` to read files that end in `suffix`, or replace the reader that does.

    Readers live in the process: register in a module that worker processes import as well.

    Parameters
    ----------
    suffix : str
        With its dot, such as ``".nrrd"`` or ``".seg.gz"``; upper and lower case count alike.
    reader : callable
        ``reader(path)`` returns an ndarray (picture ``(H, W)`` or ``(H, W, C)``, volume ``(X, Y, Z)`` or
        ``(X, Y, Z, C)``), a pair of a volume and its affine (4 x 4, voxel index to millimetres, RAS+ as in
        NIfTI), or a nibabel image.
    header : callable, default=None
        ``header(path)`` returns the shape, a pair ``(shape, affine)``, or a nibabel image whose voxels are
        not yet loaded; it lets a loader check a thousand files without decoding them. None: each file is
        decoded when it is opened.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyperfusion.images import register_reader
    >>> register_reader(".raw8", lambda path: np.fromfile(path, dtype=np.uint8).reshape(8, 8))
    """
    suffix = str(suffix).lower()
    if not suffix.startswith(".") or len(suffix) < 2 or os.sep in suffix:
        raise ValueError(f"A suffix begins with a dot, such as '.nrrd'. Got {suffix!r}.")
    if not callable(reader):
        raise TypeError(f"The reader for {suffix!r} must be callable, reader(path). Got {reader!r}.")
    if header is not None and not callable(header):
        raise TypeError(f"The header function for {suffix!r} must be callable or None. Got {header!r}.")
    _readers[suffix] = Reader(reader, header, fingerprint((reader, header)))
    register_image_suffix(suffix)


def find_reader(path: str) -> Reader:
    """Return the reader of the longest registered suffix that `path` ends in; a folder is a DICOM series."""
    name = os.path.basename(path).lower()
    dot = name.find(".")
    while dot >= 0:
        if name[dot:] in _readers:
            reader = _readers[name[dot:]]
            if not reader.takes_folders and os.path.isdir(path):
                raise BadImage(folder_for_file(path))
            return reader
        dot = name.find(".", dot + 1)
    if os.path.isdir(path) or is_dicom(path):  # DICOM files often have no suffix, or a part of their number
        return _DICOM
    found = format_of(path)
    seems = "" if found is None else f" It holds {found[0]}"
    seems += f": rename it to end in {found[1]}." if found and found[1] in _readers else "." * bool(seems)
    raise BadImage(
        f"has a suffix that no reader is registered for.{seems} Known are {', '.join(sorted(_readers))}; "
        "convert the file, or pass skhyperfusion.images.register_reader a function that reads it."
    )


_NPY = ("a NumPy array", ".npy")


def _read_npy(path: str) -> RawImage:
    # Mapped, so that reading the shape costs nothing; never with pickles: a file could run code.
    if format_of(path) != _NPY:
        raise BadImage(mislabelled(path) or "is no NumPy array: it is damaged. Restore it, or drop the row.")
    voxels = np.load(path, mmap_mode="r", allow_pickle=False)
    return RawImage(plain_voxels(voxels))


def _read_npy_header(path: str) -> RawHeader:
    return _read_npy(path).header


for _suffix in (".nii", ".nii.gz", ".img", ".hdr", ".mgh", ".mgz"):
    _readers[_suffix] = Reader(read_volume, read_volume_header, "nibabel", takes_folders=False)
for _suffix in (".png", ".jpg", ".jpeg", ".tif", ".tiff"):
    _readers[_suffix] = Reader(read_picture, read_picture_header, "pillow", takes_folders=False)
_DICOM = Reader(read_dicom, read_dicom_header, "pydicom")
_readers[".dcm"] = _DICOM
_readers[".npy"] = Reader(_read_npy, _read_npy_header, "npy", takes_folders=False)
for _suffix in _readers:
    register_image_suffix(_suffix)
