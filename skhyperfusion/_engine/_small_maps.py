"""Work around a fault of torch on CPUs: bfloat16 gradients of small maps hold what lay in the memory."""

import torch
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)


class SmallMapsInFloat32(TorchFunctionMode):
    """Convolve in float32 where an axis of the map is shorter than kernel or stride, under autocast as well.

    There the gradient of a bfloat16 kernel is not written as a whole by torch 2.13 on CPUs with bfloat16
    instructions: what is left is whatever the memory held, at times NaN. Random shapes have shown it for no
    larger map, and in float32 for none.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call `func`, the convolutions among them as said."""
        kwargs = kwargs or {}
        if func not in _CONVOLUTIONS or not _is_small(*args, **kwargs):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(
                *map(_to_float32, args), **{name: _to_float32(value) for name, value in kwargs.items()}
            )


def _is_small(input, weight, bias=None, stride=1, *_, **__):
    widths = weight.shape[2:]
    sizes = input.shape[-len(widths) :]
    strides = (stride,) if isinstance(stride, int) else tuple(stride)
    strides = strides * len(sizes) if len(strides) == 1 else strides
    return any(size < max(reach) for size, *reach in zip(sizes, widths, strides, strict=True))


def _to_float32(value):
    return value.float() if isinstance(value, torch.Tensor) else value
