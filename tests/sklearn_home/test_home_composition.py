"""Ensembles and wrappers.

Most of them hand the table on as it is. Members of an ensemble that are not ours get the paths too, so let
them select their columns; tools that turn the whole table into numbers cannot hold paths.
"""

import numpy as np
import pandas as pd
import pytest
import sklearn
from compatibility import reads_the_images, refused, works
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

NUMERIC = ["age", "pressure"]


def only_numbers(final):
    """A member of an ensemble that takes its own columns of the whole table."""
    return make_pipeline(make_column_transformer((SimpleImputer(), NUMERIC)), StandardScaler(), final)


# Voting and stacking


@works("VotingClassifier", "hard and soft; other members select their columns")
@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_voting_classifier_beside_a_linear_model_votes(pictures, classifier, voting):
    X, y, _ = pictures
    numbers = make_column_transformer((SimpleImputer(), NUMERIC))
    other = make_pipeline(numbers, LogisticRegression())  # shown
    members = [("fusion", classifier()), ("image", classifier(fusion="image")), ("numbers", other)]
    vote = VotingClassifier(members, voting=voting).fit(X, y)
    assert set(vote.predict(X)) <= {"ill", "well"}
    assert vote.named_estimators_["fusion"].image_columns_ == ["photo"]
    if voting == "soft":
        mean = np.mean([member.predict_proba(X) for member in vote.estimators_], axis=0)
        np.testing.assert_allclose(vote.predict_proba(X), mean)


@refused(
    "VotingClassifier",
    "a member that takes numbers only, without selecting its columns",
    words="could not convert string to float",
    reason="The member's own error: it gets the paths too",
)
def test_voting_with_a_member_that_gets_the_paths_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    with pytest.raises(ValueError, match=words):
        VotingClassifier([("fusion", classifier()), ("numbers", LogisticRegression())]).fit(X, y)


@works("VotingRegressor")
def test_voting_regressor_averages(pictures, regressor):
    X, _, y = pictures
    members = [("fusion", regressor()), ("numbers", only_numbers(Ridge()))]
    vote = VotingRegressor(members, weights=[3, 1]).fit(X, y)
    first, second = (member.predict(X) for member in vote.estimators_)
    np.testing.assert_allclose(vote.predict(X), (3 * first + second) / 4)


@works("StackingClassifier")
def test_stacking_classifier_learns_from_out_of_fold_probabilities(pictures, classifier):
    X, y, _ = pictures
    members = [("fusion", classifier()), ("numbers", only_numbers(LogisticRegression()))]
    stack = StackingClassifier(members, LogisticRegression(), cv=2).fit(X, y)
    assert stack.final_estimator_.n_features_in_ == 2
    assert stack.predict_proba(X).shape == (24, 2)


@works("StackingRegressor", "`cv` of its own and `cv='prefit'`")
@pytest.mark.parametrize("cv", [2, "prefit"])
def test_stacking_regressor_learns_from_predictions(pictures, regressor, cv):
    X, _, y = pictures
    member = regressor().fit(X, y) if cv == "prefit" else regressor()
    stack = StackingRegressor([("fusion", member)], Ridge(), cv=cv).fit(X, y)
    assert stack.predict(X).shape == (24,)


@refused(
    "StackingClassifier",
    "`passthrough=True` with a final estimator that takes numbers",
    words="could not convert string to float",
    reason="The final estimator gets the paths beside the predictions; this is its own error. "
    "Leave `passthrough` off, or let a HyperFusion estimator be the final one",
)
def test_stacking_when_paths_pass_through_to_a_linear_model_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    with pytest.raises(ValueError, match=words):
        StackingClassifier([("fusion", classifier())], LogisticRegression(), cv=2, passthrough=True).fit(X, y)


@works("StackingClassifier", "`passthrough=True` with a HyperFusion estimator as the final one")
def test_stacking_when_paths_pass_through_to_a_fusion_reads_them(pictures, classifier):
    X, y, _ = pictures
    members = [("numbers", only_numbers(LogisticRegression()))]
    model = classifier()
    stack = StackingClassifier(members, model, cv=2, passthrough=True).fit(X, y)  # shown
    assert len(stack.final_estimator_.image_columns_) == 1
    assert reads_the_images(stack, X)


# Bagging and boosting


@works("BaggingClassifier", note="Members get an array of objects, and the rows drawn as weights")
def test_bagging_classifier_draws_rows_as_weights(pictures, classifier):
    X, y, _ = pictures
    bag = BaggingClassifier(classifier(), n_estimators=2, random_state=0).fit(X, y)
    assert all(member.image_columns_ == ["x0"] for member in bag.estimators_)
    assert bag.predict_proba(X).shape == (24, 2)
    assert reads_the_images(bag, X)


@works("BaggingClassifier", "`image_columns` by name, `oob_score`")
def test_bagging_classifier_scores_rows_left_out(pictures, classifier):
    X, y, _ = pictures
    member = classifier(image_columns="photo", fusion="concat")
    bag = BaggingClassifier(member, n_estimators=6, max_samples=10, oob_score=True, random_state=0)
    bag.fit(X, y)
    assert 0 <= bag.oob_score_ <= 1


@works("BaggingRegressor")
def test_bagging_regressor_averages_its_members(pictures, regressor):
    X, _, y = pictures
    bag = BaggingRegressor(regressor(), n_estimators=2, max_samples=0.8, random_state=0).fit(X, y)
    members = [member.predict(X.to_numpy(dtype=object)) for member in bag.estimators_]
    np.testing.assert_allclose(bag.predict(X), np.mean(members, axis=0))


@refused(
    "BaggingClassifier",
    "column subsets (`max_features`) without the image",
    words="HyperFusionClassifier found no image column in X",
    reason="Bag rows, not columns. (Of a subset that holds numbers alone the tabular network is fitted, and "
    "a warning says so.)",
)
def test_bagging_when_a_subset_lacks_the_image_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    model = classifier(fusion="concat")
    numbers = BaggingClassifier(model, n_estimators=1, max_features=2, random_state=0)
    with pytest.warns(UserWarning, match="found no image column in X, every column is numeric"):
        numbers.fit(X[["photo", *NUMERIC]], y)
    assert sorted(numbers.estimators_features_[0]) == [1, 2]
    with pytest.raises(ValueError, match=words):
        BaggingClassifier(classifier(), n_estimators=4, max_features=1, random_state=0).fit(
            X[["photo", "side"]], y
        )


@refused(
    "BaggingClassifier",
    "of a pipeline that selects columns by name",
    words="Specifying the columns using strings is only supported for dataframes",
    reason="scikit-learn's own error, since bagging turns a table into an array; select by position, "
    "or leave the columns to `TabularPreprocessor`",
)
def test_bagging_when_the_pipeline_names_columns_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    prepare = make_column_transformer((SimpleImputer(), NUMERIC), remainder="passthrough")
    with pytest.raises(ValueError, match=words):
        BaggingClassifier(make_pipeline(prepare, classifier()), n_estimators=2).fit(X, y)


@works("AdaBoostClassifier", note="On a table without gaps")
def test_ada_boost_weighs_rows(pictures, classifier):
    X, y, _ = pictures
    X = X.fillna({"age": 70.0, "side": "left"})
    model = classifier(max_epochs=10, lr=1e-2)
    boosted = AdaBoostClassifier(model, n_estimators=2, random_state=0).fit(X, y)
    assert boosted.predict(X).shape == (24,)


@refused(
    "AdaBoostClassifier",
    "on a table with gaps",
    words="Input contains NaN",
    reason="scikit-learn's own error; impute first by `TabularPreprocessor`",
)
def test_ada_boost_on_gaps_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    with pytest.raises(ValueError, match=words):
        AdaBoostClassifier(classifier(), n_estimators=2).fit(X, y)


@refused(
    "GradientBoostingClassifier",
    "with the estimator as `init`",
    words="could not convert string to float",
    reason="scikit-learn's own error: its trees take numbers only",
)
def test_gradient_boosting_from_a_fusion_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    with pytest.raises(ValueError, match=words):
        GradientBoostingClassifier(init=classifier()).fit(X, y)


# Calibration and frozen models


@works("CalibratedClassifierCV", "sigmoid and isotonic")
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated_classifier_gives_probabilities(pictures, classifier, method):
    X, y, _ = pictures
    calibrated = CalibratedClassifierCV(classifier(), method=method, cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)


@pytest.mark.skipif(sklearn.__version__.startswith("1.7"), reason="new in scikit-learn 1.8")
@works("CalibratedClassifierCV", "temperature", note="scikit-learn 1.9 fails on a Series whose index lacks 0")
def test_calibrated_classifier_by_temperature_takes_an_array(pictures, classifier):
    X, y, _ = pictures
    model = classifier()
    calibrated = CalibratedClassifierCV(model, method="temperature", cv=2).fit(X, y.to_numpy())  # shown
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)


@works("FrozenEstimator", "under `CalibratedClassifierCV`: a fitted model is calibrated, not refitted")
def test_calibration_of_a_frozen_model_leaves_the_model_as_it_is(pictures, classifier):
    X, y, _ = pictures
    model = classifier().fit(X, y)
    before = model.predict_proba(X)
    calibrated = CalibratedClassifierCV(FrozenEstimator(model)).fit(X, y)  # shown
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert not np.array_equal(calibrated.predict_proba(X), before)


# Targets


@works("TransformedTargetRegressor")
def test_transformed_target_comes_back_in_its_unit(pictures, regressor):
    X, _, y = pictures
    y = np.exp(y / 10)
    model = TransformedTargetRegressor(regressor(max_epochs=3), func=np.log, inverse_func=np.exp).fit(X, y)
    np.testing.assert_allclose(model.predict(X), np.exp(model.regressor_.predict(X)))


@works("MultiOutputRegressor", note="The regressor takes several targets by itself as well, in one network")
def test_multi_output_regressor_fits_one_network_per_target(pictures, regressor):
    X, _, y = pictures
    Y = pd.DataFrame({"loss": y, "gain": -y})
    separate = MultiOutputRegressor(regressor()).fit(X, Y)
    assert len(separate.estimators_) == 2
    assert separate.predict(X).shape == (24, 2)
    assert regressor().fit(X, Y).predict(X).shape == (24, 2)


@works("MultiOutputClassifier")
def test_multi_output_classifier_fits_one_network_per_target(pictures, classifier):
    X, y, _ = pictures
    Y = np.column_stack([y, y.iloc[::-1]])
    assert MultiOutputClassifier(classifier()).fit(X, Y).predict(X).shape == (24, 2)


@works("OneVsRestClassifier", "and `OutputCodeClassifier`")
@pytest.mark.parametrize("wrapper", [OneVsRestClassifier, OutputCodeClassifier])
def test_one_vs_rest_of_three_classes_predicts_them(pictures, classifier, wrapper):
    X, _, _ = pictures
    y = np.array(["a", "b", "c"])[np.arange(24) % 3]
    model = wrapper(classifier()).fit(X, y)
    assert len(model.estimators_) >= 3
    assert set(model.predict(X)) <= {"a", "b", "c"}


@refused(
    "OneVsOneClassifier",
    words="could not convert string to float",
    reason="scikit-learn's own error; the classifier takes several classes by itself",
)
def test_one_vs_one_on_paths_is_refused(pictures, classifier, words):
    X, _, _ = pictures
    with pytest.raises(ValueError, match=words):
        OneVsOneClassifier(classifier()).fit(X, np.arange(24) % 3)


@refused(
    "ClassifierChain",
    "and `RegressorChain`",
    words="could not convert string to float",
    reason="scikit-learn's own error: earlier targets join a numeric table. Use `MultiOutputClassifier`, or "
    "give the regressor several targets",
)
def test_chains_on_paths_are_refused(pictures, classifier, regressor, words):
    X, y, values = pictures
    X = X.fillna({"age": 70.0, "side": "left"})
    with pytest.raises(ValueError, match=words):
        ClassifierChain(classifier()).fit(X, np.column_stack([y == "ill", y == "well"]))
    with pytest.raises(ValueError, match=words):
        RegressorChain(regressor()).fit(X, np.column_stack([values, -values]))


@refused(
    "SelfTrainingClassifier",
    words="could not convert string to float",
    reason="scikit-learn's own error: it takes numbers only",
)
def test_self_training_on_paths_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    with pytest.raises(ValueError, match=words):
        SelfTrainingClassifier(classifier()).fit(X, np.where(np.arange(24) < 4, -1, y == "ill"))


@refused(
    "RFE",
    words="could not convert string to float",
    reason="scikit-learn's own error, and there is no `coef_`; see `permutation_importance`",
)
def test_rfe_on_paths_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    with pytest.raises(ValueError, match=words):
        RFE(classifier()).fit(X, y)
