"""What y is: labels, values, and whatever else a further class makes of it."""

import numpy as np
import pandas as pd
import pytest
import torch

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion._base import BaseHyperFusion
from skhyperfusion._engine import _losses
from skhyperfusion._target import LabelTarget, RegressorPredictions, Target, ValueTarget

INDEX = pd.Index([f"p{i}" for i in range(4)])


def test_labels_become_codes_and_labels_again():
    target = LabelTarget("Owner")
    codes = target.learn(["b", "a", "c", "b"], INDEX)
    assert codes.tolist() == target.encode(codes).tolist() == target.strata(codes).tolist() == [1, 0, 2, 1]
    assert target.encode(codes).dtype == np.int64
    assert (target.n_outputs, target.n_classes) == (3, 3)
    assert target.original(codes).tolist() == ["b", "a", "c", "b"]
    assert target.attributes()["classes_"].tolist() == ["a", "b", "c"]
    assert target.predictions(np.eye(3)).predict(None).tolist() == ["a", "b", "c"]


def test_labels_weigh_as_their_class_and_their_row_say():
    target = LabelTarget("Owner", class_weight={"a": 3, "b": 1})
    codes = target.learn(["b", "a", "a", "b"], INDEX)
    assert target.row_weights(codes, np.array([1.0, 1.0, 2.0, 2.0])).tolist() == [1, 3, 6, 2]


def test_labels_that_come_after_the_fit_must_be_known():
    target = LabelTarget("Owner")
    target.learn(["b", "a", "c", "b"], INDEX)
    assert target.read(["c", "b"], INDEX[:2], "caller").tolist() == [2, 1]
    with pytest.raises(ValueError, match=r"y holds 1 label: 'x', which Owner was not fitted on"):
        target.read(["x", "b"], INDEX[:2], "caller")


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 2)])
def test_values_are_standardised_by_the_training_rows_and_told_in_their_own_shape(shape):
    y = np.random.default_rng(0).normal(5, 3, size=shape)
    target = ValueTarget("Owner")
    values = target.learn(y, INDEX)
    target.fit(values[:3], np.array([1.0, 1.0, 2.0]))
    repeated = np.repeat(values[:3], [1, 1, 2], axis=0)
    np.testing.assert_allclose(target.mean, repeated.mean(axis=0))
    np.testing.assert_allclose(target.scale, repeated.std(axis=0))
    assert target.encode(values).shape == (4, target.n_outputs)
    np.testing.assert_allclose(target.decode(target.encode(values)), y)
    np.testing.assert_array_equal(target.original(values), y)
    np.testing.assert_allclose(target.predictions(target.encode(values)).predict(None), y)
    assert np.shape(target.attributes()["target_mean_"]) == shape[1:]
    assert target.n_classes is target.strata(values) is None


def test_values_that_come_after_the_fit_must_have_as_many_outputs():
    target = ValueTarget("Owner")
    target.learn(np.zeros((4, 2)), INDEX)
    with pytest.raises(ValueError, match=r"Owner was fitted on 2 output\(s\), but y has 1"):
        target.read(np.zeros(4), INDEX, "caller")


def test_values_of_a_warm_start_keep_the_scale_of_before():
    before, after = ValueTarget("Owner"), ValueTarget("Owner")
    before.fit(before.learn([0.0, 2, 4, 6], INDEX), np.ones(4))
    after.fit(after.learn([10.0, 20, 30, 40], INDEX, previous=before), np.ones(4))
    assert (after.mean.tolist(), after.scale.tolist()) == (before.mean.tolist(), before.scale.tolist())


class TimeTarget(Target):
    """Time to an event: a third kind, with a loss, a split and a score of its own."""

    task = "regression"
    loss = "exponential"

    def learn(self, y, index, previous=None):
        return np.asarray(y, dtype=float)

    def read(self, y, index, caller):
        return self.learn(y, index)

    def fit(self, values, weight):
        self.n_outputs = 1
        self.unit = np.average(values[:, 1], weights=weight)

    def encode(self, values):
        return values / [1, self.unit]

    def original(self, values):
        return values

    def predictions(self, outputs):
        return RegressorPredictions(outputs[:, 0])

    def attributes(self):
        return {"unit_": self.unit}

    def strata(self, values):
        return values[:, 0]

    def scorer(self, monitor):
        if monitor != "concordance":
            return super().scorer(monitor)
        return lambda predictions, X, y: float(
            np.corrcoef(predictions.predict(X), -y[:, 1])[0, 1],
        )


class ExponentialLoss(torch.nn.Module):
    """Negative log-likelihood of a constant hazard."""

    def forward(self, outputs, target):
        event, time = target.unbind(1)
        return outputs[:, 0].exp() * time - event * outputs[:, 0]


class TimeEstimator(BaseHyperFusion):
    """An estimator that adds its target and nothing else."""

    _own_rules = {}  # noqa: RUF012
    __init__ = HyperFusionRegressor.__init__

    def fit(self, X, y):
        return self._fit(X, y, None, None)

    def risk(self, X):
        return self._outputs(X).mean(axis=1)[:, 0]

    def _new_target(self):
        return TimeTarget(type(self).__name__)


def test_a_third_kind_of_target_is_fitted_by_its_loss_its_strata_and_its_score(arrays, monkeypatch):
    monkeypatch.setitem(_losses.LOSSES, "exponential", ExponentialLoss)
    X, _, values = arrays
    rng = np.random.default_rng(0)
    y = np.column_stack([np.arange(len(X)) % 2, rng.exponential(np.exp(-2 * X["dose"])) + 0.01])
    settings = {"base_channels": 2, "max_epochs": 25, "fusion": "tabular", "random_state": 0}
    model = TimeEstimator(**settings, early_stopping=True, monitor="concordance", validation_fraction=0.25)
    model.fit(X.drop(columns="picture").assign(values=values), y)
    assert model.history_["train_loss"].iloc[-1] < model.history_["train_loss"].iloc[0]
    assert (
        model.history_["valid_concordance"].max()
        == model.history_["valid_concordance"][model.best_epoch_ - 1]
    )
    assert model.unit_ < y[:, 1].max()


def test_public_attributes_of_the_target_stay(arrays):
    X, labels, values = arrays
    settings = {"base_channels": 2, "max_epochs": 1, "random_state": 0}
    assert HyperFusionClassifier(**settings).fit(X, labels).classes_.tolist() == ["high", "low"]
    model = HyperFusionRegressor(**settings).fit(X, values)
    assert model.target_mean_ == pytest.approx(values.mean())
    assert model.target_scale_ == pytest.approx(values.std())
