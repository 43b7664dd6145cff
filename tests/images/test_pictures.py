"""Pictures: every bit, upright wherever that is stored, whatever their metadata, or a reason why not."""

import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from skhyperfusion.images import ImageLoader

tifffile = pytest.importorskip("tifffile")

RAW = {"intensity": None}
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 255, (16, 24, 3)).astype(np.uint8)
GREY = RGB[..., 0]
UPRIGHT = np.kron(np.array([[0, 80, 160], [240, 120, 40]], np.uint8), np.ones((8, 8), np.uint8))
TURNED = np.ascontiguousarray(np.rot90(UPRIGHT))  # EXIF 6 stands it up: a quarter to the right


def chunk(kind, data, damaged=False):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ damaged)


def png(pixels, kind, before=(), behind=(), interlaced=0):
    """Return a PNG with pixels of 8 or 16 bits (kind 0 grey, 2 colour; 4 and 6 the same with alpha)."""
    depth, stored = 8 * pixels.itemsize, pixels.astype(pixels.dtype.newbyteorder(">"))
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, kind, 0, 0, interlaced)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in stored))
    chunks = [chunk(b"IHDR", header), *before, chunk(b"IDAT", packed), *behind, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def exif(turn):
    block = Image.Exif()
    block[0x0112] = turn
    return block.tobytes()


def xmp(turn):
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{turn}"/></x:xmpmeta>'.encode()


def raw_profile(data, name=b"exif"):
    digits = b"\n".join(data.hex().encode()[i : i + 72] for i in range(0, 2 * len(data), 72))
    return b"\n%s\n%8d\n%s\n" % (name, len(data), digits)


@pytest.mark.parametrize(("kind", "samples"), [(2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("filtered", [False, True])
def test_png_when_of_16_bits_and_colours_keeps_every_bit(tmp_path, load, kind, samples, filtered):
    pixels = RNG.integers(0, 65536, (9, 7, samples)).astype(np.uint16)
    data = png(pixels, kind)
    if filtered:  # "up" in every row but the first
        rows = pixels.astype(">u2").reshape(9, -1).view(np.uint8).astype(int)
        up = np.vstack([rows[:1], np.diff(rows, axis=0) % 256]).astype(np.uint8)
        packed = zlib.compress(b"".join(bytes([2 * (i > 0)]) + row.tobytes() for i, row in enumerate(up)))
        data = data[:33] + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    expected = pixels[..., :1] if samples == 2 else pixels[..., :3]
    np.testing.assert_array_equal(load(tmp_path / "a.png", **RAW)[0, 0], np.moveaxis(expected, -1, 0))


METADATA = {
    "exif": chunk(b"eXIf", exif(6).removeprefix(b"Exif\0\0")),
    "raw profile": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(exif(6)))),
    "raw profile as text": chunk(b"tEXt", b"Raw profile type APP1\0" + raw_profile(exif(6), b"APP1")),
    "xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)),
    "packed xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(6))),
    "xmp profile": chunk(b"tEXt", b"Raw profile type xmp\0" + raw_profile(xmp(6), b"xmp")),
}


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("stored", list(METADATA))
def test_png_when_turned_by_any_metadata_stands_upright(tmp_path, load, stored, place):
    (tmp_path / "a.png").write_bytes(png(TURNED, 0, **{place: [METADATA[stored]]}))
    np.testing.assert_array_equal(load(tmp_path / "a.png", **RAW)[0, 0, 0], UPRIGHT)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_picture_when_turned_by_xmp_alone_stands_upright(tmp_path, load, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".jpg":
        Image.fromarray(TURNED).save(path, xmp=xmp(6), quality=95)
    else:
        Image.fromarray(TURNED).save(path, tiffinfo={700: xmp(6)})
    np.testing.assert_allclose(load(path, **RAW)[0, 0, 0], UPRIGHT, atol=3 if suffix == ".jpg" else 0)


@pytest.mark.parametrize(
    "broken",
    [
        chunk(b"eXIf", b"\xff" * 20),
        chunk(b"eXIf", b"II*\0\x08\0\0\0\x05"),
        chunk(b"tEXt", b"Raw profile type exif\0no digits at all"),
        chunk(b"zTXt", b"Comment\0\0not packed"),
        chunk(b"iTXt", b"XML:com.adobe.xmp"),
        chunk(b"tEXt", b"Comment\0hello", damaged=True),
        chunk(b"iCCP", b"profile\0\0not packed"),
        chunk(b"pHYs", b"\0"),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 22))),
    ],
)
@pytest.mark.parametrize("place", ["before", "behind"])
def test_png_when_its_metadata_is_broken_is_read(tmp_path, load, broken, place):
    (tmp_path / "a.png").write_bytes(png(UPRIGHT, 0, **{place: [broken]}))
    np.testing.assert_array_equal(load(tmp_path / "a.png", **RAW)[0, 0, 0], UPRIGHT)


BROKEN = b"Exif\0\0II*\0\x08\0\0\0\x05"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow remarks on it
@pytest.mark.parametrize("block", [b"Exif\0\0\xff\xff\xff\xff\0\0\0\x08", BROKEN, b"Exif\0\0"])
def test_jpeg_when_its_metadata_is_broken_is_read(tmp_path, load, block):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=block, xmp=xmp(9))
    expected = np.asarray(Image.open(tmp_path / "a.jpg"))
    np.testing.assert_array_equal(load(tmp_path / "a.jpg", **RAW)[0, 0], np.moveaxis(expected, -1, 0))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_jpeg_when_exif_is_broken_is_turned_by_its_xmp(tmp_path, load):
    Image.fromarray(TURNED).save(tmp_path / "a.jpg", exif=BROKEN, xmp=xmp(6), quality=95)
    np.testing.assert_allclose(load(tmp_path / "a.jpg", **RAW)[0, 0, 0], UPRIGHT, atol=3)


TIFFS = {
    "16-bit colours": (RNG.integers(0, 65536, (9, 7, 3)).astype(np.uint16), {"photometric": "rgb"}),
    "16-bit colours, big end first": (
        RNG.integers(0, 65536, (9, 7, 3)).astype(np.uint16),
        {"photometric": "rgb", "byteorder": ">"},
    ),
    "16-bit colours by plane": (
        RNG.integers(0, 65536, (3, 9, 7)).astype(np.uint16),
        {"photometric": "rgb", "planarconfig": "separate"},
    ),
    "float colours": (RNG.normal(size=(9, 7, 3)).astype(np.float32), {"photometric": "rgb"}),
    "signed bytes": (RNG.integers(-128, 128, (9, 7)).astype(np.int8), {"photometric": "minisblack"}),
    "signed shorts": (RNG.integers(-999, 999, (9, 7)).astype(np.int16), {"photometric": "minisblack"}),
    "unsigned 32 bits": (RNG.integers(0, 2**32, (9, 7)).astype(np.uint32), {"photometric": "minisblack"}),
    "doubles": (RNG.normal(size=(9, 7)), {"photometric": "minisblack"}),
    "half floats": (RNG.normal(size=(9, 7)).astype(np.float16), {"photometric": "minisblack"}),
    "five channels": (
        RNG.integers(0, 255, (9, 7, 5)).astype(np.uint8),
        {"photometric": "minisblack", "planarconfig": "contig"},
    ),
    "BigTIFF": (
        RNG.integers(0, 255, (9, 7)).astype(np.uint8),
        {"photometric": "minisblack", "bigtiff": True},
    ),
    "zlib": (
        RNG.integers(0, 65536, (9, 7, 3)).astype(np.uint16),
        {"photometric": "rgb", "compression": "zlib"},
    ),
}


@pytest.mark.parametrize("kind", list(TIFFS))
def test_tiff_when_read_keeps_every_bit(tmp_path, load, kind):
    pixels, options = TIFFS[kind]
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    expected = pixels if pixels.ndim == 2 or len(pixels) == 3 else np.moveaxis(pixels, -1, 0)
    loaded = load(tmp_path / "a.tif", **RAW)[0, 0]
    np.testing.assert_array_equal(loaded, np.atleast_3d(expected.T).T.astype(np.float32))


def test_tiff_when_white_is_zero_is_turned_round(tmp_path, load):
    for dtype in (np.uint8, np.uint16):
        pixels = RNG.integers(0, np.iinfo(dtype).max, (9, 7)).astype(dtype)
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
        np.testing.assert_array_equal(load(tmp_path / "a.tif", **RAW)[0, 0, 0], np.iinfo(dtype).max - pixels)


def test_tiff_when_it_has_alpha_leaves_that_out(tmp_path, load):
    pixels = RNG.integers(0, 65536, (9, 7, 4)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    expected = np.moveaxis(pixels[..., :3], -1, 0)
    np.testing.assert_array_equal(load(tmp_path / "a.tif", **RAW)[0, 0], expected)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(("light", "kept"), [("rgb", [0, 1, 2, 4]), ("minisblack", [0, 2, 3, 4])])
def test_tiff_when_alpha_stands_before_other_channels_leaves_out_alpha(tmp_path, load, planar, light, kept):
    pixels = RNG.integers(0, 256, (5, 9, 7)).astype(np.uint8)
    further = ["unassalpha", *["unspecified"] * (1 if light == "rgb" else 3)]
    stored = pixels if planar == "separate" else np.moveaxis(pixels, 0, -1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=light, planarconfig=planar, extrasamples=further)
    np.testing.assert_array_equal(load(tmp_path / "a.tif", channels=4, **RAW)[0, 0], pixels[kept])


def test_tiff_when_turned_and_of_16_bits_stands_upright(tmp_path, load):
    pixels = np.stack([TURNED * 200, TURNED * 100, TURNED * 50], axis=-1, dtype=np.uint16, casting="unsafe")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    expected = np.rot90(pixels, -1).transpose(2, 0, 1)
    np.testing.assert_array_equal(load(tmp_path / "a.tif", **RAW)[0, 0], expected)


def test_tiff_when_tifffile_is_absent_says_what_to_install(tmp_path, as_column, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", TIFFS["16-bit colours"][0], photometric="rgb")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    message = r"Row 'p0', column 'scan': .*a\.tif' .*pip install .skhyperfusion\[tiff\].*register_reader"
    with pytest.raises(ValueError, match=message):
        ImageLoader().open(as_column(tmp_path / "a.tif"))


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (
            RNG.integers(0, 255, (9, 7, 4)).astype(np.uint16),
            {"photometric": "separated"},
            "CMYK",
        ),
        (RNG.integers(0, 255, (3, 9, 7)).astype(np.uint8), {"photometric": "minisblack"}, "3 pages"),
        (RNG.integers(0, 255, (3, 9, 7)).astype(np.uint8), {"imagej": True}, "3 pages"),
    ],
)
def test_tiff_when_it_is_no_single_picture_is_refused(tmp_path, as_column, pixels, options, message):
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    with pytest.raises(ValueError, match=rf"(?s)Row 'p0', column 'scan': .*a\.tif' .*{message}"):
        ImageLoader().open(as_column(tmp_path / "a.tif")).stack()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {}),
        ("a.tif", {}),
        ("a.tif", {"compression": "jpeg"}),
        ("a.tif", {"compression": "tiff_lzw"}),
    ],
)
def test_picture_in_inks_is_refused_with_the_way_to_colours(tmp_path, as_column, name, options):
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / name, **options)
    message = r"Row 'p0', column 'scan': .*\.\w+' is a picture in inks \(CMYK\).*RGB.*register_reader"
    with pytest.raises(ValueError, match=message):
        ImageLoader().open(as_column(tmp_path / name))


NETPBM = {
    "P5 2 2 255": (b"\x03\xff\x00\x01", [3, 255, 0, 1]),
    "P5 2 2 65535": (b"\x01\x02\xff\xfe" * 2, [258, 65534] * 2),
    "P2 2 2 65535": (b"258 65534 0 1", [258, 65534, 0, 1]),
    "P4 8 2": (b"\xf0\x0f", ([0] * 4 + [255] * 8 + [0] * 4)),
}


@pytest.mark.parametrize("header", NETPBM)
def test_netpbm_called_png_keeps_its_samples(tmp_path, load, header):
    samples, expected = NETPBM[header]
    (tmp_path / "a.png").write_bytes(header.encode() + b"\n" + samples)
    assert load(tmp_path / "a.png", **RAW).ravel().tolist() == expected


@pytest.mark.parametrize(
    ("header", "most"), [("P5 2 1 1023", 1023), ("P5 2 1 100", 100), ("P6 1 1 65535", 65535), ("P3 1 1 9", 9)]
)
def test_netpbm_whose_samples_pillow_would_change_is_refused(tmp_path, as_column, header, most):
    (tmp_path / "a.png").write_bytes(header.encode() + b"\n" + b"1 2 3 ")
    with pytest.raises(ValueError, match=rf"Row 'p0'.*a\.png' is a netpbm picture .* up to {most}, which"):
        ImageLoader().open(as_column(tmp_path / "a.png"))


def jpeg_2000(path, pixels, bits=None):
    """Write a lossless JPEG 2000; `bits` is what its stream then says of its samples."""
    Image.fromarray(pixels).save(path, format="JPEG2000", irreversible=False)
    if bits is not None:
        content = bytearray(path.read_bytes())
        at = content.index(b"\xff\x4f\xff\x51") + 42
        for component in range(1 if pixels.ndim == 2 else 3):
            content[at + 3 * component] = bits
        path.write_bytes(content)


@pytest.mark.parametrize("pixels", [GREY, GREY.astype(np.uint16) * 257, RGB], ids=["8", "16", "colours"])
def test_jpeg_2000_called_png_keeps_its_samples(tmp_path, load, pixels):
    jpeg_2000(tmp_path / "a.png", pixels)
    expected = pixels if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    np.testing.assert_array_equal(load(tmp_path / "a.png", **RAW)[0, 0].squeeze(), expected)


@pytest.mark.parametrize(
    ("pixels", "stored", "bits"),
    [(GREY, 11, "12"), (GREY, 0x87, "-8"), (RGB, 15, "16, 16, 16")],
    ids=["12 bits", "signed", "16-bit colours"],
)
def test_jpeg_2000_whose_samples_pillow_would_change_is_refused(tmp_path, as_column, pixels, stored, bits):
    jpeg_2000(tmp_path / "a.png", pixels, stored)
    with pytest.raises(ValueError, match=rf"Row 'p0'.*is a JPEG 2000 picture with samples of {bits} bits"):
        ImageLoader().open(as_column(tmp_path / "a.png"))


def test_tiff_of_complex_numbers_is_refused(tmp_path, as_column):
    tifffile.imwrite(tmp_path / "a.tif", GREY * 1j)
    with pytest.raises(ValueError, match=r"Row 'p0'.*a\.tif' holds values of type complex128"):
        ImageLoader().open(as_column(tmp_path / "a.tif")).stack()


def test_png_when_animated_is_refused(tmp_path, as_column):
    pages = [Image.fromarray(RGB + i) for i in range(3)]
    pages[0].save(tmp_path / "a.png", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*a\.png' is an animation of 3 pictures"):
        ImageLoader().open(as_column(tmp_path / "a.png"))


def test_jpeg_when_it_holds_previews_gives_the_first(tmp_path, load):
    first, preview = Image.fromarray(np.kron(RGB, np.ones((2, 2, 1), np.uint8))), Image.fromarray(RGB)
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[preview], quality=95)
    assert load(tmp_path / "a.jpg", **RAW).shape == (1, 1, 3, 32, 48)


def test_picture_when_pillow_does_not_know_it_names_register_reader(tmp_path, as_column):
    damaged = bytearray(png(UPRIGHT, 0))
    damaged[24] = 7  # bits of a sample
    (tmp_path / "a.png").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"Row 'p0'.*a\.png' is no picture .*register_reader"):
        ImageLoader().open(as_column(tmp_path / "a.png"))


def test_picture_when_it_would_run_another_program_is_not_opened(tmp_path, as_column):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*a\.png' .*holds text"):
        ImageLoader().open(as_column(tmp_path / "a.png"))


@pytest.mark.parametrize("bigtiff", [False, True])
def test_tiff_when_its_header_asks_for_billions_of_rows_is_refused_before_it_is_laid_out(
    tmp_path, as_column, bigtiff
):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, TIFFS["16-bit colours"][0], photometric="rgb", bigtiff=bigtiff)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags["ImageLength"].overwrite(4_000_000_000, dtype="I")
        file.pages.first.tags["RowsPerStrip"].overwrite(1, dtype="I")
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"Row 'p0'.*(84000000000 voxels|28000000000 pixels)"):
        ImageLoader().open(as_column(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
