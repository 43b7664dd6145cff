"""What each fusion can learn: a class that neither side tells alone.

The sign of the image's mean times the sign of the table's one value. Whoever sees one side only guesses. A
mean of what each side says for itself, as "late" is by design (`test_late.py`), gives the right class a
probability of one half on average over the four cases: no such mean has a lower loss than a guess.
"""

import pytest
import torch
from torch import nn

from skhyperfusion.nn import FusionNetwork
from skhyperfusion.nn._fusions import FUSIONS

LEARN_IT = [name for name in FUSIONS if name not in ("late", "image", "tabular")]


def _rows(n_rows, generator):
    """Balanced over the four cases, and not too near to zero."""
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).repeat(n_rows // 4, 1)
    size = 0.5 + torch.rand(n_rows, 2, generator=generator)
    mean, value = (signs * size).unbind(1)
    noise = torch.randn(n_rows, 1, 4, 4, generator=generator)
    image = mean[:, None, None, None] + noise - noise.mean((2, 3), keepdim=True)
    return image, value[:, None], (signs.prod(1) > 0).long()


def _backbone(in_channels, spatial_dims):
    return nn.Sequential(nn.Conv2d(in_channels, 8, 4), nn.ReLU())


def _accuracy(fusion):
    """Train for 100 full batches, and score rows that are new."""
    generator = torch.Generator().manual_seed(0)
    image, tabular, target = _rows(128, generator)
    net = FusionNetwork(
        backbone=_backbone, fusion=fusion, task="classification", n_outputs=2, n_tabular_features=1,
        in_channels=1, spatial_shape=(4, 4), dropout=0.0,
    ).initialize(tabular)  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(image, tabular), target).backward()
        optimizer.step()
    image, tabular, target = _rows(400, generator)
    with torch.no_grad():
        return (net.eval()(image, tabular).argmax(1) == target).double().mean().item()


@pytest.mark.parametrize("fusion", LEARN_IT)
def test_fusion_learns_what_needs_both_sides(fusion):
    assert _accuracy(fusion) > 0.95


@pytest.mark.parametrize("fusion", ["late", "image", "tabular"])
def test_without_an_interaction_it_stays_a_guess(fusion):
    assert _accuracy(fusion) < 0.65
