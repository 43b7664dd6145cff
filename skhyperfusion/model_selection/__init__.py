"""Comparing estimators soundly: balanced folds, the same for all, and tests that know of their overlap."""

from skhyperfusion.model_selection._compare import ComparisonError, ComparisonInterrupted, compare_estimators
from skhyperfusion.model_selection._comparison import Comparison
from skhyperfusion.model_selection._cross_group import cross_group_scores
from skhyperfusion.model_selection._cross_scores import CrossGroupScores
from skhyperfusion.model_selection._joint_folds import JointStratifiedKFold
from skhyperfusion.model_selection._survival_folds import SurvivalStratifiedKFold

__all__ = [
    "Comparison",
    "ComparisonError",
    "ComparisonInterrupted",
    "CrossGroupScores",
    "JointStratifiedKFold",
    "SurvivalStratifiedKFold",
    "compare_estimators",
    "cross_group_scores",
]
