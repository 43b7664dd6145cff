"""Kinds of tables that the estimators take, and what they give back."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohort_table import TEXT_DTYPE
from compatibility import refused, tiny, works
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import cross_val_score

from skhyperfusion import HyperFusionClassifier, TabularPreprocessor


def probabilities(model, X, y):
    return model.fit(X, y).predict_proba(X)


@pytest.fixture(scope="module")
def expected(pictures):
    """What the classifier of the fixture gives for the table of pictures."""
    X, y, _ = pictures
    return probabilities(tiny(HyperFusionClassifier), X, y)


@works("pandas.DataFrame", "dtypes `object`, `str`, `category`, nullable and pyarrow")
@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X.astype({"photo": object, "side": object}),
        lambda X: X.astype({"photo": TEXT_DTYPE, "side": TEXT_DTYPE}),
        lambda X: X.astype({"photo": "category", "side": "category"}),
        lambda X: X.astype({"age": "Float64", "pressure": "Float64", "side": "string"}),
        lambda X: X.convert_dtypes(),
        lambda X: X.convert_dtypes(dtype_backend="pyarrow"),
        lambda X: X.astype(object).where(X.notna(), None),
    ],
    ids=["object", "str", "category", "nullable", "convert_dtypes", "pyarrow", "None"],
)
def test_frame_of_any_dtype_gives_the_same_model(pictures, classifier, expected, convert):
    X, y, _ = pictures
    np.testing.assert_allclose(probabilities(classifier(), convert(X), y), expected, rtol=1e-5)


@works("pandas.DataFrame", "copy-on-write: the caller's table stays as it is")
def test_frame_when_fitted_stays_as_it_is(pictures, classifier):
    X, y, _ = pictures
    before = X.copy(deep=True)
    view = X[["photo", "age", "pressure", "side"]]
    classifier().fit(view, y).predict(view)
    TabularPreprocessor().fit(view).transform(view)
    pd.testing.assert_frame_equal(X, before)


@works("pandas.DataFrame", "unordered and repeated indices; the rows count, not their labels")
@pytest.mark.parametrize(
    "index",
    [list(range(24))[::-1], [0] * 24, [("a", i // 2) for i in range(24)]],
    ids=["reversed", "same", "tuples"],
)
def test_frame_index_has_no_influence(pictures, classifier, expected, index):
    X, y, _ = pictures
    other = X.set_axis(pd.Index(index), axis=0)
    np.testing.assert_array_equal(probabilities(classifier(), other, y), expected)


@works("pandas.DataFrame", "repeated indices in a cross-validation")
def test_frame_index_has_no_influence_on_folds(pictures, classifier):
    X, y, _ = pictures
    scores = cross_val_score(classifier(), X.set_axis([0] * 24, axis=0), y.to_numpy(), cv=2)
    np.testing.assert_array_equal(scores, cross_val_score(classifier(), X, y, cv=2))


@works("pandas.DataFrame", "columns in another order at `predict`")
def test_frame_columns_in_another_order_are_matched_by_name(pictures, regressor):
    X, _, y = pictures
    model = regressor().fit(X, y)
    np.testing.assert_array_equal(model.predict(X[["side", "photo", "pressure", "age"]]), model.predict(X))


@refused(
    "pandas.DataFrame",
    "a column missing at `predict`",
    words="X lacks column 'pressure'",
    reason="scikit-learn's convention: the columns of `fit`, no fewer and no more",
)
def test_frame_that_lacks_a_column_at_predict_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    model = classifier().fit(X, y)
    with pytest.raises(ValueError, match=words):
        model.predict(X.drop(columns="pressure"))


@works("polars.DataFrame")
def test_polars_frame_gives_the_same_model(pictures, classifier, expected):
    pl = pytest.importorskip("polars")
    X, y, _ = pictures
    polars = pl.from_pandas(X)
    np.testing.assert_array_equal(probabilities(classifier(), polars, y), expected)
    assert classifier().fit(polars, y).feature_names_in_.tolist() == list(X.columns)
    scores = cross_val_score(classifier(), polars, y, cv=2)
    np.testing.assert_array_equal(scores, cross_val_score(classifier(), X, y, cv=2))


@works("pyarrow.Table")
def test_arrow_table_gives_the_same_model(pictures, classifier, expected):
    pa = pytest.importorskip("pyarrow")
    X, y, _ = pictures
    table = pa.Table.from_pandas(X, preserve_index=False)
    np.testing.assert_array_equal(probabilities(classifier(), table, y), expected)


@works("numpy.ndarray", "of objects; numbers among them stay numbers")
def test_array_of_objects_gives_the_same_model(pictures, classifier, expected):
    X, y, _ = pictures
    array = X.to_numpy(dtype=object)
    np.testing.assert_array_equal(probabilities(classifier(), array, y), expected)


@works("numpy.ndarray", "of objects at `predict` only: by position, with scikit-learn's warning")
def test_array_at_predict_is_matched_by_position(pictures, classifier):
    X, y, _ = pictures
    model = classifier().fit(X, y)
    with pytest.warns(UserWarning, match="X does not have valid feature names, but HyperFusionClassifier"):
        array = model.predict_proba(X.to_numpy(dtype=object))
    np.testing.assert_array_equal(array, model.predict_proba(X))


@works("numpy.ndarray", "of text (`np.c_` of text and numbers)")
def test_array_of_text_reads_its_numbers(pictures, classifier):
    X, y, _ = pictures
    X = X[["photo", "pressure"]]
    array = X.to_numpy(dtype=str)
    np.testing.assert_allclose(
        probabilities(classifier(), array, y), probabilities(classifier(), X, y), rtol=1e-9
    )


@works("list", "of rows")
def test_list_of_rows_gives_the_same_model(pictures, classifier, expected):
    X, y, _ = pictures
    rows = X.to_numpy(dtype=object).tolist()
    np.testing.assert_array_equal(probabilities(classifier(), rows, y.tolist()), expected)


@works("pathlib.Path", "cells, and any `os.PathLike`")
def test_path_objects_give_the_same_model(pictures, classifier, expected):
    X, y, _ = pictures

    class Cell(os.PathLike):
        def __init__(self, path):
            self.path = path

        def __fspath__(self):
            return self.path

    for kind in (Path, Cell):
        other = X.assign(photo=[kind(path) for path in X["photo"]])
        np.testing.assert_array_equal(probabilities(classifier(), other, y), expected)


@works("arrays and nibabel images in the cells")
def test_images_in_the_cells_are_read_as_the_files_are(study, classifier):
    import nibabel as nib

    X, y, _ = study
    expected = probabilities(classifier(), X, y)
    loaded = X.assign(scan=[nib.load(path) for path in X["scan"]])
    np.testing.assert_allclose(probabilities(classifier(), loaded, y), expected, rtol=1e-6)
    arrays = X.assign(scan=[np.asarray(nib.load(path).dataobj) for path in X["scan"]])
    assert classifier().fit(arrays, y).image_spec_.shape == (8, 8, 8)


@works("labels", "as list, array, Series of text, booleans, numbers or categories")
@pytest.mark.parametrize(
    "convert",
    [
        list,
        np.asarray,
        lambda y: y.astype("category"),
        lambda y: y == "ill",
        lambda y: (y == "ill").astype("Int64"),
        lambda y: np.where(y == "ill", 7, 3),
    ],
    ids=["list", "array", "category", "bool", "nullable", "int"],
)
def test_labels_of_any_kind_come_back_as_an_array(pictures, classifier, convert):
    X, y, _ = pictures
    model = classifier().fit(X, convert(y))
    predicted = model.predict(X)
    assert type(predicted) is np.ndarray
    assert set(predicted) <= set(model.classes_)
    assert type(model.predict_proba(X)) is np.ndarray
    assert 0 <= model.score(X, convert(y)) <= 1


@works("set_output", "on `TabularPreprocessor`: pandas and polars; predictions are plain arrays in any case")
@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_set_output_on_the_preprocessor_gives_frames_and_leaves_predictions_arrays(
    pictures, classifier, output
):
    library = pytest.importorskip(output)
    X, y, _ = pictures
    preprocessor = TabularPreprocessor(imputer="median").set_output(transform=output)
    frame = preprocessor.fit_transform(X)
    assert isinstance(frame, library.DataFrame)
    assert list(frame.columns)[-1] == "photo"
    assert list(frame["photo"]) == list(X["photo"])
    model = classifier(tabular_preprocessor=preprocessor).fit(X, y)
    assert type(model.predict(X)) is np.ndarray


@refused(
    "pandas.Series",
    words="Expected a 2-dimensional container",
    reason="As scikit-learn does; `X[['scan']]` has two axes",
)
def test_series_of_paths_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    with pytest.raises(ValueError, match=words):
        classifier(fusion="image").fit(X["photo"], y)


@refused(
    "dict",
    "of columns",
    words="Got a dict instead; pass pandas.DataFrame(X)",
    reason="It has no number of rows",
)
def test_dict_of_columns_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    with pytest.raises((TypeError, ValueError), match=words):
        classifier().fit(X.to_dict("list"), y)


@refused(
    "pandas.DataFrame",
    "with dates",
    words="holds dates or times",
    reason="Turn them into numbers, as an age in years",
)
def test_dates_are_refused(pictures, classifier, words):
    X, y, _ = pictures
    with pytest.raises((TypeError, ValueError), match=words):
        classifier().fit(X.assign(visit=pd.Timestamp("2024-05-01")), y)


@works("make_column_transformer", "on polars, polars output")
def test_column_transformer_on_polars_keeps_the_image(pictures, classifier):
    pl = pytest.importorskip("polars")
    from sklearn.pipeline import make_pipeline

    X, y, _ = pictures
    prepare = make_column_transformer((SimpleImputer(), ["age", "pressure"]), remainder="passthrough")
    model = make_pipeline(prepare.set_output(transform="polars"), classifier(image_columns="photo"))
    assert model.fit(pl.from_pandas(X), y)[-1].image_columns_ == ["remainder__photo"]
