"""What a fitted network attends to: which of its layers matter."""

from skhyperfusion.inspection._layer_display import LayerSensitivityDisplay
from skhyperfusion.inspection._layer_sensitivity import layer_sensitivity

__all__ = ["LayerSensitivityDisplay", "layer_sensitivity"]
