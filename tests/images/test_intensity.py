import numpy as np
import pytest

from skhyperfusion.images import ImageLoader

RNG = np.random.default_rng(0)


@pytest.fixture
def brain():
    """Bright inside, 0 outside."""
    voxels = np.zeros((8, 8, 8), np.float32)
    voxels[2:6, 2:6, 2:6] = RNG.normal(100, 15, (4, 4, 4))
    return voxels


def test_zscore_when_background_is_zero_ignores_it(load, brain):
    loaded = load(brain)[0, 0, 0]
    inside = loaded[brain != 0]
    np.testing.assert_allclose([inside.mean(), inside.std()], [0, 1], atol=1e-5)
    expected = (brain - brain[brain != 0].mean()) / brain[brain != 0].std()
    np.testing.assert_allclose(loaded, expected, atol=1e-4)


def test_zscore_when_colour_keeps_the_relation_of_channels(load):
    picture = RNG.integers(1, 255, (8, 8, 3)).astype(np.uint8)
    picture[0] = 0
    loaded = load(picture)[0, 0]
    filled = picture[1:].astype(float)
    expected = (picture - filled.mean()) / filled.std()
    np.testing.assert_allclose(loaded, np.moveaxis(expected, -1, 0), atol=1e-5)


def test_zscore_when_mask_keeps_the_shape_visible(load):
    mask = np.eye(8, dtype=np.uint8)
    loaded = load(mask)[0, 0, 0]
    assert loaded[0, 0] > loaded[0, 1]
    np.testing.assert_allclose(loaded.mean(), 0, atol=1e-6)


@pytest.mark.parametrize("intensity", ["percentile", (5, 95)])
@pytest.mark.parametrize("value", [1.0, -3.0])
def test_percentile_when_mask_keeps_the_shape_visible(load, intensity, value):
    mask = np.zeros((6, 6, 6))
    mask[2:4, 2:4, 2:4] = value
    image = load(mask, intensity=intensity)[0, 0, 0]
    np.testing.assert_array_equal(image, mask if value > 0 else 1 + mask / 3)


@pytest.mark.parametrize("intensity", ["zscore", "minmax", "percentile", (5, 95)])
@pytest.mark.parametrize("value", [0.1, -7, 1e6])
def test_intensity_when_image_is_constant_gives_zeros(load, intensity, value):
    loaded = load(np.full((6, 6, 6), value, np.float32), intensity=intensity)
    np.testing.assert_array_equal(loaded, 0)


def test_minmax_when_applied_fills_zero_to_one(load, brain):
    loaded = load(brain - 20, intensity="minmax")
    assert (loaded.min(), loaded.max()) == (0, 1)


@pytest.mark.parametrize(
    ("intensity", "limits"), [("percentile", (1, 99)), ((10, 80), (10, 80)), ([10, 80], (10, 80))]
)
def test_percentile_when_applied_clips_to_percentiles_of_nonzero_voxels(load, brain, intensity, limits):
    low, high = np.percentile(brain[brain != 0], limits)
    expected = np.clip((brain - low) / (high - low), 0, 1)
    np.testing.assert_allclose(load(brain, intensity=intensity)[0, 0, 0], expected, atol=1e-5)


def test_none_when_given_keeps_the_values(load, brain):
    np.testing.assert_array_equal(load(brain, intensity=None)[0, 0, 0], brain)


def test_callable_when_given_sees_channels_first(load, brain):
    loaded = load(brain, intensity=lambda voxels: voxels + voxels.ndim)
    np.testing.assert_array_equal(loaded[0, 0, 0], brain + 4)


def test_callable_when_it_changes_the_shape_is_refused(load, brain):
    with pytest.raises(ValueError, match=r"intensity=callable with shape \(8, 8\).*here \(1, 8, 8, 8\)"):
        load(brain, intensity=lambda voxels: voxels[0, 0])


def test_callable_when_it_fails_names_the_row(load, brain):
    with pytest.raises(
        ValueError, match=r"Row 'p0', .*\(intensity=\.\.\.\) fail with ZeroDivisionError"
    ) as caught:
        load(brain, intensity=lambda voxels: 1 / 0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_callable_when_it_changes_its_argument_leaves_the_cell(load, brain):
    before = brain.copy()
    loaded = load(brain, intensity=lambda voxels: np.multiply(voxels, 2, out=voxels))
    np.testing.assert_array_equal(brain, before)
    np.testing.assert_array_equal(loaded[0, 0, 0], 2 * before)


def test_callable_when_it_makes_nan_is_refused(load, brain):
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="448 NaN or infinite voxels of 512"):
        load(brain, intensity=lambda voxels: voxels / voxels * np.inf ** (voxels == 0))


@pytest.mark.parametrize("intensity", ["zscor", 3, (99, 1), (0, 101), (1, 2, 3), (True, 50)])
def test_intensity_when_unknown_is_refused_with_the_rules(as_column, brain, intensity):
    with pytest.raises(ValueError, match="'intensity' parameter of ImageLoader must be 'zscore', 'minmax'"):
        ImageLoader(intensity=intensity).open(as_column(brain))


def test_intensity_when_misspelt_offers_the_nearest(as_column, brain):
    with pytest.raises(ValueError, match="did you mean 'zscore'"):
        ImageLoader(intensity="zscor").open(as_column(brain))


@pytest.mark.parametrize(
    ("intensity", "name"), [("minmax", "minmax"), (None, "None"), ((1, 99), "(1, 99)"), (np.log1p, "log1p")]
)
def test_spec_when_opened_names_the_rule(as_column, brain, intensity, name):
    assert ImageLoader(intensity=intensity).open(as_column(brain)).spec.intensity == name
