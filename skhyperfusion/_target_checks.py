"""Whether y can be a target: one label, or finite numbers, for each row; what cannot names its rows."""

import datetime
import numbers
from collections.abc import Hashable

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from skhyperfusion._wording import LARGEST, kind_of, listing, show

_DATES = "turn them into numbers, such as days since the first visit"


def check_labels(y, index, *, name):
    """Return labels as a 1-D array, or raise ValueError: absent, gaps, another length, one class only."""
    _check_rows(y, index, name)
    _refuse_strange_labels(y, index, name)
    if np.asarray(y).dtype.kind == "f":
        assert_all_finite(np.asarray(y), input_name="y")
    check_classification_targets(y)
    y = column_or_1d(y, warn=True)
    if not len(y):
        raise ValueError(f"{name} needs rows to learn from, but y has 0 samples.")
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"{name} needs at least two classes in y, but y holds one class only: {show(y[0])} in all "
            f"{len(y)} rows."
        )
    return y


def check_values(y, index, *, name):
    """Return values as a float64 array (n,) or (n, K), or raise ValueError."""
    _check_rows(y, index, name)
    shape = np.asarray(y, dtype=object).shape
    if len(shape) > 2 or 0 in shape[1:]:
        raise ValueError(f"y must be of shape (n_samples,) or (n_samples, n_outputs). Got {shape} instead.")
    _refuse_strange_values(y, index, name)
    return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=name)


def _refuse_strange_labels(y, index, name):
    """Refuse labels that cannot be put into one order: collections, and text beside numbers."""
    if sparse.issparse(y):
        return  # scikit-learn's own message follows
    cells = np.asarray(y, dtype=object)
    if cells.ndim == 0:
        raise ValueError(f"y must hold one label for each row of X. Got {kind_of(y)} instead.")
    if cells.ndim > 1:
        return
    for row, cell in zip(index, cells, strict=True):
        if not isinstance(cell, Hashable) or isinstance(cell, tuple):
            raise ValueError(
                f"y must hold one label for each row, but row {show(row)} has {show(cell)}, "
                f"{kind_of(cell)}. {name} predicts one class for a row."
            )
    is_text = np.array([isinstance(cell, str) for cell in cells])
    if is_text.any() and not is_text.all():
        odd = np.flatnonzero(is_text if 2 * is_text.sum() <= len(cells) else ~is_text)
        raise ValueError(
            f"y mixes labels of text with others, which have no order: {listing([index[i] for i in odd])} "
            f"(the first holds {show(cells[odd[0]])}). Write all of them as text, or all as numbers."
        )


def _refuse_strange_values(y, index, name):
    """Refuse what is no finite number, and name its rows."""
    if sparse.issparse(y):
        return  # scikit-learn's own message follows
    kind = getattr(getattr(y, "dtype", None), "kind", "O")
    if kind in "mM":
        raise ValueError(
            f"y holds dates or times (the dtype {y.dtype}), and {name} predicts numbers: {_DATES}."
        )
    if kind == "c":
        raise ValueError(f"Complex data not supported: y has the dtype {y.dtype}.")
    cells = np.asarray(y, dtype=object)
    if cells.ndim == 0:
        raise ValueError(f"y must hold one number for each row of X. Got {kind_of(y)} instead.")
    rows = cells.reshape(len(cells), -1)
    words = {
        i: cell for i, row in enumerate(rows) for cell in row if isinstance(cell, str) and _is_word(cell)
    }
    if words:
        _refuse_words(words, index, name, all_rows=len(words) == len(rows))
    for label, row in zip(index, rows, strict=True):
        for cell in row:
            _refuse_strange_value(cell, label)
    infinite = [i for i, row in enumerate(rows) if np.isinf([float(cell) for cell in row]).any()]
    if infinite:
        raise ValueError(
            f"Input y contains infinity: the target is infinite in {listing([index[i] for i in infinite])}. "
            "Drop them from X and y before fitting."
        )
    large = [i for i, row in enumerate(rows) if (np.abs([float(cell) for cell in row]) > LARGEST).any()]
    if large:
        raise ValueError(
            f"y holds numbers beyond {LARGEST:g} in {listing([index[i] for i in large])}, as nothing that is "
            "measured. Correct them, or drop the rows from X and y."
        )


def _refuse_strange_value(cell, label):
    if isinstance(cell, datetime.date | datetime.time | datetime.timedelta | np.datetime64 | np.timedelta64):
        raise ValueError(f"y holds dates or times ({show(cell)} in row {show(label)}): {_DATES}.")
    if isinstance(cell, numbers.Complex) and not isinstance(cell, numbers.Real):
        raise ValueError(f"Complex data not supported: y holds {show(cell)} in row {show(label)}.")
    try:
        float(cell)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"y must hold one number for each row and output, but row {show(label)} has {show(cell)}, "
            f"{kind_of(cell)}."
        ) from error


def _refuse_words(words, index, name, *, all_rows):
    first = show(next(iter(words.values())))
    if all_rows:
        raise ValueError(
            f"{name} predicts numbers, but y holds words, such as {first}. To predict classes use "
            f"{name.replace('Regressor', 'Classifier') if 'Regressor' in name else 'a classifier'}."
        )
    raise ValueError(
        f"y must hold numbers for {name}, but holds text in {listing([index[i] for i in words])} (the first "
        f"is {first}). Write them as numbers, or drop the rows from X and y."
    )


def _is_word(text):
    try:
        float(text)
    except ValueError:
        return True
    return False


def _check_rows(y, index, name):
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    values = np.asarray(y, dtype=object)
    if values.ndim == 0:  # a number, or a sparse matrix: scikit-learn's own message follows
        return
    gaps = np.flatnonzero(pd.isna(values).reshape(len(values), -1).any(axis=1)) if len(values) else []
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
