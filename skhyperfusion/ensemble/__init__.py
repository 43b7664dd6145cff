"""Ensembles: several estimators, or one estimator per fold, whose predictions are combined."""

from skhyperfusion.ensemble._folds import FoldEnsembleClassifier, FoldEnsembleRegressor
from skhyperfusion.ensemble._survival_folds import FoldEnsembleSurvival
from skhyperfusion.ensemble._voting import ConfidenceVotingClassifier

__all__ = [
    "ConfidenceVotingClassifier",
    "FoldEnsembleClassifier",
    "FoldEnsembleRegressor",
    "FoldEnsembleSurvival",
]
