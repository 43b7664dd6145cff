"""What y may be, and the wording where it is something else."""

import numpy as np
import pandas as pd
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from skhyperfusion._wording import listing, show


def check_labels(y, index, *, name):
    """Return class labels as a 1-D array.

    Parameters
    ----------
    y : array-like (n,) or (n, 1)
        Labels of any type.
    index : Index (n,)
        Names of the rows, for the messages.
    name : str
        The estimator's name.

    Raises
    ------
    ValueError
        If y is absent, has gaps or another length, is continuous, or holds one class only.
    """
    _check_rows(y, index, name)
    if np.asarray(y).dtype.kind == "f":
        assert_all_finite(np.asarray(y), input_name="y")
    check_classification_targets(y)
    y = column_or_1d(y, warn=True)
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"{name} needs at least two classes in y, but y holds one class only: {show(y[0])} in all "
            f"{len(y)} rows."
        )
    return y


def check_values(y, index, *, name):
    """Return values as a float64 array (n,) or (n, K); parameters and errors as in `check_labels`."""
    _check_rows(y, index, name)
    shape = np.shape(np.asarray(y))
    if len(shape) > 2:
        raise ValueError(f"y must be of shape (n_samples,) or (n_samples, n_outputs). Got {shape} instead.")
    return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=name)


def _check_rows(y, index, name):
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    values = np.asarray(y, dtype=object)
    if values.ndim == 0:  # a number, or a sparse matrix: scikit-learn's own message follows
        return
    gaps = np.flatnonzero(pd.isna(values).reshape(len(values), -1).any(axis=1))
    if len(gaps):
        rows = listing([index[i] for i in gaps if i < len(index)])
        raise ValueError(
            f"Input y contains NaN: the target is missing in {rows}. Drop them from X and y before fitting."
        )
    if len(values) != len(index):
        raise ValueError(
            "X and y must have the same number of rows. Found input variables with inconsistent numbers of "
            f"samples: [{len(index)}, {len(values)}]"
        )
