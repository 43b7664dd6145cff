"""`check_table`: whatever X is becomes the DataFrame that the estimator was fitted on."""

import pathlib
import pickle
import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from skhyperfusion._table._cells import object_array
from skhyperfusion._table._columns import check_table
from skhyperfusion._table._schema import clean_tabular

IMAGE = np.arange(4.0).reshape(2, 2)


class Echo(TransformerMixin, BaseEstimator):
    """The least estimator that reads X by `check_table`."""

    def fit(self, X, y=None):
        check_table(self, X, reset=True)
        return self

    def transform(self, X):
        check_is_fitted(self)
        frame = check_table(self, X, reset=False)
        return clean_tabular(frame).apply(pd.to_numeric, errors="coerce").fillna(0).to_numpy()

    def get_feature_names_out(self, input_features=None):
        return np.array([f"x{i}" for i in range(self.n_features_in_)], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


@pytest.fixture
def table():
    return pd.DataFrame(
        {"age": [70, 81, np.nan], "sex": ["F", "M", None], "t1w": ["a.nii", "b.nii", None]}, index=[9, 3, 9]
    )


@parametrize_with_checks([Echo()])
def test_sklearn_contract(estimator, check):
    assert check(estimator) is None


def test_sklearn_contract_when_names_are_wrong_follows_its_words():
    # scikit-learn's own check wants another order refused too; here it is put right.
    fitted = Echo().fit(pd.DataFrame(np.ones((3, 8)), columns=[f"col_{i}" for i in range(8)]))
    unseen = pd.DataFrame(np.ones((3, 8)), columns=[f"another_prefix_{i}" for i in range(8)])
    with pytest.raises(
        ValueError, match=r"during fit\.\nFeature names unseen at fit time:\n- another_prefix_0"
    ):
        fitted.transform(unseen)
    missing = pd.DataFrame(np.ones((3, 3)), columns=["col_0", "col_1", "col_2"])
    with pytest.raises(
        ValueError, match=r"during fit\.\nFeature names seen at fit time, yet now missing:\n- col_3"
    ):
        fitted.transform(missing)


def test_sparse_and_nan_checks_when_run_by_hand_pass():
    echo = Echo()
    assert estimator_checks.check_estimator_sparse_array("Echo", echo) is None
    assert estimator_checks.check_estimator_sparse_matrix("Echo", echo) is None
    with pytest.raises(ValueError, match="infinity"):
        echo.fit(np.array([[0.0, np.inf]]))


def _as_polars(table):
    return pl.DataFrame(_lists(table))


def _lists(table):
    return {name: table[name].astype(object).where(table[name].notna(), None).to_list() for name in table}


@pytest.mark.parametrize(
    "convert",
    [
        lambda t: t,
        lambda t: t.astype(object),
        lambda t: t.convert_dtypes(),
        lambda t: t.convert_dtypes(dtype_backend="pyarrow"),
        lambda t: t.astype({"sex": "category", "t1w": "category"}),
        lambda t: t.astype({"sex": pd.StringDtype("python")}),
        _as_polars,
        lambda t: _as_polars(t).with_columns(
            pl.col("sex").cast(pl.Categorical), pl.col("t1w").cast(pl.Enum(["a.nii", "b.nii"]))
        ),
        lambda t: pa.table(_lists(t)),
    ],
    ids=[
        "pandas",
        "object",
        "nullable",
        "arrow",
        "category",
        "python-str",
        "polars",
        "polars-enum",
        "pyarrow",
    ],
)
def test_check_table_when_frame_is_of_any_kind_reads_the_same(table, convert):
    echo = Echo()
    given = convert(table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = check_table(echo, given, reset=True)
        cleaned = clean_tabular(frame[["age", "sex"]])
    assert list(echo.feature_names_in_) == ["age", "sex", "t1w"]
    np.testing.assert_array_equal(cleaned["age"], [70.0, 81.0, np.nan])
    assert cleaned["sex"].tolist()[:2] == ["F", "M"]
    assert pd.isna(cleaned["sex"].iloc[2])
    assert list(frame["t1w"])[:2] == ["a.nii", "b.nii"]


@pytest.mark.parametrize(
    "convert",
    [
        lambda t: t.to_numpy(dtype=object),
        lambda t: t.to_numpy(dtype=object).tolist(),
        lambda t: [tuple(row) for row in t.to_numpy(dtype=object)],
        lambda t: list(t.to_numpy(dtype=object)),
        lambda t: t.set_axis([0, 1, 2], axis=1),
        lambda t: t.to_numpy(dtype=object).astype(str),
        lambda t: np.char.encode(t.to_numpy(dtype=object).astype(str)),
    ],
    ids=["object", "lists", "tuples", "arrays", "int-names", "U", "S"],
)
def test_check_table_when_there_are_no_names_makes_them_up(table, convert):
    echo = Echo()
    frame = check_table(echo, convert(table), reset=True)
    cleaned = clean_tabular(frame[["x0"]])
    assert not hasattr(echo, "feature_names_in_")
    assert echo.n_features_in_ == 3
    assert list(frame.columns) == ["x0", "x1", "x2"]
    np.testing.assert_array_equal(cleaned["x0"], [70.0, 81.0, np.nan])
    assert list(frame["x2"])[:2] == ["a.nii", "b.nii"]


@pytest.mark.parametrize(
    "image", [IMAGE, nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)), pathlib.Path("a.nii")]
)
@pytest.mark.parametrize("kind", ["frame", "array", "rows", "polars"])
def test_check_table_when_cells_hold_images_keeps_the_objects(image, kind):
    table = pd.DataFrame({"image": object_array([image, image, None]), "age": [1.0, 2.0, 3.0]})
    X = {
        "frame": table,
        "array": table.to_numpy(dtype=object),
        "rows": table.to_numpy(dtype=object).tolist(),
        "polars": pl.DataFrame(
            [pl.Series("image", [image, image, None], dtype=pl.Object), pl.Series("age", [1.0, 2, 3])]
        ),
    }[kind]
    frame = check_table(Echo(), X, reset=True)
    assert frame.iat[0, 0] is image
    assert frame.shape == (3, 2)


def test_check_table_keeps_the_index_and_the_callers_frame(table):
    before = pickle.dumps(table)
    frame = check_table(Echo(), table, reset=True)
    frame["age"] = 0.0
    frame.columns = ["a", "b", "c"]
    assert list(frame.index) == [9, 3, 9]
    assert pickle.dumps(table) == before


def test_check_table_when_given_an_array_does_not_share_it():
    values = np.ones((3, 2))
    frame = check_table(Echo(), values, reset=True)
    frame.iloc[0, 0] = 7.0
    assert values[0, 0] == 1.0


@pytest.mark.parametrize(
    "convert", [lambda array: array, lambda array: array.tolist()], ids=["array", "rows"]
)
def test_check_table_when_cells_of_objects_are_not_a_time_alone_takes_them_for_gaps(convert):
    frame = check_table(Echo(), convert(np.array([[1.0, None], [2.0, pd.NaT]], dtype=object)), reset=True)
    assert frame["x1"].isna().all()
    with pytest.raises(ValueError, match="'x1' holds dates or times"):
        check_table(
            Echo(), convert(np.array([[1.0, pd.Timestamp(0)], [2.0, pd.NaT]], dtype=object)), reset=True
        )


def test_check_table_when_columns_are_reordered_restores_the_order(table):
    echo = Echo().fit(table)
    frame = check_table(echo, table[["t1w", "age", "sex"]], reset=False)
    assert list(frame.columns) == ["age", "sex", "t1w"]
    assert frame["age"].tolist()[:2] == [70, 81]


def test_check_table_when_a_column_is_missing_names_it_and_the_nearest(table):
    echo = Echo().fit(table)
    with pytest.raises(ValueError, match=r"X lacks column 'age'; did you mean 'Age'\?"):
        check_table(echo, table.rename(columns={"age": "Age"}), reset=False)


def test_check_table_when_a_column_is_extra_follows_scikit_learn(table):
    echo = Echo().fit(table)
    with pytest.raises(ValueError, match="Feature names unseen at fit time:\n- csf"):
        check_table(echo, table.assign(csf=1), reset=False)


def test_check_table_when_fitted_on_a_frame_and_given_an_array_goes_by_position(table):
    echo = Echo().fit(table)
    with pytest.warns(UserWarning, match="X does not have valid feature names, but Echo was fitted with"):
        frame = check_table(echo, table.to_numpy(dtype=object), reset=False)
    assert list(frame.columns) == ["age", "sex", "t1w"]
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(ValueError, match="X has 2 features, but Echo is expecting 3 features as input"),
    ):
        check_table(echo, table.to_numpy(dtype=object)[:, :2], reset=False)


def test_check_table_when_fitted_on_an_array_and_given_a_frame_goes_by_position(table):
    echo = Echo().fit(table.to_numpy(dtype=object))
    with pytest.warns(UserWarning, match="X has feature names, but Echo was fitted without"):
        frame = check_table(echo, table, reset=False)
    assert list(frame.columns) == ["x0", "x1", "x2"]


def test_check_table_when_refitted_without_names_forgets_them(table):
    echo = Echo().fit(table)
    echo.fit(table.to_numpy(dtype=object))
    assert not hasattr(echo, "feature_names_in_")


def test_check_table_when_columns_are_sparse_reads_them():
    frame = check_table(Echo(), pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 1.0])}), reset=True)
    assert frame["a"].dtype == np.float64


class _ToPandas:
    def to_pandas(self):
        return pd.DataFrame({"age": [1.0]})


class _Interchange:
    def __dataframe__(self, *args, **kwargs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pd.DataFrame({"age": [1.0]}).__dataframe__(*args, **kwargs)


@pytest.mark.parametrize("X", [_ToPandas(), _Interchange()], ids=["to_pandas", "interchange"])
def test_check_table_when_a_frame_can_be_converted_converts_it(X):
    echo = Echo()
    assert check_table(echo, X, reset=True)["age"].tolist() == [1.0]
    assert list(echo.feature_names_in_) == ["age"]
