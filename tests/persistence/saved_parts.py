"""What a user brings along: a backbone, a transformer, functions; and what a file holds."""

import zipfile

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin

SMALL = {"base_channels": 2, "max_epochs": 2, "device": "cpu", "random_state": 0}


def small_backbone(in_channels, spatial_dims):
    """A backbone of the user's own."""
    conv = torch.nn.Conv2d if spatial_dims == 2 else torch.nn.Conv3d
    return torch.nn.Sequential(conv(in_channels, 3, 3), torch.nn.ReLU(), conv(3, 4, 1))


class OwnPreprocessor(TransformerMixin, BaseEstimator):
    """A transformer of the user's own."""

    def fit(self, X, y=None):
        self.mean_ = np.nanmean(np.asarray(X, dtype=float), axis=0)
        return self

    def transform(self, X):
        values = np.asarray(X, dtype=float)
        return np.where(np.isnan(values), self.mean_, values) - self.mean_


def halved(images):
    """An augmentation of the user's own."""
    return images / 2


def zip_contents(path):
    """The bytes of every member of a saved model, those inside a skops member too."""
    with zipfile.ZipFile(path) as archive:
        contents = [archive.read(name) for name in archive.namelist()]
        for name in archive.namelist():
            if name.endswith(".skops"):
                with archive.open(name) as member, zipfile.ZipFile(member) as inner:
                    contents += [inner.read(part) for part in inner.namelist()]
    return contents
