"""Folds that all have the ages, and the groups, of the whole."""

import numbers

import numpy as np
import pandas as pd
from sklearn.model_selection import check_cv

from skhyperfusion.model_selection._joint_folds import JointStratifiedKFold


def balanced_splitter(cv, columns):
    """Return the splitter that `cv` is; for a number (None: 5) one that balances `columns`."""
    if cv is None or isinstance(cv, numbers.Integral):
        return JointStratifiedKFold(5 if cv is None else cv, columns=columns)
    return check_cv(cv)


def balanced_splits(cv, X, y, groups, labels=None):
    """List the (train, test) of each fold; for a number of folds alike in y, and most of all in the labels.

    Examples
    --------
    >>> ages = np.arange(20, 80)  # sorted, as tables often are
    >>> [int(ages[test].mean()) for _, test in balanced_splits(3, ages[:, None], ages, None)]
    [44, 49, 54]
    """
    splitter = balanced_splitter(cv, "target" if np.ndim(y) == 1 else None)
    if splitter is cv or not isinstance(splitter, JointStratifiedKFold):
        return list(splitter.split(X, y, groups))
    # As a column the age is binned, also where it is in whole years, which look like classes.
    table = pd.DataFrame({"target": np.asarray(y)} if np.ndim(y) == 1 else {"row": np.arange(len(y))})
    return list(splitter.split(table, labels, groups))
