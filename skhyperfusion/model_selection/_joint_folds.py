"""Folds that are alike in the target and in columns of the table at once."""

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator

from skhyperfusion._meta import group_codes
from skhyperfusion._rules import Boolean, Number, RandomState, private_random_state
from skhyperfusion._sklearn_private import count_rows
from skhyperfusion._table._frames import as_frame
from skhyperfusion._table._schema import clean_tabular
from skhyperfusion._typing import ArrayLike, Columns, Seed, TableLike
from skhyperfusion._wording import did_you_mean, listing, show

MAX_PASSES = 10  # over the groups, to move each to a better fold; two or three are enough in practice
# What the target and the sizes of the folds count against a column. With 120 groups of 1 to 4 rows, 1 left
# a class uneven by 3.5 rows, 3 by 2.0 (StratifiedGroupKFold: 1.4), and 10 took sex and age from 3.5 to 5.
TARGET_WEIGHT = 3.0


class JointStratifiedKFold(BaseCrossValidator):
    """K folds balanced jointly in the target and in columns of the table.

    `sklearn.model_selection.StratifiedKFold` balances the target alone; by chance, one fold may then have
    the old women and another the young men. Here a cell is a combination, such as class x sex x quarter of
    the ages, and its rows are spread over the folds.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    columns : str, int or list of them, default=None
        Names (or positions) of the columns of X to balance besides the target. None: the target alone.
    n_bins : int, default=4
        Numbers with more distinct values than this are cut into so many bins, at their quantiles. Missing
        values are a bin of their own, and so is each category of a column of text.
    shuffle : bool, default=False
        Draw at random which rows of a cell go together; otherwise they do in the order of X.
    random_state : int, RandomState or None, default=None
        Seed of the shuffling. None: another shuffling every time; NumPy's global state is not touched.

    See Also
    --------
    compare_estimators : Takes it as ``cv``.
    sklearn.model_selection.StratifiedGroupKFold : Groups, balanced in the target.

    Notes
    -----
    The target may be continuous: it is binned as the columns are. So are integers of which there are fewer
    than `n_splits` rows per value, such as ages in years; other integers are classes.

    Without groups, the numbers of rows that two folds have of a cell differ by one at most, and so do those
    of a class of the target; the rows that are left over when a cell is divided by `n_splits` go where they
    keep columns and folds most even. With groups (subjects), the largest first, each goes to the fold where
    it adds least to the chi-square statistics of folds against target, columns, cells and sizes, and is then
    moved while that lowers them.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"sex": ["F", "M"] * 20, "age": range(50, 90)})
    >>> y = ["AD"] * 10 + ["CN"] * 20 + ["AD"] * 10
    >>> folds = JointStratifiedKFold(n_splits=5, columns=["sex", "age"], n_bins=2)
    >>> for train, test in folds.split(X, y):
    ...     print((X["sex"][test] == "F").sum(), "women,", (X["age"][test] < 70).sum(), "below 70")
    4 women, 4 below 70
    4 women, 4 below 70
    4 women, 4 below 70
    4 women, 4 below 70
    4 women, 4 below 70
    """

    # A splitter asks for groups by its nature, as scikit-learn's own do.
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_splits: int = 5,
        *,
        columns: Columns | None = None,
        n_bins: int = 4,
        shuffle: bool = False,
        random_state: Seed = None,
    ) -> None:
        self.n_splits = n_splits
        self.columns = columns
        self.n_bins = n_bins
        self.shuffle = shuffle
        self.random_state = random_state
        # Here and not in split, as in scikit-learn's splitters, which nobody clones.
        rules = {
            "n_splits": Number(int, 2),
            "n_bins": Number(int, 2),
            "shuffle": Boolean(),
            "random_state": RandomState(),
        }
        for name, rule in rules.items():
            if not rule.accepts(getattr(self, name)):
                raise ValueError(
                    f"The {name!r} parameter of JointStratifiedKFold must be {rule}. "
                    f"Got {show(getattr(self, name))} instead."
                )
        if random_state is not None and not shuffle:
            raise ValueError(
                f"random_state={show(random_state)} has no effect without shuffle=True. Pass shuffle=True, "
                "or leave random_state out."
            )

    def split(
        self, X: TableLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows of each fold.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Holds `columns`; without these, it is only counted.
        y : array (n_samples,) or (n_samples, n_outputs), default=None
            Target; None: the columns alone are balanced.
        groups : array (n_samples,), default=None
            Subjects: the rows of one come into the same fold. A row without a group is one of its own.

        Yields
        ------
        train, test : ndarray of int
            Positions of the rows to train on and to test on.
        """
        return super().split(X, y, groups)

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored, here because scikit-learn passes them.

        Returns
        -------
        int
            `n_splits`.
        """
        return self.n_splits

    def _iter_test_masks(self, X=None, y=None, groups=None):
        folds = self._folds(X, y, groups)
        for fold in range(self.n_splits):
            yield folds == fold

    def _folds(self, X, y, groups):
        """Return the fold of each row (n,)."""
        n_samples = count_rows(X)
        if n_samples < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} is more than the number of samples: n_samples={n_samples}."
            )
        target = self._target_codes(y, n_samples)
        levels = [target, *self._column_codes(X)]
        cells = _joint_codes(levels)
        levels = np.column_stack([target, np.zeros_like(target), *levels[1:], cells])
        random_state = private_random_state(self.random_state) if self.shuffle else None
        if groups is None:
            return _deal_rows(levels, self.n_splits, random_state)
        units = group_codes(groups)
        if units.max() + 1 < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} is more than the number of groups: {units.max() + 1}."
            )
        return _deal_groups(levels, units, self.n_splits, random_state)[units]

    def _target_codes(self, y, n_samples):
        if y is None:
            return np.zeros(n_samples, dtype=np.intp)
        y = np.asarray(y, dtype=object)
        outputs = clean_tabular(pd.DataFrame(y.reshape(len(y), -1)))
        codes = []
        for _, column in outputs.items():
            values = column.dropna()
            few = len(values) < self.n_splits * values.nunique()
            numeric = pd.api.types.is_numeric_dtype(column)
            binned = numeric and (few or not (values == np.floor(values)).all())
            codes.append(_codes(column, self.n_bins if binned else None))
            if not binned:
                self._check_class_sizes(values)
        return _joint_codes(codes)

    def _check_class_sizes(self, labels):
        counts = labels.value_counts()
        if (counts < self.n_splits).all():
            raise ValueError(
                f"n_splits={self.n_splits} is more than the number of members of each class: the largest, "
                f"{show(counts.index[0])}, has {counts.iloc[0]}."
            )
        if counts.iloc[-1] < self.n_splits:
            warnings.warn(
                f"The least populated class in y, {show(counts.index[-1])}, has only {counts.iloc[-1]} "
                f"members, which is less than n_splits={self.n_splits}: some folds have none of it.",
                UserWarning,
                stacklevel=2,
            )

    def _column_codes(self, X):
        if self.columns is None:
            return []
        wanted = [self.columns] if np.ndim(self.columns) == 0 else list(self.columns)
        frame = as_frame(X)
        places = [_position(frame, name) for name in wanted]
        table = clean_tabular(frame.iloc[:, places])
        return [_codes(table.iloc[:, i], self.n_bins) for i in range(len(places))]


def _position(frame, column):
    names = list(frame.columns)
    if column in names:
        if names.count(column) > 1:
            raise ValueError(
                f"columns of JointStratifiedKFold: {column!r} is the name of several columns of X."
            )
        return names.index(column)
    if Number(int, -len(names), len(names) - 1).accepts(column):
        return column
    raise ValueError(
        f"columns of JointStratifiedKFold: X has no column {show(column)}. It has "
        f"{listing(names, noun='column')}{did_you_mean(column, names) or '.'}"
    )


def _codes(column, n_bins):
    """Return numbers for the categories or bins of a column, from 0; gaps come last."""
    values = column
    if n_bins is not None and pd.api.types.is_numeric_dtype(column) and column.nunique() > n_bins:
        values = pd.qcut(column, n_bins, labels=False, duplicates="drop")
    codes, categories = pd.factorize(values, sort=True)
    codes[codes < 0] = len(categories)
    return codes


def _joint_codes(codes):
    """Return numbers for the combinations that occur, from 0, sorted by the first column first."""
    return np.unique(np.column_stack(codes), axis=0, return_inverse=True)[1].reshape(-1)


def _with_offsets(levels):
    """Return distinct numbers for the categories of all levels (n, n_levels), and how often each occurs."""
    levels = levels + np.concatenate([[0], np.cumsum(levels.max(axis=0) + 1)[:-1]])
    return levels, np.bincount(levels.ravel())


def _deal_rows(levels, n_splits, random_state):
    """Deal the rows of each cell over the folds, its last few to where they are wanted most.

    Columns of `levels` are numbered categories (n, n_levels): the target first, the cell last.
    """
    levels, sizes = _with_offsets(levels)
    counts = np.zeros((len(sizes), n_splits))
    folds = np.empty(len(levels), dtype=np.intp)
    order = np.argsort(levels[:, -1], kind="stable")
    for rows in np.split(order, np.cumsum(sizes[levels[:, -1].min() :])[:-1]):
        if random_state is not None:
            rows = random_state.permutation(rows)
        own = levels[rows[0]]  # the same for all rows of a cell
        whole, left = divmod(len(rows), n_splits)
        need = (counts[own] / sizes[own, None]).sum(axis=0)
        tie = np.arange(n_splits) if random_state is None else random_state.permutation(n_splits)
        # Fewest of the target's class first: whatever is added, two folds then differ by one at most.
        neediest = np.lexsort((tie, need, counts[own[0]]))[:left]
        dealt = np.full(n_splits, whole)
        dealt[neediest] += 1
        folds[rows] = np.repeat(np.arange(n_splits), dealt)
        counts[own] += dealt
    return folds


def _deal_groups(levels, units, n_splits, random_state):
    """Return the fold of each group: where it adds least to the weighted sum of the chi-square statistics.

    Columns of `levels` are numbered categories (n, n_levels): the target, a constant, the others.
    """
    levels, sizes = _with_offsets(levels)
    weights = np.where(np.arange(len(sizes)) <= levels[:, 1].max(), TARGET_WEIGHT, 1.0) / sizes
    counts = np.zeros((len(sizes), n_splits))
    members = np.split(np.argsort(units, kind="stable"), np.cumsum(np.bincount(units))[:-1])
    parts = [np.unique(levels[rows], return_counts=True) for rows in members]
    order = np.arange(len(members)) if random_state is None else random_state.permutation(len(members))
    order = sorted(order, key=lambda unit: -len(members[unit]))
    folds = np.full(len(members), -1)
    for _ in range(MAX_PASSES):
        moved = False
        for unit in order:
            own, amount = parts[unit]
            before = folds[unit]
            if before >= 0:
                counts[own, before] -= amount
            # The statistic grows by 2 a c / n + a^2 / n, of which the second part is the same everywhere.
            cost = (amount * weights[own]) @ counts[own]
            best = int(np.argmin(cost))
            if before >= 0 and cost[best] > cost[before] - 1e-12:
                best = before
            counts[own, best] += amount
            folds[unit] = best
            moved |= best != before
        if not moved:
            break
    return folds
