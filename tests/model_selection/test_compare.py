"""Comparing estimators in the same folds: scores, order, parallel runs, failures, interruptions."""

import pickle
import threading
import traceback

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification, make_regression
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer, max_error, mean_absolute_error
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB

from skhyperfusion import HyperFusionClassifier
from skhyperfusion.model_selection import ComparisonError, ComparisonInterrupted, compare_estimators

# Worker processes import torch, which takes its time.
BACKENDS = ["threading", pytest.param("loky", marks=pytest.mark.slow)]
TWO_FITS = threading.Barrier(2)
FITS = []  # rows of every fit of a Recorder


class Recorder(ClassifierMixin, BaseEstimator):
    """Predicts one class, and notes what it was fitted on; fails or is interrupted on demand."""

    def __init__(self, label=0, fail_on=None, error=None):
        self.label = label
        self.fail_on = fail_on
        self.error = error

    def fit(self, X, y, sample_weight=None):
        rows = np.asarray(X)[:, 0]
        if self.fail_on is not None and self.fail_on not in rows:  # it stands in the test part
            raise self.error()
        FITS.append((self.label, tuple(rows), None if sample_weight is None else tuple(sample_weight)))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.label)


class Meeting(Recorder):
    """Its fit ends when another one has begun."""

    def fit(self, X, y):
        TWO_FITS.wait(timeout=20)
        return super().fit(X, y)


class NeedsTwo(Exception):
    """Cannot be pickled: it holds a lock, and its constructor wants more than the message.

    The constructor alone would not do: an import of Dask teaches pickle to pass it by.
    """

    def __init__(self, first, second):
        super().__init__(f"{first}{second}")
        self.lock = threading.Lock()


def too_cold():
    return ValueError("too cold")


def two_faults():
    return NeedsTwo("too ", "cold")


@pytest.fixture(autouse=True)
def _no_fits():
    FITS.clear()


@pytest.fixture(scope="module")
def problem():
    return make_classification(n_samples=60, n_features=5, random_state=0)


@pytest.fixture
def rows():
    """Numbered rows, so that a Recorder can tell them: (X, y)."""
    return np.arange(12.0)[:, None], np.tile([0, 1], 6)


METHODS = {"logistic": LogisticRegression(), "bayes": GaussianNB(), "majority": DummyClassifier()}


def test_scores_are_those_of_cross_val_score(problem):
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    scores = compare_estimators(METHODS, *problem, cv=cv, scoring="balanced_accuracy").scores
    for name, estimator in METHODS.items():
        expected = cross_val_score(estimator, *problem, cv=cv, scoring="balanced_accuracy")
        np.testing.assert_array_equal(scores.loc[scores["method"] == name, "score"], expected)


def test_scores_are_long_and_in_the_order_of_methods_folds_and_metrics(problem):
    scores = compare_estimators(METHODS, *problem, cv=2, scoring=["accuracy", "neg_log_loss"]).scores
    assert list(scores.columns[:6]) == ["method", "fold", "metric", "score", "fit_seconds", "score_seconds"]
    expected = [(m, f, s) for m in METHODS for f in (0, 1) for s in ("accuracy", "neg_log_loss")]
    assert list(zip(scores["method"], scores["fold"], scores["metric"], strict=True)) == expected
    assert (scores["fit_seconds"] > 0).all()
    assert set(scores["n_train"]) == set(scores["n_test"]) == {30}
    assert (scores.loc[scores["metric"] == "neg_log_loss", "score"] < 0).all()  # scikit-learn's sign


def test_folds_are_drawn_once_for_all_methods(rows):
    cv = ShuffleSplit(3, random_state=np.random.RandomState(0))  # draws anew at each call of split
    compare_estimators({"a": Recorder(0), "b": Recorder(1)}, *rows, cv=cv)
    trained = [[rows for label, rows, _ in FITS if label == k] for k in (0, 1)]
    assert trained[0] == trained[1]
    assert len(set(trained[0])) == 3


def test_fits_run_fold_by_fold(rows):
    compare_estimators({"a": Recorder(0), "b": Recorder(1)}, *rows, cv=2)
    assert [label for label, *_ in FITS] == [0, 1, 0, 1]


def test_number_of_folds_is_balanced_for_classes_and_values(problem):
    X, y = problem
    ordered = np.sort(y)
    stratified = compare_estimators({"a": DummyClassifier()}, X, ordered, cv=2).scores
    assert stratified["score"].tolist() == [0.5, 0.5]
    values = compare_estimators(
        {"a": DummyRegressor()}, X, ordered + 0.5, cv=2, scoring="neg_max_error"
    ).scores
    assert values["score"].abs().tolist() == [0.5, 0.5]  # of a fold with one class alone it would be 1


def test_iterable_of_splits_is_taken_as_it_is(rows):
    splits = ((np.arange(6), np.arange(6, 12)) for _ in range(1))
    scores = compare_estimators({"a": Recorder()}, *rows, cv=splits).scores
    assert [(0, tuple(range(6)), None)] == FITS
    assert scores["score"].tolist() == [0.5]


def test_groups_reach_the_splitter(rows):
    X, y = rows
    compare_estimators({"a": Recorder()}, X, y, cv=GroupKFold(3), groups=X[:, 0] // 4)
    left_out = {tuple(sorted(set(range(12)) - set(trained))) for _, trained, _ in FITS}
    assert left_out == {(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)}


def test_number_of_folds_keeps_groups_whole(rows):
    X, y = rows
    groups = np.array(list("abcd") * 3)
    compare_estimators({"a": Recorder()}, X, y, cv=2, groups=groups)
    for _, trained, _ in FITS:
        inside = np.isin(X[:, 0], trained)
        assert set(groups[inside]).isdisjoint(groups[~inside])


def test_n_jobs_fits_at_the_same_time(rows):
    methods = {"a": Meeting(), "b": Meeting()}  # each fit waits for another one
    with joblib.parallel_config("threading"):
        scores = compare_estimators(methods, *rows, cv=2, n_jobs=2).scores
    assert len(scores) == 4


def test_params_are_cut_to_the_fold_and_reach_fit(rows):
    weight = np.arange(12.0) + 1
    compare_estimators({"a": Recorder()}, *rows, cv=3, params={"sample_weight": weight})
    assert len(FITS) == 3
    for _, trained, weights in FITS:
        assert weights == tuple(np.add(trained, 1))


def test_routing_sends_params_to_those_that_request_them(rows):
    with sklearn.config_context(enable_metadata_routing=True):
        wants = Recorder(0).set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        wants_not = Recorder(1).set_fit_request(sample_weight=False).set_score_request(sample_weight=True)
        scores = compare_estimators(
            {"a": wants, "b": wants_not}, *rows, cv=2, params={"sample_weight": np.arange(12)}
        ).scores
    assert [weights is None for _, _, weights in FITS] == [False, True, False, True]
    odd = [(1 + 3 + 5) / 15, (7 + 9 + 11) / 51]  # weight of class 1, which 'b' predicts
    np.testing.assert_allclose(scores.loc[scores["method"] == "b", "score"], odd)


@pytest.mark.parametrize(
    ("scoring", "names"),
    [
        (None, ["score"]),
        ("accuracy", ["accuracy"]),
        (("accuracy", "f1"), ["accuracy", "f1"]),
        ({"acc": "accuracy", "own": lambda e, X, y: 7.0}, ["acc", "own"]),
        (lambda e, X, y: {"one": 1.0, "two": 2.0}, ["one", "two"]),
        (make_scorer(mean_absolute_error), ["mean_absolute_error"]),
        (make_scorer(mean_absolute_error, greater_is_better=False), ["neg_mean_absolute_error"]),
    ],
)
def test_metrics_are_named_after_scoring(problem, scoring, names):
    comparison = compare_estimators({"a": GaussianNB()}, *problem, cv=2, scoring=scoring)
    assert comparison.metrics == names


def test_errors_by_names_of_the_users_own_are_shown_without_their_minus_sign():
    X, y = make_regression(40, 3, random_state=0)
    scoring = {"MAE": "neg_mean_absolute_error", "own": make_scorer(max_error, greater_is_better=False)}
    comparison = compare_estimators({"a": Ridge()}, X, y, cv=3, scoring={**scoring, "R2": "r2"})
    assert comparison.errors == ["MAE", "own"]
    scores = comparison.scores.groupby("metric")["score"].mean()
    assert comparison.table("MAE").loc["a", "mean"] == pytest.approx(-scores["MAE"])
    assert comparison.table("MAE").loc["a", "mean"] > 0
    assert comparison.table("R2").loc["a", "mean"] == pytest.approx(scores["R2"])


def test_scorer_function_is_named_after_itself(problem):
    def share_of_ones(estimator, X, y):
        return float(estimator.predict(X).mean())

    scores = compare_estimators({"a": GaussianNB()}, *problem, cv=2, scoring=share_of_ones).scores
    assert scores["metric"].tolist() == ["share_of_ones"] * 2


def test_loss_keeps_its_sign():
    X, y = make_regression(40, 3, random_state=0)
    scoring, cv = "neg_mean_absolute_error", KFold(3)
    scores = compare_estimators({"a": Ridge()}, X, y, cv=cv, scoring=scoring).scores
    np.testing.assert_array_equal(scores["score"], cross_val_score(Ridge(), X, y, cv=cv, scoring=scoring))


@pytest.mark.parametrize("backend", BACKENDS)
def test_parallel_scores_equal_serial_ones(problem, backend):
    serial = compare_estimators(METHODS, *problem, cv=3)
    with joblib.parallel_config(backend):
        parallel = compare_estimators(METHODS, *problem, cv=3, n_jobs=2)
    columns = ["method", "fold", "metric", "score", "n_train", "n_test"]
    pd.testing.assert_frame_equal(serial.scores[columns], parallel.scores[columns])


def test_estimators_are_cloned(rows):
    estimator = Recorder()
    compare_estimators([("a", estimator)], *rows, cv=2)  # a list of pairs is as good as a dict
    assert not hasattr(estimator, "classes_")


def test_reference_and_confidence_reach_the_comparison(problem):
    comparison = compare_estimators(METHODS, *problem, cv=2, reference="bayes", confidence=0.5)
    assert (comparison.reference, comparison.confidence) == ("bayes", 0.5)
    assert compare_estimators(METHODS, *problem, cv=2).reference == "logistic"


def test_progress_is_silent_at_zero_and_names_method_and_fold_above(problem, capsys):
    compare_estimators(METHODS, *problem, cv=2)
    assert capsys.readouterr() == ("", "")
    compare_estimators(METHODS, *problem, cv=2, verbose=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "6/6" in err
    assert "majority, fold 1" in err


@pytest.mark.parametrize("backend", ["sequential", *BACKENDS])
def test_failed_fit_names_method_and_fold_and_keeps_the_rest(rows, backend):
    methods = {"good": Recorder(0), "bad": Recorder(1, fail_on=7.0, error=too_cold)}
    splits = [(range(6, 12), range(6)), (range(6), range(6, 12))]
    message = "Method 'bad' failed in fold 1: ValueError: too cold"
    n_jobs = 1 if backend == "sequential" else 2
    with (
        joblib.parallel_config(backend, n_jobs=n_jobs),
        pytest.raises(ComparisonError, match=message) as caught,
    ):
        compare_estimators(methods, *rows, cv=splits)
    assert isinstance(caught.value.__cause__, ValueError)
    assert "in fit" in "".join(traceback.format_exception(caught.value))  # where in the worker it was raised
    kept = caught.value.comparison.scores
    kept = set(zip(kept["method"], kept["fold"], strict=True))
    assert kept == {("good", 0), ("bad", 0), ("good", 1)} if n_jobs == 1 else ("bad", 1) not in kept


def test_failed_fit_before_any_other_has_no_comparison(rows):
    with pytest.raises(ComparisonError, match="Method 'bad' failed in fold 0") as caught:
        compare_estimators({"bad": Recorder(0, fail_on=-1.0, error=too_cold)}, *rows, cv=2)
    assert caught.value.comparison is None


def test_failed_fit_with_an_error_that_cannot_be_pickled_is_told(rows):
    bad = Recorder(0, fail_on=-1.0, error=two_faults)
    with pytest.raises(ComparisonError, match="failed in fold 0: NeedsTwo: too cold"):
        compare_estimators({"bad": bad}, *rows, cv=2)


def test_comparison_error_can_be_pickled(rows):
    with pytest.raises(ComparisonError) as caught:
        compare_estimators({"a": Recorder(), "b": Recorder(0, fail_on=-1.0, error=too_cold)}, *rows, cv=2)
    again = pickle.loads(pickle.dumps(caught.value))
    pd.testing.assert_frame_equal(again.comparison.scores, caught.value.comparison.scores)


def test_interrupt_keeps_what_is_finished(rows):
    methods = {"a": Recorder(0), "b": Recorder(1, fail_on=7.0, error=KeyboardInterrupt)}
    with pytest.raises(KeyboardInterrupt, match="Interrupted after 3 of 4 fits") as caught:
        compare_estimators(methods, *rows, cv=2, reference="b")
    assert isinstance(caught.value, ComparisonInterrupted)
    assert caught.value.comparison.scores[["method", "fold"]].to_numpy().tolist() == [
        ["a", 0],
        ["a", 1],
        ["b", 0],
    ]
    assert caught.value.comparison.reference == "b"
    assert "b" in repr(caught.value.comparison)


def test_interrupt_before_the_reference_falls_back_to_the_first(rows):
    methods = {"a": Recorder(0), "b": Recorder(1, fail_on=-1.0, error=KeyboardInterrupt)}
    with pytest.raises(KeyboardInterrupt) as caught:
        compare_estimators(methods, *rows, cv=2, reference="b")
    assert caught.value.comparison.reference == "a"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"estimators": {}}, ValueError, "at least one estimator"),
        ({"estimators": {"a": 3}}, TypeError, "Method 'a' must be an estimator. Got 3"),
        ({"estimators": {"a": GaussianNB}}, TypeError, "Method 'a' must be an estimator"),
        ({"estimators": [GaussianNB()]}, TypeError, r"a list of \(name, estimator\). Got GaussianNB"),
        ({"estimators": [("a", GaussianNB()), ("a", GaussianNB())]}, ValueError, "must differ"),
        ({"reference": "bays"}, ValueError, "reference='bays' is none of 2 methods.*did you mean 'bayes'"),
        ({"confidence": 95}, ValueError, r"confidence must be a number in \(0, 1\). Got 95"),
    ],
)
def test_wrong_arguments_are_refused_before_any_fit(rows, arguments, error, message):
    methods = {"a": Recorder(), "bayes": GaussianNB()}
    with pytest.raises(error, match=message):
        compare_estimators(**({"estimators": methods, "X": rows[0], "y": rows[1]} | arguments))
    assert FITS == []


def test_table_with_image_paths_is_compared(study):
    X, labels, _ = study
    network = HyperFusionClassifier(base_channels=2, max_epochs=1, random_state=0)
    methods = {"hyper": network, "majority": DummyClassifier()}
    table = compare_estimators(methods, X, labels, cv=2, scoring="balanced_accuracy").table()
    assert table.loc["majority", "mean"] == 0.5
    assert 0 <= table.loc["hyper", "mean"] <= 1
