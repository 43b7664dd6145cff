"""One DICOM file by pydicom: opened, its elements checked, and what they say of its samples and frames."""

from __future__ import annotations

from typing import Any

from skhyperfusion._optional import import_optional
from skhyperfusion._wording import show
from skhyperfusion.images._formats._content import mislabelled
from skhyperfusion.images._formats._dicom_stream import bounded
from skhyperfusion.images._formats._raw import BadImage

_DICOMDIR = "1.2.840.10008.1.3.10"
GREY, PALETTE = ("MONOCHROME1", "MONOCHROME2"), "PALETTE COLOR"


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
    with bounded(path, (lambda: _n_pixel_bytes(open_dicom(path))) if pixels else None) as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=not pixels, force=True)
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


def _n_pixel_bytes(dataset: Any) -> int:
    n_pixels = int(dataset.Rows) * int(dataset.Columns) * n_frames(dataset)
    bits = int(dataset.get("SamplesPerPixel") or 1) * int(dataset.get("BitsAllocated") or 8)
    return n_pixels * bits // 8 + 1


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
    if n_samples not in (1, 3) or (n_samples == 1) != (kind in GREY):
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
    if "MOSAIC" in list(dataset.get("ImageType") or ()):
        raise BadImage(
            "is a DICOM mosaic: one picture with the slices of a volume side by side (ImageType). Convert it "
            "to NIfTI, with dcm2niix for example, or drop the row."
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
    return 3 if photometric(dataset) == PALETTE and samples == 1 else samples


def n_frames(dataset: Any) -> int:
    """Return the number of frames, 1 where it is not told."""
    value = dataset.get("NumberOfFrames")
    try:
        return int(value or 1)
    except (TypeError, ValueError) as error:
        raise BadImage(
            f"is a DICOM file whose NumberOfFrames is {show(value)}. Its header is damaged: restore the file."
        ) from error
