"""In which memory format images and kernels are laid out: torch's plain one, but for large volumes.

Torch's convolutions on a CPU have been found wrong in other formats: with the channels last, the backward
pass of some narrow 2-D ones writes beyond its memory. So the channels come last only where
``benchmarks/convolution_layouts.py`` has shown every convolution of a network right, and
``benchmarks/training_step.py`` and ``benchmarks/prediction.py`` have shown it faster.
"""

import math

import torch
from torch import nn

# Where it pays: volumes above the size up to which predictions are computed in float64, which gains nothing,
# and backbones of this width or more. In narrower ones the normalisation of few channels loses in part what
# the convolutions gain.
MIN_VOXELS = 16_385
MIN_CHANNELS = 8


def suits_channels_last(network):
    """Return whether a `FusionNetwork` runs in the format channels last, the whole of its backbone.

    One answer for a network, not one for each layer: a layer's format follows from that of the layer before.
    A backbone of the user's is never laid out: what its layers are is not known.
    """
    if not getattr(network, "has_named_backbone", False):
        return False
    shape = network.image_shape[1:]
    if len(shape) != 3 or math.prod(shape) < MIN_VOXELS:
        return False
    first = next(layer for layer in network.backbone.modules() if isinstance(layer, nn.Conv3d))
    return first.out_channels >= MIN_CHANNELS and first.weight.dtype == torch.float32


def lay_out(network):
    """Lay out the kernels of the convolutions of a named backbone; return whether channels come last."""
    last = suits_channels_last(network)
    if getattr(network, "has_named_backbone", False):
        for layer in network.backbone.modules():
            if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
                layer.weight.data = lay_out_images(layer.weight.data, last=last)
    return last


def lay_out_images(images, *, last=False):
    """Lay images or kernels (B, C, *S) out in torch's plain format, or with the channels last.

    Where an axis has length one, both formats can be the same bytes, and torch goes by the strides, which
    may say either, as they come: so they are set to what is meant.
    """
    if last:
        images = images.movedim(1, -1).contiguous()
        return _with_plain_strides(images).movedim(-1, 1)
    return _with_plain_strides(images.contiguous())


def _with_plain_strides(tensor):
    strides = [math.prod(tensor.shape[axis + 1 :]) for axis in range(tensor.ndim)]
    return tensor if tensor.stride() == tuple(strides) else tensor.as_strided(tensor.shape, strides)
