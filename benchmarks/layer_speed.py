"""Time external layers against a loop over the samples.

    python benchmarks/layer_speed.py

From the embedding and the images to the outputs, and back to the gradients of both and of the generator.
The loop is an honest one: all weights in one product, then torch's own layer on one sample after the
other, by ``unbind`` and ``split``, whose gradients are written once. Both sides take turns of a tenth of a
second, and keep freed memory as `fit` does; medians.

"floor" is what a layer with a weight for each sample cannot go below: torch's layer with one weight for
the whole batch, in the faster of its memory formats, and beside it the generation of every sample's
weights (not of the linear layer's, which need not be built), with the gradients of both.
"""

import functools
import math

import torch
from _speed import parser, ratios, save, show, take_turns, threads
from torch.nn import functional as F

from skhyperfusion._engine._allocator import freed_memory_kept
from skhyperfusion.nn import externalize

# name: (input, weight, stride, embedding_dim); the six of the paper's tasks, and a layer for pictures.
LAYERS = {
    "conv 1x1x1 /2, 128 -> 256, 8x12x8": ((16, 128, 8, 12, 8), (256, 128, 1, 1, 1), 2, 8),
    "conv 3x3x3, 32 -> 32, 16x16x16": ((16, 32, 16, 16, 16), (32, 32, 3, 3, 3), 1, 8),
    "conv 3x3x3, 16 -> 32, 24x24x24": ((16, 16, 24, 24, 24), (32, 16, 3, 3, 3), 1, 8),
    "conv 3x3x3 /2, 64 -> 128, 16x24x16": ((8, 64, 16, 24, 16), (128, 64, 3, 3, 3), 2, 8),
    "conv 3x3x3 /2, 128 -> 256, 8x12x8": ((16, 128, 8, 12, 8), (256, 128, 3, 3, 3), 2, 8),
    "linear 39424 -> 16": ((16, 39424), (16, 39424), None, 1),
    "conv 3x3, 64 -> 64, 14x14": ((32, 64, 14, 14), (64, 64, 3, 3), 1, 8),
}
CONV = {4: F.conv2d, 5: F.conv3d}
LAST = {2: torch.contiguous_format, 4: torch.channels_last, 5: torch.channels_last_3d}
MODULE = {4: torch.nn.Conv2d, 5: torch.nn.Conv3d}
TURN = 0.1  # seconds


class Layer:
    """One layer's input and generator, and the two ways to apply it."""

    def __init__(self, input_shape, weight_shape, stride, embedding_dim):
        n_out, n_in, *kernel = weight_shape
        self.is_linear = stride is None
        if self.is_linear:
            self.plain, layer = F.linear, torch.nn.Linear(n_in, n_out)
        else:
            settings = {"stride": stride, "padding": kernel[0] // 2}
            self.plain = functools.partial(CONV[len(input_shape)], **settings)
            layer = MODULE[len(input_shape)](n_in, n_out, kernel, **settings)
        self.input = torch.randn(input_shape, requires_grad=True)
        self.table = torch.randn(input_shape[0], embedding_dim, requires_grad=True)
        self.network = torch.nn.Sequential(layer)
        # Depth 0: the table is the embedding.
        self.hypernetwork = externalize(self.network, "0", n_tabular_features=embedding_dim, depth=0)
        self.generator = self.hypernetwork.generators[0]
        self.direction = torch.randn_like(self.loop())

    def loop(self):
        """Apply torch's layer to one sample after the other."""
        triples = zip(
            self.input.split(1), *(part.unbind() for part in self.generator(self.table)), strict=True
        )
        return torch.cat([self.plain(*triple) for triple in triples])

    def external(self):
        """Apply the external layer as a fusion network does."""
        with self.hypernetwork.supply(self.table):
            return self.network(self.input)

    def step(self, way):
        """Go forward and backward."""
        sources = [self.input, self.table, *self.generator.parameters()]
        torch.autograd.grad(way(), sources, self.direction)

    def floor(self, memory_format):
        """Return a step of torch's layer with one weight for all, and of the generator."""
        with torch.no_grad():
            made = self.generator(self.table)
            weight, bias = (part[0].clone() for part in made)
        image = self.input.detach().contiguous(memory_format=memory_format)
        sources = [part.requires_grad_() for part in (image, weight, bias)]
        direction = self.direction.contiguous(memory_format=memory_format)

        def step():
            torch.autograd.grad(self.plain(*sources), sources, direction)
            if not self.is_linear:
                torch.autograd.grad(
                    self.generator(self.table), [self.table, *self.generator.parameters()], made
                )

        return step


def measure(repeats):
    """Time every layer; return one row of figures each."""
    rows = []
    for name, (input_shape, *sizes) in LAYERS.items():
        layer = Layer(input_shape, *sizes)
        torch.testing.assert_close(layer.loop(), layer.external(), rtol=1e-3, atol=1e-3)
        ways = {"loop": lambda: layer.step(layer.loop), "external": lambda: layer.step(layer.external)}  # noqa: B023
        formats = (torch.contiguous_format, LAST[layer.input.ndim])
        floors = {format: layer.floor(format) for format in formats}
        medians = take_turns(ways | floors, repeats, least=TURN)
        loop, external = medians["loop"], medians["external"]
        floor = min(medians[format][0] for format in floors)
        rows.append(
            {
                "layer": f"{name}, batch {input_shape[0]}",
                "loop_ms": 1e3 * loop[0],
                "external_ms": 1e3 * external[0],
                "floor_ms": 1e3 * floor,
                **ratios(loop, external),
                "times_of_floor": loop[0] / floor,
            }
        )
    return rows


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def main():
    """Time the layers, print the table and save it."""
    arguments = parser(__doc__.splitlines()[0]).parse_args()
    torch.manual_seed(arguments.seed)
    with threads(arguments.threads), freed_memory_kept():
        rows = measure(2 if arguments.quick else arguments.repeats)
    show("External layers, forward and backward", rows)
    means = {key: geometric_mean([row[key] for row in rows]) for key in rows[0] if key.startswith("times")}
    print("geometric means: " + ", ".join(f"{key} {value:.2f}" for key, value in means.items()))
    save(arguments, "layer_speed", rows, geometric_mean=means)


if __name__ == "__main__":
    main()
