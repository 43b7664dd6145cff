"""What generated weights do: the column that matters is found, in its effect and in its interaction."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, HyperFusionSurvival, survival_target
from skhyperfusion.datasets import make_head_pictures
from skhyperfusion.ensemble import FoldEnsembleRegressor
from skhyperfusion.images import ImageLoader
from skhyperfusion.inspection import ModulationDisplay, weight_modulation
from skhyperfusion.inspection._answers import Findings

matplotlib.use("Agg")
FAST = {"base_channels": 2, "max_epochs": 1, "device": "cpu", "random_state": 0}
LAYER = "backbone.block4.shortcut.conv"


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def linear():
    """Rows whose value is the brightness of the picture, and twice the dose: (X, fitted model)."""
    rng = np.random.default_rng(0)
    bright, dose = rng.normal(size=(2, 80))
    X = pd.DataFrame(
        {"picture": list(rng.normal(size=(80, 8, 8)) / 4 + bright[:, None, None]), "dose": dose},
        index=[f"p{i}" for i in range(80)],
    )
    X["sex"] = rng.choice(["F", "M"], 80)
    X["noise"] = rng.normal(size=80)
    loader = ImageLoader(intensity=None)
    model = HyperFusionRegressor(
        **FAST | {"max_epochs": 40, "base_channels": 4}, image_loader=loader, augmentation=None
    )
    return X, model.fit(X, bright + 2 * dose + rng.normal(size=80) / 10)


def test_column_that_matters_is_found_and_noise_is_about_nothing(linear):
    X, model = linear
    before = X.copy()
    found = weight_modulation(model, X, random_state=0)
    assert found.names == ["dose", "sex", "noise"]
    assert list(found.values.index) == [LAYER] == list(found.spread.index)
    assert found.share.loc[LAYER, "dose"] > 0.95
    assert found.values.loc[LAYER, "dose"] == pytest.approx(2 / np.sqrt(5), abs=0.15)  # its part of the truth
    assert found.share.sum(axis=1).loc[LAYER] == pytest.approx(1)
    assert found.spread[LAYER] == pytest.approx(found.values.loc[LAYER, "dose"], abs=0.1)
    assert found.interaction.loc[LAYER, "dose"] < 0.4 * found.values.loc[LAYER, "dose"]  # it only adds
    pd.testing.assert_frame_equal(X, before)
    pd.testing.assert_frame_equal(weight_modulation(model, X, random_state=0).values, found.values)
    assert not weight_modulation(model, X, random_state=1).values.equals(found.values)


def test_effects_are_those_of_predictions_with_other_rows_tables(linear):
    X, model = linear
    found = weight_modulation(model, X.head(2), n_pairs=1, n_images=2, random_state=0)
    one, two = X.iloc[[0, 0]].copy(), X.iloc[[0, 0]].copy()
    scans = X["picture"].iloc[:2].tolist()
    swapped = one.assign(picture=scans), two.assign(picture=scans, dose=X["dose"].iloc[1])
    other = X.iloc[[1, 1]].assign(picture=scans), X.iloc[[1, 1]].assign(picture=scans, dose=X["dose"].iloc[0])
    sd = model.predict(X.head(2)).std()
    wanted = []
    for without, with_ in (swapped, other):
        moved = model.predict(with_) - model.predict(without)
        wanted.append((np.sqrt((moved**2).mean() / 2) / sd, moved.std() / np.sqrt(2) / sd))
    got = found.values.loc[LAYER, "dose"], found.interaction.loc[LAYER, "dose"]
    assert any(got == pytest.approx(one, rel=1e-3) for one in wanted)  # whichever row was drawn first


@pytest.mark.slow
def test_column_that_changes_the_reading_is_told_from_noise():
    cohort = make_head_pictures(200, shape=(20, 27), random_state=0)
    model = HyperFusionRegressor(base_channels=4, max_epochs=40, random_state=0)
    found = weight_modulation(model.fit(cohort.data, cohort.target), cohort.data, random_state=0)
    assert found.share.loc[LAYER, "pixel_mm"] > 0.9
    interaction = found.interaction.loc[LAYER]
    assert interaction["pixel_mm"] > 4 * interaction[["gain", "operator"]].max()
    assert interaction["pixel_mm"] > 0.1


@pytest.mark.parametrize("backbone", ["resnet", "vgg"])
def test_layers_of_volumes_are_compared_with_and_without_reuse(study, backbone, monkeypatch):
    X, labels, _ = study
    model = HyperFusionClassifier(
        backbone=backbone, external_layers=["head.output", "backbone.*conv1"], hyper_depth=1, **FAST
    ).fit(X, labels)
    found = weight_modulation(model, X, n_pairs=3, n_images=4, random_state=0)
    assert tuple(found.values.index) == model.external_layers_
    assert found.names == ["age", "sex", "apoe4"]
    assert (found.values >= 0).to_numpy().all()
    assert ((found.interaction - found.values) <= 1e-9).to_numpy().all()
    assert found.map.index.equals(X.index)
    assert found.data.shape == (40, 3)
    monkeypatch.setattr("skhyperfusion.inspection._modulation.outputs_before", lambda *_: {})
    again = weight_modulation(model, X, n_pairs=3, n_images=4, random_state=0)
    pd.testing.assert_frame_equal(again.values, found.values)


def test_ensembles_pipelines_survival_and_missing_images(arrays):
    X, _, values = arrays
    ensemble = FoldEnsembleRegressor(HyperFusionRegressor(**FAST), cv=2).fit(X, values)
    few = {"n_pairs": 2, "n_images": 3, "random_state": 0}
    found = weight_modulation(ensemble, X, **few)
    singly = [weight_modulation(model, X, **few).values ** 2 for model in ensemble.estimators_]
    pd.testing.assert_frame_equal(found.values**2, sum(singly) / 2)
    pipeline = make_pipeline("passthrough", ensemble.estimators_[0])
    pd.testing.assert_frame_equal(
        weight_modulation(pipeline, X, columns=["noise"], **few).values,
        weight_modulation(ensemble.estimators_[0], X, columns=["noise"], **few).values,
    )
    y = survival_target(np.ones(36, bool), np.exp(values))
    assert weight_modulation(HyperFusionSurvival(**FAST).fit(X, y), X, **few).values.shape == (1, 2)
    gappy = X.assign(picture=[None, *X["picture"].iloc[1:]])
    model = HyperFusionRegressor(image_loader=ImageLoader(missing="zeros", bilateral=0), **FAST)
    assert np.isfinite(weight_modulation(model.fit(gappy, values), gappy, **few).spread).all()


def test_estimator_and_random_states_stay_as_they_were(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(**FAST).fit(X, values)
    before = {name: value.clone() for name, value in model.module_.state_dict().items()}
    state = torch.get_rng_state()
    weight_modulation(model, X, n_pairs=2)
    assert all(torch.equal(value, before[name]) for name, value in model.module_.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_what_cannot_be_measured_is_refused(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(**FAST).fit(X, values)
    for fusion, why in {"concat": "generates none", "reverse": "generates weights from the image"}.items():
        other = HyperFusionRegressor(fusion=fusion, **FAST).fit(X, values)
        with pytest.raises(ValueError, match=f"fusion='{fusion}' {why}"):
            weight_modulation(other, X)
    with pytest.raises(ValueError, match=r"no column 'dos'; did you mean 'dose'"):
        weight_modulation(model, X, columns=["dos"])
    with pytest.raises(ValueError, match="needs two at least"):
        weight_modulation(model, X.head(1))
    with pytest.raises(TypeError, match="needs a DataFrame"):
        weight_modulation(model, X.to_numpy())
    for name in ("n_pairs", "n_images"):
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            weight_modulation(model, X, **{name: 0})
    with pytest.raises(NotFittedError):
        weight_modulation(HyperFusionRegressor(), X)
    with pytest.raises(ValueError, match="does not tell which columns"):
        weight_modulation(make_pipeline("passthrough", model), X)


def test_display_draws_effects_and_the_embedding(linear):
    X, model = linear
    display = ModulationDisplay.from_estimator(model, X, n_pairs=5, n_images=4, random_state=0)
    found = display.modulation
    broad, narrow = display.ax_.containers
    np.testing.assert_allclose([bar.get_width() for bar in broad], found.values.loc[LAYER])
    np.testing.assert_allclose([bar.get_width() for bar in narrow], found.interaction.loc[LAYER])
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == ["dose", "sex", "noise"]
    _, own = plt.subplots()
    display.plot(kind="embedding", ax=own)
    assert display.ax_ is own
    (points,) = own.collections
    np.testing.assert_allclose(points.get_offsets(), found.map)
    np.testing.assert_allclose(points.get_array(), X["dose"])  # the largest effect
    assert own.get_xlabel().startswith("first component of the embedding (")
    by_sex = display.plot(kind="embedding", color="sex")
    assert [text.get_text() for text in by_sex.ax_.get_legend().get_texts()] == ["F", "M"]
    assert len(by_sex.ax_.collections) == 2
    with pytest.raises(ValueError, match=r"kind='colums'.*did you mean 'columns'"):
        display.plot(kind="colums")
    with pytest.raises(ValueError, match=r"color='age' is none"):
        display.plot(kind="embedding", color="age")


def test_embedding_of_one_column_has_one_component():
    found = Findings(
        values=pd.DataFrame({"sex": [1.0]}, index=["head.output"]),
        map=pd.DataFrame({"first": [0.0, 1.0], "second": 0.0}),
        explained=np.array([1.0, 0.0]),
        data=pd.DataFrame({"sex": ["F", None]}),
        names=["sex"],
    )
    display = ModulationDisplay(found).plot(kind="embedding")
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["F", "missing"]
