"""Turn chosen layers of any module into external ones."""

import fnmatch
import functools
from collections.abc import Sequence

import torch
from torch import nn

from skhyperfusion._typing import HyperInit
from skhyperfusion._wording import did_you_mean, quoted
from skhyperfusion.nn._embedding import EmbeddingNetwork
from skhyperfusion.nn._external import ExternalConv, ExternalLinear
from skhyperfusion.nn._generator import AffineGenerator
from skhyperfusion.nn._hypernetwork import Hypernetwork, Slot, look_up

_CONV_DIMS = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU)
_PASSED_OVER = (
    nn.Identity, nn.Flatten,
    nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase,
    nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd,
)  # fmt: skip


class ExternalLayer(nn.Module):
    """Stands where a layer was, and applies the weights that the hypernetwork supplies for the batch.

    It is called as the layer was, so the module around it needs no change.
    """

    def __init__(self, layer, slot):
        super().__init__()
        self.layer = layer
        self.slot = slot

    def forward(self, input):
        """Apply sample i's weights to sample i's input."""
        embedding, generator = look_up(self.slot)
        if input.shape[0] != embedding.shape[0]:
            raise ValueError(
                f"The external layer {self.slot.name!r} received input of shape {tuple(input.shape)} for a "
                f"table of {embedding.shape[0]} rows. The first axis must be the samples; a layer that sees "
                f"windows or patches as samples cannot be external."
            )
        by_basis = self.layer.prefers_basis(input, generator.embedding_dim)
        if by_basis:
            parts = (embedding, generator.weight_basis, generator.weight_constant, generator.bias(embedding))
        else:
            parts = generator(embedding)
        # In prediction the hypernetwork may be float64 where the backbone is not: matrix products follow it.
        double = parts[0].dtype == torch.float64 and (
            by_basis or self.layer.is_product(generator.weight_shape)
        )
        dtype = torch.float64 if double else input.dtype
        parts = (None if part is None else part.to(dtype) for part in parts)
        out = (self.layer.from_basis if by_basis else self.layer)(input.to(dtype), *parts)
        return out.to(input.dtype) if double else out

    def __getattr__(self, name):
        if name in ("weight", "bias"):
            raise AttributeError(
                f"The external layer {self.slot.name!r} has no {name!r}: it is made for each sample. "
                f"A module that reads it directly needs that layer to stay internal."
            )
        return super().__getattr__(name)


def externalize(
    module: nn.Module,
    patterns: str | Sequence[str],
    *,
    n_tabular_features: int,
    depth: int = 1,
    width: int = 32,
    embedding_dim: int = 8,
    shared_embedding: bool = True,
    init: HyperInit = "principled",
    normalize: bool = False,
) -> Hypernetwork:
    """Turn layers of `module` into external ones, in place, and return the hypernetwork that feeds them.

    Parameters
    ----------
    module : nn.Module
        Any module: its code needs no change. A layer that is used in several places stays one layer.
    patterns : str or sequence of str
        Names as in ``module.named_modules()``, or `fnmatch` patterns of them. Every ``nn.Linear`` and
        ``nn.Conv1d/2d/3d`` that matches is replaced.
    n_tabular_features : int
    depth, width, embedding_dim : int
        The embedding network's; see `EmbeddingNetwork`.
    shared_embedding : bool, default=True
        One embedding network for all layers, or one for each.
    init : {'principled', 'residual'}, default='principled'
        See `AffineGenerator`. 'residual' keeps the (pretrained) weights as the generators' constant part.
    normalize : bool, default=False
        Normalise the embedding; see `EmbeddingNetwork`.

    Returns
    -------
    hypernetwork : Hypernetwork
        Call `module` inside ``with hypernetwork.supply(tabular):``.

    Notes
    -----
    A bias is generated even for a layer that has none, such as a convolution in front of a normalisation:
    one that is the same for all rows would be normalised away, but one of each row's own tells the layers
    behind what the table says by itself.

    The principled initialisation doubles the variance before a rectifier. One is seen where it follows in
    the same ``nn.Sequential`` (past normalisation, dropout and pooling), or where the layer's parent names
    the layer in an attribute ``relu_follows``. Elsewhere none is assumed.

    Examples
    --------
    >>> import torch
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 1))
    >>> hypernetwork = externalize(net, "3", n_tabular_features=5)
    >>> with hypernetwork.supply(torch.ones(2, 5)):
    ...     net(torch.ones(2, 1, 8, 8)).shape
    torch.Size([2, 1])
    """
    make_embedding = functools.partial(
        EmbeddingNetwork, n_tabular_features,
        depth=depth, width=width, embedding_dim=embedding_dim, normalize=normalize,
    )  # fmt: skip
    return externalize_by(make_embedding, module, patterns, shared_embedding=shared_embedding, init=init)


def externalize_by(make_embedding, module, patterns, *, shared_embedding, init):
    """Do as `externalize`, with embedding networks that ``make_embedding()`` returns."""
    names = resolve_layers(module, patterns)
    layers = {name: module.get_submodule(name) for name in names}
    relu_follows = {name: _relu_follows(module, name) for name in names}

    def make_generator(slot, dim):
        layer = layers[slot.name]
        return AffineGenerator(
            dim,
            layer.weight.shape,
            relu_follows=relu_follows[slot.name],
            init=init,
            constant=(layer.weight, layer.bias),
        )

    slots = [Slot(name) for name in names]
    hypernetwork = Hypernetwork(slots, make_generator, make_embedding, shared_embedding=shared_embedding)
    for slot in slots:
        _replace(module, layers[slot.name], slot)
    return hypernetwork


def resolve_layers(module, patterns, parameter="external_layers"):
    """Return the names of the layers that `patterns` choose, in the module's order.

    Raises ValueError, naming `parameter` and the nearest layer, where a pattern finds none that can be.
    """
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    if not patterns:
        raise ValueError(f"{parameter!r} is empty: name one layer at least, or choose fusion='image'.")
    every = dict(module.named_modules(remove_duplicate=False))
    every.pop("", None)
    able = [name for name, layer in every.items() if not obstacle(layer)]
    chosen = set()
    for pattern in patterns:
        found = [name for name in every if fnmatch.fnmatchcase(name, pattern)]
        fitting = [name for name in found if name in set(able)]
        if not fitting:
            raise ValueError(f"{parameter}: {_no_layer(pattern, found, every, able)}")
        chosen.update(id(every[name]) for name in fitting)
    names, seen = [], set()
    for name in able:
        if id(every[name]) in chosen - seen:  # a shared layer goes by its first name
            seen.add(id(every[name]))
            names.append(name)
    return tuple(names)


def _no_layer(pattern, found, every, able):
    there = f"Layers that can be external: {quoted(able)}." if able else "No layer here can be external."
    if not found:
        return f"no layer matches {pattern!r}{did_you_mean(pattern, able) or '.'} {there}"
    first = found[0]
    inside = [name for name in able if name.startswith(first + ".")]
    if len(found) == 1 and inside:
        return (
            f"{pattern!r} is a {type(every[first]).__name__}, not a layer; "
            f"write '{first}.*' for the {len(inside)} in it. {there}"
        )
    whys = "; ".join(f"{name!r} is {obstacle(every[name])}" for name in found[:5])
    return f"{pattern!r} matches nothing that can be external ({whys}). {there}"


def obstacle(layer):
    """Return why `layer` cannot be made external, or None where it can."""
    if isinstance(layer, ExternalLayer):
        return "external already, its weights are generated from the table"
    kinds = (nn.Linear, *_CONV_DIMS)
    kind = next((kind for kind in kinds if isinstance(layer, kind)), None)
    if kind is None:
        return f"a {type(layer).__name__}; only Linear, Conv1d, Conv2d and Conv3d can be"
    # The projection inside nn.MultiheadAttention, of which only the weight is read.
    inside_attention = isinstance(layer, nn.modules.linear.NonDynamicallyQuantizableLinear)
    if type(layer).forward is not kind.forward or inside_attention:
        return f"a {type(layer).__name__}, which does more than a {kind.__name__}"
    if not isinstance(layer._parameters.get("weight"), nn.Parameter):
        return "parametrised (weight norm, spectral norm or the like); remove the parametrisation first"
    if nn.parameter.is_lazy(layer.weight):
        return f"a {type(layer).__name__} without a size yet; run the module once before"
    return None


def _relu_follows(module, name):
    parent, child = _parent(module, name)
    if child in getattr(parent, "relu_follows", ()):
        return True
    if not isinstance(parent, nn.Sequential):
        return False
    names = list(parent._modules)
    for following in list(parent._modules.values())[names.index(child) + 1 :]:
        if not isinstance(following, _PASSED_OVER):
            return isinstance(following, _RECTIFIERS)
    return False


def _parent(module, name):
    path, _, child = name.rpartition(".")
    return module.get_submodule(path), child


def _replace(module, layer, slot):
    """Put an `ExternalLayer` wherever `layer` is registered."""
    if isinstance(layer, nn.Linear):
        external = ExternalLinear()
    else:
        external = ExternalConv(
            spatial_dims=len(layer.kernel_size),
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
            padding_mode=layer.padding_mode,
        )
    substitute = ExternalLayer(external, slot).train(layer.training)
    for parent in module.modules():
        for child, found in list(parent._modules.items()):
            if found is layer:
                parent._modules[child] = substitute
