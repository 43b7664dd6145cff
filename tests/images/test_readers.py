import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
from nibabel.freesurfer import MGHImage
from PIL import Image
from scipy.io import loadmat, savemat

from skhyperfusion._table import _suffixes
from skhyperfusion.images import ImageLoader, check_images, register_reader

RAW = {"intensity": None}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img", "a.hdr", "A.NII.GZ"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_nifti_when_read_gives_voxels_and_orientation(save_nifti, load, volume, name, kind):
    if name.endswith((".img", ".hdr")):
        kind = {nib.Nifti1Image: nib.Nifti1Pair, nib.Nifti2Image: nib.Nifti2Pair}[kind]
    path = save_nifti(volume, name, kind=kind)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], volume)


@pytest.mark.parametrize("name", ["a.mgh", "a.mgz"])
def test_mgh_when_read_gives_voxels(save_nifti, load, volume, name):
    path = save_nifti(volume, name, kind=MGHImage)
    np.testing.assert_array_equal(load(path, **RAW)[0, 0, 0], volume)


def test_analyze_when_read_gives_voxels(tmp_path, load, volume):
    nib.AnalyzeImage(volume, np.diag([-1.0, 1, 1, 1])).to_filename(tmp_path / "a.img")
    loaded = load(tmp_path / "a.img", orientation=None, **RAW)
    np.testing.assert_array_equal(loaded[0, 0, 0], volume)


_OBLIQUE = np.array([[0, -2.1, 0.3, -5], [1.9, 0, 0.2, 7], [0.2, 0.3, 1.5, 9], [0, 0, 0, 1]])


def _save_spm_pair(folder, volume, kept=("mat", "M")):
    """Write an Analyze pair with SPM's matrices, or with some of them; return its nibabel image."""
    nib.spm99analyze.Spm99AnalyzeImage(volume, _OBLIQUE).to_filename(folder / "a.img")
    matrices = loadmat(folder / "a.mat")
    savemat(folder / "a.mat", {name: matrices[name] for name in kept}, format="4")
    return nib.load(folder / "a.img")


@pytest.mark.parametrize("name", ["a.img", "a.hdr"])
@pytest.mark.parametrize("kept", [("mat", "M"), ("mat",), ("M",)])
def test_analyze_when_spm_keeps_its_matrix_beside_it_lies_where_that_says(
    tmp_path, load, as_column, volume, name, kept
):
    image = _save_spm_pair(tmp_path, volume, kept)
    np.testing.assert_allclose(image.affine, _OBLIQUE, atol=1e-9)
    spec = ImageLoader().open(as_column(tmp_path / name)).spec
    np.testing.assert_allclose(spec.spacing, np.linalg.norm(_OBLIQUE[:3], axis=0)[[1, 0, 2]], atol=1e-3)
    np.testing.assert_array_equal(load(tmp_path / name, **RAW), load(image, **RAW))
    assert check_images([tmp_path / name])["orientation"][0] == "ALS"


def test_analyze_when_spm_moves_it_is_read_anew(tmp_path, load, volume):
    _save_spm_pair(tmp_path, volume)
    before = load(tmp_path / "a.img", **RAW)
    savemat(tmp_path / "a.mat", {"mat": np.eye(4)}, format="5")
    after = load(tmp_path / "a.img", **RAW)
    assert before.shape != after.shape
    np.testing.assert_array_equal(after[0, 0, 0], volume)


@pytest.mark.parametrize("text", ["", "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"])
def test_analyze_when_the_matrix_beside_it_is_no_file_of_spm_keeps_its_header(tmp_path, load, volume, text):
    nib.AnalyzeImage(volume, np.diag([-1.0, 1, 1, 1])).to_filename(tmp_path / "a.img")
    (tmp_path / "a.mat").write_text(text)
    np.testing.assert_array_equal(load(tmp_path / "a.img", **RAW)[0, 0, 0, ::-1], volume)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"x": np.eye(4)}, "holds no matrix of SPM"),
        ({"mat": np.eye(3)}, "holds no matrix of SPM"),
        ({"mat": np.stack([np.eye(4), 2 * np.eye(4)], axis=-1)}, "several volumes, which lie in different"),
        (b"\0\1\2\3" * 100, "cannot be read"),
    ],
)
def test_analyze_when_spms_matrix_is_none_names_the_file(tmp_path, as_column, volume, content, said):
    nib.AnalyzeImage(volume, np.diag([-1.0, 1, 1, 1])).to_filename(tmp_path / "a.img")
    if isinstance(content, bytes):
        (tmp_path / "a.mat").write_bytes(content)
    else:
        savemat(tmp_path / "a.mat", content)
    with pytest.raises(ValueError, match=f"'a.mat'.*{said}|{said}.*'a.mat'"):
        ImageLoader().open(as_column(tmp_path / "a.img"))


def test_analyze_when_it_tells_calibrated_values_gives_those(tmp_path, load, volume):
    nib.AnalyzeImage(volume.astype(np.int16), np.diag([-1.0, 1, 1, 1])).to_filename(tmp_path / "a.img")
    header = nib.spm2analyze.Spm2AnalyzeHeader((tmp_path / "a.hdr").read_bytes())
    header["cal_min"], header["cal_max"], header["glmin"], header["glmax"] = 1, 49, 0, 480
    (tmp_path / "a.hdr").write_bytes(header.binaryblock)
    loaded = load(tmp_path / "a.img", orientation=None, **RAW)
    np.testing.assert_allclose(loaded[0, 0, 0], volume / 10 + 1, rtol=1e-6)
    np.testing.assert_allclose(loaded[0, 0, 0], nib.load(tmp_path / "a.img").get_fdata(), rtol=1e-6)


def test_nifti_when_scaled_gives_slope_and_intercept_once(tmp_path, load):
    stored = np.arange(27, dtype=np.int16).reshape(3, 3, 3)
    image = nib.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    image.to_filename(tmp_path / "a.nii.gz")
    raw = bytearray(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    struct.pack_into("<ff", raw, 112, 0.5, -3.0)
    raw[352:] = stored.tobytes(order="F")
    (tmp_path / "b.nii").write_bytes(raw)
    np.testing.assert_allclose(load(tmp_path / "b.nii", **RAW)[0, 0, 0], stored * 0.5 - 3)


def test_nifti_when_4d_gives_channels(save_nifti, load, volume):
    path = save_nifti(np.stack([volume, -volume], axis=-1))
    loaded = load(path, **RAW)
    assert loaded.shape == (1, 1, 2, 6, 8, 10)
    np.testing.assert_array_equal(loaded[0, 0, 1], -volume)


def test_nifti_when_colour_gives_three_channels(tmp_path, load):
    rgb = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 3)).astype(np.uint8)
    record = rgb.view(np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))[..., 0]
    nib.Nifti1Image(record, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    loaded = load(tmp_path / "a.nii.gz", **RAW)
    np.testing.assert_array_equal(loaded[0, 0], np.moveaxis(rgb, -1, 0))
    np.testing.assert_array_equal(load(nib.load(tmp_path / "a.nii.gz"), **RAW), loaded)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-3), ("micron", 1e3), ("mm", 1.0)])
def test_nifti_when_units_differ_gives_spacing_in_millimetres(tmp_path, as_column, volume, unit, factor):
    image = nib.Nifti1Image(volume, np.diag([2 * factor, 2 * factor, 2 * factor, 1]))
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "a.nii")
    for cell in (tmp_path / "a.nii", image, nib.load(tmp_path / "a.nii")):
        source = ImageLoader(spacing=1.0).open(as_column(cell))
        np.testing.assert_allclose(source.originals(0)["scan"].affine, np.diag([2, 2, 2, 1]), rtol=1e-4)
        assert source.stack().shape[3:] == tuple(2 * n for n in volume.shape)


def test_nifti_when_its_unit_of_time_is_unknown_is_read(tmp_path, load, volume):
    image = nib.Nifti1Image(volume, np.eye(4))
    image.header["xyzt_units"] = 2 + 64
    image.to_filename(tmp_path / "a.nii")
    np.testing.assert_array_equal(load(tmp_path / "a.nii", image, **RAW)[:, 0, 0], [volume, volume])


def test_nibabel_image_when_without_affine_is_read_as_stored(load, volume):
    np.testing.assert_array_equal(load(nib.Nifti1Image(volume, None), **RAW)[0, 0, 0], volume)


def test_array_when_some_voxels_are_masked_is_refused(as_column):
    image = np.ma.masked_less(np.arange(64.0).reshape(8, 8), 3)
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*with 3 voxels masked.*filled\(0\)"):
        ImageLoader().open(as_column(image)).stack()
    unmasked = np.ma.masked_less(np.arange(64.0).reshape(8, 8), -1)
    assert ImageLoader().open(as_column(unmasked)).stack().shape == (1, 1, 1, 8, 8)


def test_nifti_when_complex_is_refused(tmp_path, as_column):
    nib.Nifti1Image(np.ones((4, 4, 4), np.complex64), np.eye(4)).to_filename(tmp_path / "a.nii")
    source = ImageLoader().open(as_column(tmp_path / "a.nii"))
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*a\.nii.* complex64.*not real numbers"):
        source.stack()


def test_gzip_when_a_bit_flips_is_an_error(save_nifti, as_column, volume):
    path = save_nifti(np.random.default_rng(0).normal(size=volume.shape))
    with open(path, "rb") as file:
        packed = bytearray(file.read())
    packed[-8] ^= 1  # the checksum
    with open(path, "wb") as file:
        file.write(packed)
    source = ImageLoader().open(as_column(path))
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*cannot be read.*incorrect data check"):
        source.stack()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz"])
def test_volume_when_truncated_is_an_error(save_nifti, as_column, volume, suffix):
    kind = MGHImage if suffix == ".mgz" else nib.Nifti1Image
    path = save_nifti(np.random.default_rng(0).normal(size=volume.shape), f"a{suffix}", kind=kind)
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(content[: len(content) // 2])
    with pytest.raises(
        ValueError, match=r"Row 'p0', column 'scan': .*(cut short|cannot be read).*(R|r)estore"
    ):
        ImageLoader().open(as_column(path)).stack()


@pytest.mark.parametrize("other", [".img", ".hdr"])
def test_pair_when_half_is_missing_names_it(save_nifti, as_column, volume, other, tmp_path):
    save_nifti(volume, "a.img", kind=nib.Nifti1Pair)
    (tmp_path / f"a{other}").unlink()
    mine = {".img": ".hdr", ".hdr": ".img"}[other]
    with pytest.raises(ValueError, match=rf"has no a\{other} beside it"):
        ImageLoader().open(as_column(tmp_path / f"a{mine}")).stack()


GREY = np.arange(30, dtype=np.uint8).reshape(5, 6)
RGB = np.random.default_rng(0).integers(0, 255, (5, 6, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("mode", "name", "array", "expected"),
    [
        ("L", "a.png", GREY, GREY[None]),
        ("L", "a.tif", GREY, GREY[None]),
        ("I;16", "a.png", GREY.astype(np.uint16) * 1000, GREY[None] * 1000.0),
        ("I;16", "a.tiff", GREY.astype(np.uint16) * 1000, GREY[None] * 1000.0),
        ("F", "a.tif", GREY.astype(np.float32) / 7, GREY[None].astype(np.float32) / 7),
        ("RGB", "a.png", RGB, np.moveaxis(RGB, -1, 0)),
        ("RGBA", "a.png", np.dstack([RGB, GREY]), np.moveaxis(RGB, -1, 0)),
        ("LA", "a.png", np.dstack([GREY, GREY]), GREY[None]),
        ("1", "a.png", GREY > 10, (GREY > 10)[None] * 255.0),
    ],
)
def test_picture_when_read_gives_its_channels(tmp_path, load, mode, name, array, expected):
    image = Image.fromarray(array)
    assert image.mode == mode
    image.save(tmp_path / name)
    np.testing.assert_array_equal(load(tmp_path / name, **RAW)[0, 0], expected)


@pytest.mark.parametrize("colour", [True, False])
def test_picture_when_palette_gives_colours(tmp_path, load, colour):
    image = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).convert("P")
    palette = [(i, 2 * i, 3 * i) if colour else (i, i, i) for i in range(0, 64, 4)]
    image.putpalette([value for entry in palette for value in entry])
    image.save(tmp_path / "a.png")
    expected = np.array(palette, dtype=np.float32).reshape(4, 4, 3)
    loaded = load(tmp_path / "a.png", **RAW)[0, 0]
    np.testing.assert_array_equal(loaded, np.moveaxis(expected if colour else expected[..., :1], -1, 0))


@pytest.mark.parametrize("colour", [True, False])
def test_picture_when_palette_has_transparency_leaves_it_out_in_silence(tmp_path, load, colour):
    codes = np.arange(64, dtype=np.uint8).reshape(8, 8) % 4
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [9, 9, 9]] if colour else [[7] * 3, [8] * 3] * 2)
    image = Image.fromarray(codes).convert("P")
    image.putpalette(palette.astype(np.uint8).tobytes())
    image.save(tmp_path / "a.png", transparency=bytes([0, 99, 255, 1]))
    expected = np.moveaxis(palette[codes], -1, 0)
    np.testing.assert_array_equal(load(tmp_path / "a.png", **RAW)[0, 0], expected if colour else expected[:1])


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "lzw.tif", "a.jpg"])
def test_picture_when_exif_turns_it_stands_upright(tmp_path, load, turn, name):
    upright = np.kron(np.array([[0, 80, 160], [240, 120, 40]], np.uint8), np.ones((8, 8), np.uint8))
    back = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    image = Image.fromarray(upright)
    image = image if back is None else image.transpose(back)
    compression = {"compression": "tiff_lzw"} if name == "lzw.tif" else {}
    image.save(tmp_path / name, exif=exif, **compression)
    loaded = load(tmp_path / name, **RAW)[0, 0, 0]
    np.testing.assert_allclose(loaded, upright, atol=3 if name == "a.jpg" else 0)


def test_tiff_when_it_has_pages_is_refused(tmp_path, as_column):
    pages = [Image.fromarray(GREY)] * 3
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*a\.tif.* has 3 pages.*Save"):
        ImageLoader().open(as_column(tmp_path / "a.tif"))


def test_picture_when_truncated_is_an_error(tmp_path, as_column):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)).save(
        tmp_path / "a.png"
    )
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    source = ImageLoader().open(as_column(tmp_path / "a.png"))
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*a\.png.* cannot be read.*restore"):
        source.stack()


def test_npy_when_read_gives_voxels(tmp_path, load, volume):
    np.save(tmp_path / "a.npy", volume.astype(np.int16))
    np.testing.assert_array_equal(load(tmp_path / "a.npy", **RAW)[0, 0, 0], volume)


def test_npy_when_it_holds_pickles_is_refused(tmp_path, as_column):
    np.save(tmp_path / "a.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy.* cannot be read .*Python objects.*restore"):
        ImageLoader().open(as_column(tmp_path / "a.npy"))


def test_npy_when_it_holds_text_is_refused(tmp_path, as_column):
    np.save(tmp_path / "a.npy", np.array([["a", "b"], ["c", "d"]]))
    with pytest.raises(ValueError, match=r"a\.npy.* type <U1.*Convert"):
        ImageLoader().open(as_column(tmp_path / "a.npy"))


def test_register_reader_when_it_returns_an_array_reads_the_file(tmp_path, load, own_suffix):
    register_reader(own_suffix, lambda path: np.fromfile(path, np.uint8).reshape(4, 5))
    GREY[:4, :5].tofile(tmp_path / "a.OWN")
    assert own_suffix in _suffixes.known_image_suffixes()
    np.testing.assert_array_equal(load(tmp_path / "a.OWN", **RAW)[0, 0, 0], GREY[:4, :5])


def test_register_reader_when_it_returns_an_affine_turns_the_volume(tmp_path, load, volume, own_suffix):
    register_reader(own_suffix, lambda path: (volume, np.diag([-1.0, 1, 1, 1])))
    (tmp_path / "a.own").touch()
    np.testing.assert_array_equal(load(tmp_path / "a.own", **RAW)[0, 0, 0], volume[::-1])


def test_register_reader_when_it_returns_nibabel_reads_it(tmp_path, load, volume, own_suffix):
    register_reader(own_suffix, lambda path: nib.Nifti1Image(volume, np.eye(4)))
    (tmp_path / "a.own").touch()
    np.testing.assert_array_equal(load(tmp_path / "a.own", **RAW)[0, 0, 0], volume)


def test_register_reader_when_without_header_decodes_each_file_once(tmp_path, as_column, volume, own_suffix):
    calls = []
    register_reader(own_suffix, lambda path: calls.append(path) or volume)
    paths = [tmp_path / f"{i}.own" for i in range(3)]
    for path in paths:
        path.touch()
    for _ in range(2):
        ImageLoader().open(as_column(*paths)).stack()
    assert sorted(calls) == [str(path) for path in paths]


def test_register_reader_when_header_is_given_opens_without_decoding(tmp_path, as_column, own_suffix):
    calls = []
    header = {"shape": (6, 8, 10)}
    register_reader(own_suffix, lambda path: calls.append(path), header=lambda path: header["shape"])
    (tmp_path / "a.own").touch()
    assert ImageLoader().open(as_column(tmp_path / "a.own")).spec.shape == (6, 8, 10)
    assert calls == []


def test_register_reader_when_it_raises_names_row_and_cause(tmp_path, as_column, own_suffix):
    register_reader(own_suffix, lambda path: 1 / 0)
    (tmp_path / "a.own").touch()
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*a\.own.*ZeroDivisionError") as caught:
        ImageLoader().open(as_column(tmp_path / "a.own"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("returned", "message"),
    [(None, "was read as NoneType"), ((np.ones((4, 4, 4)), np.eye(3)), r"affine of shape \(3, 3\)")],
)
def test_register_reader_when_it_returns_nonsense_says_what(
    tmp_path, as_column, own_suffix, returned, message
):
    register_reader(own_suffix, lambda path: returned)
    (tmp_path / "a.own").touch()
    with pytest.raises(ValueError, match=message):
        ImageLoader().open(as_column(tmp_path / "a.own"))


def test_register_reader_when_arguments_are_wrong_says_so():
    with pytest.raises(ValueError, match="begins with a dot"):
        register_reader("nrrd", len)
    with pytest.raises(TypeError, match="must be callable"):
        register_reader(".nrrd", "reader")
    with pytest.raises(TypeError, match="header function"):
        register_reader(".nrrd", len, header=3)
    assert ".nrrd" not in _suffixes.known_image_suffixes()


def test_suffix_when_unknown_is_refused_with_the_known_ones(as_column, tmp_path):
    (tmp_path / "a.bmp2").touch()
    with pytest.raises(
        ValueError, match=r"Row 'p0', column 'scan': .*a\.bmp2.*no reader.*\.nii\.gz.*register_reader"
    ):
        ImageLoader().open(as_column(tmp_path / "a.bmp2"))
