"""What a file is by what it holds: for messages about files that are not what they are called."""

from __future__ import annotations

import errno
import os

# Begin of file -> what it is, and the suffix that it should have.
_MARKS = (
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", ".png"),
    (b"\xff\xd8\xff", "a JPEG picture", ".jpg"),
    (b"II*\0", "a TIFF picture", ".tif"),
    (b"MM\0*", "a TIFF picture", ".tif"),
    (b"II+\0", "a BigTIFF picture", ".tif"),
    (b"MM\0+", "a BigTIFF picture", ".tif"),
    (b"\x93NUMPY", "a NumPy array", ".npy"),
    (b"\x1f\x8b", "gzip data", ".gz"),
    (b"GIF8", "a GIF picture", ".gif"),
    (b"BM", "a BMP picture", ".bmp"),
    (b"RIFF", "RIFF data (WebP, AVI or sound)", ".webp"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture", ".jp2"),
    (b"\x89HDF\r\n\x1a\n", "HDF5 data (MINC 2, MATLAB 7.3 or others)", ".h5"),
    (b"CDF\x01", "NetCDF data (MINC 1 or others)", ".nc"),
    (b"NRRD000", "an NRRD volume", ".nrrd"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file", ".mat"),
    (b"PK\x03\x04", "a zip archive (or .npz, .docx, .xlsx)", ".zip"),
    (b"BZh", "bzip2 data", ".bz2"),
    (b"\xfd7zXZ\0", "xz data", ".xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data", ".zst"),
    (b"Rar!", "a RAR archive", ".rar"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", ".7z"),
    (b"%PDF", "a PDF document", ".pdf"),
)
_PREFIX = 1024
# Of what may have no end, or keep whoever opens it waiting.
NO_FILE = "is no file, but a device or a pipe. Name the file that holds the image."
_GZIP = b"\x1f\x8b"
_LFS, _ANNEX = b"version https://git-lfs.", b"/annex/objects/"


def is_text(path: str) -> bool:
    """Tell a file of plain text, such as a README; an empty file and a pointer to an image are none."""
    try:
        start = _beginning(path)
    except OSError:
        return False
    return bool(start) and not start.startswith((_LFS, _ANNEX)) and _is_text(start)


def is_gzip(path: str) -> bool:
    """Tell gzip data by its mark, whatever the suffix says."""
    with open(path, "rb") as file:
        return file.read(2) == _GZIP


def mislabelled(path: str) -> str | None:
    """Say what a file really is, and what to do, where it plainly is not what its suffix says.

    The text goes on after the file's name, as that of `BadImage`. None: nothing about it is plain.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "scan.nii.gz")
    ...     _ = path.write_text("version https://git-lfs.github.com/spec/v1")
    ...     mislabelled(str(path))
    'is a pointer of Git LFS, not the image itself. Fetch it: git lfs pull.'
    """
    try:
        start = _beginning(path)
    except OSError:
        return None
    if start.startswith(_LFS):
        return "is a pointer of Git LFS, not the image itself. Fetch it: git lfs pull."
    if start.startswith(_ANNEX):
        return (
            "is a pointer of git-annex (DataLad), not the image itself. Fetch it: datalad get "
            f"{os.path.basename(path)!r}."
        )
    head = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head")):
        return (
            "holds a web page, perhaps an error or login page that was saved in the image's place. Fetch "
            "the image again, or drop the row."
        )
    suffix = os.path.splitext(path)[1][1:]
    if suffix and not suffix.isdigit() and not path.lower().endswith(_BINARY):
        return None  # what a format of the user's own may hold is not ours to judge
    if not start:
        return "is an empty file (0 bytes). Fetch it again, or drop the row."
    return _other_format(path, start)


def _beginning(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_PREFIX)


def _other_format(path: str, start: bytes) -> str | None:
    found = _format(start)
    if found is not None:
        what, suffix = found
        if path.lower().endswith(_ALIKE.get(suffix, (suffix,))):
            return None
        return (
            f"holds {what}, whatever its suffix says. Rename it to end in {suffix} if a reader is registered "
            "for that, convert it, or fetch the right file."
        )
    if not start.strip(b"\0") and _is_zero(path):
        return (
            "holds nothing but zero bytes: a copy or download that broke off. Fetch it again, or drop the "
            "row."
        )
    if _is_text(start):
        shown = start[:40].decode("utf-8", "replace").splitlines()[0]
        return (
            f"cannot be read: it holds text, {shown!r}..., and no image. Fetch the image again, or drop the "
            "row."
        )
    return None


_BINARY = (
    *(".nii", ".nii.gz", ".img", ".hdr", ".mgh", ".mgz", ".npy", ".dcm"),
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff"),
)
_ALIKE = {
    ".jpg": (".jpg", ".jpeg"),
    ".tif": (".tif", ".tiff"),
    ".gz": (".gz", ".mgz", ".nii"),  # NIfTI is unpacked whatever it is called
    ".nii": (".nii", ".nii.gz", ".hdr"),
}


def format_of(path: str) -> tuple[str, str] | None:
    """Return what a file plainly is and its usual suffix, ("DICOM", ".dcm"); None where it is not plain."""
    try:
        return _format(_beginning(path))
    except OSError:
        return None


def _format(start: bytes) -> tuple[str, str] | None:
    for mark, what, suffix in _MARKS:
        if start.startswith(mark):
            return what, suffix
    if start[128:132] == b"DICM":
        return "DICOM", ".dcm"
    if start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0"):
        return "a NIfTI volume", ".nii"
    return None


def _is_zero(path: str) -> bool:
    with open(path, "rb") as file:
        return not any(part.strip(b"\0") for part in iter(lambda: file.read(1 << 20), b""))


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # a letter of several bytes may be cut at the end
            return False
        text = start[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text)


def absent(path: str, root: object, error: BaseException) -> str:
    """Say why nothing is found at a path: a link to nowhere, no permission, or no such file."""
    place = path
    while place != os.path.dirname(place):  # a folder above may be the link that leads nowhere
        if os.path.islink(place) and not os.path.exists(place):
            return _dangling(path, place)
        place = os.path.dirname(place)
    if isinstance(error, PermissionError):
        return "may not be read: permission denied. Ask for the right to read it and the folders above."
    if isinstance(error, NotADirectoryError):
        return "lies below a file, not a folder. Correct the path."
    if isinstance(error, ValueError) or getattr(error, "errno", None) == errno.ENAMETOOLONG:
        return f"can be no path ({error}). Correct the cell."
    return (
        f"does not exist. Relative paths start at root={root!r}; pass ImageLoader(root=...), or drop the row."
    )


def _dangling(path: str, link: str) -> str:
    target = os.readlink(link)
    what = "is a link" if link == path else f"lies below {os.path.basename(link)!r}, which is a link"
    if "annex/objects" in target.replace(os.sep, "/"):
        return (
            f"{what} to content that has not been fetched (git-annex, DataLad). Fetch it: datalad get "
            f"{os.path.basename(path)!r}."
        )
    return f"{what} to {target!r}, which does not exist. Restore what it points to, or drop the row."


def folder_for_file(path: str) -> str:
    """Say that a folder stands where a file is wanted, and what it holds."""
    names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    if len(names) == 1:
        return f"is a folder, not a file; it holds {names[0]!r}. Name that file."
    held = f"{len(names)} files, {names[0]!r} first" if names else "nothing"
    return (
        f"is a folder, not a file; it holds {held}. Name the file that is meant, or, for a DICOM series, "
        "rename the folder to have no suffix."
    )
