"""Comparing estimators soundly: balanced folds, the same for all, and tests that know of their overlap."""

from skhyperfusion.model_selection._compare import ComparisonError, ComparisonInterrupted, compare_estimators
from skhyperfusion.model_selection._comparison import Comparison
from skhyperfusion.model_selection._joint_folds import JointStratifiedKFold

__all__ = [
    "Comparison",
    "ComparisonError",
    "ComparisonInterrupted",
    "JointStratifiedKFold",
    "compare_estimators",
]
