"""Training and evaluation mode during a fit: set once a phase, for every layer."""

import numpy as np
import pandas as pd
import pytest
import torch

from skhyperfusion import HyperFusionClassifier
from skhyperfusion.nn import FusionNetwork


class _Modes(torch.nn.Module):
    """A backbone that notes the mode of its parts, and counts how often it was set."""

    walks = 0
    seen = ()

    def __init__(self, in_channels, spatial_dims):
        super().__init__()
        self.layer = torch.nn.Conv2d(in_channels, 4, 3)

    def train(self, mode=True):
        type(self).walks += 1
        return super().train(mode)

    def forward(self, image):
        type(self).seen += ((self.training, self.layer.training),)
        return self.layer(image)


def _fit(monkeypatch, **settings):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"scan": list(rng.normal(size=(40, 6, 6))), "age": rng.normal(70, 8, size=40)})
    model = HyperFusionClassifier(backbone=_Modes, random_state=0, batch_size=8, **settings)
    monkeypatch.setattr(_Modes, "walks", 0)
    monkeypatch.setattr(_Modes, "seen", ())
    return model.fit(X, X["age"] > 70)


def test_layers_train_in_training_mode_and_are_scored_in_evaluation_mode(monkeypatch):
    _fit(monkeypatch, max_epochs=3, early_stopping=True, validation_fraction=0.2)
    # The first call measures the backbone's output, the last tries whether the network tells rows apart.
    fitting = _Modes.seen[1:-1]
    epoch = [(True, True)] * 4 + [(False, False)]
    assert list(fitting) == epoch * 3


def test_mode_is_not_set_again_before_every_batch(monkeypatch):
    _fit(monkeypatch, max_epochs=6, early_stopping=False)
    assert _Modes.walks < 6  # 30 batches


def test_a_layer_that_was_left_in_evaluation_mode_trains_all_the_same(monkeypatch):
    build = FusionNetwork.__init__

    def build_and_leave(self, *args, **settings):
        build(self, *args, **settings)
        self.backbone.layer.eval()

    monkeypatch.setattr(FusionNetwork, "__init__", build_and_leave)
    _fit(monkeypatch, max_epochs=1, early_stopping=False)
    assert set(_Modes.seen[1:-1]) == {(True, True)}


@pytest.mark.parametrize("fusion", ["hyper", "film"])
@pytest.mark.parametrize("contrast", [0.0, 1.0])
def test_images_that_are_all_alike_leave_the_table_to_decide(fusion, contrast):
    rng = np.random.default_rng(0)
    scan = 3 + contrast * rng.normal(size=(8, 8))
    X = pd.DataFrame({"scan": [scan] * 60, "age": rng.normal(size=60)})
    y = X["age"] > 0
    settings = {"base_channels": 2, "max_epochs": 20, "augmentation": None, "random_state": 0}
    model = HyperFusionClassifier(fusion=fusion, **settings).fit(X, y)
    # What training mode reaches: .5 where the modes disagree about a channel without spread.
    assert model.score(X, y) > 0.9
