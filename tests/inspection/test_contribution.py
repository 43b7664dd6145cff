"""What images and table contribute: known where the rule is written down, and found."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import NotFittedError
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.pipeline import make_pipeline

from skhyperfusion import (
    HyperFusionClassifier,
    HyperFusionRegressor,
    HyperFusionSurvival,
    TabularPreprocessor,
    survival_target,
)
from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.ensemble import FoldEnsembleClassifier, FoldEnsembleRegressor, FoldEnsembleSurvival
from skhyperfusion.inspection import ContributionDisplay, modality_contribution

matplotlib.use("Agg")
FAST = {"base_channels": 2, "max_epochs": 1, "device": "cpu", "random_state": 0}
MEDIUM = {"n_repeats": 4, "n_resamples": 60, "random_state": 0}
QUICK = {"n_repeats": 2, "n_resamples": 10, "random_state": 0}


class Rule(RegressorMixin, BaseEstimator):
    """Predicts by a rule of the brightness of the picture and of the dose."""

    def __init__(self, rule=None):
        self.rule = rule

    def predict(self, X):
        light = np.array([picture.mean() for picture in X["picture"]])
        return self.rule(light, X["dose"].to_numpy())

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y):
        return self


class Threshold(ClassifierMixin, Rule):
    """Says "bright" or "dark"."""

    classes_ = np.array(["bright", "dark"])

    def predict(self, X):
        return np.where(super().predict(X) > 0, "bright", "dark")


@pytest.fixture(scope="module")
def pictures():
    """300 rows of independent, standard normal brightness and dose: (X, brightness, dose)."""
    rng = np.random.default_rng(0)
    light, dose = rng.normal(size=(2, 300))
    X = pd.DataFrame(
        {"picture": list(np.ones((300, 4, 4)) * light[:, None, None]), "dose": dose},
        index=[f"p{i:03d}" for i in range(300)],
    )
    return X, light, dose


def test_contribution_of_a_sum_is_twice_each_part_of_the_variance(pictures):
    X, light, dose = pictures
    y = 2 * light + dose
    model = Rule(lambda light, dose: 2 * light + dose)
    found = modality_contribution(
        model, X, y, "neg_mean_squared_error", n_repeats=8, n_resamples=40, random_state=0
    )
    assert found.names == ["images", "table", "both", "interaction"]
    truth = np.array([2 * 4 * light.var(), 2 * dose.var(), 2 * y.var(), -8 * np.cov(light, dose)[0, 1]])
    np.testing.assert_allclose(found.values, truth, rtol=0.15, atol=0.15)
    assert np.all(found.interval[:, 0] < truth)
    assert np.all(truth < found.interval[:, 1])
    assert found.score == 0
    assert found.scoring == "neg_mean_squared_error"


def test_interaction_when_the_table_turns_the_picture_round_is_positive(pictures):
    X, light, dose = pictures
    X = X.assign(dose=np.sign(dose))
    found = modality_contribution(Rule(lambda light, dose: light * dose), X, light * X["dose"], **MEDIUM)
    assert found.interval[3, 0] > 1.5  # of R2 = 1 each alone loses 2, and both together 2
    np.testing.assert_allclose(found.values[:3], 2, atol=0.25)


def test_interaction_when_both_tell_the_same_is_negative(pictures):
    X, light, _ = pictures
    model = Rule(lambda light, dose: (light + dose) / 2)
    found = modality_contribution(model, X.assign(dose=light), light, **MEDIUM)
    assert found.interval[3, 1] < -0.5


def test_contribution_of_a_noise_table_covers_zero_by_subjects_and_not_by_permutations(pictures):
    X, light, _ = pictures
    y = light + np.random.default_rng(1).normal(size=300)
    covered, missed = 0, 0
    for seed in range(6):
        rows = np.random.default_rng(seed).choice(300, 80, replace=False)
        model = Rule(lambda light, dose: light + 0.5 * dose)  # has taken noise for signal
        found = modality_contribution(
            model, X.iloc[rows], y[rows], n_repeats=5, n_resamples=50, random_state=seed
        )
        low, high = found.interval[1]
        covered += low <= 0 <= high
        mean, error = found.repeats[:, 1].mean(), found.repeats[:, 1].std(ddof=1) / np.sqrt(5)
        missed += abs(mean) > 1.96 * error
        assert found.interval[0, 0] > 0
    assert covered >= 5
    assert missed >= 3  # what an interval of permutations alone would say


@pytest.mark.slow
def test_contribution_in_a_cohort_whose_table_is_noise_covers_zero():
    cohort = make_brain_cohort(
        260, shape=(12, 12, 12), task="age", table_informative=False, image_noise=0.01, random_state=0
    )
    model = HyperFusionRegressor(
        base_channels=4, max_epochs=12, augmentation=None, dropout=0.0, lr=4e-3, device="cpu", random_state=0
    )
    X, y = cohort.data, cohort.target
    model.fit(X[:160], y[:160])
    found = modality_contribution(model, X[160:], y[160:], n_resamples=100, random_state=0)
    assert found.interval[1, 0] <= 0 <= found.interval[1, 1], found.interval
    assert found.interval[0, 0] > 0, found.interval


def test_rows_of_a_subject_stay_together(pictures):
    X, light, _ = pictures
    subject = np.repeat(np.arange(100), 3)
    of_subject = light[::3].repeat(3)
    X = X.assign(picture=list(np.ones((300, 4, 4)) * of_subject[:, None, None]), id=subject)
    model = Rule(lambda light, dose: light)
    kept = modality_contribution(model, X, of_subject, groups=subject, **QUICK)
    assert kept.n_subjects == 100
    assert modality_contribution(model, X, of_subject, **QUICK).n_subjects == 300
    wide = np.ptp(modality_contribution(model, X, of_subject, groups=subject, **MEDIUM).interval[0])
    narrow = np.ptp(modality_contribution(model, X, of_subject, **MEDIUM).interval[0])
    assert wide > 1.3 * narrow  # the truth: 3 ** .5
    own = HyperFusionRegressor(group_column="id", **FAST).fit(X, of_subject)
    assert modality_contribution(own, X, of_subject, **QUICK).n_subjects == 100
    with pytest.raises(ValueError, match="two subjects"):
        modality_contribution(model, X, of_subject, groups=np.zeros(300), **QUICK)


def test_parameters_count(pictures):
    X, light, dose = pictures
    y = light + dose
    model = Rule(lambda light, dose: light + 0.5 * dose)
    found = modality_contribution(model, X, y, n_repeats=3, n_resamples=20, random_state=0)
    assert found.repeats.shape == (3, 4)
    assert found.resamples.shape == (20, 4)
    again = modality_contribution(model, X, y, n_repeats=3, n_resamples=20, random_state=0)
    np.testing.assert_array_equal(found.interval, again.interval)
    other = modality_contribution(model, X, y, n_repeats=3, n_resamples=20, random_state=1)
    assert not np.array_equal(found.values, other.values)
    half = modality_contribution(model, X, y, n_repeats=3, n_resamples=20, confidence=0.5, random_state=0)
    assert np.all(np.ptp(half.interval, axis=1) < np.ptp(found.interval, axis=1))
    own = make_scorer(mean_absolute_error, greater_is_better=False)
    assert modality_contribution(model, X, y, own, **QUICK).scoring == "neg_mean_absolute_error"
    swapped = modality_contribution(model, X, y, image_columns=["dose"], **QUICK)
    usual = modality_contribution(model, X, y, **QUICK)
    np.testing.assert_allclose(swapped.values[[1, 0, 2, 3]], usual.values)


def test_contribution_refuses_what_it_cannot_score(pictures):
    X, light, _ = pictures
    model = Rule(lambda light, dose: light)
    with pytest.raises(ValueError, match="found no column of images"):
        modality_contribution(model, X[["dose"]], light)
    with pytest.raises(ValueError, match=r"no column 'pictrue'; did you mean 'picture'"):
        modality_contribution(model, X, light, image_columns="pictrue")
    with pytest.raises(TypeError, match="needs a DataFrame"):
        modality_contribution(model, X.to_numpy(), light)
    with pytest.raises(NotFittedError):
        modality_contribution(HyperFusionRegressor(), X, light)
    for name, value in {"n_repeats": 0, "n_resamples": 1, "confidence": 95, "random_state": "a"}.items():
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            modality_contribution(model, X, light, **{name: value})
    with pytest.raises(ValueError, match="is nan for a sample"):
        modality_contribution(model, X, light, lambda estimator, X, y: np.nan, **QUICK)
    with pytest.raises(ValueError, match="inconsistent"):
        modality_contribution(model, X, light[:-1], **QUICK)
    rare = Threshold(lambda light, dose: light)
    labels = np.where(np.arange(6) < 6, "dark", "bright").astype(object)
    labels[0] = "bright"
    found = modality_contribution(rare, X[:6], labels, **QUICK)  # drawn again until both are there
    assert np.isfinite(found.resamples).all()


@pytest.mark.parametrize("fusion", ["hyper", "concat", "film", "daft", "image", "tabular", "late"])
def test_every_fusion_and_kind_of_model_is_taken_and_left_as_it_was(arrays, fusion):
    X, labels, _ = arrays
    before = X.copy()
    model = HyperFusionClassifier(fusion=fusion, **FAST).fit(X, labels)
    proba = model.predict_proba(X)
    found = modality_contribution(model, X, labels, "roc_auc", **QUICK)
    assert np.isfinite(found.values).all()
    if fusion in ("image", "tabular"):
        unused = ["images", "table"].index({"image": "table", "tabular": "images"}[fusion])
        np.testing.assert_array_equal(found.interval[unused], 0)
    np.testing.assert_array_equal(model.predict_proba(X), proba)
    pd.testing.assert_frame_equal(X, before)


def test_ensembles_pipelines_paths_and_survival_are_taken(study, arrays):
    X, labels, values = arrays
    event_times = survival_target(np.ones(len(X), bool), np.exp(values))
    models = [
        (FoldEnsembleClassifier(HyperFusionClassifier(**FAST), cv=2), labels, "accuracy"),
        (FoldEnsembleRegressor(HyperFusionRegressor(**FAST), cv=2), values, "r2"),
        (HyperFusionSurvival(**FAST), event_times, "concordance"),
        (FoldEnsembleSurvival(HyperFusionSurvival(**FAST), cv=2), event_times, "concordance"),
        (make_pipeline(TabularPreprocessor(), HyperFusionRegressor(**FAST)), values, "r2"),
    ]
    for model, y, name in models:
        assert modality_contribution(model.fit(X, y), X, y, **QUICK).scoring == name
    scans, diagnosis, _ = study  # 3-D, paths, gaps and categories
    model = HyperFusionClassifier(**FAST).fit(scans, diagnosis)
    assert modality_contribution(model, scans, diagnosis, **QUICK).n_subjects == len(scans)


def test_display_draws_losses_and_intervals(pictures):
    X, light, dose = pictures
    model = Rule(lambda light, dose: light + dose)
    display = ContributionDisplay.from_estimator(model, X, light + dose, "neg_mean_absolute_error", **QUICK)
    found = display.contribution
    np.testing.assert_array_equal(display.points_.get_xdata(), found.values)
    drawn = [segment[:, 0] for segment in display.intervals_.get_segments()]
    np.testing.assert_allclose(drawn, found.interval)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == found.names
    assert "rise of mean absolute error" in display.ax_.get_xlabel()
    assert "95 %" in display.ax_.get_xlabel()
    _, ax = matplotlib.pyplot.subplots()
    assert display.plot(ax=ax).ax_ is ax
    matplotlib.pyplot.close("all")
