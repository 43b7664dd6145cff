"""Every way to join image and table, as a person uses it: by the parameter `fusion`."""

import pickle

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.base import clone

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion._parameters import FUSIONS
from skhyperfusion.nn import _fusions

FURTHER = ["tabattention", "max", "multiply", "reverse", "late"]  # beside the paper's own
further = pytest.mark.parametrize("fusion", FURTHER)
SMALL = {"base_channels": 2, "max_epochs": 3, "random_state": 0}
LEARN = {**SMALL, "max_epochs": 15, "lr": 1e-2, "dropout": 0.0, "augmentation": None}


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.module_.parameters()])


def test_estimators_and_networks_know_the_same_fusions():
    assert tuple(_fusions.FUSIONS) == FUSIONS


@further
def test_classifier_learns_predicts_and_is_kept(arrays, fusion):
    X, y, _ = arrays
    model = HyperFusionClassifier(fusion=fusion, **LEARN).fit(X, y)
    proba = model.predict_proba(X)
    assert model.score(X, y) > 0.8
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), proba)
    assert len(model.embed(X)) == len(X)


@further
def test_regressor_learns_several_outputs(arrays, fusion):
    X, _, y = arrays
    Y = np.column_stack([y, 100 - 2 * y])
    model = HyperFusionRegressor(fusion=fusion, **LEARN).fit(X, Y)
    assert model.predict(X).shape == Y.shape
    assert model.score(X, Y) > 0.4
    one = HyperFusionRegressor(fusion=fusion, **SMALL).fit(X, y)
    assert one.predict(X).shape == y.shape


@further
def test_sample_weight_counts_and_zero_is_absence(arrays, fusion):
    X, y, _ = arrays
    model = HyperFusionClassifier(fusion=fusion, **SMALL)
    weight = np.where(np.arange(len(X)) < 6, 0.0, 1.0)
    absent = weights(model.fit(X[6:], y[6:]))  # and a clone of a fitted one starts afresh
    assert torch.equal(weights(clone(model).fit(X, y, sample_weight=weight)), absent)
    weight[6:12] = 5
    assert not torch.equal(weights(clone(model).fit(X, y, sample_weight=weight)), absent)


@further
def test_last_batch_of_one_row_is_survived(arrays, fusion):
    X, y, _ = arrays
    model = HyperFusionClassifier(fusion=fusion, batch_size=8, **SMALL).fit(X[:17], y[:17])
    assert np.isfinite(model.predict_proba(X)).all()


@further
def test_prediction_of_a_scan_depends_on_its_row_alone(study, fusion):
    X, y, _ = study
    model = HyperFusionClassifier(fusion=fusion, **SMALL).fit(X, y)
    proba = model.predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X.iloc[::-1])[::-1], proba, rtol=1e-9)
    np.testing.assert_allclose(model.set_params(batch_size=3).predict_proba(X), proba, rtol=1e-9)


@pytest.mark.parametrize("estimator", [HyperFusionClassifier, HyperFusionRegressor])
def test_late_averages_probabilities_or_values_of_its_two_networks(arrays, estimator):
    X, labels, values = arrays
    model = estimator(fusion="late", **SMALL).fit(X, labels if estimator is HyperFusionClassifier else values)
    features = torch.from_numpy(model.embed(X))
    module = model.module_.double()
    n_image = module.head.output.in_features
    with torch.no_grad():
        by_image = module.head.output(features[:, :n_image]).numpy()
        by_table = module.fusion.last(features[:, n_image:]).numpy()
    if estimator is HyperFusionClassifier:
        wanted = (softmax(by_image, axis=1) + softmax(by_table, axis=1)) / 2
        np.testing.assert_allclose(model.predict_proba(X), wanted)
    else:
        wanted = (by_image + by_table)[:, 0] / 2 * model.target_scale_ + model.target_mean_
        np.testing.assert_allclose(model.predict(X), wanted)


@pytest.mark.parametrize(
    "params",
    [
        {"external_layers": "head.output"},
        {"hyper_depth": 0},
        {"hyper_depth": 2, "hyper_width": 5},
        {"hyper_width": 5},
        {"embedding_dim": 3},
        {"external_layers": "head.*", "shared_embedding": False},
        {"hyper_init": "residual"},
    ],
    ids=lambda params: "-".join(params),
)
def test_reverse_obeys_the_hypernetworks_parameters(arrays, params):
    X, y, _ = arrays
    default, changed = (
        HyperFusionClassifier(fusion="reverse", **{**SMALL, "hyper_depth": 1, **given}).fit(X, y)
        for given in ({}, params)
    )
    assert default.external_layers_ == ("head.hidden1",)
    assert not np.array_equal(changed.predict_proba(X), default.predict_proba(X))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_pretrain_embedding_acts_where_the_table_is_embedded(arrays, fusion):
    X, y, _ = arrays
    model = HyperFusionClassifier(fusion=fusion, hyper_depth=1, **{**SMALL, "max_epochs": 1})
    before = weights(model.fit(X, y))
    after = weights(clone(model).set_params(pretrain_embedding=2).fit(X, y))
    assert torch.equal(before, after) == (fusion not in ("hyper", "tabular", "late"))


@pytest.mark.parametrize("fusion", [f for f in FUSIONS if f not in ("image", "tabular")])
def test_fusion_without_a_table_names_the_one_that_needs_none(arrays, fusion):
    X, y, _ = arrays
    with pytest.raises(ValueError, match=f"fusion='{fusion}' needs tabular columns.*Pass fusion='image'"):
        HyperFusionClassifier(fusion=fusion, **SMALL).fit(X[["picture"]], y)


@pytest.mark.parametrize(
    ("given", "nearest"), [("tabatention", "tabattention"), ("revers", "reverse"), ("multiplyy", "multiply")]
)
def test_misspelt_fusion_names_the_nearest(arrays, given, nearest):
    X, y, _ = arrays
    with pytest.raises(ValueError, match=f"'fusion' .*Got '{given}' instead; did you mean '{nearest}'"):
        HyperFusionClassifier(fusion=given).fit(X, y)
