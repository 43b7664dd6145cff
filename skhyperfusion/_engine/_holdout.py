"""The rows of a fit, and which are held out: seeded, stratified for classes, grouped by subject."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from skhyperfusion._meta import check_groups, group_codes
from skhyperfusion._rules import check_sample_weight
from skhyperfusion._wording import listing, show

MIN_ROWS_EARLY_STOPPING = 1000  # a tenth of fewer rows cannot tell one epoch from another
# Draws of whole groups to choose from: with few, every combination is likely among them; with very many
# one draw meets the shares.
GROUPS_TRIED, MOST_DRAWS = 10_000, 200


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
    weight = check_sample_weight(sample_weight, frame.index)
    if groups is not None:
        groups = check_groups(groups, frame.index)
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
        Subjects; the rows of one stay on one side. The share is met as nearly as their sizes allow, then the
        shares of the classes.
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
    n_units = n_rows if groups is None else len(np.unique(groups))
    if np.ceil(fraction * n_units) >= n_units:
        raise ValueError(_no_part_message(fraction, n_rows, groups))
    if groups is not None:
        train, valid = _split_groups(fraction, labels, groups, random_state)
    else:
        stratified = labels is not None and _can_stratify(labels, fraction)
        splitter = (StratifiedShuffleSplit if stratified else ShuffleSplit)(
            n_splits=1, test_size=fraction, random_state=random_state
        )
        train, valid = map(np.sort, next(splitter.split(np.zeros(n_rows), labels)))
        if labels is not None:
            train, valid = _return_lost_classes(train, valid, labels)
    if len(train) == 0 or len(valid) == 0:
        raise ValueError(_no_part_message(fraction, n_rows, groups))
    return train, valid


def _no_part_message(fraction, n_rows, groups):
    return (
        f"Cannot hold out validation_fraction={fraction!r} of {n_rows} rows for early stopping: one part "
        f"would be empty{'' if groups is None else ', or training would lose a class, by whole groups'}. "
        "Pass early_stopping=False, or another validation_fraction."
    )


def _can_stratify(labels, fraction):
    counts = np.unique(labels, return_counts=True)[1]
    n_valid = int(np.ceil(fraction * len(labels)))
    return counts.min() >= 2 and min(n_valid, len(labels) - n_valid) >= len(counts)


def _return_lost_classes(train, valid, labels):
    """Bring rows back to the training side for a class that left it."""
    back = valid[~np.isin(labels[valid], labels[train])]
    return np.union1d(train, back), np.setdiff1d(valid, back)


def _split_groups(fraction, labels, groups, random_state):
    """Hold out whole groups: of some random draws the one that meets the shares best.

    scikit-learn's `StratifiedGroupKFold` has whole folds only, of 1/2, 1/3, ... of the rows, and its
    `GroupShuffleSplit` counts groups instead of rows.
    """
    _, groups = np.unique(groups, return_inverse=True)
    _, labels = np.unique(np.zeros(len(groups)) if labels is None else labels, return_inverse=True)
    counts = np.zeros((groups.max() + 1, labels.max() + 1))  # of each group's rows in each class
    np.add.at(counts, (groups, labels), 1)
    n_draws = int(np.clip(GROUPS_TRIED // len(counts), 1, MOST_DRAWS))
    draws = [_draw_groups(counts, fraction, random_state) for _ in range(n_draws)]
    wanted = fraction * counts.sum(axis=0)
    by_class = [np.abs(counts[draw].sum(axis=0) - wanted).sum() for draw in draws]
    by_rows = [abs(counts[draw].sum() - wanted.sum()) for draw in draws]
    near = min(by_rows) + counts.sum() / 100  # a better balance is worth a hundredth of the rows
    best = min((i for i in range(n_draws) if by_rows[i] <= near), key=by_class.__getitem__)
    is_held = draws[best][groups]
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def _draw_groups(counts, fraction, random_state):
    """Take groups in random order, each that brings rows and classes nearer to their shares: bool (G,)."""
    counts = np.column_stack([counts, counts.sum(axis=1)])
    missing = fraction * counts.sum(axis=0)
    left = counts.sum(axis=0)  # on the training side, which is to keep every class
    held = np.zeros(len(counts), dtype=bool)
    for group in random_state.permutation(len(counts)):
        row = counts[group]
        nearer = np.abs(missing - row).sum() < np.abs(missing).sum()
        if nearer and (left > row)[row > 0].all():
            held[group] = True
            missing = missing - row
            left = left - row
    if not held.any():  # even the smallest group is more than twice the share
        spared = [group for group, row in enumerate(counts) if (left > row)[row > 0].all()]
        held[sorted(spared, key=lambda group: counts[group, -1])[:1]] = True
    return held
