"""A default stands in one place, or is the same wherever it stands."""

import dataclasses
import inspect

import numpy as np
import pandas as pd
import pytest

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion._engine._train import TrainingSettings
from skhyperfusion.images import ImageLoader
from skhyperfusion.nn import FusionNetwork


def defaults(function):
    parameters = inspect.signature(function).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty}


def test_network_has_the_defaults_of_the_estimators():
    shared = defaults(FusionNetwork).keys() & defaults(HyperFusionClassifier).keys()
    assert {"fusion", "backbone", "dropout", "hyper_depth", "hyper_init"} <= shared
    for estimator in (HyperFusionClassifier, HyperFusionRegressor):
        wanted = defaults(estimator)
        assert {name: defaults(FusionNetwork)[name] for name in shared} == {n: wanted[n] for n in shared}


def test_settings_of_a_training_have_no_defaults_of_their_own():
    fields = dataclasses.fields(TrainingSettings)
    assert all(field.default is field.default_factory is dataclasses.MISSING for field in fields)
    with pytest.raises(TypeError, match="required keyword-only arguments"):
        TrainingSettings()


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 8)])
@pytest.mark.parametrize("augmentation", ["shift", "light"])
def test_images_that_are_read_are_changed_as_those_that_are_held(shape, augmentation):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"scan": list(rng.normal(size=(12, *shape))), "age": rng.normal(size=12)})
    y = np.arange(12) % 2
    fits = [
        HyperFusionClassifier(
            base_channels=2, max_epochs=2, random_state=0, augmentation=augmentation,
            image_loader=ImageLoader(memory=memory),
        ).fit(X, y).predict_proba(X)
        for memory in ("auto", 0)
    ]  # fmt: skip
    np.testing.assert_array_equal(*fits)
