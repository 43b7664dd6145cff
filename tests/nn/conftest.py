import pytest
import torch
from own_backbones import OwnBackbone, make_features

from skhyperfusion.nn import FusionNetwork


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


OWN = {"own map": OwnBackbone, "own features": make_features}
SHAPES = {2: (9, 8), 3: (9, 8, 8)}


@pytest.fixture
def make_fusion():
    """Return ``(network, image, tabular)``: float64, evaluation mode, 4 rows, scales fitted."""

    def make(fusion="hyper", backbone="resnet", spatial_dims=2, *, rows=4, **settings):
        settings = {
            "n_tabular_features": 5,
            "n_outputs": 3,
            "in_channels": 2,
            "spatial_shape": SHAPES[spatial_dims],
            "base_channels": 2,
            "hyper_depth": 1,
            **settings,
        }
        net = FusionNetwork(fusion=fusion, backbone=OWN.get(backbone, backbone), **settings).double()
        image = torch.randn(rows, settings["in_channels"], *settings["spatial_shape"], dtype=torch.float64)
        tabular = torch.randn(rows, settings["n_tabular_features"], dtype=torch.float64)
        net.initialize(torch.randn(50, settings["n_tabular_features"], dtype=torch.float64))
        return net.eval(), image, tabular

    return make
