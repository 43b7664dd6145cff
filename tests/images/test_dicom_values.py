"""DICOM elements that change a value (PS3.3 C.7.6.3, C.8.8.3, C.11.1): applied, or refused by name."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from skhyperfusion.images import ImageLoader

pytest.importorskip("pydicom")
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space

RAW = {"intensity": None}
GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
RGB = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8)
VOLUME = np.arange(3 * 6 * 8, dtype=np.uint16).reshape(3, 6, 8)


@pytest.fixture
def change():
    """Open a DICOM file, change it, and write it again."""

    def change(path, function, **options):
        dataset = dcmread(path)
        function(dataset)
        dataset.save_as(path, **options)
        return path

    return change


def table(values, first=0, bits=16, kind="US"):
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [len(values), first, bits], kind
    item.LUTData = np.asarray(values, "<u2").tobytes()
    item["LUTData"].VR = "OW"
    return item


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_modality_table_when_present_is_applied(save_slice, load, tmp_path, dtype):
    pixels = (np.arange(48).reshape(6, 8) - (10 if dtype == np.int16 else 0)).astype(dtype)
    path = save_slice(
        tmp_path / "a.dcm", pixels, ModalityLUTSequence=[table(60000 - 100 * np.arange(300), 4)]
    )
    expected = 60000 - 100 * np.clip(pixels.astype(int) - 4, 0, 299)  # below the first value: the first entry
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], expected)


def test_modality_table_when_its_entries_are_bytes_is_unpacked(save_slice, load, tmp_path):
    lut = table(np.zeros(64), bits=8)
    lut.LUTData = bytes(range(255, 191, -1))
    path = save_slice(tmp_path / "a.dcm", GREY, ModalityLUTSequence=[lut])
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], 255.0 - GREY)


def test_modality_table_when_cut_short_is_refused(save_slice, as_column, tmp_path):
    lut = table(np.zeros(64))
    lut.LUTData = bytes(10)
    path = save_slice(tmp_path / "a.dcm", GREY, ModalityLUTSequence=[lut])
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*has 10 of 64 entries"):
        ImageLoader().open(as_column(path)).stack()


def test_modality_table_when_white_is_zero_keeps_optical_density(save_slice, load, tmp_path):
    values = 3 * np.arange(64)
    for kind, expected in (("US", 1023 - 3 * GREY.astype(int)), ("OD", 3 * GREY.astype(int))):
        elements = {"ModalityLUTSequence": [table(values, bits=10, kind=kind)]}
        path = save_slice(tmp_path / "a.dcm", GREY, PhotometricInterpretation="MONOCHROME1", **elements)
        np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], expected)


@pytest.mark.parametrize(("kind", "turned"), [(None, False), ("HU", False), ("US", True)])
def test_white_is_zero_when_values_have_a_unit_keeps_them(save_slice, load, tmp_path, kind, turned):
    elements = {"RescaleSlope": 2, "RescaleIntercept": -100} | ({} if kind is None else {"RescaleType": kind})
    path = save_slice(tmp_path / "a.dcm", GREY, PhotometricInterpretation="MONOCHROME1", **elements)
    stored = 255 - GREY.astype(float) if turned else GREY.astype(float)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], 2 * stored - 100)


@pytest.mark.parametrize(("kind", "turned"), [(None, True), ("US", True), ("HU", False), ("OD", False)])
def test_white_is_zero_beside_a_rescaling_of_nothing_goes_by_its_type(
    save_slice, load, tmp_path, kind, turned
):
    elements = {"RescaleSlope": 1, "RescaleIntercept": 0} | ({} if kind is None else {"RescaleType": kind})
    path = save_slice(tmp_path / "a.dcm", GREY, PhotometricInterpretation="MONOCHROME1", **elements)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], 255 - GREY if turned else GREY)


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"),
    [
        (None, None, GREY),
        (2, None, GREY * 2.0),
        (None, 5, GREY + 5.0),
        (0.5, -1, GREY / 2 - 1),
    ],
)
def test_rescale_when_half_of_it_is_empty_takes_one_and_zero(
    save_slice, load, tmp_path, slope, intercept, expected
):
    path = save_slice(tmp_path / "a.dcm", GREY, RescaleSlope=slope, RescaleIntercept=intercept)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], expected)


def test_rescale_when_by_zero_is_refused(save_slice, as_column, tmp_path):
    path = save_slice(tmp_path / "a.dcm", GREY, RescaleSlope=0, RescaleIntercept=3)
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*multiplied by 0 \(RescaleSlope"):
        ImageLoader().open(as_column(path)).stack()


def test_rescale_when_it_differs_by_frame_is_applied_to_each(save_enhanced, load):
    path = save_enhanced(VOLUME, [0, 4, 8], rescale=[(1, 0), (2, 10), (0.5, -3)])
    expected = np.stack([VOLUME[0], VOLUME[1] * 2 + 10, VOLUME[2] * 0.5 - 3])
    np.testing.assert_array_equal(load(path, orientation="LPS", **RAW)[0, 0, 0], expected.transpose(2, 1, 0))


def test_rescale_when_it_differs_by_slice_is_applied_to_each(save_series, change, load):
    """As positron emission tomography does."""
    volume = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    folder = save_series(volume, RescaleIntercept=0)
    for path in pathlib.Path(folder).iterdir():
        change(path, lambda d: setattr(d, "RescaleSlope", 1 + d.ImagePositionPatient[2]))
    expected = volume * (1 + 3.0 * np.arange(6))
    np.testing.assert_array_equal(load(folder, orientation="LPS", **RAW)[0, 0, 0], expected)


def test_real_world_values_when_present_change_nothing(save_slice, load, tmp_path):
    item = Dataset()
    item.RealWorldValueSlope, item.RealWorldValueIntercept = 7.0, 3.0
    path = save_slice(tmp_path / "a.dcm", GREY, RealWorldValueMappingSequence=[item])
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], GREY)


def test_dose_when_scaled_and_offset_is_a_volume(save_slice, change, as_column, tmp_path):
    def dose(dataset):
        dataset.SOPClassUID, dataset.NumberOfFrames = "1.2.840.10008.5.1.4.1.1.481.2", 3
        dataset.DoseGridScaling, dataset.GridFrameOffsetVector = "0.25", [0, 5, 10]
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 7], [1, 0, 0, 0, 1, 0]
        dataset.PixelData = VOLUME.tobytes()

    path = change(save_slice(tmp_path / "a.dcm", VOLUME[0]), dose)
    source = ImageLoader(orientation="LPS", **RAW).open(as_column(path))
    assert source.spec.spacing == (1.5, 2.0, 5.0)
    np.testing.assert_array_equal(source.stack()[0, 0, 0], 0.25 * VOLUME.transpose(2, 1, 0))
    change(path, lambda d: setattr(d, "GridFrameOffsetVector", [7, 12, 17]))  # places along z
    np.testing.assert_array_equal(
        ImageLoader(orientation="LPS", **RAW).open(as_column(path)).stack()[0, 0, 0],
        0.25 * VOLUME.transpose(2, 1, 0),
    )
    change(path, lambda d: setattr(d, "GridFrameOffsetVector", [3, 8, 13]))
    with pytest.raises(ValueError, match="GridFrameOffsetVector begins at 3"):
        ImageLoader().open(as_column(path))


@pytest.mark.parametrize(("kind", "planes"), [("YBR_FULL", 0), ("YBR_FULL", 1), ("YBR_FULL_422", 0)])
def test_colours_when_stored_as_ybr_become_rgb_once(save_slice, change, load, tmp_path, kind, planes):
    ybr = convert_color_space(RGB, "RGB", "YBR_FULL")
    packed = ybr.transpose(2, 0, 1) if planes else ybr
    expected = convert_color_space(ybr, "YBR_FULL", "RGB")
    if kind == "YBR_FULL_422":
        pairs = ybr.reshape(6, 4, 2, 3)
        packed = np.stack(
            [pairs[:, :, 0, 0], pairs[:, :, 1, 0], pairs[:, :, 0, 1], pairs[:, :, 0, 2]], axis=-1
        )
        shared = pairs.copy()
        shared[:, :, 1, 1:] = pairs[:, :, 0, 1:]
        expected = convert_color_space(shared.reshape(6, 8, 3), "YBR_FULL", "RGB")

    def encode(dataset):
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = kind, planes
        dataset.PixelData = np.ascontiguousarray(packed).tobytes()

    path = change(save_slice(tmp_path / "a.dcm", RGB), encode)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0], np.moveaxis(expected, -1, 0))


def test_colours_when_by_plane_are_put_together(save_slice, change, load, tmp_path):
    def encode(dataset):
        dataset.PlanarConfiguration, dataset.PixelData = 1, RGB.transpose(2, 0, 1).tobytes()

    path = change(save_slice(tmp_path / "a.dcm", RGB), encode)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0], np.moveaxis(RGB, -1, 0))


@pytest.mark.parametrize("kind", ["YBR_RCT", "YBR_ICT", "RGB"])
def test_colours_when_jpeg_2000_are_those_of_its_decoder(save_slice, change, load, tmp_path, kind):
    rgb = np.kron(RGB, np.ones((4, 4, 1), np.uint8))
    lossless = kind != "YBR_ICT"
    packed = io.BytesIO()
    Image.fromarray(rgb).save(
        packed, "JPEG2000", irreversible=not lossless, mct=int(kind != "RGB"), no_jp2=True
    )

    def encode(dataset):
        dataset.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless if lossless else uid.JPEG2000
        dataset.PhotometricInterpretation, dataset.PixelData = kind, encapsulate([packed.getvalue()])

    path = change(save_slice(tmp_path / "a.dcm", rgb), encode)
    np.testing.assert_allclose(load(path, **RAW)[0, 0], np.moveaxis(rgb, -1, 0), atol=0 if lossless else 3)


@pytest.mark.parametrize("bits", [8, 16])
def test_palette_when_present_gives_its_colours(save_slice, load, tmp_path, bits):
    palette = np.random.default_rng(1).integers(0, 2**bits, (3, 64)).astype(f"<u{bits // 8}")
    elements = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, entries in zip(("Red", "Green", "Blue"), palette, strict=True):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [64, 0, bits]
        elements[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
    path = save_slice(tmp_path / "a.dcm", GREY, **elements)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0], palette[:, GREY])


@pytest.mark.parametrize("kind", ["ARGB", "CMYK", "YBR_PARTIAL_420"])
def test_colours_when_unknown_are_refused_by_name(save_slice, as_column, tmp_path, kind):
    samples = {"ARGB": 4, "CMYK": 4, "YBR_PARTIAL_420": 3}[kind]
    elements = {"SamplesPerPixel": samples, "PhotometricInterpretation": kind}
    path = save_slice(tmp_path / "a.dcm", RGB, **elements)
    with pytest.raises(ValueError, match=rf"Row 'p0', column 'scan': .*colours '{kind}'"):
        ImageLoader().open(as_column(path)).stack()


def test_values_when_fewer_bits_are_stored_leave_out_overlay_bits(save_slice, load, tmp_path):
    pixels = np.arange(48, dtype=np.uint16).reshape(6, 8) * 80
    overlaid = pixels | (0x1000 * (pixels % 3 == 0)).astype(np.uint16)
    path = save_slice(tmp_path / "a.dcm", overlaid, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], pixels)


def test_values_when_signed_in_12_bits_keep_their_sign(save_slice, load, tmp_path):
    pixels = np.arange(48, dtype=np.int16).reshape(6, 8) - 20
    stored = (pixels & 0x0FFF).astype(np.int16)
    path = save_slice(tmp_path / "a.dcm", stored, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], pixels)


def test_values_when_they_begin_above_bit_0_are_refused(save_slice, as_column, tmp_path):
    path = save_slice(tmp_path / "a.dcm", GREY.astype(np.uint16), BitsStored=12, HighBit=15)
    with pytest.raises(ValueError, match="HighBit 15 and BitsStored 12"):
        ImageLoader().open(as_column(path))


@pytest.mark.parametrize(("keyword", "dtype"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_values_when_floating_are_read(save_slice, change, load, tmp_path, keyword, dtype):
    pixels = np.random.default_rng(0).normal(size=(6, 8)).astype(dtype)

    def encode(dataset):
        for name in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
            del dataset[name]
        dataset.BitsAllocated = 8 * pixels.itemsize
        setattr(dataset, keyword, pixels.tobytes())

    path = change(save_slice(tmp_path / "a.dcm", GREY), encode)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], pixels.astype(np.float32))


@pytest.mark.parametrize("name", ["BitsStored", "PixelRepresentation"])
def test_values_when_an_element_is_empty_are_refused_by_its_name(save_slice, as_column, tmp_path, name):
    path = save_slice(tmp_path / "a.dcm", GREY, **{name: None})
    with pytest.raises(
        ValueError, match=rf"Row 'p0', column 'scan': .*without {name}: its pixels cannot be told"
    ):
        ImageLoader().open(as_column(path)).stack()


@pytest.mark.parametrize("syntax", ["ExplicitVRBigEndian", "DeflatedExplicitVRLittleEndian", "RLELossless"])
def test_values_when_written_in_another_syntax_are_the_same(save_slice, load, tmp_path, syntax):
    pixels = np.arange(48, dtype=np.uint16).reshape(6, 8) * 999
    path = save_slice(tmp_path / "a.dcm", pixels)
    dataset = dcmread(path)
    if syntax == "RLELossless":
        dataset.compress(uid.RLELossless, generate_instance_uid=False)
        dataset.save_as(path)
    else:
        little = syntax != "ExplicitVRBigEndian"
        if not little:
            dataset.PixelData = pixels.astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = getattr(uid, syntax)
        dataset.set_original_encoding(None, None)
        dataset.save_as(path, implicit_vr=False, little_endian=little, enforce_file_format=True)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], pixels)


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("name", ["a.dcm", "IM0001"])
def test_file_when_without_preamble_is_read(save_slice, load, tmp_path, implicit, name):
    path = save_slice(tmp_path / "b.dcm", GREY)
    dataset = dcmread(path)
    del dataset.file_meta
    dataset.preamble = None
    dataset.save_as(tmp_path / name, implicit_vr=implicit, little_endian=True)
    np.testing.assert_array_equal(load(tmp_path / name, **RAW)[0, 0, 0], GREY)


def test_file_when_its_syntax_is_a_film_is_refused_by_name(save_slice, change, as_column, tmp_path):
    def encode(dataset):
        dataset.file_meta.TransferSyntaxUID = uid.MPEG4HP41
        dataset.PixelData = encapsulate([b"12345678"])

    path = change(save_slice(tmp_path / "a.dcm", GREY), encode)
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*packed as 'MPEG-4 .*not read"):
        ImageLoader().open(as_column(path)).stack()


def test_file_when_its_decoder_is_absent_says_what_to_install(save_slice, change, as_column, tmp_path):
    def encode(dataset):
        dataset.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
        dataset.PixelData = encapsulate([bytes(64)])

    path = change(save_slice(tmp_path / "a.dcm", GREY), encode)
    with pytest.raises(ValueError, match=r"JPEG Lossless.*pip install .*pylibjpeg pylibjpeg-libjpeg"):
        ImageLoader().open(as_column(path)).stack()


def test_file_when_its_pixels_are_cut_short_says_how_many_are_there(save_slice, change, as_column, tmp_path):
    path = change(save_slice(tmp_path / "a.dcm", GREY), lambda d: setattr(d, "PixelData", bytes(40)))
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*cut short \(40 of 48 bytes"):
        ImageLoader().open(as_column(path)).stack()


@pytest.mark.parametrize("segments", [1, 2])
def test_segmentation_when_of_several_segments_is_refused(save_enhanced, as_column, segments):
    frames = (VOLUME % 2).astype(np.uint8)
    path = save_enhanced(frames, [0, 4, 8], SegmentSequence=[Dataset() for _ in range(segments)])
    if segments == 1:
        assert ImageLoader(**RAW).open(as_column(path)).stack().max() == 1
        return
    with pytest.raises(ValueError, match="segmentation of 2 segments"):
        ImageLoader().open(as_column(path))
