"""What a frozen network makes of images: its map, averaged over positions."""

import copy
import functools
import hashlib

import numpy as np
import torch

from skhyperfusion._engine._device import seeded, spread_device
from skhyperfusion.images._fingerprint import fingerprint
from skhyperfusion.nn._primary import build_primary


class NetworkFeatures:
    """The channels of a network that is not trained, averaged over positions and views.

    Parameters
    ----------
    make : callable
        ``(in_channels, spatial_dims) -> Module``.
    device : str or torch.device
        Where it runs.

    Attributes
    ----------
    module_ : nn.Module
        The network, on the CPU and in evaluation mode.
    center_ : ndarray of shape (n_features,)
        Mean of the features over the images of the fit.
    """

    kind = "net"
    mask_ = pca_ = None

    def __init__(self, make, device):
        self.make = make
        self.device = device

    def fit(self, source):
        """Make the network, and learn the mean of what it makes of the images of a source."""
        # Weights that the network does not load are the same in every fit, and torch's state is left alone.
        with seeded(0, torch.device("cpu")):
            primary = build_primary(
                self.make,
                in_channels=source.spec.n_channels,
                spatial_shape=source.spec.shape,
                base_channels=1,
                dropout=0.0,
            )
        self.module_ = primary.backbone.float().eval().requires_grad_(False)
        self._name = network_name(self.make, self.module_)
        self.center_ = self.transform(source).mean(axis=0)
        return self

    def transform(self, source):
        """Return the features (n, n_features), float64, each image's embedded by itself, and once."""
        if not len(source):
            return np.empty((0, len(self.center_)))
        device = spread_device(self.device, fitted=hasattr(self, "center_"))
        module = self.module_ if device.type == "cpu" else copy.deepcopy(self.module_).to(device)
        embed = functools.partial(_embed, module, device)
        return source.derive(embed, self._name).astype(np.float64)


@torch.no_grad()
def _embed(module, device, images):
    """Return the features (C,) of one row's views (V, C, *S)."""
    features = module(torch.from_numpy(images).to(device))
    positions = tuple(range(2, features.ndim))
    return (features.mean(positions) if positions else features).mean(0).cpu().numpy()


def network_name(make, module):
    """Return a text that tells a network's function from every other's, or None where nothing can.

    It changes with the code that makes the network and with each of its weights.
    """
    code = fingerprint(make)
    if code is None:
        return None
    digest = hashlib.sha256(code.encode())
    for name, value in module.state_dict().items():
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
