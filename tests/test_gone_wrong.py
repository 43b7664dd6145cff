"""Numbers that leave all bounds, and memory that is not enough: told at once, with what to do."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skhyperfusion import (
    HyperFusionClassifier,
    HyperFusionRegressor,
    HyperFusionSurvival,
    ImageLoader,
    survival_target,
)

SMALL = {"base_channels": 2, "max_epochs": 3, "device": "cpu", "random_state": 0, "batch_size": 12}


def named(arrays):
    X, labels, values = arrays
    return X.set_axis([f"p{i:02d}" for i in range(len(X))]), labels, values


# ---- Training


def test_loss_that_is_not_finite_names_epoch_rows_and_lr(arrays):
    X, _, values = named(arrays)
    values = values.copy()
    values[7] = 1e30
    model = HyperFusionRegressor(scale_target=False, lr=0.02, lr_schedule=None, **SMALL)
    with pytest.raises(FloatingPointError, match="Training diverged") as caught:
        model.fit(X, values)
    message = str(caught.value)
    assert "in epoch 1, batch " in message
    assert "(12 rows: 'p" in message
    assert "the loss is inf, at a learning rate of 0.02" in message
    assert "The largest number of the target is 1e+30 (row 'p07')" in message
    assert "Lower lr, or check the scale" in message
    assert not hasattr(model, "net_")


def test_encoded_number_that_no_network_computes_with_is_refused(arrays):
    X, labels, _ = named(arrays)
    wild = X.copy()
    wild.loc["p07", "dose"] = -1e16
    model = HyperFusionClassifier(tabular_preprocessor="passthrough", **SMALL)
    with pytest.raises(ValueError, match=r"'dose' of the encoded table .* beyond 1e\+15, in 1 row: 'p07'"):
        model.fit(wild, labels)
    with pytest.raises(ValueError, match=r"\(the first is -1e\+16\). Correct them, or scale the column"):
        model.fit(X, labels).predict(wild)


class Steep(torch.nn.Module):
    """A backbone of finite values whose gradient is not."""

    def __init__(self, in_channels):
        super().__init__()
        self.conv = torch.nn.Conv2d(in_channels, 3, 3)

    def forward(self, image):
        features = self.conv(image)
        return features + (0 * features).abs().sqrt()


def test_gradient_that_is_not_finite_stops_the_fit(arrays):
    X, labels, _ = named(arrays)
    model = HyperFusionClassifier(backbone=lambda channels, dims: Steep(channels), **SMALL)
    with pytest.raises(FloatingPointError, match=r"epoch 1, batch 1 .*, and its gradient not finite"):
        model.fit(X, labels)


class Spoil(Callback):
    """Spoils a weight at the start of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == self.epoch:
            next(net.module_.parameters()).data.fill_(torch.nan)


def test_fit_stops_at_once_in_a_later_epoch(arrays):
    X, labels, _ = named(arrays)
    model = HyperFusionClassifier(callbacks=[Spoil(2)], **SMALL)
    with pytest.raises(FloatingPointError, match=r"in epoch 2, batch 1 \(12 rows: .*, the loss is nan, at a"):
        model.fit(X, labels)


# ---- Memory


class Greedy(torch.nn.Module):
    """A backbone for which the memory is not enough, in training or in evaluation."""

    calls = 0

    def __init__(self, in_channels, fails_in_training):
        super().__init__()
        self.conv = torch.nn.Conv2d(in_channels, 3, 3)
        self.fails_in_training = fails_in_training
        self.is_built = False

    def forward(self, image):
        if self.is_built and self.training is self.fails_in_training:
            type(self).calls += 1
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.is_built = image.shape[0] > 2 or self.is_built
        return self.conv(image)


@pytest.mark.parametrize(("fails_in_training", "doing"), [(True, "training"), (False, "prediction")])
def test_memory_that_is_not_enough_is_told_with_advice(fails_in_training, doing, arrays, monkeypatch):
    X, labels, _ = named(arrays)
    monkeypatch.setattr(Greedy, "calls", 0)
    model = HyperFusionClassifier(backbone=lambda c, d: Greedy(c, fails_in_training), **SMALL)
    with pytest.raises(
        torch.cuda.OutOfMemoryError, match=rf"not enough for {doing} with batch_size="
    ) as caught:
        model.fit(X, labels).predict(X)
    message = str(caught.value)
    assert "images of shape 1 x 8 x 8" in message
    assert "Pass a smaller batch_size, ImageLoader(shape=...) with fewer voxels" in message
    assert ("precision='bfloat16'" in message) is fails_in_training
    assert "Tried to allocate 2.00 GiB" in message
    assert Greedy.calls == 1  # nothing was tried again


# ---- Magnitudes


@pytest.mark.parametrize("size", [1e-30, 1e30, 1e90])
def test_unit_of_a_column_or_target_changes_nothing(size, arrays):
    X, labels, values = named(arrays)
    scaled = X.assign(dose=X["dose"] * size)
    plain = HyperFusionClassifier(**SMALL).fit(X, labels).predict_proba(X)
    found = HyperFusionClassifier(**SMALL).fit(scaled, labels).predict_proba(scaled)
    np.testing.assert_allclose(found, plain, atol=1e-4)
    plain = HyperFusionRegressor(**SMALL).fit(X, values).predict(X)
    found = HyperFusionRegressor(**SMALL).fit(X, values * size).predict(X)
    np.testing.assert_allclose(found / size, plain, atol=1e-4)


def test_numbers_beyond_all_measure_are_refused_by_row_and_column(arrays):
    X, labels, values = named(arrays)
    wild = X.copy()
    wild.loc["p07", "dose"] = -1e101
    model = HyperFusionClassifier(**SMALL)
    with pytest.raises(ValueError, match=r"Row 'p07', column 'dose': -1e\+101 is beyond 1e\+100"):
        model.fit(wild, labels)
    with pytest.raises(ValueError, match=r"Row 'p07', column 'dose': -1e\+101 is beyond 1e\+100"):
        model.fit(X, labels).predict(wild)
    y = values.copy()
    y[3] = 1e200
    with pytest.raises(ValueError, match=r"y holds numbers beyond 1e\+100 in 1 row: 'p03'"):
        HyperFusionRegressor(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match=r"sample_weight must hold numbers from 0 to 1e\+100.*'p03'"):
        model.fit(X, labels, sample_weight=np.where(np.arange(len(X)) == 3, 1e300, 1.0))
    with pytest.raises(ValueError, match=r"time of row 3 is 1e\+200"):
        HyperFusionSurvival(**SMALL).fit(X, survival_target(values > 0, np.abs(y)))


class Squared(torch.nn.Conv2d):
    """A backbone of values that grow as the squares of the image's."""

    def forward(self, image):
        return super().forward(image).square()


def test_row_whose_outputs_are_not_finite_is_named(arrays):
    X, labels, _ = named(arrays)
    rng = np.random.default_rng(0)
    pictures = list(rng.normal(size=(len(X), 130, 130)).astype(np.float32))  # computed in float32
    loader, settings = ImageLoader(intensity=None), SMALL | {"max_epochs": 1}
    model = HyperFusionClassifier(backbone=lambda c, d: Squared(c, 3, 9), image_loader=loader, **settings)
    model.fit(X.assign(picture=pictures), labels)
    pictures[2] = pictures[2] * np.float32(1e37)
    with pytest.raises(FloatingPointError, match=r"no finite output for 1 row: 'p02'"):
        model.predict(X.assign(picture=pictures))


# ---- Constants


def test_constant_target_is_predicted_with_a_warning(arrays):
    X, _, values = named(arrays)
    model = HyperFusionRegressor(**SMALL)
    with pytest.warns(UserWarning, match=r"y is 0.1 in all 36 rows .* nothing to learn"):
        model.fit(X, np.full(len(X), 0.1))
    assert (model.predict(X) == 0.1).all()
    assert model.target_scale_ == 0
    y = np.column_stack([values, np.full(len(X), 7.0)])
    with pytest.warns(UserWarning, match=r"1 output: 1 of y is 7.0 in all"):
        model.fit(X, y)
    assert (model.predict(X)[:, 1] == 7).all()
    assert np.ptp(model.predict(X)[:, 0]) > 0


def test_constant_target_that_varies_later_is_learned(arrays):
    X, _, values = named(arrays)
    model = HyperFusionRegressor(warm_start=True, **SMALL)
    with pytest.warns(UserWarning, match="nothing to learn"):
        model.fit(X, np.full(len(X), 0.1))
    model.fit(X, values)
    assert np.ptp(model.predict(X)) > 0


def test_constant_column_and_image_are_no_error(arrays):
    X, labels, _ = named(arrays)
    pictures = [np.full((8, 8), 3.0, dtype=np.float32) for _ in range(len(X))]
    model = HyperFusionClassifier(**SMALL).fit(X.assign(noise=5.0, picture=pictures), labels)
    assert np.isfinite(model.predict_proba(X.assign(noise=5.0, picture=pictures))).all()
