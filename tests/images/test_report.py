import os

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from skhyperfusion.images import ImageLoader, check_images
from skhyperfusion.images._cache._memory import CACHE

RNG = np.random.default_rng(0)


@pytest.fixture
def study(save_nifti):
    """Seven rows 'p0' to 'p6', nothing odd about them."""
    paths = [save_nifti(RNG.random((6, 8, 10)), f"{i}.nii.gz") for i in range(7)]
    return pd.DataFrame({"t1": paths, "age": range(7)}, index=[f"p{i}" for i in range(7)])


def kinds(report):
    return {row: report.loc[row, "kinds"] for row in report.index if report.loc[row, "kinds"]}


def test_report_when_nothing_is_odd_describes_each_image(study):
    report = check_images(study)
    assert isinstance(report, pd.DataFrame)
    assert report.index.tolist() == study.index.tolist()
    assert (report["flags"] == "").all()
    row = report.loc["p3"]
    assert (row["column"], row["path"], row["readable"]) == ("t1", study.loc["p3", "t1"], True)
    assert (row["shape"], row["n_channels"], row["spacing"], row["orientation"]) == (
        (6, 8, 10),
        1,
        (1, 1, 1),
        "RAS",
    )
    voxels = nib.load(study.loc["p3", "t1"]).get_fdata()
    np.testing.assert_allclose(
        row[["min", "max", "mean"]].astype(float), [voxels.min(), voxels.max(), voxels.mean()]
    )
    assert row["n_not_finite"] == 0


def test_report_when_files_are_bad_flags_them(study, tmp_path):
    study.loc["p1", "t1"] = str(tmp_path / "absent.nii")
    (tmp_path / "bad.nii.gz").write_bytes(b"no scan")
    study.loc["p2", "t1"] = str(tmp_path / "bad.nii.gz")
    study.loc["p3", "t1"] = None
    report = check_images(study)
    assert kinds(report) == {"p1": ["not readable"], "p2": ["not readable"], "p3": ["no image"]}
    assert report["readable"].sum() == 4
    assert "does not exist" in report.loc["p1", "flags"]
    assert "cannot be read" in report.loc["p2", "flags"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in its folders")
def test_report_when_a_path_is_a_pipe_flags_it_unread(study, tmp_path):
    path = tmp_path / "pipe.nii"
    os.mkfifo(path)
    study.loc["p1", "t1"] = str(path)
    held = os.open(path, os.O_RDWR)
    os.write(held, b"no scan " * 8000)  # whoever reads after all gets something, and does not wait
    try:
        report = check_images(study)
    finally:
        os.close(held)
    assert kinds(report) == {"p1": ["not readable"]}
    assert "a device or a pipe" in report.loc["p1", "flags"]


@pytest.mark.parametrize("decode", [True, False])
def test_report_when_geometry_differs_flags_it(study, save_nifti, decode):
    study.loc["p0", "t1"] = save_nifti(RNG.random((6, 8, 12)), "a.nii")
    study.loc["p1", "t1"] = save_nifti(RNG.random((6, 8, 10)), "b.nii", spacing=(1, 1, 1.2))
    study.loc["p2", "t1"] = save_nifti(RNG.random((6, 8, 10)), "c.nii", affine=np.diag([-1.0, 1, 1, 1]))
    study.loc["p3", "t1"] = save_nifti(RNG.random((6, 8, 10)), "d.nii", affine=np.diag([-1.0, -1, 1, 1]))
    study.loc["p4", "t1"] = save_nifti(RNG.random((6, 8, 10, 2)), "e.nii")
    study.loc["p5", "t1"] = save_nifti(RNG.random((6, 8, 10)), "f.nii", spacing=(1, 1, 1.01))
    report = check_images(study, decode=decode)
    assert kinds(report) == {
        "p0": ["shape unlike most"],
        "p1": ["spacing unlike most"],
        "p2": ["orientation unlike most"],
        "p3": ["orientation unlike most"],
        "p4": ["number of channels unlike most"],
    }
    assert report.loc["p0", "flags"] == "shape 6 x 8 x 12, most have 6 x 8 x 10"
    assert report.loc["p2", "flags"].endswith("LAS, most have RAS: left and right are swapped in storage")
    assert report.loc["p3", "flags"] == "orientation LPS, most have RAS"


def test_report_when_voxels_are_odd_flags_them(study, save_nifti):
    voxels = RNG.random((6, 8, 10))
    gaps = voxels.copy()
    gaps[0, 0, :2] = np.nan, np.inf
    study.loc["p0", "t1"] = save_nifti(gaps, "a.nii")
    study.loc["p1", "t1"] = save_nifti(0 * voxels, "b.nii")
    study.loc["p2", "t1"] = save_nifti(0 * voxels + 3, "c.nii")
    study.loc["p3", "t1"] = save_nifti(1000 * voxels, "d.nii")
    report = check_images(study)
    assert kinds(report) == {
        "p0": ["NaN or infinite voxels"],
        "p1": ["every voxel is 0"],
        "p2": ["constant"],
        "p3": ["range unlike most"],
    }
    assert report.loc["p0", "n_not_finite"] == 2
    assert report.loc["p0", "flags"] == "2 NaN or infinite voxels of 480"
    assert np.isfinite(report.loc["p0", "mean"])


def test_report_when_printed_is_its_summary_while_it_is_whole(study):
    report = check_images(study)
    assert str(report) == repr(report) == f"{report}" == report.summary()
    assert "path" in report.to_string()
    rows = report[["column", "flags"]]
    assert repr(rows).splitlines()[0].split() == ["column", "flags"]
    del report["min"]
    assert "[7 rows x 12 columns]" in repr(report)


def test_report_when_shown_in_a_cell_begins_with_its_summary(study, save_nifti, volume):
    study.loc["p3", "t1"] = save_nifti(0 * volume, "empty.nii")
    report = check_images(study)
    shown = report._repr_html_()
    assert shown.startswith(f"<pre>{len(report)} images, ")
    assert shown.count("<tr") == 1 + 1  # the head, and the row that is flagged
    assert "every voxel is 0: 1 image: &#x27;p3&#x27;" in shown
    assert "<table" not in check_images([np.eye(4), 2 * np.eye(4)])._repr_html_()
    assert report[["column"]]._repr_html_().startswith("<div>")
    del report["kinds"]
    assert report._repr_html_().startswith("<div>")


def test_report_when_no_column_is_named_says_what_to_pass(study):
    with pytest.raises(ValueError, match=r"image_columns=None\) names no column.*'auto', a name"):
        check_images(study, image_columns=None)


def test_report_when_images_repeat_finds_copies_and_mirror_images(study, save_nifti):
    voxels = nib.load(study.loc["p0", "t1"]).get_fdata()
    # The same scan stored the other way round is a copy; the same header on mirrored voxels is not.
    study.loc["p1", "t1"] = save_nifti(voxels[::-1], "a.nii", affine=np.diag([-1.0, 1, 1, 1]))
    study.loc["p2", "t1"] = save_nifti(voxels[::-1], "b.nii")
    study.loc["p3", "t1"] = save_nifti(voxels[:, ::-1], "c.nii")
    report = check_images(study)
    assert kinds(report) == {
        "p0": ["same voxels as another", "mirror image of another"],
        "p1": ["orientation unlike most", "same voxels as another", "mirror image of another"],
        "p2": ["mirror image of another"],
    }
    assert (
        report.loc["p0", "flags"]
        == "same voxels as row 'p1', column 't1'; mirror image of row 'p2', column 't1'"
    )


def test_report_when_not_decoding_compares_files(study, save_nifti):
    study.loc["p1", "t1"] = study.loc["p0", "t1"]
    report = check_images(study, decode=False)
    assert kinds(report) == {"p0": ["same voxels as another"], "p1": ["same voxels as another"]}
    assert report["min"].isna().all()
    assert report["n_not_finite"].isna().all()


def test_report_when_pictures_and_arrays_are_mixed_reads_them(tmp_path):
    from PIL import Image

    pixels = RNG.integers(0, 255, (5, 6, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    report = check_images([str(tmp_path / "a.png"), pixels, pixels[:, ::-1], pixels[..., 0]])
    assert report["shape"].tolist() == [(5, 6)] * 4
    assert report["n_channels"].tolist() == [3, 3, 3, 1]
    assert report["orientation"].isna().all()
    assert report["kinds"].tolist()[2:] == [["mirror image of another"], ["number of channels unlike most"]]


def test_report_of_a_list_or_a_column_takes_every_cell_for_an_image(tmp_path):
    (tmp_path / "series_0004").mkdir()  # a folder has no suffix
    paths = [str(tmp_path / "series_0004"), str(tmp_path / "absent")]
    for given in (paths, pd.Series(paths, name="ct")):
        report = check_images(given)
        assert report["path"].tolist() == paths
        assert report["kinds"].tolist() == [["not readable"]] * 2


def test_report_when_several_columns_has_a_row_per_image(study):
    study["flair"] = study["t1"].to_numpy()[::-1]
    report = check_images(study)
    assert report.index.tolist() == [name for name in study.index for _ in range(2)]
    assert report["column"].tolist() == ["t1", "flair"] * 7
    for columns in ("flair", 2, ["flair"]):
        assert set(check_images(study, image_columns=columns)["column"]) == {"flair"}
    with pytest.raises(ValueError, match="flai"):
        check_images(study, image_columns="flai")


def test_report_when_given_a_series_or_list_reads_it(study):
    assert check_images(study["t1"]).index.tolist() == study.index.tolist()
    assert check_images(study["t1"].tolist())["column"].tolist() == ["image"] * 7


def test_report_when_given_a_loader_uses_root_and_max_voxels(study, tmp_path):
    study["t1"] = [f"{i}.nii.gz" for i in range(7)]
    assert not check_images(study)["readable"].any()
    assert check_images(study, image_loader=ImageLoader(root=tmp_path))["readable"].all()
    small = check_images(study, image_loader=ImageLoader(root=tmp_path, max_voxels=100))
    assert "max_voxels=100" in small.loc["p0", "flags"]


def test_report_when_made_leaves_the_cache_alone(study):
    check_images(study, n_threads=2)
    assert CACHE.info()["images"] == 0


def test_report_when_verbose_shows_progress(study, capsys):
    check_images(study)
    assert capsys.readouterr() == ("", "")
    check_images(study, verbose=1)
    assert "7/7" in capsys.readouterr().err


def test_report_when_there_is_no_image_column_is_refused(study):
    with pytest.raises(ValueError, match="image"):
        check_images(study[["age"]])
    with pytest.raises(ValueError, match="the columns of image_columns hold numbers"):
        check_images(study[["age"]], image_columns=["age"])


def test_summary_when_printed_counts_and_lists(study, tmp_path, save_nifti):
    study.loc["p1", "t1"] = str(tmp_path / "absent.nii")
    study.loc["p2", "t1"] = study.loc["p0", "t1"]
    study.loc["p3", "t1"] = save_nifti(np.arange(480.0).reshape(6, 8, 10) / 480, "a.nii", spacing=2)
    lines = check_images(study).summary().splitlines()
    assert lines[0] == "7 images, 1 not readable, 4 flagged"
    assert lines[1].split() == ["shape", "6", "x", "8", "x", "10", "(6)"]
    assert lines[2].split() == ["spacing", "1", "x", "1", "x", "1", "(5),", "2", "x", "2", "x", "2", "(1)"]
    assert lines[3].split() == ["orientation", "RAS", "(6)"]
    assert lines[4].split()[:3] == ["range", "0", "to"]
    assert set(lines[5:]) == {
        "  ! same voxels as another: 2 images: 'p0', 'p2'",
        "  ! not readable: 1 image: 'p1'",
        "  ! spacing unlike most: 1 image: 'p3'",
    }
