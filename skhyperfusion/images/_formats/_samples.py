"""Pictures whose samples Pillow would change without a word: inks, and depths that it stretches or cuts."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from skhyperfusion.images._formats._raw import BadImage

_ANOTHER_WAY = "pass skhyperfusion.images.register_reader a function that reads it"
_SIZ = b"\xff\x4f\xff\x51"  # the start of a JPEG 2000 stream, and its sizes
_HEADER_BYTES = 1 << 16  # the boxes in front of them hold little more than a colour profile


def check_samples(image: Any, file: BinaryIO) -> None:
    """Refuse an opened Pillow image whose samples would not come out as they are stored.

    Inks (CMYK) are no light: which colour they give, a press and its profile say, and Pillow's plain formula
    does not ask. Of netpbm and JPEG 2000 it stretches samples to 8 or 16 bits, and cuts colours to 8.
    """
    if image.mode == "CMYK":
        raise BadImage(
            "is a picture in inks (CMYK), which are turned into RGB by a colour profile, and not here. Save "
            f"it in RGB (by Pillow's plain formula: image.convert('RGB').save(...)), or {_ANOTHER_WAY}."
        )
    if image.format == "PPM":
        decoder, *_, settings = image.tile[0]
        most = 255 if decoder == "raw" else settings[-1]
        if most != 255 and not (image.mode == "1" or (image.mode == "I" and most == 65535)):
            raise BadImage(
                f"is a netpbm picture (mode {image.mode}) of samples up to {most}, which Pillow stretches or "
                f"cuts. Save it as PNG or TIFF, or {_ANOTHER_WAY}."
            )
    if image.format == "JPEG2000":
        bits = _jpeg_2000_bits(file)
        if any(n != 8 for n in bits) and bits != [16]:
            raise BadImage(
                f"is a JPEG 2000 picture with samples of {', '.join(map(str, bits)) or '?'} bits, which "
                f"Pillow stretches or cuts. Save it as TIFF, or {_ANOTHER_WAY}."
            )


def _jpeg_2000_bits(file: BinaryIO) -> list[int]:
    """Return the bits of each component, negative where they are signed; none where they are not found."""
    place = file.tell()
    file.seek(0)
    start = file.read(_HEADER_BYTES)
    file.seek(place)
    at = start.find(_SIZ)
    if at < 0 or len(start) < at + 42:
        return []
    (n_components,) = struct.unpack(">H", start[at + 40 : at + 42])
    depths = start[at + 42 : at + 42 + 3 * n_components : 3]
    return [-((depth & 0x7F) + 1) if depth & 0x80 else depth + 1 for depth in depths]
