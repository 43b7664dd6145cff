"""The internal validation split: seeded, stratified for classes, grouped by subject."""

import numpy as np
from sklearn.model_selection import (
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedShuffleSplit,
)


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
