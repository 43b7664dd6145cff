"""The network that is fitted: backbone, head, and the fusion that joins the table to them."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import torch
from torch import nn

from skhyperfusion._typing import Backbone, HyperInit, Names
from skhyperfusion._typing import Fusion as FusionName
from skhyperfusion._wording import did_you_mean, quoted
from skhyperfusion.nn._embedding import EmbeddingFactory
from skhyperfusion.nn._frozen import freeze
from skhyperfusion.nn._fusion_base import Fusion, Setting
from skhyperfusion.nn._fusions import FUSIONS
from skhyperfusion.nn._generator import INITIALISATIONS, AffineGenerator
from skhyperfusion.nn._norm import weighted_rows
from skhyperfusion.nn._primary import build_primary
from skhyperfusion.nn._stages import n_constant_stages, run_stages, shape_of_constant_part, stages_of

TASKS = ("classification", "regression")


def _check_choices(fusion, task, hyper_init):
    for name, value, choices in (
        ("fusion", fusion, FUSIONS), ("task", task, TASKS), ("hyper_init", hyper_init, INITIALISATIONS)
    ):  # fmt: skip
        if value not in choices:
            raise ValueError(
                f"{name!r} must be one of {quoted(list(choices))}. "
                f"Got {value!r} instead{did_you_mean(value, choices) or '.'}"
            )


def _check_outputs(task, n_outputs):
    if task == "classification" and n_outputs < 2:
        raise ValueError(f"task='classification' needs one output for each class. Got n_outputs={n_outputs}.")


def _check_inputs(fusion, kind, n_tabular_features, has_image):
    if kind.uses_table and not n_tabular_features:
        raise ValueError(
            f"fusion={fusion!r} needs tabular features, and there are none; fusion='image' needs none."
        )
    if kind.uses_image and not has_image:
        raise ValueError(
            f"fusion={fusion!r} needs images: give 'in_channels' and 'spatial_shape'; "
            f"fusion='tabular' needs none."
        )


class FusionNetwork(nn.Module):
    """Predict from an image and a row of a table.

    Parameters
    ----------
    backbone : {'resnet', 'vgg', 'resnet-paper', 'vgg-paper'} or callable, default='resnet'
        'resnet': `ResidualBackbone`; 'vgg': `PlainBackbone`; both also as the paper has them; or
        ``(in_channels, spatial_dims) -> nn.Module`` that returns features (B, C) or a map (B, C, *S), which
        is averaged over its positions.
    fusion : str, default='hyper'
        How the two are joined. 'hyper': the table makes weights of external layers; 'concat', 'max',
        'multiply': at a layer of the head, see `Head`; 'film', 'daft', 'tabattention': in the last block
        (behind a backbone of your own), see `FiLM`, `DAFT`, `TabAttention`; 'reverse': the image makes
        weights of the head, which then reads the table; 'late': at the end, where the predictions of two
        networks are averaged; 'image', 'tabular': one alone.
    n_tabular_features : int, default=0
        T. Not used by ``fusion='image'``.
    n_outputs : int
    task : {'classification', 'regression'}, default='regression'
        What the outputs mean, which ``fusion='late'`` must know to average them: logits of the classes, of
        which the softmaxes are averaged, or values.
    in_channels : int, default=None
        C of the image. Not used by ``fusion='tabular'``, nor are the next three.
    spatial_shape : sequence of 1 to 3 int, default=None
        S of the image.
    base_channels : int, default=16
        F, the width of a named backbone.
    dropout : float or sequence of float, default=0.2
        A number: the rate before and inside the head, with none in the blocks. A sequence has one rate for
        every place: 'resnet' the four blocks, before the head, inside the head (the paper's are 0.1, 0.2,
        0.2, 0.3, 0.6, 0.5); 'vgg' before the head; another backbone before and inside the head.
        The network that reads the table with ``fusion='tabular'``, 'late' and 'reverse' uses the number, or
        the last of the sequence, before its last layer.
    external_layers : str, sequence of str or None, default=None
        Layers whose weights the hypernetwork makes: names or patterns. None: 'resnet' the last block's
        shortcut convolution; 'vgg' and other backbones every linear layer of the head. With
        ``fusion='reverse'`` layers of the head, 'head.hidden1' and 'head.output'; None: the first.
        Only used by these two fusions, as are `shared_embedding` and `hyper_init`.
    hyper_depth : int, default=0
        Layers of the embedding network; 0 feeds the table straight to the generators. With
        ``fusion='reverse'`` it reads the backbone's channels, averaged over positions.
    hyper_width : int, default=32
        Units of its layers but the last. With ``fusion='reverse'`` also those of 'head.hidden1'.
    embedding_dim : int, default=8
        Units of its last layer.
    shared_embedding : bool, default=True
        One embedding network for all external layers, or one for each.
    hyper_init : {'principled', 'residual'}, default='principled'
        See `AffineGenerator`.

    Attributes
    ----------
    backbone, head : nn.Module or None
        The primary network. None with ``fusion='tabular'``; with 'reverse' the head reads the table.
    has_named_backbone : bool
        Whether the backbone is one of this package's, asked for by its name.
    fusion : Fusion
        What joins the table to it; ``fusion.hypernetwork`` with ``fusion='hyper'`` and 'reverse'.
    external_layers : tuple of str
        Names of the external layers.

    Shapes
    ------
    - image : (B, in_channels, *spatial_shape), or None with ``fusion='tabular'``
    - tabular : (B, T), or None with ``fusion='image'``
    - output : (B, n_outputs)

    Examples
    --------
    >>> net = FusionNetwork(n_tabular_features=5, n_outputs=3, in_channels=1, spatial_shape=(8, 8))
    >>> net(torch.ones(2, 1, 8, 8), torch.ones(2, 5)).shape
    torch.Size([2, 3])
    >>> net.external_layers
    ('backbone.block4.shortcut.conv',)
    """

    # As in a ModuleList: of what a network of the user's has, type checkers know nothing.
    backbone: Any
    head: Any

    def __init__(
        self,
        *,
        backbone: Backbone = "resnet",
        fusion: FusionName = "hyper",
        n_tabular_features: int = 0,
        n_outputs: int,
        task: Literal["classification", "regression"] = "regression",
        in_channels: int | None = None,
        spatial_shape: Sequence[int] | None = None,
        base_channels: int = 16,
        dropout: float | Sequence[float] = 0.2,
        external_layers: Names = None,
        hyper_depth: int = 0,
        hyper_width: int = 32,
        embedding_dim: int = 8,
        shared_embedding: bool = True,
        hyper_init: HyperInit = "principled",
    ) -> None:
        super().__init__()
        self.architecture = {
            "backbone": backbone, "fusion": fusion, "n_tabular_features": n_tabular_features,
            "n_outputs": n_outputs, "task": task, "in_channels": in_channels, "spatial_shape": spatial_shape,
            "base_channels": base_channels, "dropout": dropout, "external_layers": external_layers,
            "hyper_depth": hyper_depth, "hyper_width": hyper_width, "embedding_dim": embedding_dim,
            "shared_embedding": shared_embedding, "hyper_init": hyper_init,
        }  # fmt: skip
        _check_choices(fusion, task, hyper_init)
        _check_outputs(task, n_outputs)
        kind = FUSIONS[fusion]
        has_image = bool(in_channels) and spatial_shape is not None and len(spatial_shape) > 0
        _check_inputs(fusion, kind, n_tabular_features, has_image)
        self.n_tabular_features = n_tabular_features
        self.image_shape = (in_channels, *(spatial_shape or ())) if kind.uses_image else None
        rates: Any = dropout  # mypy takes no float for a number
        last_rate: Any = rates if isinstance(rates, numbers.Real) else tuple(rates)[-1]
        parts, primary = nn.ModuleDict(), None
        if kind.uses_image:
            primary = build_primary(
                backbone, in_channels=in_channels, spatial_shape=spatial_shape,
                base_channels=base_channels, dropout=dropout,
            )  # fmt: skip
            parts["backbone"] = primary.backbone
        if external_layers is not None and not isinstance(external_layers, str):
            external_layers = tuple(external_layers)
        setting = Setting(
            n_tabular_features=n_tabular_features,
            n_outputs=n_outputs,
            task=task,
            map_channels=primary.map_channels if primary else None,
            map_shape=primary.map_shape if primary else (),
            make_embedding=EmbeddingFactory(hyper_depth, hyper_width, embedding_dim),
            shared_embedding=shared_embedding,
            init=hyper_init,
            dropout=last_rate,
            external_layers=external_layers,
            default_external_layers=primary.default_external_layers if primary else (),
        )
        self.fusion = kind(setting)
        if primary:
            parts["head"] = self.fusion.make_head(primary)
        self.has_named_backbone = bool(primary and primary.is_named)
        self.external_layers = tuple(self.fusion.attach(parts))
        # Read back: a backbone that is a single layer may have been replaced.
        self.backbone = parts["backbone"] if primary else None
        self.head = parts["head"] if primary else None
        self.map_shape = (primary.map_channels, *primary.map_shape) if primary else None
        self.stages: tuple[str, ...] = stages_of(self.backbone, self.has_named_backbone) if primary else ()
        self.frozen_layers: tuple[str, ...] = ()
        self.frozen_modules: tuple[str, ...] = ()
        self.frozen_parameters: tuple[str, ...] = ()
        self.n_constant = 0
        self.constant_shape: tuple[int, ...] | None = None

    def freeze(self, patterns: Names) -> Self:
        """Freeze the layers that patterns choose, and train all others.

        Frozen layers stay in evaluation mode. Where the backbone begins with them, and no table changes what
        they do, `constant_part` makes of an image what may stand for it, of shape (B, *constant_shape).

        Parameters
        ----------
        patterns : str, sequence of str or None
            Names of modules or parameters, or `fnmatch` patterns of them: ``"backbone.*"``.
        """
        self.frozen_layers = (patterns,) if isinstance(patterns, str) else tuple(patterns or ())
        self.frozen_modules = freeze(self, self.frozen_layers)
        self.train(self.training)
        last = self.backbone.conditioned_stage if self._conditions_backbone else None
        self.n_constant = n_constant_stages(self, self.stages[: self.stages.index(last) if last else None])
        self.constant_shape = shape_of_constant_part(self) if self.n_constant else None
        return self

    @property
    def has_constant_backbone(self) -> bool:
        """Whether the backbone makes the same of an image in every step, and for every table."""
        is_whole = self.n_constant == len(self.stages) and not self._conditions_backbone
        return self.constant_shape is not None and is_whole

    def constant_part(self) -> nn.Module:
        """Return the part of the backbone whose output may stand for an image; its weights are shared."""
        if self.n_constant == len(self.stages):
            return self.backbone
        return nn.Sequential(*(self.backbone.get_submodule(name) for name in self.stages[: self.n_constant]))

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all layers but the frozen ones, which stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen_modules:
            self.get_submodule(name).eval()
        return self

    def forward(
        self,
        image: torch.Tensor | None = None,
        tabular: torch.Tensor | None = None,
        sample_weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the outputs (B, n_outputs).

        Parameters
        ----------
        image : Tensor (B, in_channels, *spatial_shape) or None
        tabular : Tensor (B, T) or None
        sample_weight : Tensor (B,) or None, default=None
            In training, the weight of every row in the statistics of the batch normalisation, so that a
            row of weight 2 counts as two rows there as it does in the loss.
        """
        self._check(image, tabular)
        with weighted_rows(sample_weight), self.fusion.supply(self, image, tabular):
            return self.fusion.output(self, self.fusion.features(self, image, tabular))

    def features(self, image: torch.Tensor | None, tabular: torch.Tensor | None) -> torch.Tensor:
        """Return the input of the last layer (B, d)."""
        self._check(image, tabular)
        with self.fusion.supply(self, image, tabular):
            return self.fusion.features(self, image, tabular)

    def image_map(
        self, image: torch.Tensor, condition: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Return the backbone's map or features; `condition` is applied inside or behind the backbone.

        `image` may be what `constant_part` has made of one.
        """
        first = next(self.backbone.parameters(), None)
        if first is not None:
            image = image.to(first.dtype)
        n_done = self.n_constant if self._is_stored(image) else 0
        if self.has_named_backbone:
            map = self.backbone(image, condition, n_done)
        else:
            map = run_stages(self.backbone, self.stages[n_done:], image) if n_done else self.backbone(image)
            map = map if condition is None else condition(map)
        # What follows the backbone may have been set to float64 for prediction.
        behind = next(itertools.chain(self.head.parameters(), self.fusion.parameters()))
        return map.to(behind.dtype)

    def initialize(self, tabular: torch.Tensor | None, sample_weight: torch.Tensor | None = None) -> Self:
        """Fit the scales to the training table and draw the generators. Call it once, before training.

        The batch normalisation of the table's embedding takes the table's statistics, and the generators are
        drawn for the mean square of the embedding that is measured on it. Draws from torch's global
        generator. Does nothing for a fusion without an embedding of the table.

        Parameters
        ----------
        tabular : Tensor of shape (n, T), or None with ``fusion='image'``
        sample_weight : Tensor of shape (n,) or None, default=None
        """
        if not self.fusion.uses_table:
            return self
        self._check_table(tabular)
        assert tabular is not None
        if not torch.isfinite(tabular).all():
            rows = (~torch.isfinite(tabular)).any(1).nonzero().flatten().tolist()
            raise ValueError(
                f"The table has {len(rows)} rows with NaN or infinity (first: {rows[:5]}); impute it first."
            )
        self.fusion.initialize(tabular, sample_weight)
        return self

    def generator_matrices(self) -> dict[str, int]:
        """Return the matrices G that generate weights: parameter name -> numbers that the generator reads."""
        return {
            f"{name}.weight_basis": module.embedding_dim
            for name, module in self.named_modules()
            if isinstance(module, AffineGenerator)
        }

    @property
    def has_embedding(self) -> bool:
        """Whether there is an embedding network, so that `tabular_network` can pre-train it."""
        return len(self.fusion.embedding_networks()) > 0

    def tabular_network(self, n_outputs: int) -> TabularNetwork:
        """Return a network ``tabular -> (B, n_outputs)`` that shares the embedding network, to pre-train it.

        Its linear head is fresh. With ``shared_embedding=False`` it reads all embeddings.
        """
        if not self.has_embedding:
            raise ValueError(
                "There is no embedding of the table to pre-train: only fusion='hyper', 'late' and 'tabular' "
                "have one, 'hyper' from hyper_depth=1."
            )
        return TabularNetwork(self.fusion.embedding_networks(), n_outputs, like=next(self.parameters()))

    @property
    def _conditions_backbone(self):
        return self.has_named_backbone and type(self.fusion).condition is not Fusion.condition

    def _is_stored(self, image):
        """Tell whether an image is what `constant_part` has made of one already."""
        return tuple(image.shape[1:]) == self.constant_shape

    def _check(self, image, tabular):
        if self.fusion.uses_image:
            shape = None if image is None else tuple(image.shape)
            if shape is None or (shape[1:] != self.image_shape and not self._is_stored(image)):
                wanted = ", ".join(map(str, self.image_shape))
                raise ValueError(f"The image must have shape (B, {wanted}). Got {shape} instead.")
        if self.fusion.uses_table:
            self._check_table(tabular)
        if self.fusion.uses_image and self.fusion.uses_table and image.shape[0] != tabular.shape[0]:
            raise ValueError(
                f"Image and table must have as many rows. "
                f"Got {tuple(image.shape)} and {tuple(tabular.shape)}."
            )

    def _check_table(self, tabular):
        shape = None if tabular is None else tuple(tabular.shape)
        if shape is None or len(shape) != 2 or shape[1] != self.n_tabular_features:
            raise ValueError(
                f"The table must have shape (B, {self.n_tabular_features}). Got {shape} instead."
            )


class TabularNetwork(nn.Module):
    """A linear head on the embedding of a `FusionNetwork`, to train that embedding on the table alone.

    Shapes
    ------
    - tabular : (B, T)
    - output : (B, n_outputs)
    """

    def __init__(self, embeddings, n_outputs, *, like):
        super().__init__()
        self.embeddings = nn.ModuleList(embeddings)
        n_in = sum(embedding.embedding_dim for embedding in self.embeddings)
        self.last = nn.Linear(n_in, n_outputs, device=like.device, dtype=like.dtype)

    def forward(self, tabular, sample_weight=None):
        """Return the outputs (B, n_outputs); `sample_weight` as in `FusionNetwork.forward`."""
        tabular = tabular.to(self.last.weight.dtype)
        with weighted_rows(sample_weight):
            return self.last(torch.cat([embedding(tabular) for embedding in self.embeddings], 1))
