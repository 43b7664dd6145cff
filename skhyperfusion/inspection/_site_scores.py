"""What `site_check` scores: a linear model of the column, and the fitted model without each group."""

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyperfusion._meta import is_number_of_folds, make_folds
from skhyperfusion._wording import listing

_PENALTIES = np.logspace(-1, 5, 7)


class SiteProbe:
    """A linear model of a column, cross-validated."""

    def __init__(self, features, column, is_numeric, subjects, cv):
        self.features, self.is_numeric, self.cv = features, is_numeric, cv
        self.values = column.to_numpy(dtype=float if is_numeric else object)
        self.subjects = None
        if len(subjects) < len(column):
            self.subjects = np.empty(len(column), dtype=np.intp)
            for number, rows in enumerate(subjects.rows):
                self.subjects[rows] = number
        model = RidgeCV(_PENALTIES) if is_numeric else RidgeClassifierCV(_PENALTIES, class_weight="balanced")
        self.model = make_pipeline(StandardScaler(), model)
        if is_number_of_folds(cv) and not is_numeric:
            self._check_groups(5 if cv is None else cv)

    def _check_groups(self, n_folds):
        subjects = np.arange(len(self.values)) if self.subjects is None else self.subjects
        of_subject = pd.DataFrame({"site": self.values, "subject": subjects}).drop_duplicates()
        counts = of_subject["site"].value_counts()
        small = counts[counts < n_folds]
        if len(small):
            raise ValueError(
                f"site_check: {listing(small.index, noun='group')} of fewer subjects than cv={n_folds} folds "
                f"({small.iloc[0]} in the first). Leave them out, join them, or pass a smaller cv."
            )

    def score(self, source):
        """Score the column as it is found in the rows `source`."""
        values = self.values[source]
        if not self.is_numeric:
            values = pd.factorize(values, sort=False)[0]
        folds = make_folds(
            self.cv, self.features, values, classifier=not self.is_numeric, groups=self.subjects
        )
        predicted = cross_val_predict(self.model, self.features, values, cv=folds)
        return float((r2_score if self.is_numeric else balanced_accuracy_score)(values, predicted))


def scores_without(score, labels, names, draws, confidence, classes):
    """Score all rows but those of each group, and compare with the score of all.

    Parameters
    ----------
    score : callable
        Of places of rows: the fitted model's score there.
    labels : ndarray (n_rows,)
        Group of each row.
    names : list
        The groups.
    draws : list of ndarray
        Places of the rows of subjects drawn again.
    confidence : float
        Coverage of the interval of the change.
    classes : ndarray (n_rows,) or None
        Of which none may be lost with a group.

    Returns
    -------
    DataFrame (n_groups, 5)
        As `site_check` has it.
    """
    n_classes = 0 if classes is None else len(np.unique(classes))

    def change(rows, name):
        left = rows[labels[rows] != name]
        if not len(left) or (classes is not None and len(np.unique(classes[left])) < n_classes):
            return np.nan
        return score(left) - score(rows)

    everything = np.arange(len(labels))
    whole = score(everything)
    table = {}
    for name in names:
        found = change(everything, name)
        drawn = np.array([change(draw, name) for draw in draws]) if np.isfinite(found) else np.array([])
        drawn = drawn[np.isfinite(drawn)]  # a draw may lack what the rows themselves have
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        low, high = np.quantile(drawn, tails) if len(drawn) else (np.nan, np.nan)
        table[name] = [np.count_nonzero(labels == name), whole + found, found, low, high]
    frame = pd.DataFrame.from_dict(
        table, orient="index", columns=["n_rows", "score_without", "change", "low", "high"]
    )
    return frame.astype({"n_rows": int})
