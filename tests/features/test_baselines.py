"""The baselines: one line, any table, strength chosen inside."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, cross_val_score

from skhyperfusion import ImageLoader
from skhyperfusion.features import ImageFeatures, baseline_classifier, baseline_regressor
from skhyperfusion.model_selection import compare_estimators

BASELINES = {"classifier": baseline_classifier, "regressor": baseline_regressor}


@pytest.mark.parametrize("kind", list(BASELINES))
def test_baseline_learns_from_image_and_table(kind, arrays):
    X, labels, values = arrays
    y = labels if kind == "classifier" else values
    by_parts = {
        part: cross_val_score(BASELINES[kind](n_components=10), X[columns], y, cv=2).mean()
        for part, columns in {
            "both": ["picture", "dose"],
            "image": ["picture"],
            "table": ["picture", "noise"],
        }.items()
    }
    assert by_parts["both"] > by_parts["image"]
    assert by_parts["both"] > by_parts["table"]


def test_baselines_stand_in_a_comparison(study):
    X, labels, values = study
    methods = {"components": baseline_regressor(n_components=3)}
    found = compare_estimators(methods, X, values, cv=2, scoring=["neg_mean_absolute_error"])
    assert np.isfinite(found.scores["score"]).all()
    methods = {"components": baseline_classifier(n_components=3)}
    found = compare_estimators(methods, X, labels, cv=2, scoring=["roc_auc"])
    assert np.isfinite(found.scores["score"]).all()


def test_strength_is_chosen_inside(study):
    X, labels, values = study
    classifier = baseline_classifier(n_components=5).fit(X, labels)
    assert classifier[-1].best_params_["C"] in classifier[-1].param_grid["C"]
    assert classifier.classes_.tolist() == ["AD", "CN"]
    assert classifier.score(X, labels) == (classifier.predict(X) == labels).mean()
    regressor = baseline_regressor(n_components=5).fit(X, values)
    assert isinstance(regressor[-1], RidgeCV)
    assert regressor[-1].alpha_ in regressor[-1].alphas


def test_components_keep_their_sizes_before_the_linear_model(study):
    """Brought to one scale, the last components would count as much as the first."""
    X, _, values = study
    model = baseline_regressor(n_components=5).fit(X, values)
    spread = model[:-1].transform(X).filter(like="scan_pca").std().to_numpy()
    assert (np.diff(spread) < 0).all()
    assert spread[0] > 1.1 * spread[-1]


def test_parameters_reach_the_features(study):
    X, _, values = study
    loader = ImageLoader(shape=(4, 4, 4))
    features = baseline_regressor("voxels", image_columns="scan", image_loader=loader).fit(X, values)[1]
    assert isinstance(features, ImageFeatures)
    assert (features.method, features.image_columns_) == ("voxels", ["scan"])
    assert features.image_spec_.shape == (4, 4, 4)
    assert baseline_classifier(n_components=7).get_params()["imagefeatures__n_components"] == 7


@pytest.mark.parametrize("image_columns", ["auto", "scan", 0, ["scan"]])
def test_image_columns_are_found_behind_the_preprocessor(image_columns, study):
    X, _, values = study
    model = baseline_regressor(image_columns=image_columns, n_components=3).fit(X, values)
    expected = baseline_regressor(n_components=3).fit(X, values).predict(X)
    np.testing.assert_array_equal(model.predict(X), expected)


def test_pixel_columns_of_an_array_are_found_by_position():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 17))
    y = 5 * X[:, 4] + X[:, 16]
    model = baseline_regressor(
        image_columns=range(16), image_loader=ImageLoader(shape=(4, 4), intensity=None), n_components=16
    )
    assert model.fit(X, y).score(X, y) > 0.95


def test_search_and_rare_classes(study):
    X, labels, _ = study
    rare = labels.where(np.arange(len(labels)) > 4, "MCI")
    search = GridSearchCV(baseline_classifier(), {"imagefeatures__n_components": [2]}, cv=2)
    assert search.fit(X, labels).predict_proba(X).shape == (40, 2)
    assert baseline_classifier(n_components=3).fit(X, rare).predict_proba(X).shape == (40, 3)


def test_likelihood_when_a_class_is_unknown_is_finite(study):
    from skhyperfusion.features._baselines import _log_likelihood

    X, labels, _ = study
    model = baseline_classifier(n_components=2).fit(X, labels)
    known = _log_likelihood(model, X, labels)
    strange = labels.where(np.arange(len(labels)) > 0, "never seen")
    assert np.isfinite(_log_likelihood(model, X, strange))
    assert _log_likelihood(model, X, strange) < known < 0
