"""TabularPreprocessor: scikit-learn's contract, and every rule of its own."""

import pathlib
import pickle
import re

import nibabel as nib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from cohort_table import make_table
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from skhyperfusion._table._cells import object_array
from skhyperfusion._table._preprocessor import TabularPreprocessor

NIFTI = nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4))
PREPROCESSORS = [
    TabularPreprocessor(),
    TabularPreprocessor(imputer="median", scaler=None),
    TabularPreprocessor(imputer="knn", add_indicator=False),
]


@pytest.fixture
def table():
    return make_table()


# ---- scikit-learn's contract


@parametrize_with_checks(PREPROCESSORS)
def test_sklearn_contract(estimator, check):
    assert check(estimator) is None


def test_sklearn_contract_yields_all_checks():
    assert sum(1 for _ in estimator_checks_generator(TabularPreprocessor())) >= 45


# scikit-learn's own checks of `set_output` fit on a frame and transform an array.
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_transformer_get_feature_names_out,
        estimator_checks.check_transformer_get_feature_names_out_pandas,
        estimator_checks.check_set_output_transform,
        estimator_checks.check_set_output_transform_pandas,
        estimator_checks.check_global_output_transform_pandas,
        estimator_checks.check_set_output_transform_polars,
        estimator_checks.check_global_set_output_transform_polars,
        estimator_checks.check_get_feature_names_out_error,
        estimator_checks.check_estimators_partial_fit_n_features,
        estimator_checks.check_n_features_in_after_fitting,
    ],
)
def test_sklearn_checks_beyond_the_default_ones(check):
    assert check("TabularPreprocessor", TabularPreprocessor()) is None


# ---- What comes out


def test_default_when_images_are_there_gives_a_frame_by_name(table):
    out = TabularPreprocessor().fit_transform(table)
    assert list(out.columns) == [
        "age",
        "tau",
        "carrier",
        "missingindicator_tau",
        "missingindicator_site",
        "sex_F",
        "sex_M",
        "site_a",
        "site_b",
        "site_c",
        "t1w",
    ]
    assert out.index.equals(table.index)
    assert out["t1w"].dtype == table["t1w"].dtype
    assert out["t1w"].tolist() == table["t1w"].tolist()
    assert (out.dtypes[:-1] == np.float64).all()


def test_default_when_there_is_no_image_gives_a_float_array(table):
    out = TabularPreprocessor().fit_transform(table.drop(columns="t1w"))
    assert isinstance(out, np.ndarray)
    assert out.dtype == np.float64
    assert out.shape == (40, 10)
    assert np.isfinite(out).all()


def test_fitted_attributes_tell_what_became_of_each_column(table):
    fitted = TabularPreprocessor().fit(table)
    assert fitted.image_columns_ == ["t1w"]
    assert fitted.numeric_columns_ == ["age", "tau", "carrier"]
    assert fitted.categorical_columns_ == ["sex", "site"]
    assert fitted.dropped_columns_ == ["empty", "cohort"]
    assert fitted.n_features_in_ == 8
    assert list(fitted.feature_names_in_) == list(table.columns)
    assert set(fitted.column_transformer_.named_transformers_) == {"numeric", "flag", "category"}


def test_transform_when_columns_are_reordered_is_the_same(table):
    fitted = TabularPreprocessor().fit(table)
    expected = fitted.transform(table)
    pd.testing.assert_frame_equal(fitted.transform(table[table.columns[::-1]]), expected)


def test_transform_when_row_stands_alone_is_the_same(table):
    X = table.drop(columns="t1w")
    for imputer in ("iterative", "knn", "median"):
        fitted = TabularPreprocessor(imputer=imputer).fit(X)
        single = [fitted.transform(X.iloc[[i]]) for i in range(0, 40, 5)]
        np.testing.assert_allclose(fitted.transform(X)[::5], np.vstack(single), atol=1e-12)


def test_iterative_when_a_row_has_no_value_does_not_depend_on_its_neighbours(table):
    fitted = TabularPreprocessor(scaler=None).fit(table)
    rows = table.iloc[:2].astype({"carrier": object})
    rows.iloc[0, [1, 3, 4]] = None
    together, alone = fitted.transform(rows), fitted.transform(rows.iloc[[0]])
    pd.testing.assert_frame_equal(together.iloc[[0]], alone)
    assert alone["age"].item() == pytest.approx(table["age"].median())


def test_images_when_array_is_given_come_last_under_made_up_names(table):
    array = table.to_numpy(dtype=object)
    out = TabularPreprocessor().fit_transform(array)
    assert list(out.columns)[-1] == "x0"
    assert list(out.columns)[:2] == ["x1", "x3"]


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4)), nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)), pathlib.Path("a.png")]
)
@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_images_when_cells_are_objects_pass_untouched(image, output):
    X = pd.DataFrame({"scan": object_array([image, image, None]), "age": [1.0, 2.0, 4.0]})
    out = TabularPreprocessor().set_output(transform=output).fit_transform(X)
    assert out["scan"][0] is image
    assert out["scan"][2] is None
    again = TabularPreprocessor().fit_transform(out)
    assert again["scan"].iloc[1] is image


def test_images_when_pixels_are_named_pass_as_numbers():
    X = np.arange(40.0).reshape(10, 4)
    out = TabularPreprocessor(image_columns=[0, 1]).fit_transform(X)
    assert list(out.columns) == ["x2", "x3", "x0", "x1"]
    np.testing.assert_array_equal(out["x0"], X[:, 0])


def test_images_when_there_is_nothing_else_pass_alone(table):
    out = TabularPreprocessor().fit(table[["t1w", "empty"]]).transform(table[["t1w", "empty"]])
    assert list(out.columns) == ["t1w"]
    assert len(out) == len(table)


def test_images_when_dropped_leave_a_table_for_any_learner(table):
    y = np.arange(len(table)) % 2
    plain = TabularPreprocessor(imputer="median").fit(table)
    dropping = clone(plain).set_params(images="drop").fit(table)
    encoded = dropping.transform(table)
    assert encoded.dtype == np.float64
    np.testing.assert_array_equal(encoded, plain.transform(table).drop(columns=plain.image_columns_))
    assert dropping.image_columns_ == []
    assert set(plain.image_columns_) <= set(dropping.dropped_columns_)
    assert list(dropping.get_feature_names_out()) == list(plain.get_feature_names_out()[: encoded.shape[1]])
    pipeline = make_pipeline(dropping, LogisticRegression())
    assert pipeline.fit(table, y).predict(table).shape == (len(table),)


def test_images_when_dropped_and_nothing_else_is_there_raises(table):
    with pytest.raises(ValueError, match="no usable column"):
        TabularPreprocessor(images="drop").fit(table[["t1w"]])


def test_image_columns_when_none_drops_paths_with_a_warning(table):
    with pytest.warns(UserWarning, match="t1w"):
        fitted = TabularPreprocessor(image_columns=None).fit(table)
    assert fitted.dropped_columns_ == ["t1w", "empty", "cohort"]
    assert isinstance(fitted.transform(table), np.ndarray)


@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("where", ["local", "global"])
def test_set_output_when_asked_gives_the_same_names(table, output, where):
    plain = TabularPreprocessor().fit_transform(table)
    if where == "local":
        out = TabularPreprocessor().set_output(transform=output).fit_transform(table)
    else:
        with sklearn.config_context(transform_output=output):
            out = TabularPreprocessor().fit_transform(table)
    assert type(out).__module__.startswith(output)
    assert list(out.columns) == list(plain.columns)
    np.testing.assert_array_equal(out["tau"].to_numpy(), plain["tau"].to_numpy())
    assert list(out["t1w"]) == list(table["t1w"])


def test_polars_in_gives_the_same_as_pandas(table):
    lists = {name: table[name].astype(object).where(table[name].notna(), None).to_list() for name in table}
    out = TabularPreprocessor().fit_transform(pl.DataFrame(lists))
    pd.testing.assert_frame_equal(
        out, TabularPreprocessor().fit_transform(table).reset_index(drop=True), check_dtype=False
    )


@pytest.mark.parametrize(
    "convert",
    [
        lambda t: t.astype(object),
        lambda t: t.convert_dtypes(),
        lambda t: t.convert_dtypes(dtype_backend="pyarrow"),
        lambda t: t.astype({"sex": "category"}),
    ],
    ids=["object", "nullable", "arrow", "category"],
)
def test_dtypes_when_they_differ_give_the_same_numbers(table, convert):
    given = convert(table)
    out, expected = TabularPreprocessor().fit_transform(given), TabularPreprocessor().fit_transform(table)
    pd.testing.assert_frame_equal(out.drop(columns="t1w"), expected.drop(columns="t1w"))


def test_array_of_text_gives_the_same_numbers(table):
    given = table.drop(columns="t1w").select_dtypes(exclude="bool")
    out = TabularPreprocessor().fit_transform(given.to_numpy(dtype=object, na_value=np.nan).astype(str))
    np.testing.assert_allclose(out, TabularPreprocessor().fit_transform(given))


# ---- Flags, categories, what is dropped


def test_add_indicator_when_off_gives_no_flags(table):
    names = TabularPreprocessor(add_indicator=False).fit(table).get_feature_names_out()
    assert not [name for name in names if name.startswith("missingindicator")]


def test_category_when_missing_or_unseen_is_zero_everywhere(table):
    fitted = TabularPreprocessor().fit(table)
    later = table.iloc[:2].assign(site=["never seen", None])
    with pytest.warns(UserWarning, match="Row 'p0', column 'site': 'never seen' is no category of the fit"):
        out = fitted.transform(later)
    assert out[["site_a", "site_b", "site_c"]].to_numpy().sum() == 0
    assert out["missingindicator_site"].tolist() == [0.0, 1.0]


def test_max_categories_pools_the_rare_ones():
    X = pd.DataFrame({"site": [f"s{i}" for i in range(10) for _ in range(i + 1)]})
    names = TabularPreprocessor(max_categories=4).fit(X).get_feature_names_out()
    assert list(names) == ["site_s7", "site_s8", "site_s9", "site_infrequent_sklearn"]
    assert len(TabularPreprocessor(max_categories=None).fit(X).get_feature_names_out()) == 10


def test_category_dtype_when_it_holds_codes_is_categorical():
    X = pd.DataFrame({"job": pd.Categorical([1, 5, 8, 1]), "age": [1.0, 2.0, 3.0, 4.0]})
    fitted = TabularPreprocessor(scaler=None).fit(X)
    assert fitted.categorical_columns_ == ["job"]
    later = fitted.set_output(transform="pandas").transform(X.astype({"job": float}))
    assert later["job_5"].tolist() == [0, 1, 0, 0]


def test_constant_columns_when_gaps_tell_something_are_kept():
    X = pd.DataFrame(
        {"ticked": [True, None, True], "word": ["yes", None, "yes"], "one": [1.0, 1.0, 1.0], "b": [1, 2, 3]}
    )
    assert TabularPreprocessor().fit(X).dropped_columns_ == ["one"]
    assert TabularPreprocessor(add_indicator=False).fit(X).dropped_columns_ == ["ticked", "one"]


def test_fit_when_no_column_is_usable_says_which_and_why(table):
    with pytest.raises(
        ValueError,
        match=r"holds no usable column \(n_samples=40\): 1 column: 'empty' without a value; "
        "1 column: 'cohort' the same in every row",
    ):
        TabularPreprocessor().fit(table[["empty", "cohort"]])


def test_text_around_numbers_is_read_as_their_number():
    X = pd.DataFrame({"tau": ["<80", ">1300", "95.5", "n/a"]})
    out = TabularPreprocessor(imputer="median", scaler=None).fit_transform(X)
    assert out[:, 0].tolist() == [80.0, 1300.0, 95.5, 95.5]


def test_transform_when_a_number_cannot_be_read_names_row_column_and_value(table):
    fitted = TabularPreprocessor().fit(table)
    bad = table.astype({"tau": object})
    bad.iloc[3, 3] = "high"
    with pytest.raises(ValueError, match="Row 'p3', column 'tau': 'high' is not a number"):
        fitted.transform(bad)


# ---- Names


def test_names_when_categories_collide_with_a_column_get_prefixes():
    X = pd.DataFrame({"sex_F": [1.0, 2.0, 4.0], "sex": ["F", "M", "F"]})
    out = TabularPreprocessor().set_output(transform="pandas").fit_transform(X)
    assert list(out.columns) == ["numeric__sex_F", "category__sex_F", "category__sex_M"]


def test_names_when_categories_collide_with_each_other_are_numbered():
    X = pd.DataFrame({"a": ["b_c", "x", "y"], "a_b": ["c", "x", "y"]})
    names = TabularPreprocessor().fit(X).get_feature_names_out().tolist()
    assert len(set(names)) == len(names) == 6
    assert "category__a_b_c_2" in names


def test_names_when_they_collide_with_those_of_images_are_numbered():
    images = [np.zeros((2, 2)), np.ones((2, 2)), None]
    X = pd.DataFrame(
        {"a": [1.0, None, 3.0], "missingindicator_a": images, "flag__missingindicator_a": images}
    )
    fitted = TabularPreprocessor().fit(X)
    names = ["numeric__a", "flag__missingindicator_a_2", "missingindicator_a", "flag__missingindicator_a"]
    assert fitted.get_feature_names_out().tolist() == names
    assert list(fitted.transform(X).columns) == names


def test_names_when_given_for_an_array_are_used(table):
    fitted = TabularPreprocessor().fit(table.to_numpy(dtype=object))
    named = TabularPreprocessor().fit(table)
    assert list(fitted.get_feature_names_out(list(table.columns))) == list(named.get_feature_names_out())
    assert "x2_F" in fitted.get_feature_names_out()


def test_names_when_they_are_numbers_are_made_up():
    out = (
        TabularPreprocessor().set_output(transform="pandas").fit_transform(pd.DataFrame([[1, 2.5], [2, 1.0]]))
    )
    assert list(out.columns) == ["x0", "x1"]


# ---- Manners


def test_fit_leaves_x_and_the_global_generator_alone(table):
    before, state = pickle.dumps(table), np.random.get_state()  # noqa: NPY002
    TabularPreprocessor().fit_transform(table)
    assert pickle.dumps(table) == before
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(state, after, strict=True))


def test_clone_and_pickle_give_the_same(table):
    pre = TabularPreprocessor(imputer=KNNImputer(n_neighbors=3), max_categories=5)
    expected = pre.fit_transform(table)
    pd.testing.assert_frame_equal(clone(pre).fit_transform(table), expected)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(pre)).transform(table), expected)
    assert not hasattr(pre.imputer, "n_features_in_")


def test_refit_when_other_columns_are_given_starts_afresh(table):
    pre = TabularPreprocessor().fit(table)
    pre.fit(table[["age", "tau"]].to_numpy())
    assert pre.image_columns_ == []
    assert not hasattr(pre, "feature_names_in_")
    assert list(pre.get_feature_names_out()) == ["x0", "x1", "missingindicator_x1"]


def test_transform_when_not_fitted_raises(table):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        TabularPreprocessor().transform(table)


def test_cross_validation_in_a_pipeline_runs(table):
    X = table.drop(columns="t1w")
    score = cross_val_score(
        make_pipeline(TabularPreprocessor(), LogisticRegression()), X, table["age"] > 72, cv=3
    )
    assert score.mean() > 0.8


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"imputer": "medain"},
            "'imputer' .* TabularPreprocessor must be one of 'iterative', .* mean 'median'",
        ),
        ({"imputer": SimpleImputer}, "an imputer with fit and transform"),
        (
            {"scaler": "minmax"},
            "'scaler' .* must be 'standard', a transformer with fit and transform or",
        ),
        ({"add_indicator": "yes"}, "'add_indicator' .* must be True or False. Got 'yes'"),
        ({"max_categories": 1}, "'max_categories' .* must be an integer >= 2 or None. Got 1"),
        ({"image_columns": 1.5}, "'image_columns' .* Got 1.5"),
        ({"image_columns": [True]}, r"'image_columns' .* Got \[True\]"),
    ],
)
def test_parameters_when_wrong_are_explained(table, parameters, message):
    with pytest.raises(ValueError, match=message):
        TabularPreprocessor(**parameters).fit(table)


def test_constructor_takes_keywords_only():
    with pytest.raises(TypeError, match=re.escape("takes 1 positional argument")):
        TabularPreprocessor("auto")


def test_booleans_written_as_text_are_categories_so_that_a_new_word_is_tolerated():
    seen = pd.DataFrame({"bleed": ["True", "False", "True", "False"], "age": [1.0, 2.0, 3.0, 4.0]})
    preprocessor = TabularPreprocessor().fit(seen)
    assert preprocessor.categorical_columns_ == ["bleed"]
    unknown = preprocessor.transform(seen.assign(bleed="UNK"))
    names = list(preprocessor.get_feature_names_out())
    assert not unknown[:, [i for i, name in enumerate(names) if name.startswith("bleed")]].any()
