"""What a frozen network makes of images, computed once."""

import copy
import functools
import hashlib

import torch


def network_name(code, network):
    """Return a text that tells a network's function from every other's, or None where nothing can.

    Parameters
    ----------
    code : str or None
        Tells what makes the network from all else; None where it cannot be told.
    network : nn.Module
        Each of its weights counts.
    """
    if code is None:
        return None
    digest = hashlib.sha256(code.encode())
    for name, value in network.state_dict().items():
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def frozen_outputs(network, code, source, device, *, pooled=False):
    """Run a network in evaluation mode over the images of a source, each by itself and once.

    Parameters
    ----------
    network : nn.Module
        On the CPU; it stays there, and as it is.
    code : str or None
        As in `network_name`; with None nothing is kept.
    source : ImageSource
        The images; what is made of them is kept beside them.
    device : torch.device
        Where to compute.
    pooled : bool, default=False
        Average over positions and views.

    Returns
    -------
    ndarray of shape (n, V, C, *S), or (n, C) where pooled
        float32.
    """
    name = network_name(f"{code} pooled={pooled}" if code is not None else None, network)
    like = next(network.parameters(), torch.empty(0))
    running = copy.deepcopy(network).to(device).eval()
    run = functools.partial(_run, running, device, like.dtype, pooled)
    return source.derive(run, name)


@torch.no_grad()
def _run(network, device, dtype, pooled, images):
    """Return what a network makes of the views of one row (V, C, *S)."""
    out = network(torch.from_numpy(images).to(device, dtype))
    if pooled:
        positions = tuple(range(2, out.ndim))
        out = (out.mean(positions) if positions else out).mean(0)
    return out.float().cpu().numpy()
