"""Compare the gradients of laid-out networks with plain ones in float64.

    python layout_grid.py THREADS WIDTH...

In a process of its own: a wrong convolution may write beyond its memory and end the process.
"""

import itertools
import sys

import torch

from skhyperfusion.nn import FusionNetwork
from skhyperfusion.nn._fusions import FUSIONS
from skhyperfusion.nn._layout import lay_out, lay_out_images

SHAPES = {2: (17, 16), 3: (9, 8, 8)}
LARGE = (27, 26, 25)  # above MIN_VOXELS
ROWS = 3
# Less than that is rounding: relative to the largest gradient of a parameter, or of the image.
TOLERANCE = 2e-3


def gradients(network, image, table):
    """Outputs and the gradients of the image and of all parameters, in float64."""
    image = image.detach().requires_grad_()
    outputs = network(image, table if network.fusion.uses_table else None)
    direction = torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    named = dict(network.named_parameters())
    found = torch.autograd.grad(outputs, [image, *named.values()], direction, allow_unused=True)
    pairs = zip(["image", *named], found, strict=True)
    return {"outputs": outputs.double(), **{name: g.double() for name, g in pairs if g is not None}}


def compare(fusion, backbone, width, shape):
    """Names of the gradients that differ from those of the plain network without oneDNN."""
    torch.manual_seed(0)
    network = FusionNetwork(
        fusion=fusion, backbone=backbone, base_channels=width, spatial_shape=shape, dropout=0.0,
        in_channels=1, n_tabular_features=4, n_outputs=2,
    )  # fmt: skip
    image, table = torch.randn(ROWS, 1, *shape), torch.randn(ROWS, 4)
    network.initialize(torch.randn(20, 4))
    network.eval()  # whose normalisation magnifies no rounding
    laid_out = lay_out_images(image, last=lay_out(network))
    found = gradients(network, laid_out, table)
    with torch.backends.mkldnn.flags(enabled=False):
        wanted = gradients(network.double(), image.double(), table.double())
    assert found.keys() == wanted.keys()
    return [
        name
        for name, value in wanted.items()
        if not (found[name] - value).abs().max() <= TOLERANCE * value.abs().max()
    ]


def main(n_threads, *widths):
    """Go through the grid; end with the networks that differ."""
    torch.set_num_threads(n_threads)
    grid = [
        *itertools.product(FUSIONS, ("resnet", "vgg"), widths, SHAPES.values()),
        *itertools.product(("hyper", "film"), ("resnet", "vgg"), (8,), [LARGE]),
    ]
    grid = [case for case in grid if case[0] != "tabular"]
    wrong = {case: differing for case in grid if (differing := compare(*case))}
    print(f"{len(grid)} networks")
    sys.exit("\n".join(map(str, wrong.items())) or None)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
