import itertools
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from skhyperfusion.images import ImageLoader
from skhyperfusion.images._formats._raw import RawHeader
from skhyperfusion.images._voxels._geometry import (
    Grid,
    foreground_box,
    halves,
    resample_to_shape,
    resample_voxels,
)
from skhyperfusion.images._voxels._recipe import Recipe

RAW = {"intensity": None}


def rotation(degrees):
    a, b, c = np.deg2rad(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


def affines():
    """Flipped, permuted, anisotropic and oblique affines, each with its name."""
    for order in itertools.permutations(range(3)):
        for signs in ((1, 1, 1), (-1, 1, -1)):
            matrix = np.zeros((3, 3))
            matrix[order, range(3)] = np.array(signs) * [1.0, 2.0, 1.5]
            yield f"{order}{signs}", matrix
    yield "oblique", rotation([10, -20, 15]) * [1, 2, 1.5]
    yield "oblique-flipped", rotation([30, 5, -25]) * [-1, 1.5, -2]


def place_of_peak(voxels, affine):
    """Millimetres of the centre of mass of the one bright spot."""
    where = np.argwhere(voxels > 0)
    weights = voxels[voxels > 0]
    centre = (where * weights[:, None]).sum(0) / weights.sum()
    return affine[:3, :3] @ centre + affine[:3, 3]


def result_grid(recipe, shape, affine):
    """The grid that an image of this shape and affine ends up on, by the recipe's own steps."""
    grid = recipe.oriented(Grid(shape, affine))[1]
    grid = recipe.resampled(grid)[1]
    return recipe.shaped(grid)[1]


@pytest.mark.parametrize(("matrix"), [pytest.param(matrix, id=name) for name, matrix in affines()])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"orientation": "LPS"},
        {"shape": (10, 26, 17)},
        {"shape": (30, 31, 40)},
        {"spacing": 1.3},
        {"spacing": (3.0, 2.0, 0.9)},
        {"spacing": 1.0, "shape": (36, 38, 40)},
    ],
    ids=str,
)
def test_point_when_loaded_lies_where_it_was(matrix, parameters):
    voxels = np.zeros((20, 22, 24), np.float32)
    voxels[12:14, 7:9, 15:17] = 1
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = [-31.5, 12.25, 7.0]
    recipe = Recipe(intensity=None, **parameters)
    loaded = recipe.image(nib.Nifti1Image(voxels, affine)).image
    grid = result_grid(recipe, voxels.shape, affine)
    assert grid.shape == loaded.shape[2:]
    error = place_of_peak(loaded[0, 0], grid.affine) - place_of_peak(voxels, affine)
    # Half a voxel is what must hold; a point away from the border is much nearer.
    assert np.linalg.norm(error / np.max(grid.spacing)) < 0.15
    assert grid.orientation == parameters.get("orientation", "RAS")


@pytest.mark.parametrize("code", ["RAS", "LPS", "PSR", "AIL"])
def test_orientation_when_given_is_that_of_the_result(load, as_column, volume, code):
    image = nib.Nifti1Image(volume, np.diag([-1.0, 2, 3, 1]))
    source = ImageLoader(orientation=code, intensity=None).open(as_column(image))
    expected = nib.orientations.apply_orientation(
        volume,
        nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt(tuple("LAS")), nib.orientations.axcodes2ornt(tuple(code))
        ),
    )
    np.testing.assert_array_equal(source.read([0])[0, 0, 0], expected)
    assert source.spec.orientation == code


def test_orientation_when_none_keeps_the_stored_axes(load, volume):
    image = nib.Nifti1Image(volume, np.diag([-1.0, 2, 3, 1]))
    np.testing.assert_array_equal(load(image, orientation=None, **RAW)[0, 0, 0], volume)


def test_shape_when_image_shrinks_is_antialiased():
    stripes = np.tile(np.array([0, 1], np.float32), 32)[None, :, None] * np.ones((1, 64, 64), np.float32)
    loaded = resample_voxels(stripes, resample_to_shape(Grid((64, 64)), (13, 64)))
    np.testing.assert_allclose(loaded[0, 1:-1], 0.5, atol=0.06)


def test_shape_when_image_grows_interpolates_without_shift():
    ramp = np.arange(8, dtype=np.float32)[None, :, None] * np.ones((1, 8, 3), np.float32)
    loaded = resample_voxels(ramp, resample_to_shape(Grid((8, 3)), (16, 3)))[0, :, 0]
    np.testing.assert_allclose(loaded[1:-1], (np.arange(1, 15) + 0.5) / 2 - 0.5, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 7, 9), (16, 4, 8), (8, 8, 8), (1, 8, 20)])
def test_shape_when_image_is_constant_stays_constant(shape):
    voxels = np.full((2, 8, 8, 8), 3.25, np.float32)
    loaded = resample_voxels(voxels, resample_to_shape(Grid((8, 8, 8)), shape))
    np.testing.assert_allclose(loaded, 3.25, rtol=1e-6)
    assert loaded.shape == (2, *shape)


def test_spacing_and_shape_when_given_cut_a_window_around_the_centre(load):
    voxels = np.zeros((8, 8, 8), np.float32)
    voxels[2:6, 2:6, 2:6] = 1
    image = nib.Nifti1Image(voxels, np.eye(4))
    small = load(image, spacing=1, shape=(4, 4, 4), **RAW)
    np.testing.assert_array_equal(small, 1)
    large = load(image, spacing=1, shape=(12, 8, 4), **RAW)[0, 0, 0]
    np.testing.assert_array_equal(large[2:10, :, :], voxels[:, :, 2:6])
    assert large[:2].sum() == large[10:].sum() == 0


def test_spacing_when_image_tells_none_is_refused(as_column, volume):
    with pytest.raises(
        ValueError, match=r"Row 'p0', column 'scan': an array .* does not tell .*shape=\.\.\."
    ):
        ImageLoader(spacing=2).open(as_column(volume))


def test_spacing_when_number_of_axes_differs_is_refused(as_column, volume):
    with pytest.raises(ValueError, match=r"is 3-D, and spacing=\(1.0, 2.0\) has 2 numbers"):
        ImageLoader(spacing=(1, 2)).open(as_column(nib.Nifti1Image(volume, np.eye(4))))


def test_spacing_when_header_lies_makes_no_huge_image(as_column, volume):
    image = nib.Nifti1Image(volume, np.diag([1e5, 1e5, 1e5, 1]))
    with pytest.raises(ValueError, match=r"100000\.0.* mm; at spacing=1\.0 .*max_voxels=134217728"):
        ImageLoader(spacing=1).open(as_column(image))


def test_affine_when_singular_is_refused(as_column, volume):
    # nibabel makes no image with such an affine, but files have them.
    image = SimpleNamespace(dataobj=volume, affine=np.diag([1.0, 0, 1, 1]), shape=volume.shape)
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*cannot be inverted.*Repair"):
        ImageLoader().open(as_column(image))


def test_slice_when_shape_has_two_numbers_is_a_picture(load):
    picture = np.arange(48, dtype=np.float32).reshape(6, 8)
    image = nib.Nifti1Image(picture[:, None, :], np.diag([-1.0, 5, 1, 1]))
    loaded = load(image, shape=(6, 8), **RAW)
    np.testing.assert_array_equal(loaded[0, 0, 0], picture[::-1])


@pytest.mark.parametrize("voxels", [np.ones((4, 1, 4), np.float32), np.ones((1, 9), np.float32)])
def test_axis_when_it_has_one_voxel_is_refused(as_column, voxels):
    with pytest.raises(
        ValueError, match=r"Row 'p0', column 'scan': .*single voxel along axis [01].*shape=\(H, W\)"
    ):
        ImageLoader().open(as_column(voxels))


@pytest.mark.parametrize(("shape", "found"), [((4, 4), "3-D"), ((4, 4, 4), "2-D")])
def test_shape_when_number_of_axes_differs_is_refused(as_column, volume, shape, found):
    cell = volume if found == "3-D" else np.ones((6, 6), np.float32)
    cell = nib.Nifti1Image(cell, np.eye(4)) if found == "3-D" else cell
    with pytest.raises(ValueError, match=rf"is {found} with shape .*asks for"):
        ImageLoader(shape=shape).open(as_column(cell))


def test_crop_when_box_is_given_cuts_it(load, volume):
    loaded = load(volume, crop=[(1, 4), (0, 8), (2, 9)], **RAW)
    np.testing.assert_array_equal(loaded[0, 0, 0], volume[1:4, :, 2:9])


def test_crop_when_spacing_is_given_counts_its_voxels(load, volume):
    image = nib.Nifti1Image(volume, np.eye(4))
    whole = load(image, spacing=0.5, **RAW)[0, 0, 0]
    loaded = load(image, spacing=0.5, crop=((2, 10), (0, 16), (5, 20)), **RAW)[0, 0, 0]
    np.testing.assert_array_equal(loaded, whole[2:10, :, 5:20])


def test_crop_when_box_is_too_large_is_refused(as_column, volume):
    with pytest.raises(ValueError, match=r"Row 'p0'.* 6 voxels along axis 0, so the crop box .* Change crop"):
        ImageLoader(crop=((0, 7), (0, 8), (0, 10))).open(as_column(volume))


def test_crop_when_box_has_other_axes_is_refused(as_column, volume):
    with pytest.raises(ValueError, match="does not give 3 pairs"):
        ImageLoader(crop=((0, 2), (0, 8))).open(as_column(volume))


def test_crop_when_foreground_fits_the_object(load):
    voxels = np.zeros((10, 10, 10), np.float32)
    voxels[3:7, 2:6, 5:9] = np.arange(1, 65).reshape(4, 4, 4)
    loaded = load(voxels, crop="foreground", shape=(4, 4, 4), **RAW)
    np.testing.assert_array_equal(loaded[0, 0, 0], voxels[3:7, 2:6, 5:9])


def test_crop_when_foreground_and_empty_takes_all():
    assert foreground_box(np.zeros((1, 3, 4))) == ((0, 3), (0, 4))


def test_crop_when_foreground_without_shape_is_refused(as_column, volume):
    with pytest.raises(ValueError, match=r"crop='foreground'.*Pass shape"):
        ImageLoader(crop="foreground").open(as_column(volume))


def test_crop_when_callable_gives_its_boxes_as_views(as_column, volume):
    def corners(voxels):
        assert voxels.shape == (1, 6, 8, 10)
        return [((0, 3), (0, 4), (0, 5)), ((3, 6), (4, 8), (5, 10))]

    source = ImageLoader(crop=corners, intensity=None).open(as_column(volume))
    assert (source.spec.n_views, source.spec.shape) == (2, (3, 4, 5))
    np.testing.assert_array_equal(source.read([0])[0, :, 0], [volume[:3, :4, :5], volume[3:, 4:, 5:]])


def test_crop_when_callable_gives_unequal_views_is_refused(as_column, volume):
    loader = ImageLoader(crop=lambda voxels: [((0, 3), (0, 4), (0, 5)), ((0, 2), (0, 4), (0, 5))])
    with pytest.raises(ValueError, match=r"views of shapes \[\(3, 4, 5\), \(2, 4, 5\)\]"):
        loader.open(as_column(volume))


def test_crop_when_callable_fails_names_the_row(as_column, volume):
    with pytest.raises(ValueError, match=r"Row 'p0', .*\(crop=\.\.\.\) fail with ZeroDivisionError"):
        ImageLoader(crop=lambda voxels: 1 / 0).open(as_column(volume))


def test_bilateral_when_halves_differ_gives_right_then_mirrored_left(load):
    """A spot on the right near the midline, another on the left at the rim."""
    voxels = np.zeros((8, 6, 6), np.float32)
    voxels[5, 2, 2] = 1  # right: x grows to the right
    voxels[0, 4, 4] = 2  # left
    for affine in (np.eye(4), np.diag([-1.0, 1, 1, 1])):
        stored = voxels if affine[0, 0] > 0 else voxels[::-1]
        right, left = load(nib.Nifti1Image(stored, affine), bilateral=0, **RAW)[0, :, 0]
        assert right.shape == left.shape == (4, 6, 6)
        np.testing.assert_array_equal(np.argwhere(right), [[1, 2, 2]])
        np.testing.assert_array_equal(np.argwhere(left), [[3, 4, 4]])


def test_bilateral_when_orientation_runs_left_gives_right_first(load):
    voxels = np.zeros((8, 6, 6), np.float32)
    voxels[5, 2, 2] = 1
    right, left = load(nib.Nifti1Image(voxels, np.eye(4)), bilateral=0, orientation="LPS", **RAW)[0, :, 0]
    assert right.sum() == 1
    assert left.sum() == 0


def test_bilateral_when_odd_shares_the_midline():
    row = np.arange(5, dtype=np.float32)[None, :, None]
    right, left = halves(row, 0, right_is_high=True)
    assert (right.ravel().tolist(), left.ravel().tolist()) == ([2, 3, 4], [2, 1, 0])


def test_bilateral_when_axis_is_absent_is_refused(as_column):
    with pytest.raises(ValueError, match=r"shape \(6, 6\), and bilateral=2 is no axis"):
        ImageLoader(bilateral=2).open(as_column(np.eye(6)))


@pytest.mark.parametrize(
    "parameters",
    [
        {"spacing": 1.7},
        {"shape": (5, 6, 7)},
        {"spacing": 1.5, "shape": (9, 9, 9), "bilateral": 1},
        {"crop": ((0, 3), (1, 5), (2, 9)), "bilateral": 2},
        {"crop": ((0, 3), (1, 5), (2, 9)), "shape": (8, 8, 8)},
        {"orientation": "SPL", "bilateral": 0},
    ],
    ids=str,
)
def test_plan_when_made_from_the_header_equals_the_image(volume, parameters):
    affine = np.diag([-1.0, 2, 1.5, 1])
    recipe = Recipe(**parameters)
    plan = recipe.plan(RawHeader(volume.shape, affine, "volume"))
    loaded = recipe.image(nib.Nifti1Image(volume, affine)).image
    assert loaded.shape == (plan.n_views, plan.n_channels, *plan.shape)


IXI = Path(__file__).parents[3] / "shared" / "data" / "ixi-t1-small"


@pytest.mark.skipif(not IXI.is_dir(), reason="needs the IXI scans, which are not part of the project")
def test_native_scan_when_turned_and_resampled_matches_its_ras_copy(as_column):
    """PSR at 2 mm against RAS at 3 mm; the two are not registered, so the best whole-voxel shift counts."""
    native = sorted((IXI / "native2mm_brain").iterdir())
    prepared = [IXI / "t1" / path.name.replace("_brain", "") for path in native]
    loader = ImageLoader(spacing=3, shape=(56, 68, 56), intensity=None)
    ours = loader.open(as_column(*native)).stack()[:, 0, 0]
    theirs = loader.open(as_column(*prepared)).stack()[:, 0, 0]

    def best(a, b):
        """Correlation at the best cyclic shift, by the Fourier transform."""
        a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
        return float(
            np.fft.irfftn(np.fft.rfftn(a).conj() * np.fft.rfftn(b), a.shape, axes=(0, 1, 2)).max() / a.size
        )

    for a, b in zip(ours, theirs, strict=True):
        right = best(a, b)
        assert right > 0.93
        for axes in itertools.chain.from_iterable(itertools.combinations(range(3), k) for k in (1, 2, 3)):
            assert best(np.flip(a, axes), b) < right
        cube_a, cube_b = (np.pad(v, [(6, 6), (0, 0), (6, 6)]) for v in (a, b))
        for order in list(itertools.permutations(range(3)))[1:]:
            assert best(cube_a.transpose(order), cube_b) < right


def test_frame_when_read_is_left_as_it_was(volume, as_column):
    frame = as_column(volume)
    before = volume.copy()
    ImageLoader(shape=(4, 4, 4)).open(frame).stack()
    np.testing.assert_array_equal(volume, before)
    pd.testing.assert_frame_equal(frame, as_column(volume))
