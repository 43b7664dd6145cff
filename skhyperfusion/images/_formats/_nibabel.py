"""NIfTI and MGH by nibabel: header alone, or voxels with slope and intercept applied."""

from __future__ import annotations

import gzip
import io
import logging
import math
import os
import zlib

import numpy as np

from skhyperfusion.images._formats._content import is_gzip, is_text, mislabelled
from skhyperfusion.images._formats._raw import BadImage, RawHeader, RawImage, in_millimetres, plain_voxels

_PREFIX = 1024  # bytes: more than any of the headers has
# Decompressed bytes beyond what the header announces: headers with extensions and MGH footers stay far below.
_SLACK = 1 << 20

_PAIR = (".hdr", ".img")
_X_FLIP = np.diag([-1.0, 1.0, 1.0, 1.0])

# nibabel reports each repaired header field on stderr; a wrong qfac alone would print a line per scan.
_silent = logging.getLogger("skhyperfusion.images.nibabel")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def read_volume_header(path: str) -> RawHeader:
    """Return shape and affine (mm) of a NIfTI-1/2, Analyze or MGH file; reads its first kilobyte."""
    header = _read_header(path)
    described = _describe(header, path)
    end, source = _data_end(header), _data_path(path)
    if not is_gzip(source) and os.path.getsize(source) < end:
        raise BadImage(
            f"is cut short: its header asks for {end} bytes, and there are {os.path.getsize(source)}. "
            "Restore the file, or drop the row."
        )
    return described


def read_volume(path: str) -> RawImage:
    """Return the voxels as float32, slope and intercept applied, with the affine in mm."""
    from nibabel.arrayproxy import ArrayProxy

    header = _read_header(path)
    described = _describe(header, path)
    source = _data_path(path)
    with io.BytesIO(_gunzip(source, _data_end(header))) if is_gzip(source) else open(source, "rb") as file:
        proxy = ArrayProxy(file, header)
        # Records (colours) cannot be cast; everything else is decoded straight to float32.
        voxels = proxy[...] if proxy.dtype.names else np.asanyarray(proxy, dtype=_decoded_type(proxy.dtype))
    return RawImage(plain_voxels(voxels), described.affine, "volume")


def _decoded_type(stored: np.dtype) -> np.dtype:
    return np.dtype(np.float32) if stored.kind in "biuf" else stored


def _data_path(path: str) -> str:
    if path.lower().endswith(".hdr"):
        for suffix in (".img", ".IMG", ".img.gz"):
            if os.path.exists(path[:-4] + suffix):
                return path[:-4] + suffix
        raise BadImage(f"has no {os.path.basename(path)[:-4]}.img beside it. Put both files into one folder.")
    return path


def _header_path(path: str) -> str:
    if path.lower().endswith(".img"):
        for suffix in (".hdr", ".HDR"):
            if os.path.exists(path[:-4] + suffix):
                return path[:-4] + suffix
        raise BadImage(f"has no {os.path.basename(path)[:-4]}.hdr beside it. Put both files into one folder.")
    return path


def _read_header(path: str):
    """Return nibabel's header object; reads no header extension and no voxel."""
    from nibabel.analyze import AnalyzeHeader
    from nibabel.freesurfer.mghformat import MGHHeader
    from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
    from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader
    from nibabel.spm2analyze import Spm2AnalyzeHeader

    path = _header_path(path)
    # By the mark, not the suffix: plain files named .nii.gz, and packed ones named .nii, are read as well.
    opened = gzip.open(path) if is_gzip(path) else open(path, "rb")  # noqa: SIM115
    with opened as file:
        prefix = file.read(_PREFIX)
    if path.lower().endswith((".mgh", ".mgz")):
        return _repaired(MGHHeader.from_fileobj(io.BytesIO(prefix), check=False))
    pair = path.lower().endswith(".hdr")
    kinds = (
        (Nifti1PairHeader, Nifti2PairHeader, Spm2AnalyzeHeader, AnalyzeHeader)
        if pair
        else (Nifti1Header, Nifti2Header)
    )
    for kind in kinds:
        if len(prefix) >= kind.template_dtype.itemsize and kind.may_contain_header(prefix):
            return _repaired(kind(prefix[: kind.template_dtype.itemsize], check=False))
    raise BadImage(
        mislabelled(path)
        or f"does not begin with a NIfTI header ({len(prefix)} bytes read). It is damaged, or of another "
        "format: restore it, or drop the row."
    )


def _repaired(header):
    """Return the header with harmless faults mended, in silence; refuse the others."""
    header.check_fix(logger=_silent, error_level=40)
    return header


def _describe(header, path: str) -> RawHeader:
    shape = tuple(int(n) for n in header.get_data_shape())
    names = header.get_data_dtype().names
    if names is not None:
        shape = (*shape, min(3, len(names)))
    affine = in_millimetres(header.get_best_affine(), header)
    if path.lower().endswith(_PAIR) and not hasattr(header, "get_xyzt_units"):  # Analyze
        affine = _spm_affine(path, affine)
    return RawHeader(shape, affine, "volume")


def _spm_affine(path: str, affine: np.ndarray | None) -> np.ndarray | None:
    """Return the affine that SPM keeps in a .mat beside an Analyze pair, or that of its header without one.

    The header of such a pair cannot tell left from right, nor how a scan is turned. A .mat of plain text is
    another program's (FSL's registration, say).
    """
    stem = os.path.splitext(path)[0]
    source = next((stem + suffix for suffix in (".mat", ".MAT") if os.path.isfile(stem + suffix)), None)
    if source is None or not os.path.getsize(source) or is_text(source):
        return affine
    from scipy.io import loadmat

    name = os.path.basename(source)
    try:
        found = loadmat(source, variable_names=["mat", "M"])
    except Exception as error:  # arbitrary bytes can make the parser raise nearly anything
        raise BadImage(
            f"has {name!r} beside it, where SPM keeps its place and direction, and that cannot be read "
            f"({type(error).__name__}). Restore {name!r}, or move it away if it is of something else."
        ) from error
    matrix = np.asarray(found.get("mat", found.get("M", ())))
    if matrix.shape[:2] != (4, 4) or not matrix.size or matrix.dtype.kind not in "iuf":
        raise BadImage(
            f"has {name!r} beside it, which holds no matrix of SPM (4 x 4, 'mat' or 'M'). Move it away if it "
            "is of something else."
        )
    volumes = matrix.reshape(4, 4, -1)
    if not np.allclose(volumes, volumes[..., :1]):
        raise BadImage(
            f"has several volumes, which lie in different places by {name!r}. Bring them into one space "
            "(SPM's reslicing), or save one of them."
        )
    # "M", which older versions of SPM write alone, leaves out the flip from left to right of the header.
    flip = np.eye(4) if "mat" in found else _X_FLIP
    from_one = np.eye(4)
    from_one[:3, 3] = 1  # MATLAB counts voxels from 1
    return flip @ volumes[..., 0] @ from_one


def _data_end(header) -> int:
    """Return how many bytes header and voxels take together."""
    offset = int(header.get_data_offset())
    if not 0 <= offset <= 1 << 24:
        raise BadImage(
            f"says that its voxels begin at byte {offset}: its header is damaged. Restore the file."
        )
    return offset + math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize


def _gunzip(path: str, n_bytes: int) -> bytes:
    """Decompress `n_bytes` at most, and check the sum of the whole stream.

    One call instead of many small reads (it releases the interpreter's lock, so threads decode side by
    side), and unlike reading just the voxels it sees the checksum at the end: a flipped bit is an error.
    """
    with open(path, "rb") as file:
        packed = file.read()
    parts: list[bytes] = []
    room = n_bytes + _SLACK
    while packed and room > 0:
        stream = zlib.decompressobj(wbits=31)
        parts.append(stream.decompress(packed, room))
        room -= len(parts[-1])
        if not stream.eof:
            if room > 0:
                raise BadImage(
                    "is cut short: its gzip stream ends too early. Restore the file, or drop the row."
                )
            raise BadImage(
                f"unpacks to more than the {n_bytes} bytes that its header announces: it is damaged. "
                "Restore the file, or drop the row."
            )
        packed = stream.unused_data.lstrip(b"\0")
    return b"".join(parts)
