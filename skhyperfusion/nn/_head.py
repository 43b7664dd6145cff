"""From the backbone's map to the outputs."""

import torch
from torch import nn


class Head(nn.Module):
    """Reduce a feature map to a vector, then linear layers with ReLU, then the output layer.

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
        Before which hidden layer: 0 is the first.

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
        self, n_features, n_outputs, *, hidden_sizes, flatten=False, dropout=(0.0, 0.0), n_joined=0, join_at=0
    ):
        super().__init__()
        self.flatten = flatten
        self.join_at = join_at
        self.relu_follows = tuple(f"hidden{i}" for i in range(1, len(hidden_sizes) + 1))
        self.dropout_in, self.dropout_out = nn.Dropout(dropout[0]), nn.Dropout(dropout[1])
        n_in = n_features
        for i, (name, size) in enumerate(zip(self.relu_follows, hidden_sizes, strict=True)):
            layer = nn.Linear(n_in + n_joined * (i == join_at), size)
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
            self.add_module(name, layer)
            n_in = size
        self.output = nn.Linear(n_in, n_outputs)

    def features(self, map, joined=None):
        """Return the input of the output layer."""
        pooled = map.ndim > 2 and not self.flatten
        h = self.dropout_in(map.flatten(2).mean(2) if pooled else map.flatten(1))
        for i, name in enumerate(self.relu_follows):
            if joined is not None and i == self.join_at:
                h = torch.cat([h, joined.to(h.dtype)], 1)
            h = torch.relu(getattr(self, name)(h))
        return self.dropout_out(h)

    def forward(self, map, joined=None):
        """Return the outputs."""
        return self.output(self.features(map, joined))
