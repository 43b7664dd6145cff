"""What a fitted model attends to: its layers, the columns of its table, and how the one changes the other."""

from skhyperfusion.inspection._attribution import tabular_attribution
from skhyperfusion.inspection._attribution_display import AttributionDisplay
from skhyperfusion.inspection._contribution import modality_contribution
from skhyperfusion.inspection._contribution_display import ContributionDisplay
from skhyperfusion.inspection._image_attribution import image_attribution
from skhyperfusion.inspection._layer_display import LayerSensitivityDisplay
from skhyperfusion.inspection._layer_sensitivity import layer_sensitivity
from skhyperfusion.inspection._modulation import weight_modulation
from skhyperfusion.inspection._modulation_display import ModulationDisplay
from skhyperfusion.inspection._profile import conditioning_profile
from skhyperfusion.inspection._profile_display import ConditioningDisplay
from skhyperfusion.inspection._report._report import report
from skhyperfusion.inspection._site import site_check
from skhyperfusion.inspection._site_display import SiteCheckDisplay
from skhyperfusion.inspection._training_display import TrainingDisplay

__all__ = [
    "AttributionDisplay",
    "ConditioningDisplay",
    "ContributionDisplay",
    "LayerSensitivityDisplay",
    "ModulationDisplay",
    "SiteCheckDisplay",
    "TrainingDisplay",
    "conditioning_profile",
    "image_attribution",
    "layer_sensitivity",
    "modality_contribution",
    "report",
    "site_check",
    "tabular_attribution",
    "weight_modulation",
]
