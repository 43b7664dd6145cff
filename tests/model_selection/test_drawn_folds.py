"""The splitters on tables, targets and groups that hypothesis draws: what holds for every one of them."""

import warnings

import numpy as np
import pandas as pd
from drawn_tables import NAMES, drawn, few, tables
from hypothesis import assume, given
from hypothesis import strategies as st

from skhyperfusion import survival_target
from skhyperfusion.model_selection import JointStratifiedKFold, SurvivalStratifiedKFold

_TARGETS = {
    "none": None,
    "words": st.sampled_from(["AD", "CN", "MCI", ""]),
    "codes": st.integers(-1, 3),
    "flags": st.booleans(),
    "values": st.floats(-100, 100),
    "years": st.integers(20, 90),
}
_GROUPS = st.none() | st.integers(0, 8) | st.sampled_from(["s1", "s2", ""])


@st.composite
def studies(draw, groups):
    """A table, a target, groups if asked for, and a splitter that can split them."""
    X = draw(tables(names=NAMES, n_rows=(4, 30), n_columns=(1, 3)))
    n = len(X)
    kind = draw(st.sampled_from(list(_TARGETS)))
    y = None if kind == "none" else draw(st.lists(_TARGETS[kind], min_size=n, max_size=n))
    groups = draw(st.lists(_GROUPS, min_size=n, max_size=n)) if groups else None
    balanced = draw(st.lists(st.sampled_from(list(X.columns)), unique=True))
    settings = {"columns": balanced or None, "n_bins": draw(st.integers(2, 5))}
    if draw(st.booleans()):
        settings |= {"shuffle": True, "random_state": draw(st.integers(0, 5))}
    return X, y, groups, JointStratifiedKFold(draw(st.integers(2, 5)), **settings)


def split(cv, X, y, groups=None):
    """The fold of each row, checked to be a partition; what cannot be split is none of the examples."""
    folds = np.full(len(X), -1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class in y")
            parts = list(cv.split(X, y, groups))
    except ValueError as error:
        assume("is more than the number of" not in str(error))
        raise
    assert len(parts) == cv.get_n_splits(X, y, groups) == cv.n_splits
    for fold, (train, test) in enumerate(parts):
        assert len(test) > 0
        assert len(train) > 0
        assert (folds[test] == -1).all()  # every row is tested once
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(X)))
        folds[test] = fold
    return folds


def subjects_of(groups):
    """A name for each row's group; a row without one is a group of its own."""
    return [("row", i) if group is None else ("group", group) for i, group in enumerate(groups)]


def counts_of(folds, labels):
    """How many rows of each label stand in each fold."""
    return pd.crosstab(pd.Series(labels, dtype=object).map(repr), folds).to_numpy()


@drawn(40, 300)
def test_rows_are_tested_once_and_classes_differ_by_one_row_at_most(n_examples):
    @few(n_examples)
    @given(studies(groups=False), st.randoms(use_true_random=False))
    def check(study, random):
        X, y, _, cv = study
        folds = split(cv, X, y)
        np.testing.assert_array_equal(split(cv, X, y), folds)  # seeded
        counts = np.bincount(folds, minlength=cv.n_splits)
        if y is not None and isinstance(y[0], str | bool):
            assert np.ptp(counts_of(folds, y), axis=1).max() <= 1
        if y is None and cv.columns is None:
            assert np.ptp(counts) <= 1
        order = list(range(len(X)))
        random.shuffle(order)
        again = split(cv, X.iloc[order], None if y is None else [y[i] for i in order])
        if not cv.shuffle:  # who sits where may differ, how many do not
            np.testing.assert_array_equal(np.bincount(again, minlength=cv.n_splits), counts)

    check()


@drawn(40, 300)
def test_groups_never_straddle(n_examples):
    @few(n_examples)
    @given(studies(groups=True))
    def check(study):
        X, y, groups, cv = study
        folds = split(cv, X, y, groups)
        found = {}
        for subject, fold in zip(subjects_of(groups), folds, strict=True):
            assert found.setdefault(subject, fold) == fold
        np.testing.assert_array_equal(split(cv, X, y, groups), folds)
        renamed = [None if group is None else f"patient {group!r}" for group in groups]
        np.testing.assert_array_equal(split(cv, X, y, renamed), folds)

    check()


@drawn(20, 150)
def test_events_differ_by_one_at_most(n_examples):
    @few(n_examples)
    @given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 10)), min_size=6, max_size=30), st.integers(2, 5))
    def check(pairs, n_splits):
        y = survival_target(*map(np.array, zip(*pairs, strict=True)))
        X = np.zeros((len(y), 1))
        folds = split(SurvivalStratifiedKFold(n_splits), X, y)
        assert np.ptp(counts_of(folds, y["event"].tolist()), axis=1).max() <= 1
        groups = np.arange(len(y)) // 2
        assume(len(set(groups)) >= n_splits)
        folds = split(SurvivalStratifiedKFold(n_splits), X, y, groups)
        assert (folds[:-1:2] == folds[1::2])[: len(y) // 2].all()

    check()
