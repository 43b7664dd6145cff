"""What a fitted network says of new rows, whatever batch they come in."""

import copy

import numpy as np
import torch
from torch import nn

from skhyperfusion._allocator import freed_memory_kept

# Up to this many values per image the whole network is run in float64, a batch at a time; above it the
# images are read one at a time in float32, which costs nothing there, since one image fills the cores.
MAX_FLOAT64_VALUES = 16_384


@torch.no_grad()
def predict_outputs(module, dataset, *, device, batch_size, method="forward"):
    """Run the network over a data set so that a row's result depends on that row alone.

    In float32 the rounding of a batched matrix product depends on the other rows of the batch, by some
    1e-7 of the value; scikit-learn's order and subset checks ask for less. So small inputs are computed in
    float64, and large images one by one. On a device without float64 the images are read one by one.

    Parameters
    ----------
    module : FusionNetwork
        Fitted network.
    dataset : FusionDataset
        Rows without targets.
    device : torch.device
        Where to compute.
    batch_size : int
        Rows at a time.
    method : {"forward", "features"}
        Outputs, or what enters the last layer.

    Returns
    -------
    ndarray (n, V, K) of float64
        One result per row and view (V = 1 without bilateral views).
    """
    one_by_one = _values_per_image(dataset) > MAX_FLOAT64_VALUES or device.type == "mps"
    dtype = next(module.parameters()).dtype if one_by_one else torch.float64
    module = copy.deepcopy(module).to(device, dtype).eval()  # the fitted network stays where it is
    function = module if method == "forward" else module.features
    results = []
    with freed_memory_kept(device):
        for start in range(0, len(dataset), batch_size):
            inputs, _ = dataset.__getitems__(np.arange(start, min(start + batch_size, len(dataset))))
            inputs = {name: value.to(device, dtype) for name, value in inputs.items()}
            size = 1 if one_by_one else batch_size
            for parts in zip(*(value.split(size) for value in inputs.values()), strict=True):
                part = dict(zip(inputs, parts, strict=True))
                results.append(_per_view(function, part).double().cpu())
    return torch.cat(results).numpy()


def _values_per_image(dataset):
    if dataset.images is None:
        return 0
    if isinstance(dataset.images, torch.Tensor):
        return dataset.images[0, 0].numel()
    return int(np.prod(dataset.images.spec.shape)) * dataset.images.spec.n_channels


def _per_view(function, inputs):
    """Apply ``function`` to each view of the images: (B, V, C, *S) -> (B, V, K)."""
    tabular = inputs.get("tabular")
    if "image" not in inputs:
        return function(None, tabular)[:, None]
    views = [view.contiguous(memory_format=channels_last(view)) for view in inputs["image"].unbind(1)]
    return torch.stack([function(view, tabular) for view in views], dim=1)


def channels_last(image):
    """Memory format in which convolutions of such a tensor run fastest: (B, C, *S) -> format."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return formats.get(image.ndim, torch.contiguous_format)


def lay_out(module):
    """Lay the weights of convolutions out as they run fastest."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            layer.weight.data = layer.weight.data.contiguous(memory_format=channels_last(layer.weight))
