"""DICOM elements that place and size a frame, and folders whose files make no volume: honoured, or named."""

import os
from pathlib import Path

import numpy as np
import pytest

from skhyperfusion.images import ImageLoader

pytest.importorskip("pydicom")
from pydicom import Dataset, dcmread

RAW = {"intensity": None}
GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
FRAMES = np.stack([np.full((6, 8), 10 * i, np.uint16) for i in range(6)])
CT = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def test_frames_when_out_of_order_are_sorted_by_place(save_enhanced, load):
    places = [0, 2, 4, 1, 3, 5]
    loaded = load(save_enhanced(FRAMES[places], places), orientation="LPS", **RAW)[0, 0, 0]
    np.testing.assert_array_equal(loaded[0, 0], 10 * np.arange(6))


@pytest.mark.parametrize(
    ("places", "elements", "message"),
    [
        ([0, 1, 2, 4, 5, 6], {}, r"slices are 1 to 2 mm apart.*between frame 3 and frame 4"),
        ([0, 1, 2, 0, 1, 2], {}, r"3 slices at the same place as another, frame 1 and frame 4 first"),
        ([(0, 0.5 * i, i) for i in range(6)], {}, r"shifted against each other by up to 2\.5 mm.*gantry"),
        (range(6), {"direction": (1, 0, 0, 1, 0, 0)}, r"ImageOrientationPatient is .*no two directions"),
        (range(6), {"spacing": (0.0, 0.0)}, r"does not tell the size of its pixels \(PixelSpacing\)"),
        (range(6), {"spacing": (-1.0, 1.0)}, r"PixelSpacing is \[-1\.0, 1\.0\]: a size cannot be negative"),
        ([(0, 0, i) if i else (0, 0, np.nan) for i in range(6)], {}, r"ImagePositionPatient is .*3 numbers"),
    ],
)
def test_frames_when_they_make_no_volume_are_refused(save_enhanced, as_column, places, elements, message):
    path = save_enhanced(FRAMES, list(places), **elements)
    with pytest.raises(ValueError, match=rf"Row 'p0', column 'scan': .*enhanced\.dcm' .*{message}"):
        ImageLoader().open(as_column(path))


@pytest.mark.parametrize(
    ("elements", "spacing"),
    [
        ({"PixelSpacing": None, "ImagerPixelSpacing": [0.2, 0.3]}, (0.2, 0.3)),
        ({"PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": [0.2, 0.3]}, (0.1, 0.1)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.3]}, (0.2, 0.3)),
        (
            {
                "PixelSpacing": None,
                "ImagerPixelSpacing": [0.2, 0.3],
                "EstimatedRadiographicMagnificationFactor": 2,
            },
            (0.1, 0.15),
        ),
        ({"PixelSpacing": None, "NominalScannedPixelSpacing": [0.4, 0.4]}, (0.4, 0.4)),
        ({"PixelSpacing": [0, 0]}, None),
        ({"PixelSpacing": None}, None),
        ({"PixelSpacing": None, "PixelAspectRatio": [1, 1]}, None),
    ],
)
def test_radiograph_when_its_size_is_told_has_it(save_slice, as_column, tmp_path, elements, spacing):
    source = ImageLoader(**RAW).open(as_column(save_slice(tmp_path / "a.dcm", GREY, **elements)))
    assert source.spec.spacing == spacing
    np.testing.assert_array_equal(source.stack()[0, 0, 0], GREY)


def test_picture_when_its_pixels_are_no_squares_is_refused(save_slice, as_column, tmp_path):
    path = save_slice(tmp_path / "a.dcm", GREY, PixelSpacing=None, PixelAspectRatio=[4, 3])
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*PixelAspectRatio \[4, 3\]"):
        ImageLoader().open(as_column(path))


def change(path, **elements):
    dataset = dcmread(path)
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


def a_slice(folder, z):
    """Return the path of the slice at a place."""
    return next(p for p in sorted(Path(folder).iterdir()) if dcmread(p).ImagePositionPatient[2] == z)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: os.truncate(path, os.path.getsize(path) - 10), r"is cut short"),
        (lambda path: os.truncate(path, 0), r"is an empty file|holds no DICOM"),
        (lambda path: path.write_bytes(bytes(500)), r"nothing but zero bytes"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), r"git lfs pull"),
        (lambda path: change(path, Rows=None), r"without Rows"),
        (lambda path: change(path, ImagePositionPatient=None), r"does not tell its place"),
        (lambda path: change(path, PixelSpacing=[1, 1]), r"differ in the size of their pixels"),
        (lambda path: change(path, ImageOrientationPatient=[0, 1, 0, 0, 0, 1]), r"not parallel"),
        (lambda path: change(path, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), r"localisers"),
    ],
)
def test_series_when_a_file_spoils_it_names_the_file(save_series, as_column, damage, message):
    folder = save_series(CT)
    bad = a_slice(folder, 15)  # the last: without it the rest would make a shorter volume
    damage(bad)
    with pytest.raises(ValueError, match=rf"Row 'p0', column 'scan': .*series' .*{message}") as caught:
        ImageLoader().open(as_column(folder)).stack()
    assert repr(bad.name) in str(caught.value)


def test_series_when_a_file_is_a_link_to_nowhere_names_it(save_series, as_column):
    folder = save_series(CT)
    bad = a_slice(folder, 15)
    bad.unlink()
    bad.symlink_to("../.git/annex/objects/aa/bb/MD5E-s9--0/MD5E-s9--0")
    with pytest.raises(ValueError, match=rf"Row 'p0', column 'scan': .*{bad.name}.* has not been fetched"):
        ImageLoader().open(as_column(folder))


def test_series_when_other_files_lie_beside_it_leaves_them_out(save_series, load):
    folder = save_series(CT)
    expected = load(folder, **RAW)
    for name in ("README", "LICENSE", "notes.txt", "._IM000", ".DS_Store", "DICOMDIR", "Thumbs.db"):
        Path(folder, name).write_bytes(b"\0\1\2" if name[0] in ".DT" else b"plain text")
    Path(folder, "more").mkdir()
    np.testing.assert_array_equal(load(folder, **RAW), expected)


def test_series_when_suffixes_are_in_upper_case_is_read(save_series, load):
    folder = save_series(CT)
    expected = load(folder, **RAW)
    for path in list(Path(folder).iterdir()):
        path.rename(path.with_suffix(".DCM"))
    np.testing.assert_array_equal(load(folder, **RAW), expected)


def test_folder_when_it_holds_two_series_tells_them_apart(save_series, save_slice, as_column, tmp_path):
    folder = save_series(CT, SeriesDescription="T1w", Modality="MR")
    kind = {"SeriesDescription": "scout", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    save_slice(tmp_path / "series" / "other.dcm", CT[:, :, 0].T, series="9.9", **kind)
    message = (
        r"2 DICOM series.*1\.2\.3 \(MR, T1w, 6 files: 'IM000'.*9\.9 \(scout, a localiser, 1 files: 'other"
    )
    with pytest.raises(ValueError, match=message):
        ImageLoader().open(as_column(folder))


def test_folder_when_it_holds_folders_of_series_says_so(save_series, as_column, tmp_path):
    save_series(CT, name="study")
    (tmp_path / "patient").mkdir()
    (tmp_path / "study").rename(tmp_path / "patient" / "T1w")
    with pytest.raises(ValueError, match=r"without DICOM files.*It holds the folders 'T1w'"):
        ImageLoader().open(as_column(tmp_path / "patient"))


@pytest.mark.parametrize("name", ["EchoTime", "TriggerTime", "DiffusionBValue"])
def test_series_when_slices_share_a_place_says_what_differs(save_series, as_column, name):
    folder = save_series(CT, places=[0, 0, 3, 6, 9, 12], **{name: 3.0})
    twins = sorted(p for p in Path(folder).iterdir() if dcmread(p).ImagePositionPatient[2] == 0)
    change(twins[1], **{name: 7.0})
    with pytest.raises(ValueError, match=rf"1 slice at the same place .*{name} .*3\.0.* and .*7\.0"):
        ImageLoader().open(as_column(folder))


def test_series_when_a_slice_is_there_twice_says_so(save_series, as_column):
    folder = save_series(CT)
    first = sorted(Path(folder).iterdir())[0]
    Path(folder, "copy").write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match=r"'IM000' and 'copy'.*the same slice twice"):
        ImageLoader().open(as_column(folder))


def test_series_when_the_gantry_was_tilted_is_refused(save_series, as_column):
    folder = save_series(CT)
    for path in Path(folder).iterdir():
        x, y, z = dcmread(path).ImagePositionPatient
        change(path, ImagePositionPatient=[x, y + 0.3 * z, z])
    with pytest.raises(ValueError, match=r"shifted against each other by up to 4\.5 mm.*tilted"):
        ImageLoader().open(as_column(folder))


def test_dicomdir_when_named_is_refused_as_a_list(tmp_path, as_column):
    dataset = Dataset()
    dataset.DirectoryRecordSequence = [Dataset()]
    dataset.PatientID = "1"
    dataset.save_as(tmp_path / "list.dcm", implicit_vr=True, little_endian=True)
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*is a DICOMDIR, a list of files"):
        ImageLoader().open(as_column(tmp_path / "list.dcm"))


def test_mosaic_of_slices_is_refused(save_slice, as_column, tmp_path):
    kinds = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    path = save_slice(tmp_path / "a.dcm", np.zeros((8, 8), np.uint16), ImageType=kinds)
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*a\.dcm' is a DICOM mosaic.*dcm2niix"):
        ImageLoader().open(as_column(path))
