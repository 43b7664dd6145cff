"""Passes through memory that autograd would make in several: written as functions of their own."""

import torch
from torch.autograd.function import once_differentiable

# Values of generated weights that are held at a time (16 MiB in float32): small enough for the cache, and
# for the C library to hand the same memory out again instead of asking the system for fresh pages.
CHUNK = 1 << 22


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
    """Convolve each sample with ``sum_k e_k basis_k + constant``, some samples' weights at a time.

    The weights of a chunk of samples are made, used and dropped, and made again for the gradient. Where all
    samples' weights together are larger than the caches, this saves more than the second making costs.

    Shapes
    ------
    - image : (B, C_in, *S);  embedding : (B, E)
    - basis : (E, C_out, C_in / groups, *K);  constant : (C_out, C_in / groups, *K)
    - output : (B, C_out, *S_out)
    """

    @staticmethod
    def forward(ctx, image, embedding, basis, constant, settings):
        """Return the output; `settings` are stride, padding, dilation and groups."""
        ctx.save_for_backward(image, embedding, basis, constant)
        ctx.settings = _arguments(settings)
        out = []
        for rows, weights in _chunks(embedding, basis, constant):
            for i, weight in zip(rows, weights, strict=True):
                out.append(torch.ops.aten.convolution(image[i : i + 1], weight, None, *ctx.settings))
        return torch.cat(out)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Return the gradients of image, embedding, basis and constant."""
        image, embedding, basis, constant = ctx.saved_tensors
        flat, shape = basis.flatten(1), constant.shape
        of_image, of_embedding = [], []
        of_basis, of_constant = torch.zeros_like(flat), torch.zeros_like(constant).flatten()
        for rows, weights in _chunks(embedding, basis, constant):
            for i, weight in zip(rows, weights, strict=True):
                part, of_weight, _ = torch.ops.aten.convolution_backward(
                    gradient[i : i + 1], image[i : i + 1], weight, None, *ctx.settings,
                    [ctx.needs_input_grad[0], True, False],
                )  # fmt: skip
                of_image.append(part)
                weight.copy_(of_weight)  # the weight has served: its place takes the gradient
            chunk = weights.flatten(1)
            of_basis.addmm_(embedding[rows.start : rows.stop].mT, chunk)
            of_constant += chunk.sum(0)
            of_embedding.append(chunk @ flat.mT)
        of_image = torch.cat(of_image) if ctx.needs_input_grad[0] else None
        return of_image, torch.cat(of_embedding), of_basis.view_as(basis), of_constant.view(shape), None


def _chunks(embedding, basis, constant):
    """Yield the rows of each chunk of samples, as a range, and their weights (n, *weight shape)."""
    size = max(1, CHUNK // constant.numel())
    for start in range(0, len(embedding), size):
        rows = range(start, min(start + size, len(embedding)))
        part = embedding[rows.start : rows.stop]
        yield rows, torch.addmm(constant.flatten(), part, basis.flatten(1)).unflatten(1, constant.shape)


def _arguments(settings):
    stride = settings["stride"]
    no_output_padding = (0,) * len(stride)
    return (stride, settings["padding"], settings["dilation"], False, no_output_padding, settings["groups"])
