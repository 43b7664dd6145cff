"""Time a training step of the Alzheimer network against the same network as one would write it first.

    python benchmarks/training_step.py

Images of 64 x 96 x 64, F = 16, batches of 4 and 16. "plain": default memory layout, and the external layer a
loop over the samples. "ours": channels last, and the external layer as it is. A step is forward, backward and
AdamW. Beside it the share of the machine's peak: counted operations of a step by the fastest matrix product.
"""

import time

import torch
from _speed import parser, save, show, take_turns, threads
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from skhyperfusion._inference import lay_out
from skhyperfusion.nn import ExternalLinear, FusionNetwork
from skhyperfusion.nn._externalize import ExternalLayer
from skhyperfusion.nn._hypernetwork import look_up

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
    """Return the network, its external layer looped or not."""
    network = FusionNetwork(
        n_tabular_features=18, n_outputs=3, in_channels=1, spatial_shape=shape,
        base_channels=base_channels, dropout=DROPOUT,
    )  # fmt: skip
    if looped:
        loop_over_samples(network)
    else:
        lay_out(network)
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
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / min(seconds)


def measure(shape, base_channels, batch, repeats):
    """Time both networks with one batch size."""
    image, table = torch.randn(batch, 1, *shape), torch.randn(batch, 18)
    target = torch.randint(3, (batch,))
    plain = Step(build(shape, base_channels, looped=True), image, table, target)
    last = image.contiguous(memory_format=torch.channels_last_3d)
    ours = Step(build(shape, base_channels, looped=False), last, table, target)
    medians = take_turns({"plain": plain, "ours": ours}, repeats)
    operations, fastest = count_operations(ours), peak()
    return {
        "batch": batch,
        "plain_s": medians["plain"][0],
        "ours_s": medians["ours"][0],
        "times": medians["plain"][0] / medians["ours"][0],
        "times_processor": medians["plain"][1] / medians["ours"][1],
        "gflop": operations / 1e9,
        "peak_gflops": fastest / 1e9,
        "share_of_peak": operations / medians["ours"][0] / fastest,
    }


def main():
    """Time both batch sizes, print the table and save it."""
    arguments = parser(__doc__.splitlines()[0]).parse_args()
    torch.manual_seed(arguments.seed)
    shape, base_channels = ((32, 48, 32), 8) if arguments.quick else ((64, 96, 64), 16)
    repeats = 1 if arguments.quick else arguments.repeats
    with threads(arguments.threads):
        rows = [measure(shape, base_channels, batch, repeats) for batch in (4, 16)]
    show(f"Training step, {shape}, F = {base_channels}", rows)
    save(arguments, "training_step", rows)


if __name__ == "__main__":
    main()
