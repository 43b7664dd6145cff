"""How table and image are joined: one class for each `fusion`.

A further fusion is a subclass of `Fusion` and a line in `FUSIONS`.
"""

import functools
import math

import torch
from torch import nn

from skhyperfusion.nn._attention import TabAttention
from skhyperfusion.nn._conditioning import DAFT, FiLM
from skhyperfusion.nn._externalize import externalize_by
from skhyperfusion.nn._fusion_base import Fusion
from skhyperfusion.nn._head import Head
from skhyperfusion.nn._norm import measure_statistics


class ImageFusion(Fusion):
    """The image alone."""

    uses_table = False


class ConcatFusion(Fusion):
    """The table is joined to the image's features, at the head's first layer ('vgg': the second)."""

    join = "concat"

    def make_head(self, parts):
        """Return a head that takes the table."""
        n_joined = self.setting.n_tabular_features
        return parts.make_head(self.setting.n_outputs, n_joined=n_joined, join=self.join)

    def joined(self, tabular):
        """Return the table."""
        return tabular


class MaxFusion(ConcatFusion):
    """As `ConcatFusion`, but of the two projections the greater counts, element by element."""

    join = "max"


class MultiplyFusion(ConcatFusion):
    """As `ConcatFusion`, but the two projections are multiplied, element by element."""

    join = "multiply"


class FilmFusion(Fusion):
    """The table scales and shifts the channels of the last block's map."""

    modulation: type[nn.Module] = FiLM

    def __init__(self, setting):
        super().__init__(setting)
        self.affine = self.modulation(setting.n_tabular_features, setting.map_channels)

    def condition(self, tabular):
        """Return the affine map of channels for these rows."""
        return lambda h: self.affine(h, tabular)


class DaftFusion(FilmFusion):
    """As `FilmFusion`, and the scale and shift depend on the map too."""

    modulation = DAFT


class TabAttentionFusion(Fusion):
    """The table helps to weight the channels and positions of the last block's map."""

    def __init__(self, setting):
        super().__init__(setting)
        self.attention = TabAttention(
            setting.n_tabular_features, setting.map_channels, map_shape=setting.map_shape
        )

    def condition(self, tabular):
        """Return the attention of these rows."""
        return lambda h: self.attention(h, tabular)


def _externalize(setting, module, default, n_inputs, *, normalize=False):
    """Externalise the chosen layers of `module`, for a hypernetwork of `n_inputs` inputs."""
    return externalize_by(
        functools.partial(setting.make_embedding, n_inputs, normalize=normalize),
        module,
        default if setting.external_layers is None else setting.external_layers,
        shared_embedding=setting.shared_embedding,
        init=setting.init,
    )


class HyperFusion(Fusion):
    """A hypernetwork makes the weights of the external layers from the table."""

    def attach(self, parts):
        """Externalise the chosen layers."""
        setting = self.setting
        self.hypernetwork = _externalize(
            setting, parts, setting.default_external_layers, setting.n_tabular_features
        )
        return self.hypernetwork.layer_names

    def supply(self, primary, image, tabular):
        """Return the context in which the external layers use these rows' weights."""
        return self.hypernetwork.supply(tabular)

    def initialize(self, tabular, sample_weight):
        """Measure the embedding on the table and draw the generators."""
        self.hypernetwork.initialize(tabular, sample_weight)

    def embedding_networks(self):
        """Return the hypernetwork's: one, or one for each layer; none where the table is the embedding."""
        return tuple(network for network in self.hypernetwork.embeddings if network.depth)


class ReverseFusion(Fusion):
    """A hypernetwork makes, from the image, weights of the network that reads the table: the head.

    It reads the backbone's channels, averaged over positions. They change while the backbone learns, and
    nothing is known of them before: so the embedding ends in a batch normalisation, and the mean square
    that the principled initialisation asks for is 1 by construction, where `HyperFusion` measures it.
    """

    def make_head(self, parts):
        """Return the network that reads the table: linear, ReLU, dropout, linear."""
        setting = self.setting
        return Head(
            setting.n_tabular_features, setting.n_outputs,
            hidden_sizes=(setting.make_embedding.width,), dropout=(0.0, setting.dropout),
        )  # fmt: skip

    def attach(self, parts):
        """Externalise the chosen layers of the head."""
        head = nn.ModuleDict({"head": parts["head"]})
        n_inputs = self.setting.map_channels
        self.hypernetwork = _externalize(self.setting, head, "head.hidden1", n_inputs, normalize=True)
        return self.hypernetwork.layer_names

    def supply(self, primary, image, tabular):
        """Return the context in which the external layers use these images' weights."""
        map = primary.image_map(image)
        return self.hypernetwork.supply(map.flatten(2).mean(2) if map.ndim > 2 else map)

    def features(self, primary, image, tabular):
        """Return the hidden layer of the network that reads the table."""
        return primary.head.features(tabular.to(next(self.parameters()).dtype))


class TabularFusion(Fusion):
    """The table alone: an embedding network and a linear layer.

    At least one layer deep, and its last layer is no narrower than the others: the bottleneck that keeps
    a hypernetwork small would only handicap this baseline.
    """

    uses_image = False

    def __init__(self, setting):
        super().__init__(setting)
        self.embedding = setting.make_embedding.without_bottleneck()(setting.n_tabular_features)
        self.dropout = nn.Dropout(setting.dropout)
        self.last = nn.Linear(self.embedding.embedding_dim, setting.n_outputs)

    def features(self, primary, image, tabular):
        """Return the embedding."""
        return self.dropout(self.embedding(tabular.to(self.last.weight.dtype)))

    def output(self, primary, features):
        """Return the outputs."""
        return self.last(features)

    def initialize(self, tabular, sample_weight):
        """Set the running statistics to the table's."""
        measure_statistics(self.embedding, tabular.to(self.last.weight), sample_weight=sample_weight)

    def embedding_networks(self):
        """Return the one."""
        return (self.embedding,)


class LateFusion(TabularFusion):
    """The probabilities (or values) of two networks that never meet, averaged: no interaction, by design."""

    uses_image = True

    def features(self, primary, image, tabular):
        """Return both networks' features, the image's first."""
        by_image = primary.head.features(primary.image_map(image))
        return torch.cat([by_image, super().features(primary, image, tabular)], 1)

    def output(self, primary, features):
        """Return the mean of the values; or logits whose softmax is the mean of both softmaxes."""
        n_image = primary.head.output.in_features
        by_image = primary.head.output(features[:, :n_image])
        by_table = super().output(primary, features[:, n_image:])
        if self.setting.task == "regression":
            return (by_image + by_table) / 2
        # The logarithm of the mean, without ever leaving the logarithms: finite where a softmax is zero.
        logarithms = torch.stack([by_image, by_table]).log_softmax(2)
        return logarithms.logsumexp(0) - math.log(2)


FUSIONS = {
    "hyper": HyperFusion,
    "concat": ConcatFusion,
    "film": FilmFusion,
    "daft": DaftFusion,
    "tabattention": TabAttentionFusion,
    "max": MaxFusion,
    "multiply": MultiplyFusion,
    "reverse": ReverseFusion,
    "late": LateFusion,
    "image": ImageFusion,
    "tabular": TabularFusion,
}
