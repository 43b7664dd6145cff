"""monai_backbone: networks of MONAI."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from skhyperfusion._optional import import_optional
from skhyperfusion._typing import PathLike
from skhyperfusion._wording import quoted
from skhyperfusion.backbones._backbone import Backbone


def monai_backbone(
    name: str,
    weights: PathLike | None = None,
    *,
    prefix: str = "",
    strict: bool = True,
    scale: str | Callable[[np.ndarray], np.ndarray] = "zscore",
    **params: Any,
) -> Backbone:
    """Make a network of MONAI a backbone for pictures and volumes (extra ``medical``).

    Parameters
    ----------
    name : str
        A residual or dense network of ``monai.networks.nets``: "resnet10", "resnet50", "DenseNet121", ...
    weights : path, default=None
        A state dict, such as those of MedicalNet (with ``prefix="module."``). None: random weights.
    prefix : str, default=""
        As in `from_state_dict`.
    strict : bool, default=True
        As in `from_state_dict`.
    scale : str or callable, default="zscore"
        The rule of intensity that the weights were trained with, MedicalNet's by default.
    **params : dict
        Further parameters of the network, such as ``shortcut_type="A"``.

    Returns
    -------
    callable
        As `from_state_dict`: without MONAI's pooling and classifier, with ``loader_settings``.

    Raises
    ------
    ImportError
        At the first use, where MONAI is absent.

    Examples
    --------
    >>> from skhyperfusion.backbones import monai_backbone
    >>> monai_backbone("resnet10").loader_settings
    {'intensity': 'zscore'}
    """
    if "pretrained" in params:
        raise ValueError(
            "monai_backbone has no parameter 'pretrained': MONAI would download. Pass weights=..., the path "
            "of a state dict."
        )
    return _MonaiBackbone(name, weights, prefix, strict, scale, params)


class _MonaiBackbone(Backbone):
    def __init__(self, name, weights, prefix, strict, scale, params):
        self.name = name
        self.weights = weights
        self.prefix = prefix
        self.strict = strict
        self.scale = scale
        self.params = params

    def __repr__(self):
        weights = "" if self.weights is None else f", {str(self.weights)!r}"
        return f"monai_backbone({self.name!r}{weights})"

    def _build(self, in_channels, spatial_dims):
        nets = import_optional("monai.networks.nets", "monai_backbone", extra="medical")
        make = getattr(nets, self.name, None)
        names = sorted(
            n for n in dir(nets) if n.lower().startswith(("resnet", "densenet")) and n[-1].isdigit()
        )
        if self.name not in names:
            raise ValueError(f"monai_backbone knows {quoted(names, limit=20)}. Got {self.name!r} instead.")
        if self.name.startswith("resnet"):
            settings = {"n_input_channels": in_channels, "feed_forward": False}
        else:
            settings = {"in_channels": in_channels, "out_channels": 1}
        return make(spatial_dims=spatial_dims, **settings | self.params)

    def _cut(self, network, spatial_dims):
        if hasattr(network, "class_layers"):
            network.class_layers = nn.Identity()
            parts = OrderedDict(network.features.named_children())
            return ("class_layers.",), nn.Sequential(parts | OrderedDict(relu=nn.ReLU()))
        names = ["conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4"]
        if network.no_max_pool:
            names.remove("maxpool")
        return ("fc.",), nn.Sequential(OrderedDict((name, getattr(network, name)) for name in names))
