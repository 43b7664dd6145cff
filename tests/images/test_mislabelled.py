"""Files that are not what they are called: each says what it is and what to do, or is read as what it is."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from nibabel.freesurfer import MGHImage
from PIL import Image

from skhyperfusion._table import _suffixes
from skhyperfusion.images import ImageLoader, register_reader
from skhyperfusion.images._formats import _readers as readers

RAW = {"intensity": None}
SUFFIXES = [".nii", ".nii.gz", ".mgz", ".png", ".jpg", ".tif", ".npy", ".dcm"]


@pytest.mark.parametrize(
    ("stored", "named"),
    [("a.nii.gz", "b.nii"), ("a.nii", "b.nii.gz"), ("a.mgz", "b.mgh"), ("a.mgh", "b.mgz")],
)
def test_gzip_when_the_suffix_disagrees_is_read_as_it_is(save_nifti, load, volume, tmp_path, stored, named):
    kind = {"kind": MGHImage} if "mg" in stored else {}
    shutil.move(save_nifti(volume, stored, **kind), tmp_path / named)
    np.testing.assert_array_equal(load(tmp_path / named, **RAW)[0, 0, 0], volume)


def test_gzip_when_plain_and_cut_short_is_still_refused(save_nifti, as_column, volume, tmp_path):
    content = Path(save_nifti(volume, "a.nii")).read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(content[:-100])
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*b\.nii\.gz' is cut short"):
        ImageLoader().open(as_column(tmp_path / "b.nii.gz"))


CONTENTS = {
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "annex": (b"/annex/objects/MD5E-s9--0.nii.gz\n", "datalad get"),
    "empty": (b"", "is an empty file"),
    "zeros": (bytes(5000), "nothing but zero bytes"),
    "page": (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
    "text": (b'{"error": "quota exceeded"}', 'holds text, \'{"error"'),
    "zip": (b"PK\x03\x04" + bytes(range(256)) * 4, "a zip archive"),
    "pdf": (b"%PDF-1.4 " + bytes(range(256)) * 4, "a PDF document"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", list(CONTENTS))
def test_file_when_it_is_no_image_says_what_it_is(tmp_path, as_column, suffix, content):
    data, said = CONTENTS[content]
    (tmp_path / f"scan{suffix}").write_bytes(data)
    if suffix == ".dcm":
        pytest.importorskip("pydicom")
    with pytest.raises(ValueError, match=rf"Row 'p0', column 'scan': .*scan\{suffix}' .*{said}"):
        ImageLoader().open(as_column(tmp_path / f"scan{suffix}")).stack()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".npy", ".dcm"])
def test_file_when_it_is_another_image_says_which(tmp_path, as_column, suffix):
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / f"scan{suffix}")
    if suffix == ".dcm":
        pytest.importorskip("pydicom")
    with pytest.raises(ValueError, match=r"Row 'p0'.* holds a PNG picture.*Rename it to end in \.png"):
        ImageLoader().open(as_column(tmp_path / f"scan{suffix}"))


def test_picture_when_named_as_another_is_read(tmp_path, load):
    pixels = np.arange(81, dtype=np.uint8).reshape(9, 9)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for name in ("b.jpg", "c.tif"):
        shutil.copy(tmp_path / "a.png", tmp_path / name)
        np.testing.assert_array_equal(load(tmp_path / name, **RAW)[0, 0, 0], pixels)


def test_file_when_its_suffix_is_unknown_says_what_it_holds(save_nifti, as_column, volume, tmp_path):
    shutil.move(save_nifti(volume, "a.nii"), tmp_path / "scan.vol")
    with pytest.raises(
        ValueError, match=r"no reader is registered for\. It holds a NIfTI volume: rename it to end in \.nii"
    ):
        ImageLoader().open(as_column(tmp_path / "scan.vol"))


def test_folder_when_named_as_a_file_says_what_it_holds(save_nifti, as_column, volume, tmp_path):
    (tmp_path / "scan.nii").mkdir()
    with pytest.raises(ValueError, match=r"scan\.nii' is a folder, not a file; it holds nothing"):
        ImageLoader().open(as_column(tmp_path / "scan.nii"))
    save_nifti(volume, "scan.nii/inner.nii")
    with pytest.raises(ValueError, match=r"Row 'p0'.*it holds 'inner\.nii'\. Name that file"):
        ImageLoader().open(as_column(tmp_path / "scan.nii"))
    save_nifti(volume, "scan.nii/later.nii")
    with pytest.raises(ValueError, match=r"holds 2 files, 'inner\.nii' first"):
        ImageLoader().open(as_column(tmp_path / "scan.nii"))


def test_folder_when_a_users_reader_takes_it_is_read(tmp_path, load):
    (tmp_path / "scan.vault").mkdir()
    register_reader(".vault", lambda path: np.full((4, 5), len(os.listdir(path)) + 1.0))
    try:
        assert (load(tmp_path / "scan.vault", **RAW) == 1).all()
    finally:
        readers._readers.pop(".vault")
        _suffixes._registered.discard(".vault")


@pytest.mark.parametrize(
    "target", ["../.git/annex/objects/a/b/c.nii.gz", "../../.git/annex/objects/a/b/c.nii.gz"]
)
def test_link_when_not_fetched_says_datalad_get(tmp_path, as_column, target):
    os.symlink(target, tmp_path / "sub-01_T1w.nii.gz")
    with pytest.raises(
        ValueError, match=r"Row 'p0', column 'scan': .*is a link .*datalad get 'sub-01_T1w"
    ) as caught:
        ImageLoader().open(as_column(tmp_path / "sub-01_T1w.nii.gz"))
    assert "pass ImageLoader(root" not in str(caught.value)


def test_link_when_to_nowhere_says_where(tmp_path, as_column):
    os.symlink("/nowhere/scan.nii", tmp_path / "a.nii")
    with pytest.raises(ValueError, match=r"is a link to '/nowhere/scan\.nii', which does not exist"):
        ImageLoader().open(as_column(tmp_path / "a.nii"))
    os.symlink("/nowhere", tmp_path / "sub-01")
    with pytest.raises(ValueError, match=r"lies below 'sub-01', which is a link to '/nowhere'"):
        ImageLoader().open(as_column(tmp_path / "sub-01" / "anat" / "a.nii"))


def test_path_when_it_can_be_none_says_so(tmp_path, as_column):
    (tmp_path / "a.nii").write_bytes(gzip.compress(b""))
    for path, said in [
        (str(tmp_path / "a.nii" / "b.nii"), "lies below a file"),
        (str(tmp_path / "a\0b.nii"), "can be no path"),
        (str(tmp_path / ("x" * 300 + ".nii")), "can be no path"),
        (str(tmp_path / "b.nii"), r"does not exist\. Relative paths start at root=None"),
    ]:
        with pytest.raises(ValueError, match=rf"Row 'p0', column 'scan': .*{said}"):
            ImageLoader().open(as_column(path))
