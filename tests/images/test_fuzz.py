"""Thousands of damaged files: each is an image or a named error, without crash, hang or huge allocation."""

import gzip
import time
import tracemalloc
import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.freesurfer import MGHImage
from PIL import Image

from skhyperfusion.images import ImageLoader
from skhyperfusion.images._cache._memory import CACHE

LIMIT = 40_000  # voxels; an image beyond it must be refused before it is decoded
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
    return sorted(path for path in folder.iterdir())


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


def check_all(path, contents):
    original = path.read_bytes()
    counts = {"image": 0, "error": 0}
    for content in contents:
        path.write_bytes(content)
        tracemalloc.reset_peak()
        before, start = tracemalloc.get_traced_memory()[0], time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # libraries may remark on what they read
            counts[outcome(path)] += 1
        assert time.perf_counter() - start < 5
        assert tracemalloc.get_traced_memory()[1] - before < PEAK
    path.write_bytes(original)
    return counts


@pytest.fixture
def _traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.usefixtures("_traced")
@pytest.mark.parametrize("index", range(14))
def test_file_when_damaged_is_an_image_or_a_named_error(tmp_path, index):
    path = write_valid(tmp_path)[index]
    content = path.read_bytes()
    counts = check_all(path, mutations(content, np.random.default_rng(index), 300, header=400))
    assert counts["error"] > 20
    assert sum(counts.values()) == 300
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
