"""Tell of a training that came to nothing: a network that says the same of every row."""

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skhyperfusion._engine._batches import FusionDataset
from skhyperfusion._engine._predict import predict_outputs

N_ROWS = 16  # that are tried
# Differences of outputs, which are in units of one: beyond what float32 rounds, and what float64 does.
CLEAR, TOLERANCE = 1e-4, 1e-9


def warn_if_collapsed(module, dataset, *, device, estimator_name, lr):
    """Warn if training rows that are not all alike get the same outputs.

    So it is when the rectifiers of a hidden layer are all shut for all rows, which a learning rate that is
    too high can bring about within a few steps, and which no later step undoes. The loss stays finite, at
    that of the classes' shares.

    Parameters
    ----------
    module : FusionNetwork
        Fitted network.
    dataset : FusionDataset
        Its training rows.
    device : torch.device
        Where to compute.
    estimator_name : str
        Named in the warning, as is the next.
    lr : float
        Learning rate of the fit.
    """
    places = np.unique(np.linspace(0, len(dataset) - 1, N_ROWS).astype(int))
    tried = FusionDataset(
        images=dataset.images, tabular=dataset.tabular, rows=dataset.rows[places], dtype=dataset.dtype
    )
    # The exact outputs take as long as several steps on small images; mostly they are not needed.
    for exact, tolerance in ((False, CLEAR), (True, TOLERANCE)):
        outputs = predict_outputs(module, tried, device=device, batch_size=N_ROWS, exact=exact)
        if np.ptp(outputs, axis=0).max() > tolerance:
            return
    if _alike(tried):
        return
    warnings.warn(
        f"{estimator_name}: the training has collapsed. The network gives the same answer to each of "
        f"{len(tried)} training rows, although they differ, and so to any other row; its scores say nothing "
        f"of the data. Fit with a lower learning rate than lr={lr:g}, or with another random_state.",
        ConvergenceWarning,
        stacklevel=2,
    )


def _alike(dataset):
    inputs, _ = dataset.__getitems__(np.arange(len(dataset)))
    return all(torch.equal(value, value[:1].expand_as(value)) for value in inputs.values())
