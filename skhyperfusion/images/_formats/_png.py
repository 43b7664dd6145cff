"""What Pillow does not tell about a PNG: metadata behind or beside its pixels, and colours of 16 bits."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What decides how the pixels look; everything else is metadata, and may be broken or stand behind the pixels.
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT")
_METADATA = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
_MOST = 1 << 20  # bytes of one block of metadata that are looked at; a camera's thumbnail is far smaller


def is_png(file: BinaryIO) -> bool:
    """Tell a PNG by its mark; the file is left at its start."""
    file.seek(0)
    found = file.read(8) == _SIGNATURE
    file.seek(0)
    return found


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, place and length of each chunk's data; what is cut short ends the list."""
    file.seek(0, io.SEEK_END)
    size, place = file.tell(), 8
    while place + 12 <= size:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        # A damaged length must not make anybody ask for gigabytes.
        yield kind, place + 8, min(length, size - place - 12)
        if kind == b"IEND":
            return
        place += 12 + length


def metadata(file: BinaryIO) -> dict[str, bytes]:
    """Return the texts by their keyword, unpacked, and the EXIF block as "exif"; skips the pixels."""
    found: dict[str, bytes] = {}
    for kind, place, length in _chunks(file):
        if kind not in _METADATA or length > _MOST:
            continue
        file.seek(place)
        data = file.read(length)
        if kind == b"eXIf":
            found.setdefault("exif", data)
            continue
        keyword, _, text = data.partition(b"\0")
        try:
            found.setdefault(keyword.decode("latin-1"), _text(kind, text))
        except (
            zlib.error,
            ValueError,
            IndexError,
        ):  # a broken text tells nothing; the picture may still be sound
            continue
    return found


def _text(kind: bytes, text: bytes) -> bytes:
    packed = kind == b"zTXt"
    if packed:
        text = text[1:]
    elif kind == b"iTXt":
        packed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[2]
    return zlib.decompressobj().decompress(text, _MOST) if packed else text


def without_metadata(file: BinaryIO) -> BinaryIO:
    """Return the same PNG with nothing but what decides its pixels: broken metadata refuse no picture."""
    parts = [_SIGNATURE]
    for kind, place, length in _chunks(file):
        if kind in _PIXELS:
            file.seek(place - 8)
            parts.append(file.read(length + 12))
    return io.BytesIO(b"".join(parts))


def bit_depth(file: BinaryIO) -> tuple[int, int]:
    """Return the bits of a sample, and the number of samples of a pixel; (0, 0) where there is no header."""
    file.seek(0)
    start = file.read(26)
    file.seek(0)
    if len(start) < 26 or start[12:16] != b"IHDR":
        return 0, 0
    return start[24], {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(start[25], 0)


def decode_16_bits(opened: Any, n_samples: int) -> np.ndarray:
    """Return the samples (H, W, 2 to 4) of a PNG of 16 bits and several samples, nothing cut.

    Pillow has no mode for them, and gives the upper bytes. Asked for the samples in the other byte order, it
    gives the lower bytes; grey and alpha of 16 bits are laid out as four samples of 8.

    Parameters
    ----------
    opened : callable
        Opens the picture anew, as a Pillow image that is not decoded.
    n_samples : int
        Samples of a pixel: grey and alpha 2, colour 3, with alpha 4.
    """
    if n_samples == 2:
        quarters = _decode(opened(), "RGBA").astype(np.uint16)
        return quarters[..., ::2] << 8 | quarters[..., 1::2]
    kind = "RGB" if n_samples == 3 else "RGBA"
    upper = _decode(opened(), f"{kind};16B").astype(np.uint16)
    return upper << 8 | _decode(opened(), f"{kind};16L")


def _decode(image: Any, layout: str) -> np.ndarray:
    image.tile = [(*image.tile[0][:3], layout)]
    return np.array(image)
