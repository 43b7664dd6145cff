"""Maps over the image: they add up, lie where they should, and tell what the table changes."""

import copy

import matplotlib
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, HyperFusionSurvival, survival_target
from skhyperfusion.ensemble import FoldEnsembleClassifier, FoldEnsembleRegressor, FoldEnsembleSurvival
from skhyperfusion.images import ImageLoader
from skhyperfusion.inspection import image_attribution
from skhyperfusion.inspection._captum_maps import METHODS
from skhyperfusion.nn._fusions import FUSIONS

matplotlib.use("Agg")
FAST = {"base_channels": 2, "max_epochs": 2, "device": "cpu", "random_state": 0}
# A scan turned about: axes permuted and flipped, voxels of 2 x 1.2 x 1.5 mm.
TURNED = np.array([[0, 0, -2.0, 14], [1.2, 0, 0, -8], [0, -1.5, 0, 10], [0, 0, 0, 1.0]])


def summed(found, row=0):
    return float(
        np.asanyarray(getattr(found.values.iloc[row, 0], "dataobj", found.values.iloc[row, 0])).sum()
    )


class Mean(nn.Module):
    """A backbone without a convolution: the mean of the image, and twice the voxel in the middle."""

    def __init__(self, in_channels, spatial_dims):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(in_channels))

    def forward(self, image):
        middle = image[(..., *(size // 2 for size in image.shape[2:]))]
        return self.scale * (image.flatten(2).mean(2) + 2 * middle)


@pytest.mark.parametrize("fusion", [name for name in FUSIONS if name != "tabular"])
def test_integrated_gradients_sum_to_the_gain_with_every_fusion(arrays, fusion):
    X, labels, _ = arrays
    model = HyperFusionClassifier(fusion=fusion, **FAST).fit(X, labels)
    found = image_attribution(model, X.head(2), target="high")
    p = model.predict_proba(X.head(2))[:, list(model.classes_).index("high")]
    np.testing.assert_allclose(found.prediction, np.log(p / (1 - p)), atol=1e-6)
    for row in range(2):
        map = found.values["picture"].iloc[row]
        assert map.shape == (8, 8)
        gained = found.prediction[row] - found.baseline[row]
        assert abs(map.sum() - gained) <= 0.01 * np.abs(map).sum() + 1e-5
        assert map.sum() - gained == pytest.approx(found.error[row], abs=1e-5)
    assert (found.unit, found.names, found.target) == ("log-odds of 'high'", ["picture"], "high")


def test_tolerance_decides_how_near_the_sum_is(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(**FAST | {"max_epochs": 10}).fit(X, values)
    errors = [np.abs(image_attribution(model, X.head(4), tolerance=one).error).max() for one in (0.5, 0.003)]
    assert errors[1] < errors[0]
    with pytest.warns(UserWarning, match="within tolerance=1e-12, after 1024 steps"):
        image_attribution(model, X.head(1), tolerance=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backbone", ["resnet", "vgg"])
def test_maps_of_volumes_lie_on_the_grid_of_the_scan(study, method, backbone):
    X, labels, _ = study
    model = HyperFusionClassifier(backbone=backbone, **FAST).fit(X, labels)
    rows = X.head(1)
    found = image_attribution(model, rows, method=method, target="AD")
    map, scan = found.values.loc["p00", "scan"], nib.load(rows["scan"].iloc[0])
    np.testing.assert_array_equal(map.affine, scan.affine)
    assert map.shape == scan.shape
    np.testing.assert_allclose(found.scans.loc["p00", "scan"].get_fdata(), scan.get_fdata(), atol=1e-6)
    voxels = map.get_fdata()
    assert np.isfinite(voxels).all()
    other = image_attribution(model, rows, method=method, target="CN").values.loc["p00", "scan"].get_fdata()
    assert np.ptp(voxels) + np.ptp(other) > 0  # GradCAM shows but what speaks for a class
    assert (voxels >= 0).all() or method in ("integrated_gradients", "occlusion")
    assert (found.error is None) == (method != "integrated_gradients")
    assert (found.baseline is None) == (method in ("saliency", "gradcam"))


@pytest.mark.parametrize("method", ["integrated_gradients", "saliency", "occlusion"])
@pytest.mark.parametrize(
    "loader",
    [
        {},
        {"shape": (9, 9, 9)},
        {"spacing": 1.5, "shape": (12, 10, 11)},
        {"crop": ((1, 9), (2, 9), (0, 11))},
        {"crop": "foreground", "shape": (10, 10, 10)},
    ],
    ids=str,
)
def test_marked_voxel_comes_back_to_its_place(method, loader):
    rng = np.random.default_rng(0)
    place = (6, 5, 4)
    scans = []
    for _ in range(12):
        voxels = rng.uniform(1, 1.1, (11, 11, 10)).astype(np.float32)
        voxels[place] = 60
        scans.append(nib.Nifti1Image(voxels, TURNED))
    X = pd.DataFrame({"scan": scans, "dose": rng.normal(size=12)}, dtype=object)
    model = HyperFusionRegressor(
        backbone=_Marked, image_loader=ImageLoader(intensity=None, **loader), **FAST
    ).fit(X, rng.normal(size=12))
    settings = {"window": 2} if method == "occlusion" else {}
    map = image_attribution(model, X.head(1), method=method, **settings).values.iloc[0, 0]
    np.testing.assert_array_equal(map.affine, TURNED)
    voxels = np.abs(map.get_fdata())
    centre = [(np.indices(voxels.shape)[axis] * voxels).sum() / voxels.sum() for axis in range(3)]
    np.testing.assert_allclose(centre, place, atol=0.8)


class _Marked(nn.Module):
    """A backbone that answers to bright voxels alone: those above 4."""

    def __init__(self, in_channels, spatial_dims):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(in_channels))

    def forward(self, image):
        return self.scale * (image - 4).clamp_min(0).flatten(2).sum(2)


def test_derivative_is_that_of_the_stored_voxels(arrays):
    X, _, values = arrays
    loader = ImageLoader(intensity=None, shape=(5, 6))
    model = HyperFusionRegressor(image_loader=loader, backbone=Mean, **FAST).fit(X, values)
    rows = X.head(1)
    map = image_attribution(model, rows, method="saliency").values.iloc[0, 0]
    for place in [(0, 0), (4, 4), (5, 3)]:
        moved = rows["picture"].iloc[0].astype(float).copy()
        moved[place] += 1e-3
        change = model.predict(rows.assign(picture=[moved])) - model.predict(rows)
        assert map[place] == pytest.approx(abs(change[0]) / 1e-3, rel=1e-2, abs=1e-6)


@pytest.mark.filterwarnings("ignore:Every voxel is 0")
def test_occlusion_tells_what_the_prediction_loses(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(image_loader=ImageLoader(intensity=None), backbone=Mean, **FAST)
    model.fit(X, values)
    rows = X.head(1)
    map = image_attribution(model, rows, method="occlusion", window=(8, 8), baseline="zero").values.iloc[0, 0]
    lost = model.predict(rows)[0] - model.predict(rows.assign(picture=[np.zeros((8, 8))]))[0]
    np.testing.assert_allclose(map, lost, rtol=1e-4)
    fine = image_attribution(model, rows, method="occlusion", window=1, baseline="zero").values.iloc[0, 0]
    assert np.abs(fine).argmax() == 4 * 8 + 4


@pytest.mark.filterwarnings("ignore:Every voxel is 0")
def test_baseline_is_what_the_scan_is_compared_with(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(image_loader=ImageLoader(intensity=None), **FAST).fit(X, values)
    rows = X.head(2)
    zero = image_attribution(model, rows, baseline="zero")
    np.testing.assert_allclose(
        zero.baseline, model.predict(rows.assign(picture=[np.zeros((8, 8))] * 2)), atol=1e-5
    )
    mean = image_attribution(model, rows, baseline=X)
    of_mean = model.predict(rows.assign(picture=[np.mean(np.stack(X["picture"]), axis=0)] * 2))
    np.testing.assert_allclose(mean.baseline, of_mean, atol=1e-5)
    blur = image_attribution(model, rows)
    assert not np.allclose(blur.baseline, zero.baseline)
    np.testing.assert_array_equal(blur.baseline, image_attribution(model, rows, baseline="blur").baseline)
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        image_attribution(model, rows, baseline=X.head(0))


def test_against_tells_what_the_table_changes_in_the_reading(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(**FAST | {"max_epochs": 10}).fit(X, values)
    rows = X.head(2)
    found = image_attribution(model, rows, against={"dose": 1.0})
    own, other = image_attribution(model, rows), image_attribution(model, rows.assign(dose=1.0))
    for row in range(2):
        np.testing.assert_allclose(
            found.values.iloc[row, 0], own.values.iloc[row, 0] - other.values.iloc[row, 0], atol=1e-6
        )
    np.testing.assert_allclose(found.prediction, own.prediction - other.prediction)
    assert np.abs(found.values.iloc[0, 0]).sum() > 1e-3
    same = image_attribution(model, rows.head(1), against={"dose": rows["dose"].iloc[0]})
    np.testing.assert_allclose(same.values.iloc[0, 0], 0, atol=1e-9)


def test_against_finds_nothing_where_a_model_only_adds(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(fusion="late", **FAST).fit(X, values)
    found = image_attribution(model, X.head(1), against={"dose": 3.0})
    np.testing.assert_allclose(found.values.iloc[0, 0], 0, atol=1e-9)
    assert abs(found.prediction[0]) > 1e-6


def test_against_takes_categories_and_the_rows_stay(study):
    X, labels, _ = study
    model = HyperFusionClassifier(**FAST).fit(X.astype({"sex": "category"}), labels)
    rows = X.head(2).astype({"sex": "category"})
    before = rows.copy()
    found = image_attribution(model, rows, against={"sex": "M"}, method="saliency")
    pd.testing.assert_frame_equal(rows, before)
    assert found.against == {"sex": "M"}
    with pytest.raises(ValueError, match="'scan' holds the images"):
        image_attribution(model, rows, against={"scan": "other.nii.gz"})
    with pytest.raises(ValueError, match=r"no column 'sexx'; did you mean 'sex'"):
        image_attribution(model, rows, against={"sexx": "M"})
    with pytest.raises(TypeError, match=r"with against= tells columns by their names"):
        image_attribution(model, rows.to_numpy(), against={"sex": "M"})


def test_ensembles_pipelines_and_searches_are_averages_of_their_models(arrays):
    X, labels, values = arrays
    ensemble = FoldEnsembleRegressor(HyperFusionRegressor(**FAST), cv=2).fit(X, values)
    rows = X.head(1)
    found = image_attribution(ensemble, rows)
    singly = [image_attribution(model, rows) for model in ensemble.estimators_]
    np.testing.assert_allclose(found.prediction, ensemble.predict(rows))
    np.testing.assert_allclose(
        found.values.iloc[0, 0], np.mean([one.values.iloc[0, 0] for one in singly], axis=0), atol=1e-6
    )
    pipeline = make_pipeline("passthrough", ensemble.estimators_[0])
    np.testing.assert_array_equal(
        image_attribution(pipeline, rows).values.iloc[0, 0], singly[0].values.iloc[0, 0]
    )
    search = GridSearchCV(HyperFusionRegressor(**FAST), {"hyper_depth": [0]}, cv=2).fit(X, values)
    assert image_attribution(search, rows).prediction == pytest.approx(search.predict(rows), abs=1e-6)
    classifiers = FoldEnsembleClassifier(HyperFusionClassifier(**FAST), cv=2).fit(X, labels)
    assert image_attribution(classifiers, rows, target="low").unit == "log-odds of 'low'"


@pytest.mark.parametrize("loss", ["discrete", "cox"])
def test_survival_explains_the_risk(arrays, loss):
    X, _, values = arrays
    y = survival_target(np.arange(36) % 4 > 0, np.exp(values - values.min()))
    model = HyperFusionSurvival(loss=loss, **FAST).fit(X, y)
    found = image_attribution(model, X.head(2))
    np.testing.assert_allclose(found.prediction, model.predict(X.head(2)), rtol=1e-5)
    assert (
        abs(summed(found) - (found.prediction[0] - found.baseline[0]))
        < 0.02 * np.abs(found.values.iloc[0, 0]).sum()
    )
    assert found.unit == ("risk" if loss == "discrete" else "logarithm of the risk")
    if loss == "discrete":
        ensemble = FoldEnsembleSurvival(HyperFusionSurvival(**FAST), cv=2).fit(X, y)
        risks = [model.predict(X.head(1)) for model in ensemble.estimators_]
        np.testing.assert_allclose(
            image_attribution(ensemble, X.head(1)).prediction, np.mean(risks), rtol=1e-5
        )


def test_several_outputs_classes_and_views(arrays):
    X, labels, values = arrays
    both = HyperFusionRegressor(**FAST).fit(X, np.column_stack([values, -values]))
    found = image_attribution(both, X.head(1), target=1)
    np.testing.assert_allclose(found.prediction, both.predict(X.head(1))[:, 1], atol=1e-6)
    with pytest.raises(ValueError, match="2 outputs; pass target=0"):
        image_attribution(both, X.head(1))
    three = np.where(values > 1, "much", labels)
    halved = HyperFusionClassifier(image_loader=ImageLoader(bilateral=1), **FAST).fit(X, three)
    for target in halved.classes_:
        found = image_attribution(halved, X.head(1), target=target)
        p = halved.predict_proba(X.head(1))[0, list(halved.classes_).index(target)]
        assert found.prediction[0] == pytest.approx(np.log(p / (1 - p)), abs=1e-6)
        assert found.values.iloc[0, 0].shape == (8, 8)
        gained = found.prediction[0] - found.baseline[0]
        assert abs(summed(found) - gained) <= 0.01 * np.abs(found.values.iloc[0, 0]).sum() + 1e-5
    assert image_attribution(halved, X.head(1), method="gradcam").values.iloc[0, 0].shape == (8, 8)
    assert image_attribution(halved, X.head(1)).target == halved.classes_[-1]
    with pytest.raises(ValueError, match=r"target='mush' is none of 3 labels.*did you mean 'much'"):
        image_attribution(halved, X.head(1), target="mush")


def test_two_image_columns_have_a_map_each(arrays):
    X, _, values = arrays
    X = X.assign(other=[picture[::2].T.copy() for picture in X["picture"]])
    loader = ImageLoader(shape=(8, 8))
    model = HyperFusionRegressor(image_loader=loader, **FAST).fit(X, values)
    found = image_attribution(model, X.head(1))
    assert [map.shape for map in found.values.iloc[0]] == [(8, 8), (8, 4)]
    total = sum(map.sum() for map in found.values.iloc[0])
    assert total == pytest.approx((found.prediction - found.baseline + found.error)[0], abs=1e-4)
    covered = image_attribution(model, X.head(1), method="occlusion")
    assert not np.allclose(covered.values.iloc[0, 0].mean(), covered.values.iloc[0, 1].mean())


def test_missing_images_and_colours_and_pixels(arrays):
    X, _, values = arrays
    loader = ImageLoader(missing="zeros")
    gappy = X.assign(picture=[None, *X["picture"].iloc[1:]])
    model = HyperFusionRegressor(image_loader=loader, **FAST).fit(gappy, values)
    found = image_attribution(model, gappy.head(2))
    assert found.values["picture"].iloc[0] is None
    assert found.values["picture"].iloc[1].shape == (8, 8)
    colour = X.assign(picture=[np.stack([p, 2 * p, -p], axis=2) for p in X["picture"]])
    model = HyperFusionRegressor(**FAST).fit(colour, values)
    assert image_attribution(model, colour.head(1)).values.iloc[0, 0].shape == (8, 8)
    pixels = np.stack(X["picture"]).reshape(36, 64)
    model = HyperFusionRegressor(
        fusion="image", image_columns=list(range(64)), image_loader=ImageLoader(shape=(8, 8)), **FAST
    ).fit(pixels, values)
    assert image_attribution(model, pixels[:1]).values.loc[0, "pixels"].shape == (8, 8)


def test_gradcam_reads_the_layer_that_is_named(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(fusion="image", **FAST | {"max_epochs": 6}).fit(X, values)
    default = image_attribution(model, X.head(1), method="gradcam").values.iloc[0, 0]
    same = image_attribution(model, X.head(1), method="gradcam", layer="backbone.block1.shortcut.conv")
    np.testing.assert_array_equal(default, same.values.iloc[0, 0])
    stem = image_attribution(model, X.head(1), method="gradcam", layer="backbone.stem.conv").values.iloc[0, 0]
    assert not np.allclose(stem, default)
    with pytest.raises(ValueError, match=r"no layer 'backbone.stem.cnv'; did you mean 'backbone.stem.conv'"):
        image_attribution(model, X.head(1), method="gradcam", layer="backbone.stem.cnv")
    with pytest.raises(ValueError, match=r"'head.output' gives no map"):
        image_attribution(model, X.head(1), method="gradcam", layer="head.output")
    own = HyperFusionRegressor(backbone=Mean, **FAST).fit(X, values)
    with pytest.raises(ValueError, match="reads the map of a convolution, and this backbone has none"):
        image_attribution(own, X.head(1), method="gradcam")


def test_frozen_backbone_and_steps_in_place_are_no_obstacle(arrays):
    X, _, values = arrays

    def make(in_channels, spatial_dims):
        return nn.Sequential(
            nn.Conv2d(in_channels, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3)
        )

    frozen = HyperFusionRegressor(backbone=make, frozen_layers="backbone.*", augmentation=None, **FAST)
    frozen.fit(X, values)
    assert frozen.module_.has_constant_backbone
    for method in ("integrated_gradients", "gradcam"):
        found = image_attribution(
            frozen, X.head(1), method=method, **({} if method != "gradcam" else {"layer": "backbone.0"})
        )
        assert found.prediction[0] == pytest.approx(frozen.predict(X.head(1))[0], abs=1e-6)


def test_estimator_and_random_states_stay_as_they_were(arrays):
    X, labels, _ = arrays
    model = HyperFusionClassifier(**FAST).fit(X, labels)
    before = copy.deepcopy(model.module_.state_dict())
    grads = [None if one.grad is None else one.grad.clone() for one in model.module_.parameters()]
    modes = {name: part.training for name, part in model.module_.named_modules()}
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for method in METHODS:
        with torch.no_grad():
            image_attribution(model, X.head(1), method=method)
    assert {name: part.training for name, part in model.module_.named_modules()} == modes
    for name, value in model.module_.state_dict().items():
        assert torch.equal(value, before[name])
    for parameter, grad in zip(model.module_.parameters(), grads, strict=True):
        assert parameter.requires_grad
        assert (parameter.grad is None) if grad is None else torch.equal(parameter.grad, grad)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_what_cannot_be_explained_is_refused(arrays):
    X, labels, values = arrays
    model = HyperFusionRegressor(**FAST).fit(X, values)
    tabular = HyperFusionClassifier(fusion="tabular", **FAST).fit(X, labels)
    with pytest.raises(ValueError, match=r"reads none \(fusion='tabular'\); tabular_attribution"):
        image_attribution(tabular, X)
    with pytest.raises(TypeError, match="LogisticRegression is none of this package's"):
        image_attribution(LogisticRegression().fit(X[["dose"]], labels), X)
    with pytest.raises(NotFittedError):
        image_attribution(HyperFusionRegressor(), X)
    with pytest.raises(ValueError, match=r"method='gradkam'.*did you mean 'gradcam'"):
        image_attribution(model, X, method="gradkam")
    with pytest.raises(ValueError, match="target='high' names a class or output, and there is one value"):
        image_attribution(model, X, target="high")
    for settings in ({"tolerance": 0.1}, {"window": 2}, {"layer": "backbone"}, {"baseline": "zero"}):
        with pytest.raises(ValueError, match=r"is used by method=.* alone\. Got method='saliency'"):
            image_attribution(model, X, method="saliency", **settings)
    with pytest.raises(ValueError, match="'tolerance' parameter"):
        image_attribution(model, X, tolerance=0)
    with pytest.raises(ValueError, match=r"window=9 must have|window=\(9, 9\) must have"):
        image_attribution(model, X, method="occlusion", window=9)
    with pytest.raises(ValueError, match="'against' parameter"):
        image_attribution(model, X, against="sex")
    with pytest.raises(ValueError, match=r"baseline='blurr'.*did you mean 'blur'"):
        image_attribution(model, X, baseline="blurr")
