import pytest
import torch
from torch import nn

from skhyperfusion.nn import FusionNetwork


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class OwnBackbone(nn.Module):
    """What a user may bring: torch's own layers, a layer used twice, and a map as output."""

    def __init__(self, in_channels, spatial_dims):
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[spatial_dims]
        norm = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[spatial_dims]
        self.first = conv(in_channels, 6, 3, padding=1)
        self.norm = norm(6)
        self.twice = conv(6, 6, 3, padding="same")
        self.last = conv(6, 12, 3, stride=2)

    def forward(self, image):
        h = torch.relu(self.norm(self.first(image)))
        return self.last(torch.relu(self.twice(torch.relu(self.twice(h)))))


def make_features(in_channels, spatial_dims):
    """Return a backbone whose output is a vector."""
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(10), nn.ReLU())


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
            **settings,
        }
        net = FusionNetwork(fusion=fusion, backbone=OWN.get(backbone, backbone), **settings).double()
        image = torch.randn(rows, settings["in_channels"], *settings["spatial_shape"], dtype=torch.float64)
        tabular = torch.randn(rows, settings["n_tabular_features"], dtype=torch.float64)
        net.initialize(torch.randn(50, settings["n_tabular_features"], dtype=torch.float64))
        return net.eval(), image, tabular

    return make
