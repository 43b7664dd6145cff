"""What fits an estimator many times: the same folds, groups and messages from all that do."""

import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from skhyperfusion._meta import make_folds, run_fits
from skhyperfusion.brain_age import AgeBiasCorrector
from skhyperfusion.ensemble import FoldEnsembleClassifier, FoldEnsembleRegressor
from skhyperfusion.model_selection import compare_estimators, cross_group_scores

FITS = []  # (rows, groups) of every fit
N_ROWS = 48


class Recorder(BaseEstimator):
    """Notes the rows and groups of each fit; fails where a row is absent."""

    def __init__(self, fail_without=None):
        self.fail_without = fail_without

    def fit(self, X, y, groups=None):
        rows = X["row"].to_numpy()
        if self.fail_without is not None and self.fail_without not in rows:
            raise ValueError("too cold")
        FITS.append((rows, groups))
        self.classes_ = np.unique(y)
        return self


class Regressor(RegressorMixin, Recorder):
    def predict(self, X):
        return X["row"].to_numpy(dtype=float)


class Classifier(ClassifierMixin, Recorder):
    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def compare(estimator, X, y, **kwargs):
    groups = kwargs.pop("groups", None)
    compare_estimators({"only": estimator}, X, y, groups=groups, **kwargs)


def cross_group(estimator, X, y, **kwargs):
    # Of the two groups' models and that of all rows, the last has all rows of the training part.
    scoring = "accuracy" if isinstance(estimator, ClassifierMixin) else "r2"
    cross_group_scores(estimator, X, y, by="sex", scoring=scoring, **kwargs)


def ensemble(estimator, X, y, groups=None, **kwargs):
    kind = FoldEnsembleClassifier if isinstance(estimator, ClassifierMixin) else FoldEnsembleRegressor
    kind(estimator, **kwargs).fit(X, y, groups=groups)


def corrector(estimator, X, y, groups=None, **kwargs):
    AgeBiasCorrector(estimator, **kwargs).fit(X, y, groups=groups)


REGRESSIONS = [compare, cross_group, ensemble, corrector]
CLASSIFICATIONS = [compare, cross_group, ensemble]


@pytest.fixture(autouse=True)
def _no_fits():
    FITS.clear()


@pytest.fixture
def X():
    return pd.DataFrame({"row": np.arange(N_ROWS), "sex": np.repeat(["F", "M"], N_ROWS // 2)})


def left_out(fit_many, n_folds):
    """Rows that each fold's model of all training rows has not seen."""
    per_fold = 3 if fit_many is cross_group else 1
    rows = [set(range(N_ROWS)) - set(rows.tolist()) for rows, _ in FITS[per_fold - 1 :: per_fold]]
    return [sorted(out) for out in rows[:n_folds]]


@pytest.mark.parametrize("fit_many", REGRESSIONS)
def test_groups_reach_fit_cut_to_its_rows_in_all_that_fit_many(fit_many, X):
    groups = np.arange(N_ROWS) // 2
    fit_many(Regressor(), X, np.arange(float(N_ROWS)), cv=3, groups=groups)
    assert len(FITS) >= 3
    for rows, found in FITS:
        np.testing.assert_array_equal(found, groups[rows])
    for out in left_out(fit_many, 3):
        assert set(groups[out]).isdisjoint(np.delete(groups, out))


@pytest.mark.parametrize("fit_many", REGRESSIONS)
def test_groups_with_routing_go_where_they_are_requested_in_all_that_fit_many(fit_many, X):
    groups, y = np.arange(N_ROWS) // 2, np.arange(float(N_ROWS))
    with sklearn.config_context(enable_metadata_routing=True):
        fit_many(Regressor().set_fit_request(groups=True), X, y, cv=3, groups=groups)
        assert all(found is not None for _, found in FITS)
        FITS.clear()
        fit_many(Regressor().set_fit_request(groups=False), X, y, cv=3, groups=groups)
        assert all(found is None for _, found in FITS)
        with pytest.raises(UnsetMetadataPassedError, match="groups"):
            fit_many(Regressor(), X, y, cv=3, groups=groups)


@pytest.mark.parametrize("fit_many", REGRESSIONS)
def test_folds_of_true_and_false_are_those_of_their_positions_in_all_that_fit_many(fit_many, X):
    tested = [np.arange(N_ROWS) % 3 == fold for fold in range(3)]
    fit_many(Regressor(), X, np.arange(float(N_ROWS)), cv=[(~test, test) for test in tested])
    assert left_out(fit_many, 3) == [np.flatnonzero(test).tolist() for test in tested]


def test_folds_of_true_and_false_are_counted_by_their_rows(X):
    y = np.random.default_rng(0).normal(size=N_ROWS)
    tested = [np.arange(N_ROWS) % 3 == fold for fold in range(3)]
    positions = [(np.flatnonzero(~test), np.flatnonzero(test)) for test in tested]
    found, expected = (
        compare_estimators({"a": Regressor(), "b": DummyRegressor()}, X, y, cv=cv)
        for cv in ([(~test, test) for test in tested], positions)
    )
    assert set(found.scores["n_test"]) == {16}
    assert set(found.scores["n_train"]) == {32}
    seconds = "fit_seconds"  # two runs take different ones
    pd.testing.assert_frame_equal(found.table().drop(columns=seconds), expected.table().drop(columns=seconds))


@pytest.mark.parametrize("fit_many", REGRESSIONS)
def test_folds_of_too_few_true_and_false_are_refused(fit_many, X):
    test = np.arange(N_ROWS - 1) % 2 == 0
    with pytest.raises(ValueError, match=r"true and false, in an array of shape \(47,\), and X has 48 rows"):
        fit_many(Regressor(), X, np.arange(float(N_ROWS)), cv=[(~test, test)])
    assert FITS == []


@pytest.mark.parametrize("with_groups", [False, True])
@pytest.mark.parametrize("fit_many", [compare, ensemble, corrector])
def test_number_of_folds_gives_a_regression_the_same_folds_in_all_that_fit_many(fit_many, X, with_groups):
    y = np.random.default_rng(0).permutation(N_ROWS).astype(float)
    groups = np.arange(N_ROWS) // 2 if with_groups else None
    fit_many(Regressor(), X, y, cv=4, groups=groups)
    expected = make_folds(4, X, y, classifier=False, groups=groups)
    assert left_out(fit_many, 4) == [test.tolist() for _, test in expected]


@pytest.mark.parametrize("with_groups", [False, True])
@pytest.mark.parametrize("fit_many", [compare, ensemble])
def test_number_of_folds_gives_classes_scikit_learns_folds_in_all_that_fit_many(fit_many, X, with_groups):
    y = np.tile(["a", "b", "b"], N_ROWS // 3)
    groups = np.arange(N_ROWS) // 2 if with_groups else None
    fit_many(Classifier(), X, y, cv=4, groups=groups)
    splitter = StratifiedGroupKFold(4) if with_groups else StratifiedKFold(4)
    assert left_out(fit_many, 4) == [test.tolist() for _, test in splitter.split(X, y, groups)]


def test_number_of_folds_balances_the_target_within_the_groups_that_are_compared(X):
    y = np.arange(float(N_ROWS))
    cross_group(Regressor(), X, y, cv=4)
    assert left_out(cross_group, 4) == [
        test.tolist() for _, test in make_folds(4, X, y, classifier=False, labels=X["sex"])
    ]
    for out in left_out(cross_group, 4):
        assert X["sex"][out].value_counts().tolist() == [6, 6]
        assert abs(y[out].mean() - y.mean()) <= 1.5
    FITS.clear()
    classes = np.repeat(["a", "b", "a", "b"], N_ROWS // 4)
    cross_group(Classifier(), X, classes, cv=4)
    for out in left_out(cross_group, 4):
        assert pd.crosstab(X["sex"][out], classes[out]).to_numpy().tolist() == [[3, 3], [3, 3]]


@pytest.mark.parametrize("fit_many", REGRESSIONS)
def test_failed_fit_tells_its_fold_in_all_that_fit_many(fit_many, X):
    halves = [(np.r_[0:12, 24:36], np.r_[12:24, 36:48]), (np.r_[12:24, 36:48], np.r_[0:12, 24:36])]
    with pytest.raises(Exception, match="too cold") as caught:
        fit_many(Regressor(fail_without=0), X, np.arange(float(N_ROWS)), cv=halves)
    told = {
        compare: "Method 'only' failed in fold 1",
        cross_group: "This happened in training on 'M' in fold 0.",
        ensemble: "This happened in fold 1 of the ensemble.",
        corrector: "This happened in fold 1 of the training rows.",
    }[fit_many]
    assert told in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


@pytest.mark.parametrize("fit_many", REGRESSIONS)
def test_progress_is_silent_at_zero_and_names_the_last_fit_in_all_that_fit_many(fit_many, X, capsys):
    y = np.arange(float(N_ROWS))
    fit_many(Regressor(), X, y, cv=2)
    assert capsys.readouterr() == ("", "")
    fit_many(Regressor(), X, y, cv=2, verbose=1)
    out, err = capsys.readouterr()
    last = {compare: "only, fold 1", corrector: "the fit on all rows"}.get(fit_many, "fold 1")
    assert (out, last in err) == ("", True)
    n_fits = {compare: 2, ensemble: 2, corrector: 3, cross_group: 6}[fit_many]
    assert f"{n_fits}/{n_fits}" in err
    with pytest.raises(ValueError, match=r"'verbose' parameter of .* must be an integer >= 0"):
        fit_many(Regressor(), X, y, cv=2, verbose="much")


@pytest.mark.parametrize("fit_many", REGRESSIONS)
def test_parameter_of_cv_that_is_too_large_is_told_with_the_number_of_rows(fit_many, X):
    message = (
        "Group 'F' has 24 rows" if fit_many is cross_group else "cv=49 folds are more than .* n_samples=48"
    )
    with pytest.raises(ValueError, match=message):
        fit_many(Regressor(), X, np.arange(float(N_ROWS)), cv=49)
    with pytest.raises(ValueError, match="cv=4 folds are more than the number of groups: n_groups=3"):
        fit_many(Regressor(), X, np.arange(float(N_ROWS)), cv=4, groups=np.arange(N_ROWS) % 3)
    assert FITS == []


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_folds_of_a_number_have_the_whole_range_of_the_target(order):
    y = np.arange(103.0)
    if order == "shuffled":
        np.random.default_rng(0).shuffle(y)
    folds = make_folds(5, y[:, None], y, classifier=False)
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(103))
    for train, test in folds:
        assert set(train).isdisjoint(test)
        assert len(test) in (20, 21)
        counts = np.histogram(y[test], bins=[0, 25, 50, 75, 104])[0]
        assert (np.abs(counts - 5) <= 2).all()


def test_folds_of_a_number_with_groups_are_whole_and_balanced():
    rng = np.random.default_rng(0)
    age_of = rng.uniform(20, 80, size=60)
    groups = np.repeat(np.arange(60), rng.integers(1, 4, size=60))
    groups = groups[np.argsort(age_of[groups], kind="stable")]  # the table is sorted by age
    y = age_of[groups]
    for train, test in make_folds(5, y[:, None], y, classifier=False, groups=[f"s{g}" for g in groups]):
        assert set(groups[train]).isdisjoint(groups[test])
        assert abs(y[test].mean() - y.mean()) < 4
        assert abs(len(test) - len(y) / 5) <= 4


def test_every_fold_has_rows_where_there_are_as_many_groups_as_folds():
    groups = np.repeat(np.arange(5), [2, 4, 5, 3, 9])  # StratifiedGroupKFold leaves the third fold empty
    y = np.array([13, 10, 7, 16, 11, 9, 14, 18, 17, 15, 19, 20, 21, 22, 3, 2, 8, 12, 0, 6, 4, 1, 5.0])
    folds = make_folds(5, y[:, None], y, classifier=False, groups=groups)
    assert sorted(np.unique(groups[test]).tolist() for _, test in folds) == [[0], [1], [2], [3], [4]]
    assert [len(train) + len(test) for train, test in folds] == [23] * 5


def test_rows_without_a_group_are_each_a_group_of_their_own():
    groups = [None, "a", np.nan, "a", None, "b"]
    folds = make_folds(5, np.zeros((6, 1)), np.arange(6.0), classifier=False, groups=groups)
    assert sorted(test.tolist() for _, test in folds) == [[0], [1, 3], [2], [4], [5]]


@pytest.mark.parametrize("kind", ["structured", "frame"])
def test_folds_of_a_number_balance_times_among_events_and_among_the_rest(kind):
    time, event = np.arange(60.0), np.repeat([True, False, True], 20)
    if kind == "frame":
        y = pd.DataFrame({"event": event, "time": time})
    else:
        y = np.array(list(zip(event, time, strict=True)), dtype=[("event", bool), ("time", float)])
    for _, test in make_folds(4, time[:, None], y, classifier=False):
        assert event[test].sum() == 10
        assert abs(time[test].mean() - time.mean()) < 3


def test_several_outputs_are_balanced_together():
    y = np.column_stack([np.arange(40.0), np.arange(40.0) ** 2])
    for _, test in make_folds(4, y, y, classifier=False):
        assert abs(y[test, 0].mean() - y[:, 0].mean()) <= 1.5


def test_class_that_is_rarer_than_the_folds_in_one_group_is_no_warning():
    labels = np.repeat(["F", "M"], 20)
    y = np.r_[np.tile([0, 1], 10), np.zeros(18), np.ones(2)].astype(int)
    folds = make_folds(5, y[:, None], y, classifier=True, labels=labels)
    assert [np.unique(labels[test], return_counts=True)[1].tolist() for _, test in folds] == [[4, 4]] * 5


class NeedsTwo(Exception):
    """Cannot be pickled: it holds a lock."""

    def __init__(self, first, second):
        super().__init__(f"{first}{second}")
        self.lock = threading.Lock()


def fail(kind):
    raise NeedsTwo("too ", "cold") if kind == "lock" else ValueError("too cold")


@pytest.mark.slow
def test_error_of_a_worker_process_comes_with_its_traceback_and_its_fit():
    with joblib.parallel_config("loky", n_jobs=2), pytest.raises(ValueError, match="too cold") as caught:
        dict(run_fits(fail, {"fold 7": ("plain",)}, name="A test"))
    inside, which = caught.value.__notes__
    assert ("in fail" in inside, which) == (True, "This happened in fold 7.")
    with joblib.parallel_config("loky", n_jobs=2), pytest.raises(RuntimeError, match="NeedsTwo: too cold"):
        dict(run_fits(fail, {"fold 7": ("lock",)}, name="A test"))


def test_error_of_the_same_process_is_the_one_that_was_raised():
    with pytest.raises(NeedsTwo, match="too cold") as caught:
        dict(run_fits(fail, {"fold 7": ("lock",)}, name="A test"))
    assert caught.value.__notes__ == ["This happened in fold 7."]
