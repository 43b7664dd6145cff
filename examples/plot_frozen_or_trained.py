"""
Frozen, fine-tuned, or from nothing?
====================================

A small study need not teach a network to see. Here one hospital has 400 pictures and shares the weights of a
network that was trained on them; another has 60 pictures and a table. Three ways to use the weights stand
beside a network that starts from nothing.
"""

# %%
# The weights that were shared
# ----------------------------
# The first hospital's network reads the picture alone, and predicts the head's size in pixels, for which it
# needs no table. Its backbone's weights are a file of tensors: no code, no rows.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from skhyperfusion import HyperFusionRegressor, TabularPreprocessor
from skhyperfusion.backbones import from_state_dict
from skhyperfusion.datasets import make_head_pictures
from skhyperfusion.features import ImageFeatures
from skhyperfusion.model_selection import compare_estimators
from skhyperfusion.nn import FusionNetwork

plt.style.use("tableau-colorblind10")
large = make_head_pictures(400, shape=(32, 40), random_state=1)
teacher = HyperFusionRegressor(fusion="image", base_channels=4, max_epochs=10, random_state=0)
teacher.fit(large.data, large.truth["circumference_pixels"])
weights = Path(tempfile.mkdtemp()) / "backbone.pt"
torch.save(teacher.module_.backbone.state_dict(), weights)


# %%
# What makes the network that the weights belong to. In earnest this is the class of a published network, and
# ``timm_backbone`` or ``monai_backbone`` makes it.


def network(in_channels, spatial_dims):
    """Make the backbone that the first hospital trained."""
    whole = FusionNetwork(
        n_tabular_features=1,
        n_outputs=1,
        in_channels=in_channels,
        spatial_shape=(32, 40),
        base_channels=4,
        fusion="image",
    )
    return whole.backbone


pretrained = from_state_dict(network, weights)

# %%
# Four ways
# ---------
# Frozen, the network's output for a picture is computed once and kept for all epochs and folds, so the
# pictures are not shifted while training. Fine-tuned, it learns at a tenth of the head's rate.

settings = {"base_channels": 4, "max_epochs": 15, "random_state": 0}
features = ImageFeatures(pretrained)
methods = {
    "from nothing": HyperFusionRegressor(**settings),
    "fine-tuned": HyperFusionRegressor(backbone=pretrained, backbone_lr_scale=0.1, **settings),
    "frozen, hyper head": HyperFusionRegressor(
        backbone=pretrained,
        frozen_layers="backbone.*",
        external_layers=["head.*"],
        augmentation=None,
        **settings,
    ),
    "frozen, ridge": make_pipeline(features, TabularPreprocessor(), RidgeCV(scoring="r2")),
}
cohort = make_head_pictures(60, shape=(32, 40), random_state=0)
X, y = cohort.data, cohort.target
folds = KFold(4, shuffle=True, random_state=0)
comparison = compare_estimators(methods, X, y, cv=folds, scoring="neg_mean_absolute_error")
comparison.table()[["mean", "sd", "p_corrected_t", "fit_seconds"]].round(2)

# %%

comparison.plot()
plt.show()

# %%
# Weights from other pictures of the same kind are the best that a small study can get; weights from everyday
# photographs are further away. Which way wins depends on how far: the frozen network with a ridge regression
# is the one to beat, since it has nothing to tune.
