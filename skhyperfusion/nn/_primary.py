"""The primary network's two parts, from a backbone's name or from the user's own."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from skhyperfusion._wording import did_you_mean, quoted
from skhyperfusion.nn._backbones import PlainBackbone, ResidualBackbone, spread_dropout
from skhyperfusion.nn._head import Head


class Primary(NamedTuple):
    """What a fusion needs to know of a backbone."""

    backbone: nn.Module
    make_head: Callable[..., Head]
    map_channels: int  # C and *S of what comes out, and of the map that a fusion may change
    map_shape: tuple[int, ...]
    default_external_layers: tuple[str, ...]
    is_named: bool  # ours: it takes a condition, and how its layers are run is known


def _make_residual(in_channels, spatial_shape, base_channels, dropout, paper=False):
    rates = spread_dropout(dropout, *ResidualBackbone.dropout_places)
    backbone = ResidualBackbone(
        in_channels,
        spatial_dims=len(spatial_shape),
        base_channels=base_channels,
        dropout=rates[:4],
        paper=paper,
    )
    return backbone, backbone.map_shape(spatial_shape), rates


def _make_plain(in_channels, spatial_shape, base_channels, dropout, paper=False):
    rates = spread_dropout(dropout, *PlainBackbone.dropout_places)
    backbone = PlainBackbone(
        in_channels, spatial_shape=spatial_shape, base_channels=base_channels, paper=paper
    )
    return backbone, backbone.map_shape, rates


# A further backbone: a function like those two, and a line here.
BACKBONES = {
    "resnet": _make_residual,
    "vgg": _make_plain,
    "resnet-paper": functools.partial(_make_residual, paper=True),
    "vgg-paper": functools.partial(_make_plain, paper=True),
}


def build_primary(backbone, *, in_channels, spatial_shape, base_channels, dropout):
    """Return the `Primary` for a backbone's name or a callable ``(in_channels, spatial_dims) -> Module``."""
    spatial_shape = tuple(spatial_shape)
    if isinstance(backbone, str) and backbone in BACKBONES:
        module, shape, rates = BACKBONES[backbone](in_channels, spatial_shape, base_channels, dropout)

        def make_head(n_outputs, **joining):
            return module.make_head(n_outputs, dropout=rates, **joining)

        return Primary(module, make_head, module.n_channels, shape, module.default_external_layers, True)
    if isinstance(backbone, nn.Module):
        raise TypeError(
            f"'backbone' is a {type(backbone).__name__} object, which every fit would train on. Pass a "
            f"function that makes it: lambda in_channels, spatial_dims: {type(backbone).__name__}(...)."
        )
    if isinstance(backbone, str) or not callable(backbone):
        raise ValueError(
            f"'backbone' must be one of {quoted(list(BACKBONES))} or a callable "
            f"(in_channels, spatial_dims) -> torch.nn.Module. Got {backbone!r} instead"
            f"{did_you_mean(backbone, BACKBONES) or '.'}"
        )
    return _make_from_user(backbone, in_channels, spatial_shape, dropout)


def _check_signature(make):
    """Raise TypeError where a backbone's function does not take the two arguments that it is given."""
    try:
        inspect.signature(make).bind(1, 2)
    except ValueError:  # it has no signature to ask for
        return
    except TypeError as error:
        raise TypeError(
            f"'backbone' must be a callable (in_channels, spatial_dims) -> torch.nn.Module, but {make!r} "
            f"cannot be called so: {error}."
        ) from error


def _make_from_user(make, in_channels, spatial_shape, dropout):
    """Return the `Primary` of a user's backbone; its head is the residual network's."""
    _check_signature(make)
    module = make(in_channels, len(spatial_shape))
    if not isinstance(module, nn.Module):
        raise TypeError(f"'backbone' must return a torch.nn.Module. It returned {type(module).__name__}.")
    n_channels, *map_shape = _features_shape(module, in_channels, spatial_shape)
    rates = spread_dropout(dropout, 0, 2)

    def make_head(n_outputs, **joining):
        hidden = max(16, n_channels // 4)
        return Head(
            n_channels, n_outputs, hidden_sizes=(hidden,), dropout=rates, n_direct=n_channels, normalize=True,
            **joining,
        )  # fmt: skip

    return Primary(module, make_head, n_channels, tuple(map_shape), ("head.*",), False)


def _features_shape(module, in_channels, spatial_shape):
    """Run two blank images through the user's backbone and return (C, *S) of what comes out."""
    like = next((p for p in module.parameters() if not nn.parameter.is_lazy(p)), torch.empty(0))
    blank = torch.zeros(2, in_channels, *spatial_shape, device=like.device, dtype=like.dtype)
    training = {part: part.training for part in module.modules()}
    try:
        with torch.no_grad():
            out = module.eval()(blank)
    except Exception as error:
        raise ValueError(
            f"The backbone {type(module).__name__} failed on images of shape {tuple(blank.shape)} "
            f"(samples, channels, *spatial): {error}"
        ) from error
    finally:
        for part, was_training in training.items():
            part.training = was_training
    shape = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
    fits = isinstance(out, torch.Tensor) and out.ndim in (2, len(spatial_shape) + 2)
    if not fits or out.shape[0] != 2 or math.prod(out.shape) == 0:
        raise ValueError(
            f"The backbone {type(module).__name__} must return features (B, C) or a map (B, C, *S) of "
            f"{len(spatial_shape)} spatial axes. For images of {tuple(blank.shape)} it returned {shape}."
        )
    return shape[1:]
