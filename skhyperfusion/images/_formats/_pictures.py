"""PNG, JPEG and TIFF by Pillow: upright, in grey or RGB, with every bit that is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from PIL import (
    Image,
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from skhyperfusion.images._formats import _png as png
from skhyperfusion.images._formats._content import format_of, mislabelled
from skhyperfusion.images._formats._raw import BadImage, RawHeader, RawImage
from skhyperfusion.images._formats._samples import check_samples
from skhyperfusion.images._formats._tiff import check_pages, read_tiff, read_tiff_header

# Known by content, not by suffix; Pillow's further formats would run other programs, or are no pictures.
_FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "JPEG2000")
_ORIENTATION = 0x0112  # the EXIF and TIFF tag
# Pillow decodes these to one grey channel without losing a bit; everything else becomes RGB.
_GREY_MODES = {"1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N", "LA", "La"}

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


def read_picture_header(path: str) -> RawHeader:
    """Return the shape (H, W) or (H, W, 3) of a picture when it stands upright; decodes no pixels."""
    with _opened(path) as (image, file):
        if image is None:
            shape, turn = read_tiff_header(path)
        elif image.format == "TIFF":
            # Pillow's versions differ in whether the size of a TIFF is that before or after turning it.
            shape, turn = (image.tag_v2[257], image.tag_v2[256]), image.getexif().get(_ORIENTATION, 1)
        else:
            shape, turn = image.size[::-1], _turn(image, file)
        if image is not None and not _is_grey(image, file):
            shape = (*shape, 3)
        if turn in (5, 6, 7, 8):
            shape = (shape[1], shape[0], *shape[2:])
        return RawHeader(shape, None, "picture")


def read_picture(path: str) -> RawImage:
    """Return the pixels of a picture, upright, transparency left out."""
    with _opened(path) as (image, file):
        if image is None:
            voxels, turn = read_tiff(path)
        elif image.format == "TIFF":
            voxels, turn = _decode(image, file), 1  # Pillow turns it while decoding
        else:
            voxels, turn = _decode(image, file), _turn(image, file)
    return RawImage(_UPRIGHT.get(turn, _UPRIGHT[1])(voxels), None, "picture")


@contextmanager
def _opened(path: str) -> Iterator[tuple[Any, BinaryIO]]:
    """Open a picture without decoding it; it is None for a TIFF that Pillow cannot read, or would cut."""
    # From a file object: given a path, Pillow 13 maps an uncompressed TIFF into memory, and mixes up the
    # rows of one that must be turned on its side.
    with open(path, "rb") as file:
        try:
            image = _open(file)
        except Image.DecompressionBombError as error:
            raise BadImage(
                f"has more pixels than Pillow opens ({error}). If that is right, set "
                "PIL.Image.MAX_IMAGE_PIXELS = None."
            ) from error
        except UnidentifiedImageError as error:
            if (format_of(path) or ("", ""))[1] == ".tif":
                yield None, file
                return
            raise BadImage(
                mislabelled(path)
                or "is no picture that Pillow can read: damaged, or of a kind that it does not know. Convert "
                "it to PNG, or pass skhyperfusion.images.register_reader a function that reads it."
            ) from error
        with image:
            if image.format == "TIFF":
                check_pages(image.n_frames, image.tag_v2.get(270))
                check_samples(image, file)
                yield (image if _is_whole(image.tag_v2) else None), file
                return
            # In a JPEG of several pictures (MPO) the others are previews and depths of the first.
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise BadImage(
                    f"is an animation of {image.n_frames} pictures. Save the one that you want, or all as a "
                    ".npy volume."
                )
            check_samples(image, file)
            yield image, file


def _open(file: BinaryIO) -> Any:
    try:
        return Image.open(file, formats=_FORMATS)
    except (UnidentifiedImageError, ValueError):
        if not png.is_png(file):
            raise
        return Image.open(png.without_metadata(file), formats=["PNG"])


def _is_whole(tags: Mapping[int, Any]) -> bool:
    """Tell whether Pillow gives a TIFF's samples as they are; signed bytes it takes for unsigned."""
    bits, kinds, extra = (
        _numbers(tags.get(tag, default)) for tag, default in ((258, 1), (339, 1), (338, ()))
    )
    light = tags.get(262, 1)
    if len(set(bits)) != 1 or 0 in extra:  # samples of no stated meaning are channels
        return False
    if bits[0] <= 8:
        return set(kinds) <= {1, 4} and light != 8
    if len(bits) > 1 or light != 1:
        return False
    return (bits[0], kinds[0]) in {(12, 1), (16, 1), (16, 2), (32, 2), (32, 3)}


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _is_grey(image: Any, file: BinaryIO) -> bool:
    if image.format == "PNG" and png.bit_depth(file) == (16, 2):
        return True  # Pillow calls it RGBA
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY_MODES


def _decode(image: Any, file: BinaryIO) -> np.ndarray:
    if image.format == "PNG":
        depth, n_samples = png.bit_depth(file)
        plain = png.without_metadata(file)
        if depth == 16 and n_samples > 1:
            voxels = png.decode_16_bits(lambda: Image.open(plain, formats=["PNG"]), n_samples)
            return voxels[..., 0] if n_samples == 2 else voxels[..., :3]
        image = Image.open(plain, formats=["PNG"])
    image.load()
    image.info.pop("transparency", None)  # left out in any case; of a palette Pillow would warn
    if not _is_grey(image, file):
        image = image.convert("RGB")
    elif image.mode in ("P", "LA", "La", "1"):
        image = image.convert("L")
    return np.array(image)


def _turn(image: Any, file: BinaryIO) -> int:
    """Return the EXIF code of how a picture must be turned, from wherever it is stored; 1 if nowhere."""
    if image.format == "PNG":
        found = png.metadata(file)
        exif = [
            found.get("exif"),
            *(_raw_profile(found.get(f"Raw profile type {k}")) for k in ("exif", "APP1")),
        ]
        xmp = [found.get("XML:com.adobe.xmp"), _raw_profile(found.get("Raw profile type xmp"))]
    else:
        exif, xmp = [image.info.get("exif")], [image.info.get("xmp")]
    turns = [_exif_turn(block) for block in exif if block] + [_xmp_turn(block) for block in xmp if block]
    return next((turn for turn in turns if turn in _UPRIGHT), 1)


def _raw_profile(text: bytes | None) -> bytes | None:
    """Return what ImageMagick and others hide in a PNG text: name, length, and hexadecimal digits."""
    try:
        return bytes.fromhex(b"".join((text or b"").split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return None


def _exif_turn(block: bytes) -> Any:
    exif = Image.Exif()
    try:
        exif.load(block)
        return exif.get(_ORIENTATION)
    except Exception:  # whatever broken metadata may raise: the picture beside it is sound
        return None


def _xmp_turn(packet: bytes | str) -> int | None:
    packet = packet.encode() if isinstance(packet, str) else packet
    found = re.search(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([0-9])", packet)
    return None if found is None else int(found[1])
