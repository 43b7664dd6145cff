"""The hypernetwork: a table's row -> the weights of the external layers."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from skhyperfusion.nn._norm import measure_statistics


class _Supplied(threading.local):
    # Thread-local rather than a ContextVar: torch.compile traces it without a graph break.
    def __init__(self):
        self.by_slot = {}


_supplied = _Supplied()


class Slot:
    """What an external layer and its hypernetwork share: the key under which parameters are handed over.

    Compared by identity, so two networks with equal layer names cannot be mixed up; `copy.deepcopy`
    and pickle keep the pair together.
    """

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"Slot({self.name!r})"


def look_up(slot):
    """Return the (embedding, generator) that is supplied for `slot` in this thread."""
    try:
        return _supplied.by_slot[slot]
    except KeyError:
        raise RuntimeError(
            f"The external layer {slot.name!r} has no weights of its own: call the network inside "
            f"`with hypernetwork.supply(tabular):`, as FusionNetwork.forward does."
        ) from None


class _Supply:
    """Context in which external layers find their parameters. Cleared at its end, also after an error."""

    def __init__(self, by_slot):
        self.by_slot = by_slot

    def __enter__(self):
        self.outer = _supplied.by_slot
        _supplied.by_slot = {**self.outer, **self.by_slot}
        return self

    def __exit__(self, *error):
        _supplied.by_slot = self.outer
        # The context object may outlive the block (a notebook's `_`); the tensors should not.
        self.by_slot = self.outer = None


class Hypernetwork(nn.Module):
    """Make the parameters of external layers from the table. Built by `externalize`.

    Parameters
    ----------
    slots : sequence of Slot
        One for each external layer.
    make_generator : callable
        ``(slot, embedding_dim) -> AffineGenerator``.
    make_embedding : callable
        ``() -> EmbeddingNetwork``. Where `initialize` cannot measure the input, such as the features that
        another network learns, one that normalises: the generators as they are drawn first fit embeddings of
        mean square 1.
    shared_embedding : bool, default=True
        One embedding network for all layers, or one for each.

    Attributes
    ----------
    embeddings : ModuleList
        The embedding networks: one, or one for each layer.
    generators : ModuleList
        One `AffineGenerator` for each layer, in the order of `layer_names`.

    Shapes
    ------
    - tabular : (B, T)

    Examples
    --------
    >>> from skhyperfusion.nn import externalize
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> hypernetwork = externalize(net, ["2"], n_tabular_features=5)
    >>> weight, bias = hypernetwork(torch.ones(6, 5))["2"]
    >>> weight.shape, bias.shape
    (torch.Size([6, 1, 4]), torch.Size([6, 1]))
    >>> with hypernetwork.supply(torch.ones(6, 5)):
    ...     net(torch.ones(6, 3)).shape
    torch.Size([6, 1])
    """

    # Of the members of a ModuleList type checkers know nothing.
    embeddings: Any
    generators: Any

    def __init__(
        self,
        slots: Sequence[Slot],
        make_generator: Callable[[Slot, int], nn.Module],
        make_embedding: Callable[[], nn.Module],
        *,
        shared_embedding: bool = True,
    ) -> None:
        super().__init__()
        self.slots = tuple(slots)
        self.shared_embedding = shared_embedding
        self.embeddings = nn.ModuleList(
            make_embedding() for _ in range(1 if shared_embedding else len(self.slots))
        )
        dim = self.embeddings[0].embedding_dim
        self.generators = nn.ModuleList(make_generator(slot, dim) for slot in self.slots)
        for embedding, generator in zip(self.embeddings, self.generators, strict=False):
            embedding.to(generator.weight_basis)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the external layers, in the order of the generators."""
        return tuple(slot.name for slot in self.slots)

    def embed(self, tabular: torch.Tensor) -> list[torch.Tensor]:
        """Return the embedding for every external layer: a list of tensors (B, E)."""
        # The table arrives in float32 also where the hypernetwork was set to float64 for prediction.
        tabular = tabular.to(self.generators[0].weight_basis.dtype)
        if self.shared_embedding:
            return [self.embeddings[0](tabular)] * len(self.slots)
        return [embedding(tabular) for embedding in self.embeddings]

    def supply(self, tabular: torch.Tensor) -> AbstractContextManager[Any]:
        """Return a context in which the external layers use the weights of these rows.

        Nothing is left behind on the module: the layers find their embedding and generator in a
        thread-local table that the context fills and clears. Activation checkpointing, which runs a
        layer again outside of the context, is not possible for a part that holds external layers.
        """
        return self.supply_embeddings(self.embed(tabular))

    def supply_embeddings(self, embeddings: Sequence[torch.Tensor]) -> AbstractContextManager[Any]:
        """Return the same of one embedding (B, E) for each layer, which may be of unlike rows."""
        pairs = zip(embeddings, self.generators, strict=True)
        return _Supply(dict(zip(self.slots, pairs, strict=True)))

    def forward(self, tabular: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
        """Return ``{layer name: (weight (B, ...), bias (B, O) or None)}``, for inspection."""
        pairs = zip(self.layer_names, self.embed(tabular), self.generators, strict=True)
        return {name: generator(embedding) for name, embedding, generator in pairs}

    @torch.no_grad()
    def initialize(self, tabular: torch.Tensor, sample_weight: torch.Tensor | None = None) -> None:
        """Fit the scales to the training table, then draw the generators.

        One pass through the whole table sets the running statistics of the batch normalisation; v, the
        mean square of an embedding's component, is measured behind them.

        Parameters
        ----------
        tabular : Tensor of shape (n, T)
        sample_weight : Tensor of shape (n,) or None
        """
        for i, embedding in enumerate(self.embeddings):
            rows = tabular.to(self.generators[i].weight_basis)
            measure_statistics(embedding, rows, sample_weight=sample_weight)
            # Behind the running statistics, as in prediction; equal to the batch's own from 2 rows up.
            training = embedding.training
            components = embedding.eval()(rows).square().mean(1)
            embedding.train(training)
            mean_square = float(_weighted_mean(components, sample_weight))
            for generator in self.generators if self.shared_embedding else [self.generators[i]]:
                generator.initialize(mean_square)


def _weighted_mean(values, weight):
    if weight is None:
        return values.mean()
    weight = weight.to(values)
    return (values * weight).sum() / weight.sum()
