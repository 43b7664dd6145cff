"""Imputation in standard units: what `TabularPreprocessor` does by the names "iterative" and "knn"."""

import warnings

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.utils.validation import check_is_fitted, validate_data

from skhyperfusion._table._cells import cell_name
from skhyperfusion._wording import listing

# Above this number of columns only those with gaps get a regression of their own: the cost of modelling
# every column grows with the square of their number, and more.
_MODEL_ALL_UP_TO = 40
# Above this number of columns with gaps none is modelled: it takes ten rounds of as many regressions, and
# each of them reads all columns.
_MODEL_AT_MOST = 100
# The many small regressions spend most of their time on checks of what has been checked before.
_QUICK = {"assume_finite": True, "skip_parameter_validation": True}


class StandardizedImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Impute in standard units, so that neither distances nor tolerances depend on a column's unit.

    What was observed comes back bit for bit, and what is filled in stays between the least and the
    greatest value seen in `fit`. A row's result does not depend on the rows beside it.

    Parameters
    ----------
    imputer : transformer
        Fills the gaps of the standardised columns, and keeps their number.

    Attributes
    ----------
    imputer_ : transformer
        The fitted imputer.
    mean_, scale_, low_, high_, median_ : ndarray of shape (n_features,)
        Of the values observed in `fit`.
    """

    def __init__(self, imputer):
        self.imputer = imputer

    def fit(self, X, y=None):
        """Learn from the rows of X; NaN marks a gap, and no column is without a value."""
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        self.mean_, scale = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
        # The spread of a constant column is mere rounding.
        self.scale_ = np.where(scale > 1e-12 * np.abs(self.mean_), scale, 1.0)
        self.low_, self.high_, self.median_ = (
            np.nanmin(X, axis=0),
            np.nanmax(X, axis=0),
            np.nanmedian(X, axis=0),
        )
        with warnings.catch_warnings():
            # The last round is as good a filling as any; there is nothing that a user should do about it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            with config_context(**_QUICK):
                self.imputer_ = clone(self.imputer).fit((X - self.mean_) / self.scale_)
        return self

    def transform(self, X):
        """Fill the gaps of X, of shape (n_samples, n_features)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        gap = np.isnan(X)
        filled = np.where(gap, self.median_, X)
        # Without a single value to go by it is the median. (IterativeImputer would do so only if all
        # rows that it is given were empty.)
        rows = gap.any(axis=1) & ~gap.all(axis=1)
        if rows.any():
            with config_context(**_QUICK):
                guess = self.imputer_.transform((X[rows] - self.mean_) / self.scale_)
            guess = np.clip(np.asarray(guess) * self.scale_ + self.mean_, self.low_, self.high_)
            filled[rows] = np.where(gap[rows], guess, X[rows])
        return filled

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def choose_imputer(imputer, n_gappy, teller):
    """Return the imputer where ``n_gappy`` columns have gaps: for "iterative" the "median" where many do."""
    if not isinstance(imputer, str) or imputer != "iterative" or n_gappy <= _MODEL_AT_MOST:
        return imputer
    teller.tell(
        "width",
        f"{n_gappy} columns of numbers have gaps: they are filled with medians. imputer='iterative' "
        "would regress each of them on all others, which takes minutes; it does so for at most "
        f"{_MODEL_AT_MOST}. Pass imputer='median' to say so, or imputer='knn'.",
    )
    return "median"


def make_imputer(name, n_columns):
    """Return the imputer that a name of `TabularPreprocessor(imputer=...)` stands for."""
    if name == "median":
        return SimpleImputer(strategy="median")
    if name == "knn":
        return StandardizedImputer(KNNImputer())
    return StandardizedImputer(
        IterativeImputer(
            # On simulated tables (50 to 1000 rows, 4 to 100 columns, 30 % gaps) its error is up to a
            # third less than that of the default BayesianRidge, in a fraction of the time; and it keeps a
            # coefficient per column and step, not a whole matrix. More rounds change nothing there.
            Ridge(alpha=10.0),
            initial_strategy="median",
            max_iter=10,
            skip_complete=n_columns > _MODEL_ALL_UP_TO,
            random_state=0,
        )
    )


def refuse_gaps(table, numeric):
    """Raise ValueError at the first gap in columns of numbers, which nothing is there to fill."""
    for name in table.columns.intersection(numeric):
        rows = np.flatnonzero(table[name].isna())
        if rows.size:
            raise ValueError(
                f"{cell_name(table, rows[0], name)} is missing, and imputer=None fills no gap "
                f"({listing(table.index[rows])}). Pass imputer='median', or another."
            )
