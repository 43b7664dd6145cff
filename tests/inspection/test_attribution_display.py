"""The picture of an attribution: which slices of map and scan it holds, and in what colours."""

import matplotlib
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from skhyperfusion import HyperFusionRegressor
from skhyperfusion.inspection import AttributionDisplay
from skhyperfusion.inspection._answers import Findings

matplotlib.use("Agg")
FAST = {"base_channels": 2, "max_epochs": 1, "device": "cpu", "random_state": 0}
AFFINE = np.array([[-2.0, 0, 0, 10], [0, 0, 3, -9], [0, 2, 0, -4], [0, 0, 0, 1]])  # L, S, A


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def attribution(image=nib.Nifti1Image, **changed):
    """What was found for two rows: a map that is largest at voxel (1, 4, 2), over a scan of random voxels."""
    rng = np.random.default_rng(0)
    map, scan = rng.normal(size=(6, 7, 5)), rng.uniform(1, 2, (6, 7, 5))
    map[1, 4, 2] = -9
    make = (lambda voxels: image(voxels, AFFINE)) if image is nib.Nifti1Image else image
    tables = [
        pd.DataFrame({"t1": [make(one), None]}, index=["p1", "p2"], dtype=object) for one in (map, scan)
    ]
    found = Findings(
        values=tables[0],
        scans=tables[1],
        prediction=np.array([1.5, 0]),
        baseline=np.array([0.5, 0]),
        names=["t1"],
        unit="log-odds of 'AD'",
        method="integrated_gradients",
        against=None,
    )
    found.update(changed)
    return found


def test_planes_cut_the_largest_value_and_name_the_sides():
    found = attribution()
    display = AttributionDisplay(found).plot()
    np.testing.assert_allclose(display.at_, nib.affines.apply_affine(AFFINE, (1, 4, 2)))
    assert [axes.get_title() for axes in display.axes_] == ["x = 8", "y = -3", "z = 4"]
    turned = nib.as_closest_canonical(found.values.iloc[0, 0]).get_fdata()
    place = np.unravel_index(np.abs(turned).argmax(), turned.shape)
    for axis, axes in enumerate(display.axes_):
        scan, map = axes.get_images()
        np.testing.assert_allclose(map.get_array(), np.take(turned, place[axis], axis=axis).T)
        assert scan.get_cmap().name == "gray"
        np.testing.assert_allclose(map.get_alpha(), np.clip(np.abs(map.get_array()) / map.norm.vmax, 0, 1))
        assert [text.get_text() for text in axes.texts] == ([] if axis == 0 else ["L", "R"])
    assert display.ax_.get_title() == "p1: log-odds of 'AD', 1.5 (of the baseline 0.5)"
    assert display.figure_.axes[-1].get_ylabel() == "added by a voxel"
    np.testing.assert_allclose(display.axes_[1].get_images()[0].axes.get_aspect(), 2 / 2)
    np.testing.assert_allclose(display.axes_[0].get_aspect(), 2 / 3)


def test_place_mosaic_colours_and_axes_are_the_users():
    _, own = plt.subplots()
    display = AttributionDisplay(attribution()).plot(at=(4, -6, 0), cmap="viridis", vmax=3.0, ax=own)
    assert [axes.get_title() for axes in display.axes_] == ["x = 4", "y = -6", "z = 0"]
    map = display.axes_[0].get_images()[1]
    assert (map.get_cmap().name, map.norm.vmin, map.norm.vmax, display.ax_) == ("viridis", -3.0, 3.0, own)
    mosaic = AttributionDisplay(attribution()).plot(mosaic=4)
    assert len(mosaic.axes_) == 4
    assert all(axes.get_title().startswith("z = ") for axes in mosaic.axes_)
    smooth = AttributionDisplay(attribution()).plot(smooth=1.0, at=(4, -6, 0))
    assert np.ptp(smooth.axes_[0].get_images()[1].get_array()) < np.ptp(map.get_array())


def test_maps_without_signs_and_without_affine_and_of_pictures():
    display = AttributionDisplay(attribution(np.abs, method="saliency", baseline=None)).plot()
    assert display.at_ == (1, 4, 2)
    map = display.axes_[0].get_images()[1]
    assert (map.get_cmap().name, map.norm.vmin) == ("inferno", 0)
    assert len(display.axes_[1].texts) == 0
    assert display.ax_.get_title() == "p1: log-odds of 'AD', 1.5"
    picture = AttributionDisplay(attribution(lambda voxels: voxels[:, :, 0], against={"sex": "M"})).plot()
    assert [len(axes.get_images()) for axes in picture.axes_] == [2]
    assert picture.axes_[0].get_images()[1].get_array().shape == (6, 7)
    assert picture.ax_.get_title() == "p1: log-odds of 'AD', 1.5 more than with sex=M"
    assert picture.figure_.axes[-1].get_ylabel() == "added by a voxel, difference"


def test_what_cannot_be_drawn_is_refused():
    display = AttributionDisplay(attribution())
    with pytest.raises(ValueError, match=r"row 'p2' has no image in column 't1'"):
        display.plot(row=1)
    with pytest.raises(ValueError, match=r"at=\(90, 0, 0\) lies outside of the scan"):
        display.plot(at=(90, 0, 0))
    for name, value in {"row": 2, "mosaic": 0, "smooth": -1}.items():
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            display.plot(**{name: value})
    with pytest.raises(ValueError, match=r"image='t2' is none"):
        display.plot(image="t2")
    with pytest.raises(ValueError, match=r"engine='nilern'.*did you mean 'nilearn'"):
        display.plot(engine="nilern")


def test_from_estimator_explains_the_row_that_is_asked_for(study):
    X, _, values = study
    model = HyperFusionRegressor(**FAST).fit(X, values)
    display = AttributionDisplay.from_estimator(
        model, X, method="gradcam", row=3, layer="backbone.stem.conv", mosaic=2
    )
    assert list(display.attribution.values.index) == ["p03"]
    assert len(display.axes_) == 2
    with pytest.raises(ValueError, match="'row' parameter"):
        AttributionDisplay.from_estimator(model, X, row=40)
    against = AttributionDisplay.from_estimator(
        model, X, baseline="zero", tolerance=0.1, against={"sex": "M"}, at=(8, 8, 8), vmax=1.0, cmap="PuOr"
    )
    assert against.attribution.against == {"sex": "M"}
    assert against.axes_[0].get_images()[1].norm.vmax == 1.0


@pytest.mark.slow  # nilearn takes seconds to import
@pytest.mark.filterwarnings("ignore")  # of nilearn and what it imports
def test_nilearn_draws_where_it_is_asked_for():
    pytest.importorskip("nilearn")
    display = AttributionDisplay(attribution()).plot(engine="nilearn", at=(4, -6, 0))
    assert set(display.nilearn_.axes) == {"x", "y", "z"}
    assert len(AttributionDisplay(attribution()).plot(engine="nilearn", mosaic=3).nilearn_.axes) == 3
    with pytest.raises(ValueError, match="draws volumes, and this is a picture"):
        AttributionDisplay(attribution(lambda voxels: voxels[0])).plot(engine="nilearn")
