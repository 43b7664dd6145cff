"""The values of the image in one DICOM file, decoded by pydicom, as the modality means them."""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np

from skhyperfusion.images._formats._dicom_file import GREY, PALETTE, n_channels, n_frames, photometric
from skhyperfusion.images._formats._dicom_geometry import numbers
from skhyperfusion.images._formats._dicom_layout import group
from skhyperfusion.images._formats._raw import BadImage

# The markers of a JPEG that tell its size: all kinds of coding, and JPEG-LS.
_STARTS_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def decode(dataset: Any, order: np.ndarray) -> np.ndarray:
    """Return the values of the frames in an order, (n, rows, columns) or with a last axis of RGB, float32.

    As the modality means them: look-up table or rescaling of each frame, palette, colours turned to RGB once.
    What is for display alone (window, presentation, overlays, colour profile) is left out, except that a
    grey picture without a unit whose 0 is white (PS3.3 C.7.6.3.1.2) is turned round: of such values the
    standard defines only how bright they are to be shown, and so bright is bright on every device.
    """
    stored = _stored(dataset)
    out = np.empty(stored.shape[:3] + ((3,) if n_channels(dataset) > 1 else ()), dtype=np.float32)
    for place, i in zip(out, order, strict=True):
        place[...] = _values(dataset, stored[i], int(i))
    return out


def _stored(dataset: Any) -> np.ndarray:
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise BadImage(
            f"is a DICOM file packed as {syntax.name!r}, which is not read. Save the image in another "
            "transfer syntax, or drop the row."
        ) from error
    if not decoder.is_available:
        raise BadImage(f"is a DICOM file packed as {syntax.name!r}, which {_missing(decoder)}.")
    _check_pixels(dataset)
    if syntax.is_encapsulated:
        _check_packed_sizes(dataset)
    try:
        voxels, properties = decoder.as_array(dataset)
    except ValueError as error:
        if "less than expected" not in str(error):
            raise
        found = re.search(r"\((\d+) vs (\d+) bytes\)", str(error))
        sizes = f" ({found[1]} of {found[2]} bytes of pixels)" if found else ""
        raise BadImage(f"is cut short{sizes}. Restore it, or drop the row.") from error
    except RuntimeError as error:
        if not decoder.missing_dependencies:
            raise
        said = " ".join(str(error).split())[:300]
        raise BadImage(
            f"is a DICOM file packed as {syntax.name!r} that the packages installed here cannot decode: it "
            f"is damaged, or of a kind that {_missing(decoder)} ({said})."
        ) from error
    kind = str(properties["photometric_interpretation"])
    if kind not in (*GREY, PALETTE, "RGB"):
        raise BadImage(f"is a DICOM file with colours {kind!r}, which are not turned to RGB. Convert it.")
    colours = 1 if int(dataset.get("SamplesPerPixel") or 1) == 1 else 3
    return voxels.reshape(n_frames(dataset), dataset.Rows, dataset.Columns, *((3,) if colours == 3 else ()))


def _check_packed_sizes(dataset: Any) -> None:
    """Refuse frames that unpack to another size than the header's: their decoders would allocate it."""
    from pydicom.encaps import generate_frames

    wanted = (int(dataset.Columns), int(dataset.Rows))
    for frame in generate_frames(dataset.PixelData, number_of_frames=n_frames(dataset)):
        found = _packed_size(frame)
        if found is not None and found != wanted:
            raise BadImage(
                f"is a DICOM file whose header says {wanted[0]} x {wanted[1]} pixels, and whose packed frame "
                f"has {found[0]} x {found[1]}. It is damaged: restore it, or drop the row."
            )


def _packed_size(frame: bytes) -> tuple[int, int] | None:
    """Return columns and rows as a JPEG, JPEG-LS or JPEG 2000 stream tells them; None for anything else."""
    if frame[:4] == b"\xff\x4f\xff\x51":
        right, bottom, left, top = struct.unpack(">4I", frame[8:24])
        return right - left, bottom - top
    place = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while place + 9 <= len(frame):
        if frame[place] != 0xFF:
            return None
        marker, length = frame[place + 1], int.from_bytes(frame[place + 2 : place + 4], "big")
        if marker in _STARTS_OF_FRAME:
            rows, columns = struct.unpack(">2H", frame[place + 5 : place + 9])
            return columns, rows
        place += 2 + length
    return None


def _missing(decoder: Any) -> str:
    """Say what would decode it; pydicom lists "gdcm - requires gdcm>=3.0.10" and the like."""
    needs = []
    for line in decoder.missing_dependencies:
        names = re.findall(r"(?<![\w.>=])[A-Za-z][\w-]*", line.partition(" - requires ")[2] or line)
        needs.append(" ".join("python-gdcm" if name == "gdcm" else name for name in names if name != "and"))
    return f"needs a further package. Run: pip install {', or pip install '.join(needs)}"


def _check_pixels(dataset: Any) -> None:
    keywords = [k for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if dataset.get(k)]
    if len(keywords) != 1:
        raise BadImage(
            f"is a DICOM file with {' and '.join(keywords) or 'no pixels'}: it is cut short, or holds no "
            "image. Restore it, or drop the row."
        )
    wanted = ["BitsAllocated"]
    if keywords == ["PixelData"]:
        wanted += ["BitsStored", "PixelRepresentation", "PhotometricInterpretation"]
    absent = [name for name in wanted if dataset.get(name) in (None, "")]
    if absent:
        raise BadImage(
            f"is a DICOM file without {', '.join(absent)}: its pixels cannot be told. Restore it, or drop "
            "the row."
        )


def _values(dataset: Any, frame: np.ndarray, i: int) -> np.ndarray:
    from pydicom.pixels import apply_color_lut

    kind = photometric(dataset)
    if kind == PALETTE:
        return apply_color_lut(frame, dataset)
    if kind not in GREY:
        return frame
    if dataset.get("ModalityLUTSequence"):
        table = dataset.ModalityLUTSequence[0]
        values = _looked_up(frame, table, dataset.original_encoding[1])
        if kind == "MONOCHROME1" and table.get("ModalityLUTType", "US") == "US":
            values = 2 ** int(table.LUTDescriptor[2]) - 1 - values.astype(np.int64)
        return values
    slope, intercept, has_unit = _rescale(dataset, i)
    if kind == "MONOCHROME1" and not has_unit and dataset.get("BitsStored"):
        signed = bool(dataset.get("PixelRepresentation"))
        frame = (-1 if signed else 2 ** int(dataset.BitsStored) - 1) - frame.astype(np.int64)
    return frame if (slope, intercept) == (1, 0) else frame.astype(np.float64) * slope + intercept


def _looked_up(frame: np.ndarray, table: Any, little: bool | None) -> np.ndarray:
    """Return the entries of a modality table; pydicom's own look-up knows those of exactly 8 or 16 bits."""
    descriptor, data = numbers(table, "LUTDescriptor", 3), table.get("LUTData")
    if descriptor is None or not data:
        raise BadImage(
            "is a DICOM file whose ModalityLUTSequence has no LUTDescriptor or LUTData: its values cannot be "
            "told. Restore it, or drop the row."
        )
    n_entries, first = int(descriptor[0]) or 1 << 16, int(descriptor[1])
    if isinstance(data, bytes):
        # Entries of 8 bits may be packed two to a word.
        words = "u1" if len(data) < 2 * n_entries else ">u2" if little is False else "<u2"
        data = np.frombuffer(data, words)
    entries = np.atleast_1d(np.asarray(data))[:n_entries]
    if len(entries) < n_entries:
        raise BadImage(
            f"is a DICOM file whose ModalityLUTSequence has {len(entries)} of {n_entries} entries: it is cut "
            "short. Restore it, or drop the row."
        )
    return entries[np.clip(frame.astype(np.int64) - first, 0, n_entries - 1)]


def _rescale(dataset: Any, i: int) -> tuple[float, float, bool]:
    """Return slope and intercept of a frame, and whether what they give has a unit."""
    item = group(dataset, i, "PixelValueTransformationSequence")
    holder = dataset if item is None else item
    slopes, intercepts = (numbers(holder, name, 1) for name in ("RescaleSlope", "RescaleIntercept"))
    slope = 1.0 if slopes is None else float(slopes[0])
    intercept = 0.0 if intercepts is None else float(intercepts[0])
    # Slope 1 and intercept 0 change nothing; a type beside them still says what the values are (HU, say).
    kind = str(holder.get("RescaleType") or "").strip()
    has_unit = kind != "US" and (kind != "" or (slope, intercept) != (1, 0))
    for keyword, power in (("DoseGridScaling", 1), ("MaximumFractionalValue", -1)):
        factor = numbers(dataset, keyword, 1)
        if factor is not None:
            slope, intercept, has_unit = slope * factor[0] ** power, intercept * factor[0] ** power, True
    if slope == 0:
        raise BadImage(
            "is a DICOM file whose values are to be multiplied by 0 (RescaleSlope, DoseGridScaling): its "
            "header is damaged. Restore it, or drop the row."
        )
    return slope, intercept, has_unit
