"""What a frozen network makes of images, computed once."""

import copy
import hashlib
from dataclasses import replace

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


def frozen_outputs(network, code, source, device):
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

    Returns
    -------
    ndarray of shape (n, C)
        float32, averaged over positions and views.
    """
    name = network_name(None if code is None else f"{code} pooled=True", network)
    return source.derive(_Runner(network, device, pooled=True), name)


class FrozenMaps:
    """What the frozen part of a network makes of the images of a source; stands where the source stood.

    Each image is run by itself, and once, by the cache of the images.

    Parameters
    ----------
    module : FusionNetwork
        With a constant part. On the CPU; it stays there, and as it is.
    code : str or None
        As in `network_name`, of the backbone.
    source : ImageSource
    device : torch.device
        Where to compute.

    Attributes
    ----------
    spec : ImageSpec
        Of the maps: one without positions has channels alone.
    """

    def __init__(self, module, code, source, device):
        part = module.constant_part()
        n_channels, *shape = module.constant_shape
        self.spec = replace(source.spec, n_channels=n_channels, shape=tuple(shape))
        self._source = source
        stages = module.stages[: module.n_constant]
        self._name = network_name(None if code is None else f"{code} {stages}", part)
        self._run = _Runner(part, device)

    def __len__(self):
        return len(self._source)

    def read(self, rows):
        """Return the maps of some rows (n, V, C, *S), float32."""
        return self._source.view(rows).derive(self._run, self._name)


def keeps_maps(module, source, augmentation):
    """Tell whether what a frozen part of the backbone makes of the images is to stand for them in a fit.

    Not where images are augmented; nor where the maps are of a part of the backbone, and more than the
    loader's memory may hold.

    Raises
    ------
    ValueError
        If the whole backbone is frozen, and images are to be augmented.
    """
    if source is None or module.constant_shape is None:
        return False
    if not module.has_constant_backbone:
        return augmentation is None and source.has_room(module.constant_shape)
    if augmentation is not None:
        patterns = list(module.frozen_layers)
        shown = patterns[0] if len(patterns) == 1 else patterns
        raise ValueError(
            f"frozen_layers={shown!r} freezes the whole "
            f"backbone, whose output is computed once per image: augmentation={augmentation!r} cannot change "
            "it. Pass augmentation=None, or leave the backbone's last layers out of frozen_layers."
        )
    return True


class _Runner:
    """Makes of the views of one row (V, C, *S) what a network does in evaluation mode."""

    def __init__(self, network, device, *, pooled=False):
        self._dtype = next(network.parameters(), torch.empty(0)).dtype
        self._network = copy.deepcopy(network).to(device).eval()
        self._device = device
        self._pooled = pooled

    @torch.no_grad()
    def __call__(self, images):
        out = self._network(torch.from_numpy(images).to(self._device, self._dtype))
        if self._pooled:
            positions = tuple(range(2, out.ndim))
            out = (out.mean(positions) if positions else out).mean(0)
        return out.float().cpu().numpy()
