"""Attention over the channels and positions of a feature map, conditioned on the table."""

import math
from collections.abc import Sequence

import torch
from torch import nn

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def _mlp(n_in, bottleneck, n_out):
    squeeze, excite = nn.Linear(n_in, bottleneck), nn.Linear(bottleneck, n_out)
    # Torch's own start would leave a quarter of the table's signal behind each MLP, and learn slowly.
    nn.init.kaiming_uniform_(squeeze.weight, nonlinearity="relu")
    nn.init.kaiming_uniform_(excite.weight, nonlinearity="linear")
    return nn.Sequential(squeeze, nn.ReLU(), excite)


class TabAttention(nn.Module):
    """Channel and spatial attention conditioned on the table (Grzeszczyk et al. 2023).

    The convolutional block attention module (CBAM, Woo et al. 2018) with the table in both parts: first the
    channels of the map are weighted, then its positions, each by numbers between 0 and 1. ::

        h'  = h  * sigmoid(MLP(mean over positions) + MLP(maximum over positions) + MLP(e_C(table)))
        h'' = h' * sigmoid(conv([mean over channels, maximum over channels, e_S(table)]))

    The table's embeddings have the form of what they stand beside: e_C one number for each channel, e_S one
    for each position.

    Parameters
    ----------
    n_tabular_features : int
        T.
    n_channels : int
        C.
    map_shape : sequence of 1 to 3 int, default=()
        S, the spatial shape of the map. Empty: h is features (B, C), and there is no spatial attention.
    bottleneck : int, default=7
        Hidden units of the MLPs.
    kernel_size : int, default=7
        Of the convolution, along every axis; odd.

    Shapes
    ------
    - h : (B, C, *map_shape);  tabular : (B, T)
    - output : as h

    Raises
    ------
    ValueError
        If `kernel_size` is even, `map_shape` has more than 3 axes, or h has another shape.

    Notes
    -----
    Written from what the paper's abstract and first figure state, not from its code. Theirs: CBAM's parts in
    CBAM's order, and an embedding of the table in every part. Left out: their attention over time, since
    these images have none. Ours: an embedding is an MLP with the bottleneck; the one for the channels
    passes through the MLP that the two pooled descriptors share, and the one for the positions is a third
    input of the convolution; 7 hidden units, as FiLM and DAFT have in the HyperFusion paper (CBAM: a
    sixteenth of the channels); one module in the last block, where FiLM and DAFT stand too.

    References
    ----------
    Grzeszczyk et al., "TabAttention: Learning Attention Conditionally on Tabular Data", MICCAI 2023,
    arXiv 2310.18129. Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018.

    Examples
    --------
    >>> TabAttention(5, 16, map_shape=(4, 4))(torch.ones(2, 16, 4, 4), torch.ones(2, 5)).shape
    torch.Size([2, 16, 4, 4])
    """

    def __init__(
        self,
        n_tabular_features: int,
        n_channels: int,
        *,
        map_shape: Sequence[int] = (),
        bottleneck: int = 7,
        kernel_size: int = 7,
    ) -> None:
        super().__init__()
        self.n_channels = n_channels
        self.map_shape = tuple(map_shape)
        if kernel_size % 2 == 0:
            raise ValueError(f"'kernel_size' must be odd. Got {kernel_size!r} instead.")
        if len(self.map_shape) > 3:
            raise ValueError(f"'map_shape' must have 3 axes at most. Got {self.map_shape} instead.")
        self.channel_embedding = _mlp(n_tabular_features, bottleneck, n_channels)
        self.channel_mlp = _mlp(n_channels, bottleneck, n_channels)
        if self.map_shape:
            n_positions = math.prod(self.map_shape)
            self.position_embedding = _mlp(n_tabular_features, bottleneck, n_positions)
            conv = _CONV[len(self.map_shape)]
            self.position_conv = conv(3, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, h: torch.Tensor, tabular: torch.Tensor) -> torch.Tensor:
        """Return h, its channels and positions weighted."""
        shape = (tabular.shape[0], self.n_channels, *self.map_shape)
        if tuple(h.shape) != shape:
            raise ValueError(f"TabAttention: h must have shape {shape}. Got {tuple(h.shape)} instead.")
        # The map may come from a float32 backbone where this part was set to float64 for prediction.
        dtype = self.channel_mlp[0].weight.dtype
        tabular = tabular.to(dtype)
        h = h * self._channel_weights(h.to(dtype), tabular).to(h.dtype)
        if not self.map_shape:
            return h
        return h * self._position_weights(h.to(dtype), tabular).to(h.dtype)

    def _channel_weights(self, h, tabular):
        flat = h.flatten(2) if self.map_shape else h[:, :, None]
        descriptors = torch.stack([flat.mean(2), flat.amax(2), self.channel_embedding(tabular)])
        weights = self.channel_mlp(descriptors).sum(0).sigmoid()
        return weights.reshape(*weights.shape, *(1 for _ in self.map_shape))  # (B, C, 1, ...)

    def _position_weights(self, h, tabular):
        embedding = self.position_embedding(tabular).reshape(-1, 1, *self.map_shape)
        descriptors = torch.cat([h.mean(1, keepdim=True), h.amax(1, keepdim=True), embedding], 1)
        return self.position_conv(descriptors).sigmoid()  # (B, 1, *map_shape)
