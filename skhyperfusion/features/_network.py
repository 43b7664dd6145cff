"""What a frozen network makes of images: its map, averaged over positions."""

import numpy as np
import torch

from skhyperfusion._engine._device import seeded, spread_device
from skhyperfusion._engine._frozen import frozen_outputs
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
    image_shape_ : tuple of int
        Channels and axes of an image.
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
        self.image_shape_ = (source.spec.n_channels, *source.spec.shape)
        self.build()
        self.center_ = self.transform(source).mean(axis=0)
        return self

    def build(self):
        """Make the network for images of the shape that is known."""
        # Weights that the network does not load are the same in every fit, and torch's state is left alone.
        with seeded(0, torch.device("cpu")):
            primary = build_primary(
                self.make,
                in_channels=self.image_shape_[0],
                spatial_shape=self.image_shape_[1:],
                base_channels=1,
                dropout=0.0,
            )
        self.module_ = primary.backbone.float().eval().requires_grad_(False)
        self._code = fingerprint(self.make)

    def transform(self, source):
        """Return the features (n, n_features), float64, each image's embedded by itself, and once."""
        if not len(source):
            return np.empty((0, len(self.center_)))
        device = spread_device(self.device, fitted=hasattr(self, "center_"))
        features = frozen_outputs(self.module_, self._code, source, device)
        return features.astype(np.float64)
