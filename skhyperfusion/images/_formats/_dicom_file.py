"""One DICOM file by pydicom: its elements checked, its values as the modality means them."""

from __future__ import annotations

import os
import re
import struct
from typing import Any, BinaryIO

import numpy as np

from skhyperfusion._optional import import_optional
from skhyperfusion._wording import show
from skhyperfusion.images._formats._content import mislabelled
from skhyperfusion.images._formats._dicom_geometry import (
    direction,
    numbers,
    picture_affine,
    pixel_spacing,
    place_frames,
)
from skhyperfusion.images._formats._raw import BadImage, RawHeader

_DICOMDIR = "1.2.840.10008.1.3.10"
_RTDOSE = "1.2.840.10008.5.1.4.1.1.481.2"
# The markers of a JPEG that tell its size: all kinds of coding, and JPEG-LS.
_STARTS_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_GREY, _PALETTE = ("MONOCHROME1", "MONOCHROME2"), "PALETTE COLOR"


def is_dicom(path: str) -> bool:
    """Tell whether a file has the mark of DICOM behind its preamble, or begins as DICOM without one does."""
    try:
        with open(path, "rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or _begins_with_element(start)


def _begins_with_element(start: bytes) -> bool:
    """Tell a first element of group 2 or 8: tag, and then its type in letters or its length in four bytes."""
    if len(start) < 12 or start[:2] not in (b"\x02\0", b"\x08\0"):
        return False
    explicit = start[4:6] in (b"UL", b"CS", b"UI", b"OB", b"DA", b"LO", b"SH")
    return start[3:4] == b"\0" and (explicit or start[5:8] == b"\0\0\0")


def open_dicom(path: str, *, pixels: bool = False) -> Any:
    """Return the data set of a file that holds an image; without `pixels` all but these."""
    pydicom = import_optional("pydicom", "Reading DICOM", extra="dicom")
    # Archives of before 1993 have no preamble: what comes out is judged by its elements.
    with open(path, "rb") as file:
        dataset = pydicom.dcmread(_Bounded(file), stop_before_pixels=not pixels, force=True)
    if _is_directory(dataset):
        raise BadImage("is a DICOMDIR, a list of files: it holds no image. Name the folder of one series.")
    if "Rows" not in dataset and len(dataset.group_dataset(0x0008)) == 0 and not is_dicom(path):
        raise BadImage(
            mislabelled(path)
            or "holds no DICOM elements of an image: it is damaged, or of another format than its suffix "
            "says. Restore it, or drop the row."
        )
    for name in ("Rows", "Columns"):
        if not dataset.get(name):
            raise BadImage(
                f"is a DICOM file without {name}: it holds no image{_kind(dataset)}. Drop the row, or name "
                "another file."
            )
    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
    if not dataset.file_meta.get("TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = _uncompressed(pydicom.uid, *dataset.original_encoding)
    _check(dataset)
    return dataset


class _Bounded:
    """A file that is never asked for more bytes than it has: a damaged length would allocate gigabytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self.name, self.tell, self.seek, self.close = file.name, file.tell, file.seek, file.close

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if size is None or size < 0 else min(size, left))


def _is_directory(dataset: Any) -> bool:
    meta = getattr(dataset, "file_meta", None) or {}
    return "DirectoryRecordSequence" in dataset or meta.get("MediaStorageSOPClassUID") == _DICOMDIR


def _kind(dataset: Any) -> str:
    name = getattr(dataset.get("SOPClassUID"), "name", None)
    return "" if name is None else f", but {name!r}"


def _uncompressed(uid: Any, implicit: bool | None, little: bool | None) -> Any:
    if little is False:
        return uid.ExplicitVRBigEndian
    return uid.ExplicitVRLittleEndian if implicit is False else uid.ImplicitVRLittleEndian


def _check(dataset: Any) -> None:
    """Refuse by name what would be read as something that it is not."""
    kind, n_samples = photometric(dataset), n_channels(dataset)
    if n_samples not in (1, 3) or (n_samples == 1) != (kind in _GREY):
        raise BadImage(
            f"is a DICOM file with colours {kind!r} of {dataset.get('SamplesPerPixel')} samples, which is "
            "neither grey nor RGB. Convert it, or drop the row."
        )
    stored, high = dataset.get("BitsStored"), dataset.get("HighBit")
    if stored and high is not None and high != stored - 1:
        raise BadImage(
            f"is a DICOM file with HighBit {high} and BitsStored {stored}: its values do not begin at bit 0, "
            "which is read no more since 1993. Convert it, or drop the row."
        )
    if len(dataset.get("SegmentSequence") or ()) > 1 and dataset.get("SegmentationType") != "LABELMAP":
        raise BadImage(
            f"is a DICOM segmentation of {len(dataset.SegmentSequence)} segments, and not one volume. Save "
            "the segment that you want as NIfTI."
        )


def photometric(dataset: Any) -> str:
    """Return what the samples stand for, as PS3.3 calls it."""
    return str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")


def n_channels(dataset: Any) -> int:
    """Return 1 for grey, 3 for colours, those of a palette among them."""
    samples = int(dataset.get("SamplesPerPixel") or 1)
    return 3 if photometric(dataset) == _PALETTE and samples == 1 else samples


def n_frames(dataset: Any) -> int:
    """Return the number of frames, 1 where it is not told."""
    value = dataset.get("NumberOfFrames")
    try:
        return int(value or 1)
    except (TypeError, ValueError) as error:
        raise BadImage(
            f"is a DICOM file whose NumberOfFrames is {show(value)}. Its header is damaged: restore the file."
        ) from error


# -- geometry ----------------------------------------------------------------------------------------------


def layout(dataset: Any) -> tuple[RawHeader, np.ndarray]:
    """Return shape and affine of a file's image, and the order in which its frames make a volume."""
    colours = (3,) if n_channels(dataset) > 1 else ()
    size = (int(dataset.Rows), int(dataset.Columns))
    count = n_frames(dataset)
    if count == 1:
        affine = picture_affine(dataset, group(dataset, 0, "PixelMeasuresSequence"))
        return RawHeader((*size, *colours), affine, "picture"), np.zeros(1, dtype=int)
    order, affine = place_frames(
        _positions(dataset, count),
        _shared(dataset, count, "PlaneOrientationSequence", direction),
        _shared(dataset, count, "PixelMeasuresSequence", lambda item: pixel_spacing(item, item)),
        size,
        what=f"a DICOM file of {count} frames",
        name=lambda i: f"frame {i + 1}",
        differing=lambda i, j: _differing_frames(dataset, i, j),
    )
    return RawHeader((size[1], size[0], count, *colours), affine, "volume"), order


def group(dataset: Any, frame: int, keyword: str) -> Any:
    """Return the item of a functional group for one frame, its own before the shared one; None without."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for holder in (*per_frame[frame : frame + 1], *shared[:1]):
        if holder.get(keyword):
            return holder[keyword][0]
    return None


def _positions(dataset: Any, count: int) -> np.ndarray:
    if dataset.get("SOPClassUID") == _RTDOSE or dataset.get("GridFrameOffsetVector"):
        return _dose_positions(dataset, count)
    # As many groups as there are, never as many as the header says: that may be any number.
    n_groups = len(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    places = [group(dataset, i, "PlanePositionSequence") for i in range(min(count, n_groups))]
    positions = [None if item is None else numbers(item, "ImagePositionPatient", 3) for item in places]
    told = [position for position in positions if position is not None]
    if len(told) != count:
        raise BadImage(
            f"is a DICOM file of {count} frames that does not tell where they lie (a film?): "
            f"{count - len(told)} have no ImagePositionPatient. Save the frame that you want, or the volume "
            "as NIfTI."
        )
    return np.array(told)


def _dose_positions(dataset: Any, count: int) -> np.ndarray:
    """Return where a dose grid's planes lie, by offsets along the normal or along z (PS3.3 C.8.8.3.2)."""
    first, axes = numbers(dataset, "ImagePositionPatient", 3), direction(dataset)
    offsets = numbers(dataset, "GridFrameOffsetVector", count)
    if first is None or axes is None or offsets is None:
        raise BadImage(
            f"is a DICOM file of {count} frames that does not tell where they lie: it lacks "
            "ImagePositionPatient, ImageOrientationPatient or GridFrameOffsetVector. Save the volume as "
            "NIfTI."
        )
    normal = np.cross(*axes)
    if offsets[0] != 0:
        if not np.isclose(abs(normal[2]), 1) or not np.isclose(offsets[0], first[2]):
            raise BadImage(
                f"is a DICOM dose grid whose GridFrameOffsetVector begins at {offsets[0]:g}, neither at 0 "
                "nor at its ImagePositionPatient. Its header is damaged: restore the file."
            )
        offsets = (offsets - offsets[0]) * normal[2]
    return first + np.outer(offsets, normal)


def _shared(dataset: Any, count: int, keyword: str, read: Any) -> np.ndarray | None:
    """Return a value that all frames of a volume have in common."""
    groups = [group(dataset, i, keyword) for i in range(count)]
    values = [read(dataset if item is None else item) for item in groups]
    odd = [i for i, value in enumerate(values) if not _close(value, values[0])]
    if odd:
        raise BadImage(
            f"is a DICOM file whose frames differ in {keyword.removesuffix('Sequence')}, frame {odd[0] + 1} "
            "from the first: localisers, or several volumes. Save the volume that you want as NIfTI."
        )
    return values[0]


def _close(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is None and b is None if a is None or b is None else np.allclose(a, b, atol=1e-3)


def _differing_frames(dataset: Any, i: int, j: int) -> str:
    content = [group(dataset, k, "FrameContentSequence") for k in (i, j)]
    if None in content:
        return "nothing tells them apart"
    shown = [[show(list(item.get("DimensionIndexValues") or ())), item.get("StackID")] for item in content]
    return "DimensionIndexValues " + " and ".join(str(values[0]) for values in shown)


# -- values ------------------------------------------------------------------------------------------------


def decode(dataset: Any, order: np.ndarray) -> np.ndarray:
    """Return the values of the frames in an order, (n, rows, columns) or with a last axis of RGB, float32.

    As the modality means them: look-up table or rescaling of each frame, palette, colours turned to RGB once.
    What is for display alone (window, presentation, overlays, colour profile) is left out, except that a
    grey picture without a unit whose 0 is white is turned round, so that bright is bright on every device.
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
        voxels, told = decoder.as_array(dataset)
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
    kind = str(told["photometric_interpretation"])
    if kind not in (*_GREY, _PALETTE, "RGB"):
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
    if kind == _PALETTE:
        return apply_color_lut(frame, dataset)
    if kind not in _GREY:
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
    slope, intercept = (numbers(holder, name, 1) for name in ("RescaleSlope", "RescaleIntercept"))
    slope = 1.0 if slope is None else float(slope[0])
    intercept = 0.0 if intercept is None else float(intercept[0])
    has_unit = (slope, intercept) != (1, 0) and str(holder.get("RescaleType") or "") != "US"
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
