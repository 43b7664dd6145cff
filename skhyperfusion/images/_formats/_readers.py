"""The registry of readers, one per file suffix, and those for pictures and NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from skhyperfusion._table._suffixes import register_image_suffix
from skhyperfusion.images._fingerprint import fingerprint
from skhyperfusion.images._formats._dicom import is_dicom, read_dicom, read_dicom_header
from skhyperfusion.images._formats._nibabel import read_volume, read_volume_header
from skhyperfusion.images._formats._raw import BadImage, RawHeader, RawImage, plain_voxels


@dataclass(frozen=True)
class Reader:
    """How files of one suffix are read.

    `header` tells shape and affine without decoding voxels; None where only decoding tells. `token` names
    the reader in cache keys, so that another reader's images are never taken for its own.
    """

    read: Callable[[str], Any]
    header: Callable[[str], RawHeader] | None
    token: str


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
    _readers[suffix] = Reader(reader, header, fingerprint(reader))
    register_image_suffix(suffix)


def find_reader(path: str) -> Reader:
    """Return the reader of the longest registered suffix that `path` ends in; a folder is a DICOM series."""
    name = os.path.basename(path).lower()
    dot = name.find(".")
    while dot >= 0:
        if name[dot:] in _readers:
            return _readers[name[dot:]]
        dot = name.find(".", dot + 1)
    if os.path.isdir(path) or is_dicom(path):  # DICOM files often have no suffix, or a part of their number
        return _DICOM
    raise BadImage(
        f"has a suffix that no reader is registered for. Known are {', '.join(sorted(_readers))}; "
        "convert the file, or pass skhyperfusion.images.register_reader a function that reads it."
    )


def _read_npy(path: str) -> RawImage:
    # Mapped, so that reading the shape costs nothing; never with pickles: a file could run code.
    voxels = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(voxels, np.ndarray):
        raise BadImage("holds several arrays (.npz). Save one array with numpy.save.")
    return RawImage(plain_voxels(voxels))


def _read_npy_header(path: str) -> RawHeader:
    return _read_npy(path).header


_ORIENTATION = 0x0112  # the EXIF and TIFF tag
# Pillow decodes these to one grey channel without losing a bit; everything else becomes RGB.
_GREY_MODES = {"1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N", "LA", "La"}


@contextmanager
def _open_picture(path: str) -> Iterator[tuple[Any, int]]:
    """Open a picture without decoding it; also give the EXIF code of how it must be turned."""
    # From a file object: given a path, Pillow 13 maps an uncompressed TIFF into memory, and mixes up the
    # rows of one that must be turned on its side.
    with open(path, "rb") as file, Image.open(file) as image:
        if image.format == "TIFF":
            if getattr(image, "n_frames", 1) > 1:
                raise BadImage(
                    f"has {image.n_frames} pages. Save one of them, or the stack as a .npy or NIfTI volume."
                )
            yield image, image.tag_v2.get(_ORIENTATION, 1)
        else:
            exif = Image.Exif()
            exif.load(image.info.get("exif"))  # Image.getexif would decode a PNG that has none
            yield image, exif.get(_ORIENTATION, 1)


def _is_grey(image) -> bool:
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY_MODES


def _read_picture_header(path: str) -> RawHeader:
    with _open_picture(path) as (image, turn):
        # Pillow's versions differ in whether the size of a TIFF is that before or after turning it.
        width, height = (image.tag_v2[256], image.tag_v2[257]) if image.format == "TIFF" else image.size
        shape = (width, height) if turn in (5, 6, 7, 8) else (height, width)
        return RawHeader(shape if _is_grey(image) else (*shape, 3), None, "picture")


# EXIF orientation: what to do with (H, W, ...) so that the picture stands upright.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def _read_picture(path: str) -> RawImage:
    with _open_picture(path) as (image, turn):
        if image.format == "TIFF":
            turn = 1  # Pillow turns it while decoding
        if not _is_grey(image):
            image = image.convert("RGB")
        elif image.mode in ("P", "LA", "La", "1"):
            image = image.convert("L")
        voxels = np.array(image)
    return RawImage(_UPRIGHT.get(turn, _UPRIGHT[1])(voxels), None, "picture")


for _suffix in (".nii", ".nii.gz", ".img", ".hdr", ".mgh", ".mgz"):
    _readers[_suffix] = Reader(read_volume, read_volume_header, "nibabel")
for _suffix in (".png", ".jpg", ".jpeg", ".tif", ".tiff"):
    _readers[_suffix] = Reader(_read_picture, _read_picture_header, "pillow")
_DICOM = Reader(read_dicom, read_dicom_header, "pydicom")
_readers[".dcm"] = _DICOM
_readers[".npy"] = Reader(_read_npy, _read_npy_header, "npy")
for _suffix in _readers:
    register_image_suffix(_suffix)
