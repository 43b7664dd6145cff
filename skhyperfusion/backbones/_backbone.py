"""What makes a pretrained network: weights from a file, and as many channels as the images have."""

import warnings

from torch import nn

from skhyperfusion._wording import listing
from skhyperfusion.backbones._weights import read_state

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_told: set[str] = set()  # reports of weights that did not fit, each of which is told once


class Backbone:
    """What the three functions return: ``(in_channels, spatial_dims) -> Module``.

    A subclass defines ``_build``, which makes the network, and ``_cut``, which takes its classifier off, and
    returns the beginnings of the names that a file may hold of it, and the module that is left.
    """

    weights, prefix, strict, scale = None, "", True, None

    @property
    def loader_settings(self):
        """Parameters of an `ImageLoader` that bring images to the scale the network was trained with."""
        return {} if self.scale is None else {"intensity": self.scale}

    def __call__(self, in_channels, spatial_dims):
        """Return the network, with its weights and without pooling and classifier."""
        network = self._build(in_channels, spatial_dims)
        cut, made = self._cut(network, spatial_dims)
        if self.weights is not None:
            state = read_state(self.weights, self.prefix)
            self._load(network, state, cut)
        _take_channels(made, in_channels, self)
        return made

    def _load(self, network, state, cut):
        wanted = network.state_dict()
        state = {k: v for k, v in state.items() if k in wanted or not k.startswith(cut)}
        for name in wanted.keys() & state.keys():
            if _is_grey_stem(state[name].shape, wanted[name].shape):
                state[name] = state[name].sum(1, keepdim=True)
        fitting = {k: v for k, v in state.items() if k in wanted and v.shape == wanted[k].shape}
        # A counter that networks before 2018 lacked, and that evaluation does not read.
        missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
        left_over = [k for k in state if k not in wanted]
        shapes = [
            f"{k} {tuple(state[k].shape)}, wanted {tuple(wanted[k].shape)}"
            for k in state
            if k in wanted and k not in fitting
        ]
        if missing or left_over or shapes or not fitting:
            report = (
                f"The weights of {str(self.weights)!r} are not all those of {self!r}: {len(fitting)} of "
                f"{len(wanted)} match. Missing in the file, {listing(missing, noun='name')}. Left over in "
                f"it, {listing(left_over, noun='name')}. Of another shape, {listing(shapes, noun='name')}."
            )
            if self.strict or not fitting:
                raise ValueError(
                    f"{report} Check prefix={self.prefix!r} and the network's parameters"
                    + (", or pass strict=False to load what fits." if fitting else ".")
                )
            if report not in _told:
                _told.add(report)
                warnings.warn(report, UserWarning, stacklevel=2)
        network.load_state_dict(fitting, strict=False)


def _is_grey_stem(stored, wanted):
    """Tell whether weights for three channels (O, 3, *K) are wanted for one."""
    return len(stored) > 2 and stored[1] == 3 and wanted == (stored[0], 1, *stored[2:])


def stem_of(network):
    return next((layer for layer in network.modules() if isinstance(layer, _CONVOLUTIONS)), None)


def _take_channels(network, in_channels, backbone):
    """Let a network for three channels read grey images: its stem's weights summed over them."""
    stem = stem_of(network)
    if stem is None or stem.in_channels == in_channels:
        return
    if in_channels != 1 or stem.in_channels != 3:
        raise ValueError(
            f"{backbone!r} reads images of {stem.in_channels} channels, and these have {in_channels}. Grey "
            "images are read by networks for three channels; otherwise see ImageLoader(channels=...)."
        )
    stem.weight = nn.Parameter(stem.weight.detach().sum(1, keepdim=True))
    stem.in_channels = 1
