"""Columns that should not be features: the target itself, what determines it, and forgotten ids."""

import re

import numpy as np
import pandas as pd

from skhyperfusion._table._cells import row_name
from skhyperfusion._wording import show

# From this many rows on it is no chance that every cell of a column is another one, or that it determines
# the target.
_FEWEST_ROWS = 20
# Whole numbers that differ in every row are ids where the column's name says so; else they may be measured.
_NAMED_AS_ID = re.compile(
    r"(?:.* )?(?:id|ids|pid|rid|uid|uuid|guid|ptid|mrn)(?: .*)?"
    r"|(?:subj|subject|patient|participant|proband|case|record|accession)s?(?: (?:no|nr|num|number|code))?"
)
# A column determines the target where it has at most so many values, each in this many rows on average ...
_MOST_VALUES = 20
_ROWS_PER_VALUE = 5
# ... and at least two of them, for different targets, in this many.
_ROWS_OF_A_VALUE = 3


def tell_ids(table, names, teller):
    """Tell of columns of text, or of whole numbers, that differ in every row, as ids do.

    Parameters
    ----------
    table : DataFrame of shape (n_samples, n_columns)
        As `TableSchema.read` gives it.
    names : list of str
        Its columns of text.
    teller : OddTeller
    """
    for name, column in table.items():
        values = column.dropna()
        if len(values) < max(_FEWEST_ROWS, len(table) / 2) or not values.is_unique:
            continue
        if name in names or _may_be_ids(name, values.to_numpy()):
            teller.tell("ids", _id_message(table, name, f"another value in each of {len(values)} rows"))


def _may_be_ids(name, numbers):
    """Tell whether distinct numbers are ids: whole, and named so."""
    return bool((numbers % 1 == 0).all()) and _NAMED_AS_ID.fullmatch(_words(name)) is not None


def _words(name):
    """Return a column's name in lower case, its words apart: "PatientID" as "patient id"."""
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_\d]+", " ", str(name)).lower().split())


def tell_leaks(table, names, target, groups, teller):
    """Tell of columns that equal or determine the target, and of ids of the groups.

    Parameters
    ----------
    table : DataFrame of shape (n_samples, n_columns)
        Columns of numbers or text, as `TableSchema.read` gives them.
    names : list of str
        Its columns of text.
    target : ndarray of shape (n_samples,) or (n_samples, n_outputs), or structured
        Class codes, or values.
    groups : array of shape (n_samples,) or None
        Subjects.
    teller : OddTeller
    """
    if len(table) < _FEWEST_ROWS or teller.answer("target") == teller.answer("ids") == "ignore":
        return
    if target.dtype.names:
        target = np.column_stack([target[field].astype(np.float64) for field in target.dtype.names])
    values = target.reshape(len(target), -1).astype(np.float64)
    outputs = [_codes(output) for output in values.T]
    group_codes = None if groups is None else _codes(groups)
    for name, column in table.items():
        codes = _codes(column.to_numpy())
        if name not in names and any(_is_linear(column.to_numpy(), output) for output in values.T):
            teller.tell("target", _target_message(name, "is the target, or a multiple of it"))
        elif any(_determines(codes, output) for output in outputs):
            teller.tell("target", _target_message(name, "determines the target: each of its values has one"))
        elif (
            group_codes is not None
            and _is_id_of(codes, group_codes)
            and (name in names or _may_be_ids(name, column.unique()))
        ):
            what = f"another value in each of {group_codes.max() + 1} groups"
            teller.tell("ids", _id_message(table, name, what))


def _codes(values):
    return pd.factorize(pd.Series(values, dtype=values.dtype))[0]


def _is_linear(column, target):
    has_value = ~np.isnan(column)
    if has_value.sum() < _FEWEST_ROWS or len(np.unique(target)) <= 2:
        return False
    column, target = column[has_value], target[has_value]
    column, target = column - column.mean(), target - target.mean()
    size = np.linalg.norm(column) * np.linalg.norm(target)
    return size > 0 and bool(abs(column @ target) > (1 - 1e-10) * size)


def _determines(codes, target):
    """Tell whether the rows of each value have one target, and are too many for chance."""
    has_value = codes >= 0
    codes, target = codes[has_value], target[has_value]
    n_values = len(np.unique(codes))
    if n_values > _MOST_VALUES or len(codes) < max(_FEWEST_ROWS, _ROWS_PER_VALUE * n_values):
        return False
    pairs, counts = np.unique(np.column_stack([codes, target]), axis=0, return_counts=True)
    return len(pairs) == n_values and len(np.unique(pairs[counts >= _ROWS_OF_A_VALUE, 1])) > 1


def _is_id_of(codes, groups):
    """Tell whether a column has as many values as there are groups, one in each."""
    n_groups = groups.max() + 1
    if (codes < 0).any() or not _FEWEST_ROWS // 2 <= n_groups < len(groups) or codes.max() + 1 != n_groups:
        return False
    return len(np.unique(np.column_stack([codes, groups]), axis=0)) == n_groups


def _id_message(table, name, what):
    values = table[name].dropna()
    row = table.index.get_indexer_for(values.index[:1])[0]
    return (
        f"Column {name!r} has {what} (the first is {show(values.iloc[0])}, {row_name(table, row)}), as an id "
        "has: it says nothing about other rows. Drop it, or name it as group_column."
    )


def _target_message(name, what):
    return f"Column {name!r} {what}. Drop it where it is not known when a prediction is wanted."
