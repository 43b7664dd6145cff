"""Rows by subjects: exchanged among them, and drawn again, with all rows of a subject together."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_consistent_length

from skhyperfusion._meta import group_codes
from skhyperfusion._wording import show

_MOST_DRAWS = 1000  # in search of one with all classes


class Subjects:
    """Which rows are whose.

    Parameters
    ----------
    groups : array (n_rows,) or None
        Subject of each row; one without is alone. None: every row is a subject.
    n_rows : int
    caller : str
        Function that the messages name.

    Examples
    --------
    >>> subjects = Subjects(["a", "a", "b"], 3, "report")
    >>> len(subjects), subjects.exchange(np.random.RandomState(0)).tolist()
    (2, [2, 2, 0])
    """

    def __init__(self, groups, n_rows, caller):
        if groups is None:
            codes = np.arange(n_rows)
        else:
            check_consistent_length(np.empty(n_rows), groups)
            codes = group_codes(groups)
        order = np.argsort(codes, kind="stable")
        self.rows = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
        self.n_rows, self.caller = n_rows, caller
        if len(self) < 2:
            raise ValueError(f"{caller} needs rows of two subjects at least. X has {n_rows}, of one subject.")

    def __len__(self):
        return len(self.rows)

    def exchange(self, random_state):
        """Return for each row the row of another subject, the same other one for all rows of a subject.

        Its first row gets the other's first one, and so on, over and over where that has fewer.
        """
        order = random_state.permutation(len(self))
        donors = np.empty_like(order)
        donors[order] = np.roll(order, 1)  # nobody is left with his own
        return self._rows_of(donors)

    def permute(self, random_state):
        """Return rows as `exchange` does, but of any permutation of the subjects, all equally likely."""
        return self._rows_of(random_state.permutation(len(self)))

    def _rows_of(self, donors):
        source = np.empty(self.n_rows, dtype=np.intp)
        for rows, donor in zip(self.rows, donors, strict=True):
            source[rows] = self.rows[donor][np.arange(len(rows)) % len(self.rows[donor])]
        return source

    def resample(self, random_state, classes=None):
        """Draw as many subjects with replacement, and return their rows.

        Parameters
        ----------
        random_state : RandomState
        classes : ndarray (n_rows,), default=None
            Draw again where one of these classes has no row: most scores are not defined then.
        """
        n_classes = 0 if classes is None else len(np.unique(classes))
        for _ in range(_MOST_DRAWS):
            rows = np.concatenate([self.rows[i] for i in random_state.randint(len(self), size=len(self))])
            if classes is None or len(np.unique(classes[rows])) == n_classes:
                return rows
        names, counts = np.unique(classes, return_counts=True)
        raise ValueError(
            f"{self.caller}: drawn again, the subjects hardly ever have rows of all {n_classes} classes: "
            f"class {show(names[counts.argmin()])} has {counts.min()} rows. Leave rare classes out."
        )


def classes_to_keep(estimator, y):
    """Return the classes that every sample of subjects should have; None where y holds values."""
    return y if is_classifier(estimator) and y.ndim == 1 else None
