"""The paper's preprocessing, and how the presets are used: overrides, folds, ensembles, leaks."""

import pickle
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from paper_study import GAPS, TINY_AGE, TINY_ALZHEIMER, clinical_table
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit, cross_validate
from skorch.callbacks import Callback
from torch import nn

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, ImageLoader, TabularPreprocessor
from skhyperfusion._engine._holdout import split_holdout
from skhyperfusion.ensemble import FoldEnsembleClassifier, FoldEnsembleRegressor
from skhyperfusion.presets import alzheimer_classifier, alzheimer_preprocessor, brain_age_regressor

PRESETS = [alzheimer_classifier, brain_age_regressor, alzheimer_preprocessor]


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.module_.parameters()])


# The table


def encoded(table, **overrides):
    preprocessor = alzheimer_preprocessor(**overrides).set_output(transform="pandas")
    return preprocessor.fit_transform(table), preprocessor


def test_preprocessor_gives_the_papers_17_features():
    out, _ = encoded(clinical_table())
    assert list(out.columns) == [
        "age", "education", "apoe4", "abeta", "ptau", "ttau", "fdg", "av45",
        *[f"missingindicator_{name}" for name in GAPS], "sex_F", "sex_M",
    ]  # fmt: skip


def test_preprocessor_scales_numbers_and_leaves_flags_and_categories_0_and_1():
    table = clinical_table()
    out, _ = encoded(table)
    numbers, rest = out.iloc[:, :8], out.iloc[:, 8:]
    np.testing.assert_allclose(numbers.mean(), 0, atol=1e-9)
    np.testing.assert_allclose(numbers.std(ddof=0), 1)
    assert set(np.unique(rest)) == {0.0, 1.0}
    for name in GAPS:
        np.testing.assert_array_equal(rest[f"missingindicator_{name}"], table[name].isna())
    np.testing.assert_array_equal(rest["sex_F"], table["sex"] == "F")


def test_preprocessor_reads_values_beyond_the_assay_as_numbers():
    out, preprocessor = encoded(clinical_table(), scaler=None)
    assert out.loc[[2, 3], "abeta"].tolist() == [1700, 80]
    assert "abeta" in preprocessor.numeric_columns_


def rounds_of(preprocessor):
    pipeline = preprocessor.column_transformer_.named_transformers_["numeric"]
    return pipeline.named_steps["impute"].imputer_.n_iter_


def test_preprocessor_imputes_up_to_200_rounds():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(200, 1))
    table = pd.DataFrame(signal + 0.1 * rng.normal(size=(200, 4)), columns=list("abcd"))
    table = table.mask(rng.random(table.shape) < 0.7)
    _, preprocessor = encoded(table)
    assert 50 < rounds_of(preprocessor) < 200  # it ends where nothing moves any more
    assert preprocessor.imputer.imputer.max_iter == 200


def test_preprocessor_starts_at_the_median():
    table = clinical_table()
    out, _ = encoded(table, imputer__imputer__max_iter=0, scaler=None)
    for name in ("ptau", "fdg"):
        filled = out[name][table[name].isna()]
        np.testing.assert_allclose(filled, np.full(5, table[name].median()))
    later, _ = encoded(table, scaler=None)
    assert later["ptau"][table["ptau"].isna()].nunique() > 1  # and goes on to a regression on the others


def test_classifier_uses_this_preprocessing():
    own = alzheimer_classifier().tabular_preprocessor
    assert repr(own) == repr(alzheimer_preprocessor(image_columns=None))
    assert brain_age_regressor().tabular_preprocessor == "default"


# No leak


# What is changed here is odd, and told of.
@pytest.mark.filterwarnings("ignore:.* is far (outside the range|above all other numbers)")
def test_preprocessor_of_a_fold_knows_neither_test_nor_validation_rows(paper_study):
    X, y = paper_study
    train, test = np.arange(18), np.arange(18, 24)
    _, codes = np.unique(y[train], return_inverse=True)
    _, held_out = split_holdout(18, 0.25, labels=codes, random_state=np.random.RandomState(0))
    unseen = np.concatenate([held_out, test])

    def fitted(table):
        model = alzheimer_classifier(**TINY_ALZHEIMER)
        done = cross_validate(model, table, y, cv=[(train, test)], return_estimator=True, error_score="raise")
        return done["estimator"][0]

    first = fitted(X)
    assert rounds_of(first.tabular_preprocessor_) > 1
    changed = X.copy()
    changed.loc[unseen, ["age", "ptau", "fdg"]] = 1e4
    changed.loc[unseen, "abeta"] = ">99999"
    changed.loc[unseen, "sex"] = "unknown"
    second = fitted(changed)
    table = X.drop(columns="t1w")
    np.testing.assert_array_equal(
        first.tabular_preprocessor_.transform(table), second.tabular_preprocessor_.transform(table)
    )
    assert torch.equal(weights(first), weights(second))
    changed = X.copy()
    changed.loc[np.setdiff1d(train, held_out)[0], "education"] = 99
    third = fitted(changed).tabular_preprocessor_.transform(table)
    assert not np.array_equal(first.tabular_preprocessor_.transform(table), third)


# Overrides


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_returns_an_unfitted_estimator_of_its_own_each_time(preset):
    first, second = preset(), preset()
    kinds = {
        alzheimer_classifier: HyperFusionClassifier,
        brain_age_regressor: HyperFusionRegressor,
        alzheimer_preprocessor: TabularPreprocessor,
    }
    assert type(first) is kinds[preset]
    assert not any(name.endswith("_") and not name.startswith("_") for name in vars(first))
    assert repr(clone(first)) == repr(first) == repr(second)
    for name, part in first.get_params(deep=False).items():
        assert not hasattr(part, "get_params") or part is not getattr(second, name)


def test_overrides_win_at_every_depth():
    classifier = alzheimer_classifier(
        lr=0.5, image_loader__crop=None, tabular_preprocessor__imputer__imputer__max_iter=3
    )
    assert classifier.lr == 0.5
    assert classifier.image_loader.crop is None
    assert classifier.image_loader.bilateral == 0
    assert classifier.tabular_preprocessor.imputer.imputer.max_iter == 3
    loader = ImageLoader(shape=(4, 4))
    assert brain_age_regressor(image_loader=loader).image_loader is loader
    regressor = brain_age_regressor(tabular_preprocessor__add_indicator=False, embedding_dim=4)
    assert regressor.tabular_preprocessor.add_indicator is False
    assert regressor.embedding_dim == 4
    assert alzheimer_preprocessor(imputer="median").imputer == "median"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["max_epoch", "imputr"])
def test_override_of_a_misspelt_name_raises(preset, name):
    with pytest.raises(ValueError, match=f"Invalid parameter '{name}' for estimator"):
        preset(**{name: 3})


@pytest.mark.parametrize("preset", PRESETS[:2])
def test_override_of_a_misspelt_nested_name_raises(preset):
    with pytest.raises(ValueError, match="Invalid parameter 'shap' for estimator ImageLoader"):
        preset(image_loader__shap=(8, 8, 8))


# A fit, and the paper's protocols


class SeeOptimizer(Callback):
    """Notes what optimises which parameters, for all clones in one list."""

    seen: ClassVar = []

    def on_train_end(self, net, **kwargs):
        self.seen.append((net.optimizer_, net.criterion_, list(net.module_.parameters())))


@pytest.mark.parametrize(
    ("preset", "tiny", "lr", "weight_decay", "criterion"),
    [
        (alzheimer_classifier, TINY_ALZHEIMER, 1e-4, 1e-5, nn.CrossEntropyLoss),
        (brain_age_regressor, TINY_AGE, 1.5e-4, 0.05, nn.MSELoss),
    ],
    ids=["alzheimer", "brain age"],
)
def test_optimizer_is_one_group_of_adam_over_all_parameters(
    paper_study, preset, tiny, lr, weight_decay, criterion
):
    X, y = paper_study
    y = y if criterion is nn.CrossEntropyLoss else np.arange(24.0)
    SeeOptimizer.seen.clear()
    model = preset(**tiny, callbacks=[SeeOptimizer()]).fit(X, y)
    ((optimizer, loss, parameters),) = SeeOptimizer.seen
    assert type(optimizer) is torch.optim.Adam
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"], group["betas"]) == (lr, weight_decay, (0.9, 0.999))
    assert not group["decoupled_weight_decay"]
    assert {id(p) for p in group["params"]} == {id(p) for p in parameters}
    assert type(loss) is criterion
    assert model.history_["lr"].tolist() == [lr]


def test_classifier_when_fitted_predicts_the_mean_of_both_sides(paper_study):
    X, y = paper_study
    model = alzheimer_classifier(**TINY_ALZHEIMER).fit(X, y)
    assert model.image_spec_.n_views == 2
    assert model.image_spec_.shape == (8, 8, 8)
    swapped = X.assign(t1w=[scan[::-1].copy() for scan in X["t1w"]])
    np.testing.assert_allclose(model.predict_proba(swapped), model.predict_proba(X), atol=1e-12)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_classifier_in_an_ensemble_of_folds_votes_by_confidence(paper_study):
    X, y = paper_study
    model = alzheimer_classifier(**TINY_ALZHEIMER)
    ensemble = FoldEnsembleClassifier(model, cv=4).fit(X, y)
    assert ensemble.voting == "confidence"
    assert len(ensemble.estimators_) == 4
    assert ensemble.predict_proba(X).shape == (24, 3)
    assert all(len(e.history_) == 1 for e in ensemble.estimators_)


def test_regressor_in_an_ensemble_keeps_the_best_models(paper_study):
    X, _ = paper_study
    X, age = X[["t1w", "sex"]], np.random.default_rng(0).uniform(20, 90, 24)
    model = brain_age_regressor(**TINY_AGE, early_stopping=False)
    splits = ShuffleSplit(3, test_size=1 / 9, random_state=0)
    ensemble = FoldEnsembleRegressor(model, cv=splits, n_best=2, scoring="neg_mean_squared_error").fit(X, age)
    assert ensemble.fold_scores_.shape == (3,)
    mean = np.mean([model.predict(X) for model in ensemble.estimators_], axis=0)
    np.testing.assert_array_equal(ensemble.predict(X), mean)
    assert len(ensemble.estimators_) == 2
