"""A fit that came to nothing is not passed off as a model."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor

ROWS = np.random.default_rng(0).normal(size=(24, 3))
LABELS = np.arange(24) % 2


class ShutUnits(Callback):
    """Shuts the last hidden units for every row, as a learning rate that is too high may."""

    def on_batch_end(self, net, **_):
        net.module_.fusion.last.weight.data.zero_()


def _estimator(kind, **settings):
    return kind(fusion="tabular", max_epochs=2, lr=0.02, random_state=0, **settings)


@pytest.mark.parametrize("kind", [HyperFusionClassifier, HyperFusionRegressor])
def test_fit_whose_network_answers_all_rows_alike_warns_and_tells_what_to_do(kind):
    wanted = (
        f"{kind.__name__}: the training has collapsed. The network gives the same answer to each of 16 "
        r"training rows.*lower learning rate than lr=0.02, or with another random_state"
    )
    with pytest.warns(ConvergenceWarning, match=wanted):
        model = _estimator(kind, callbacks=[ShutUnits()]).fit(ROWS, LABELS)
    assert len(np.unique(model.predict(ROWS))) == 1


def test_fit_on_weighted_rows_is_told_too():
    with pytest.warns(ConvergenceWarning, match="each of 12 training rows"):
        _estimator(HyperFusionClassifier, callbacks=[ShutUnits()]).fit(
            ROWS, LABELS, sample_weight=np.arange(24) // 12 * (1 + LABELS)
        )


@pytest.mark.parametrize("callbacks", [None, [ShutUnits()]], ids=["learns", "collapses"])
def test_no_word_of_collapse_where_the_network_learns_or_all_rows_are_alike(callbacks):
    rows = ROWS if callbacks is None else np.tile(ROWS[:1], (24, 1))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ConvergenceWarning)
        _estimator(HyperFusionClassifier, callbacks=callbacks, tabular_preprocessor="passthrough").fit(
            rows, LABELS
        )
    assert not told


def test_small_differences_between_rows_are_no_collapse():
    class FaintOutputs(Callback):
        def on_batch_end(self, net, **_):
            net.module_.fusion.last.weight.data.mul_(1e-6)  # below what float32 tells apart for certain

    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = _estimator(HyperFusionRegressor, callbacks=[FaintOutputs()]).fit(
            ROWS, ROWS[:, 0] + ROWS[:, 1]
        )
    assert 0 < np.ptp(model.predict(ROWS)) < 1e-4


def test_collapse_on_images_is_told_by_what_the_head_makes_of_them():
    class ShutHead(Callback):
        def on_batch_end(self, net, **_):
            net.module_.head.output.weight.data.zero_()

    images = pd.DataFrame({"picture": list(np.random.default_rng(0).normal(size=(10, 8, 8)))})
    model = HyperFusionClassifier(
        fusion="image", base_channels=2, max_epochs=1, random_state=0, callbacks=[ShutHead()]
    )
    with pytest.warns(ConvergenceWarning, match="each of 10 training rows"):
        model.fit(images, np.arange(10) % 2)
