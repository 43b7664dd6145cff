"""Training on one group and testing on another: rows of each fit, scores by hand, errors, drawing."""

import sys
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression
from sklearn.metrics import make_scorer, max_error
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from skhyperfusion import HyperFusionRegressor
from skhyperfusion.model_selection import CrossGroupScores, cross_group_scores

FITS = []  # rows of every fit of a Recorder
TWO_FITS = threading.Barrier(2)


class Recorder(RegressorMixin, BaseEstimator):
    """Predicts the mean of what it was fitted on, and notes the rows."""

    def __init__(self, fail_without=None):
        self.fail_without = fail_without

    def fit(self, X, y, sample_weight=None):
        rows = X["row"].tolist()
        if self.fail_without is not None and self.fail_without not in rows:
            raise ValueError("too cold")
        FITS.append((rows, None if sample_weight is None else sample_weight.tolist()))
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class Meeting(Recorder):
    """Its fit ends when another one has begun."""

    def fit(self, X, y):
        TWO_FITS.wait(timeout=20)
        return super().fit(X, y)


@pytest.fixture(autouse=True)
def _no_fits():
    FITS.clear()


@pytest.fixture
def rows():
    """24 numbered rows: (X, y), women and men in turn, the women's target 0 and the men's their row."""
    sex = np.tile(["F", "M"], 12)
    X = pd.DataFrame({"row": np.arange(24), "sex": sex}, index=[f"p{i:02d}" for i in range(24)])
    return X, np.where(sex == "M", np.arange(24.0), 0.0)


HALVES = [(np.arange(12), np.arange(12, 24)), (np.arange(12, 24), np.arange(12))]


def test_each_group_is_trained_and_tested_in_the_same_folds(rows):
    X, y = rows
    result = cross_group_scores(Recorder(), X, y, cv=HALVES)
    women, men = np.arange(0, 12, 2), np.arange(1, 12, 2)
    expected = [women, men, np.arange(12)]
    expected += [part + 12 for part in expected]
    assert [fit for fit, _ in FITS] == [part.tolist() for part in expected]
    scores = result.scores.set_index(["train", "test", "fold"])
    assert len(scores) == 3 * 3 * 2
    # Fold 0: men of rows 1 to 11 have the mean 6; those of rows 13 to 23 are 13, 15, ... 23.
    assert scores.loc[("M", "M", 0), "score"] == -(18 - 6)
    assert scores.loc[("M", "F", 0), "score"] == -6
    assert scores.loc[("F", "M", 0), "score"] == -18
    assert scores.loc[("all", "F", 0), "score"] == -3
    assert scores.loc[("all", "all", 0), "score"] == -np.mean([3] * 6 + [10, 12, 14, 16, 18, 20])
    assert scores.loc[("F", "F", 1), "score"] == 0
    assert scores.loc[("M", "all", 1), ["n_train", "n_test"]].tolist() == [6, 12]
    assert scores.loc[("all", "M", 1), ["n_train", "n_test"]].tolist() == [12, 6]
    assert (scores["fit_seconds"] >= 0).all()
    assert set(scores["metric"]) == {"neg_mean_absolute_error"}


def test_tables_are_means_and_counts_over_the_folds(rows):
    result = cross_group_scores(Recorder(), *rows, cv=HALVES)
    mean = result.table()
    assert mean.index.tolist() == mean.columns.tolist() == result.groups == ["F", "M", "all"]
    assert mean.index.name, mean.columns.name == ("train", "test")
    assert mean.loc["M", "F"] == (6 + 18) / 2  # the error, without scikit-learn's minus sign
    assert result.table(statistic="sd").loc["M", "F"] == pytest.approx(np.std([6, 18], ddof=1))
    assert result.table(statistic="n_train").loc["all", "F"] == 12
    assert result.table(statistic="n_test").loc["F", "M"] == 12
    assert "mean absolute error (less is better)" in repr(result)
    assert "-12.0" not in repr(result)
    again = CrossGroupScores(result.scores.drop(columns="fit_seconds"))
    pd.testing.assert_frame_equal(again.table(), mean)


@pytest.mark.parametrize(
    ("scoring", "metrics"),
    [
        ("neg_mean_squared_error", ["neg_mean_squared_error"]),
        (None, ["score"]),
        (["r2", "neg_max_error"], ["r2", "neg_max_error"]),
        ({"worst": make_scorer(max_error, greater_is_better=False)}, ["worst"]),
    ],
)
def test_scoring_is_one_metric_or_several(rows, scoring, metrics):
    result = cross_group_scores(Recorder(), *rows, cv=HALVES, scoring=scoring)
    assert result.metrics == metrics
    assert len(result.scores) == 18 * len(metrics)
    if metrics == ["worst"]:
        assert result.table("worst").loc["M", "M"] == (17 + 17) / 2
    with pytest.raises(ValueError, match=f"metric='wors' is none of {len(metrics)} metric"):
        result.table("wors")


def test_number_of_folds_balances_target_and_groups():
    sex = np.array(["F"] * 20 + ["M"] * 10)  # sorted by sex and age
    y = np.concatenate([np.arange(20), np.arange(10)]).astype(float)
    X = pd.DataFrame({"row": np.arange(30), "sex": sex})
    scores = cross_group_scores(Recorder(), X, y, cv=5).scores
    by_group = scores[scores["train"] == "all"].groupby("test")["n_test"]
    assert by_group.unique().map(list).to_dict() == {"F": [4], "M": [2], "all": [6]}
    with pytest.raises(ValueError, match="Group 'M' has 0 rows in the test part of fold 0, and 2 are needed"):
        cross_group_scores(Recorder(), X, y, cv=KFold(5))


def test_folds_are_drawn_once(rows):
    cv = ShuffleSplit(2, random_state=np.random.RandomState(0), test_size=0.5)  # draws anew at each split
    cross_group_scores(Recorder(), *rows, cv=cv)
    for women, men, everyone in (FITS[:3], FITS[3:]):
        assert sorted(women[0] + men[0]) == sorted(everyone[0])


@pytest.mark.parametrize("cv", [3, GroupKFold(3)])
def test_subjects_stay_whole(rows, cv):
    subjects = np.arange(24) // 4
    cross_group_scores(Recorder(), *rows, cv=cv, groups=subjects)
    everyone = [fit for fit, _ in FITS if len(fit) == 16]
    assert len(everyone) == 3
    for trained in everyone:
        assert set(np.bincount(subjects[trained])) <= {0, 4}


def test_params_are_cut_to_the_rows_of_each_fit(rows):
    cross_group_scores(Recorder(), *rows, cv=HALVES, params={"sample_weight": np.arange(24) + 0.5})
    assert len(FITS) == 6
    for trained, weights in FITS:
        assert weights == [row + 0.5 for row in trained]


@pytest.mark.parametrize(
    "by",
    [np.tile(["a", "b", "b"], 8), pd.Series(np.tile([1.0, 2, 2], 8)), 1, "sex"],
    ids=["array", "series", "position", "name"],
)
def test_groups_are_a_column_or_labels_of_the_rows(rows, by):
    groups = cross_group_scores(Recorder(), *rows, by=by, cv=2).groups
    expected = {"array": ["a", "b"], "series": ["1", "2"]}
    kind = "array" if isinstance(by, np.ndarray) else "series" if isinstance(by, pd.Series) else None
    assert groups == [*expected.get(kind, ["F", "M"]), "all"]


def test_parallel_scores_equal_serial_ones_and_progress_counts_fits(rows, capsys):
    serial = cross_group_scores(Recorder(), *rows, cv=2).scores
    assert capsys.readouterr() == ("", "")
    with joblib.parallel_config("threading"):
        parallel = cross_group_scores(Meeting(), *rows, cv=2, n_jobs=2, verbose=1).scores
    pd.testing.assert_frame_equal(parallel.drop(columns="fit_seconds"), serial.drop(columns="fit_seconds"))
    assert "6/6" in capsys.readouterr().err


def test_failed_fit_says_in_which_group_and_fold(rows):
    with pytest.raises(ValueError, match="too cold") as caught:
        cross_group_scores(Recorder(fail_without=0), *rows, cv=HALVES)
    assert caught.value.__notes__ == ["This happened in training on 'M' in fold 0."]


def test_estimator_and_table_stay_as_they_are(rows):
    X, y = rows
    before, estimator = X.copy(), Recorder()
    cross_group_scores(estimator, X, y, cv=2)
    pd.testing.assert_frame_equal(X, before)
    assert not hasattr(estimator, "mean_")


def with_sex(X, values):
    return X.assign(sex=values)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (["F", None, np.nan, "M"] * 6, {}, "column 'sex' has a gap in 12 rows: 'p01', 'p02'"),
        (["F"] * 24, {}, "two groups at least, but column 'sex' holds one only: 'F'"),
        (["F", "all"] * 12, {}, "column 'sex' holds 'all'"),
        (
            ["F"] * 23 + ["M"],
            {},
            "Group 'M' has 1 row in all, for 2 folds, and 2 are needed in each part",
        ),
        (["F", "M"] * 12, {"by": "Sex"}, "X has no column by='Sex'. .* did you mean 'sex'"),
        (["F", "M"] * 12, {"by": 2}, "X has no column by=2"),
        (["F", "M"] * 12, {"by": ["F", "M"]}, "inconsistent numbers of samples"),
        (
            ["F", "M"] * 12,
            {"estimator": 3},
            "'estimator' parameter of cross_group_scores must be an estimator",
        ),
    ],
)
def test_what_cannot_be_done_is_said_before_any_fit(rows, change, arguments, message):
    X, y = rows
    with pytest.raises(ValueError, match=message):
        cross_group_scores(
            **({"estimator": Recorder(), "X": with_sex(X, change), "y": y, "cv": 2} | arguments)
        )
    assert FITS == []


def test_table_of_scores_that_is_none_is_refused():
    with pytest.raises(ValueError, match="it lacks 6 columns: 'train'"):
        CrossGroupScores(pd.DataFrame({"score": [1.0]}))
    with pytest.raises(ValueError, match="it is empty"):
        CrossGroupScores(
            pd.DataFrame(columns=["train", "test", "fold", "metric", "score", "n_train", "n_test"])
        )


def test_classifiers_are_scored_as_well(rows):
    X, y = rows
    result = cross_group_scores(
        DummyClassifier(), X, np.where(y > 0, "old", "young"), cv=2, scoring="accuracy"
    )
    assert result.table().loc["M", ["F", "M"]].tolist() == [0, 1]


def test_plot_shows_means_and_numbers_in_each_cell(rows):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    result = cross_group_scores(Recorder(), *rows, cv=HALVES, scoring=["neg_mean_absolute_error", "r2"])
    ax = result.plot()
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    assert texts[(0, 1)] == f"12.00 ± {np.std([6, 18], ddof=1):.2f}\nn = 12"  # trained on men, women tested
    assert [label.get_text() for label in ax.get_yticklabels()] == ["F (n = 6)", "M (n = 6)", "all (n = 12)"]
    colours = {text.get_position(): text.get_color() for text in ax.texts}
    assert (colours[(0, 0)], colours[(1, 0)]) == (
        "black",
        "white",
    )  # women's model: right of women, a bright cell
    assert ax.figure.axes[-1].get_ylabel() == "mean absolute error (less is better)"
    _, ax = pyplot.subplots()
    assert result.plot("r2", ax=ax) is ax
    assert ax.figure.axes[-1].get_ylabel() == "r2"
    one_fold = cross_group_scores(Recorder(), *rows, cv=HALVES[:1])
    assert "±" not in one_fold.plot().texts[0].get_text()
    pyplot.close("all")


def test_plot_without_matplotlib_says_what_to_install(rows, monkeypatch):
    result = cross_group_scores(Recorder(), *rows, cv=2)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"CrossGroupScores.plot needs matplotlib.*skhyperfusion\[plot\]"):
        result.plot()


def test_networks_read_images_of_each_group(study):
    X, _, values = study
    X = X.assign(sex=np.tile(["F", "M"], 20))
    network = HyperFusionRegressor(base_channels=2, max_epochs=1, random_state=0)
    table = cross_group_scores(network, X, values, cv=2).table()
    assert np.isfinite(table).all(axis=None)
    linear = cross_group_scores(LinearRegression(), X[["apoe4"]], values, by=X["sex"], cv=2)
    assert linear.groups == ["F", "M", "all"]
