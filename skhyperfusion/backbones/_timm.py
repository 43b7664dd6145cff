"""timm_backbone: networks of timm."""

from typing import Any

from torch import nn

from skhyperfusion._optional import import_optional
from skhyperfusion._typing import PathLike
from skhyperfusion.backbones._backbone import Backbone
from skhyperfusion.backbones._scale import PixelScale

_CLASSIFIERS = ("fc.", "classifier.", "head.", "head_dist.", "last_linear.")
_TORCHVISION = (
    " timm imports torchvision, whose build must match torch's, CPU or CUDA: beside another build it fails "
    "with 'operator torchvision::nms does not exist'. Install torch and torchvision from the same index; "
    "timm 1.0.31 was tested with the ordinary builds of torch 2.14.1 and torchvision 0.29.1."
)


def timm_backbone(
    name: str,
    pretrained: bool = True,
    *,
    weights: PathLike | None = None,
    prefix: str = "",
    strict: bool = True,
    **params: Any,
) -> Backbone:
    """Make a network of timm a backbone for pictures (extra ``timm``).

    Parameters
    ----------
    name : str
        As in ``timm.create_model``.
    pretrained : bool, default=True
        With timm's weights, which timm downloads at the first use, once for the machine. False: without.
    weights : path, default=None
        A state dict to read instead; nothing is downloaded then. `prefix` and `strict` as in
        `from_state_dict`.
    prefix : str, default=""
        See `weights`.
    strict : bool, default=True
        See `weights`.
    **params : dict
        Further parameters of ``timm.create_model``.

    Returns
    -------
    callable
        As `from_state_dict`: without timm's pooling and classifier. ``loader_settings`` has the mean and
        standard deviation that timm states for the weights.

    Raises
    ------
    ImportError
        At the first use, where timm is absent or its torchvision does not fit torch.

    Examples
    --------
    >>> from skhyperfusion.backbones import timm_backbone
    >>> timm_backbone("resnet18", pretrained=False)
    timm_backbone('resnet18', pretrained=False)
    """
    return _TimmBackbone(name, pretrained and weights is None, weights, prefix, strict, params)


class _TimmBackbone(Backbone):
    def __init__(self, name, pretrained, weights, prefix, strict, params):
        self.name = name
        self.pretrained = pretrained
        self.weights = weights
        self.prefix = prefix
        self.strict = strict
        self.params = params

    def __repr__(self):
        return f"timm_backbone({self.name!r}, pretrained={self.pretrained})"

    @property
    def scale(self):
        """The mean and standard deviation that timm states."""
        stated = _import_timm().get_pretrained_cfg(self.name)
        if stated is None:
            return None
        return PixelScale(stated.mean, stated.std)

    def _build(self, in_channels, spatial_dims):
        if spatial_dims != 2:
            raise ValueError(
                f"{self!r} reads pictures, and the images have {spatial_dims} axes. Take monai_backbone, or "
                "ImageLoader(shape=(H, W)) for volumes of one slice."
            )
        # Three channels: timm has another rule for grey images than ours.
        settings = {"num_classes": 0, "global_pool": "", "in_chans": 3} | self.params
        return _import_timm().create_model(self.name, pretrained=self.pretrained, **settings)

    def _cut(self, network, spatial_dims):
        # It was made without classifier: what it has by such a name is a last normalisation, say.
        return _CLASSIFIERS, _MapOfTimm(network)


class _MapOfTimm(nn.Module):
    """A network of timm, whose map is (B, C, *S) whatever timm's layout; tokens are averaged."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        map = self.network(image)
        if map.ndim == 3:  # tokens (B, N, C), the first of which stand for no place
            return map[:, getattr(self.network, "num_prefix_tokens", 0) :].mean(1)
        if map.ndim == 4 and getattr(self.network, "output_fmt", "NCHW") == "NHWC":
            return map.permute(0, 3, 1, 2)
        return map


def _import_timm():
    try:
        return import_optional("timm", "timm_backbone", extra="timm")
    except ImportError as error:
        raise ImportError(f"{error}{_TORCHVISION}", name="timm") from error
