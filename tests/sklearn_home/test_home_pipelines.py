"""Transformers in front of the estimator.

An array output loses the column names, so let a transformer give pandas output: an image column is then found
by its name also behind a prefix (`remainder__photo`).
"""

import pytest
from compatibility import reads_the_images, refused, works
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skhyperfusion import TabularPreprocessor

NUMERIC = ["age", "pressure"]


@works("ColumnTransformer", "array output: the image column is found by its content, wherever it went")
def test_column_transformer_when_it_gives_an_array_keeps_the_image(pictures, classifier):
    X, y, _ = pictures
    prepare = make_column_transformer(
        (SimpleImputer(), NUMERIC), (OneHotEncoder(), ["side"]), remainder="passthrough"
    )
    model = make_pipeline(prepare, classifier()).fit(X, y)
    assert model[-1].image_columns_ == ["x5"]
    assert model[-1].tabular_columns_ == ["x0", "x1", "x2", "x3", "x4"]
    assert model[-1].tabular_preprocessor_.categorical_columns_ == []  # numbers in a column of objects
    assert reads_the_images(model, X)


@works("ColumnTransformer", "array output, `image_columns` by name: the only column of paths is meant")
def test_column_transformer_when_it_gives_an_array_and_a_name_is_asked_finds_the_only_one(
    pictures, classifier
):
    X, y, _ = pictures
    prepare = make_column_transformer((SimpleImputer(), NUMERIC), remainder="passthrough")
    model = make_pipeline(prepare, classifier(image_columns="photo")).fit(X, y)
    assert model[-1].image_columns_ == ["x2"]
    assert reads_the_images(model, X)


@works("ColumnTransformer", "pandas output: prefixed names")
@pytest.mark.parametrize(
    ("verbose_names", "expected"),
    [
        (True, "remainder__photo"),
        (False, "photo"),
        ("{feature_name}__{transformer_name}", "photo__remainder"),
    ],
)
def test_column_transformer_when_it_prefixes_names_is_seen_through(
    pictures, classifier, verbose_names, expected
):
    X, y, _ = pictures
    prepare = ColumnTransformer(
        [("num", SimpleImputer(), NUMERIC)], remainder="passthrough", verbose_feature_names_out=verbose_names
    )
    prepare = prepare.set_output(transform="pandas")  # shown
    model = make_pipeline(prepare, classifier(image_columns="photo")).fit(X, y)
    assert model[-1].image_columns_ == [expected]
    assert reads_the_images(model, X)


@works("ColumnTransformer", "two in a row")
def test_two_column_transformers_when_both_prefix_are_seen_through(pictures, classifier):
    X, y, _ = pictures
    first = ColumnTransformer([("num", SimpleImputer(), NUMERIC)], remainder="passthrough")
    second = ColumnTransformer([("scale", StandardScaler(), ["num__age"])], remainder="passthrough")
    model = make_pipeline(first, second, classifier(image_columns="photo")).set_output(transform="pandas")
    assert model.fit(X, y)[-1].image_columns_ == ["remainder__remainder__photo"]


@works("ColumnTransformer", "global `transform_output`, pandas and polars")
@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_column_transformer_when_output_is_set_for_all_keeps_the_image(pictures, classifier, output):
    from sklearn import config_context

    pytest.importorskip(output)
    X, y, _ = pictures
    with config_context(transform_output=output):
        prepare = ColumnTransformer([("num", SimpleImputer(), NUMERIC)], remainder="passthrough")
        model = make_pipeline(prepare, classifier(image_columns="photo")).fit(X, y)
        assert model[-1].image_columns_ == ["remainder__photo"]
        assert model.predict(X).shape == (24,)
        own = make_pipeline(TabularPreprocessor(), classifier()).fit(X, y)
        assert own[-1].image_columns_ == ["photo"]


@refused(
    "ColumnTransformer",
    "`image_columns` by a position that now holds numbers",
    words="A ColumnTransformer moves columns: call .set_output(transform='pandas') on it and give the name.",
    reason="A position counts the columns that reach the estimator",
)
def test_column_transformer_when_a_position_misses_the_image_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    prepare = make_column_transformer((SimpleImputer(), NUMERIC), remainder="passthrough")
    with pytest.raises(ValueError, match=words):
        make_pipeline(prepare, classifier(image_columns=[0])).fit(X, y)


@refused(
    "ColumnTransformer",
    "that drops the image column (`remainder='drop'`), with `image_columns` given",
    words="image_columns names 'photo', which is not a column of X",
    reason="Without `image_columns`, and if all is numeric, the tabular network is fitted with a warning",
)
def test_column_transformer_when_it_drops_the_image_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    prepare = make_column_transformer((SimpleImputer(), NUMERIC)).set_output(transform="pandas")
    with pytest.raises(ValueError, match=words):
        make_pipeline(prepare, classifier(image_columns="photo")).fit(X, y)
    with pytest.warns(UserWarning, match="found no image column in X, every column is numeric"):
        make_pipeline(prepare, classifier()).fit(X, y)


@works("FunctionTransformer")
def test_function_transformer_when_it_adds_a_column_is_followed(pictures, classifier):
    X, y, _ = pictures
    add = FunctionTransformer(lambda table: table.assign(squared=table["pressure"] ** 2))
    model = make_pipeline(add, classifier()).fit(X, y)
    assert model[-1].tabular_columns_ == ["age", "pressure", "side", "squared"]
    assert reads_the_images(model, X)


@works("SimpleImputer", '`strategy="most_frequent"` on the whole table')
@pytest.mark.parametrize("output", ["default", "pandas"])
def test_most_frequent_imputer_on_the_whole_table_keeps_numbers_numbers(pictures, classifier, output):
    X, y, _ = pictures
    impute = SimpleImputer(strategy="most_frequent").set_output(transform=output)
    model = make_pipeline(impute, classifier()).fit(X, y)
    assert len(model[-1].image_columns_) == 1
    assert len(model[-1].tabular_preprocessor_.numeric_columns_) == 2
    assert reads_the_images(model, X)


@refused(
    "SimpleImputer",
    "`strategy='mean'` (and `KNNImputer`, `IterativeImputer`) on the whole table",
    words="Cannot use mean strategy with non-numeric data",
    reason="scikit-learn's own error. Use `make_pipeline(TabularPreprocessor(imputer=...), model)`",
)
def test_mean_imputer_on_the_whole_table_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    with pytest.raises(ValueError, match=words):
        make_pipeline(SimpleImputer(), classifier()).fit(X, y)


@works("TabularPreprocessor", "in front of the estimator, any imputer on the tabular columns")
@pytest.mark.parametrize("imputer", ["knn", "iterative", SimpleImputer(strategy="mean")], ids=str)
def test_tabular_preprocessor_in_front_hands_the_image_through(pictures, classifier, imputer):
    X, y, _ = pictures
    model = make_pipeline(
        TabularPreprocessor(imputer=imputer), classifier(tabular_preprocessor="passthrough")
    )
    model = model.fit(X, y)
    assert model[-1].image_columns_ == ["photo"]
    assert reads_the_images(model, X)


@works("FeatureUnion")
@pytest.mark.parametrize("output", ["default", "pandas"])
def test_feature_union_of_image_and_numbers_keeps_the_image(pictures, classifier, output):
    X, y, _ = pictures
    union = FeatureUnion(
        [
            ("image", make_column_transformer(("passthrough", ["photo"]))),
            ("numbers", make_column_transformer((SimpleImputer(), NUMERIC))),
        ]
    ).set_output(transform=output)
    model = make_pipeline(union, classifier()).fit(X, y)
    assert len(model[-1].image_columns_) == 1
    assert reads_the_images(model, X)


@refused(
    "OneHotEncoder",
    "on the whole table (sparse output)",
    words="Sparse data was passed for X, but dense data is required",
    reason="Every path would become a column of its own; encode chosen columns, or none: the estimator does",
)
def test_sparse_output_of_a_transformer_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    with pytest.raises(TypeError, match=words):
        make_pipeline(OneHotEncoder(), classifier()).fit(X, y)
