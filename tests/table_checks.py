"""Checks of an estimator on tables with image paths; scikit-learn's own know numbers only.

Every public estimator of the package runs them, see test_table_checks.py. A check takes an unfitted estimator
and a `Study`, and asserts by itself.
"""

import pickle
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline

from skhyperfusion import TabularPreprocessor


@dataclass(frozen=True)
class Study:
    """A table with paths, gaps and categories, and its two targets."""

    X: pd.DataFrame
    labels: pd.Series
    values: pd.Series

    def target(self, estimator):
        if hasattr(estimator, "predict_survival_function"):
            event = np.arange(len(self.X)) % 2 == 0
            return pd.DataFrame({"event": event, "time": self.values - self.values.min() + 1})
        return self.labels if is_classifier(estimator) else self.values


def outputs(estimator, X):
    """Probabilities, or values."""
    return estimator.predict_proba(X) if is_classifier(estimator) else estimator.predict(X)


def fitted(estimator, study):
    return clone(estimator).fit(study.X, study.target(estimator))


# What it learns


def check_fit_returns_itself_and_predicts_every_row(estimator, study):
    y = study.target(estimator)
    model = clone(estimator)
    assert model.fit(study.X, y) is model
    predicted = model.predict(study.X)
    assert type(predicted) is np.ndarray
    assert predicted.shape == (len(study.X),)
    if is_classifier(estimator):
        assert model.classes_.tolist() == sorted(set(y))
        assert set(predicted) <= set(y)
        np.testing.assert_allclose(model.predict_proba(study.X).sum(axis=1), 1)


def check_n_features_and_names_are_those_of_the_table(estimator, study):
    model = fitted(estimator, study)
    assert model.n_features_in_ == study.X.shape[1]
    assert model.feature_names_in_.tolist() == list(study.X.columns)


def check_labels_of_any_kind_come_back(estimator, study):
    if not is_classifier(estimator):
        pytest.skip("has no labels")
    for labels in (["ill", "well"], [True, False], [7, 3]):
        y = np.asarray(labels)[(study.labels == study.labels.iloc[0]).to_numpy().astype(int)]
        predicted = clone(estimator).fit(study.X, y).predict(study.X)
        assert predicted.dtype.kind == y.dtype.kind
        assert set(predicted) <= set(y)


def check_prediction_before_fit_is_refused(estimator, study):
    with pytest.raises(NotFittedError):
        clone(estimator).predict(study.X)


# The table


def check_fit_leaves_the_table_and_the_target_as_they_are(estimator, study):
    X, y = study.X.copy(deep=True), study.target(estimator).copy(deep=True)
    fitted(estimator, study).predict(study.X)
    pd.testing.assert_frame_equal(study.X, X)
    pd.testing.assert_frame_equal(pd.DataFrame(study.target(estimator)), pd.DataFrame(y))


def check_columns_in_another_order_are_matched_by_name(estimator, study):
    model = fitted(estimator, study)
    reordered = study.X[study.X.columns[::-1]]
    np.testing.assert_array_equal(outputs(model, reordered), outputs(model, study.X))


def check_missing_and_unseen_columns_are_named(estimator, study):
    model = fitted(estimator, study)
    name = study.X.columns[-1]
    with pytest.raises(ValueError, match=f"yet now missing:\n- {name}"):
        model.predict(study.X.drop(columns=name))
    with pytest.raises(ValueError, match="unseen at fit time:\n- stranger"):
        model.predict(study.X.assign(stranger=1.0))


def check_index_has_no_influence(estimator, study):
    y = study.target(estimator)
    other = study.X.set_axis([0] * len(study.X), axis=0)
    model = clone(estimator).fit(other, y.set_axis(other.index, axis=0))
    np.testing.assert_array_equal(outputs(model, other), outputs(fitted(estimator, study), study.X))


def check_kinds_of_tables_give_the_same_model(estimator, study):
    X, y = study.X, study.target(estimator)
    expected = outputs(fitted(estimator, study), X)
    for other in (X.convert_dtypes(), X.astype(object), X.to_numpy(dtype=object)):
        np.testing.assert_allclose(outputs(clone(estimator).fit(other, y), other), expected, rtol=1e-6)


def check_unseen_category_and_gaps_at_predict_are_taken(estimator, study):
    model = fitted(estimator, study)
    strange = study.X.head(4).copy()
    text = [name for name in strange if not pd.api.types.is_numeric_dtype(strange[name])][-1]
    numbers = strange.select_dtypes("number").columns
    strange[text] = ["never seen", None, "never seen", None]
    strange[numbers] = np.nan
    with (
        pytest.warns(
            UserWarning, match=r"No value in any of \d columns of the table in 2 rows: 'p01', 'p03'"
        ),
        pytest.warns(UserWarning, match="'never seen' is no category of the fit"),
    ):
        assert np.isfinite(np.asarray(outputs(model, strange), dtype=float)).all()


def check_path_that_does_not_exist_is_named_at_fit_and_predict(estimator, study):
    column = study.X.columns[0]
    row = study.X.index[2]
    broken = study.X.copy()
    broken.loc[row, column] = "nowhere/gone.nii.gz"
    message = rf"(?s){row}.*{column}.*nowhere/gone\.nii\.gz.*does not exist"
    with pytest.raises(ValueError, match=message):
        clone(estimator).fit(broken, study.target(estimator))
    with pytest.raises(ValueError, match=message):
        fitted(estimator, study).predict(broken)


# A row's prediction is its own


def check_prediction_depends_on_the_row_alone(estimator, study):
    model = fitted(estimator, study)
    expected = outputs(model, study.X)
    order = np.random.default_rng(0).permutation(len(study.X))
    np.testing.assert_allclose(outputs(model, study.X.iloc[order]), expected[order], rtol=1e-7)
    one_by_one = np.concatenate([outputs(model, study.X.iloc[[i]]) for i in range(3)])
    np.testing.assert_allclose(one_by_one, expected[:3], rtol=1e-7)


# Life cycle


def check_refit_clone_and_pickle_give_the_same_bits(estimator, study):
    model = fitted(estimator, study)
    expected = outputs(model, study.X)
    np.testing.assert_array_equal(outputs(pickle.loads(pickle.dumps(model)), study.X), expected)
    np.testing.assert_array_equal(outputs(model.fit(study.X, study.target(model)), study.X), expected)
    np.testing.assert_array_equal(outputs(fitted(model, study), study.X), expected)


def check_pickle_holds_no_row(estimator, study):
    X = study.X.assign(note=[f"patient-{i % 3}" for i in range(len(study.X))])
    model = clone(estimator).fit(X, study.target(estimator))
    payload = pickle.dumps(model)
    assert not [path for path in X.iloc[:, 0] if str(path).encode() in payload]
    numbers = X.select_dtypes("float").iloc[:, 0].dropna().unique()
    kept = [number for number in numbers if np.float64(number).tobytes() in payload]
    assert len(kept) <= 2  # a median or a limit of the column may be a patient's


def check_fit_writes_to_no_parameter(estimator, study):
    model = clone(estimator)
    before = {name: repr(value) for name, value in model.get_params().items()}
    model.fit(study.X, study.target(model))
    assert {name: repr(value) for name, value in model.get_params().items()} == before


def check_global_random_states_are_left_alone(estimator, study):
    before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    fitted(estimator, study).predict(study.X)
    assert torch.equal(torch.get_rng_state(), before[0])
    after = np.random.get_state()  # noqa: NPY002
    assert np.array_equal(after[1], before[1][1])
    assert after[2:] == before[1][2:]


def check_nothing_is_printed(estimator, study, capfd):
    fitted(estimator, study).predict(study.X)
    assert capfd.readouterr() == ("", "")


# In scikit-learn


def check_cross_validation_scores_and_predicts(estimator, study):
    y = study.target(estimator)
    assert np.isfinite(cross_val_score(estimator, study.X, y, cv=2, error_score="raise")).all()
    assert len(cross_val_predict(estimator, study.X, y, cv=2)) == len(y)


def check_search_and_pipeline_run(estimator, study):
    model = make_pipeline(TabularPreprocessor(imputer="median"), estimator)
    search = GridSearchCV(model, {"tabularpreprocessor__add_indicator": [True]}, cv=2, error_score="raise")
    search.fit(study.X, study.target(estimator))
    assert len(search.predict(study.X)) == len(study.X)


TABLE_CHECKS = [f for name, f in list(globals().items()) if name.startswith("check_")]


# Checks of a transformer that hands images through


def check_transformer_hands_images_through(transformer, study):
    image = study.X.columns[0]
    out = clone(transformer).fit_transform(study.X)
    assert list(out.columns)[-1] == image
    assert out.index.equals(study.X.index)
    assert out[image].tolist() == study.X[image].tolist()
    assert np.isfinite(out.drop(columns=image).to_numpy(dtype=float)).all()


def check_transformer_names_what_it_gives(transformer, study):
    model = clone(transformer).fit(study.X)
    assert model.get_feature_names_out().tolist() == list(model.transform(study.X).columns)


def check_transformer_does_the_same_in_one_step_and_two(transformer, study):
    together = clone(transformer).fit_transform(study.X)
    pd.testing.assert_frame_equal(clone(transformer).fit(study.X).transform(study.X), together)


def check_transformer_obeys_set_output(transformer, study):
    for library in ("pandas", "polars"):
        frame = clone(transformer).set_output(transform=library).fit_transform(study.X)
        assert isinstance(frame, pytest.importorskip(library).DataFrame)


def check_transformer_leaves_the_table_as_it_is(transformer, study):
    before = study.X.copy(deep=True)
    clone(transformer).fit(study.X).transform(study.X)
    pd.testing.assert_frame_equal(study.X, before)


def check_transformer_matches_columns_by_name(transformer, study):
    model = clone(transformer).fit(study.X)
    pd.testing.assert_frame_equal(model.transform(study.X[study.X.columns[::-1]]), model.transform(study.X))
    with pytest.raises(ValueError, match="yet now missing"):
        model.transform(study.X.iloc[:, :-1])


def check_transformer_of_a_row_depends_on_that_row_alone(transformer, study):
    model = clone(transformer).fit(study.X)
    expected = model.transform(study.X)
    pd.testing.assert_frame_equal(model.transform(study.X.iloc[[3]]), expected.iloc[[3]])


def check_transformer_survives_pickle(transformer, study):
    model = clone(transformer).fit(study.X)
    copy = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(copy.transform(study.X), model.transform(study.X))


TRANSFORMER_CHECKS = [f for name, f in list(globals().items()) if name.startswith("check_transformer_")]
