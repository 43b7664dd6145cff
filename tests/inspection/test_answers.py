"""Profiles, attribution by column, and training curves: the truth of a small study is found."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, HyperFusionSurvival, survival_target
from skhyperfusion.ensemble import FoldEnsembleRegressor
from skhyperfusion.inspection import (
    ConditioningDisplay,
    TrainingDisplay,
    conditioning_profile,
    tabular_attribution,
)

matplotlib.use("Agg")
FAST = {"base_channels": 2, "max_epochs": 60, "device": "cpu", "random_state": 0}


@pytest.fixture(scope="module")
def rows():
    """60 rows whose value rises with the dose and falls for men; noise has no part: (X, values)."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "picture": list(rng.normal(size=(60, 8, 8)).astype(np.float32)),
            "dose": rng.normal(size=60),
            "sex": rng.choice(["F", "M"], 60),
            "noise": rng.normal(size=60),
        },
        index=[f"p{i:02d}" for i in range(60)],
    )
    return X, 2 * X["dose"].to_numpy() - 1.5 * (X["sex"] == "M").to_numpy()


@pytest.fixture(scope="module")
def regressor(rows):
    X, values = rows
    return HyperFusionRegressor(fusion="concat", **FAST).fit(X, values)


def test_profile_follows_the_true_effect(rows, regressor):
    X, _ = rows
    before = X.copy()
    profile = conditioning_profile(regressor, X, "dose", grid=[-1.0, 0.0, 1.0])
    assert profile.values.shape == (60, 3, 1)
    np.testing.assert_allclose(profile.mean, profile.values.mean(axis=0))
    assert np.all(np.diff(profile.mean[:, 0]) > 0.8), profile.mean  # the truth: 2
    flat = conditioning_profile(regressor, X, "noise", grid=[-1.0, 0.0, 1.0])
    assert np.ptp(flat.mean) < 0.5
    pd.testing.assert_frame_equal(X, before)


def test_profile_of_a_row_at_its_own_value_is_its_prediction(rows, regressor):
    X, _ = rows
    profile = conditioning_profile(regressor, X.head(1), "dose", grid=[X["dose"].iloc[0]])
    np.testing.assert_allclose(profile.values[0, 0], regressor.predict(X.head(1)))


def test_profile_by_default_takes_quantiles_and_categories(rows, regressor):
    X, _ = rows
    profile = conditioning_profile(regressor, X, "dose", n_grid=5)
    np.testing.assert_allclose(profile.grid, np.quantile(X["dose"], np.linspace(0.05, 0.95, 5)))
    by_sex = conditioning_profile(regressor, X, "sex")
    assert by_sex.grid == ["F", "M"]
    assert by_sex.mean[0, 0] > by_sex.mean[1, 0]


def test_profile_of_other_models(rows):
    X, values = rows
    classifier = HyperFusionClassifier(**FAST).fit(X, np.where(values > 0, "high", "low"))
    profile = conditioning_profile(make_pipeline("passthrough", classifier), X, "dose", n_grid=3)
    assert profile.names == ["high", "low"]
    np.testing.assert_allclose(profile.values.sum(axis=2), 1)
    y = survival_target(np.ones(60, bool), np.exp(-values))
    survival = conditioning_profile(HyperFusionSurvival(**FAST).fit(X, y), X, "dose", grid=[-1, 1])
    assert survival.mean[1, 0] > survival.mean[0, 0]  # the higher the dose, the sooner
    small = HyperFusionRegressor(**(FAST | {"max_epochs": 1}))
    ensemble = FoldEnsembleRegressor(small, cv=2).fit(X, values)
    assert conditioning_profile(ensemble, X, "sex").values.shape == (60, 2, 1)


def test_profile_gives_a_category_that_these_rows_lack_its_own_prediction(rows, regressor):
    X, _ = rows
    women = X[X["sex"] == "F"].astype({"sex": "category"})
    profile = conditioning_profile(regressor, women, "sex", grid=["F", "M", None])
    for place, value in enumerate(["F", "M", None]):
        alone = women.assign(sex=pd.Series([value] * len(women), women.index, dtype=object))
        np.testing.assert_allclose(profile.values[:, place, 0], regressor.predict(alone))


def test_profile_gives_a_gap_among_true_and_false_its_own_prediction(rows):
    X, values = rows
    X = X.assign(treated=X["sex"] == "F").drop(columns="sex")
    model = HyperFusionRegressor(fusion="tabular", **FAST).fit(X, values)
    profile = conditioning_profile(model, X, "treated", grid=[True, False, None])
    for place, value in enumerate([True, False, np.nan]):
        np.testing.assert_allclose(profile.values[:, place, 0], model.predict(X.assign(treated=float(value))))
    assert len(set(profile.mean[:, 0])) == 3
    with pytest.raises(ValueError, match=r"column 'treated': 'no' is not a number"):
        conditioning_profile(model, X, "treated", grid=["no"])


def test_profile_refuses_what_is_no_column(rows, regressor):
    X, _ = rows
    with pytest.raises(ValueError, match=r"no column 'dosis'; did you mean 'dose'"):
        conditioning_profile(regressor, X, "dosis")
    with pytest.raises(ValueError, match="'dose' of X holds no value"):
        conditioning_profile(regressor, X.assign(dose=np.nan), "dose")
    with pytest.raises(ValueError, match="holds no value"):
        conditioning_profile(regressor, X, "dose", grid=[])
    with pytest.raises(TypeError, match=r"needs a DataFrame\. Got a ndarray"):
        conditioning_profile(regressor, X.to_numpy(), "dose")
    with pytest.raises(ValueError, match="at least one row"):
        conditioning_profile(regressor, X.head(0), "dose")
    with pytest.raises(ValueError, match="'n_grid' parameter"):
        conditioning_profile(regressor, X, "dose", n_grid=1)
    with pytest.raises(NotFittedError):
        conditioning_profile(HyperFusionRegressor(), X, "dose")


def test_conditioning_display_draws_rows_and_mean(rows, regressor):
    X, values = rows
    display = ConditioningDisplay.from_estimator(regressor, X, "dose", grid=[-1, 0, 1])
    assert len(display.lines_) == 61
    np.testing.assert_allclose(display.lines_[-1].get_ydata(), display.profile.mean[:, 0])
    assert display.ax_.get_xlabel() == "dose"
    classifier = HyperFusionClassifier(**FAST).fit(X, np.where(values > 0, "high", "low"))
    display = ConditioningDisplay.from_estimator(classifier, X, "sex", target="high", ax=display.ax_)
    assert display.ax_.get_ylabel() == "probability of high"
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["F", "M"]
    with pytest.raises(ValueError, match="target='hihg'"):
        display.plot(target="hihg")


def test_attribution_sums_to_the_prediction_and_finds_the_columns(rows, regressor):
    X, _ = rows
    before = X.copy()
    found = tabular_attribution(regressor, X.head(10), background=X, n_permutations=10, random_state=0)
    assert found.names == ["dose", "sex", "noise"]
    np.testing.assert_allclose(found.baseline + found.values.sum(axis=1), found.prediction, atol=1e-6)
    np.testing.assert_allclose(found.prediction[:, 0], regressor.predict(X.head(10)))
    size = np.abs(found.values).mean(axis=(0, 2))
    assert size[0] > 3 * size[2]
    assert size[1] > size[2]
    assert np.corrcoef(found.values[:, 0, 0], X["dose"].head(10))[0, 1] > 0.9
    pd.testing.assert_frame_equal(X, before)
    again = tabular_attribution(regressor, X.head(10), background=X, n_permutations=10, random_state=0)
    np.testing.assert_array_equal(again.values, found.values)
    other = tabular_attribution(regressor, X.head(10), background=X, n_permutations=10, random_state=1)
    assert not np.array_equal(other.values, found.values)


def test_attribution_of_a_lone_column_is_the_whole_difference(rows, regressor):
    X, _ = rows
    found = tabular_attribution(
        regressor, X.head(4), columns=["dose"], background=X.tail(1), n_permutations=1
    )
    np.testing.assert_allclose(
        found.baseline[:, 0], regressor.predict(X.head(4).assign(dose=X["dose"].iloc[-1]))
    )
    np.testing.assert_allclose(found.values[:, 0, 0], (found.prediction - found.baseline)[:, 0], atol=1e-9)


def test_attribution_of_a_classifier_and_an_ensemble(rows):
    X, values = rows
    classifier = HyperFusionClassifier(**FAST).fit(X, np.where(values > 0, "high", "low"))
    found = tabular_attribution(classifier, X.head(3), n_permutations=2)
    assert found.classes == ["high", "low"]
    np.testing.assert_allclose(found.values.sum(axis=2), 0, atol=1e-9)
    small = HyperFusionRegressor(**(FAST | {"max_epochs": 1}))
    ensemble = FoldEnsembleRegressor(small, cv=2).fit(X, values)
    assert tabular_attribution(ensemble, X.head(3), n_permutations=1).values.shape == (3, 3, 1)


def test_attribution_refuses_a_model_without_a_table(rows):
    X, values = rows
    image = HyperFusionRegressor(fusion="image", **(FAST | {"max_epochs": 1})).fit(X, values)
    with pytest.raises(ValueError, match="reads no column of the table"):
        tabular_attribution(image, X)
    with pytest.raises(ValueError, match=r"does not tell which columns are the table's. Pass columns="):
        tabular_attribution(make_pipeline("passthrough", image), X)
    with pytest.raises(ValueError, match="'n_permutations' parameter"):
        tabular_attribution(image, X, n_permutations=0)


def test_training_display_draws_losses_score_and_the_epoch_kept(rows):
    X, values = rows
    model = HyperFusionRegressor(early_stopping=True, validation_fraction=0.2, monitor="r2", **FAST)
    display = TrainingDisplay.from_estimator(make_pipeline("passthrough", model.fit(X, values)))
    labels = [line.get_label() for line in display.ax_.get_lines()]
    assert labels[:2] == ["training loss", "loss of the rows held out"] or "training loss" in labels
    assert "r2 of the rows held out" in labels
    assert labels[-1] == f"epoch kept: {model.best_epoch_}"
    np.testing.assert_array_equal(display.rate_ax_.get_lines()[0].get_ydata(), model.history_["lr"])
    ensemble = FoldEnsembleRegressor(HyperFusionRegressor(**(FAST | {"max_epochs": 1})), cv=2).fit(X, values)
    with pytest.raises(TypeError, match=r"has none\. Of an ensemble"):
        TrainingDisplay.from_estimator(ensemble)
