"""What a reader hands over: voxels as stored, and what is known about them without decoding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from skhyperfusion.images._formats._content import mislabelled

_MILLIMETRES = {1: 1000.0, 3: 0.001}  # NIfTI's codes of metres and micrometres; all else is taken for mm


class BadImage(ValueError):
    """What is wrong with one image, without saying which: the caller knows the row, column and path.

    The text continues a sentence that begins with the image's name: "does not exist. Pass ...".
    """


def unreadable(error: Exception, path: str | None = None) -> BadImage:
    """Return what to say where a library fails: what the file plainly is, else the library's words."""
    found = None if path is None else mislabelled(path)
    if found is not None:
        return BadImage(found)
    said = " ".join(str(error).split())[:300] or "no further word"
    return BadImage(
        f"cannot be read ({type(error).__name__}: {said}). It is damaged, or of another format than its "
        "suffix says: restore it, drop the row, or pass skhyperfusion.images.register_reader a function that "
        "reads it."
    )


@dataclass(frozen=True)
class RawHeader:
    """Shape and position of an image as stored.

    Parameters
    ----------
    shape : tuple of int
        All axes, the spatial ones first, channels last.
    affine : ndarray of shape (d + 1, d + 1) or None
        From voxel index to millimetres; None where the format does not tell.
    kind : {"volume", "picture", "array"}
        Three spatial axes, two, or whatever the loader's parameters and the shape suggest.
    """

    shape: tuple[int, ...]
    affine: np.ndarray | None = None
    kind: str = "array"

    @property
    def n_voxels(self) -> int:
        """Number of values that decoding will make."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class RawImage:
    """Voxels as stored, (*S) or (*S, C), with the affine and kind of `RawHeader`."""

    voxels: np.ndarray
    affine: np.ndarray | None = None
    kind: str = "array"

    @property
    def header(self) -> RawHeader:
        """The same without the voxels."""
        return RawHeader(tuple(self.voxels.shape), self.affine, self.kind)


def is_nibabel(value: Any) -> bool:
    """Tell a nibabel image (or one that behaves alike) without importing nibabel."""
    return hasattr(value, "dataobj") and hasattr(value, "affine")


def in_millimetres(affine: Any, header: Any) -> np.ndarray | None:
    """Return an affine in mm, whatever the unit of a NIfTI header; None where there is none."""
    if affine is None:
        return None
    affine = np.array(affine, dtype=float)
    if hasattr(header, "get_xyzt_units"):
        # Not by that method: it fails on a unit of time that NIfTI does not know.
        affine[:3] *= _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    return affine


def plain_voxels(voxels: np.ndarray) -> np.ndarray:
    """Return real numbers: colours stored as a record become a last axis; what is no number is refused."""
    voxels = np.asanyarray(voxels)
    names = voxels.dtype.names
    if names is not None and {voxels.dtype[name] for name in names} == {np.dtype(np.uint8)}:
        voxels = np.stack([voxels[name] for name in names[:3]], axis=-1)
    if voxels.dtype.kind not in "biuf":
        raise BadImage(
            f"holds values of type {voxels.dtype}, which are not real numbers. Convert them to float32 first."
        )
    if np.ma.is_masked(voxels):
        raise BadImage(
            f"is a masked array with {np.ma.count_masked(voxels)} voxels masked. Say what stands there: pass "
            "array.filled(0)."
        )
    return voxels


def as_raw_image(value: Any) -> RawImage:
    """Turn what a reader returned, or what a cell holds, into a `RawImage`.

    An ndarray, a pair of ndarray and 4 x 4 affine (a volume in space), or a nibabel image.
    """
    if isinstance(value, RawImage):
        return RawImage(plain_voxels(value.voxels), value.affine, value.kind)
    if is_nibabel(value):
        affine = in_millimetres(value.affine, getattr(value, "header", None))
        return RawImage(plain_voxels(value.dataobj), affine, "volume")
    if isinstance(value, tuple) and len(value) == 2:
        voxels, affine = value
        if affine is None:
            return RawImage(plain_voxels(voxels))
        affine = np.asarray(affine, dtype=float)
        if affine.shape != (4, 4):
            raise BadImage(f"came with an affine of shape {affine.shape}; the reader must return (4, 4).")
        return RawImage(plain_voxels(voxels), affine, "volume")
    if isinstance(value, np.ndarray):
        return RawImage(plain_voxels(value))
    raise BadImage(
        f"was read as {type(value).__name__}. A reader returns an ndarray, (ndarray, affine), or a nibabel "
        "image."
    )


def as_raw_header(value: Any) -> RawHeader:
    """Return the `RawHeader` of an array, a nibabel image or a `RawImage`, without decoding voxels."""
    if isinstance(value, RawHeader):
        return value
    if is_nibabel(value):
        shape = tuple(int(n) for n in value.shape)
        names = np.dtype(getattr(value.dataobj, "dtype", np.float32)).names
        if names is not None:
            shape = (*shape, min(3, len(names)))
        return RawHeader(shape, in_millimetres(value.affine, getattr(value, "header", None)), "volume")
    return as_raw_image(value).header
