"""Losses of a network while one of its layers is re-initialised again and again."""

import copy

import numpy as np
import torch

from skhyperfusion._engine._device import seeded
from skhyperfusion._progress import progress_bar
from skhyperfusion.inspection._reuse import fixed_outputs, outputs_before
from skhyperfusion.nn._layout import lay_out_images, suits_channels_last

CPU = torch.device("cpu")


class Probe:
    """A layer, and random weights for it that can be drawn again.

    Parameters
    ----------
    layer : nn.Module
        With a ``reset_parameters``.
    seeds : sequence of int
        One for each draw.
    """

    def __init__(self, layer, seeds):
        self.layer = layer
        self.seeds = seeds
        self.trained = copy.deepcopy(layer.state_dict())
        self.fresh = copy.deepcopy(layer).cpu()  # drawn there, so that every device gets the same

    def draw(self, repeat):
        """Give the layer its random weights of number `repeat`."""
        with seeded(self.seeds[repeat], CPU):
            self.fresh.reset_parameters()
        self.layer.load_state_dict(self.fresh.state_dict())

    def restore(self):
        """Give the layer its own weights back."""
        self.layer.load_state_dict(self.trained)


@torch.no_grad()
def probe_losses(network, probes, rows, *, batch_size, device, verbose):
    """Mean loss of the rows with the network as it is, and with each layer re-initialised.

    Parameters
    ----------
    network : FusionNetwork
        In eval mode, on `device`; it has its own weights again at the end.
    probes : list of Probe
        Its layers.
    rows : ScoredRows
        What to score on.
    batch_size, device, verbose
        Rows at a time, where, and whether to show a bar.

    Returns
    -------
    loss : float
    losses : ndarray (n_probes, n_repeats)
    """
    n_repeats = len(probes[0].seeds)
    loss, losses = 0.0, np.zeros((len(probes), n_repeats))
    starts = range(0, len(rows), batch_size)
    n_passes = len(starts) * len(probes) * n_repeats
    with progress_bar(n_passes, "layer_sensitivity", "pass", verbose=verbose) as bar:
        for start in starts:
            batch = np.arange(start, min(start + batch_size, len(rows)))
            weight = rows.weight[batch] / len(rows)  # weights have a mean of one
            views = _views(rows.dataset, batch, device, suits_channels_last(network))
            intact = torch.stack([network(**view) for view in views]).mean(0)
            loss += float(rows.losses(intact, batch) @ weight)
            for i, probe in enumerate(probes):
                outputs = sum(_outputs(network, probe, view) for view in views) / len(views)
                losses[i] += (rows.losses(outputs, batch) @ weight).numpy()
                probe.restore()
                bar.update(n_repeats)
    return loss, losses


def _views(dataset, batch, device, last):
    """Return the network's inputs for each view of the images of a batch."""
    inputs, _ = dataset.__getitems__(batch)
    inputs = {name: value.to(device) for name, value in inputs.items()}
    views = inputs.pop("image").unbind(1)
    return [{"image": lay_out_images(view, last=last), **inputs} for view in views]


def _outputs(network, probe, inputs):
    """Return the outputs for one batch, with the layer re-initialised: (n_repeats, B, K)."""

    def run():
        return network(**inputs)

    before = outputs_before(network, probe.layer, run)
    probe.draw(0)
    plain = run()
    with fixed_outputs(before):
        same = torch.allclose(run(), plain, rtol=1e-4, atol=1e-5, equal_nan=True)
    outputs = []
    # Not the same where a module reads the layer's weights without calling it, or writes into its input.
    with fixed_outputs(before if same else {}):
        for repeat in range(len(probe.seeds)):
            probe.draw(repeat)
            outputs.append(run())
    return torch.stack(outputs)
