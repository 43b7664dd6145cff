"""Backbones that a user may bring; in a module of their own, so that they can be pickled."""

import torch
from torch import nn


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
