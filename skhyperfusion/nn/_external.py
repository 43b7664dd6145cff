"""Layers whose weights arrive with each sample."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from skhyperfusion.nn._layout import lay_out_images

# On a CPU: bytes of images, weights and outputs that one call of torch's convolution is given. With more they
# leave the caches, and each call asks the system for fresh memory.
CALL_BYTES = 8 << 20

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _check_rows(name, input, weight, bias):
    rows = input.shape[0]
    if weight.shape[0] != rows or (bias is not None and bias.shape[0] != rows):
        raise ValueError(
            f"{name}: each sample needs weights of its own. Got input of shape {tuple(input.shape)}, "
            f"weight {tuple(weight.shape)} and bias {None if bias is None else tuple(bias.shape)}; "
            f"the first axes must agree."
        )


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


class ExternalLinear(nn.Module):
    """Linear layer whose weight and bias arrive with each sample.

    Holds no parameters of its own: they are external, made by a hypernetwork.

    Shapes
    ------
    - input : (B, *M, I);  weight : (B, O, I);  bias : (B, O)
    - output : (B, *M, O)

    Examples
    --------
    >>> linear = ExternalLinear()
    >>> linear(torch.ones(5, 3), torch.ones(5, 2, 3), torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    def forward(
        self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Apply sample i's `weight` and `bias` to sample i's `input`."""
        _check_rows("ExternalLinear", input, weight, bias)
        if weight.ndim != 3 or input.ndim < 2 or input.shape[-1] != weight.shape[2]:
            raise ValueError(
                f"ExternalLinear: input (B, *M, I) and weight (B, O, I) must share I. "
                f"Got {tuple(input.shape)} and {tuple(weight.shape)}."
            )
        flat = input.reshape(input.shape[0], -1, input.shape[-1])  # (B, M, I)
        out = torch.bmm(flat, weight.mT) if bias is None else torch.baddbmm(bias[:, None], flat, weight.mT)
        return out.reshape(*input.shape[:-1], weight.shape[1])

    def from_basis(
        self,
        input: torch.Tensor,
        embedding: torch.Tensor,
        weight_basis: torch.Tensor,
        weight_constant: torch.Tensor,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Apply ``weight = sum_k e_k weight_basis_k + weight_constant`` without ever building it.

        Shapes
        ------
        - input : (B, *M, I);  embedding : (B, E)
        - weight_basis : (E, O, I);  weight_constant : (O, I);  bias : (B, O)
        - output : (B, *M, O)
        """
        n_basis, n_out, _ = weight_basis.shape
        parts = F.linear(input, weight_basis.flatten(0, 1)).unflatten(-1, (n_basis, n_out))
        # (B, *M, E, O) summed over E with sample i's embedding.
        middle = (1,) * (input.ndim - 2)
        coordinates = embedding.reshape(embedding.shape[0], *middle, 1, n_basis)
        out = torch.matmul(coordinates.to(parts.dtype), parts).squeeze(-2)
        out = out + F.linear(input, weight_constant)
        return out if bias is None else out + bias.reshape(bias.shape[0], *middle, n_out)

    def prefers_basis(self, input: torch.Tensor, embedding_dim: int) -> bool:
        """Return whether the basis way is the cheaper one.

        Both ways multiply equally often for one vector a sample; the basis way stores E x O numbers
        a sample where the weights are I x O. With more vectors a sample (tokens), building the
        weights once is cheaper.
        """
        n_vectors = math.prod(input.shape[1:-1])
        return n_vectors == 1 and embedding_dim < input.shape[-1]

    def is_product(self, weight_shape: Sequence[int]) -> bool:
        """Return True: a matrix product, whose rounding depends on the rows beside one."""
        return True


class ExternalConv(nn.Module):
    """Convolution whose kernel and bias arrive with each sample.

    Holds no parameters of its own: they are external, made by a hypernetwork.

    A kernel of one voxel without padding is a subsampling and a batched matrix product. Any other is a
    convolution with a group for each sample: of all samples at once, or on a CPU of as many as fit in the
    caches, two at least. ``benchmarks/layer_speed.py`` times the ways.

    Parameters
    ----------
    spatial_dims : {1, 2, 3}
    stride : int or sequence of int, default=1
    padding : int, sequence of int, 'same' or 'valid', default=0
    dilation : int or sequence of int, default=1
    groups : int, default=1
    padding_mode : {'zeros', 'reflect', 'replicate', 'circular'}, default='zeros'

    Shapes
    ------
    - image : (B, C_in, *S);  weight : (B, C_out, C_in / groups, *K);  bias : (B, C_out)
    - output : (B, C_out, *S_out)

    Examples
    --------
    >>> conv = ExternalConv(spatial_dims=2, padding=1)
    >>> conv(torch.ones(5, 1, 8, 8), torch.ones(5, 4, 1, 3, 3), torch.zeros(5, 4)).shape
    torch.Size([5, 4, 8, 8])
    """

    def __init__(
        self,
        *,
        spatial_dims: Literal[1, 2, 3],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | Literal["same", "valid"] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
    ) -> None:
        super().__init__()
        if spatial_dims not in _CONV:
            raise ValueError(f"'spatial_dims' must be 1, 2 or 3. Got {spatial_dims!r} instead.")
        modes = ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(f"'padding_mode' must be one of {modes}. Got {padding_mode!r} instead.")
        self.spatial_dims = spatial_dims
        self.stride = self._per_axis("stride", stride)
        self.dilation = self._per_axis("dilation", dilation)
        self.groups = groups
        self.padding_mode = padding_mode
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"'padding' must be numbers, 'same' or 'valid'. Got {padding!r} instead.")
            if padding == "same" and any(step != 1 for step in self.stride):
                raise ValueError("padding='same' needs stride=1, as in torch.")
            self.padding = (0,) * spatial_dims if padding == "valid" else padding
        else:
            self.padding = self._per_axis("padding", padding)

    def _per_axis(self, name, value):
        values = (value,) * self.spatial_dims if isinstance(value, int) else tuple(value)
        if len(values) != self.spatial_dims:
            raise ValueError(f"{name!r} must have one number per axis ({self.spatial_dims}). Got {value!r}.")
        return values

    def forward(
        self, image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Convolve sample i's `image` with sample i's `weight`, and add its `bias`."""
        self._check(image, weight, bias)
        image, padding = self._pad(image, weight.shape[3:])
        if self.is_product(weight.shape[1:]):
            return self._as_matmul(image, weight, bias)
        sizes = self._samples_per_call(image, weight)
        if len(sizes) == 1:
            return self._grouped(image, weight, bias, padding)
        biases = [None] * len(sizes) if bias is None else bias.split(sizes)
        parts = zip(image.split(sizes), weight.split(sizes), biases, strict=True)
        return torch.cat([self._grouped(*part, padding) for part in parts])

    def _samples_per_call(self, image, weight):
        """Divide the batch evenly among calls of some `CALL_BYTES`; nowhere else than on a CPU.

        Never a sample by itself: torch hands small images to its fast convolution only from two groups up.
        """
        n_samples = image.shape[0]
        if image.device.type != "cpu" or torch.compiler.is_compiling():
            return [n_samples]
        shape = [math.ceil(size / step) for size, step in zip(image.shape[2:], self.stride, strict=True)]
        values = math.prod(image.shape[1:]) + math.prod(weight.shape[1:]) + weight.shape[1] * math.prod(shape)
        n_at_a_time = max(2, CALL_BYTES // (values * image.element_size()))
        n_calls = max(1, min(math.ceil(n_samples / n_at_a_time), n_samples // 2))
        size, rest = divmod(n_samples, n_calls)
        return [size + 1] * rest + [size] * (n_calls - rest)

    def _grouped(self, image, weight, bias, padding):
        n_samples = image.shape[0]
        # One group per sample, (B, C, *S) -> (1, B*C, *S): they cost one call. Plainly laid out, whatever
        # comes: how torch runs so many groups in other formats is not known to be right.
        out = _CONV[self.spatial_dims](
            lay_out_images(image.flatten(0, 1)[None]),
            lay_out_images(weight.flatten(0, 1)),
            None if bias is None else bias.flatten(),
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=n_samples * self.groups,
        )
        return out[0].unflatten(0, (n_samples, -1))  # -> (B, C_out, *S_out)

    def from_basis(
        self,
        image: torch.Tensor,
        embedding: torch.Tensor,
        weight_basis: torch.Tensor,
        weight_constant: torch.Tensor,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Convolve with ``sum_k e_k weight_basis_k + weight_constant`` without building it per sample.

        Shapes
        ------
        - image : (B, C_in, *S);  embedding : (B, E);  bias : (B, C_out)
        - weight_basis : (E, C_out, C_in / groups, *K);  weight_constant : (C_out, C_in / groups, *K)
        - output : (B, C_out, *S_out)
        """
        image, padding = self._pad(image, weight_constant.shape[2:])
        image, weight_constant = lay_out_images(image), lay_out_images(weight_constant)
        settings = {"stride": self.stride, "padding": padding, "dilation": self.dilation}
        settings["groups"] = self.groups
        conv = _CONV[self.spatial_dims]
        n_basis = weight_basis.shape[0]
        # Torch wants a group's output channels side by side: (E, G*O, ...) -> (G, E, O, ...).
        stacked = weight_basis.unflatten(1, (self.groups, -1)).transpose(0, 1).flatten(0, 2)
        parts = conv(image, lay_out_images(stacked), **settings)
        parts = parts.unflatten(1, (self.groups, n_basis, -1))  # (B, G, E, O, *S_out)
        coordinates = embedding.to(parts.dtype).reshape(-1, 1, n_basis, 1, *(1,) * self.spatial_dims)
        out = (parts * coordinates).sum(2).flatten(1, 2) + conv(image, weight_constant, **settings)
        return out if bias is None else out + bias.reshape(*bias.shape, *(1,) * self.spatial_dims)

    def prefers_basis(self, image: torch.Tensor, embedding_dim: int) -> bool:
        """Return whether the basis way is the cheaper one: for a single position a sample.

        With more positions, or from some 16 components up, its E + 1 convolutions cost more than
        building the weights.
        """
        return math.prod(image.shape[2:]) == 1 and embedding_dim <= 16

    def is_product(self, weight_shape: Sequence[int]) -> bool:
        """Return whether it is one: for kernels (C_out, C_in / groups, *K) of one voxel, without padding."""
        padded = self.padding != "same" and any(self.padding) and self.padding_mode == "zeros"
        return math.prod(weight_shape[2:]) == 1 and not padded

    def _check(self, image, weight, bias):
        _check_rows("ExternalConv", image, weight, bias)
        ndim = self.spatial_dims
        fits = image.ndim == ndim + 2 and weight.ndim == ndim + 3
        if not fits or image.shape[1] != weight.shape[2] * self.groups or weight.shape[1] % self.groups:
            raise ValueError(
                f"ExternalConv with spatial_dims={ndim} and groups={self.groups}: image must be "
                f"(B, C_in, *S) and weight (B, C_out, C_in / groups, *K). "
                f"Got {tuple(image.shape)} and {tuple(weight.shape)}."
            )

    def _pad(self, image, kernel):
        """Return the image and the padding that is left to the convolution, as numbers per axis."""
        if self.padding == "same":
            total = [rate * (size - 1) for rate, size in zip(self.dilation, kernel, strict=True)]
            sides = [(width // 2, width - width // 2) for width in total]
        else:
            sides = [(width, width) for width in self.padding]
        if self.padding_mode == "zeros" and all(left == right for left, right in sides):
            return image, tuple(left for left, _ in sides)
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        if any(any(side) for side in sides):
            image = F.pad(image, [width for side in reversed(sides) for width in side], mode=mode)
        return image, (0,) * self.spatial_dims

    def _as_matmul(self, image, weight, bias):
        if any(step > 1 for step in self.stride):
            image = Subsample.apply(image, self.stride)
        n_samples, n_channels, *shape = image.shape
        columns = image.reshape(n_samples * self.groups, n_channels // self.groups, -1)
        matrix = weight.reshape(n_samples * self.groups, weight.shape[1] // self.groups, -1)
        if bias is None:
            out = torch.bmm(matrix, columns)
        else:
            out = torch.baddbmm(bias.reshape(*matrix.shape[:2], 1), matrix, columns)
        return out.reshape(n_samples, weight.shape[1], *shape)

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return (
            f"spatial_dims={self.spatial_dims}, stride={self.stride}, padding={self.padding!r}, "
            f"dilation={self.dilation}, groups={self.groups}, padding_mode={self.padding_mode!r}"
        )
