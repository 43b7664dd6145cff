"""from_state_dict: a network of yours with weights from a file."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from skhyperfusion._typing import PathLike
from skhyperfusion.backbones._backbone import Backbone, stem_of

# Methods that give the map before pooling and classifier, as timm and efficientnet call them.
_MAP_METHODS = ("forward_features", "extract_features")
_TRIED_SIZE = {1: 256, 2: 64, 3: 32}


def from_state_dict(
    factory: Callable[..., nn.Module],
    path: PathLike,
    prefix: str = "",
    strict: bool = True,
    *,
    method: str | None = None,
    scale: str | Callable[[np.ndarray], np.ndarray] | None = None,
) -> Backbone:
    """Load a network's weights from a file, and make it a backbone.

    Parameters
    ----------
    factory : callable
        ``(in_channels, spatial_dims) -> torch.nn.Module``: makes the network; it may ignore the first, see
        Notes.
    path : path
        A state dict: a file of ``torch.save`` (or with one under ``"state_dict"`` or ``"model"``), or
        ``.safetensors``. No code in it is run.
    prefix : str, default=""
        What the file's names begin with, as in ``"module.conv1.weight"``. Names without it are left alone.
    strict : bool, default=True
        What happens where names or shapes of network and file differ: True raises an error at the first use
        that lists them; False loads what fits, and warns once with the same list. That nothing fits is an
        error in any case.
    method : str, default=None
        The network's method that gives the map, before its pooling and classifier. None: ``forward_features``
        or ``extract_features`` where the network has it, else it is called as it is. Layers that the method
        does not use are taken out, and need not be in the file.
    scale : PixelScale, str or callable, default=None
        The rule of intensity that the network was trained with; comes back in ``loader_settings``.

    Returns
    -------
    callable
        What ``backbone=`` takes: ``(in_channels, spatial_dims) -> torch.nn.Module``, with
        ``loader_settings``, the parameters of an `ImageLoader` that fit it. It can be pickled.

    Raises
    ------
    ValueError
        At the first use, if the file holds no state dict, or other weights than the network's.

    Notes
    -----
    Grey images are read by networks for three channels: the stem's weights are summed over them, which is
    what three equal channels would give.

    Examples
    --------
    >>> import os, tempfile
    >>> import torch
    >>> from skhyperfusion.backbones import from_state_dict
    >>> def network(in_channels, spatial_dims):
    ...     return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.pt")
    >>> torch.save(network(3, 2).state_dict(), path)
    >>> backbone = from_state_dict(network, path)
    >>> backbone(1, 2)(torch.ones(2, 1, 8, 8)).shape
    torch.Size([2, 8, 6, 6])
    """
    return _StateDictBackbone(factory, path, prefix, strict, method, scale)


class _StateDictBackbone(Backbone):
    def __init__(self, factory, path, prefix, strict, method, scale):
        self.factory = factory
        self.weights = path
        self.prefix = prefix
        self.strict = strict
        self.method = method
        self.scale = scale

    def __repr__(self):
        name = getattr(self.factory, "__qualname__", repr(self.factory))
        return f"from_state_dict({name}, {str(self.weights)!r})"

    def _build(self, in_channels, spatial_dims):
        return self.factory(in_channels, spatial_dims)

    def _cut(self, network, spatial_dims):
        method = self.method or next((name for name in _MAP_METHODS if hasattr(network, name)), None)
        if method is None or method == "forward":
            return (), network
        if not callable(getattr(network, method, None)):
            raise ValueError(f"{self!r}: the {type(network).__name__} has no method {method!r}.")
        made = _MapOf(network, method)
        return made.drop_unused(spatial_dims), made


class _MapOf(nn.Module):
    """A network called by the method that gives its map."""

    def __init__(self, network, method):
        super().__init__()
        self.network = network
        self.method = method

    def forward(self, image):
        return getattr(self.network, self.method)(image)

    @torch.no_grad()
    def drop_unused(self, spatial_dims):
        """Take out the layers that the method does not use; return the beginnings of their names."""
        used, handles = set(), []
        for layer in self.network.modules():
            handles.append(layer.register_forward_hook(lambda layer, *_: used.add(layer)))
        stem = stem_of(self.network)
        n_channels = 1 if stem is None else stem.in_channels
        training = self.network.training
        try:
            self.network.eval()
            self(torch.zeros(1, n_channels, *[_TRIED_SIZE[spatial_dims]] * spatial_dims))
        finally:
            self.network.train(training)
            for handle in handles:
                handle.remove()
        # A module with parts may be looked into by its parts alone.
        unused = [
            name
            for name, layer in self.network.named_modules()
            if name and not any(part in used for part in layer.modules())
        ]
        outer = [name for name in unused if name.rpartition(".")[0] not in unused]
        for name in outer:
            parent, _, own = name.rpartition(".")
            setattr(self.network.get_submodule(parent), own, nn.Identity())
        return tuple(f"{name}." for name in outer)
