import nibabel as nib
import numpy as np
import pytest

from skhyperfusion.images import ImageLoader

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


def test_predict_when_orientation_differs_is_turned(as_column, volume):
    spec = fitted(nib.Nifti1Image(volume, np.eye(4)), as_column, **RAW)
    source = ImageLoader(**RAW).open(as_column(nib.Nifti1Image(volume, np.diag([-1.0, 1, 1, 1]))), spec=spec)
    np.testing.assert_array_equal(source.stack()[0, 0, 0], volume[::-1])
    assert source.spec is spec
