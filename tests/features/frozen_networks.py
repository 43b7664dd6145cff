"""Frozen networks that count their images; in a module of their own, so that they can be pickled."""

import torch
from torch import nn


class Log(list):
    """A list that grows without changing what its reader is known by: as `pickle` sees it, it is empty."""

    def __reduce_ex__(self, protocol):
        return Log, ()


EMBEDDED = Log()  # shape of every image that a network was run on


class Counting(nn.Module):
    """A random convolution; its map is not averaged, and batch normalisation would change it in training."""

    def __init__(self, in_channels, spatial_dims, n_features=4):
        super().__init__()
        conv, norm = {2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}[spatial_dims]
        self.conv = conv(in_channels, n_features, 3, padding=1)
        self.norm = norm(n_features)

    def forward(self, image):
        if image.any():  # not the blank images that tell the shape of the map
            EMBEDDED.append(tuple(image.shape))
        return torch.relu(self.norm(self.conv(image)))


class Wider:
    """A factory with state: ``(in_channels, spatial_dims) -> Counting``."""

    def __init__(self, n_features=4, scale=1.0):
        self.n_features = n_features
        self.scale = scale

    def __call__(self, in_channels, spatial_dims):
        network = Counting(in_channels, spatial_dims, self.n_features)
        with torch.no_grad():
            network.conv.weight *= self.scale
        return network


def flat_features(in_channels, spatial_dims):
    """A network that gives a vector."""
    return nn.Sequential(Counting(in_channels, spatial_dims), nn.Flatten())
