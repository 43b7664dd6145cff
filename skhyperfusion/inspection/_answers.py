"""What a fitted model answers for rows, as one matrix, whatever kind of model it is."""

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skhyperfusion._wording import did_you_mean, listing


class Findings(Bunch):
    """What an inspection found; its field ``values`` is an attribute, too, unlike in any other dict."""

    @property
    def values(self):
        """The field of that name."""
        return self["values"]


def as_rows(X, caller):
    """Return X as a DataFrame whose columns have names.

    Raises
    ------
    TypeError
        If it is none: columns are asked for by their names.
    """
    if not isinstance(X, pd.DataFrame):
        raise TypeError(
            f"{caller} tells columns by their names and needs a DataFrame. Got a {type(X).__name__} instead; "
            "pass pandas.DataFrame(X, columns=...)."
        )
    if len(X) == 0:
        raise ValueError(f"{caller} needs at least one row, but X has none.")
    return X


def answers_of(estimator):
    """Return how a fitted model answers: (function of rows that gives (n, K) floats, names of the K or None).

    Probabilities of the classes where there are such; otherwise what ``predict`` gives: values, or risks.

    Parameters
    ----------
    estimator : estimator
        A classifier, regressor or survival model, an ensemble, or a pipeline that ends in one.
    """
    check_is_fitted(estimator)
    if hasattr(estimator, "predict_proba"):
        return lambda X: np.asarray(estimator.predict_proba(X), dtype=float), list(estimator.classes_)
    return lambda X: np.asarray(estimator.predict(X), dtype=float).reshape(len(X), -1), None


def check_column(X, column, caller):
    """Raise ValueError where X has no column of that name."""
    if column not in X.columns:
        raise ValueError(
            f"{caller}: X has no column {column!r}{did_you_mean(column, X.columns) or '.'} "
            f"It has {listing(X.columns, noun='column')}."
        )
