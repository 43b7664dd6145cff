"""The table scales and shifts the channels of a feature map: FiLM and DAFT."""

import torch
from torch import nn


class _ChannelAffine(nn.Module):
    """``scale * h + shift`` on the channels of h, both made by an MLP with a bottleneck."""

    def __init__(self, n_inputs, n_channels, bottleneck):
        super().__init__()
        self.n_channels = n_channels
        self.squeeze = nn.Linear(n_inputs, bottleneck)
        self.excite = nn.Linear(bottleneck, 2 * n_channels)
        # Near the identity: scale 1, shift 0. Not at it, or the first layer would get no gradient.
        nn.init.normal_(self.excite.weight, std=0.03)
        nn.init.zeros_(self.excite.bias)

    def _apply_affine(self, h, inputs):
        inputs = inputs.to(self.squeeze.weight.dtype)
        scale, shift = self.excite(torch.relu(self.squeeze(inputs))).to(h.dtype).chunk(2, dim=1)
        shape = (h.shape[0], self.n_channels, *(1,) * (h.ndim - 2))
        return torch.addcmul(h + shift.reshape(shape), h, scale.reshape(shape))


class FiLM(_ChannelAffine):
    """Feature-wise linear modulation (Perez et al. 2018): the table scales and shifts channels.

    Parameters
    ----------
    n_tabular_features : int
        T.
    n_channels : int
        C.
    bottleneck : int, default=7
        Hidden units of the MLP.

    Shapes
    ------
    - h : (B, C) or (B, C, *S);  tabular : (B, T)
    - output : as h

    Examples
    --------
    >>> FiLM(5, 16)(torch.ones(2, 16, 4, 4), torch.ones(2, 5)).shape
    torch.Size([2, 16, 4, 4])
    """

    def __init__(self, n_tabular_features: int, n_channels: int, *, bottleneck: int = 7) -> None:
        super().__init__(n_tabular_features, n_channels, bottleneck)

    def forward(self, h: torch.Tensor, tabular: torch.Tensor) -> torch.Tensor:
        """Return ``scale(tabular) * h + shift(tabular)``."""
        return self._apply_affine(h, tabular)


class DAFT(_ChannelAffine):
    """Dynamic affine feature-map transform (Wolf et al. 2022): FiLM that also reads the pooled map.

    Parameters
    ----------
    n_tabular_features : int
        T.
    n_channels : int
        C.
    bottleneck : int, default=7
        Hidden units of the MLP.

    Shapes
    ------
    - h : (B, C) or (B, C, *S);  tabular : (B, T)
    - output : as h

    Examples
    --------
    >>> DAFT(5, 16)(torch.ones(2, 16, 4, 4), torch.ones(2, 5)).shape
    torch.Size([2, 16, 4, 4])
    """

    def __init__(self, n_tabular_features: int, n_channels: int, *, bottleneck: int = 7) -> None:
        super().__init__(n_tabular_features + n_channels, n_channels, bottleneck)

    def forward(self, h: torch.Tensor, tabular: torch.Tensor) -> torch.Tensor:
        """Return ``scale * h + shift``, both made from the table and the channels' means."""
        pooled = h if h.ndim == 2 else h.flatten(2).mean(2)
        return self._apply_affine(h, torch.cat([pooled.to(tabular.dtype), tabular], 1))
