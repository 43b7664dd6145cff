"""Measure what external layers cost: parameters, and CPU seconds of a training step.

    python benchmarks/external_layers.py

The default network on random images, with one choice of external layers after the other. A step is forward,
backward and Adam on one batch. The choices take turns, and each shows its fastest step in CPU time (of all
threads together), which other work on the machine disturbs least.
"""

import argparse
import time

import pandas as pd
import torch

from skhyperfusion.nn import FusionNetwork

CHOICES = {
    "none (fusion='image')": None,
    "head.output": "head.output",
    "head.*": "head.*",
    "backbone.block4.shortcut.conv (default)": "backbone.block4.shortcut.conv",
    "backbone.block4.conv1": "backbone.block4.conv1",
    "backbone.block4.*": "backbone.block4.*",
    "backbone.block1.*": "backbone.block1.*",
    "backbone.stem.conv": "backbone.stem.conv",
    "*": "*",
}


class Trainee:
    """A network with random data, which can make a training step."""

    def __init__(self, layers, arguments):
        torch.manual_seed(arguments.seed)
        shape = (arguments.side,) * 3
        self.network = FusionNetwork(
            fusion="image" if layers is None else "hyper",
            external_layers=layers,
            n_tabular_features=arguments.features,
            hyper_depth=0,
            n_outputs=1,
            in_channels=1,
            spatial_shape=shape,
            base_channels=arguments.base_channels,
        )
        self.image = torch.randn(arguments.batch, 1, *shape)
        self.table = torch.randn(arguments.batch, arguments.features)
        self.network.initialize(self.table)
        self.optimizer = torch.optim.Adam(self.network.parameters(), fused=True)

    def step(self):
        """Make a training step; return its CPU seconds."""
        start = time.process_time()
        self.optimizer.zero_grad()
        self.network(self.image, self.table).square().mean().backward()
        self.optimizer.step()
        return time.process_time() - start

    def sizes(self):
        """Parameters of the whole, and of the weight generators."""
        total = sum(p.numel() for p in self.network.parameters())
        hypernetwork = getattr(self.network.fusion, "hypernetwork", None)
        generators = [] if hypernetwork is None else hypernetwork.generators.parameters()
        return {"parameters": total, "in generators": sum(p.numel() for p in generators)}


def main():
    """Time all choices, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--side", type=int, default=32, help="voxels of an image's side")
    arguments.add_argument("--batch", type=int, default=16)
    arguments.add_argument("--base-channels", type=int, default=16)
    arguments.add_argument("--features", type=int, default=8, help="columns of the encoded table")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments = arguments.parse_args()
    trainees = {name: Trainee(layers, arguments) for name, layers in CHOICES.items()}
    seconds = {name: [] for name in trainees}
    for i in range(arguments.rounds + 1):
        for name, trainee in trainees.items():
            taken = trainee.step()
            if i:  # the first is a warm-up
                seconds[name].append(taken)
    table = pd.DataFrame({name: trainee.sizes() for name, trainee in trainees.items()}).T
    table["seconds"] = [min(seconds[name]) for name in table.index]
    table["times"] = table["seconds"] / table["seconds"].iloc[0]
    print(f"side {arguments.side}, batch {arguments.batch}, {torch.get_num_threads()} threads")
    print(table.round({"seconds": 3, "times": 2}).to_string())


if __name__ == "__main__":
    main()
