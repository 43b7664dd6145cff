import numpy as np
import pandas as pd
import pytest

from skhyperfusion.images import ImageLoader
from skhyperfusion.images._spec import ImageSpec

RAW = {"intensity": None}


@pytest.fixture
def pixels():
    values = np.arange(1, 49, dtype=float).reshape(2, 24)
    return pd.DataFrame(values, columns=[f"x{j}" for j in range(24)], index=["a", "b"])


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 4), (1, 24)])
def test_pixels_when_read_fill_the_grid_row_by_row(pixels, shape):
    source = ImageLoader(shape=shape, **RAW).open(pixels, pixels=True)
    assert source.spec == ImageSpec(shape, intensity="None")
    np.testing.assert_array_equal(source.stack()[:, 0, 0], pixels.to_numpy().reshape(2, *shape))
    np.testing.assert_array_equal(source.view([1]).read([0])[0, 0, 0].ravel(), pixels.loc["b"])


@pytest.mark.parametrize(("channels", "shape"), [("rgb", (2, 4)), (3, (2, 4)), (2, (3, 4))])
def test_pixels_when_coloured_have_channels_last(pixels, channels, shape):
    loaded = ImageLoader(shape=shape, channels=channels, **RAW).open(pixels, pixels=True).stack()
    expected = np.moveaxis(pixels.to_numpy().reshape(2, *shape, -1), -1, 1)
    np.testing.assert_array_equal(loaded[:, 0], expected)


def test_pixels_when_counts_differ_says_both(pixels):
    with pytest.raises(ValueError, match=r"shape=\(5, 5\).* makes 25 pixels, but there are 24 pixel columns"):
        ImageLoader(shape=(5, 5)).open(pixels, pixels=True)


def test_pixels_when_shape_is_unknown_asks_for_it(pixels):
    with pytest.raises(ValueError, match=r"24 pixel columns need the shape.*ImageLoader\(shape=\(H, W\)\)"):
        ImageLoader().open(pixels, pixels=True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_when_not_finite_name_row_and_column(pixels, value):
    pixels.loc["b", "x3"] = value
    with pytest.raises(
        ValueError, match=r"Row 'b', column 'x3': a pixel must be a finite number.*1 row: 'b'"
    ):
        ImageLoader(shape=(4, 6)).open(pixels, pixels=True)


def test_pixels_when_text_name_row_and_column(pixels):
    pixels = pixels.astype({"x3": object})
    pixels.loc["b", "x3"] = "bright"
    with pytest.raises(ValueError, match="Row 'b', column 'x3': a pixel must be a number, not 'bright'"):
        ImageLoader(shape=(4, 6)).open(pixels, pixels=True)


def test_pixels_when_a_row_is_missing_reads_as_zeros(pixels):
    pixels.loc["b"] = np.nan
    source = ImageLoader(shape=(4, 6), missing="zeros").open(pixels, pixels=True)
    assert source.missing.tolist() == [False, True]
    assert not source.stack()[1].any()


def test_pixels_when_all_zero_do_not_warn(pixels):
    assert not ImageLoader(shape=(4, 6)).open(pixels * 0, pixels=True).stack().any()
