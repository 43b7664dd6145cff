"""Analyses of predicted age: its bias, the gap, errors by group, training on one group for another."""

from skhyperfusion.brain_age._bias import AgeBias, brain_age_gap, fit_age_bias
from skhyperfusion.brain_age._corrector import AgeBiasCorrector
from skhyperfusion.brain_age._errors import error_by_group
from skhyperfusion.model_selection._cross_group import cross_group_scores
from skhyperfusion.model_selection._cross_scores import CrossGroupScores

__all__ = [
    "AgeBias",
    "AgeBiasCorrector",
    "CrossGroupScores",
    "brain_age_gap",
    "cross_group_scores",
    "error_by_group",
    "fit_age_bias",
]
