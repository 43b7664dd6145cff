"""Pretrained networks as ``backbone=`` of the estimators, and as ``method`` of `features.ImageFeatures`."""

from skhyperfusion.backbones._monai import monai_backbone
from skhyperfusion.backbones._scale import PixelScale
from skhyperfusion.backbones._state_dict import from_state_dict
from skhyperfusion.backbones._timm import timm_backbone

__all__ = ["PixelScale", "from_state_dict", "monai_backbone", "timm_backbone"]
