"""Folds of times to an event."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from skhyperfusion._survival import check_survival
from skhyperfusion._table._frames import as_frame
from skhyperfusion._typing import ArrayLike, TableLike
from skhyperfusion.model_selection._joint_folds import JointStratifiedKFold


class SurvivalStratifiedKFold(JointStratifiedKFold):
    """K folds balanced jointly in whether the event was seen and in columns of the table.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    columns : str, int or list of them, default=None
        Names (or positions) of the columns of X to balance besides the event. None: the event alone.
    n_bins : int, default=4
        Numbers with more distinct values than this are cut into so many bins, at their quantiles.
    shuffle : bool, default=False
        Draw at random which rows of a cell go together; otherwise they do in the order of X.
    random_state : int, RandomState or None, default=None
        Seed of the shuffling.

    See Also
    --------
    JointStratifiedKFold : The same for classes and values.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyperfusion import survival_target
    >>> y = survival_target(np.arange(12) < 6, np.arange(1, 13))
    >>> [int(y["event"][test].sum()) for _, test in SurvivalStratifiedKFold(3).split(np.zeros((12, 1)), y)]
    [2, 2, 2]
    """

    def split(
        self, X: TableLike, y: Any = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows of each fold.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Holds `columns`; without these, it is only counted.
        y : structured array (n_samples,) or DataFrame (n_samples, 2)
            First whether the event was seen (bool), second the time.
        groups : array (n_samples,), default=None
            Subjects: the rows of one come into the same fold.

        Yields
        ------
        train, test : ndarray of int
            Positions of the rows to train on and to test on.
        """
        values = check_survival(y, as_frame(X).index, name=type(self).__name__)
        return super().split(X, values[:, 0].astype(int), groups)
