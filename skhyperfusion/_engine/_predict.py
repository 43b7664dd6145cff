"""What a fitted network says of new rows, whatever batch they come in."""

import contextlib
import copy
import math

import numpy as np
import torch

from skhyperfusion._engine._allocator import freed_memory_kept
from skhyperfusion._engine._batches import ReadAhead
from skhyperfusion._engine._gone_wrong import told_of_memory
from skhyperfusion.nn._backbones import PlainBackbone, ResidualBackbone
from skhyperfusion.nn._layout import lay_out, lay_out_images

# Up to this many values per image the whole network is run in float64; above it the backbone is run in
# float32, where a processor is at least twice as fast.
MAX_FLOAT64_VALUES = 16_384
# Values of the images that a float32 backbone is given at a time, and how many images at least and at most.
# Torch has a slow convolution for one. On a CPU two large ones suffice; of small ones it takes more, or the
# interpreter's work between the layers counts (32^3: 16 at a time take 9 % less than 8). A GPU wants more.
VALUES_AT_A_TIME = {"cpu": 1 << 19, "cuda": 1 << 23}
ROWS_AT_A_TIME = (2, 32)
# Values that are read at a time where `batch_size` rows have fewer: between two runs of the network the
# reader's code has left the processor's caches. 8 MiB, whatever the number of rows.
VALUES_READ = 1 << 21
# Values of all images from which on a prediction of several passes keeps the memory that each of them frees,
# and hands it back at the end: below, settings of the whole process are not worth touching.
VALUES_WORTH_KEEPING = 1 << 22


@torch.no_grad()
def predict_outputs(module, dataset, *, device, batch_size, method="forward", exact=True):
    """Run the network over a data set so that a row's result depends on that row alone.

    In float32 the rounding of a matrix product depends on the number of rows and on a row's place among
    them, by some 1e-7 of the value; scikit-learn's order and subset checks ask for less. So small inputs are
    computed in float64. For large images the backbone runs in float32 and all else in float64, always on
    equally many images, the last ones filled up: torch's convolutions treat every place alike. What a
    backbone of the user's does is not known: its images are read one by one, as on a device without float64.

    Parameters
    ----------
    module : FusionNetwork
        Fitted network.
    dataset : FusionDataset
        Rows without targets.
    device : torch.device
        Where to compute.
    batch_size : int
        Rows that are read at a time, at least; in float64 also the rows that are computed at a time.
    method : {"forward", "features"}
        Outputs, or what enters the last layer.
    exact : bool, default=True
        False computes small images, too, in the type that the network was trained in: faster, and a row's
        result depends on the rows beside it by rounding.

    Returns
    -------
    ndarray (n, V, K) of float64
        One result per row and view (V = 1 without bilateral views).
    """
    module = copy.deepcopy(module)  # the fitted network stays where it is
    if device.type not in VALUES_AT_A_TIME:
        module.float()  # before the move: Apple's GPUs have no float64
    module.to(device).eval()
    n_values = _values_per_image(dataset)
    n_at_a_time, dtypes = _set_precision(module, n_values, device, exact)
    n_rows = n_at_a_time or batch_size
    n_read = n_rows * math.ceil(max(batch_size, VALUES_READ // max(1, n_values)) / n_rows)
    last = lay_out(module)
    function = module if method == "forward" else module.features
    results = []
    is_large = len(dataset) > n_rows and len(dataset) * n_values >= VALUES_WORTH_KEEPING
    precision = str(next(module.parameters()).dtype).removeprefix("torch.")
    memory = told_of_memory("prediction", dataset, n_rows, precision)
    with freed_memory_kept(device) if is_large else contextlib.nullcontext(), memory:
        for inputs in _blocks(dataset, n_read, device):
            inputs = {name: value.to(dtypes[name]).to(device) for name, value in inputs.items()}
            for parts in zip(*(value.split(n_rows) for value in inputs.values()), strict=True):
                filled = [_fill_up(part, n_at_a_time or len(part)) for part in parts]
                outputs = _per_view(function, dict(zip(inputs, filled, strict=True)), last)
                results.append(outputs[: len(parts[0])].cpu().double())
    return torch.cat(results).numpy()


def _blocks(dataset, n_rows, device):
    """Read the inputs of so many rows after so many; beside the network where a device computes by itself."""
    starts = range(0, len(dataset), n_rows)
    blocks = (
        dataset.__getitems__(np.arange(start, min(start + n_rows, len(dataset))))[0] for start in starts
    )
    return blocks if device.type == "cpu" else ReadAhead(blocks)


def _set_precision(module, n_values, device, exact):
    """Set the types to compute in: (rows at a time, None for any number; type of each input)."""
    trained = next(module.parameters()).dtype
    if device.type not in VALUES_AT_A_TIME:
        return 1, {"image": trained, "tabular": trained}
    if n_values <= MAX_FLOAT64_VALUES or trained == torch.float64:
        if exact:
            module.double()
        dtype = next(module.parameters()).dtype
        return None, {"image": dtype, "tabular": dtype}
    if not isinstance(module.backbone, ResidualBackbone | PlainBackbone):
        return 1, {"image": trained, "tabular": trained}
    module.double().backbone.to(trained)
    least, most = ROWS_AT_A_TIME
    n_rows = min(max(VALUES_AT_A_TIME[device.type] // n_values, least), most)
    return n_rows, {"image": trained, "tabular": torch.float64}


def _fill_up(rows, n):
    """Repeat the last row until there are n."""
    return rows if len(rows) == n else torch.cat([rows, rows[-1:].expand(n - len(rows), *rows.shape[1:])])


def _values_per_image(dataset):
    if dataset.images is None:
        return 0
    if isinstance(dataset.images, torch.Tensor):
        return dataset.images[0, 0].numel()
    return int(np.prod(dataset.images.spec.shape)) * dataset.images.spec.n_channels


def _per_view(function, inputs, last):
    """Apply ``function`` to each view of the images: (B, V, C, *S) -> (B, V, K)."""
    tabular = inputs.get("tabular")
    if "image" not in inputs:
        return function(None, tabular)[:, None]
    views = [lay_out_images(view, last=last) for view in inputs["image"].unbind(1)]
    return torch.stack([function(view, tabular) for view in views], dim=1)
