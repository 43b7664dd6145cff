"""scikit-learn's own estimator checks, on the estimators as they come and as fusion networks."""

from functools import partial

import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    estimator_checks_generator,
)

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, ImageLoader

# In mini-batches a row of weight two is not two rows, and the scaler of the table takes no weights.
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a row of weight two takes one place in a mini-batch, two rows take two; "
        "test_sample_weight_equivalence_with_full_batches_in_float64 shows that it is this alone"
    )
}
# The first column is an image of one pixel: the fusion network itself runs the checks.
PIXELS = {
    "image_columns": [0],
    "image_loader": ImageLoader(shape=(1, 1), intensity=None, missing="zeros"),
    "base_channels": 1,
    "dropout": 0.0,
    "max_epochs": 20,
    "lr": 1e-2,
}
CONFIGURATIONS = {
    "defaults": {},
    "tabular": {"fusion": "tabular"},
    "pixels": PIXELS,
}
MIN_CHECKS = {HyperFusionClassifier: 60, HyperFusionRegressor: 56}


def _configured(estimator, configuration):
    return estimator(random_state=0, **CONFIGURATIONS[configuration])


def _checks(estimator, configuration):
    return list(estimator_checks_generator(_configured(estimator, configuration)))


def _name(check):
    while isinstance(check, partial):
        check = check.func
    return check.__name__


def _cases():
    for estimator in MIN_CHECKS:
        for configuration in CONFIGURATIONS:
            for model, check in _checks(estimator, configuration):
                marks = []
                if _name(check) in EXPECTED_FAILURES:
                    marks.append(pytest.mark.xfail(reason=EXPECTED_FAILURES[_name(check)], strict=True))
                if configuration != "defaults":
                    marks.append(pytest.mark.slow)
                label = f"{estimator.__name__}-{configuration}-{_name(check)}"
                yield pytest.param(model, check, id=label, marks=marks)


@pytest.mark.filterwarnings("ignore:.*found no image column.*:UserWarning")
@pytest.mark.parametrize(("model", "check"), list(_cases()))
def test_sklearn_contract(model, check):
    assert check(clone(model)) is None  # it raises where the contract is broken


@pytest.mark.parametrize("estimator", list(MIN_CHECKS))
@pytest.mark.parametrize("configuration", list(CONFIGURATIONS))
def test_checks_are_yielded_in_full(estimator, configuration):
    assert len(_checks(estimator, configuration)) >= MIN_CHECKS[estimator]


@pytest.mark.filterwarnings("ignore:.*found no image column.*:UserWarning")
@pytest.mark.parametrize("estimator", list(MIN_CHECKS))
@pytest.mark.parametrize("configuration", list(CONFIGURATIONS))
def test_sample_weight_equivalence_with_full_batches_in_float64(estimator, configuration):
    model = _configured(estimator, configuration).set_params(
        precision="float64",
        batch_size=100_000,
        tabular_preprocessor="passthrough",
        early_stopping=False,
        dropout=0.0,
        augmentation=None,
    )
    assert check_sample_weight_equivalence_on_dense_data(type(model).__name__, model) is None
