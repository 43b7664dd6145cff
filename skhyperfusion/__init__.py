"""scikit-learn estimators that learn from images and tables together, by hypernetworks."""

from skhyperfusion._estimators import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion._survival import survival_target
from skhyperfusion._survival_estimator import HyperFusionSurvival
from skhyperfusion._table._impute import impute_table
from skhyperfusion._table._preprocessor import TabularPreprocessor
from skhyperfusion.images import ImageLoader

__version__ = "0.1.0.dev0"

__all__ = [
    "HyperFusionClassifier",
    "HyperFusionRegressor",
    "HyperFusionSurvival",
    "ImageLoader",
    "TabularPreprocessor",
    "impute_table",
    "survival_target",
]
