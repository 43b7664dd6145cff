"""From the backbone's map to the outputs."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from skhyperfusion._wording import did_you_mean, quoted

_ELEMENTWISE = {"max": torch.maximum, "multiply": torch.mul}
JOINS = ("concat", *_ELEMENTWISE)
MIN_CENTRED = 16  # features from which their mean tells little that the differences between them do not


class Head(nn.Module):
    """Reduce a feature map to a vector, then linear layers with ReLU, then the output layer.

    As the paper's by default; with `n_direct` and `normalize` hardly a unit of it dies.

    The layers are called ``hidden1``, ``hidden2``, ... and ``output``.

    Parameters
    ----------
    n_features : int
        Size of the reduced map.
    n_outputs : int
    hidden_sizes : sequence of int
        Units of the hidden layers.
    flatten : bool, default=False
        Flatten the map (its size is then fixed) rather than average over its positions.
    dropout : tuple of two floats, default=(0.0, 0.0)
        Before the first hidden layer, and before the output layer.
    n_joined : int, default=0
        Number of tabular features that are joined to the hidden vector.
    join_at : int, default=0
        At which hidden layer: 0 is the first.
    join : {'concat', 'max', 'multiply'}, default='concat'
        How. 'concat': the layer reads both, which adds a linear projection of the tabular features to its
        own of the image's. 'max', 'multiply': the greater of the two projections, or their product, element
        by element; both are as wide as the layer. The layer's ReLU follows in any case.
    n_direct : int, default=0
        Number of the map's channels that the output layer reads, averaged over positions, beside the last
        hidden layer: all or none. With 'concat' it then reads the joined features too.
    normalize : bool, default=False
        Each row by itself, and without parameters: hidden layers read the differences of the features from
        their mean (where there are at least 16), and what they give is scaled to mean 0 and variance 1 over
        the layer's units (layer normalisation) in front of the ReLU. Behind a ReLU, features have an offset
        in common that is larger than their spread over the rows; without the first some units are shut for
        every row from the start, without both a few coherent steps of an optimiser shut more of them.

    Attributes
    ----------
    projection : nn.Linear or None
        The tabular features' projection. None with 'concat', or where nothing is joined.

    Raises
    ------
    ValueError
        If `join` is not one of the three.

    Shapes
    ------
    - map : (B, C) or (B, C, *S);  joined : (B, n_joined)
    - output : (B, n_outputs)

    Examples
    --------
    >>> Head(16, 3, hidden_sizes=(8,))(torch.ones(2, 16, 4, 4)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        hidden_sizes: Sequence[int],
        flatten: bool = False,
        dropout: Sequence[float] = (0.0, 0.0),
        n_joined: int = 0,
        join_at: int = 0,
        join: Literal["concat", "max", "multiply"] = "concat",
        n_direct: int = 0,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if join not in JOINS:
            raise ValueError(
                f"'join' must be one of {quoted(JOINS)}. Got {join!r} instead"
                f"{did_you_mean(join, JOINS) or '.'}"
            )
        self.flatten = flatten
        self.join_at = join_at
        self.join = join
        self.n_direct = n_direct
        self.normalize = normalize
        self.relu_follows = tuple(f"hidden{i}" for i in range(1, len(hidden_sizes) + 1))
        self.dropout_in, self.dropout_out = nn.Dropout(dropout[0]), nn.Dropout(dropout[1])
        n_in = n_features
        for i, (name, size) in enumerate(zip(self.relu_follows, hidden_sizes, strict=True)):
            layer = nn.Linear(n_in + n_joined * (i == join_at and join == "concat"), size)
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
            self.add_module(name, layer)
            n_in = size
        joined_directly = n_joined if n_direct and join == "concat" else 0
        self.output = nn.Linear(n_in + n_direct + joined_directly, n_outputs)
        self.projection = None
        if n_joined and join != "concat":
            self.projection = nn.Linear(n_joined, hidden_sizes[join_at])
            nn.init.kaiming_uniform_(self.projection.weight, nonlinearity="linear")
            nn.init.zeros_(self.projection.bias)

    def features(self, map: torch.Tensor, joined: torch.Tensor | None = None) -> torch.Tensor:
        """Return the input of the output layer."""
        averaged = map.flatten(2).mean(2) if map.ndim > 2 else map
        h = reduced = self.dropout_in(map.flatten(1) if self.flatten else averaged)
        joined = None if joined is None else joined.to(h.dtype)
        for i, name in enumerate(self.relu_follows):
            layer = getattr(self, name)
            if self.normalize and h.shape[1] >= MIN_CENTRED:
                h = h - h.mean(1, keepdim=True)
            joins = joined is not None and i == self.join_at
            h = self._joined(layer, h, joined) if joins else layer(h)
            if self.normalize:
                h = F.layer_norm(h, h.shape[1:])
            h = torch.relu(h)
        h = self.dropout_out(h)
        if not self.n_direct:
            return h
        direct = [self.dropout_in(averaged) if self.flatten else reduced]
        if joined is not None and self.join == "concat":
            direct.append(joined)
        return torch.cat([h, *direct], 1)

    def _joined(self, layer, h, joined):
        if self.projection is None:
            return layer(torch.cat([h, joined], 1))
        return _ELEMENTWISE[self.join](layer(h), self.projection(joined))

    def forward(self, map: torch.Tensor, joined: torch.Tensor | None = None) -> torch.Tensor:
        """Return the outputs."""
        return self.output(self.features(map, joined))
