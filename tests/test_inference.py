import numpy as np
import pytest
import torch

from skhyperfusion._engine import _predict as _inference
from skhyperfusion._engine._batches import FusionDataset
from skhyperfusion._engine._predict import predict_outputs
from skhyperfusion.nn import FusionNetwork
from skhyperfusion.nn._fusions import FUSIONS

SHAPE = (28, 26, 24)  # above MAX_FLOAT64_VALUES
CPU = torch.device("cpu")


class OwnBackbone(torch.nn.Module):
    """A backbone whose linear layer reads positions: its float32 rounding depends on the batch."""

    def __init__(self, in_channels, spatial_dims):
        super().__init__()
        self.linear = torch.nn.Linear(SHAPE[-1], 8)

    def forward(self, image):
        return self.linear(image).flatten(1)


def _network(**settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"n_tabular_features": 5, "n_outputs": 3, "in_channels": 1, "base_channels": 3}
        network = FusionNetwork(spatial_shape=SHAPE, **(sizes | settings))
        network.initialize(torch.randn(50, 5))
        for parameter in network.parameters():  # away from the start, where a table may have no effect
            parameter.data.add_(0.05 * torch.randn_like(parameter))
    return network


def _rows(order):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(7, 1, 1, *SHAPE, generator=generator)
    tabular = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    return FusionDataset(images=images, tabular=tabular, dtype=torch.float64, rows=np.asarray(order))


def _predict(network, order, batch_size=4, method="forward"):
    return predict_outputs(network, _rows(order), device=CPU, batch_size=batch_size, method=method)


@pytest.mark.parametrize(
    "settings",
    [
        *({"fusion": fusion, "backbone": backbone} for fusion in FUSIONS for backbone in ("resnet", "vgg")),
        {"external_layers": ("backbone.block4.*", "head.*")},
        {"backbone": "vgg", "external_layers": ("backbone.stage3.conv2", "head.hidden1"), "hyper_depth": 0},
        {"backbone": OwnBackbone},
    ],
    ids=str,
)
def test_prediction_of_a_large_image_depends_on_its_row_alone(settings):
    network = _network(**settings)
    outputs = _predict(network, range(7))
    assert outputs.std(0).min() > 1e-6
    order = [4, 2, 6, 0, 5, 1, 3]
    np.testing.assert_allclose(_predict(network, order), outputs[order], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(_predict(network, range(7), 3), outputs, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(_predict(network, [5]), outputs[[5]], rtol=1e-8, atol=1e-10)
    features = _predict(network, range(7), method="features")
    np.testing.assert_allclose(
        _predict(network, order, method="features"), features[order], rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("fusion", ["hyper", "daft", "tabattention", "reverse"])
def test_prediction_of_a_large_image_is_close_to_that_in_float64(fusion, monkeypatch):
    network = _network(fusion=fusion)
    outputs = _predict(network, range(7))
    monkeypatch.setattr(_inference, "MAX_FLOAT64_VALUES", 10**6)
    np.testing.assert_allclose(outputs, _predict(network, range(7)), rtol=1e-3, atol=1e-5)


def _batches(network, order, batch_size, **settings):
    seen = []
    network.backbone.register_forward_pre_hook(
        lambda module, inputs: seen.append((len(inputs[0]), inputs[0].dtype))
    )
    predict_outputs(network, _rows(order), device=CPU, batch_size=batch_size, **settings)
    return seen


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_large_images_go_through_our_backbones_in_float32_and_equally_many_at_a_time(batch_size, monkeypatch):
    assert _batches(_network(), range(7), batch_size) == [(30, torch.float32)]
    monkeypatch.setitem(_inference.VALUES_AT_A_TIME, "cpu", 3 * 28 * 26 * 24)
    assert _batches(_network(), range(7), batch_size) == [(3, torch.float32)] * 3
    monkeypatch.setitem(_inference.VALUES_AT_A_TIME, "cpu", 1)
    assert _batches(_network(), range(7), batch_size) == [(2, torch.float32)] * 4


def test_images_go_through_any_other_backbone_one_by_one():
    assert _batches(_network(backbone=OwnBackbone), range(7), 4) == [(1, torch.float32)] * 7


@pytest.mark.parametrize("values_read", [1, 1 << 21])
def test_rows_are_read_in_blocks_whose_size_changes_no_prediction(values_read, monkeypatch):
    rows, read = _rows(range(7)), []
    monkeypatch.setattr(_inference, "VALUES_READ", values_read)
    monkeypatch.setitem(_inference.VALUES_AT_A_TIME, "cpu", 1)  # two rows at a time
    get = FusionDataset.__getitems__
    monkeypatch.setattr(
        FusionDataset, "__getitems__", lambda self, rows: read.append(len(rows)) or get(self, rows)
    )
    outputs = predict_outputs(_network(), rows, device=CPU, batch_size=3)
    assert read == ([4, 3] if values_read == 1 else [7])
    monkeypatch.undo()
    np.testing.assert_allclose(outputs, _predict(_network(), range(7)), rtol=1e-3, atol=1e-5)


def test_small_images_and_networks_of_float64_are_computed_in_float64_a_batch_at_a_time(monkeypatch):
    assert _batches(_network().double(), range(7), 4) == [(4, torch.float64), (3, torch.float64)]
    monkeypatch.setattr(_inference, "MAX_FLOAT64_VALUES", 10**6)
    assert _batches(_network(), range(7), 4) == [(4, torch.float64), (3, torch.float64)]
    assert _batches(_network(), range(7), 4, exact=False) == [(4, torch.float32), (3, torch.float32)]


def test_fitted_network_keeps_type_mode_and_weights():
    network = _network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    _predict(network, range(2))
    assert network.training
    for name, value in network.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])
