"""Folds and ensembles of times to an event."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skhyperfusion import HyperFusionSurvival, survival_target
from skhyperfusion._curves import mean_time
from skhyperfusion.ensemble import FoldEnsembleSurvival
from skhyperfusion.model_selection import SurvivalStratifiedKFold
from skhyperfusion.persistence import load_model, save_model

MODEL = HyperFusionSurvival(fusion="tabular", max_epochs=5, device="cpu", random_state=0)


@pytest.fixture(scope="module")
def table():
    """60 rows of a table whose times depend on a dose: (X, y)."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"dose": rng.normal(size=60), "site": rng.integers(0, 2, 60)})
    time = rng.exponential(np.exp(-X["dose"]))
    return X, survival_target(rng.random(60) < 0.4, time)


@pytest.mark.parametrize("loss", ["discrete", "cox"])
def test_ensemble_averages_curves_on_the_grid_of_all(loss, table, tmp_path):
    X, y = table
    ensemble = FoldEnsembleSurvival(clone(MODEL).set_params(loss=loss), cv=3).fit(X, y)
    models = ensemble.estimators_
    assert ensemble.unique_times_[-1] == min(model.unique_times_[-1] for model in models)
    curves = [[c(ensemble.unique_times_) for c in model.predict_survival_function(X)] for model in models]
    expected = np.mean(curves, axis=0)
    found = ensemble.predict_survival_function(X, return_array=True)
    np.testing.assert_allclose(found, expected)
    hazards = ensemble.predict_cumulative_hazard_function(X, return_array=True)
    np.testing.assert_allclose(hazards, -np.log(expected))
    assert ensemble.predict_survival_function(X)[0](0.0) == 1
    assert ensemble.predict_cumulative_hazard_function(X)[0](0.0) == 0
    assert ensemble.score(X, y) > 0.5
    save_model(ensemble, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(X), ensemble.predict(X))


class Spy(HyperFusionSurvival):
    """Notes the share of events that it is fitted on."""

    seen = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None, groups=None):
        self.seen.append(y["event"].mean())
        return super().fit(X, y, sample_weight, groups)


def test_folds_of_a_number_hold_events_in_equal_shares(table):
    X, y = table
    FoldEnsembleSurvival(Spy(fusion="tabular", max_epochs=1, device="cpu"), cv=4).fit(X, y)
    assert len(Spy.seen) == 4
    assert np.ptp(Spy.seen) < 0.04


def test_best_models_alone_are_kept(table):
    X, y = table
    ensemble = FoldEnsembleSurvival(MODEL, cv=3, n_best=1).fit(X, y)
    assert len(ensemble.estimators_) == 1
    assert ensemble.fold_scores_.shape == (3,)


def test_splitter_balances_events_and_columns(table):
    X, y = table
    folds = list(SurvivalStratifiedKFold(3, columns="site", shuffle=True, random_state=0).split(X, y))
    events = [y["event"][test].sum() for _, test in folds]
    sites = [X["site"].iloc[test].sum() for _, test in folds]
    assert np.ptp(events) <= 1
    assert np.ptp(sites) <= 1
    groups = np.arange(60) // 3
    for train, test in SurvivalStratifiedKFold(3).split(X, y, groups):
        assert not set(groups[train]) & set(groups[test])
    with pytest.raises(ValueError, match="must be a structured array"):
        next(SurvivalStratifiedKFold(3).split(X, y["time"]))


def test_mean_time_is_the_area_under_the_curve():
    times, survival = np.array([1.0, 3.0]), np.array([[np.exp(-0.5), np.exp(-1.5)]])
    assert mean_time(times, survival, "hazard")[0] == pytest.approx((1 - np.exp(-1.5)) / 0.5)
    assert mean_time(times, survival, "step")[0] == pytest.approx(1 + 2 * np.exp(-0.5))
    assert mean_time(times, np.ones((1, 2)), "hazard")[0] == pytest.approx(3)
