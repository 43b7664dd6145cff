"""A fit that fails, is refused or is interrupted leaves the model of before, answering as before."""

import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion._engine._callbacks import BestEpoch
from skhyperfusion._engine._train import train


def small(estimator=HyperFusionClassifier, **params):
    return estimator(**{"base_channels": 2, "max_epochs": 2, "random_state": 0, **params})


class PressCtrlC(Callback):
    """Raises what Ctrl-C raises, in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == self.epoch:
            raise KeyboardInterrupt


class Spoil(Callback):
    """Makes every weight NaN before the second epoch."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            with torch.no_grad():
                for weight in net.module_.parameters():
                    weight.fill_(float("nan"))


def answers(model, X):
    """All that a fitted model says: predictions bit for bit, and the public fitted attributes."""
    shown = {name: repr(value) for name, value in vars(model).items() if name.endswith("_")}
    return model._outputs(X).tobytes(), model.predict(X).tolist(), shown


def assert_unchanged(model, X, error, fit, match=None):
    module, before = model.module_, answers(model, X)
    with pytest.raises(error, match=match):
        fit()
    assert answers(model, X) == before
    assert model.module_ is module
    assert model.__sklearn_is_fitted__()
    assert answers(pickle.loads(pickle.dumps(model)), X) == before


@pytest.mark.parametrize("warm_start", [True, False])
@pytest.mark.parametrize(
    "params", [{"callbacks": [Spoil()]}, {"callbacks": [PressCtrlC(1)]}], ids=["NaN", "Ctrl-C"]
)
def test_training_that_diverges_or_ends_in_its_first_epoch_leaves_the_model_of_before(
    arrays, warm_start, params
):
    X, y, _ = arrays
    model = small(warm_start=warm_start).fit(X, y).set_params(**params)
    error = FloatingPointError if "Spoil" in repr(params) else KeyboardInterrupt
    assert_unchanged(model, X, error, lambda: model.fit(X, y))


@pytest.mark.parametrize("warm_start", [True, False])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"y": lambda y: [None, *y[1:]]}, "target is missing"),
        ({"y": lambda y: np.full(len(y), "x")}, "one class only"),
        ({"X": lambda X: X.assign(dose=np.inf)}, "infin"),
        ({"X": lambda X: X.assign(picture=[np.zeros((3, 3)), *X["picture"][1:]])}, r"\(3, 3\)"),
        ({"groups": lambda _: [0]}, "inconsistent numbers of samples"),
        ({"sample_weight": lambda _: np.eye(36)[0]}, "at least 2 rows of positive weight"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_fit_that_is_refused_leaves_the_model_of_before(arrays, warm_start, change, match):
    X, y, _ = arrays
    model = small(warm_start=warm_start).fit(X, y)
    given = {"X": X, "y": y, "groups": None, "sample_weight": None}
    given |= {name: function(given[name]) for name, function in change.items()}
    assert_unchanged(model, X, ValueError, lambda: model.fit(**given), match)


def test_new_labels_or_columns_of_a_refused_refit_are_forgotten(arrays):
    X, y, values = arrays
    model = small().fit(X, y)
    other = X.rename(columns={"dose": "age"}).assign(more=1.0)
    labels = np.where(y == "high", "up", "down")
    assert_unchanged(
        model.set_params(lr=1e30), X, FloatingPointError, lambda: model.fit(other, labels), "diverged"
    )
    model.set_params(lr=3e-3, net_params={"lr": 1})
    assert_unchanged(model, X, ValueError, lambda: model.fit(other, labels), "net_params")
    model.set_params(net_params=None, fusion="hypr")
    assert_unchanged(model, X, ValueError, lambda: model.fit(other, labels), "did you mean 'hyper'")
    regressor = small(HyperFusionRegressor).fit(X, values).set_params(callbacks=[PressCtrlC(1)])
    assert_unchanged(regressor, X, KeyboardInterrupt, lambda: regressor.fit(other, 100 * values))


def test_ctrl_c_in_the_pretraining_of_a_refit_leaves_the_model_of_before(arrays, monkeypatch):
    X, y, _ = arrays
    model = small(hyper_depth=1, pretrain_embedding=2).fit(X, y)

    def interrupted(*args, **kwargs):
        trained = train(*args, **kwargs)
        trained.interrupted = True
        return trained

    monkeypatch.setattr("skhyperfusion._engine._pretrain.train", interrupted)
    assert_unchanged(model, X, KeyboardInterrupt, lambda: model.fit(X, y))


def test_ctrl_c_while_the_best_epoch_is_copied_leaves_the_one_before(monkeypatch):
    best, module = BestEpoch(None, lower_is_better=True, patience=1).initialize(), torch.nn.Linear(1, 1)
    net = SimpleNamespace(history=[{"epoch": 1}], module_=module)
    best.on_epoch_end(net)
    before = best.state_

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "state_dict", interrupted)
    net.history.append({"epoch": 2})
    with pytest.raises(KeyboardInterrupt):
        best.on_epoch_end(net)
    assert best.state_ is before
    assert best.epoch_ == 1


@pytest.mark.parametrize("warm_start", [True, False])
def test_ctrl_c_in_a_later_epoch_of_a_refit_keeps_its_best_epoch(arrays, warm_start):
    X, y, _ = arrays
    model, stopped = (small(warm_start=warm_start).fit(X, y) for _ in range(2))
    model.set_params(max_epochs=9, lr_schedule=None, callbacks=[PressCtrlC(3)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.n_iter_ == model.best_epoch_ == 2
    stopped.set_params(max_epochs=2, lr_schedule=None).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), stopped.predict_proba(X))


def test_warm_start_trains_a_copy_of_the_network(arrays):
    X, y, _ = arrays
    model = small(warm_start=True).fit(X, y)
    module = model.module_
    before = {name: value.clone() for name, value in module.state_dict().items()}
    model.fit(X, y)
    assert model.module_ is not module
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_refit_on_an_array_forgets_the_names_of_before(arrays):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(20, 3)), columns=["a", "b", "c"])
    y = np.arange(20) % 2
    model = small(fusion="tabular").fit(X, y)
    model.fit(X.to_numpy()[:, :2], y)
    assert not hasattr(model, "feature_names_in_")
    assert model.n_features_in_ == 2
