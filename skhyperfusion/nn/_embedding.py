"""A table's row -> embedding."""

import dataclasses
import itertools

import torch
from torch import nn

from skhyperfusion.nn._norm import BatchNorm


class EmbeddingNetwork(nn.Module):
    """Embed the tabular features: `depth` times linear, batch normalisation, PReLU.

    Parameters
    ----------
    n_tabular_features : int
        T.
    depth : int, default=1
        Number of layers. 0 is the identity: the embedding is the table.
    width : int, default=32
        Units of every layer but the last.
    embedding_dim : int, default=8
        Units of the last layer. Not used when `depth` is 0.
    normalize : bool, default=False
        End in a batch normalisation, so that a component's mean square is 1 over every batch of training.

    Attributes
    ----------
    embedding_dim : int
        E, the size of the embedding: `n_tabular_features` when `depth` is 0.

    Shapes
    ------
    - tabular : (B, T)
    - output : (B, E)

    Examples
    --------
    >>> import torch
    >>> EmbeddingNetwork(5, depth=2)(torch.ones(1, 5)).shape
    torch.Size([1, 8])
    """

    def __init__(
        self,
        n_tabular_features: int,
        *,
        depth: int = 1,
        width: int = 32,
        embedding_dim: int = 8,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if depth < 0:
            raise ValueError(f"'depth' must be 0 or more. Got {depth!r} instead.")
        if n_tabular_features < 1:
            raise ValueError(f"'n_tabular_features' must be 1 or more. Got {n_tabular_features!r} instead.")
        self.n_tabular_features = n_tabular_features
        self.depth = depth
        self.embedding_dim = embedding_dim if depth else n_tabular_features
        sizes = [n_tabular_features] + [width] * (depth - 1) + [embedding_dim] * (depth > 0)
        layers = []
        for n_in, n_out in itertools.pairwise(sizes):
            # No bias: the batch normalisation right behind it has one.
            layers += [nn.Linear(n_in, n_out, bias=False), BatchNorm(n_out), nn.PReLU()]
        if normalize:
            layers.append(BatchNorm(self.embedding_dim))
        self.layers = nn.Sequential(*layers)

    def forward(self, tabular: torch.Tensor) -> torch.Tensor:
        """Return the embedding of every row."""
        if tabular.ndim != 2 or tabular.shape[1] != self.n_tabular_features:
            raise ValueError(
                f"The table must have shape (B, {self.n_tabular_features}). "
                f"Got {tuple(tabular.shape)} instead."
            )
        return self.layers(tabular)


@dataclasses.dataclass(frozen=True)
class EmbeddingFactory:
    """Make embedding networks of the same depth and width, one for each input that a fusion embeds.

    Parameters
    ----------
    depth, width, embedding_dim : int
        See `EmbeddingNetwork`.
    """

    depth: int
    width: int
    embedding_dim: int

    def __call__(self, n_inputs, *, normalize=False):
        """Return a fresh network for so many inputs."""
        return EmbeddingNetwork(n_inputs, **dataclasses.asdict(self), normalize=normalize)

    def without_bottleneck(self):
        """Return the factory of networks of at least one layer, the last no narrower than the others."""
        return dataclasses.replace(
            self, depth=max(1, self.depth), embedding_dim=max(self.embedding_dim, self.width)
        )
