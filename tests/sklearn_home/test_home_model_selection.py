"""Cross-validation and searches over tables with image paths.

A column of paths travels through a search as it is; images are read where they are needed.
"""

import numpy as np
import pytest
from compatibility import refused, works
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skhyperfusion import HyperFusionClassifier, ImageLoader, TabularPreprocessor
from skhyperfusion._parameters import FUSIONS


@works("cross_val_score")
def test_cross_val_score_when_repeated_gives_the_same_scores(pictures, classifier):
    X, y, _ = pictures
    scores = cross_val_score(classifier(max_epochs=3), X, y, cv=2, scoring="balanced_accuracy")
    again = cross_val_score(classifier(max_epochs=3), X, y, cv=2, scoring="balanced_accuracy")
    assert scores.shape == (2,)
    np.testing.assert_array_equal(scores, again)


@works("cross_val_score", "a regressor on NIfTI scans")
def test_cross_val_score_of_a_regressor_scores_every_fold(study, regressor):
    X, _, y = study
    scores = cross_val_score(regressor(), X, y, cv=2, scoring="neg_mean_absolute_error")
    assert np.isfinite(scores).all()
    assert (scores < 0).all()


@works("cross_validate", "several scorers, `return_estimator`, `return_train_score`")
def test_cross_validate_with_several_scorers_returns_fitted_estimators(pictures, classifier):
    X, y, _ = pictures
    scoring = ["roc_auc", "neg_log_loss", "balanced_accuracy"]
    result = cross_validate(
        classifier(), X, y, cv=2, scoring=scoring, return_estimator=True, return_train_score=True
    )
    assert {f"{part}_{name}" for part in ("train", "test") for name in scoring} <= set(result)
    first, second = result["estimator"]
    assert not np.array_equal(first.predict_proba(X), second.predict_proba(X))


@works("cross_val_predict", "`predict` and `predict_proba`")
@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_cross_val_predict_answers_every_row_from_a_model_that_did_not_see_it(pictures, classifier, method):
    X, y, _ = pictures
    predicted = cross_val_predict(classifier(), X, y, cv=3, method=method)
    for train, test in StratifiedKFold(3).split(X, y):
        model = classifier().fit(X.iloc[train], y.iloc[train])
        np.testing.assert_array_equal(predicted[test], getattr(model, method)(X.iloc[test]))


@works("GridSearchCV", "nested parameters")
def test_grid_search_over_loader_and_preprocessor_sets_both(pictures, classifier):
    X, y, _ = pictures
    model = classifier(image_loader=ImageLoader())
    search = GridSearchCV(
        model,
        {"image_loader__shape": [(4, 4), (6, 6)], "tabular_preprocessor__imputer": ["median", "knn"]},
        cv=2,
    ).fit(X, y)  # shown
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    assert search.best_estimator_.image_spec_.shape == search.best_params_["image_loader__shape"]
    imputer = search.best_estimator_.tabular_preprocessor_.imputer
    assert imputer == search.best_params_["tabular_preprocessor__imputer"]
    assert model.image_loader.shape is None
    assert search.predict(X).shape == (24,)


@works("GridSearchCV", "nested parameters of an estimator at its defaults")
def test_search_over_nested_parameters_of_defaults_sets_them(pictures):
    X, y, _ = pictures
    model = HyperFusionClassifier(base_channels=1, max_epochs=1, random_state=0)
    space = {"image_loader__shape": [(4, 4)], "tabular_preprocessor__imputer": ["knn"]}
    search = GridSearchCV(model, space, cv=2, error_score="raise").fit(X, y)
    assert search.best_estimator_.image_spec_.shape == (4, 4)
    assert search.best_estimator_.tabular_preprocessor_.imputer == "knn"
    assert model.image_loader is None
    assert model.tabular_preprocessor == "default"


def test_nested_parameter_when_loader_and_preprocessor_are_defaults_gives_them_their_own():
    model = HyperFusionClassifier()
    model.set_params(image_loader__shape=(4, 4), tabular_preprocessor__imputer="knn")
    assert isinstance(model.image_loader, ImageLoader)
    assert model.image_loader.shape == (4, 4)
    assert isinstance(model.tabular_preprocessor, TabularPreprocessor)
    assert model.tabular_preprocessor.imputer == "knn"
    loader = model.image_loader
    model.set_params(image_loader__shape=(5, 5))
    assert model.image_loader is loader
    with pytest.raises(ValueError, match="Invalid parameter 'shap' for estimator ImageLoader"):
        HyperFusionClassifier().set_params(image_loader__shap=(4, 4))


def test_nested_parameter_of_passthrough_is_refused_in_a_clear_sentence():
    model = HyperFusionClassifier(tabular_preprocessor="passthrough")
    with pytest.raises(ValueError, match="'tabular_preprocessor' is 'passthrough', which has no parameters"):
        model.set_params(tabular_preprocessor__imputer="knn")


@works("GridSearchCV", "through a `Pipeline`, refit by one of several scorers")
def test_grid_search_through_a_pipeline_reaches_nested_parameters(pictures, classifier):
    X, y, _ = pictures
    pipeline = make_pipeline(TabularPreprocessor(imputer="median"), classifier(image_loader=ImageLoader()))
    search = GridSearchCV(
        pipeline,
        {
            "tabularpreprocessor__add_indicator": [True, False],
            "hyperfusionclassifier__image_loader__shape": [(4, 4)],
            "hyperfusionclassifier__tabular_preprocessor__imputer": ["knn"],
            "hyperfusionclassifier__fusion": ["hyper", "film"],
        },
        cv=2,
        scoring=["roc_auc", "accuracy"],
        refit="roc_auc",
    ).fit(X, y)
    best = search.best_estimator_[-1]
    assert best.image_spec_.shape == (4, 4)
    assert best.fusion == search.best_params_["hyperfusionclassifier__fusion"]
    assert best.tabular_preprocessor_.imputer == "knn"
    assert search.score(X, y) == roc_auc_score(y == "well", search.predict_proba(X)[:, 1])


@works("GridSearchCV", "over `fusion`: the paper's table")
def test_grid_search_over_fusion_covers_every_fusion(pictures, classifier):
    X, y, _ = pictures
    search = GridSearchCV(classifier(), {"fusion": FUSIONS}, cv=2).fit(X, y)
    assert tuple(search.cv_results_["param_fusion"]) == FUSIONS
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()


@works("RandomizedSearchCV")
def test_randomized_search_draws_from_distributions(pictures, regressor):
    from scipy.stats import loguniform

    X, _, y = pictures
    search = RandomizedSearchCV(
        regressor(), {"lr": loguniform(1e-4, 1e-2), "dropout": [0.0, 0.3]}, n_iter=2, cv=2, random_state=0
    ).fit(X, y)
    assert 1e-4 <= search.best_params_["lr"] <= 1e-2
    assert search.predict(X).shape == (24,)


@works("HalvingGridSearchCV", "epochs as the resource")
def test_halving_with_epochs_as_resource_ends_with_the_most_epochs(pictures, classifier):
    X, y, _ = pictures
    model = classifier()
    search = HalvingGridSearchCV(
        model, {"lr": [1e-3, 1e-2, 1e-1]}, resource="max_epochs", min_resources=1, max_resources=3, cv=2
    ).fit(X, y)  # shown
    assert search.n_resources_ == [1, 3]
    assert search.best_estimator_.n_iter_ == 3


@works("learning_curve")
def test_learning_curve_scores_each_size(pictures, classifier):
    X, y, _ = pictures
    sizes, train, test = learning_curve(
        classifier(), X, y, cv=2, train_sizes=[0.5, 1.0], shuffle=True, random_state=0
    )
    assert sizes.tolist() == [6, 12]
    assert np.isfinite(train).all()
    assert np.isfinite(test).all()


@works("validation_curve")
def test_validation_curve_scores_each_value(pictures, classifier):
    X, y, _ = pictures
    train, test = validation_curve(classifier(), X, y, param_name="hyper_depth", param_range=[0, 1, 2], cv=2)
    assert train.shape == test.shape == (3, 2)
    assert np.isfinite(test).all()


@works("permutation_test_score")
def test_permutation_test_score_gives_a_p_value(pictures, classifier):
    X, y, _ = pictures
    score, permuted, p = permutation_test_score(classifier(), X, y, cv=2, n_permutations=2, random_state=0)
    assert np.isfinite([score, *permuted]).all()
    assert 1 / 3 <= p <= 1


@works("TunedThresholdClassifierCV")
def test_tuned_threshold_is_chosen_on_folds(pictures, classifier):
    X, y, _ = pictures
    tuned = TunedThresholdClassifierCV(classifier(), scoring="balanced_accuracy", cv=2, thresholds=9).fit(
        X, y
    )
    assert 0 < tuned.best_threshold_ < 1
    assert set(tuned.predict(X)) <= {"ill", "well"}


@works("FixedThresholdClassifier")
def test_fixed_threshold_moves_the_decision(pictures, classifier):
    X, y, _ = pictures
    never = FixedThresholdClassifier(classifier(), threshold=1.1, pos_label="ill").fit(X, y)
    always = FixedThresholdClassifier(classifier(), threshold=0.0, pos_label="ill").fit(X, y)
    assert set(never.predict(X)) == {"well"}
    assert set(always.predict(X)) == {"ill"}


@works("GridSearchCV", "inside `cross_val_score`: nested cross-validation")
def test_nested_cross_validation_scores_the_search(pictures, classifier):
    X, y, _ = pictures
    search = GridSearchCV(classifier(fusion="concat"), {"lr": [1e-3, 1e-2]}, cv=2)
    scores = cross_val_score(search, X, y, cv=2)
    assert np.isfinite(scores).all()


@works("GroupKFold", "with the ids as `group_column`, too")
def test_group_k_fold_keeps_subjects_apart_outside_and_inside(pictures, classifier):
    X, y, _ = pictures
    subject = np.arange(len(X)) // 2
    settings = {"early_stopping": True, "validation_fraction": 0.3}
    result = cross_validate(
        classifier(group_column="subject", **settings),
        X.assign(subject=subject),
        y,
        cv=GroupKFold(2),
        groups=subject,
        return_estimator=True,
        return_indices=True,
    )
    assert np.isfinite(result["test_score"]).all()
    for model, train, test in zip(result["estimator"], *result["indices"].values(), strict=True):
        assert not set(subject[train]) & set(subject[test])
        assert model.tabular_columns_ == ["age", "pressure", "side"]
        inside = classifier(**settings).fit(X.iloc[train], y.iloc[train], groups=subject[train])
        assert model.history_["valid_loss"].tolist() == inside.history_["valid_loss"].tolist()


@works("StratifiedGroupKFold")
def test_stratified_group_k_fold_scores_every_fold(pictures, classifier):
    X, y, _ = pictures
    subject = np.arange(len(X)) // 2
    cv = StratifiedGroupKFold(2, shuffle=True, random_state=0)
    result = cross_validate(classifier(), X, y, cv=cv, groups=subject, return_indices=True)
    assert np.isfinite(result["test_score"]).all()
    for train, test in zip(result["indices"]["train"], result["indices"]["test"], strict=True):
        assert not set(subject[train]) & set(subject[test])


@works("make_scorer", "a scorer of one's own")
def test_scorer_of_ones_own_sees_labels(pictures, classifier):
    X, y, _ = pictures

    def balanced(estimator, X, y):
        return balanced_accuracy_score(y, estimator.predict(X))

    own = cross_val_score(classifier(), X, y, cv=2, scoring=balanced)
    named = cross_val_score(classifier(), X, y, cv=2, scoring="balanced_accuracy")
    np.testing.assert_array_equal(own, named)


@works("error_score", note="One bad file fails its folds, and the warning names the file")
def test_bad_file_in_a_search_is_named_by_the_fit_failure(pictures, classifier):
    from sklearn.exceptions import FitFailedWarning

    X, y, _ = pictures
    X = X.copy()
    X.loc["e03", "photo"] = "gone.png"
    with (
        pytest.warns(FitFailedWarning, match=r"(?s)Row 'e03', column 'photo': 'gone\.png'.*does not exist"),
        pytest.warns(UserWarning, match="Scoring failed"),
    ):
        scores = cross_val_score(classifier(), X, y, cv=2)
    assert np.isnan(scores).all()


@refused(
    "SequentialFeatureSelector",
    words="could not convert string to float",
    reason="scikit-learn asks for numbers in every column; choose columns by a search over `image_columns` "
    "and a `ColumnTransformer` instead",
)
def test_sequential_feature_selector_on_paths_is_refused(pictures, classifier, words):
    from sklearn.feature_selection import SequentialFeatureSelector

    X, y, _ = pictures
    with pytest.raises(ValueError, match=words):
        SequentialFeatureSelector(classifier(), n_features_to_select=2, cv=2).fit(X, y)


@works("Pipeline", "with `memory`")
def test_pipeline_with_memory_caches_the_preprocessor(tmp_path, pictures, classifier):
    X, y, _ = pictures
    steps = [FunctionTransformer(), TabularPreprocessor(imputer="median"), classifier()]
    cached = make_pipeline(*steps, memory=str(tmp_path)).fit(X, y)
    plain = make_pipeline(*steps).fit(X, y)
    np.testing.assert_array_equal(cached.predict_proba(X), plain.predict_proba(X))
    assert any(tmp_path.rglob("*.pkl"))
