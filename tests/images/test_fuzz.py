"""Thousands of damaged files: each is an image or a named error, without crash, hang or huge allocation."""

import gzip
import io
import struct
import time
import tracemalloc
import warnings
import zlib

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.freesurfer import MGHImage
from PIL import Image

from skhyperfusion.images import ImageLoader
from skhyperfusion.images._cache._memory import CACHE

pydicom = pytest.importorskip("pydicom")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("highdicom.volume")  # what importing it takes is no cost of a damaged file
uid = pytest.importorskip("pydicom.uid")
encapsulate = pytest.importorskip("pydicom.encaps").encapsulate

LIMIT = 40_000  # voxels; an image beyond it must be refused before it is decoded
N_FILES, N_MUTATIONS = 24, 420  # more than 10,000 damaged files together
PEAK = 40 * LIMIT  # bytes: what a few copies of the largest image take


def write_valid(folder):
    """One small valid file of each format."""
    rng = np.random.default_rng(0)
    voxels = rng.normal(100, 20, (10, 12, 9)).astype(np.float32)
    affine = np.diag([-2.0, 2, 2.5, 1])
    for name, kind in [
        ("a.nii", nib.Nifti1Image),
        ("b.nii.gz", nib.Nifti1Image),
        ("c.nii", nib.Nifti2Image),
        ("d.mgh", MGHImage),
        ("e.mgz", MGHImage),
        ("f.img", nib.Nifti1Pair),
    ]:
        nib.save(kind(voxels, affine), folder / name)
    small = nib.Nifti1Image(voxels.astype(np.int16), affine)
    small.header.set_slope_inter(0.5, 1)
    nib.save(small, folder / "g.nii")
    pixels = rng.integers(0, 255, (30, 40, 3)).astype(np.uint8)
    for name in ("h.png", "i.jpg", "j.tif"):
        Image.fromarray(pixels).save(folder / name)
    Image.fromarray(pixels[..., 0]).save(folder / "k.tif", compression="tiff_lzw")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 200).save(folder / "l.png")
    np.save(folder / "m.npy", voxels)
    write_dicom(folder)
    deep = rng.integers(0, 65536, (30, 40, 3)).astype(np.uint16)
    tifffile.imwrite(folder / "u.tif", deep, photometric="rgb", compression="zlib")
    tifffile.imwrite(folder / "v.tif", deep[..., 0].astype(np.float64), bigtiff=True)
    (folder / "w.png").write_bytes(deep_png(deep))
    return sorted(path for path in folder.iterdir())


def write_dicom(folder):
    """DICOM: plain, packed in four ways, of several frames, and without a preamble."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 4096, (12, 20, 24)).astype(np.uint16)
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 20, 24, 1
    dataset.PhotometricInterpretation, dataset.PixelSpacing = "MONOCHROME2", [2.0, 1.5]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, -1024
    dataset.PixelData = pixels[0].tobytes()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    pydicom.dcmwrite(folder / "n.dcm", dataset, enforce_file_format=True)
    for name, syntax in (
        ("o.dcm", uid.RLELossless),
        ("p.dcm", uid.JPEG2000Lossless),
        ("q.dcm", uid.JPEGLSLossless),
    ):
        packed = pydicom.dcmread(folder / "n.dcm")
        if syntax == uid.JPEG2000Lossless:
            stream = io.BytesIO()
            Image.fromarray(pixels[0]).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
            packed.PixelData = encapsulate([stream.getvalue()])
            packed.file_meta.TransferSyntaxUID = syntax
        else:
            packed.compress(syntax, generate_instance_uid=False)
        packed.save_as(folder / name)
    packed = pydicom.dcmread(folder / "n.dcm")
    packed.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    packed.save_as(folder / "r.dcm")
    dataset.NumberOfFrames, dataset.PixelData = len(pixels), pixels.tobytes()
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    dataset.GridFrameOffsetVector = [3.0 * i for i in range(len(pixels))]
    pydicom.dcmwrite(folder / "s.dcm", dataset, enforce_file_format=True)
    del dataset.file_meta
    dataset.save_as(folder / "t.dcm", implicit_vr=True, little_endian=True)


def deep_png(pixels):
    """A PNG of 16 bits and three colours, which Pillow cannot write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 2, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def mutations(content, rng, n, header):
    """Yield damaged versions: bytes changed in the header or anywhere, cut short, numbers blown up."""
    for i in range(n):
        damaged = bytearray(content)
        kind = i % 4
        if kind == 0:
            for place in rng.integers(0, min(header, len(content)), rng.integers(1, 6)):
                damaged[place] = rng.integers(256)
        elif kind == 1:
            for place in rng.integers(0, len(content), rng.integers(1, 30)):
                damaged[place] = rng.integers(256)
        elif kind == 2:
            del damaged[rng.integers(0, len(content)) :]
        else:
            place = int(rng.integers(0, max(1, min(header, len(content)) - 4)))
            damaged[place : place + 4] = rng.choice(
                [b"\xff\xff\xff\x7f", b"\xff" * 4, b"\0" * 4, b"\0\0\xc0\x7f"]
            )
        yield bytes(damaged)


def outcome(path):
    """Load one file; return "image" or "error", or raise what should not be."""
    frame = pd.DataFrame({"scan": [str(path)]}, index=["p0"])
    CACHE.clear()
    spacing = 2.0 if path.suffix in (".nii", ".gz") else None
    try:
        source = ImageLoader(max_voxels=LIMIT, spacing=spacing).open(frame)
        image = source.stack(n_threads=1)
    except ValueError as error:
        if not str(error).startswith(f"Row 'p0', column 'scan': {str(path)!r} "):
            raise
        return "error"
    assert image.shape == (1, source.spec.n_views, source.spec.n_channels, *source.spec.shape)
    assert np.isfinite(image).all()
    assert image.size <= LIMIT
    return "image"


def measured(path):
    """Return what became of a file, the bytes that it took at most, and the seconds."""
    tracemalloc.reset_peak()
    before, start = tracemalloc.get_traced_memory()[0], time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries may remark on what they read
        what = outcome(path)
    return what, tracemalloc.get_traced_memory()[1] - before, time.perf_counter() - start


def check_all(path, contents):
    original, beside = path.read_bytes(), sorted(path.parent.iterdir())
    counts = {"image": 0, "error": 0}
    # tifffile lists all strips of a page, a few numbers for each row that the header claims.
    limit = 10 * PEAK if path.suffix == ".tif" else PEAK
    for content in contents:
        path.write_bytes(content)
        what, peak, seconds = measured(path)
        if peak > limit or seconds > 5:  # modules imported on the way are no cost of the file: once more
            what, peak, seconds = measured(path)
        assert peak < limit
        assert seconds < 5
        counts[what] += 1
    path.write_bytes(original)
    assert sorted(path.parent.iterdir()) == beside
    return counts


@pytest.fixture
def _traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.usefixtures("_traced")
@pytest.mark.parametrize("index", range(N_FILES))
def test_file_when_damaged_is_an_image_or_a_named_error(tmp_path, index):
    path = write_valid(tmp_path)[index]
    content = path.read_bytes()
    counts = check_all(
        path,
        mutations(
            content, np.random.default_rng(index), N_MUTATIONS, header=900 if path.suffix == ".dcm" else 400
        ),
    )
    assert counts["error"] > 20
    assert sum(counts.values()) == N_MUTATIONS
    assert outcome(path) == "image"


@pytest.mark.slow
@pytest.mark.usefixtures("_traced")
@pytest.mark.parametrize("name", ["b.nii.gz", "e.mgz"])
def test_gzip_when_the_header_inside_is_damaged_is_an_image_or_a_named_error(tmp_path, name):
    write_valid(tmp_path)
    path = tmp_path / name
    content = gzip.decompress(path.read_bytes())
    damaged = mutations(content, np.random.default_rng(1), 300, header=348)
    counts = check_all(path, (gzip.compress(one, 1) for one in damaged))
    assert counts["error"] > 20


@pytest.mark.usefixtures("_traced")
def test_gzip_when_it_is_a_bomb_is_refused_without_unpacking(tmp_path):
    """50 MB of zeros in 50 kB, behind an honest header, a lying one, and one with a far voxel offset."""
    header = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)).header
    path = tmp_path / "bomb.nii.gz"
    for shape, offset in [((500, 500, 200), 352), ((20, 20, 20), 352), ((20, 20, 20), 4e7)]:
        header.set_data_shape(shape)
        raw = bytearray(header.binaryblock + b"\0" * 4)
        raw[108:112] = np.float32(offset).tobytes()
        path.write_bytes(gzip.compress(bytes(raw) + b"\0" * 50_000_000, 1))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        assert outcome(path) == "error"
        assert tracemalloc.get_traced_memory()[1] - before < 5_000_000
