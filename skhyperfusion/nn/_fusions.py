"""How table and image are joined: one class for each `fusion`.

A further fusion is a subclass of `Fusion` and a line in `FUSIONS`.
"""

from contextlib import nullcontext
from dataclasses import dataclass

from torch import nn

from skhyperfusion.nn._conditioning import DAFT, FiLM
from skhyperfusion.nn._embedding import EmbeddingNetwork
from skhyperfusion.nn._externalize import externalize
from skhyperfusion.nn._norm import measure_statistics


@dataclass(frozen=True)
class Setting:
    """The sizes and options that a fusion may need."""

    n_tabular_features: int
    n_outputs: int
    condition_channels: int | None
    depth: int
    width: int
    embedding_dim: int
    shared_embedding: bool
    init: str
    dropout: float
    external_layers: tuple[str, ...]


class Fusion(nn.Module):
    """The image alone; and what a fusion may override.

    The primary network is handed to every method and never kept: it is the `FusionNetwork`, with its
    ``backbone``, its ``head`` and ``image_map(image, condition)``.
    """

    uses_image = True
    uses_table = True
    n_joined = 0  # how many tabular features the head receives

    def __init__(self, setting):
        super().__init__()
        self.setting = setting

    def attach(self, parts):
        """Change the finished primary network, a ModuleDict of backbone and head; return layer names."""
        del parts
        return ()

    def supply(self, tabular):
        """Return the context to run the primary network in."""
        del tabular
        return nullcontext()

    def condition(self, tabular):
        """Return what to do to the map inside or behind the backbone: a callable, or None."""
        del tabular

    def joined(self, tabular):
        """Return what the head is to read beside the map: (B, n_joined), or None."""
        del tabular

    def features(self, primary, image, tabular):
        """Return the input of the last layer."""
        return primary.head.features(primary.image_map(image, self.condition(tabular)), self.joined(tabular))

    def output(self, primary, features):
        """Return the outputs."""
        return primary.head.output(features)

    def initialize(self, tabular, sample_weight):
        """Fit scales to the training table."""
        del tabular, sample_weight

    def embedding_networks(self):
        """Return the networks that can be trained on the table alone."""
        return ()


class ImageFusion(Fusion):
    """The image alone."""

    uses_table = False


class ConcatFusion(Fusion):
    """The table is joined to the image's features, before the head's layers."""

    def __init__(self, setting):
        super().__init__(setting)
        self.n_joined = setting.n_tabular_features

    def joined(self, tabular):
        """Return the table."""
        return tabular


class FilmFusion(Fusion):
    """The table scales and shifts the channels of the last block's map."""

    modulation = FiLM

    def __init__(self, setting):
        super().__init__(setting)
        self.affine = self.modulation(setting.n_tabular_features, setting.condition_channels)

    def condition(self, tabular):
        """Return the affine map of channels for these rows."""
        return lambda h: self.affine(h, tabular)


class DaftFusion(FilmFusion):
    """As `FilmFusion`, and the scale and shift depend on the map too."""

    modulation = DAFT


class HyperFusion(Fusion):
    """A hypernetwork makes the weights of the external layers from the table."""

    def attach(self, parts):
        """Externalise the chosen layers."""
        setting = self.setting
        self.hypernetwork = externalize(
            parts,
            setting.external_layers,
            n_tabular_features=setting.n_tabular_features,
            depth=setting.depth,
            width=setting.width,
            embedding_dim=setting.embedding_dim,
            shared_embedding=setting.shared_embedding,
            init=setting.init,
        )
        return self.hypernetwork.layer_names

    def supply(self, tabular):
        """Return the context in which the external layers use these rows' weights."""
        return self.hypernetwork.supply(tabular)

    def initialize(self, tabular, sample_weight):
        """Measure the embedding on the table and draw the generators."""
        self.hypernetwork.initialize(tabular, sample_weight)

    def embedding_networks(self):
        """Return the hypernetwork's: one, or one for each layer."""
        return tuple(self.hypernetwork.embeddings)


class TabularFusion(Fusion):
    """The table alone: an embedding network and a linear layer.

    At least one layer deep, and its last layer is no narrower than the others: the bottleneck that keeps
    a hypernetwork small would only handicap this baseline.
    """

    uses_image = False

    def __init__(self, setting):
        super().__init__(setting)
        self.embedding = EmbeddingNetwork(
            setting.n_tabular_features,
            depth=max(1, setting.depth),
            width=setting.width,
            embedding_dim=max(setting.embedding_dim, setting.width),
        )
        self.dropout = nn.Dropout(setting.dropout)
        self.last = nn.Linear(self.embedding.embedding_dim, setting.n_outputs)

    def features(self, primary, image, tabular):
        """Return the embedding."""
        del primary, image
        return self.dropout(self.embedding(tabular.to(self.last.weight.dtype)))

    def output(self, primary, features):
        """Return the outputs."""
        del primary
        return self.last(features)

    def initialize(self, tabular, sample_weight):
        """Set the running statistics to the table's."""
        measure_statistics(self.embedding, tabular.to(self.last.weight), sample_weight=sample_weight)

    def embedding_networks(self):
        """Return the one."""
        return (self.embedding,)


FUSIONS = {
    "hyper": HyperFusion,
    "concat": ConcatFusion,
    "film": FilmFusion,
    "daft": DaftFusion,
    "image": ImageFusion,
    "tabular": TabularFusion,
}
