"""The primary networks of the paper, for images of any size from one voxel up."""

import math
import numbers
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from skhyperfusion.nn._dropout import Dropout
from skhyperfusion.nn._head import Head
from skhyperfusion.nn._norm import BatchNorm

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def spread_dropout(dropout, n_blocks, n_head):
    """Turn one number into a dropout rate for every place, or check a sequence of them.

    A number counts for the places of the head alone: inside the blocks even small rates keep a small study
    from being learned.
    """
    n_places = n_blocks + n_head
    rates = (0.0,) * n_blocks + (dropout,) * n_head if isinstance(dropout, numbers.Real) else tuple(dropout)
    if len(rates) != n_places:
        raise ValueError(
            f"'dropout' must be a number or {n_places} of them, one for each place of this backbone. "
            f"Got {len(rates)}: {rates}."
        )
    if not all(0 <= rate < 1 for rate in rates):
        raise ValueError(f"'dropout' must lie in [0, 1). Got {dropout!r} instead.")
    return rates


class MaxPool(nn.Module):
    """Maximum over pairs along every axis, but for an axis of length one, which would vanish."""

    def __init__(self, spatial_dims):
        super().__init__()
        self.spatial_dims = spatial_dims

    def forward(self, image):
        """Pool `image` (B, C, *S)."""
        return _MAX_POOL[self.spatial_dims](image, [min(2, size) for size in image.shape[2:]])


def _check_spatial_dims(spatial_dims):
    if spatial_dims not in _CONV:
        raise ValueError(f"'spatial_dims' must be 1, 2 or 3. Got {spatial_dims!r} instead.")
    return _CONV[spatial_dims]


def _initialize_convolutions(module):
    for layer in module.modules():
        if isinstance(layer, tuple(_CONV.values())):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _head_settings(backbone):
    return {} if backbone.paper else {"n_direct": backbone.n_channels, "normalize": True}


class ResidualBlock(nn.Module):
    """Pre-activation block: twice (BN, ReLU, dropout, conv 3), beside a shortcut (conv 1, BN)."""

    relu_follows = ("conv1",)

    def __init__(self, n_in, n_out, *, spatial_dims, stride, dropout):
        super().__init__()
        conv = _check_spatial_dims(spatial_dims)
        self.norm1 = BatchNorm(n_in)
        self.dropout1 = Dropout(dropout)
        self.conv1 = conv(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.norm2 = BatchNorm(n_out)
        self.dropout2 = Dropout(dropout)
        self.conv2 = conv(n_out, n_out, 3, padding=1, bias=False)
        self.shortcut = nn.Sequential(
            OrderedDict(conv=conv(n_in, n_out, 1, stride=stride, bias=False), norm=BatchNorm(n_out))
        )

    def forward(self, h, condition=None):
        """Apply the block; `condition` may transform the map behind the second normalisation."""
        residual = self.conv1(self.dropout1(F.relu(self.norm1(h))))
        residual = self.norm2(residual)
        if condition is not None:
            residual = condition(residual)
        return self.conv2(self.dropout2(F.relu(residual))) + self.shortcut(h)


class ResidualBackbone(nn.Module):
    """Pre-activation residual network: the paper's for Alzheimer's disease, or what became of it.

    Stem (conv 3, BN, ReLU, max pooling), then four blocks to 2F, 4F, 8F and 16F channels with strides
    1, 2, 2, 2. The paper's ends there, in a sum of convolutions. Pre-activation networks have BN and ReLU
    behind the last block (He et al., "Identity mappings in deep residual networks", ECCV 2016, appendix).

    Parameters
    ----------
    in_channels : int
    spatial_dims : {1, 2, 3}
    base_channels : int, default=16
        F.
    dropout : sequence of 4 floats, default=(0.1, 0.2, 0.2, 0.3)
        One rate for each block.
    paper : bool, default=False
        The paper's network, and its head.

    Shapes
    ------
    - image : (B, C_in, *S)
    - output : (B, 16 F, *S / 16), an axis at least 1 long

    Examples
    --------
    >>> import torch
    >>> ResidualBackbone(1, spatial_dims=2, base_channels=4)(torch.ones(2, 1, 32, 24)).shape
    torch.Size([2, 64, 2, 2])
    """

    default_external_layers = ("backbone.block4.shortcut.conv",)
    dropout_places = (4, 2)  # the four blocks; before the head and inside it
    conditioned_stage = "block4"

    def __init__(
        self,
        in_channels: int,
        *,
        spatial_dims: Literal[1, 2, 3],
        base_channels: int = 16,
        dropout: Sequence[float] = (0.1, 0.2, 0.2, 0.3),
        paper: bool = False,
    ) -> None:
        super().__init__()
        self.paper = paper
        conv = _check_spatial_dims(spatial_dims)
        width = base_channels
        self.stem = nn.Sequential(
            OrderedDict(
                conv=conv(in_channels, width, 3, padding=1, bias=False),
                norm=BatchNorm(width),
                relu=nn.ReLU(),
                pool=MaxPool(spatial_dims),
            )
        )
        settings = {"spatial_dims": spatial_dims}
        self.block1 = ResidualBlock(width, 2 * width, stride=1, dropout=dropout[0], **settings)
        self.block2 = ResidualBlock(2 * width, 4 * width, stride=2, dropout=dropout[1], **settings)
        self.block3 = ResidualBlock(4 * width, 8 * width, stride=2, dropout=dropout[2], **settings)
        self.block4 = ResidualBlock(8 * width, 16 * width, stride=2, dropout=dropout[3], **settings)
        self.n_channels = 16 * width
        self.stage_names: tuple[str, ...] = ("stem", "block1", "block2", "block3", "block4")
        if not paper:
            self.tail = nn.Sequential(OrderedDict(norm=BatchNorm(self.n_channels), relu=nn.ReLU()))
            self.stage_names += ("tail",)
        _initialize_convolutions(self)

    def forward(
        self,
        image: torch.Tensor,
        condition: Callable[[torch.Tensor], torch.Tensor] | None = None,
        n_done: int = 0,
    ) -> torch.Tensor:
        """Return the map; `condition` may transform the map inside the last block.

        `image` may be what the first `n_done` of ``stage_names`` have made of it.
        """
        h = image
        for name in self.stage_names[n_done:]:
            stage = getattr(self, name)
            h = stage(h, condition) if name == self.conditioned_stage else stage(h)
        return h

    @staticmethod
    def map_shape(spatial_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the spatial shape of the map for images of this one."""
        pooled = [max(1, size // 2) for size in spatial_shape]  # by the stem; then three strides of 2
        return tuple(math.ceil(size / 8) for size in pooled)

    def make_head(self, n_outputs: int, *, dropout: Sequence[float], **joining: Any) -> Head:
        """Return the head: average pooling, dropout, linear 4F, ReLU, dropout, linear."""
        return Head(
            self.n_channels, n_outputs,
            hidden_sizes=(self.n_channels // 4,), dropout=dropout[4:],
            **_head_settings(self), **joining,
        )  # fmt: skip


class PlainBackbone(nn.Module):
    """Plain convolutional network: the paper's for brain age, with its head or one that does not die.

    Three stages of (conv 3, ReLU) twice, max pooling, BN, with F, 2F and 4F channels. The convolutions
    are not padded along an axis of 36 voxels or more; a shorter axis is padded, since it would vanish.

    Parameters
    ----------
    in_channels : int
    spatial_shape : sequence of int
        S: the size of the images decides the padding and the size of the head.
    base_channels : int, default=16
        F.
    paper : bool, default=False
        The paper's head.

    Attributes
    ----------
    map_shape : tuple of int
        Spatial shape of the output.

    Shapes
    ------
    - image : (B, C_in, *S)
    - output : (B, 4 F, *map_shape)

    Examples
    --------
    >>> import torch
    >>> PlainBackbone(1, spatial_shape=(40, 8), base_channels=4)(torch.ones(2, 1, 40, 8)).shape
    torch.Size([2, 16, 1, 1])
    """

    default_external_layers = ("head.*",)
    dropout_places = (0, 1)  # before the head
    stage_names = ("stage1", "stage2", "stage3")
    conditioned_stage = None  # what changes the map comes behind all of them

    def __init__(
        self, in_channels: int, *, spatial_shape: Sequence[int], base_channels: int = 16, paper: bool = False
    ) -> None:
        super().__init__()
        self.paper = paper
        spatial_dims = len(spatial_shape)
        conv = _check_spatial_dims(spatial_dims)
        padding = tuple(0 if size >= 36 else 1 for size in spatial_shape)
        n_in, shape = in_channels, tuple(spatial_shape)
        for i in range(3):
            n_out = base_channels * 2**i
            stage = nn.Sequential(
                OrderedDict(
                    conv1=conv(n_in, n_out, 3, padding=padding),
                    relu1=nn.ReLU(),
                    conv2=conv(n_out, n_out, 3, padding=padding),
                    relu2=nn.ReLU(),
                    pool=MaxPool(spatial_dims),
                    norm=BatchNorm(n_out),
                )
            )
            self.add_module(f"stage{i + 1}", stage)
            n_in = n_out
            lost = [0 if pad else 4 for pad in padding]
            shape = tuple(max(1, (size - less) // 2) for size, less in zip(shape, lost, strict=True))
        self.map_shape = shape
        self.n_channels = n_in
        _initialize_convolutions(self)

    def forward(
        self,
        image: torch.Tensor,
        condition: Callable[[torch.Tensor], torch.Tensor] | None = None,
        n_done: int = 0,
    ) -> torch.Tensor:
        """Return the map; `condition` may transform it.

        `image` may be what the first `n_done` of ``stage_names`` have made of it.
        """
        h = image
        for name in self.stage_names[n_done:]:
            h = getattr(self, name)(h)
        return h if condition is None else condition(h)

    def make_head(self, n_outputs: int, *, dropout: Sequence[float], **joining: Any) -> Head:
        """Return the head: flatten, dropout, linear 16 - 32 - 64 with ReLU, linear."""
        return Head(
            self.n_channels * math.prod(self.map_shape), n_outputs,
            hidden_sizes=(16, 32, 64), flatten=True, dropout=(dropout[0], 0.0), join_at=1,
            **_head_settings(self), **joining,
        )  # fmt: skip
