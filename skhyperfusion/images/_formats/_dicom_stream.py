"""The bytes of a DICOM file: never more of them than the file has, and deflated ones unpacked in bounds."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from skhyperfusion.images._formats._raw import BadImage

_DEFLATED, _EXPLICIT = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1"
_META = b"\x02\0\0\0UL\x04\0"  # FileMetaInformationGroupLength, which stands first
_SYNTAX = b"\x02\0\x10\0UI"
_MOST_BESIDE = 1 << 24  # bytes of all elements but the pixels: kilobytes, and the odd look-up table


@contextmanager
def bounded(path: str, n_pixel_bytes: Callable[[], int] | None) -> Iterator[Any]:
    """Open a DICOM file for `pydicom.dcmread`.

    Parameters
    ----------
    path : str
    n_pixel_bytes : callable or None
        Tells, where that matters, how many bytes of pixels there should be; None: they are not to be read.
    """
    with open(path, "rb") as file:
        yield _inflated(file, n_pixel_bytes) or _Bounded(file)


class _Bounded:
    """A file that is never asked for more bytes than it has: a damaged length would allocate gigabytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self.name, self.tell, self.seek, self.close = file.name, file.tell, file.seek, file.close

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if size is None or size < 0 else min(size, left))


def _inflated(file: BinaryIO, n_pixel_bytes: Callable[[], int] | None) -> Any:
    """Return a file of the transfer syntax Deflated Explicit VR as plain Explicit VR; None for any other.

    pydicom unpacks the whole of it, whatever it comes to: some kilobytes may be made to fill a machine.
    """
    start = file.read(144)
    file.seek(0)
    if start[128:132] != b"DICM" or start[132:140] != _META:
        return None
    end = 144 + int.from_bytes(start[140:144], "little")
    meta = file.read(min(end, 1 << 20))
    at = meta.find(_SYNTAX)
    length = int.from_bytes(meta[at + 6 : at + 8], "little")
    if at < 0 or meta[at + 8 : at + 8 + length].rstrip(b"\0 ") != _DEFLATED:
        file.seek(0)
        return None
    most = _MOST_BESIDE + (n_pixel_bytes() if n_pixel_bytes else 0)
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    content = unpacking.decompress(file.read(), most)
    if n_pixel_bytes and unpacking.unconsumed_tail:
        raise BadImage(
            f"is a deflated DICOM file that unpacks to more than {most} bytes: the pixels that its header "
            "tells of, and more than all else takes. It is damaged: restore it, or drop the row."
        )
    # Of the same length, filled up: nothing else in the header has to change.
    syntax = _EXPLICIT.ljust(length, b"\0")
    return io.BytesIO(meta[: at + 8] + syntax + meta[at + 8 + length :] + content)
