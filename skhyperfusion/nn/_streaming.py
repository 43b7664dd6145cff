"""Passes through memory that autograd would make in several: written as functions of their own."""

import itertools
import math

import torch
from torch.autograd.function import once_differentiable

# Values of generated weights that are held at a time (1 MiB in float32): what stays in a core's own cache.
CHUNK = 1 << 18


class Subsample(torch.autograd.Function):
    """Every `step`-th position of each spatial axis; the gradient is written in one pass, not one an axis."""

    @staticmethod
    def forward(ctx, image, steps):
        """Return the positions as a contiguous tensor."""
        ctx.shape, ctx.where = image.shape, (..., *(slice(None, None, step) for step in steps))
        return image[ctx.where].contiguous()

    @staticmethod
    def backward(ctx, gradient):
        """Put the gradient back into its places."""
        whole = gradient.new_zeros(ctx.shape)
        whole[ctx.where] = gradient
        return whole, None


class StreamedConv(torch.autograd.Function):
    """Convolve each sample with ``sum_k e_k basis_k + constant``, a few weights at a time.

    At one position of the kernel after the other, the weights of some samples are made in the cache,
    multiplied with what the kernel sees there, and dropped. The gradient makes them again, and goes from
    the cache into that of basis and constant. No sample's whole weights are ever in memory.

    Shapes
    ------
    - image : (B, C_in, *S);  embedding : (B, E)
    - basis : (E, C_out, C_in / groups, *K);  constant : (C_out, C_in / groups, *K)
    - output : (B, C_out, *S_out)
    """

    @staticmethod
    def forward(ctx, image, embedding, basis, constant, settings):
        """Return the output; `settings` are stride, padding, dilation and groups."""
        ctx.walk = walk = _Walk(image, constant, settings)
        framed, taps = walk.framed(image), _position_first(basis, constant)
        # A last component of 1 stands for the constant.
        coordinates = torch.cat([embedding, embedding.new_ones(len(embedding), 1)], 1)
        out = image.new_zeros(len(image), *walk.matrix[:2], math.prod(walk.sizes))
        for position, rows, where, weights, seen in walk:
            torch.mm(coordinates[rows], taps[:, position], out=weights)
            seen.copy_(framed[where])
            out[rows].flatten(0, 1).baddbmm_(walk.matrices(weights), walk.columns(seen).mT)
        ctx.save_for_backward(framed, coordinates, taps)
        return out.reshape(len(image), -1, *walk.sizes)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Return the gradients of image, embedding, basis and constant."""
        framed, coordinates, taps = ctx.saved_tensors
        walk, needs_image = ctx.walk, ctx.needs_input_grad[0]
        gradient = gradient.reshape(len(framed), *walk.matrix[:2], -1)
        of_framed = torch.zeros_like(framed) if needs_image else None
        of_coordinates, of_taps = torch.zeros_like(coordinates), torch.empty_like(taps)
        for position, rows, where, weights, seen in walk:
            of_out = gradient[rows].flatten(0, 1)
            if needs_image:
                torch.mm(coordinates[rows], taps[:, position], out=weights)
                torch.bmm(of_out.mT, walk.matrices(weights), out=walk.columns(seen))
                of_framed[where] += seen
            seen.copy_(framed[where])
            torch.bmm(of_out, walk.columns(seen), out=walk.matrices(weights))  # now their gradient
            first = rows.start == 0
            of_taps[:, position].addmm_(coordinates[rows].mT, weights, beta=0 if first else 1)
            of_coordinates[rows].addmm_(weights, taps[:, position].mT)
        of_basis, of_constant = _position_last(of_taps, walk.weight_shape)
        of_image = walk.unframed(of_framed) if needs_image else None
        return of_image, of_coordinates[:, :-1], of_basis, of_constant, None


class _Walk:
    """The way of a kernel over images, position by position and some samples at a time.

    Yields the kernel's position as a number, the samples as a slice, the places in the framed images that
    the kernel sees there, and memory for these samples' weights (n, O * I) and views (n, G, *S_out, I).
    """

    def __init__(self, image, constant, settings):
        self.n_samples, self.dtype, self.device = len(image), image.dtype, image.device
        self.weight_shape, self.kernel = constant.shape, constant.shape[2:]
        self.groups, self.padding = settings["groups"], settings["padding"]
        self.steps, self.rates = settings["stride"], settings["dilation"]
        self.matrix = (self.groups, constant.shape[0] // self.groups, constant.shape[1])
        self.framed_sizes = tuple(
            size + 2 * width for size, width in zip(image.shape[2:], self.padding, strict=True)
        )
        spans = zip(self.framed_sizes, self.kernel, self.steps, self.rates, strict=True)
        self.sizes = tuple((size - rate * (k - 1) - 1) // step + 1 for size, k, step, rate in spans)

    def __iter__(self):
        n = min(self.n_samples, max(1, CHUNK // math.prod(self.matrix)))
        like = {"dtype": self.dtype, "device": self.device}
        weights = torch.empty(n, math.prod(self.matrix), **like)
        seen = torch.empty(n, self.groups, *self.sizes, self.matrix[2], **like)
        for position, offsets in enumerate(itertools.product(*map(range, self.kernel))):
            axes = zip(offsets, self.rates, self.steps, self.sizes, strict=True)
            places = [slice(o * rate, o * rate + step * size, step) for o, rate, step, size in axes]
            for start in range(0, self.n_samples, n):
                rows = slice(start, min(start + n, self.n_samples))
                length = rows.stop - start
                yield position, rows, (rows, slice(None), *places), weights[:length], seen[:length]

    def matrices(self, weights):
        """Return the weights of samples as a matrix (O, I) for each sample and group."""
        return weights.view(-1, *self.matrix[1:])

    def columns(self, seen):
        """Return what the kernel sees as a matrix (positions, I) for each sample and group."""
        return seen.view(-1, math.prod(self.sizes), self.matrix[2])

    def framed(self, image):
        """Return the images with their padding, and the channels of a group last."""
        framed = image.new_zeros(len(image), self.groups, *self.framed_sizes, self.matrix[2])
        framed[self._inside()] = self._channels_last(image)
        return framed

    def unframed(self, framed):
        """Return images without padding, and the channels first."""
        return framed[self._inside()].movedim(-1, 2).flatten(1, 2)

    def _channels_last(self, image):
        return image.unflatten(1, (self.groups, -1)).movedim(2, -1)

    def _inside(self):
        widths = zip(self.padding, self.framed_sizes, strict=True)
        return (..., *(slice(width, size - width) for width, size in widths), slice(None))


def _position_first(basis, constant):
    """Return basis and constant, with the kernel's positions in front: (E + 1, K, O * I)."""
    n_positions = math.prod(constant.shape[2:])
    taps = basis.new_empty(len(basis) + 1, n_positions, constant.numel() // n_positions)
    # Matrix by matrix: torch transposes those in blocks, which is several times faster.
    for tap, weight in zip(taps, [*basis, constant], strict=True):
        tap.copy_(weight.reshape(-1, n_positions).t())
    return taps


def _position_last(taps, shape):
    """Return basis and constant from `taps`: the way back from `_position_first`."""
    weights = taps.new_empty(len(taps), *shape)
    for tap, weight in zip(taps, weights.flatten(3).flatten(1, 2), strict=True):
        weight.copy_(tap.t())
    return weights[:-1], weights[-1]
