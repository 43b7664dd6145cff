"""Folds balanced jointly in target and table: what is even, what is kept together, what is refused."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)

from skhyperfusion.model_selection import JointStratifiedKFold, compare_estimators


def make_cohort(n_samples=300, seed=0):
    """Draw the paper's class shares, sex and age with gaps: (X, y)."""
    rng = np.random.default_rng(seed)
    y = rng.choice(["AD", "CN", "MCI"], n_samples, p=[0.17, 0.35, 0.48])
    X = pd.DataFrame({"sex": rng.choice(["F", "M"], n_samples), "age": rng.normal(72, 7, n_samples)})
    X.loc[rng.random(n_samples) < 0.05, "age"] = np.nan
    return X, y


def folds_of(cv, X, y, groups=None):
    """Number the fold of each row, and check that the folds are a partition."""
    folds = np.full(len(X), -1)
    for fold, (train, test) in enumerate(cv.split(X, y, groups)):
        assert (folds[test] == -1).all()
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(X)))
        folds[test] = fold
    assert (folds >= 0).all()
    return folds


def unevenness(folds, *columns):
    """Largest difference between two folds in the number of rows of a cell."""
    cells = pd.MultiIndex.from_arrays(
        [["gap" if pd.isna(cell) else cell for cell in column] for column in columns]
    )
    table = pd.crosstab(folds, [cells.to_flat_index()])
    return (table.max() - table.min()).max()


def quarters(ages):
    return pd.qcut(ages, 4, labels=False)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("n_splits", [2, 5, 7])
def test_cells_and_classes_differ_by_one_row_at_most(n_splits, shuffle):
    X, y = make_cohort()
    cv = JointStratifiedKFold(n_splits, columns=["sex", "age"], shuffle=shuffle)
    folds = folds_of(cv, X, y)
    assert unevenness(folds, y, X["sex"], quarters(X["age"])) <= 1
    assert unevenness(folds, y) <= 1


def test_balance_is_better_than_that_of_stratified_k_fold():
    X, y = make_cohort()
    columns = {"sex": X["sex"], "age": quarters(X["age"])}
    found = {name: [] for name in ("stratified", "joint")}
    for seed in range(5):
        splitters = {
            "stratified": StratifiedKFold(5, shuffle=True, random_state=seed),
            "joint": JointStratifiedKFold(5, columns=["sex", "age"], shuffle=True, random_state=seed),
        }
        for name, cv in splitters.items():
            folds = folds_of(cv, X, y)
            found[name].append([unevenness(folds, column) for column in columns.values()])
            assert unevenness(folds, y) <= 1
    joint, stratified = np.mean(found["joint"], axis=0), np.mean(found["stratified"], axis=0)
    assert (joint <= 3).all()
    assert (stratified > 2 * joint).all()


def test_rare_cells_are_spread():
    X = pd.DataFrame({"sex": ["F"] * 27 + ["M"] * 3})
    y = ["AD"] * 15 + ["CN"] * 15  # the three men are CN
    folds = folds_of(JointStratifiedKFold(5, columns="sex"), X, y)
    assert len(set(folds[27:])) == 3
    assert np.bincount(folds).tolist() == [6] * 5


def test_many_rare_cells_do_not_pile_up_in_one_fold():
    X = pd.DataFrame({"site": [f"s{i}" for i in range(40)]})  # every cell has one row
    folds = folds_of(JointStratifiedKFold(5, columns=["site"]), X, ["AD", "CN"] * 20)
    assert np.bincount(folds).tolist() == [8] * 5


def test_one_column_may_be_given_without_a_list():
    X = pd.DataFrame({"sex": ["F"] * 10 + ["M"] * 10})
    for table, column in [(X, "sex"), (X.to_numpy(), 0), (X.to_numpy(), np.int64(0)), (X, -1)]:
        folds = folds_of(JointStratifiedKFold(2, columns=column), table, None)
        assert unevenness(folds, X["sex"]) == 0


def test_columns_that_are_not_named_are_not_balanced():
    X = pd.DataFrame({"sex": ["F"] * 10 + ["M"] * 10})
    y = np.zeros(20, dtype=int)
    assert unevenness(folds_of(JointStratifiedKFold(2), X, y), X["sex"]) == 10
    assert unevenness(folds_of(JointStratifiedKFold(2, columns=["sex"]), X, y), X["sex"]) == 0


def test_bins_are_quantiles_as_many_as_asked_for():
    X = pd.DataFrame({"age": np.exp(np.arange(40.0))})
    y = np.zeros(40, dtype=int)
    halves, eighths = (np.arange(40) * n // 40 for n in (2, 8))
    coarse = folds_of(JointStratifiedKFold(5, columns=["age"], n_bins=2), X, y)
    fine = folds_of(JointStratifiedKFold(5, columns=["age"], n_bins=8), X, y)
    assert (unevenness(coarse, halves), unevenness(fine, eighths)) == (0, 0)
    assert unevenness(coarse, eighths) > 0


def test_numbers_with_few_values_are_kept_apart():
    X = pd.DataFrame({"apoe4": np.repeat([0, 1, 2], [70, 25, 5])})
    folds = folds_of(JointStratifiedKFold(5, columns=["apoe4"]), X, np.zeros(100, dtype=int))
    assert unevenness(folds, X["apoe4"]) == 0


def test_gaps_are_a_bin_of_their_own():
    X = pd.DataFrame({"age": [np.nan] * 10 + list(range(30)), "sex": ["F"] * 30 + [None] * 10})
    for columns in (["age"], ["sex"]):
        folds = folds_of(JointStratifiedKFold(5, columns=columns), X, np.zeros(40, dtype=int))
        assert np.bincount(folds[X[columns[0]].isna()]).tolist() == [2] * 5


def test_continuous_target_is_binned():
    y = np.sort(np.random.default_rng(0).normal(size=80))
    folds = folds_of(JointStratifiedKFold(5, n_bins=4), np.empty((80, 1)), y)
    assert unevenness(folds, np.arange(80) // 20) == 0


def test_integer_target_is_classes_or_binned_by_how_often_a_value_occurs():
    X = np.empty((60, 1))
    digits = np.arange(60) % 10
    assert unevenness(folds_of(JointStratifiedKFold(3), X, digits), digits) == 0
    ages = np.arange(60) + 30
    assert unevenness(folds_of(JointStratifiedKFold(3, n_bins=4), X, ages), ages // 15) == 0


def test_several_targets_are_balanced_jointly():
    y = np.column_stack([np.repeat([0, 1], 20), np.tile([0, 1], 20)])
    folds = folds_of(JointStratifiedKFold(5), np.empty((40, 1)), y)
    assert unevenness(folds, y[:, 0], y[:, 1]) == 0


def test_no_target_balances_the_columns():
    X, _ = make_cohort(100)
    assert unevenness(folds_of(JointStratifiedKFold(5, columns="sex"), X, None), X["sex"]) <= 1


def test_groups_stay_together_and_are_balanced():
    rng = np.random.default_rng(0)
    subjects, _ = make_cohort(120)
    groups = np.repeat(np.arange(120), rng.integers(1, 5, 120))
    X = subjects.iloc[groups].reset_index(drop=True)
    y = rng.choice(["AD", "CN", "MCI"], 120, p=[0.17, 0.35, 0.48])[groups]
    joint = folds_of(JointStratifiedKFold(5, columns=["sex", "age"]), X, y, groups)
    rival = folds_of(StratifiedGroupKFold(5), X, y, groups)
    assert pd.Series(joint).groupby(groups).nunique().max() == 1
    assert unevenness(joint, y) <= 3
    assert np.ptp(np.bincount(joint)) <= 3
    for column in (X["sex"], quarters(X["age"])):
        assert unevenness(joint, column) <= 5 < unevenness(rival, column)


def test_groups_of_one_row_are_as_even_as_rows():
    X, y = make_cohort(200)
    folds = folds_of(JointStratifiedKFold(5, columns=["sex", "age"]), X, y, [f"p{i}" for i in range(200)])
    assert unevenness(folds, y) <= 2
    assert unevenness(folds, y, X["sex"], quarters(X["age"])) <= 2


def test_rows_without_a_group_are_groups_of_their_own():
    groups = np.array([1.0] * 4 + [np.nan] * 4)
    folds = folds_of(JointStratifiedKFold(2), np.empty((8, 1)), np.zeros(8, dtype=int), groups)
    assert len(set(folds[:4])) == 1
    assert set(folds[4:]) == {1 - folds[0]}


@pytest.mark.parametrize("groups", [None, np.arange(100) // 2])
def test_shuffling_is_seeded_and_off_by_default(groups):
    X, y = make_cohort(100)

    def draw(**parameters):
        return folds_of(JointStratifiedKFold(5, columns=["sex"], **parameters), X, y, groups)

    np.testing.assert_array_equal(draw(), draw())
    np.testing.assert_array_equal(draw(shuffle=True, random_state=1), draw(shuffle=True, random_state=1))
    assert (draw(shuffle=True, random_state=1) != draw(shuffle=True, random_state=2)).any()
    assert (draw() != draw(shuffle=True, random_state=1)).any()
    assert (draw(shuffle=True) != draw(shuffle=True)).any()
    state = np.random.RandomState(0)
    cv = JointStratifiedKFold(5, columns=["sex"], shuffle=True, random_state=state)
    assert (folds_of(cv, X, y, groups) != folds_of(cv, X, y, groups)).any()


def test_global_random_state_is_left_alone():
    X, y = make_cohort(100)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    folds_of(JointStratifiedKFold(5, shuffle=True), X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("kind", ["frame", "array", "list", "polars"])
def test_any_table_gives_the_same_folds(kind):
    X, y = make_cohort(60)
    columns = ["sex", "age"] if kind in ("frame", "polars") else [0, 1]
    table = X
    if kind == "polars":
        table = pytest.importorskip("polars").DataFrame({name: X[name].to_list() for name in X})
    elif kind != "frame":
        table = X.to_numpy(dtype=object)
        table = table.tolist() if kind == "list" else table
    cv = JointStratifiedKFold(5, columns=columns)
    expected = folds_of(JointStratifiedKFold(5, columns=["sex", "age"]), X, y)
    np.testing.assert_array_equal(folds_of(cv, table, y), expected)


def test_splitter_works_as_cv_everywhere():
    X, y = make_cohort(60)
    cv = JointStratifiedKFold(3, columns=["sex", "age"])
    assert cv.get_n_splits(X, y) == 3
    majority = DummyClassifier()
    assert len(cross_val_score(majority, X, y, cv=cv)) == 3
    search = GridSearchCV(majority, {"strategy": ["prior", "uniform"]}, cv=cv, error_score="raise")
    assert search.fit(X, y, groups=np.arange(60) // 2).best_params_ == {"strategy": "prior"}
    assert compare_estimators({"a": majority}, X, y, cv=cv).scores["fold"].tolist() == [0, 1, 2]


def test_groups_are_routed_to_it():
    X, y = make_cohort(60)
    groups = np.arange(60) // 2
    cv = JointStratifiedKFold(3)
    with sklearn.config_context(enable_metadata_routing=True):
        result = cross_validate(
            DummyClassifier(), X, y, cv=cv, params={"groups": groups}, return_indices=True
        )
    for test in result["indices"]["test"]:
        assert set(groups[test]).isdisjoint(np.delete(groups, test))


def test_repr_shows_the_parameters():
    text = " ".join(repr(JointStratifiedKFold(4, columns=["sex"], shuffle=True, random_state=0)).split())
    assert text == "JointStratifiedKFold(columns=['sex'], n_bins=4, n_splits=4, random_state=0, shuffle=True)"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_splits": 1}, "'n_splits' parameter of JointStratifiedKFold must be an integer >= 2. Got 1"),
        ({"n_splits": True}, "Got True"),
        ({"n_bins": 1}, "'n_bins' parameter .* must be an integer >= 2. Got 1"),
        ({"shuffle": "yes"}, "'shuffle' parameter .* must be True or False"),
        ({"shuffle": True, "random_state": "a"}, "'random_state' parameter"),
        ({"random_state": 0}, "random_state=0 has no effect without shuffle=True"),
    ],
)
def test_wrong_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        JointStratifiedKFold(**parameters)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["sx"], "X has no column 'sx'. It has 2 columns: 'sex', 'age'; did you mean 'sex'"),
        (2, "X has no column 2"),
        ([True], "X has no column True"),
    ],
)
def test_unknown_columns_are_refused(columns, message):
    X, y = make_cohort(20)
    with pytest.raises(ValueError, match=message):
        list(JointStratifiedKFold(2, columns=columns).split(X, y))


def test_name_of_two_columns_is_refused():
    X, y = make_cohort(20)
    X.columns = ["age", "age"]
    with pytest.raises(ValueError, match="'age' is the name of several columns"):
        list(JointStratifiedKFold(2, columns=["age"]).split(X, y))


def test_more_folds_than_there_is_to_split_are_refused():
    X, y = make_cohort(20)
    with pytest.raises(ValueError, match="n_splits=21 is more than the number of samples: n_samples=20"):
        list(JointStratifiedKFold(21).split(X, y))
    with pytest.raises(ValueError, match="n_splits=5 is more than the number of groups: 4"):
        list(JointStratifiedKFold(5).split(X, None, np.arange(20) // 5))
    with pytest.raises(
        ValueError, match=r"n_splits=5 is more than the number of members of each class: .* has 4"
    ):
        list(JointStratifiedKFold(5).split(X, [f"c{i // 4}" for i in range(20)]))


def test_class_with_too_few_members_is_warned_of():
    X, _ = make_cohort(20)
    y = ["AD"] * 3 + ["CN"] * 17
    with pytest.warns(
        UserWarning, match="class in y, 'AD', has only 3 members, which is less than n_splits=5"
    ):
        folds = folds_of(JointStratifiedKFold(5), X, y)
    assert len(set(folds[:3])) == 3
