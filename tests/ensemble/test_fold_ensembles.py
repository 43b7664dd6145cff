"""One model per fold: which rows each sees, how they are combined, who gets which parameter."""

import pickle
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    estimator_checks_generator,
    parametrize_with_checks,
)

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion.ensemble import FoldEnsembleClassifier, FoldEnsembleRegressor
from skhyperfusion.ensemble._rules import VOTING, combine
from skhyperfusion.model_selection import JointStratifiedKFold

TWO_FITS = threading.Barrier(2)
CHECKED = [FoldEnsembleClassifier(LogisticRegression(max_iter=200), cv=3), FoldEnsembleRegressor(Ridge())]
CHECKED_TOO = [
    FoldEnsembleClassifier(LogisticRegression(max_iter=200), voting="hard"),
    FoldEnsembleRegressor(DecisionTreeRegressor(random_state=0), n_best=2),
]


# scikit-learn asks what kind of target y is before it asks whether it is finite.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:The least populated class in y:UserWarning")
@parametrize_with_checks(CHECKED)
def test_sklearn_contract(estimator, check):
    assert check(estimator) is None  # it raises where the contract is broken


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:The least populated class in y:UserWarning")
# A fold of the smallest data sets has one row, whose R2 is not defined.
@pytest.mark.filterwarnings("ignore:R.2 score is not well-defined")
@parametrize_with_checks(CHECKED_TOO)
def test_sklearn_contract_of_other_parameters(estimator, check):
    assert check(estimator) is None  # it raises where the contract is broken


@pytest.mark.parametrize("estimator", CHECKED + CHECKED_TOO)
def test_checks_are_yielded_in_full(estimator):
    wanted = 60 if isinstance(estimator, ClassifierMixin) else 56
    assert len(list(estimator_checks_generator(estimator))) >= wanted


@pytest.mark.parametrize("estimator", CHECKED)
def test_column_names_are_kept_and_checked(estimator):
    check_dataframe_column_names_consistency(type(estimator).__name__, clone(estimator))
    X, y = load_iris(return_X_y=True, as_frame=True)
    assert estimator.fit(X, y).feature_names_in_.tolist() == list(X.columns)
    assert estimator.n_features_in_ == 4
    assert not hasattr(estimator.fit(X.to_numpy(), y), "feature_names_in_")


class Notes(ClassifierMixin, BaseEstimator):
    """Keeps what it was fitted on; probability of class 1 is the mean of y."""

    def fit(self, X, y, sample_weight=None, groups=None):
        self.classes_ = np.unique(y)
        self.rows_ = np.asarray(X)[:, 0]
        self.sample_weight_, self.groups_ = sample_weight, groups
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X):
        return np.full(len(X), self.classes_[-1])


class Meeting(Notes):
    """Its fit ends when another one has begun."""

    def fit(self, X, y):
        TWO_FITS.wait(timeout=20)
        return super().fit(X, y)


@pytest.fixture
def rows():
    """Numbered rows: (X, y)."""
    return np.arange(12.0)[:, None], np.tile([0, 1], 6)


@pytest.fixture(scope="module")
def iris():
    bunch = load_iris(as_frame=True)
    return bunch.data.iloc[:, :2], bunch.target_names[bunch.target]


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True, as_frame=True)


def left_out(ensemble):
    return [sorted(set(range(12)) - set(member.rows_)) for member in ensemble.estimators_]


def test_each_model_is_fitted_without_its_fold(rows):
    ensemble = FoldEnsembleClassifier(Notes(), cv=KFold(3)).fit(*rows)
    assert left_out(ensemble) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_number_of_folds_is_stratified_for_classes(rows):
    X, _ = rows
    y = np.repeat([0, 1], 6)
    assert left_out(FoldEnsembleClassifier(Notes(), cv=2).fit(X, y)) == [
        [0, 1, 2, 6, 7, 8],
        [3, 4, 5, 9, 10, 11],
    ]
    assert len(FoldEnsembleClassifier(Notes()).fit(X, y).estimators_) == 5


def test_splits_may_be_given_as_they_are(rows):
    splits = [(np.arange(4), np.arange(4, 8)), (np.arange(2, 12), [0])]
    ensemble = FoldEnsembleClassifier(Notes(), cv=splits).fit(*rows)
    assert [len(member.rows_) for member in ensemble.estimators_] == [4, 10]


def test_estimator_itself_is_not_fitted(rows):
    estimator = Notes()
    FoldEnsembleClassifier(estimator, cv=2).fit(*rows)
    assert not hasattr(estimator, "rows_")


@pytest.mark.parametrize("cv", [3, GroupKFold(3)])
def test_groups_stay_together_and_reach_the_estimator(rows, cv):
    groups = np.array(list("abcd") * 3)
    ensemble = FoldEnsembleClassifier(Notes(), cv=cv).fit(*rows, groups=groups)
    assert len(ensemble.estimators_) == 3
    for member, out in zip(ensemble.estimators_, left_out(ensemble), strict=True):
        assert set(groups[out]).isdisjoint(member.groups_)
        np.testing.assert_array_equal(member.groups_, groups[member.rows_.astype(int)])


def test_groups_are_for_the_splitter_alone_where_the_estimator_takes_none(iris):
    X, y = iris
    groups = np.arange(150) % 15
    ensemble = FoldEnsembleClassifier(GaussianNB(), cv=3).fit(X, y, groups=groups)
    expected = [
        GaussianNB().fit(X.iloc[train], y[train]).theta_
        for train, _ in sklearn.model_selection.StratifiedGroupKFold(3).split(X, y, groups)
    ]
    np.testing.assert_array_equal([member.theta_ for member in ensemble.estimators_], expected)


def test_sample_weight_is_cut_to_the_rows_of_each_model(rows):
    ensemble = FoldEnsembleClassifier(Notes(), cv=3).fit(*rows, sample_weight=np.arange(12) + 1)
    for member in ensemble.estimators_:
        np.testing.assert_array_equal(member.sample_weight_, member.rows_ + 1)


def test_routing_sends_parameters_to_those_that_request_them(rows):
    def seen(y, predicted, sample_weight=None):
        return float(np.sum(sample_weight))

    weight, groups = np.arange(12.0), np.arange(12) // 2
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = Notes().set_fit_request(sample_weight=True, groups=False)
        scorer = make_scorer(seen).set_score_request(sample_weight=True)
        for cv in (3, GroupKFold(3)):
            ensemble = FoldEnsembleClassifier(estimator, cv=cv, scoring=scorer)
            ensemble.fit(*rows, sample_weight=weight, groups=groups)
            for member, out in zip(ensemble.estimators_, left_out(ensemble), strict=True):
                np.testing.assert_array_equal(member.sample_weight_, member.rows_)
                assert member.groups_ is None
                assert {row // 2 for row in out}.isdisjoint(member.rows_ // 2)
            assert ensemble.fold_scores_.tolist() == [sum(out) for out in left_out(ensemble)]


def test_routing_refuses_what_nobody_requests(rows):
    with sklearn.config_context(enable_metadata_routing=True):
        ensemble = FoldEnsembleClassifier(GaussianNB().set_fit_request(sample_weight=True), cv=3)
        with pytest.raises(TypeError, match="got unexpected argument"):
            ensemble.fit(*rows, something=np.ones(12))


def test_routing_works_through_a_cross_validation(rows):
    with sklearn.config_context(enable_metadata_routing=True):
        ensemble = FoldEnsembleClassifier(GaussianNB().set_fit_request(sample_weight=True), cv=2)
        ensemble.set_score_request(sample_weight=False)  # scikit-learn 1.7 asks; later ones know
        scores = cross_val_score(ensemble, *rows, cv=2, params={"sample_weight": np.ones(12)})
    assert len(scores) == 2


def test_parameters_without_routing_are_refused(rows):
    with pytest.raises(
        TypeError, match=r"FoldEnsembleClassifier.fit got \['something'\].*enable_metadata_routing"
    ):
        FoldEnsembleClassifier(Notes()).fit(*rows, something=1)
    pipeline = make_pipeline(StandardScaler(), GaussianNB())
    with pytest.raises(TypeError, match="sample_weight was passed, but fit of Pipeline does not take it"):
        FoldEnsembleClassifier(pipeline).fit(*rows, sample_weight=np.ones(12))


@pytest.mark.parametrize("voting", VOTING)
def test_predictions_are_those_of_the_rule(iris, voting):
    X, y = iris
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    ensemble = FoldEnsembleClassifier(GaussianNB(), cv=cv, voting=voting).fit(X, y)
    members = [GaussianNB().fit(X.iloc[t], y[t]).predict_proba(X) for t, _ in cv.split(X, y)]
    combined = combine(members, voting)
    np.testing.assert_array_equal(ensemble.predict(X), np.unique(y)[combined.argmax(axis=1)])
    if voting == "hard":
        assert not hasattr(ensemble, "predict_proba")
        assert not hasattr(ensemble, "predict_log_proba")
    else:
        np.testing.assert_allclose(ensemble.predict_proba(X), combined)
        np.testing.assert_allclose(np.exp(ensemble.predict_log_proba(X)), combined)


def test_default_is_confidence():
    assert FoldEnsembleClassifier(GaussianNB()).voting == "confidence"


def test_class_that_a_fold_lacks_has_probability_zero_there():
    X = np.arange(12.0)[:, None]
    y = np.repeat(["a", "b", "c"], 4)
    splits = [(np.arange(8), np.arange(8, 12)), (np.r_[0:4, 8:12], np.arange(4, 8))]  # no c; no b
    soft = FoldEnsembleClassifier(GaussianNB(), cv=splits, voting="soft").fit(X, y)
    first, second = soft.estimators_
    probabilities = soft.predict_proba(X)
    np.testing.assert_allclose(probabilities[:, 2], second.predict_proba(X)[:, 1] / 2)
    np.testing.assert_allclose(probabilities[:, 1], first.predict_proba(X)[:, 1] / 2)
    hard = FoldEnsembleClassifier(GaussianNB(), cv=splits, voting="hard").fit(X, y)
    assert hard.predict(X[:1]).tolist() == ["a"]
    log = FoldEnsembleClassifier(GaussianNB(), cv=splits[:1]).fit(X, y).predict_log_proba(X)
    assert (log[:, 2] == -np.inf).all()


def test_regression_is_the_mean_of_all_models(diabetes):
    X, y = diabetes
    ensemble = FoldEnsembleRegressor(Ridge(), cv=KFold(4)).fit(X, y)
    expected = [Ridge().fit(X.iloc[train], y.iloc[train]).predict(X) for train, _ in KFold(4).split(X)]
    np.testing.assert_allclose(ensemble.predict(X), np.mean(expected, axis=0))
    assert not hasattr(ensemble, "fold_scores_")


@pytest.mark.parametrize("scoring", [None, "neg_mean_absolute_error"])
def test_best_models_are_chosen_by_their_own_fold(diabetes, scoring):
    X, y = diabetes
    scorer = get_scorer("r2" if scoring is None else scoring)
    ensemble = FoldEnsembleRegressor(Ridge(), cv=KFold(6), n_best=2, scoring=scoring).fit(X, y)
    models = [(Ridge().fit(X.iloc[a], y.iloc[a]), b) for a, b in KFold(6).split(X)]
    scores = [scorer(model, X.iloc[test], y.iloc[test]) for model, test in models]
    np.testing.assert_allclose(ensemble.fold_scores_, scores)
    best = [models[fold][0] for fold in sorted(np.argsort(scores)[-2:])]
    np.testing.assert_allclose(ensemble.predict(X), np.mean([m.predict(X) for m in best], axis=0))
    assert len(ensemble.estimators_) == 2


def test_scoring_alone_scores_the_folds_and_keeps_all(iris):
    X, y = iris
    ensemble = FoldEnsembleClassifier(GaussianNB(), cv=3, scoring="balanced_accuracy").fit(X, y)
    np.testing.assert_allclose(
        ensemble.fold_scores_, cross_val_score(GaussianNB(), X, y, cv=3, scoring="balanced_accuracy")
    )
    assert len(ensemble.estimators_) == 3
    assert not hasattr(ensemble.set_params(scoring=None).fit(X, y), "fold_scores_")


def test_regression_tells_how_far_the_models_differ(diabetes):
    X, y = diabetes
    ensemble = FoldEnsembleRegressor(Ridge(), cv=4).fit(X, np.column_stack([y, 2 * y]))
    values, std = ensemble.predict(X, return_std=True)
    np.testing.assert_array_equal(values, ensemble.predict(X))
    members = [member.predict(X) for member in ensemble.estimators_]
    np.testing.assert_allclose(std, np.sqrt(np.var(members, axis=0) * 4 / 3))
    np.testing.assert_allclose(std[:, 1], 2 * std[:, 0])


@pytest.mark.parametrize("voting", ["confidence", "most_confident"])
def test_probabilities_tell_how_far_the_models_differ(iris, voting):
    X, y = iris
    ensemble = FoldEnsembleClassifier(GaussianNB(), cv=4, voting=voting).fit(X, y)
    probabilities, std = ensemble.predict_proba(X, return_std=True)
    np.testing.assert_array_equal(probabilities, ensemble.predict_proba(X))
    members = [member.predict_proba(X) for member in ensemble.estimators_]
    np.testing.assert_allclose(std, np.std(members, axis=0, ddof=1))


def test_spread_of_one_model_is_refused(diabetes):
    ensemble = FoldEnsembleRegressor(Ridge(), n_best=1).fit(*diabetes)
    with pytest.raises(
        ValueError, match="return_std needs two models at least, but FoldEnsembleRegressor kept one"
    ):
        ensemble.predict(diabetes[0], return_std=True)


def test_several_outputs_are_averaged_each(diabetes):
    X, y = diabetes
    both = np.column_stack([y, -y])
    ensemble = FoldEnsembleRegressor(Ridge(), cv=3).fit(X, both)
    assert ensemble.predict(X).shape == both.shape
    np.testing.assert_allclose(ensemble.predict(X)[:, 0], -ensemble.predict(X)[:, 1])


def test_tags_are_those_of_the_estimator():
    assert get_tags(FoldEnsembleClassifier(HyperFusionClassifier())).input_tags.string
    assert not get_tags(FoldEnsembleClassifier(GaussianNB())).input_tags.allow_nan
    assert get_tags(FoldEnsembleClassifier(HyperFusionClassifier())).non_deterministic
    assert get_tags(FoldEnsembleRegressor(Ridge())).target_tags.multi_output
    assert not get_tags(FoldEnsembleClassifier(Notes())).target_tags.multi_output


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_parallel_fits_equal_serial_ones(iris, backend):
    X, y = iris
    ensemble = FoldEnsembleClassifier(GaussianNB(), cv=3)
    serial = ensemble.fit(X, y).predict_proba(X)
    with joblib.parallel_config(backend):
        parallel = clone(ensemble).set_params(n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(parallel.predict_proba(X), serial)


def test_n_jobs_fits_at_the_same_time(rows):
    with joblib.parallel_config("threading"):
        ensemble = FoldEnsembleClassifier(Meeting(), cv=2, n_jobs=2).fit(*rows)
    assert len(ensemble.estimators_) == 2


def test_progress_is_silent_unless_asked_for(iris, capsys):
    FoldEnsembleClassifier(GaussianNB(), cv=3).fit(*iris)
    assert capsys.readouterr() == ("", "")
    FoldEnsembleClassifier(GaussianNB(), cv=3, verbose=1).fit(*iris)
    assert "3/3" in capsys.readouterr().err


def test_clone_pickle_and_search_work(iris):
    X, y = iris
    ensemble = FoldEnsembleClassifier(GaussianNB(), cv=3).fit(X, y)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(ensemble)).predict_proba(X), ensemble.predict_proba(X)
    )
    ensemble = FoldEnsembleClassifier(GaussianNB(), cv=3)
    grid = {"estimator__var_smoothing": [1e-9, 1e9], "voting": ["soft", "hard"]}
    search = GridSearchCV(ensemble, grid, cv=2).fit(X, y)
    assert search.best_params_["estimator__var_smoothing"] == 1e-9


def test_refit_on_other_data_forgets_the_first(iris):
    X, y = iris
    ensemble = FoldEnsembleClassifier(GaussianNB(), cv=3).fit(X, y)
    two = y != "setosa"
    assert ensemble.fit(X[two].iloc[:, :1], y[two]).predict_proba(X[two].iloc[:, :1]).shape == (100, 2)
    assert ensemble.n_features_in_ == 1


def test_failed_fit_says_in_which_fold(rows):
    splits = [(np.arange(12), [0]), (np.arange(0, 12, 2), [1])]  # the second has one class
    with pytest.raises(ValueError, match="class") as caught:
        FoldEnsembleClassifier(LogisticRegression(), cv=splits).fit(*rows)
    assert caught.value.__notes__ == ["This happened in fold 1 of the ensemble."]


@pytest.mark.parametrize(
    ("ensemble", "message"),
    [
        (
            FoldEnsembleClassifier(LinearSVC()),
            "voting='confidence' needs predict_proba, which LinearSVC has not",
        ),
        (FoldEnsembleClassifier(GaussianNB(), voting="sofft"), "'voting' parameter.*did you mean 'soft'"),
        (FoldEnsembleClassifier(GaussianNB(), n_best=0), "'n_best' parameter.*Got 0"),
        (FoldEnsembleClassifier(GaussianNB(), n_best=6), "n_best=6 is more than the number of folds, 5"),
        (FoldEnsembleClassifier(GaussianNB(), verbose="x"), "'verbose' parameter.*Got 'x'"),
        (FoldEnsembleClassifier(GaussianNB), "'estimator' parameter.*must be an estimator with fit and"),
        (FoldEnsembleClassifier("bayes"), "'estimator' parameter"),
    ],
)
def test_wrong_parameters_are_refused(rows, ensemble, message):
    with pytest.raises(ValueError, match=message):
        ensemble.fit(*rows)


def test_target_is_checked_before_anything_is_fitted(diabetes):
    X, y = diabetes
    with pytest.raises(ValueError, match="FoldEnsembleRegressor requires y"):
        FoldEnsembleRegressor(Ridge()).fit(X, None)
    with pytest.raises(ValueError, match="Input y contains NaN: the target is missing in 1 row: 3"):
        FoldEnsembleRegressor(Ridge()).fit(X, y.where(y.index != 3))
    with pytest.raises(ValueError, match="Unknown label type"):
        FoldEnsembleClassifier(GaussianNB()).fit(X, y + 0.5)
    with pytest.raises(ValueError, match="one class only"):
        FoldEnsembleClassifier(GaussianNB()).fit(X, np.zeros(len(X)))


def test_networks_on_a_table_with_images_are_ensembled(study):
    X, labels, values = study
    cv = JointStratifiedKFold(2, columns=["sex"])
    network = HyperFusionClassifier(base_channels=2, max_epochs=2, random_state=0)
    groups = pd.Series(np.arange(len(X)) // 2, index=X.index)
    ensemble = FoldEnsembleClassifier(network, cv=cv).fit(X, labels, groups=groups)
    expected = combine([member.predict_proba(X) for member in ensemble.estimators_], "confidence")
    np.testing.assert_allclose(ensemble.predict_proba(X), expected)
    assert ensemble.feature_names_in_.tolist() == list(X.columns)
    regressor = HyperFusionRegressor(base_channels=2, max_epochs=2, random_state=0)
    brain_age = FoldEnsembleRegressor(regressor, cv=2, n_best=1, scoring="neg_mean_absolute_error")
    assert brain_age.fit(X, values).predict(X).shape == (len(X),)
