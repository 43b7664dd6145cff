"""Columns whose labels are no names: told by these where both tables have them, by their places else."""

import numpy as np
import pandas as pd
import pytest

from skhyperfusion import HyperFusionRegressor, TabularPreprocessor
from skhyperfusion.features import ImageFeatures
from skhyperfusion.persistence import load_model

LABELS = {
    "numbers": [0, 1, 2],
    "numbers in another order": [2, 0, 1],
    "far numbers": [7, 2024, -1],
    "tuples": pd.MultiIndex.from_tuples([("scan", 1), ("blood", 1), ("blood", 2)]),
}
ORDER = [1, 2, 0]


@pytest.fixture(params=LABELS.values(), ids=LABELS.keys())
def rows(request):
    """Twelve pictures beside two columns of numbers that differ in size, and y."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({0: list(rng.random((12, 4, 4)).astype(np.float32)), 1: rng.random(12), 2: range(12)})
    return X.set_axis(request.param, axis=1), rng.random(12)


@pytest.fixture
def model(rows):
    return HyperFusionRegressor(base_channels=1, max_epochs=1, device="cpu", random_state=0).fit(*rows)


def test_estimator_takes_labelled_columns_in_another_order(rows, model, tmp_path):
    X, _ = rows
    expected = model.predict(X)
    np.testing.assert_array_equal(model.predict(X.iloc[:, ORDER]), expected)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(X.iloc[:, ORDER]), expected)


def test_estimator_takes_columns_without_the_labels_by_their_places(rows, model):
    X, _ = rows
    expected = model.predict(X)
    np.testing.assert_array_equal(model.predict(X.to_numpy()), expected)
    np.testing.assert_array_equal(model.predict(X.set_axis([11, 12, 13], axis=1)), expected)


def test_estimator_fitted_on_an_array_takes_columns_by_their_places(rows):
    X, y = rows
    X = X.set_axis(range(3), axis=1)
    model = HyperFusionRegressor(base_channels=1, max_epochs=1, device="cpu", random_state=0)
    model.fit(X.to_numpy(), y)
    shuffled = X.set_axis([2, 0, 1], axis=1)
    np.testing.assert_array_equal(model.predict(shuffled), model.predict(X))


def test_estimator_fitted_anew_forgets_the_labels(rows, model):
    X, y = rows
    model.fit(X.set_axis(["scan", "first", "second"], axis=1), y)
    names = X.set_axis(["scan", "first", "second"], axis=1)
    np.testing.assert_array_equal(model.predict(names.iloc[:, ORDER]), model.predict(names))


@pytest.mark.parametrize(
    "transformer", [TabularPreprocessor(), ImageFeatures("voxels")], ids=["table", "image"]
)
def test_transformer_takes_labelled_columns_in_another_order(rows, transformer):
    X, _ = rows
    transformer.fit(X)
    expected = np.asarray(transformer.transform(X), dtype=object)
    found = np.asarray(transformer.transform(X.iloc[:, ORDER]), dtype=object)
    assert found.shape == expected.shape
    for row, wanted in zip(found.tolist(), expected.tolist(), strict=True):
        for cell, value in zip(row, wanted, strict=True):
            np.testing.assert_array_equal(cell, value)
