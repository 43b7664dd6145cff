"""Images as numbers for any estimator of scikit-learn's kind, and baselines in one line."""

from skhyperfusion.features._baselines import baseline_classifier, baseline_regressor
from skhyperfusion.features._image_features import ImageFeatures

__all__ = ["ImageFeatures", "baseline_classifier", "baseline_regressor"]
