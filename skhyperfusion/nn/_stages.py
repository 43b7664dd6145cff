"""The parts that a backbone runs one after the other, and which of the first ones nothing changes."""

import torch
from torch import nn

from skhyperfusion.nn._externalize import ExternalLayer
from skhyperfusion.nn._frozen import with_owners

# Layers without weights that do the same in training and in evaluation.
_SAME_IN_BOTH_MODES = (
    nn.Identity, nn.Flatten, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish,
    nn.Tanh, nn.Sigmoid,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
)  # fmt: skip


def stages_of(backbone, is_named):
    """Return the names of the parts that a backbone runs one after the other, and does nothing else.

    Of a backbone of this package its blocks; of an ``nn.Sequential`` its layers, and those of one inside it.
    What any other module does between its parts is not known: it is one part, itself, of the name "".
    """
    return backbone.stage_names if is_named else tuple(_layers(backbone, ""))


def _layers(module, name):
    is_sequence = getattr(module.forward, "__func__", None) is nn.Sequential.forward
    # Whoever hooks on to a sequence wants to see it run, as a whole.
    if not is_sequence or module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
        return [name]
    prefix = f"{name}." if name else ""
    # Not by named_children, which leaves out a layer that comes twice.
    return [part for child, layer in module._modules.items() for part in _layers(layer, prefix + child)]


def n_constant_stages(network, stages):
    """Count the stages at the beginning that make the same of an image in every step and for every table.

    Parameters
    ----------
    network : FusionNetwork
        With ``frozen_modules``.
    stages : sequence of str
        Names within the backbone. Counted are those that are frozen, and layers without weights between and
        behind them; none where no weight is among them.
    """
    frozen, n, has_weights = set(network.frozen_modules), 0, False
    for name in stages:
        stage = network.backbone.get_submodule(name)
        is_frozen = not frozen.isdisjoint(with_owners(f"backbone.{name}".rstrip(".")))
        is_external = any(isinstance(layer, ExternalLayer) for layer in stage.modules())
        if is_external or not (is_frozen or type(stage) in _SAME_IN_BOTH_MODES):
            break
        n += 1
        has_weights |= any(True for _ in stage.parameters())
    return n if has_weights else 0


@torch.no_grad()
def shape_of_constant_part(network):
    """Return (C, *S) of what the constant part of a `FusionNetwork` makes of an image.

    None where it cannot stand for the image: where it has the same shape, or is no tensor.
    """
    if network.n_constant == len(network.stages):
        shape = network.map_shape
    else:
        part = network.constant_part()
        out = part(next(part.parameters()).new_zeros(2, *network.image_shape))
        shape = tuple(out.shape[1:]) if isinstance(out, torch.Tensor) and len(out) == 2 else ()
    return shape if shape and shape != network.image_shape else None


def run_stages(backbone, stages, image):
    """Return what some stages of a backbone make of an image, or of what those before them made of it."""
    for name in stages:
        image = backbone.get_submodule(name)(image)
    return image
