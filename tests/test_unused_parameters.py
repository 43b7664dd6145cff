"""Parameters that do nothing beside the others are told of, once a fit and all in one warning."""

import warnings

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor

SMALL = {"base_channels": 1, "max_epochs": 1, "device": "cpu", "random_state": 0}


def told(arrays, estimator=HyperFusionClassifier, **params):
    """Return the warnings of a fit."""
    X, labels, values = arrays
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        estimator(**{**SMALL, **params}).fit(X, values if estimator is HyperFusionRegressor else labels)
    return [str(warning.message) for warning in said]


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"embedding_dim": 4}, ["embedding_dim=4", "hyper_depth=0", "used from hyper_depth=1"]),
        ({"pretrain_embedding": 3}, ["pretrain_embedding=3", "hyper_depth=0"]),
        ({"shared_embedding": False}, ["shared_embedding=False", "hyper_depth=0"]),
        ({"hyper_width": 8}, ["hyper_width=8", "hyper_depth=0", "used from hyper_depth=2"]),
        ({"hyper_width": 8, "hyper_depth": 1}, ["hyper_width=8 has no effect at hyper_depth=1"]),
        (
            {"hyper_width": 8, "embedding_dim": np.int64(4)},
            ["embedding_dim=4, hyper_width=8 have no effect at hyper_depth=0"],
        ),
        ({"fusion": "reverse", "embedding_dim": 4}, ["embedding_dim=4 has no effect at hyper_depth=0"]),
        ({"fusion": "concat", "external_layers": "head.*"}, ["external_layers='head.*'", "fusion='concat'"]),
        ({"fusion": "image", "external_layers": ["head.*"]}, ["external_layers=", "fusion='image'"]),
        ({"fusion": "tabular", "dropout": (0.1,) * 5 + (0.2,)}, ["dropout=(0.1", "fusion='tabular'"]),
        ({"monitor": "roc_auc"}, ["monitor='roc_auc'", "early_stopping='auto'", "early_stopping=True"]),
        (
            {"monitor": "roc_auc", "embedding_dim": 4},
            ["monitor='roc_auc'", "early_stopping='auto'", "embedding_dim=4"],
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_parameter_without_effect_is_told_once_with_what_takes_it_away(arrays, params, names):
    (message,) = told(arrays, **params)
    assert message.startswith("HyperFusionClassifier: ")
    assert [name for name in names if name not in message] == []


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"embedding_dim": 8, "hyper_width": 32, "shared_embedding": True, "pretrain_embedding": 0},
        {"hyper_depth": 1, "embedding_dim": 4, "pretrain_embedding": 1},
        {"hyper_depth": 2, "hyper_width": 8},
        {"fusion": "reverse", "hyper_width": 8, "external_layers": "head.output"},
        {"fusion": "late", "hyper_width": 8, "pretrain_embedding": 1},
        {"fusion": "tabular", "hyper_width": 8, "pretrain_embedding": 1, "dropout": 0.5},
        {"fusion": "concat", "embedding_dim": 4},  # it waits for another candidate of a search
        {"monitor": "roc_auc", "early_stopping": True, "validation_fraction": 0.3},
        {"monitor": "roc_auc", "early_stopping": False},  # as of a preset
    ],
    ids=lambda params: "-".join(params) or "defaults",
)
def test_parameter_with_an_effect_or_at_its_default_is_not_told(arrays, params):
    assert told(arrays, **params) == []


def test_regressor_tells_by_its_own_name(arrays):
    (message,) = told(arrays, HyperFusionRegressor, embedding_dim=4)
    assert message.startswith("HyperFusionRegressor: embedding_dim=4")


def test_search_over_depth_or_fusion_is_silent_at_the_defaults(arrays):
    X, y, _ = arrays
    for grid in ({"hyper_depth": [0, 1, 2]}, {"fusion": ["hyper", "concat", "image", "tabular"]}):
        GridSearchCV(HyperFusionClassifier(**SMALL), grid, cv=2, error_score="raise").fit(X, y)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hyper_depth": 2}, r"hyper_depth=2 has no effect with warm_start=True.*built with hyper_depth=1"),
        ({"dropout": 0.5}, r"dropout=0\.5 has no effect.*built with dropout=0\.2"),
        ({"fusion": "concat"}, r"fusion='concat' has no effect.*built with fusion='hyper'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_warm_start_tells_what_the_network_of_before_was_built_without(arrays, changed, words):
    X, y, _ = arrays
    model = HyperFusionClassifier(**SMALL, warm_start=True, hyper_depth=1).fit(X, y)
    model.fit(X, y)  # of the same settings: nothing to tell
    with pytest.warns(UserWarning, match=words):
        model.set_params(**changed).fit(X, y)
