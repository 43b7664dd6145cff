"""Comparing estimators soundly: one set of folds, tests that respect their dependence."""

from skhyperfusion.model_selection._compare import ComparisonError, ComparisonInterrupted, compare_estimators
from skhyperfusion.model_selection._comparison import Comparison

__all__ = ["Comparison", "ComparisonError", "ComparisonInterrupted", "compare_estimators"]
