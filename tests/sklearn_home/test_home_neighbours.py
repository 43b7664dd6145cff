"""Other packages that compose scikit-learn estimators; their tests run where the packages are installed.

`make test-neighbours` installs them and runs these tests. `accelerate` stands under
[Parallel and distributed](#parallel-and-distributed), Dask too.
"""

import numpy as np
import pytest
from compatibility import reads_the_images, refused, works
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

pytestmark = pytest.mark.slow  # the packages take long to import


@pytest.fixture
def rare(pictures):
    """A target with a rare class."""
    return np.where(np.arange(len(pictures[0])) % 4 == 0, "rare", "usual")


@works("optuna", "a plain loop")
def test_optuna_loop_tries_each_trial(pictures, classifier):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    X, y, _ = pictures

    def objective(trial):
        model = classifier(
            lr=trial.suggest_float("lr", 1e-4, 1e-2, log=True),
            fusion=trial.suggest_categorical("fusion", ["hyper", "film"]),
        )
        return cross_val_score(model, X, y, cv=2, error_score="raise").mean()

    runs = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    runs.optimize(objective, n_trials=2)
    assert len(runs.trials) == 2
    assert 1e-4 <= runs.best_params["lr"] <= 1e-2


@works("optuna", "`OptunaSearchCV`, nested parameters too")
@pytest.mark.filterwarnings("ignore")  # it calls itself experimental, and part of itself deprecated
def test_optuna_search_sets_nested_parameters(pictures, classifier):
    optuna = pytest.importorskip("optuna")
    OptunaSearchCV = pytest.importorskip("optuna_integration").OptunaSearchCV
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    X, y, _ = pictures
    space = {
        "lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
        "tabular_preprocessor__imputer": optuna.distributions.CategoricalDistribution(["median", "knn"]),
    }
    search = OptunaSearchCV(classifier(), space, n_trials=2, cv=2, random_state=0).fit(X, y)
    assert set(search.best_params_) == set(space)
    assert set(search.predict(X)) <= {"ill", "well"}


LEVELS = [0.5, 0.8, 0.95]


def at_least_what_is_promised(held):
    """Whether as many rows are held as CV+ promises of 3 folds of 8 (Barber et al. 2021, theorem 4)."""
    return all(held.mean(axis=0) >= 1 - 2 * (1 - np.array(LEVELS)) - 2 * (1 - 1 / 3) / (8 + 1))


@works("MAPIE", "`CrossConformalRegressor`: intervals around the regressor")
def test_conformal_intervals_hold_the_values_and_grow_with_the_level(pictures, regressor):
    mapie = pytest.importorskip("mapie.regression")
    X, _, y = pictures
    model = mapie.CrossConformalRegressor(regressor(), confidence_level=LEVELS, cv=3)
    point, interval = model.fit_conformalize(X, y).predict_interval(X)
    low, high = interval[:, 0], interval[:, 1]
    assert low.shape == (24, 3)
    assert (np.diff(low, axis=1) <= 0).all()
    assert (np.diff(high, axis=1) >= 0).all()
    assert (high > low).all()
    assert at_least_what_is_promised((low <= y.to_numpy()[:, None]) & (y.to_numpy()[:, None] <= high))
    other = X.assign(photo=X["photo"].to_numpy()[::-1])
    assert not np.array_equal(model.predict_interval(other)[0], point)


@works("MAPIE", "`CrossConformalClassifier`: sets around the classifier")
def test_conformal_sets_hold_the_labels_and_grow_with_the_level(pictures, classifier):
    mapie = pytest.importorskip("mapie.classification")
    X, y, _ = pictures
    model = mapie.CrossConformalClassifier(classifier(), confidence_level=LEVELS, cv=3)
    _, sets = model.fit_conformalize(X, y).predict_set(X)
    assert sets.shape == (24, 2, 3)
    assert (sets[..., :-1] <= sets[..., 1:]).all()
    assert at_least_what_is_promised(sets[np.arange(24), (y == "well").to_numpy().astype(int)])


@refused(
    "MAPIE",
    "`SplitConformalRegressor` and `SplitConformalClassifier`",
    words="failed a minimal prediction test",
    reason="MAPIE 1 tries the fitted model on a row of zeros, which holds no image; use the classes above",
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_split_conformal_asks_for_numbers(pictures, regressor, words):
    mapie = pytest.importorskip("mapie.regression")
    X, _, y = pictures
    model = mapie.SplitConformalRegressor(regressor().fit(X[:14], y[:14]), confidence_level=0.8)
    with pytest.raises(UserWarning, match=words):
        model.conformalize(X[14:], y[14:])


@works("imbalanced-learn", "`RandomOverSampler` in its pipeline; `RandomUnderSampler` alike")
@pytest.mark.parametrize("sampler", ["over_sampling.RandomOverSampler", "under_sampling.RandomUnderSampler"])
def test_random_sampler_balances_what_the_model_is_fitted_on(pictures, classifier, rare, sampler):
    imblearn = pytest.importorskip("imblearn")
    module, _, name = sampler.partition(".")
    sampler = getattr(pytest.importorskip(f"imblearn.{module}"), name)(random_state=0)
    X, _, _ = pictures
    model = imblearn.pipeline.make_pipeline(sampler, classifier()).fit(X, rare)
    resampled, labels = sampler.fit_resample(X, rare)
    assert (labels == "rare").sum() == (labels == "usual").sum()
    expected = classifier().fit(resampled, labels).predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), expected)


@works("imbalanced-learn", "`BalancedBaggingClassifier`")
def test_balanced_bagging_fits_members_on_balanced_rows(pictures, classifier, rare):
    ensemble = pytest.importorskip("imblearn.ensemble")
    X, _, _ = pictures
    bag = ensemble.BalancedBaggingClassifier(classifier(), n_estimators=2, random_state=0).fit(X, rare)
    assert bag.predict_proba(X).shape == (24, 2)


@refused(
    "imbalanced-learn",
    "`SMOTE`",
    words="could not convert string to float",
    reason="There is no image between two images; its own error. Use `RandomOverSampler`, or `class_weight`",
)
def test_smote_on_paths_is_refused(pictures, classifier, rare, words):
    imblearn = pytest.importorskip("imblearn")
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    with pytest.raises(ValueError, match=words):
        imblearn.pipeline.make_pipeline(over_sampling.SMOTE(), classifier()).fit(pictures[0], rare)


@works(
    "skrub",
    "`TableVectorizer` in front",
    note="Left to itself it encodes each path as a category; the estimator then warns that no image is left",
)
def test_table_vectorizer_told_to_leave_the_paths_alone(pictures, classifier):
    skrub = pytest.importorskip("skrub")
    X, y, _ = pictures
    vectorizer = skrub.TableVectorizer(specific_transformers=[("passthrough", ["photo"])])  # shown
    model = make_pipeline(vectorizer, classifier()).fit(X, y)
    assert model[-1].image_columns_ == ["photo"]
    assert "side_left" in model[-1].tabular_columns_
    assert reads_the_images(model, X)
    with pytest.warns(UserWarning, match="found no image column in X"):
        make_pipeline(skrub.TableVectorizer(), classifier()).fit(X, y)


@works("skrub", "`Cleaner`, and `ApplyToCols` on chosen columns")
def test_cleaner_and_apply_to_cols_leave_the_paths_alone(pictures, classifier):
    skrub = pytest.importorskip("skrub")
    X, y, _ = pictures
    encode = skrub.ApplyToCols(skrub.StringEncoder(n_components=2), cols=["side"])
    model = make_pipeline(skrub.Cleaner(), encode, classifier()).fit(X, y)
    assert model[-1].image_columns_ == ["photo"]
    assert model[-1].tabular_columns_ == ["age", "pressure", "side_0", "side_1"]
    assert reads_the_images(model, X)
