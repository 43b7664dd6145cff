"""HyperFusionSurvival: what it takes, what it refuses, and what its curves are."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline

from skhyperfusion import HyperFusionSurvival, TabularPreprocessor, survival_target
from skhyperfusion._curves import SurvivalCurve, concordance_index
from skhyperfusion._engine._holdout import split_holdout
from skhyperfusion._parameters import FUSIONS
from skhyperfusion.inspection import layer_sensitivity
from skhyperfusion.model_selection import compare_estimators
from skhyperfusion.persistence import load_model

SMALL = {"base_channels": 2, "max_epochs": 3, "device": "cpu", "random_state": 0}
LOSSES = ["discrete", "cox"]


@pytest.fixture(scope="module")
def lives():
    """60 rows whose time depends on picture and table, half of them censored: (X, y)."""
    rng = np.random.default_rng(0)
    n_rows = 60
    pictures = rng.normal(size=(n_rows, 8, 8)).astype(np.float32)
    lesion, dose = rng.normal(size=(2, n_rows))
    pictures[:, 2:6, 2:6] += lesion[:, None, None]
    time = rng.exponential(np.exp(-lesion - dose))
    leaves = rng.exponential(1.5, size=n_rows)
    X = pd.DataFrame({"picture": list(pictures), "dose": dose}, index=[f"p{i:02d}" for i in range(n_rows)])
    return X, survival_target(time <= leaves, np.minimum(time, leaves))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_curves_of_every_fusion_are_curves(fusion, loss, lives):
    X, y = lives
    model = HyperFusionSurvival(fusion=fusion, loss=loss, **SMALL).fit(X, y)
    survival = model.predict_survival_function(X, return_array=True)
    hazard = model.predict_cumulative_hazard_function(X, return_array=True)
    assert survival.shape == (60, len(model.unique_times_))
    assert (survival <= 1).all()
    assert (survival >= 0).all()
    assert (np.diff(survival, axis=1) <= 0).all()
    np.testing.assert_allclose(hazard, -np.log(survival))
    curve = model.predict_survival_function(X)[0]
    assert curve(0.0) == 1
    assert curve.domain == (0.0, model.unique_times_[-1])
    np.testing.assert_allclose(curve(model.unique_times_), survival[0])
    np.testing.assert_allclose(model.predict_cumulative_hazard_function(X)[0](curve.x), hazard[0])


@pytest.mark.parametrize("loss", LOSSES)
def test_risk_learned_orders_the_times(loss, lives):
    X, y = lives
    model = HyperFusionSurvival(loss=loss, **(SMALL | {"max_epochs": 30, "base_channels": 4})).fit(X, y)
    assert model.score(X, y) > 0.75
    assert model.score(X, y) == concordance_index(y["event"], y["time"], model.predict(X))
    assert model.predict(X).std() > 0


def test_intervals_are_as_many_as_asked_and_end_with_the_last_event(lives):
    X, y = lives
    events = y["time"][y["event"]]
    model = HyperFusionSurvival(n_intervals=4, **SMALL).fit(X, y)
    assert len(model.unique_times_) == 4
    assert model.unique_times_[-1] == events.max()
    assert np.isin(model.unique_times_, events).all()
    auto = HyperFusionSurvival(**SMALL).fit(X, y)
    assert len(auto.unique_times_) == round(np.sqrt(len(events)))
    cox = HyperFusionSurvival(loss="cox", **SMALL).fit(X, y)
    np.testing.assert_array_equal(cox.unique_times_, np.unique(events))


def test_intervals_beside_coxs_loss_are_told_to_do_nothing(lives):
    model = HyperFusionSurvival(loss="cox", n_intervals=4, **SMALL)
    with pytest.warns(UserWarning, match=r"n_intervals=4 has no effect with loss='cox': only 'discrete'"):
        model.fit(*lives)


def test_breslow_baseline_of_equal_risks_is_nelson_aalen(lives):
    X, y = lives
    model = HyperFusionSurvival(loss="cox", **SMALL).fit(X, y)
    target = model._target
    values = np.column_stack([y["event"], y["time"]]).astype(float)
    target.finish(np.zeros((60, 1)), values, np.ones(60))
    left = np.array([(y["time"] >= t).sum() for t in target.times])
    np.testing.assert_allclose(target.baseline, np.cumsum(1 / left))


@pytest.mark.parametrize("loss", LOSSES)
def test_answers_do_not_depend_on_batch_order_or_batch_size(loss, lives):
    X, y = lives
    model = HyperFusionSurvival(loss=loss, **SMALL).fit(X, y)
    expected = model.predict(X)
    np.testing.assert_allclose(model.predict(X[::-1])[::-1], expected, rtol=1e-7)
    np.testing.assert_allclose(model.set_params(batch_size=7).predict(X), expected, rtol=1e-7)
    again = clone(model).set_params(batch_size=16).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_pickle_and_file_answer_the_same_and_hold_no_row(loss, lives, tmp_path):
    X, y = lives
    model = HyperFusionSurvival(loss=loss, **SMALL).fit(X, y)
    assert not hasattr(model.net_.criterion_, "_rows") or model.net_.criterion_._rows is None
    model.save(tmp_path / "model")
    for loaded in (pickle.loads(pickle.dumps(model)), load_model(tmp_path / "model")):
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        np.testing.assert_array_equal(
            loaded.predict_survival_function(X, return_array=True),
            model.predict_survival_function(X, return_array=True),
        )


def test_early_stopping_by_concordance_keeps_the_best_epoch(lives):
    X, y = lives
    model = HyperFusionSurvival(
        early_stopping=True, validation_fraction=0.3, monitor="concordance", **(SMALL | {"max_epochs": 6})
    ).fit(X, y)
    assert model.best_epoch_ == model.history_["valid_concordance"].idxmax() + 1
    with pytest.raises(ValueError, match="did you mean 'concordance'"):
        clone(model).set_params(monitor="concordence").fit(X, y)


def test_held_out_rows_have_their_share_of_events(lives, monkeypatch):
    seen, real = [], split_holdout

    def spy(*args, **kwargs):
        seen.append((kwargs["labels"], real(*args, **kwargs)))
        return seen[-1][1]

    monkeypatch.setattr("skhyperfusion._engine._holdout.split_holdout", spy)
    X, y = lives
    HyperFusionSurvival(early_stopping=True, validation_fraction=0.3, **SMALL).fit(X, y)
    labels, (train, valid) = seen[0]
    np.testing.assert_array_equal(labels, y["event"])
    assert abs(labels[train].mean() - labels[valid].mean()) < 0.06


def test_tools_of_scikit_learn_take_it(lives):
    X, y = lives
    scores = cross_val_score(HyperFusionSurvival(**SMALL), X, y, cv=KFold(3))
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    search = GridSearchCV(HyperFusionSurvival(**SMALL), {"n_intervals": [2, 4]}, cv=2).fit(X, y)
    assert set(search.cv_results_["param_n_intervals"]) == {2, 4}
    pipeline = make_pipeline(TabularPreprocessor(), HyperFusionSurvival(**SMALL)).fit(X, y)
    assert 0 <= pipeline.score(X, y) <= 1


def test_layer_sensitivity_takes_the_loss_of_rows_alone(lives):
    X, y = lives
    model = HyperFusionSurvival(**SMALL).fit(X, y)
    found = layer_sensitivity(model, X, y, layers="head.*", n_repeats=5, random_state=0)
    assert np.isfinite(found.loss)
    with pytest.raises(ValueError, match=r"loss='cox' has none"):
        layer_sensitivity(HyperFusionSurvival(loss="cox", **SMALL).fit(X, y), X, y)


def test_compare_estimators_takes_it(lives):
    X, y = lives
    methods = {fusion: HyperFusionSurvival(fusion=fusion, **SMALL) for fusion in ("hyper", "tabular")}
    comparison = compare_estimators(methods, X, y, cv=KFold(3))
    assert list(comparison.table().index) == ["hyper", "tabular"]


def test_data_frame_of_two_columns_is_a_target(lives):
    X, y = lives
    frame = pd.DataFrame({"died": y["event"], "years": y["time"]}, index=X.index)
    expected = HyperFusionSurvival(**SMALL).fit(X, y).predict(X)
    np.testing.assert_array_equal(HyperFusionSurvival(**SMALL).fit(X, frame).predict(X), expected)
    objects = frame.astype({"died": object})
    np.testing.assert_array_equal(HyperFusionSurvival(**SMALL).fit(X, objects).predict(X), expected)


def test_weight_of_zero_leaves_a_row_out(lives):
    X, y = lives
    weight = np.r_[np.zeros(20), np.ones(40)]
    for loss in LOSSES:
        part = HyperFusionSurvival(loss=loss, **SMALL).fit(X.iloc[20:], y[20:])
        weighted = HyperFusionSurvival(loss=loss, **SMALL).fit(X, y, sample_weight=weight)
        np.testing.assert_array_equal(weighted.predict(X), part.predict(X))
        doubled = HyperFusionSurvival(loss=loss, **SMALL).fit(X, y, sample_weight=1 + weight)
        plain = HyperFusionSurvival(loss=loss, **SMALL).fit(X, y)
        assert not np.array_equal(doubled.predict(X), plain.predict(X))


def test_warm_start_keeps_the_intervals_and_where_they_start(lives):
    X, y = lives
    model = HyperFusionSurvival(warm_start=True, **SMALL).fit(X, y)
    times, odds = model.unique_times_, model._target.log_odds
    model.fit(X.iloc[:40], y[:40])
    np.testing.assert_array_equal(model.unique_times_, times)
    np.testing.assert_array_equal(model._target.log_odds, odds)
    with pytest.raises(ValueError, match="another loss than before"):
        model.set_params(loss="cox").fit(X, y)


BAD = {
    "labels": (lambda y: np.where(y["event"], "a", "b"), "must be a structured array.*survival_target"),
    "numbers": (lambda y: y["time"], "must be a structured array.*survival_target"),
    "none": (lambda y: None, "target y is None"),
    "swapped": (
        lambda y: np.array(list(zip(y["time"], y["event"], strict=True)), dtype=[("t", float), ("e", bool)]),
        "fields of y are swapped",
    ),
    "swapped codes": (
        lambda y: pd.DataFrame({"time": np.arange(1, 61), "event": y["event"]}),
        "fields of y are swapped",
    ),
    "codes": (
        lambda y: pd.DataFrame({"event": y["event"] + 1, "time": y["time"]}),
        "event of row 'p00' is .*neither True nor False",
    ),
    "censored": (lambda y: survival_target(np.zeros(60, bool), y["time"]), "all 60 rows of y are censored"),
    "short": (lambda y: y[:10], "samples: .60, 10."),
}
for _time, _word in ((-1.0, "-1.0"), (0.0, "0.0"), (np.nan, "nan"), (np.inf, "inf")):

    def _spoil(y, time=_time):
        y = y.copy()
        y["time"][7] = time
        return y

    BAD[f"time {_word}"] = (_spoil, f"time of row 'p07' is {_word}; times must be positive")


@pytest.mark.parametrize("case", BAD)
def test_target_that_is_none_is_refused_by_row_and_reason(case, lives):
    X, y = lives
    spoil, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        HyperFusionSurvival(**SMALL).fit(X, spoil(y))


@pytest.mark.parametrize(
    ("parameter", "value"), [("loss", "coxx"), ("n_intervals", 0), ("n_intervals", "many")]
)
def test_parameter_that_is_none_is_refused(parameter, value, lives):
    X, y = lives
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of HyperFusionSurvival"):
        HyperFusionSurvival(**SMALL, **{parameter: value}).fit(X, y)


@pytest.mark.parametrize("gap", [pd.NA, None, np.nan])
def test_helper_names_the_row_of_an_event_that_is_missing(gap):
    event = pd.Series([True, gap, False], index=["p00", "p01", "p02"], dtype=object)
    with pytest.raises(ValueError, match=r"event of row 'p01' is .*neither True nor False"):
        survival_target(event, [1.0, 2.0, 3.0])


def test_helper_makes_the_target_of_columns():
    frame = pd.DataFrame({"died": [1, 0, True], "years": [1, 2, 3.5]}, index=["a", "b", "c"])
    y = survival_target(frame["died"], frame["years"])
    assert y["event"].tolist() == [True, False, True]
    with pytest.raises(ValueError, match="event of row 'b' is 2"):
        survival_target(frame["died"].replace(0, 2), frame["years"])
    with pytest.raises(ValueError, match=r"of one length\. Got 3 and 2"):
        survival_target(frame["died"], frame["years"].head(2))
    with pytest.raises(ValueError, match=r"rows have different names.*time\.loc"):
        survival_target(frame["died"], frame["years"].iloc[::-1])
    with pytest.raises(ValueError, match="event must be a column, of shape"):
        survival_target(True, frame["years"])
    for times in (frame["years"], frame["years"].astype(int)):
        with pytest.raises(ValueError, match="swapped: survival_target wants the event first"):
            survival_target(times, frame["died"].astype(bool))


def test_curve_outside_of_its_domain_is_refused():
    curve = SurvivalCurve(np.array([1.0, 3.0]), np.array([0.8, 0.2]), 1.0, "step")
    np.testing.assert_array_equal(curve([0.0, 0.99, 1.0, 2.9, 3.0]), [1, 1, 0.8, 0.8, 0.2])
    assert np.ndim(curve(2.0)) == 0
    assert repr(curve) == "SurvivalCurve(2 times from 0 to 3, interpolation='step')"
    assert float(curve(2.0)) == 0.8
    for time in (-0.1, 3.1, np.nan, [1.0, 3.1]):
        with pytest.raises(ValueError, match="known from 0 to 3"):
            curve(time)


@pytest.mark.parametrize("loss", LOSSES)
def test_survival_of_extreme_outputs_is_positive_and_its_hazard_a_number(loss, lives):
    X, y = lives
    model = HyperFusionSurvival(loss=loss, **SMALL).fit(X, y)
    outputs = np.full((1, 1, 1 if loss == "cox" else len(model.unique_times_)), 600.0)
    survival = model._target.survival(outputs)
    assert (survival > 0).all()
    assert np.isfinite(np.log(survival)).all()
    assert np.isfinite(model._target.risk(outputs)).all()


def test_concordance_is_that_of_scikit_survival():
    metrics = pytest.importorskip("sksurv.metrics")
    rng = np.random.default_rng(0)
    for _ in range(20):
        event, time = rng.random(40) < 0.6, rng.integers(1, 12, 40).astype(float)
        risk = rng.integers(0, 9, 40).astype(float)
        expected = metrics.concordance_index_censored(event, time, risk)[0]
        assert concordance_index(event, time, risk) == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_table_alone_reaches_the_concordance_of_a_cox_regression():
    load_gbsg2 = pytest.importorskip("sksurv.datasets").load_gbsg2
    cox = pytest.importorskip("sksurv.linear_model").CoxPHSurvivalAnalysis(alpha=0.1)
    X, y = load_gbsg2()
    folds = KFold(3, shuffle=True, random_state=0)
    expected = cross_val_score(make_pipeline(TabularPreprocessor(), cox), X, y, cv=folds).mean()
    model = HyperFusionSurvival(fusion="tabular", max_epochs=20, device="cpu", random_state=0)
    assert cross_val_score(model, X, y, cv=folds).mean() > expected - 0.01


def test_scorers_of_scikit_survival_take_it(lives):
    metrics = pytest.importorskip("sksurv.metrics")
    X, y = lives
    for loss in LOSSES:
        inner = HyperFusionSurvival(loss=loss, **SMALL)
        times = np.quantile(y["time"][y["event"]], [0.25, 0.5, 0.75])
        for wrap in (
            lambda model: metrics.as_concordance_index_ipcw_scorer(model),
            lambda model, times=times: metrics.as_cumulative_dynamic_auc_scorer(model, times),
            lambda model, times=times: metrics.as_integrated_brier_score_scorer(model, times),
        ):
            assert np.isfinite(wrap(clone(inner)).fit(X, y).score(X, y))
