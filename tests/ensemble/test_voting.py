"""The five voting rules by hand calculation, and the classifier that votes by them."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from skhyperfusion import HyperFusionClassifier
from skhyperfusion.ensemble import ConfidenceVotingClassifier
from skhyperfusion.ensemble._rules import VOTING, combine


class Fixed(ClassifierMixin, BaseEstimator):
    """Says the same of every row, whatever it was fitted on."""

    def __init__(self, probabilities):
        self.probabilities = probabilities

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        self.sample_weight_ = sample_weight
        return self

    def predict_proba(self, X):
        return np.tile(np.asarray(self.probabilities, dtype=float), (len(X), 1))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def entropy(*probabilities):
    return -sum(p * np.log(p) for p in probabilities if p > 0)


def rows(*members):
    """One row per member: (n_members, 1, n_classes)."""
    return np.array(members, dtype=float)[:, None]


# Entropies: A .500402, B .673012, C .673012; inverses 1.998392, 1.485858, 1.485858.
A, B, C = [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]


@pytest.mark.parametrize(
    ("voting", "expected"),
    [
        ("soft", [(0.8 + 0.4 + 0.4) / 3, (0.2 + 0.6 + 0.6) / 3]),
        ("hard", [1 / 3, 2 / 3]),
        ("confidence", [0.560833, 0.439167]),  # (.8 * 1.998392 + 2 * .4 * 1.485858) / 4.970108
        ("confidence_hard", [0.402082, 0.597918]),  # 1.998392 / 4.970108
        ("most_confident", [0.8, 0.2]),
    ],
)
def test_rule_is_that_of_the_hand_calculation(voting, expected):
    np.testing.assert_allclose(combine(rows(A, B, C), voting), [expected], atol=1e-6)


def test_rules_of_one_case_disagree():
    probabilities = rows(A, B, C)
    predicted = {voting: int(combine(probabilities, voting).argmax()) for voting in VOTING}
    expected = {"soft": 0, "hard": 1, "confidence": 0, "confidence_hard": 1, "most_confident": 0}
    assert predicted == expected


def test_confidence_follows_its_formula_row_by_row():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), size=(3, 5))
    weights = [1.0, 2.0, 0.5]
    for row in range(5):
        share = [w / entropy(*p) for w, p in zip(weights, probabilities[:, row], strict=True)]
        expected = np.average(probabilities[:, row], axis=0, weights=share)
        np.testing.assert_allclose(combine(probabilities, "confidence", weights)[row], expected)
        votes = np.bincount(probabilities[:, row].argmax(axis=1), weights=share, minlength=4)
        np.testing.assert_allclose(
            combine(probabilities, "confidence_hard", weights)[row], votes / votes.sum()
        )
        likeliest = int(np.argmax(share))
        np.testing.assert_array_equal(
            combine(probabilities, "most_confident", weights)[row], probabilities[likeliest, row]
        )


@pytest.mark.parametrize(
    ("members", "voting", "expected"),
    [
        # 0 log 0 is 0: a zero beside two others is no trouble. Entropy .500402 = .500402, in any order.
        (([0.8, 0.2, 0.0], [0.0, 0.8, 0.2]), "confidence", [0.4, 0.5, 0.1]),
        (([0.8, 0.2, 0.0], [0.0, 0.8, 0.2]), "most_confident", [0.4, 0.5, 0.1]),
        # A member that is certain has entropy 0 and counts alone...
        (([1.0, 0.0], [0.1, 0.9]), "confidence", [1.0, 0.0]),
        (([1.0, 0.0], [0.1, 0.9], [0.1, 0.9]), "confidence_hard", [1.0, 0.0]),
        (([1.0, 0.0], [0.1, 0.9], [0.1, 0.9]), "most_confident", [1.0, 0.0]),
        # ... two such share the weight, whether they agree or not.
        (([1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.1, 0.8, 0.1]), "confidence", [0.5, 0.0, 0.5]),
        (([1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.1, 0.8, 0.1]), "confidence_hard", [0.5, 0.0, 0.5]),
        (([1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.1, 0.8, 0.1]), "most_confident", [0.5, 0.0, 0.5]),
        # All certain.
        (([0.0, 1.0], [0.0, 1.0], [1.0, 0.0]), "confidence", [1 / 3, 2 / 3]),
        # Nobody is sure: equal entropies, equal weights.
        (([0.5, 0.5], [0.5, 0.5]), "confidence", [0.5, 0.5]),
        # So small a probability that its inverse entropy is infinite in floating point.
        (([1.0, 1e-310], [0.5, 0.5]), "confidence", [1.0, 0.0]),
        # Votes of an undecided member go to the first of its likeliest classes.
        (([0.5, 0.5], [0.2, 0.8]), "hard", [0.5, 0.5]),
        # One member.
        (([0.3, 0.7],), "confidence", [0.3, 0.7]),
        (([0.3, 0.7],), "most_confident", [0.3, 0.7]),
    ],
)
def test_ties_and_zeros_are_those_of_the_hand_calculation(members, voting, expected):
    np.testing.assert_allclose(combine(rows(*members), voting), [expected], atol=1e-12)


def test_order_of_members_does_not_matter():
    members = [[0.6, 0.3, 0.1], [0.1, 0.3, 0.6], [0.3, 0.6, 0.1]]  # the same entropy, in three orders
    for voting in VOTING:
        first, second = combine(rows(*members), voting), combine(rows(*members[::-1]), voting)
        np.testing.assert_allclose(first, second)
    np.testing.assert_allclose(combine(rows(*members), "most_confident"), [[1 / 3, 0.4, 0.8 / 3]])


@pytest.mark.parametrize("voting", VOTING)
def test_rows_sum_to_one_and_rows_do_not_mix(voting):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=(4, 6))
    probabilities[0, 2] = [0, 1, 0]
    combined = combine(probabilities, voting)
    np.testing.assert_allclose(combined.sum(axis=1), 1)
    one_by_one = [combine(probabilities[:, [row]], voting)[0] for row in range(6)]
    np.testing.assert_array_equal(combined, one_by_one)


def test_weights_multiply_the_inverse_entropies():
    # 3 votes of weight 1, 1, 3; entropies all equal.
    members = rows([0.8, 0.2], [0.8, 0.2], [0.2, 0.8])
    weights = [1, 1, 3]
    for voting in ("soft", "confidence"):
        np.testing.assert_allclose(combine(members, voting, weights), [[(1.6 + 0.6) / 5, (0.4 + 2.4) / 5]])
    for voting in ("hard", "confidence_hard"):
        np.testing.assert_allclose(combine(members, voting, weights), [[2 / 5, 3 / 5]])
    np.testing.assert_allclose(combine(members, "most_confident", weights), [[0.2, 0.8]])


def test_weight_of_zero_leaves_a_member_out_even_if_it_is_certain():
    members = rows([1.0, 0.0], [0.3, 0.7])
    for voting in ("soft", "confidence", "most_confident"):
        np.testing.assert_allclose(combine(members, voting, [0, 2]), [[0.3, 0.7]])


@pytest.mark.parametrize("weights", [[0, 0], [1, -1]])
def test_weights_that_mean_nothing_are_refused(weights):
    with pytest.raises(ValueError, match="weights must not be negative, nor all zero"):
        combine(rows([1, 0], [0, 1]), "soft", weights)


MEMBERS = [("logistic", LogisticRegression(max_iter=500)), ("bayes", GaussianNB())]
PLAIN = [("weak", LogisticRegression(C=0.1)), ("strong", LogisticRegression())]
CHECKED = [ConfidenceVotingClassifier(PLAIN)]
CHECKED_TOO = [ConfidenceVotingClassifier(PLAIN, voting="hard")]


# VotingClassifier asks what kind of target y is before it asks whether it is finite.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@parametrize_with_checks(CHECKED)
def test_sklearn_contract(estimator, check):
    assert check(estimator) is None  # it raises where the contract is broken


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@parametrize_with_checks(CHECKED_TOO)
def test_sklearn_contract_of_hard_voting(estimator, check):
    assert check(estimator) is None  # it raises where the contract is broken


def test_checks_are_yielded_in_full():
    assert len(list(estimator_checks_generator(CHECKED[0]))) >= 58


@pytest.fixture(scope="module")
def iris():
    """Two measures and the names of the species: hard enough for the members to disagree."""
    bunch = load_iris(as_frame=True)
    return bunch.data.iloc[:, :2], bunch.target_names[bunch.target]


@pytest.mark.parametrize("voting", VOTING)
def test_predictions_are_those_of_the_rule(iris, voting):
    X, y = iris
    ensemble = ConfidenceVotingClassifier(MEMBERS, voting=voting, weights=[1, 2]).fit(X, y)
    members = [clone(member).fit(X, y).predict_proba(X) for _, member in MEMBERS]
    combined = combine(members, voting, [1, 2])
    assert set(y) == set(ensemble.classes_)
    np.testing.assert_array_equal(ensemble.predict(X), ensemble.classes_[combined.argmax(axis=1)])
    if voting != "hard":
        np.testing.assert_allclose(ensemble.predict_proba(X), combined)


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_shared_rules_are_those_of_voting_classifier(iris, voting):
    X, y = iris
    ours, theirs = (
        kind(MEMBERS, voting=voting, weights=[3, 2]).fit(X, y)
        for kind in (ConfidenceVotingClassifier, VotingClassifier)
    )
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X))
    if voting == "soft":
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X))


def test_tie_goes_to_the_first_class():
    X, y = np.zeros((4, 1)), ["b", "a", "b", "a"]
    members = [("one", Fixed([0.2, 0.8])), ("two", Fixed([0.8, 0.2]))]
    for voting in VOTING:
        predicted = ConfidenceVotingClassifier(members, voting=voting).fit(X, y).predict(X)
        assert predicted.tolist() == ["a"] * 4


def test_default_is_confidence():
    assert ConfidenceVotingClassifier(MEMBERS).voting == "confidence"


def test_hard_voting_has_no_probabilities_and_needs_none(iris):
    X, y = iris
    ensemble = ConfidenceVotingClassifier([("svm", LinearSVC()), *MEMBERS], voting="hard").fit(X, y)
    assert not hasattr(ensemble, "predict_proba")
    assert ensemble.score(X, y) > 0.7
    assert hasattr(ConfidenceVotingClassifier(MEMBERS, voting="confidence_hard"), "predict_proba")


def test_member_without_probabilities_is_named(iris):
    with pytest.raises(ValueError, match=r"voting='confidence' needs predict_proba, .* 1 estimator: 'svm'"):
        ConfidenceVotingClassifier([("svm", LinearSVC()), *MEMBERS]).fit(*iris)


@pytest.mark.parametrize(
    ("voting", "message"),
    [
        ("confidance", "'voting' parameter of ConfidenceVotingClassifier.*did you mean 'confidence'"),
        (3, "Got 3 instead"),
    ],
)
def test_unknown_rule_is_refused(iris, voting, message):
    with pytest.raises(ValueError, match=message):
        ConfidenceVotingClassifier(MEMBERS, voting=voting).fit(*iris)


def test_scikit_learn_still_checks_the_other_parameters(iris):
    with pytest.raises(ValueError, match="'flatten_transform' parameter"):
        ConfidenceVotingClassifier(MEMBERS, flatten_transform="yes").fit(*iris)
    with pytest.raises(ValueError, match="Number of `estimators` and weights must be equal"):
        ConfidenceVotingClassifier(MEMBERS, weights=[1]).fit(*iris)


def test_dropped_member_and_its_weight_do_not_count(iris):
    X, y = iris
    ensemble = ConfidenceVotingClassifier(MEMBERS, weights=[5, 1]).set_params(logistic="drop").fit(X, y)
    np.testing.assert_allclose(ensemble.predict_proba(X), GaussianNB().fit(X, y).predict_proba(X))


def test_transform_shows_the_members(iris):
    X, y = iris
    ensemble = ConfidenceVotingClassifier(MEMBERS).fit(X, y)
    probabilities = np.hstack([member.predict_proba(X) for member in ensemble.estimators_])
    np.testing.assert_array_equal(ensemble.transform(X), probabilities)
    names = [
        f"confidencevotingclassifier_{name}{label}" for name in ("logistic", "bayes") for label in range(3)
    ]
    assert ensemble.get_feature_names_out().tolist() == names
    frame = clone(ensemble).set_output(transform="pandas").fit(X, y).transform(X)
    assert frame.columns.tolist() == names
    stacked = ensemble.set_params(flatten_transform=False)
    assert stacked.transform(X).shape == (2, 150, 3)
    with pytest.raises(ValueError, match="needs flatten_transform=True"):
        stacked.get_feature_names_out()


def test_transform_of_hard_voting_shows_the_votes(iris):
    X, y = iris
    ensemble = ConfidenceVotingClassifier(MEMBERS, voting="hard").fit(X, y)
    votes = ensemble.transform(X)
    assert votes.shape == (150, 2)
    np.testing.assert_array_equal(ensemble.classes_[votes[:, 1]], GaussianNB().fit(X, y).predict(X))
    assert len(ensemble.get_feature_names_out()) == 2


def test_sample_weight_reaches_every_member():
    X, y, weight = np.zeros((4, 1)), [0, 1, 0, 1], np.arange(4.0)
    members = [("one", Fixed([0.2, 0.8])), ("two", Fixed([0.8, 0.2]))]
    ensemble = ConfidenceVotingClassifier(members).fit(X, y, sample_weight=weight)
    for member in ensemble.estimators_:
        np.testing.assert_array_equal(member.sample_weight_, weight)


def test_sample_weight_is_routed_to_those_that_request_it():
    X, y, weight = np.zeros((4, 1)), [0, 1, 0, 1], np.arange(4.0)
    with sklearn.config_context(enable_metadata_routing=True):
        members = [
            ("one", Fixed([0.2, 0.8]).set_fit_request(sample_weight=True)),
            ("two", Fixed([0.8, 0.2]).set_fit_request(sample_weight=False)),
        ]
        ensemble = ConfidenceVotingClassifier(members).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(ensemble.estimators_[0].sample_weight_, weight)
    assert ensemble.estimators_[1].sample_weight_ is None


def test_parallel_fits_equal_serial_ones(iris):
    X, y = iris
    members = [*MEMBERS, ("tree", DecisionTreeClassifier(random_state=0))]
    serial = ConfidenceVotingClassifier(members).fit(X, y)
    with joblib.parallel_config("threading"):
        parallel = ConfidenceVotingClassifier(members, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(serial.predict_proba(X), parallel.predict_proba(X))


def test_clone_pickle_and_search_work(iris):
    X, y = iris
    ensemble = ConfidenceVotingClassifier(MEMBERS, voting="most_confident").fit(X, y)
    again = pickle.loads(pickle.dumps(ensemble))
    np.testing.assert_array_equal(again.predict_proba(X), ensemble.predict_proba(X))
    assert clone(ensemble).get_params()["voting"] == "most_confident"
    search = GridSearchCV(clone(ensemble), {"voting": ["soft", "hard"], "logistic__C": [1]}, cv=2)
    assert search.fit(X, y).best_params_["voting"] in ("soft", "hard")


def test_networks_on_a_table_with_images_vote(study):
    X, labels, _ = study
    network = HyperFusionClassifier(base_channels=2, max_epochs=2, random_state=0)
    members = [("hyper", network), ("table", clone(network).set_params(fusion="tabular"))]
    ensemble = ConfidenceVotingClassifier(members).fit(X, labels)
    probabilities = ensemble.predict_proba(X)
    expected = combine([m.predict_proba(X) for m in ensemble.estimators_], "confidence")
    np.testing.assert_allclose(probabilities, expected)
    assert ensemble.feature_names_in_.tolist() == list(X.columns)
    assert set(ensemble.predict(X)) <= set(labels)


def test_cross_validation_works_with_string_labels_and_frames(iris):
    X, y = iris
    scores = cross_val_score(ConfidenceVotingClassifier(MEMBERS), X, pd.Series(y), cv=3)
    assert scores.min() > 0.7
