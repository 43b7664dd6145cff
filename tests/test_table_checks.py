"""Every public estimator passes the checks on tables with image paths, and of scikit-learn's what applies.

Estimators are found, not listed: a new one runs all of this from the day on which its package names it.
"""

import inspect
import pkgutil
from importlib import import_module

import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import BaggingRegressor, VotingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from table_checks import TABLE_CHECKS, TRANSFORMER_CHECKS, Study

import skhyperfusion
from skhyperfusion import (
    HyperFusionClassifier,
    HyperFusionRegressor,
    HyperFusionSurvival,
    ImageLoader,
    TabularPreprocessor,
)
from skhyperfusion.images import cache_info, clear_cache

TINY = {
    "base_channels": 1,
    "max_epochs": 1,
    "batch_size": 12,
    "random_state": 0,
    "tabular_preprocessor": TabularPreprocessor(image_columns=None, imputer="median"),
}


def public_estimators():
    """Classes of estimators that the package, and the packages within it, name in ``__all__``."""
    names = [module.name for module in pkgutil.walk_packages(skhyperfusion.__path__, "skhyperfusion.")]
    modules = [skhyperfusion] + [import_module(name) for name in names if "._" not in name]
    found = {getattr(module, name) for module in modules for name in getattr(module, "__all__", ())}
    estimators = [cls for cls in found if inspect.isclass(cls) and issubclass(cls, BaseEstimator)]
    return sorted(estimators, key=lambda cls: cls.__name__)


def tiny(cls):
    """An instance that fits in a moment; one that combines estimators gets tiny ones to combine."""
    member = HyperFusionRegressor if issubclass(cls, RegressorMixin) else HyperFusionClassifier
    if "Survival" in cls.__name__:
        member = HyperFusionSurvival
    known = TINY | {
        # Four hidden units, as one channel has them, are all shut for FiLM with this seed.
        "estimators": [
            ("hyper", member(**TINY)),
            ("film", member(**(TINY | {"base_channels": 2}), fusion="film")),
        ],
        "estimator": member(**TINY),
        "regressor": member(**TINY),
        "cv": 2,
    }
    return cls(**{name: value for name, value in known.items() if name in inspect.signature(cls).parameters})


ESTIMATORS = {cls.__name__: tiny(cls) for cls in public_estimators() if hasattr(cls, "predict")}
# Further settings, and what scikit-learn makes of the estimators; they run when slow tests do.
VARIANTS = {
    "classifier-early-stopping": HyperFusionClassifier(**TINY, early_stopping=True, validation_fraction=0.3),
    "classifier-concat": HyperFusionClassifier(**TINY, fusion="concat"),
    "classifier-pretrained": HyperFusionClassifier(**TINY, hyper_depth=1, pretrain_embedding=1),
    "classifier-shape": HyperFusionClassifier(**TINY, image_loader=ImageLoader(shape=(4, 4, 4))),
    "regressor-film-vgg": HyperFusionRegressor(**TINY, fusion="film", backbone="vgg"),
    "regressor-daft-augmented": HyperFusionRegressor(**TINY, fusion="daft", augmentation="light"),
    "pipeline": make_pipeline(TabularPreprocessor(imputer="median"), HyperFusionClassifier(**TINY)),
    "voting": VotingClassifier([("hyper", HyperFusionClassifier(**TINY))], voting="soft"),
}
# Images that are not held in memory are read batch by batch, from their files or a cache folder. Elsewhere
# in this file they are held.
CACHE = "a folder of the test's own"
STORAGE = {
    "classifier-read": HyperFusionClassifier(
        **TINY, image_loader=ImageLoader(memory=0), augmentation="light"
    ),
    "regressor-cached": HyperFusionRegressor(
        **TINY, image_loader=ImageLoader(memory=0, cache_dir=CACHE), augmentation="light"
    ),
}
MORE_STORAGE = {
    "regressor-read": HyperFusionRegressor(**TINY, image_loader=ImageLoader(memory=0)),
    "classifier-cached": HyperFusionClassifier(**TINY, image_loader=ImageLoader(cache_dir=CACHE)),
}
TRANSFORMERS = {
    "default": TabularPreprocessor(),
    "median": TabularPreprocessor(imputer="median"),
    "knn": TabularPreprocessor(imputer="knn", add_indicator=False, scaler=None),
}
# What scikit-learn can check of an object that is configured but neither fitted nor asked to predict.
CONFIGURATION_CHECKS = [
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_mixin_order,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_set_params,
    estimator_checks.check_valid_tag_types,
]


@pytest.fixture(scope="module")
def small_study(study):
    X, labels, values = study
    return Study(X.head(24), labels.head(24), values.head(24))


def cases(estimators, checks, *marks):
    for name, estimator in estimators.items():
        for check in checks:
            yield pytest.param(estimator, check, id=f"{name}-{check.__name__}", marks=marks)


def run(check, estimator, study, capfd, cache_dir=None):
    more = {"capfd": capfd} if "capfd" in inspect.signature(check).parameters else {}
    estimator = clone(estimator)
    if estimator.get_params().get("image_loader__cache_dir") == CACHE:
        estimator.set_params(image_loader__cache_dir=cache_dir)
    return check(estimator, study, **more)


def combines(estimator):
    return not {"estimator", "estimators", "regressor"}.isdisjoint(estimator.get_params(deep=False))


# One epoch may teach the contrary of the target; what a corrector of ages then does has a test of its own.
@pytest.mark.filterwarnings("ignore:Predictions of HyperFusionRegressor do not rise:UserWarning")
@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        *cases({k: e for k, e in ESTIMATORS.items() if not combines(e)}, TABLE_CHECKS),
        *cases({k: e for k, e in ESTIMATORS.items() if combines(e)}, TABLE_CHECKS, pytest.mark.slow),
        *cases(VARIANTS, TABLE_CHECKS, pytest.mark.slow),
        *cases(STORAGE, TABLE_CHECKS),
        *cases(MORE_STORAGE, TABLE_CHECKS, pytest.mark.slow),
    ],
)
def test_estimator_on_a_table_with_paths(estimator, check, small_study, capfd, tmp_path):
    assert run(check, estimator, small_study, capfd, tmp_path) is None  # a check asserts by itself


@pytest.mark.parametrize("kind", ["held", "read", "cached"])
def test_images_are_stored_as_the_table_checks_say(kind, small_study, tmp_path):
    loader = {
        "held": ImageLoader(),
        "read": ImageLoader(memory=0),
        "cached": ImageLoader(memory=0, cache_dir=tmp_path),
    }[kind]
    clear_cache()
    HyperFusionClassifier(**TINY, image_loader=loader).fit(small_study.X, small_study.labels)
    assert cache_info()["images"] == (24 if kind == "held" else 0)
    assert cache_info(tmp_path)["disk_images"] == (24 if kind == "cached" else 0)


@pytest.mark.parametrize(("transformer", "check"), list(cases(TRANSFORMERS, TRANSFORMER_CHECKS)))
def test_transformer_on_a_table_with_paths(transformer, check, small_study, capfd):
    assert run(check, transformer, small_study, capfd) is None


@pytest.mark.parametrize("check", CONFIGURATION_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("cls", public_estimators(), ids=lambda cls: cls.__name__)
def test_configuration_of_a_public_estimator(cls, check):
    assert check(cls.__name__, tiny(cls)) is None


def test_every_public_estimator_and_check_is_found():
    names = {cls.__name__ for cls in public_estimators()}
    assert names >= {"HyperFusionClassifier", "HyperFusionRegressor", "ImageLoader", "TabularPreprocessor"}
    assert set(ESTIMATORS) == names - {"ImageFeatures", "ImageLoader", "TabularPreprocessor"}
    assert len(TABLE_CHECKS) >= 19
    assert len(TRANSFORMER_CHECKS) >= 8


def test_checks_find_what_is_wrong(small_study):
    """A check that finds no fault is worth nothing; scikit-learn's bagging loses the columns' names."""
    bag = BaggingRegressor(HyperFusionRegressor(**TINY), n_estimators=2, random_state=0)
    by_name = next(check for check in TABLE_CHECKS if "another_order" in check.__name__)
    with pytest.raises((AssertionError, ValueError)):
        by_name(bag, small_study)
