import sys
import tracemalloc

import numpy as np
import pytest

from skhyperfusion.images import ImageLoader
from skhyperfusion.images._formats import _dicom_stream

RAW = {"intensity": None}


def test_dicom_when_pydicom_is_absent_says_what_to_install(tmp_path, as_column, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    (tmp_path / "a.dcm").touch()
    with pytest.raises(ImportError, match=r'pip install "skhyperfusion\[dicom\]"'):
        ImageLoader().open(as_column(tmp_path / "a.dcm"))


def test_folder_when_it_holds_no_dicom_is_refused(tmp_path, as_column):
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "notes.txt").write_text("nothing")
    with pytest.raises(
        ValueError, match=r"Row 'p0', column 'scan': .*series' is a folder without DICOM files"
    ):
        ImageLoader().open(as_column(tmp_path / "series"))


CT = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def test_series_when_read_is_sorted_and_turned(save_series, as_column):
    source = ImageLoader(**RAW).open(as_column(save_series(CT)))
    assert source.spec.spacing == (1.5, 2.0, 3.0)
    # DICOM counts to the left and to the back: RAS runs the other way.
    np.testing.assert_array_equal(source.stack()[0, 0, 0], CT[::-1, ::-1])


def test_series_when_rescaled_gives_hounsfield_units(save_series, load):
    folder = save_series(CT, RescaleSlope="2", RescaleIntercept="-1024")
    loaded = load(folder, orientation="LPS", **RAW)
    np.testing.assert_array_equal(loaded[0, 0, 0], CT * 2.0 - 1024)


def test_series_when_a_window_is_stored_ignores_it(save_series, load):
    folder = save_series(CT, WindowCenter="50", WindowWidth="10", RescaleSlope="1", RescaleIntercept="0")
    np.testing.assert_array_equal(load(folder, orientation="LPS", **RAW)[0, 0, 0], CT)


def test_series_when_a_slice_changes_is_read_anew(save_series, save_slice, tmp_path, load):
    folder = save_series(CT)
    first = load(folder, **RAW)
    save_series(CT + 1)
    np.testing.assert_array_equal(load(folder, **RAW), first + 1)


def test_series_when_a_slice_is_missing_is_refused(save_series, as_column):
    with pytest.raises(
        ValueError, match=r"Row 'p0'.*series' is a DICOM series whose slices are 3 to 6 mm apart"
    ):
        ImageLoader().open(as_column(save_series(CT, places=[0, 3, 6, 12, 15, 18])))


def test_series_when_slices_share_a_place_is_refused(save_series, as_column):
    with pytest.raises(ValueError, match="3 slices at the same place"):
        ImageLoader().open(as_column(save_series(CT, places=[0, 0, 3, 3, 6, 6])))


def test_folder_when_it_holds_two_series_is_refused(save_series, as_column, tmp_path, save_slice):
    folder = save_series(CT)
    save_slice(tmp_path / "series" / "other.dcm", CT[:, :, 0].T, series="9.9")
    with pytest.raises(ValueError, match=r"folder with 2 DICOM series.*SeriesInstanceUID 1\.2\.3, 9\.9"):
        ImageLoader().open(as_column(folder))


def test_folder_when_it_holds_one_slice_is_refused(save_slice, as_column, tmp_path):
    save_slice(tmp_path / "series" / "a.dcm", CT[:, :, 0])
    with pytest.raises(ValueError, match=r"single DICOM file\. Name that file"):
        ImageLoader().open(as_column(tmp_path / "series"))


def test_folder_when_slices_are_not_parallel_is_refused(save_series, save_slice, as_column, tmp_path):
    folder = save_series(CT)
    direction = {"ImageOrientationPatient": [0, 1, 0, 0, 0, 1], "ImagePositionPatient": [0, 0, 0]}
    save_slice(tmp_path / "series" / "localiser.dcm", CT[:, :, 0].T, **direction)
    with pytest.raises(ValueError, match=r"not parallel.*localisers"):
        ImageLoader().open(as_column(folder))


def test_folder_when_slices_tell_their_direction_to_another_digit_is_read(save_slice, load, tmp_path):
    for k in range(4):
        jitter = 1e-6 * (-1) ** k  # to both sides of where a last digit is rounded
        turn = np.arcsin(0.125 + jitter)
        save_slice(
            tmp_path / "series" / f"{k}.dcm",
            CT[:, :, k].T,
            ImageOrientationPatient=[1, 0, 0, 0, round(np.cos(turn), 9), round(np.sin(turn), 9)],
            ImagePositionPatient=[0, round(-2 * k * np.sin(turn), 6), round(2 * k * np.cos(turn), 6)],
            PixelSpacing=[0.46875 + jitter, 0.46875],
        )
    loaded = load(tmp_path / "series", orientation="LPS", **RAW)
    np.testing.assert_array_equal(loaded[0, 0, 0], CT[:, :, :4])


def test_file_when_single_is_a_picture_with_spacing(save_slice, as_column, tmp_path):
    pixels = np.arange(48, dtype=np.uint16).reshape(6, 8)
    source = ImageLoader(**RAW).open(as_column(save_slice(tmp_path / "a.dcm", pixels)))
    assert source.spec.spacing == (2.0, 1.5)
    np.testing.assert_array_equal(source.stack()[0, 0, 0], pixels)
    resampled = ImageLoader(spacing=1.0).open(as_column(tmp_path / "a.dcm"))
    assert resampled.spec.shape == (12, 12)


def test_file_when_it_has_no_suffix_is_recognised(save_slice, load, tmp_path):
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for name in ("1.2.840.99", "IM0001"):
        np.testing.assert_array_equal(load(save_slice(tmp_path / name, pixels), **RAW)[0, 0, 0], pixels)


def test_file_when_colour_gives_three_channels(save_slice, load, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    loaded = load(save_slice(tmp_path / "a.dcm", pixels), **RAW)
    np.testing.assert_array_equal(loaded[0, 0], np.moveaxis(pixels, -1, 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_file_when_white_is_zero_is_turned_round(save_slice, load, tmp_path, dtype):
    pixels = np.arange(48, dtype=dtype).reshape(6, 8)
    path = save_slice(tmp_path / "a.dcm", pixels, PhotometricInterpretation="MONOCHROME1")
    loaded = load(path, **RAW)[0, 0, 0]
    np.testing.assert_array_equal(loaded, (255 if dtype == np.uint8 else -1) - pixels.astype(float))


def test_file_when_it_is_no_image_is_refused(pydicom, tmp_path, as_column):
    dataset = pydicom.Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    dataset.SOPInstanceUID = "1.2.3"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    pydicom.dcmwrite(tmp_path / "a.dcm", dataset, enforce_file_format=True)
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*without Rows: it holds no image"):
        ImageLoader().open(as_column(tmp_path / "a.dcm"))


def test_file_when_it_is_a_film_is_refused(save_slice, as_column, tmp_path):
    path = save_slice(tmp_path / "a.dcm", np.zeros((6, 8), np.uint8), NumberOfFrames=30)
    with pytest.raises(ValueError, match="30 frames that does not tell where they lie"):
        ImageLoader().open(as_column(path))


def test_file_when_truncated_is_refused(save_slice, as_column, tmp_path):
    path = save_slice(tmp_path / "a.dcm", np.zeros((60, 80), np.uint8))
    with open(path, "r+b") as file:
        file.truncate(2000)
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*a\.dcm' .*(cannot be read|cut short)"):
        ImageLoader().open(as_column(path)).stack()


def test_file_when_larger_than_max_voxels_is_refused_before_decoding(save_slice, as_column, tmp_path):
    path = save_slice(tmp_path / "a.dcm", np.zeros((6, 8), np.uint8), Rows=65535, Columns=65535)
    with pytest.raises(ValueError, match="4294836225 voxels, and max_voxels"):
        ImageLoader().open(as_column(path))


def test_file_when_enhanced_is_a_volume(pydicom, save_slice, as_column, tmp_path):
    frames = np.arange(3 * 6 * 8, dtype=np.uint16).reshape(3, 6, 8)
    groups = []
    for i in range(3):
        group, place = pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = [0.0, 0.0, 4.0 * i]
        group.PlanePositionSequence = [place]
        groups.append(group)
    shared, plane, measures = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing = [2.0, 1.5]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    path = tmp_path / "a.dcm"
    save_slice(
        path,
        np.zeros((6, 8), np.uint16),
        NumberOfFrames=3,
        PerFrameFunctionalGroupsSequence=groups,
        SharedFunctionalGroupsSequence=[shared],
    )
    dataset = pydicom.dcmread(path)
    dataset.PixelData = frames.tobytes()
    dataset.save_as(path)
    source = ImageLoader(orientation="LPS", **RAW).open(as_column(path))
    assert source.spec.spacing == (1.5, 2.0, 4.0)
    np.testing.assert_array_equal(source.stack()[0, 0, 0], frames.transpose(2, 1, 0))


DEFLATED = "1.2.840.10008.1.2.1.99"


def deflate(path, pydicom, **elements):
    """Write a file again as Deflated Explicit VR, some elements changed."""
    dataset = pydicom.dcmread(path)
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.file_meta.TransferSyntaxUID = DEFLATED
    dataset.save_as(path)
    return path


def test_deflated_file_when_read_gives_the_same_values(save_slice, pydicom, load, tmp_path):
    path = deflate(save_slice(tmp_path / "a.dcm", CT[0], RescaleSlope=2), pydicom)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == DEFLATED
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], 2 * CT[0])


def test_deflated_file_when_its_header_tells_of_as_many_pixels_may_unpack_to_any_size(
    save_slice, pydicom, load, tmp_path, monkeypatch
):
    monkeypatch.setattr(_dicom_stream, "_MOST_BESIDE", 4096)
    mask = np.zeros((200, 200), np.uint16)
    mask[0, 0] = 7
    path = deflate(save_slice(tmp_path / "a.dcm", mask), pydicom)
    assert (tmp_path / "a.dcm").stat().st_size < 2000  # of 80,000 bytes
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], mask)


@pytest.mark.parametrize("name", ["PixelData", "private element"])
def test_deflated_file_when_it_unpacks_to_more_than_its_header_tells_is_refused(
    save_slice, pydicom, as_column, tmp_path, name
):
    path = save_slice(tmp_path / "a.dcm", CT[0])
    dataset = pydicom.dcmread(path)
    if name == "PixelData":
        dataset.PixelData = bytes(1 << 27)
    else:
        dataset.add_new(0x00291010, "OB", bytes(1 << 27))
    dataset.file_meta.TransferSyntaxUID = DEFLATED
    dataset.save_as(path)
    del dataset
    assert (tmp_path / "a.dcm").stat().st_size < 200_000
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*a\.dcm' .*(unpacks to more|holds)"):
        ImageLoader().open(as_column(path)).stack()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 26
