"""Pre-training of the embedding: on which rows, with which weights, and what is left of it."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion._engine._holdout import split_holdout
from skhyperfusion._engine._train import train
from skhyperfusion.nn._fusion import TabularNetwork


def small(estimator=HyperFusionClassifier, **params):
    """An estimator that fits in a fraction of a second."""
    settings = {"base_channels": 2, "max_epochs": 1, "hyper_depth": 1, "pretrain_embedding": 3}
    return estimator(**{"random_state": 0, **settings, **params})


class Stages:
    """Calls of `train` during a fit: their module before and after, their data, their settings."""

    def __init__(self, monkeypatch):
        self.calls = []
        for caller in ("_base", "_engine._pretrain"):
            monkeypatch.setattr(f"skhyperfusion.{caller}.train", self)

    def __call__(self, module, train_set, settings, **held_out):
        before = copy.deepcopy(module)
        trained = train(module, train_set, settings, **held_out)
        self.calls.append((before, copy.deepcopy(module), train_set, settings))
        return trained


@pytest.fixture
def stages(monkeypatch):
    return Stages(monkeypatch)


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def held_out(y, fraction):
    _, codes = np.unique(y, return_inverse=True)
    return split_holdout(len(y), fraction, labels=codes, random_state=np.random.RandomState(0))[1]


@pytest.mark.parametrize("params", [{}, {"shared_embedding": False, "external_layers": "head.*"}], ids=str)
def test_embedding_when_pretrained_goes_on_inside_the_network(arrays, stages, params):
    X, y, _ = arrays
    model = small(**params).fit(X, y)
    (start, learned, _, settings), (network, *_) = stages.calls
    assert isinstance(start, TabularNetwork)
    assert settings.max_epochs == 3
    embeddings = network.fusion.hypernetwork.embeddings
    assert len(embeddings) == len(learned.embeddings) == (1 if not params else 2)
    for first, then, inside in zip(start.embeddings, learned.embeddings, embeddings, strict=True):
        assert torch.equal(weights(then), weights(inside))
        assert (weights(first) - weights(then)).abs().max() > 1e-3
    assert not any("last" in name for name in model.module_.state_dict())  # no head is left


def test_generators_when_embedding_is_pretrained_are_drawn_for_it(arrays, stages):
    X, y, _ = arrays
    small(pretrain_embedding=60, lr=0.1).fit(X, y)
    (start, _, train_set, _), (network, *_) = stages.calls
    table = train_set.tabular.float()
    hypernetwork = network.fusion.hypernetwork
    (generator,) = hypernetwork.generators
    with torch.no_grad():
        after = float(hypernetwork.embeddings[0].eval()(table).square().mean())
        before = float(start.embeddings[0].train()(table).square().mean())
    bound = math.sqrt(3 * generator.variances(after)[0])
    assert generator.weight_basis.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert abs(before / after - 1) > 0.1  # 0.25: so that a scale measured too early would be seen


def test_rows_held_out_leave_no_trace_in_the_pretrained_embedding(arrays):
    X, y, _ = arrays
    params = {"early_stopping": True, "validation_fraction": 0.25, "pretrain_embedding": 5}
    first = small(**params).fit(X, y)
    changed = X.copy()
    rows = held_out(y, 0.25)
    changed.loc[rows, ["dose", "noise"]] = 1e6
    assert torch.equal(weights(first.module_), weights(small(**params).fit(changed, y).module_))
    changed = X.copy()
    changed.loc[np.setdiff1d(X.index, rows)[:1], ["dose", "noise"]] = 1e6
    assert not torch.equal(weights(first.module_), weights(small(**params).fit(changed, y).module_))


def test_pretraining_sees_the_table_the_target_and_the_weights_of_the_training_rows(arrays, stages):
    X, y, _ = arrays
    weight = np.linspace(0.5, 2, len(X))
    small(early_stopping=True, class_weight={"low": 3, "high": 1}).fit(X, y, sample_weight=weight)
    (_, _, table, _), (_, _, whole, _) = stages.calls
    assert table.images is None
    np.testing.assert_array_equal(table.rows, whole.rows)
    assert len(table) == len(X) - len(held_out(y, 0.1))
    assert torch.equal(table.tabular, whole.tabular)
    assert torch.equal(table.weight, whole.weight)
    assert table.is_weighted


@pytest.mark.parametrize("params", [{"class_weight": {"low": 9, "high": 1}}, {}], ids=["class", "sample"])
def test_weights_when_given_move_the_pretrained_embedding(arrays, stages, params):
    X, y, _ = arrays
    small().fit(X, y)
    small(**params).fit(X, y, sample_weight=None if params else np.where(y == "low", 9.0, 1.0))
    plain, weighted = (learned for _, learned, _, _ in stages.calls[::2])
    assert not torch.allclose(weights(plain), weights(weighted), atol=1e-4)


@pytest.mark.parametrize(("lr", "wanted"), [(1e-4, 1e-2), (0.05, 0.05)])
def test_learning_rate_of_the_pretraining_is_never_that_of_a_large_network(arrays, stages, lr, wanted):
    X, y, _ = arrays
    small(lr=lr).fit(X, y)
    assert [settings.lr for *_, settings in stages.calls] == [wanted, lr]


@pytest.mark.filterwarnings("ignore:.*pretrain_embedding=3 has no effect at hyper_depth=0")
@pytest.mark.parametrize("params", [{"fusion": "concat"}, {"fusion": "image"}, {"hyper_depth": 0}], ids=str)
def test_pretraining_when_there_is_no_embedding_network_is_left_out(arrays, stages, params):
    X, y, _ = arrays
    small(**params).fit(X, y)
    assert len(stages.calls) == 1


def test_pretraining_of_the_tabular_fusion_trains_its_embedding(arrays, stages):
    X, y, _ = arrays
    small(fusion="tabular").fit(X, y)
    (_, learned, _, _), (network, *_) = stages.calls
    assert torch.equal(weights(learned.embeddings[0]), weights(network.fusion.embedding))


def test_warm_start_does_not_pretrain_again(arrays, stages):
    X, y, _ = arrays
    small(warm_start=True).fit(X, y).fit(X, y)
    assert [type(before) is TabularNetwork for before, *_ in stages.calls] == [True, False, False]


def test_pretraining_when_it_diverges_says_that_it_was_the_pretraining(arrays):
    X, y, _ = arrays
    model = small(tabular_preprocessor="passthrough", optimizer="sgd", lr=1e30)
    with pytest.raises(FloatingPointError, match="diverged") as caught:
        model.fit(X, y)
    (note,) = caught.value.__notes__
    assert note == "This happened while the embedding was pre-trained (pretrain_embedding=3)."


# What a person sees


def test_verbose_shows_the_epochs_of_the_pretraining(arrays, capsys):
    X, y, _ = arrays
    small(verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == [
        "embedding, epoch 1/3", "embedding, epoch 2/3", "embedding, epoch 3/3", "epoch 1/1",
    ]  # fmt: skip
    assert all("train_loss" in line for line in lines)
    small(verbose=0).fit(X, y)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("n_batches", [1, 4], ids=["first epoch", "second epoch"])
def test_ctrl_c_during_the_pretraining_ends_the_fit(arrays, stages, monkeypatch, n_batches):
    X, y, _ = arrays
    model = small()
    forward, n_calls = TabularNetwork.forward, []

    def interrupted(self, *args, **kwargs):
        n_calls.append(1)
        if len(n_calls) > n_batches:
            raise KeyboardInterrupt
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(TabularNetwork, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert not model.__sklearn_is_fitted__()
    assert all(isinstance(before, TabularNetwork) for before, *_ in stages.calls)


# What it is good for


def test_embedding_when_pretrained_makes_the_network_learn_sooner():
    """The target is a bend in a direction of the table that the embedding must find among twelve columns."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(160, 12))
    sign = np.where(table[:, :3].sum(axis=1) > 0, 1.0, -1.0)
    images = rng.normal(size=(160, 8, 8)).astype(np.float32)
    images += rng.normal(size=(160, 1, 1))
    X = pd.DataFrame(table, columns=[f"t{i}" for i in range(12)]).assign(scan=list(images))
    y = sign * images.mean(axis=(1, 2)) + 3 * sign
    losses = {}
    for epochs in (0, 10):
        settings = {"pretrain_embedding": epochs, "embedding_dim": 2, "max_epochs": 6, "lr": 3e-3}
        settings |= {"batch_size": 32, "augmentation": None, "dropout": 0.0, "lr_schedule": None}
        fits = [small(HyperFusionRegressor, **settings, random_state=seed).fit(X, y) for seed in range(2)]
        losses[epochs] = np.mean([fit.history_["train_loss"].iloc[-1] for fit in fits])
    assert losses[10] < 0.7 * losses[0]  # 0.36 of it
