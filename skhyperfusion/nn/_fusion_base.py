"""What every fusion of table and image shares, and what one may override."""

from contextlib import nullcontext
from dataclasses import dataclass

from torch import nn

from skhyperfusion.nn._embedding import EmbeddingFactory


@dataclass(frozen=True)
class Setting:
    """The sizes and options that a fusion may need."""

    n_tabular_features: int
    n_outputs: int
    task: str
    map_channels: int | None
    map_shape: tuple[int, ...]
    make_embedding: EmbeddingFactory
    shared_embedding: bool
    init: str
    dropout: float
    external_layers: str | tuple[str, ...] | None
    default_external_layers: tuple[str, ...]


class Fusion(nn.Module):
    """The image alone; and what a fusion may override.

    The primary network is handed to every method and never kept: it is the `FusionNetwork`, with its
    ``backbone``, its ``head`` and ``image_map(image, condition)``.
    """

    uses_image = True
    uses_table = True

    def __init__(self, setting):
        super().__init__()
        self.setting = setting

    def make_head(self, parts):
        """Return the head; `parts` is the `Primary`, which knows the backbone's own."""
        return parts.make_head(self.setting.n_outputs)

    def attach(self, parts):
        """Change the finished primary network, a ModuleDict of backbone and head; return layer names."""
        return ()

    def supply(self, primary, image, tabular):
        """Return the context to run the primary network in."""
        return nullcontext()

    def condition(self, tabular):
        """Return what to do to the map inside or behind the backbone: a callable, or None."""
        return None

    def joined(self, tabular):
        """Return what the head is to read beside the map: (B, T), or None."""
        return None

    def features(self, primary, image, tabular):
        """Return the input of the last layer."""
        return primary.head.features(primary.image_map(image, self.condition(tabular)), self.joined(tabular))

    def output(self, primary, features):
        """Return the outputs."""
        return primary.head.output(features)

    def initialize(self, tabular, sample_weight):
        """Fit scales to the training table, where a fusion has any."""

    def embedding_networks(self):
        """Return the networks that can be trained on the table alone."""
        return ()
