"""Time a training step of the Alzheimer network against the same network as one would write it first.

    python benchmarks/training_step.py

Images of 64 x 96 x 64, F = 16, batches of 4 and 16. "plain": default memory layout, and the external
layer a loop over the samples. "ours": laid out as in `fit`, the external layer as it is, and freed memory
kept. A step is forward, backward and AdamW. Both sides take turns, each turn a process of its own: what one
side does to the memory must not help the other. The first steps, in which memory still grows, are not
counted. Beside it the share of the machine's peak, counted operations of a step by the fastest matrix
product, and how many times the peak memory of the plain side ours has.
"""

import argparse
import contextlib
import json
import statistics

import torch
from _report import told_by_process
from _speed import clock, fastest, parser, ratios, save, show, threads
from memory import peak_megabytes
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from skhyperfusion._engine._allocator import freed_memory_kept
from skhyperfusion.nn import ExternalLinear, FusionNetwork
from skhyperfusion.nn._externalize import ExternalLayer
from skhyperfusion.nn._hypernetwork import look_up
from skhyperfusion.nn._layout import lay_out, lay_out_images

WARM_UP, STEPS = 3, 3  # of a turn: not counted, and counted
DROPOUT = (0.1, 0.2, 0.2, 0.3, 0.6, 0.5)


class LoopedLayer(nn.Module):
    """An external layer as a loop over the samples: linear, or a 3-D convolution."""

    def __init__(self, external):
        super().__init__()
        self.slot = external.slot
        self.settings = (
            {} if isinstance(external.layer, ExternalLinear) else {"stride": external.layer.stride}
        )

    def forward(self, input):
        """Convolve sample after sample."""
        embedding, generator = look_up(self.slot)
        weight, bias = generator(embedding)
        biases = [None] * len(input) if bias is None else bias.unbind()
        triples = zip(input.split(1), weight.unbind(), biases, strict=True)
        function = F.conv3d if self.settings else F.linear
        return torch.cat([function(x, w, b, **self.settings) for x, w, b in triples])


def loop_over_samples(network):
    """Put a `LoopedLayer` in the place of every external layer."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, ExternalLayer):
                setattr(module, name, LoopedLayer(child))


def build(shape, base_channels, *, looped):
    """Return the network, its external layer looped or not, in torch's memory layout."""
    network = FusionNetwork(
        n_tabular_features=18, n_outputs=3, in_channels=1, spatial_shape=shape,
        base_channels=base_channels, dropout=DROPOUT, hyper_depth=1,
    )  # fmt: skip
    if looped:
        loop_over_samples(network)
    return network


class Step:
    """A training step on one batch."""

    def __init__(self, network, image, table, target):
        self.network, self.image, self.table, self.target = network, image, table, target
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def __call__(self):
        """Make the step."""
        self.optimizer.zero_grad()
        F.cross_entropy(self.network(self.image, self.table), self.target).backward()
        self.optimizer.step()


def count_operations(step):
    """Return the floating-point operations of convolutions and matrix products in a step."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def peak(n=1024, repeats=20):
    """Return the operations per second of the fastest of some matrix products."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    return 2 * n**3 / fastest(lambda: a @ b, repeats)


def steps_alone(side, batch, shape, base_channels):
    """Make steps in this process, and print the seconds of each but the first few."""
    image, table = torch.randn(batch, 1, *shape), torch.randn(batch, 18)
    network = build(shape, base_channels, looped=side == "plain")
    if side == "ours":
        image = lay_out_images(image, last=lay_out(network))
    step = Step(network, image, table, torch.randint(3, (batch,)))
    with freed_memory_kept() if side == "ours" else contextlib.nullcontext():
        seconds = [clock(step) for _ in range(WARM_UP + STEPS)][WARM_UP:]
    memory = peak_megabytes()
    operations = count_operations(step)
    print(json.dumps({"seconds": seconds, "operations": operations, "peak": peak(), "mb": memory}))


def measure(batch, repeats, quick, n_threads):
    """Time both sides with one batch size, each turn in a process of its own."""
    told = {"plain": [], "ours": []}
    for _ in range(repeats):
        for side, processes in told.items():
            options = ["--side", side, "--batch", batch, "--threads", n_threads]
            processes.append(told_by_process(__file__, *options, *["--quick"] * quick))
    seconds = {side: _median_seconds(processes) for side, processes in told.items()}
    fastest = max(process["peak"] for processes in told.values() for process in processes)
    operations = told["ours"][0]["operations"]
    return {
        "batch": batch,
        "plain_s": seconds["plain"][0],
        "ours_s": seconds["ours"][0],
        **ratios(seconds["plain"], seconds["ours"]),
        "gflop": operations / 1e9,
        "peak_gflops": fastest / 1e9,
        "share_of_peak": operations / seconds["ours"][0] / fastest,
        "times_memory": max(p["mb"] for p in told["ours"]) / max(p["mb"] for p in told["plain"]),
    }


def _median_seconds(processes):
    """Return the medians over the processes of their median steps: on the clock, and of the processor."""
    steps = [map(statistics.median, zip(*process["seconds"], strict=True)) for process in processes]
    return tuple(map(statistics.median, zip(*steps, strict=True)))


def main():
    """Time both batch sizes, print the table and save it."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--side", choices=["plain", "ours"], help=argparse.SUPPRESS)
    arguments.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    arguments = arguments.parse_args()
    shape, base_channels = ((32, 48, 32), 8) if arguments.quick else ((64, 96, 64), 16)
    if arguments.side:
        torch.manual_seed(arguments.seed)
        with threads(arguments.threads):
            steps_alone(arguments.side, arguments.batch, shape, base_channels)
        return
    repeats = 2 if arguments.quick else arguments.repeats
    rows = [measure(batch, repeats, arguments.quick, arguments.threads) for batch in (4, 16)]
    show(f"Training step, {shape}, F = {base_channels}", rows)
    save(arguments, "training_step", rows)


if __name__ == "__main__":
    main()
