"""A model that has answered already, so that scorers can ask it for many samples of the same rows."""

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import check_scoring
from sklearn.utils import check_consistent_length, get_tags
from sklearn.utils.metaestimators import available_if

from skhyperfusion._meta import name_of_metric
from skhyperfusion._survival import check_survival, concordance_index, survival_target


def _there(method):
    return available_if(lambda self: hasattr(self.estimator, method))


class Answered:
    """Stands for a fitted model before a scorer: each method is run once, for all rows, when first asked for.

    Where a model gets X, it gets the places of rows, as often as one likes and in any order.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : DataFrame (n_samples, n_features)
        All rows.
    """

    def __init__(self, estimator, X):
        self.estimator = estimator
        self.X = X
        self._known = {}

    @property
    def classes_(self):
        """The model's classes."""
        return self.estimator.classes_

    @_there("predict")
    def predict(self, places):
        """Answer for the rows at these places."""
        return self._answers("predict")[places]

    @_there("predict_proba")
    def predict_proba(self, places):
        """Answer for the rows at these places."""
        return self._answers("predict_proba")[places]

    @_there("decision_function")
    def decision_function(self, places):
        """Answer for the rows at these places."""
        return self._answers("decision_function")[places]

    @_there("predict_survival_function")
    def predict_survival_function(self, places):
        """Answer for the rows at these places."""
        return self._answers("predict_survival_function")[places]

    @_there("predict_cumulative_hazard_function")
    def predict_cumulative_hazard_function(self, places):
        """Answer for the rows at these places."""
        return self._answers("predict_cumulative_hazard_function")[places]

    def _answers(self, method):
        if method not in self._known:
            self._known[method] = np.asarray(getattr(self.estimator, method)(self.X))
        return self._known[method]

    def __sklearn_tags__(self):
        return get_tags(self.estimator)

    def __sklearn_is_fitted__(self):
        return True


def is_survival(estimator):
    """Tell whether a model predicts a time to an event."""
    return hasattr(estimator, "predict_survival_function")


def concordance(estimator, X, y):
    """Score risks by Harrell's concordance, in the manner of scikit-learn's scorers."""
    event, time = (y[field] for field in y.dtype.names)
    return concordance_index(event, time, estimator.predict(X))


def make_scorer_of(estimator, scoring, caller):
    """Return (scorer, its name): of None accuracy, R2, or the concordance of a survival model."""
    if scoring is None:
        if is_survival(estimator):
            scoring = concordance
        elif is_classifier(estimator):
            scoring = "accuracy"
        elif is_regressor(estimator):
            scoring = "r2"
        else:
            raise ValueError(
                f"{caller}: {type(estimator).__name__} is no classifier, regressor or survival model, so "
                "that there is no usual score. Pass scoring=."
            )
    return check_scoring(estimator, scoring=scoring), name_of_metric(scoring)


def as_truth(estimator, X, y, caller) -> np.ndarray:
    """Return y as an array (n_samples,) or (n_samples, n_outputs); structured, of a survival model."""
    if is_survival(estimator):
        values = check_survival(y, X.index, name=caller)
        return survival_target(values[:, 0].astype(bool), values[:, 1])
    y = y.to_numpy() if isinstance(y, pd.Series | pd.DataFrame) else np.asarray(y)
    check_consistent_length(X, y)
    return y
