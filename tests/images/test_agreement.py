import nibabel as nib
import numpy as np
import pytest

from skhyperfusion.images import ImageLoader, cache_info
from skhyperfusion.images._spec import ImageSpec

RAW = {"intensity": None}


def test_shapes_when_they_differ_names_the_odd_ones(as_column, volume):
    message = r"Row 'p2', column 'scan': .* shape \(5, 8, 10\); most images here are of shape \(6, 8, 10\)"
    with pytest.raises(ValueError, match=message):
        ImageLoader().open(as_column(volume, volume, volume[:5], volume))
    assert ImageLoader(shape=(4, 4, 4)).open(as_column(volume, volume[:5])).spec.shape == (4, 4, 4)


def test_spacing_when_it_differs_is_refused_or_resampled(as_column, volume):
    cells = [nib.Nifti1Image(volume, np.diag([s, 1, 1, 1])) for s in (1.0, 1.0, 1.2, 1.02)]
    message = r"Row 'p2', column 'scan': .*voxels of 1\.2 x 1 x 1 mm; most .* 1 x 1 x 1 mm\. Pass .*spacing="
    with pytest.raises(ValueError, match=message):
        ImageLoader().open(as_column(*cells))
    assert len(ImageLoader(spacing=2, shape=(4, 4, 4)).open(as_column(*cells)).stack()) == 4


def test_spacing_when_each_has_a_last_digit_of_its_own_names_the_odd_one(as_column, volume):
    cells = [nib.Nifti1Image(volume, np.diag([s, 1, 1, 1])) for s in (1.2, 1.00001, 1.00002, 1.00003)]
    message = r"^Row 'p0', column 'scan': .*voxels of 1\.2 x 1 x 1 mm; most .* 1 x 1 x 1 mm\."
    with pytest.raises(ValueError, match=message):
        ImageLoader().open(as_column(*cells))
    assert ImageLoader().open(as_column(*cells[1:])).spec.spacing == (1, 1, 1)


def test_orientation_when_kept_as_stored_must_agree(as_column, volume):
    cells = [nib.Nifti1Image(volume, np.diag([s, 1.0, 1, 1])) for s in (1, 1, -1)]
    with pytest.raises(
        ValueError, match=r"Row 'p2'.*is oriented LAS; most images here are RAS.*orientation='RAS'"
    ):
        ImageLoader(orientation=None).open(as_column(*cells))
    assert ImageLoader().open(as_column(*cells)).spec.orientation == "RAS"


def fitted(cell, as_column, **parameters):
    return ImageLoader(**parameters).open(as_column(cell)).spec


@pytest.mark.parametrize(
    ("fitted_cell", "cell", "message"),
    [
        (
            np.ones((6, 8, 10)),
            np.ones((6, 8)),
            r"is a 2-D image of shape \(6, 8\); the model was fitted on 3-D",
        ),
        (np.ones((6, 8)), np.ones((6, 8, 10)), r"is a 3-D image of shape .*; the model was fitted on 2-D"),
        (np.ones((6, 8)), np.ones((6, 8, 3)), r"has 3 channels; the model was fitted on .*channels='grey'"),
        (np.ones((6, 8, 3)), np.ones((6, 8)), r"has 1 channel; the model was fitted on .*channels='rgb'"),
        (
            np.ones((6, 8, 9)),
            np.ones((6, 8, 10)),
            r"has shape \(6, 8, 10\); the model was fitted on .*shape=",
        ),
    ],
)
def test_predict_when_image_differs_from_the_fit_is_refused(as_column, fitted_cell, cell, message):
    spec = fitted(fitted_cell, as_column)
    with pytest.raises(ValueError, match=f"Row 'p0', column 'scan': .*{message}"):
        ImageLoader().open(as_column(cell), spec=spec)


def test_predict_when_spacing_differs_is_refused_or_resampled(as_column, volume):
    fit_cell, cell = (nib.Nifti1Image(volume, np.diag([s, s, s, 1.0])) for s in (1, 2))
    with pytest.raises(ValueError, match=r"voxels of 2 x 2 x 2 mm; the model was fitted on .* 1 x 1 x 1 mm"):
        ImageLoader().open(as_column(cell), spec=fitted(fit_cell, as_column))
    loader = ImageLoader(spacing=1, shape=(6, 8, 10))
    spec = loader.open(as_column(fit_cell)).spec
    assert loader.open(as_column(cell), spec=spec).stack().shape == (1, 1, 1, 6, 8, 10)


def test_predict_when_spacing_alone_was_fitted_cuts_or_fills(as_column, volume):
    cells = [nib.Nifti1Image(v, np.eye(4)) for v in (volume, volume[:, 1:, :], np.pad(volume, 1))]
    loader = ImageLoader(spacing=1.0, **RAW)
    spec = loader.open(as_column(cells[0])).spec
    with pytest.warns(
        UserWarning, match=r"view of 2 rows: 'p1', 'p2' differs by .*\(6, 7, 10\) voxels first"
    ):
        source = loader.open(as_column(*cells), spec=spec)
    whole, short, padded = source.stack()[:, 0, 0]
    np.testing.assert_array_equal(whole, volume)
    np.testing.assert_array_equal(padded, volume)
    np.testing.assert_array_equal(
        short, np.pad(volume[:, 1:, :], ((0, 0), (0, 1), (0, 0)))[:, [7, *range(7)]]
    )


def test_predict_when_spacing_alone_was_fitted_says_nothing_of_a_voxel_more(as_column):
    loader = ImageLoader(spacing=1.0)
    cells = [nib.Nifti1Image(np.random.default_rng(0).random((n, 30, 30)), np.eye(4)) for n in (30, 31, 28)]
    spec = loader.open(as_column(cells[0])).spec
    assert loader.open(as_column(*cells), spec=spec).stack().shape == (3, 1, 1, 30, 30, 30)


@pytest.mark.parametrize("n", [29, 30, 31, 32])
def test_predict_when_spacing_and_halves_were_fitted_keeps_the_midline(as_column, n):
    voxels = np.zeros((n, 30, 30), np.float32)
    voxels[n // 2 :], voxels[: (n + 1) // 2] = 2, 1  # right, left; an odd middle belongs to the left
    loader = ImageLoader(spacing=1.0, bilateral=0, **RAW)
    spec = loader.open(as_column(nib.Nifti1Image(np.ones((30, 30, 30)), np.eye(4)))).spec
    views = loader.open(as_column(nib.Nifti1Image(voxels, np.eye(4))), spec=spec).stack()[0, :, 0]
    assert views.shape == (2, 15, 30, 30)
    assert (views[0][1:14] == 2).all()
    assert (views[1][:14] == 1).all()


def test_predict_when_spacing_alone_was_fitted_shares_what_the_fit_has_decoded(save_nifti, as_column, volume):
    frame = as_column(save_nifti(volume))
    loader = ImageLoader(spacing=1.0)
    source = loader.open(frame)
    source.stack()
    loader.open(frame, spec=source.spec).stack()
    assert cache_info()["decoded"] == 1
    other = as_column(save_nifti(np.pad(volume, ((0, 1), (0, 0), (0, 0))), "b.nii"))
    with pytest.warns(UserWarning, match="differs by more than a tenth"):
        loader.open(other, spec=source.spec).stack()
    with pytest.warns(UserWarning, match="differs by more than a tenth"):  # planned before
        loader.open(other, spec=source.spec).stack()
    info = cache_info()
    assert (info["decoded"], info["images"]) == (2, 2)
    assert loader.open(other).spec.shape == (7, 8, 10)  # as it is, where no model asks for another shape


def test_predict_when_spacing_and_a_function_to_crop_were_fitted_cuts_each_view(as_column, volume):
    def crop(voxels):
        return [[(0, n) for n in voxels.shape[1:]]] * 2

    loader = ImageLoader(spacing=1.0, crop=crop, **RAW)
    spec = loader.open(as_column(nib.Nifti1Image(volume, np.eye(4)))).spec
    source = loader.open(as_column(nib.Nifti1Image(np.pad(volume, 1), np.eye(4))), spec=spec)
    np.testing.assert_array_equal(source.stack()[0, :, 0], [volume, volume])


@pytest.mark.parametrize(
    ("parameters", "cell", "message"),
    [
        (
            {},
            np.ones((6, 8, 9)),
            r"on images of shape \(6, 8, 10\)\. Drop the row, or bring it to that shape; a",
        ),
        ({"channels": "rgb"}, np.ones((6, 8, 10, 2)), r"has 2 channels, and channels='rgb'"),
        (
            {},
            np.ones((6, 8, 10, 2)),
            r"fitted on images of 1 channel\. Drop the row, or convert it to 1 chan",
        ),
        (
            {"crop": lambda v: [[(0, 2)] * 3] * 2},
            np.ones((6, 8, 10)),
            r"gives 2 views, and the others give 1 view\. Let .*crop",
        ),
    ],
)
def test_predict_when_refused_gives_advice_that_a_fitted_model_can_take(as_column, parameters, cell, message):
    shape = (2, 2, 2) if "crop" in parameters else (6, 8, 10)
    spec = ImageSpec(shape, n_channels=3 if "channels" in parameters else 1)
    with pytest.raises(ValueError, match=message):
        ImageLoader(**parameters).open(as_column(cell), spec=spec).stack()


def test_predict_when_orientation_differs_is_turned(as_column, volume):
    spec = fitted(nib.Nifti1Image(volume, np.eye(4)), as_column, **RAW)
    source = ImageLoader(**RAW).open(as_column(nib.Nifti1Image(volume, np.diag([-1.0, 1, 1, 1]))), spec=spec)
    np.testing.assert_array_equal(source.stack()[0, 0, 0], volume[::-1])
    assert source.spec is spec
