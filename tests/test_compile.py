"""compile=True: the same training, by torch.compile; what is kept is the plain network."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from skhyperfusion import HyperFusionClassifier
from skhyperfusion._engine import _compiler
from skhyperfusion.nn import FusionNetwork
from skhyperfusion.nn._fusions import FUSIONS


def _cohort(n=20):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"scan": list(rng.normal(size=(n, 4, 4))), "age": rng.normal(70, 8, size=n)})
    return X, X["age"] > 70


class _Compiled(torch.nn.Module):
    """Stands for torch's own wrapper, which is a module too."""

    def __init__(self, module):
        super().__init__()
        self.wrapped = module

    def forward(self, **inputs):
        return self.wrapped(**inputs)


@pytest.fixture
def compiled_by(monkeypatch):
    """Return the list of what torch.compile was given; it runs uncompiled, which takes no time."""
    seen = []

    def compile(module, **settings):
        seen.append((module, settings))
        return _Compiled(module)

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(_compiler.shutil, "which", lambda name: name)
    return seen


def test_compile_compiles_the_network_once_and_keeps_the_plain_one(compiled_by):
    X, y = _cohort()
    settings = {"base_channels": 2, "max_epochs": 2, "dropout": 0.0, "random_state": 0}
    plain = HyperFusionClassifier(**settings).fit(X, y)
    assert compiled_by == []
    compiled = HyperFusionClassifier(
        **settings, compile=True, net_params={"compile__dynamic": True}, early_stopping=True
    ).fit(X, y)
    assert [(module, settings) for module, settings in compiled_by] == [(compiled.module_, {"dynamic": True})]
    assert type(compiled.module_) is FusionNetwork
    assert list(compiled.module_.state_dict()) == list(plain.module_.state_dict())
    again = pickle.loads(pickle.dumps(compiled))
    np.testing.assert_array_equal(again.predict_proba(X), compiled.predict_proba(X))


def test_compile_trains_the_same_network(compiled_by):
    X, y = _cohort()
    settings = {"base_channels": 2, "max_epochs": 2, "random_state": 0}
    plain = HyperFusionClassifier(**settings).fit(X, y).predict_proba(X)
    compiled = HyperFusionClassifier(**settings, compile=True).fit(X, y).predict_proba(X)
    assert len(compiled_by) == 1
    np.testing.assert_allclose(compiled, plain, rtol=1e-6)


def test_compile_without_a_compiler_says_what_to_install(monkeypatch):
    monkeypatch.setattr(_compiler.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    X, y = _cohort()
    with pytest.raises(
        RuntimeError, match=r"C\+\+ compiler on a CPU, and found none of g\+\+, .*compile=False"
    ):
        HyperFusionClassifier(compile=True, base_channels=2, device="cpu").fit(X, y)
    monkeypatch.setenv("CXX", "my-compiler")
    with pytest.raises(RuntimeError, match="found none of my-compiler on"):
        HyperFusionClassifier(compile=True, base_channels=2, device="cpu").fit(X, y)


def _explain(fusion, spatial_dims, sample_weight):
    image = {} if fusion == "tabular" else {"in_channels": 1, "spatial_shape": (8,) * spatial_dims}
    network = FusionNetwork(fusion=fusion, n_tabular_features=5, n_outputs=3, base_channels=2, **image)
    inputs = {"tabular": torch.randn(4, 5)}
    if image:
        inputs["image"] = torch.randn(4, 1, *image["spatial_shape"])
    torch._dynamo.reset()
    return torch._dynamo.explain(network)(**inputs, sample_weight=sample_weight)


def test_forward_pass_is_one_graph():
    explained = _explain("hyper", 2, None)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0), explained.break_reasons


@pytest.mark.slow
@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_forward_pass_of_every_fusion_is_one_graph(fusion, spatial_dims):
    for sample_weight in (None, torch.rand(4)):
        explained = _explain(fusion, spatial_dims, sample_weight)
        assert (explained.graph_count, explained.graph_break_count) == (1, 0), explained.break_reasons


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_compiled_training_gives_the_losses_of_plain_training(backend):
    X, y = _cohort()
    settings = {"base_channels": 2, "max_epochs": 3, "dropout": 0.0, "random_state": 0, "batch_size": 8}
    plain = HyperFusionClassifier(**settings).fit(X, y)
    compiled = HyperFusionClassifier(**settings, compile=True, net_params={"compile__backend": backend})
    compiled.fit(X, y)
    np.testing.assert_allclose(compiled.history_["train_loss"], plain.history_["train_loss"], rtol=1e-3)
    np.testing.assert_allclose(compiled.predict_proba(X), plain.predict_proba(X), atol=1e-2)
