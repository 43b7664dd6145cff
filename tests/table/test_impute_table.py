"""impute_table: any imputer in front of the estimators; images, text and names stay."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhyperfusion import HyperFusionClassifier, impute_table


@pytest.mark.parametrize("imputer", [SimpleImputer(), SimpleImputer(add_indicator=True), KNNImputer()])
def test_gaps_of_numbers_are_filled_and_all_else_is_as_it_was(study, imputer):
    X, _, _ = study
    out = impute_table(imputer).fit_transform(X)
    expected = clone(imputer).set_output(transform="pandas").fit_transform(X[["age", "apoe4"]])
    pd.testing.assert_frame_equal(out[list(expected.columns)], expected)
    pd.testing.assert_frame_equal(out[["scan", "sex"]], X[["scan", "sex"]])
    assert out.shape[1] == expected.shape[1] + 2


def test_array_of_objects_is_imputed_by_its_cells(study):
    X, _, _ = study
    out = impute_table(SimpleImputer()).fit_transform(X.to_numpy(dtype=object))
    np.testing.assert_allclose(out["x1"].to_numpy(float), X["age"].fillna(X["age"].mean()))
    assert out["x0"].tolist() == X["scan"].tolist()


def test_polars_frame_is_imputed(study):
    polars = pytest.importorskip("polars")
    X, _, _ = study
    out = impute_table(SimpleImputer()).fit_transform(polars.DataFrame(X[["scan", "age"]].to_dict("list")))
    assert np.isfinite(out["age"].to_numpy()).all()


def test_pipeline_with_an_imputer_is_searched_on_a_table_with_scans(study):
    X, labels, _ = study
    network = HyperFusionClassifier(base_channels=1, max_epochs=1, random_state=0)
    pipeline = make_pipeline(impute_table(KNNImputer()), network)
    grid = {"columntransformer__knnimputer__n_neighbors": [1, 3]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, labels)
    best = search.best_estimator_
    assert best[-1].image_columns_ == ["scan"]
    assert sorted(best[-1].tabular_columns_) == ["age", "apoe4", "sex"]
    assert best[0].named_transformers_["knnimputer"].n_neighbors in (1, 3)
    again = pickle.loads(pickle.dumps(best))
    np.testing.assert_array_equal(again.predict_proba(X), search.predict_proba(X))


def test_what_is_no_imputer_is_refused():
    with pytest.raises(ValueError, match=r"'imputer' parameter of impute_table must be a transformer.*'knn'"):
        impute_table("knn")
