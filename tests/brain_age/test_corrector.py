"""AgeBiasCorrector: scikit-learn's checks, the line by hand, nothing of the test rows, weights and groups."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from skhyperfusion import HyperFusionRegressor
from skhyperfusion.brain_age import AgeBias, AgeBiasCorrector, brain_age_gap, fit_age_bias


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 80, size=120)
    return age[:, None] + rng.normal(scale=15, size=(120, 2)), age


# The check of weights against repeated rows has a target of chance: it passes because there is no line in it.
# What weights do is in test_weights_count_in_the_fits_and_in_the_line.
@pytest.mark.filterwarnings("ignore:Predictions of Ridge do not rise:UserWarning")
@parametrize_with_checks([AgeBiasCorrector(Ridge())])
def test_sklearn_contract(estimator, check):
    assert check(estimator) is None


def test_checks_are_yielded_in_full():
    assert len(list(estimator_checks_generator(AgeBiasCorrector(Ridge())))) >= 56


def test_line_and_predictions_are_those_computed_by_hand(problem):
    X, age = problem
    folds = KFold(4, shuffle=True, random_state=0)
    corrector = AgeBiasCorrector(Ridge(10.0), cv=folds).fit(X, age)
    slope, intercept = np.polyfit(age, cross_val_predict(Ridge(10.0), X, age, cv=folds), 1)
    assert corrector.bias_ == pytest.approx((slope, intercept))
    assert 0.5 < slope < 0.95
    plain = Ridge(10.0).fit(X, age).predict(X)
    np.testing.assert_allclose(corrector.regressor_.predict(X), plain)
    np.testing.assert_allclose(corrector.predict(X), (plain - intercept) / slope)


def test_correction_takes_the_bias_out_of_new_rows(problem):
    X, age = problem
    corrector = AgeBiasCorrector(KNeighborsRegressor(25), cv=10)
    train, test = np.arange(80), np.arange(80, 120)
    corrector.fit(X[train], age[train])
    before = fit_age_bias(age[test], corrector.regressor_.predict(X[test])).slope
    after = fit_age_bias(age[test], corrector.predict(X[test])).slope
    assert before < 0.8
    assert abs(after - 1) < 0.1


def test_number_of_folds_gives_folds_that_are_alike_in_age():
    age = np.repeat(np.arange(20, 80), 2).astype(float)  # sorted, in whole years
    X = age[:, None] + np.random.default_rng(0).normal(scale=5, size=(120, 1))
    neighbours = KNeighborsRegressor(10)  # which cannot see beyond the ages that it was trained on
    assert AgeBiasCorrector(neighbours, cv=3).fit(X, age).bias_.slope > 0.85
    assert AgeBiasCorrector(neighbours, cv=KFold(3)).fit(X, age).bias_.slope < 0.75


def test_rows_may_be_left_out_more_than_once_or_never(problem):
    X, age = problem
    folds = ShuffleSplit(3, random_state=0)
    corrector = AgeBiasCorrector(Ridge(), cv=list(folds.split(X))).fit(X, age)
    tests = [(age[t], Ridge().fit(X[f], age[f]).predict(X[t])) for f, t in folds.split(X)]
    expected = fit_age_bias(*map(np.concatenate, zip(*tests, strict=True)))
    assert corrector.bias_ == pytest.approx(expected)


def test_weights_count_in_the_fits_and_in_the_line(problem):
    X, age = problem
    weight = np.random.default_rng(1).integers(0, 3, len(age)).astype(float)
    folds = list(KFold(3).split(X))
    corrector = AgeBiasCorrector(Ridge(), cv=folds).fit(X, age, sample_weight=weight)
    predicted = cross_val_predict(Ridge(), X, age, cv=folds, params={"sample_weight": weight})
    assert corrector.bias_ == pytest.approx(fit_age_bias(age, predicted, sample_weight=weight))
    np.testing.assert_allclose(corrector.regressor_.coef_, Ridge().fit(X, age, weight).coef_)


def test_weights_that_the_regressor_does_not_take_are_refused(problem):
    X, age = problem
    with pytest.raises(TypeError, match="fit of KNeighborsRegressor does not take it"):
        AgeBiasCorrector(KNeighborsRegressor()).fit(X, age, sample_weight=np.ones(120))


class Recorder(Ridge):
    """Notes the groups of every fit."""

    SEEN = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None, groups=None):
        Recorder.SEEN.append(groups)
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("cv", [3, GroupKFold(3)])
def test_groups_stay_whole_and_reach_a_regressor_that_takes_them(problem, cv):
    X, age = problem
    subjects = np.arange(120) // 4
    Recorder.SEEN.clear()
    AgeBiasCorrector(Recorder(), cv=cv).fit(X, age, groups=subjects)
    *folds, everything = Recorder.SEEN
    assert len(folds) == 3
    for trained in folds:
        assert (np.bincount(trained, minlength=30) % 4 == 0).all()
    np.testing.assert_array_equal(everything, subjects)
    AgeBiasCorrector(Ridge(), cv=cv).fit(X, age, groups=subjects)  # takes none


def test_routing_hands_on_what_is_requested(problem):
    X, age = problem
    weight = np.linspace(0, 1, 120)
    plain = AgeBiasCorrector(Ridge()).fit(X, age, sample_weight=weight).bias_
    with sklearn.config_context(enable_metadata_routing=True):
        corrector = AgeBiasCorrector(Ridge().set_fit_request(sample_weight=True))
        assert corrector.fit(X, age, sample_weight=weight).bias_ == pytest.approx(plain)
        by_subject = corrector.fit(X, age, sample_weight=weight, groups=np.arange(120) // 4).bias_
        assert by_subject != pytest.approx(plain)
        corrector.set_score_request(sample_weight=False)  # scikit-learn 1.7 asks; later ones know
        cross_val_score(corrector, X, age, params={"sample_weight": weight})
        silent = AgeBiasCorrector(make_pipeline(Ridge()))
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
            silent.fit(X, age, sample_weight=weight)


def test_predictions_that_do_not_rise_with_age_are_left_alone(problem):
    X, age = problem
    corrector = AgeBiasCorrector(DummyRegressor())
    with pytest.warns(UserWarning, match="DummyRegressor do not rise with age .*left as they are"):
        corrector.fit(X, age)
    np.testing.assert_array_equal(corrector.predict(X), age.mean())


def test_gap_with_the_corrector_in_place_of_its_line_says_what_to_pass(problem):
    corrector = AgeBiasCorrector(Ridge()).fit(*problem)
    assert isinstance(corrector.bias_, AgeBias)
    with pytest.raises(TypeError, match="Pass its bias_"):
        brain_age_gap([50], [60], correction=corrector)


def test_parallel_fits_equal_serial_ones_and_progress_counts_them(problem, capsys):
    serial = AgeBiasCorrector(Ridge(), cv=3).fit(*problem)
    assert capsys.readouterr() == ("", "")
    with joblib.parallel_config("threading"):
        parallel = AgeBiasCorrector(Ridge(), cv=3, n_jobs=2, verbose=1).fit(*problem)
    assert parallel.bias_ == serial.bias_
    assert "4/4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"regressor": 3}, "'regressor' parameter of AgeBiasCorrector must be a regressor with fit"),
        ({"verbose": -1}, "'verbose' parameter"),
        ({"cv": 1}, "cv=1 is no number of folds. Pass 2 or more"),
    ],
)
def test_wrong_parameters_are_named(problem, params, message):
    with pytest.raises(ValueError, match=message):
        AgeBiasCorrector(Ridge()).set_params(**params).fit(*problem)


def test_target_with_a_gap_names_the_row(problem):
    X, age = problem
    frame = pd.DataFrame(X, index=[f"p{i}" for i in range(120)], columns=["a", "b"])
    with pytest.raises(ValueError, match="missing in 1 row: 'p7'"):
        AgeBiasCorrector(Ridge()).fit(frame, np.where(np.arange(120) == 7, np.nan, age))
    corrector = AgeBiasCorrector(LinearRegression()).fit(frame, age)
    assert corrector.feature_names_in_.tolist() == ["a", "b"]
    assert corrector.n_features_in_ == 2
    assert not hasattr(AgeBiasCorrector(Ridge()), "n_features_in_")


def test_table_with_image_paths_is_corrected_cloned_and_pickled(study):
    X, _, values = study
    network = HyperFusionRegressor(
        base_channels=2, max_epochs=15, lr=2e-2, batch_size=20, augmentation=None, random_state=3
    )
    corrector = clone(AgeBiasCorrector(network, cv=2)).fit(X, values, groups=np.arange(40) // 2)
    bias = corrector.bias_
    assert bias.slope > 0
    expected = (corrector.regressor_.predict(X) - bias.intercept) / bias.slope
    np.testing.assert_allclose(corrector.predict(X), expected)
    again = pickle.loads(pickle.dumps(corrector))
    np.testing.assert_array_equal(again.predict(X), corrector.predict(X))
    assert corrector.set_params(regressor__max_epochs=1).regressor.max_epochs == 1
