"""TIFF that Pillow cannot read, or would cut, by tifffile (extra ``tiff``): colours of 16 bits, channels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from skhyperfusion._optional import import_optional
from skhyperfusion.images._formats._raw import BadImage

_OWN_READER = "pass skhyperfusion.images.register_reader a function that reads it"
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = (
    0,
    1,
    2,
)  # the photometric interpretations whose samples stand for light
_ALPHA = (1, 2)


def check_pages(n_pages: int, description: Any) -> None:
    """Refuse a TIFF of several pages, and an ImageJ stack, which says so in words alone."""
    found = re.search(r"^ImageJ=.*^images=(\d+)", str(description or ""), re.MULTILINE | re.DOTALL)
    n_pages = max(n_pages, int(found[1]) if found else 1)
    if n_pages > 1:
        raise BadImage(f"has {n_pages} pages. Save one of them, or the stack as a .npy or NIfTI volume.")


def read_tiff_header(path: str) -> tuple[tuple[int, ...], int]:
    """Return the shape (H, W) or (H, W, C) as stored, and the EXIF code of how it must be turned."""
    with _page(path) as page:
        n_channels = _n_channels(page)
        size = (page.imagelength, page.imagewidth)
        return (size if n_channels == 1 else (*size, n_channels)), _turn(page)


def read_tiff(path: str) -> tuple[np.ndarray, int]:
    """Return the samples as stored, transparency left out, and how the picture must be turned."""
    with _page(path) as page:
        voxels = page.asarray()
        if page.axes == "SYX":
            voxels = np.moveaxis(voxels, 0, -1)
        voxels = voxels.reshape(page.imagelength, page.imagewidth, -1)[..., : _n_channels(page)]
        if page.photometric == _WHITE_IS_ZERO:
            voxels = (1 << page.bitspersample) - 1 - voxels
        return (voxels[..., 0] if voxels.shape[-1] == 1 else voxels), _turn(page)


@contextmanager
def _page(path: str) -> Iterator[Any]:
    try:
        tifffile = import_optional("tifffile", "Reading TIFF pictures of this kind", extra="tiff")
    except ImportError as error:
        raise BadImage(
            "is a TIFF picture that Pillow cannot read without loss (colours of more than 8 bits, signed "
            f"samples, further channels). {str(error).split('. ')[-1]} Or {_OWN_READER}."
        ) from error
    with tifffile.TiffFile(path) as file:
        check_pages(len(file.pages), file.pages.first.description)
        page = file.pages.first
        _check(page)
        try:
            yield page
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            raise BadImage(
                f"is a TIFF picture packed by {page.compression!r}, which tifffile unpacks with a further "
                f"package. Run: pip install imagecodecs, or {_OWN_READER}."
            ) from error


def _check(page: Any) -> None:
    unsigned = page.dtype is not None and page.dtype.kind == "u"
    light = page.photometric
    if light not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) or (light == _WHITE_IS_ZERO and not unsigned):
        raise BadImage(
            f"is a TIFF picture of the kind {light!r} with samples of {page.bitspersample} bits "
            f"({page.dtype}), which is not turned into grey or RGB here. Convert it, or {_OWN_READER}."
        )
    if page.dtype is None or page.axes not in ("YX", "YXS", "SYX"):
        raise BadImage(
            f"is a TIFF picture with axes {page.axes!r} and samples of {page.bitspersample} bits, which is "
            f"no picture of rows and columns. Convert it, or {_OWN_READER}."
        )


def _n_channels(page: Any) -> int:
    return page.samplesperpixel - sum(int(kind) in _ALPHA for kind in page.extrasamples)


def _turn(page: Any) -> int:
    tag = page.tags.get(274)
    return 1 if tag is None else tag.value
