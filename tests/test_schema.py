"""What a column was at the fit is settled once, and the preprocessor and the estimators go by it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.preprocessing import OneHotEncoder

from skhyperfusion import HyperFusionClassifier, TabularPreprocessor
from skhyperfusion._encoder import RowEncoder
from skhyperfusion._table import _schema
from skhyperfusion._table._columns import resolve_columns
from skhyperfusion._table._schema import TableSchema

SMALL = {"fusion": "tabular", "max_epochs": 1, "random_state": 0, "device": "cpu"}


def make_encoder(names, preprocessor):
    return RowEncoder(
        image_columns=(),
        tabular_columns=names,
        pixels=False,
        image_loader=None,
        tabular_preprocessor=preprocessor,
    )


@pytest.fixture
def sparse_text():
    """A column of text whose two values lie outside the rows 4 to 56."""
    table = pd.DataFrame({"a": np.linspace(-1, 1, 60), "oxygen": pd.Series([None] * 60, dtype=object)})
    table.loc[[3, 57], "oxygen"] = "N"
    return table, np.arange(60) % 2, np.r_[4:57]


# ---- The schema itself


def test_schema_tells_what_each_column_is():
    table = pd.DataFrame(
        {
            "scan": ["a.nii", "b.nii", None],
            "other": ["c.nii", "d.nii", None],
            "subject": ["s1", "s1", "s2"],
            "age": ["70", None, "<80"],
            "sex": ["F", "M", None],
            "job": pd.Categorical([1, 5, 1]),
            "oxygen": [None, "", np.nan],
        }
    )
    with pytest.warns(UserWarning, match="'other'"):
        roles = resolve_columns(table, image_columns="scan", group_column="subject")
    schema, cleaned = TableSchema.learn(table, roles)
    assert schema.kinds == {
        "scan": "image",
        "other": "dropped",
        "subject": "group",
        "age": "numbers",
        "sex": "text",
        "job": "text",
        "oxygen": "empty",
    }
    assert list(cleaned.columns) == ["age", "sex", "job", "oxygen"]
    assert schema.columns("text") == ["sex", "job"]


def test_schema_reads_later_cells_by_what_the_column_was():
    first = pd.DataFrame(
        {"stage": pd.Categorical(["1", "2", "x"]), "age": [70, 71, 72], "oxygen": [None] * 3}
    )
    schema, _ = TableSchema.learn(first)
    later = schema.read(pd.DataFrame({"stage": [1, 2], "age": ["70", "<80"], "oxygen": ["N", 3]}))
    assert later["stage"].tolist() == ["1", "2"]
    assert later["age"].tolist() == [70.0, 80.0]
    assert later["oxygen"].isna().all()


# ---- A column that was empty at the fit


def test_text_column_when_empty_in_the_rows_of_the_fit_is_left_out_by_the_estimator(sparse_text):
    X, y, rows = sparse_text
    model = HyperFusionClassifier(**SMALL).fit(X.iloc[rows], y[rows])
    assert model.tabular_preprocessor_.dropped_columns_ == ["oxygen"]
    assert model.predict_proba(X).shape == (60, 2)


def test_text_column_when_empty_in_the_rows_of_the_fit_is_left_out_by_the_preprocessor(sparse_text):
    X, _, rows = sparse_text
    fitted = TabularPreprocessor().fit(X.iloc[rows])
    assert fitted.dropped_columns_ == ["oxygen"]
    assert fitted.transform(X).shape == (60, 1)


def test_text_column_when_all_its_values_are_held_out_is_left_out():
    table = pd.DataFrame({"a": np.arange(12.0), "oxygen": [None] * 10 + ["N", "N"]})
    encoder = make_encoder(("a", "oxygen"), TabularPreprocessor())
    matrix = encoder.fit_table(table, np.arange(10))
    assert encoder.tabular_preprocessor.dropped_columns_ == ["oxygen"]
    assert matrix.shape == (12, 1)


# ---- One decision, on all rows of the fit


@pytest.mark.parametrize("rows", [[0, 1, 3, 4], [0, 1, 2, 3]], ids=["word held out", "word learned from"])
def test_kind_of_a_column_does_not_depend_on_which_rows_are_held_out(rows):
    table = pd.DataFrame({"grade": ["1", "2", "high", "1", "2", "high"], "a": np.arange(6.0)})
    encoder = make_encoder(("grade", "a"), TabularPreprocessor())
    message = "Row 2, column 'grade': not a number, in a column of 4 numbers"
    with pytest.warns(UserWarning, match=message):
        assert len(encoder.fit_table(table, np.array(rows))) == 6
    assert encoder.tabular_preprocessor.numeric_columns_ == ["grade", "a"]
    with (
        pytest.warns(UserWarning, match="not a number"),
        pytest.raises(ValueError, match=r"'grade' .* must hold finite numbers.*2 rows: 2, 5"),
    ):
        make_encoder(("grade", "a"), None).fit_table(table, np.array(rows))


def test_table_is_read_once_by_fit_and_once_by_predict(monkeypatch):
    n_read = []
    plain = _schema.read_cells
    monkeypatch.setattr(
        _schema, "read_cells", lambda read, cells: n_read.append(len(cells)) or plain(read, cells)
    )
    X = pd.DataFrame({"sex": ["F", "M", None] * 4, "a": np.arange(12.0)})
    model = HyperFusionClassifier(**SMALL).fit(X, np.arange(12) % 2)
    at_fit = sum(n_read)
    model.predict(X)
    assert at_fit <= 24  # once as numbers, and once as the text that it is
    assert sum(n_read) - at_fit == 12


# ---- A transformer of the user's own


class Recorder(TransformerMixin, BaseEstimator):
    """Keeps the dtypes that it was given, and gives zeros."""

    def fit(self, X, y=None):
        self.fitted_on_ = X.dtypes
        self.cells_ = X["tau"].tolist()
        return self

    def transform(self, X):
        self.transformed_ = X.dtypes
        return np.zeros((len(X), 1))


def test_own_transformer_gets_its_own_columns_and_dtypes():
    X = pd.DataFrame(
        {
            "site": pd.Categorical(["a", "b"] * 4),
            "age": pd.array([70, None] * 4, dtype="Int64"),
            "tau": ["<80", "n/a"] * 4,
        }
    )
    model = HyperFusionClassifier(tabular_preprocessor=Recorder(), **SMALL).fit(X, np.arange(8) % 2)
    model.predict(X)
    own = model.tabular_preprocessor_
    pd.testing.assert_series_equal(own.fitted_on_, X.dtypes)
    pd.testing.assert_series_equal(own.transformed_, X.dtypes)
    assert own.cells_ == X["tau"].tolist()


def test_own_transformer_that_selects_category_columns_finds_them():
    X = pd.DataFrame({"site": pd.Categorical(["a", "b", "c", "a"] * 2), "age": np.arange(8.0)})
    one_hot = make_column_transformer(
        (OneHotEncoder(sparse_output=False), make_column_selector(dtype_include="category")),
        remainder="passthrough",
    )
    model = HyperFusionClassifier(tabular_preprocessor=one_hot, **SMALL).fit(X, np.arange(8) % 2)
    assert model.tabular_preprocessor_.get_feature_names_out().tolist() == [
        "onehotencoder__site_a",
        "onehotencoder__site_b",
        "onehotencoder__site_c",
        "remainder__age",
    ]


def test_own_transformer_gets_numbers_as_such_from_an_array_of_objects():
    X = np.array([["a", 1.5], ["b", 2.5]] * 4, dtype=object)
    numbers = make_column_transformer(("passthrough", make_column_selector(dtype_include="number")))
    model = HyperFusionClassifier(tabular_preprocessor=numbers, **SMALL).fit(X, np.arange(8) % 2)
    assert len(model.tabular_preprocessor_.get_feature_names_out()) == 1


class Halved(TabularPreprocessor):
    """A subclass with a `fit` of its own."""

    def fit(self, X, y=None):
        self.n_fitted_on_ = len(X)
        return super().fit(X)


def test_subclass_of_the_preprocessor_has_its_own_fit_called():
    X = pd.DataFrame({"age": np.arange(8.0), "sex": ["F", "M"] * 4})
    model = HyperFusionClassifier(tabular_preprocessor=Halved(), **SMALL).fit(X, np.arange(8) % 2)
    assert model.tabular_preprocessor_.n_fitted_on_ == 8


# ---- What only the estimator knows


def test_estimator_tells_of_a_column_that_determines_the_target_and_of_ids_unless_silenced():
    ill = np.arange(24) % 3 == 0
    X = pd.DataFrame(
        {
            "age": np.random.default_rng(0).normal(70, 8, 24),
            "diagnosis": np.where(ill, "AD", "CN"),
            "subject": [f"s{i // 2}" for i in range(24)],
        }
    )
    groups = np.arange(24) // 2
    with (
        pytest.warns(UserWarning, match="Column 'diagnosis' determines the target"),
        pytest.warns(UserWarning, match="Column 'subject' has another value in each of 12 groups"),
    ):
        HyperFusionClassifier(**SMALL).fit(X, ill, groups=groups)
    HyperFusionClassifier(tabular_preprocessor=TabularPreprocessor(on_odd="ignore"), **SMALL).fit(
        X, ill, groups=groups
    )


# ---- image_columns=None


def test_image_columns_when_none_means_that_no_column_holds_images():
    X = pd.DataFrame({"scan": ["a.nii", "b.nii"] * 4, "age": np.arange(8.0)})
    with pytest.warns(UserWarning, match=r"image_columns=None does not name .*'scan'"):
        model = HyperFusionClassifier(image_columns=None, **SMALL | {"fusion": "hyper"}).fit(
            X, np.arange(8) % 2
        )
    assert model.image_columns_ == []
    assert model.tabular_columns_ == ["age"]
