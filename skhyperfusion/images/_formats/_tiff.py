"""TIFF that Pillow cannot read, or would cut, by tifffile (extra ``tiff``): colours of 16 bits, channels."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from skhyperfusion._optional import import_optional
from skhyperfusion.images._formats._raw import BadImage

_OWN_READER = "pass skhyperfusion.images.register_reader a function that reads it"
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = (
    0,
    1,
    2,
)  # the photometric interpretations whose samples stand for light
_LIGHT = {
    _WHITE_IS_ZERO: "white is zero",
    3: "palette",
    4: "mask",
    5: "separated inks (CMYK)",
    6: "YCbCr",
    8: "CIE L*a*b*",
    32803: "colour filter array",
}
_ALPHA = (1, 2)
# tifffile prints what is wrong with a file on stderr; here an error says it.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def check_pages(n_pages: int, description: Any) -> None:
    """Refuse a TIFF of several pages, and an ImageJ stack, which says so in words alone."""
    found = re.search(r"^ImageJ=.*^images=(\d+)", str(description or ""), re.MULTILINE | re.DOTALL)
    n_pages = max(n_pages, int(found[1]) if found else 1)
    if n_pages > 1:
        raise BadImage(f"has {n_pages} pages. Save one of them, or the stack as a .npy or NIfTI volume.")


def read_tiff_header(path: str) -> tuple[tuple[int, ...], int]:
    """Return the shape (H, W) or (H, W, C) as stored, and the EXIF code of how it must be turned.

    By Pillow's reader of tags: tifffile lays out a list of all strips on opening, as many as a damaged header
    asks for, and is let at a file only when its size is known to be allowed.
    """
    _tifffile()  # who lacks it learns so before a thousand pictures are read
    with open(path, "rb") as file:
        start = file.read(8)
        big = start[2:3] == b"+" or start[3:4] == b"+"
        tags = ImageFileDirectory_v2(start + (file.read(8) if big else b""))
        file.seek(tags.next)
        tags.load(file)
    check_pages(2 if tags.next else int(tags.get(32997, 1)), tags.get(270))  # slices of one page: ImageDepth
    _check(int(tags.get(262, 1)), set(np.atleast_1d(tags.get(339, 1)).tolist()))
    extra = np.atleast_1d(tags.get(338, ())).tolist()
    n_channels = int(tags.get(277, 1)) - sum(kind in _ALPHA for kind in extra)
    size = (int(tags[257]), int(tags[256]))
    return (size if n_channels == 1 else (*size, n_channels)), tags.get(274, 1)


def read_tiff(path: str) -> tuple[np.ndarray, int]:
    """Return the samples as stored, transparency left out, and how the picture must be turned."""
    with _page(path) as page:
        voxels = page.asarray()
        if page.axes == "SYX":
            voxels = np.moveaxis(voxels, 0, -1)
        voxels = voxels.reshape(page.imagelength, page.imagewidth, -1)[..., _kept(page)]
        if page.photometric == _WHITE_IS_ZERO:
            voxels = (1 << page.bitspersample) - 1 - voxels
        return (voxels[..., 0] if voxels.shape[-1] == 1 else voxels), _turn(page)


def _tifffile() -> Any:
    try:
        return import_optional("tifffile", "Reading TIFF pictures of this kind", extra="tiff")
    except ImportError as error:
        raise BadImage(
            "is a TIFF picture that Pillow cannot read without loss (colours of more than 8 bits, signed "
            f"samples, further channels). {str(error).split('. ')[-1]} Or {_OWN_READER}."
        ) from error


@contextmanager
def _page(path: str) -> Iterator[Any]:
    with open(path, "rb") as opened:
        content = io.BytesIO(opened.read())  # from memory no damaged length can ask for more than there is
    with _tifffile().TiffFile(content) as file:
        page = file.pages.first
        if page.dtype is None or page.axes not in ("YX", "YXS", "SYX"):
            raise BadImage(
                f"is a TIFF picture with axes {page.axes!r} and samples of {page.bitspersample} bits, which "
                f"is no picture of rows and columns. Convert it, or {_OWN_READER}."
            )
        try:
            yield page
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            raise BadImage(
                f"is a TIFF picture packed by {page.compression!r}, which tifffile unpacks with a further "
                f"package. Run: pip install imagecodecs, or {_OWN_READER}."
            ) from error


def _check(light: int, kinds: set) -> None:
    is_readable = light in (_BLACK_IS_ZERO, _RGB) or (light == _WHITE_IS_ZERO and kinds <= {1})
    if not is_readable:
        raise BadImage(
            f"is a TIFF picture of the kind {_LIGHT.get(light, light)} (PhotometricInterpretation) with "
            "samples that are not bytes, which is not turned into grey or RGB here. Convert it, or "
            f"{_OWN_READER}."
        )


def _kept(page: Any) -> list[int]:
    """Return which samples are no transparency: it is often the first of those beyond the colours."""
    n_colours = page.samplesperpixel - len(page.extrasamples)
    further = [n_colours + i for i, kind in enumerate(page.extrasamples) if int(kind) not in _ALPHA]
    return [*range(n_colours), *further]


def _turn(page: Any) -> int:
    tag = page.tags.get(274)
    return 1 if tag is None else tag.value
