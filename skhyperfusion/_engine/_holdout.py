"""The rows of a fit, and which are held out: seeded, stratified for classes, grouped by subject."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.model_selection import (
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedShuffleSplit,
)
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skhyperfusion._meta import group_codes
from skhyperfusion._rules import check_sample_weight
from skhyperfusion._wording import listing, show

MIN_ROWS_EARLY_STOPPING = 1000  # a tenth of fewer rows cannot tell one epoch from another


@dataclass(frozen=True)
class FitRows:
    """The rows of a fit, those of weight zero left out.

    Attributes
    ----------
    frame : DataFrame (n, n_features)
    values : ndarray (n, ...)
        Of their target.
    weight : ndarray (n,)
        Of the user.
    groups : ndarray (n,) or None
        Codes of their subjects.
    train, valid : ndarray of int, or None
        Positions of the rows to train on, and of those that choose the best epoch (None: the last counts).
    """

    frame: pd.DataFrame
    values: np.ndarray
    weight: np.ndarray
    groups: np.ndarray | None
    train: np.ndarray | None = None
    valid: np.ndarray | None = None


def rows_that_weigh(frame, values, sample_weight, groups):
    """Check weights and groups of the rows of ``fit``, and return those of positive weight: FitRows.

    A row of weight zero counts as absent: it is not even read.
    """
    weight = check_sample_weight(sample_weight, len(frame))
    if groups is not None:
        groups = column_or_1d(groups)
        check_consistent_length(frame, groups)
    kept = np.flatnonzero(weight)
    if len(kept) < 2:
        raise ValueError(f"Fitting needs at least 2 rows of positive weight, but n_samples = {len(kept)}.")
    groups = None if groups is None else group_codes(groups[kept])
    return FitRows(frame.iloc[kept], values[kept], weight[kept], groups)


def group_by(rows, column, owner):
    """Take the groups from a column, which must agree with those of ``fit`` where there are both: FitRows."""
    groups = group_codes(rows.frame[column])
    if rows.groups is not None and (groups != group_codes(rows.groups)).any():
        raise ValueError(
            f"{owner} got group_column={column!r} and groups= that put the rows into other groups: pass one "
            "of them."
        )
    return replace(rows, groups=groups)


def mean_one(weight, rows):
    """Return weights that are one on average over the rows to train on, and over those held out."""
    weight = weight.copy()
    for part, role in ((rows.train, "to train on"), (rows.valid, "held out")):
        if part is None:
            continue
        if not weight[part].any():
            raise ValueError(
                f"All {len(part)} rows {role} weigh zero: class_weight gives nothing to the classes that they"
                " have. Give one of these a positive weight, or leave its rows out."
            )
        weight[part] /= weight[part].mean()
    return weight


def warn_of_absent_classes(labels, n_rows, monitor):
    """Warn where rows held out have none of these classes: what chooses the best epoch does not see them."""
    if labels:
        warnings.warn(
            f"The {n_rows} rows held out have none of {listing(labels, noun='label')}, so that "
            f"monitor={show(monitor)} chooses the best epoch without. Pass a larger validation_fraction or "
            "early_stopping=False, or leave out what has too few rows.",
            UserWarning,
            stacklevel=2,
        )


def hold_out(rows, labels, early_stopping, fraction, random_state):
    """Deal the rows to training and, with early stopping, to the choice of the best epoch: FitRows.

    Parameters
    ----------
    rows : FitRows
    labels : array (n,) or None
        Of which each part gets its share.
    early_stopping : bool or "auto"
        "auto": where there are rows enough.
    fraction, random_state
        As in `split_holdout`.
    """
    n_rows = len(rows.frame)
    if not (n_rows >= MIN_ROWS_EARLY_STOPPING if early_stopping == "auto" else early_stopping):
        return replace(rows, train=np.arange(n_rows))
    train, valid = split_holdout(
        n_rows, fraction, labels=labels, groups=rows.groups, random_state=random_state
    )
    return replace(rows, train=train, valid=valid)


def split_holdout(n_rows, fraction, *, labels=None, groups=None, random_state):
    """Split rows into those that the network trains on and those that choose its best epoch.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    fraction : float
        Share of the rows to hold out, in (0, 1).
    labels : array (n_rows,), optional
        Class codes; both parts then hold the classes in equal shares where their sizes allow.
    groups : array (n_rows,), optional
        Subjects; the rows of one stay on one side.
    random_state : RandomState
        Source of the split.

    Returns
    -------
    train, valid : ndarray of int
        Sorted row numbers. ``train`` holds every class that ``labels`` holds.

    Raises
    ------
    ValueError
        If a part would be empty, or a class would be missing from ``train``.
    """
    if groups is not None and len(np.unique(groups)) < 2:
        raise ValueError(
            "Early stopping holds out whole groups, but all rows belong to one. "
            "Pass early_stopping=False, or more than one group."
        )
    n_splits = 0 if groups is None else max(2, min(round(1 / fraction), len(np.unique(groups))))
    smallest_class = 0 if labels is None else np.unique(labels, return_counts=True)[1].min()
    if groups is not None and smallest_class >= n_splits:
        splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=random_state)
    elif groups is not None:
        splitter = GroupShuffleSplit(n_splits=1, test_size=fraction, random_state=random_state)
    elif labels is not None and _can_stratify(labels, fraction):
        splitter = StratifiedShuffleSplit(n_splits=1, test_size=fraction, random_state=random_state)
    else:
        splitter = ShuffleSplit(n_splits=1, test_size=fraction, random_state=random_state)
    train, valid = next(splitter.split(np.zeros(n_rows), labels, groups))
    train, valid = np.sort(train), np.sort(valid)
    if labels is not None:
        train, valid = _return_lost_classes(train, valid, labels, groups)
    if len(train) == 0 or len(valid) == 0:
        raise ValueError(
            f"Cannot hold out validation_fraction={fraction!r} of {n_rows} rows for early stopping: "
            "one part would be empty. Pass early_stopping=False, or another validation_fraction."
        )
    return train, valid


def _can_stratify(labels, fraction):
    counts = np.unique(labels, return_counts=True)[1]
    n_valid = int(np.ceil(fraction * len(labels)))
    return counts.min() >= 2 and min(n_valid, len(labels) - n_valid) >= len(counts)


def _return_lost_classes(train, valid, labels, groups):
    """Bring rows (with their whole group) back to the training side for a class that left it."""
    lost = np.setdiff1d(labels, labels[train])
    if lost.size == 0:
        return train, valid
    back = valid[np.isin(labels[valid], lost)]
    if groups is not None:
        back = valid[np.isin(groups[valid], groups[back])]
    return np.union1d(train, back), np.setdiff1d(valid, back)
