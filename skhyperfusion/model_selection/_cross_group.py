"""Train on one group of people, test on another, in the same folds throughout."""

import time
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.utils import indexable
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skhyperfusion._meta import (
    fit_rows,
    is_number_of_folds,
    make_folds,
    make_router,
    route_fit,
    run_fits,
    score_rows,
)
from skhyperfusion._rules import Boolean, HasMethods, Number, check_argument
from skhyperfusion._table._cells import as_text, cells_of, is_missing
from skhyperfusion._table._frames import as_frame
from skhyperfusion._typing import ArrayLike, Estimator, Folds, Scorers, TableLike
from skhyperfusion._wording import did_you_mean, listing, show
from skhyperfusion.model_selection._cross_scores import ALL, CrossGroupScores
from skhyperfusion.model_selection._metrics import errors_in

NAME = "cross_group_scores"
MIN_ROWS = 2  # of a group in each part of each fold


def cross_group_scores(
    estimator: Estimator,
    X: TableLike,
    y: ArrayLike,
    *,
    by: str | int | ArrayLike = "sex",
    cv: Folds = 5,
    scoring: Scorers = "neg_mean_absolute_error",
    groups: ArrayLike | None = None,
    params: dict[str, Any] | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> CrossGroupScores:
    """Cross-validate with every group as the training set and every group as the test set.

    HyperFusion's argument for conditioning on sex: models trained on one sex are compared on both. In every
    fold one model is trained for each group, on its rows of the training part, and one on those of all; each
    is scored on every group's rows of the test part. So all scores of a column are of the same rows.

    Parameters
    ----------
    estimator : estimator
        Cloned for each fit. Trained on one group, it sees a constant column: where the table holds nothing
        but the group, take ``fusion="image"``.
    X : DataFrame or array (n_samples, n_features)
        What the estimator takes, tables with images included.
    y : array (n_samples,) or (n_samples, n_outputs)
        Target.
    by : str, int or array (n_samples,), default="sex"
        The groups: a column of X by name or position (it stays in X), or a label for each row.
    cv : int, splitter or iterable of (train, test), default=5
        Folds, drawn once. A number: folds balanced in the target (:ref:`in the guide <number-of-folds>`)
        within each group of `by`, of whole subjects if there are `groups`.
    scoring : str, callable, list or dict, default="neg_mean_absolute_error"
        One metric or several, as in `sklearn.model_selection.cross_validate`; None: the estimator's own
        ``score``. Tables and plots show errors (``neg_...``) without their minus sign. R2 compares with the
        mean age of the test rows and is hard to compare between groups.
    groups : array (n_samples,), default=None
        Subjects, for the splitter, and for the estimator's ``fit`` if it takes groups.
    params : dict, default=None
        What ``fit`` gets besides, such as ``{"sample_weight": w}``; arrays of n_samples are cut to the rows.
        With metadata routing on, estimator and scorer get what they request, also of the groups.
    n_jobs : int, default=None
        Fits in parallel, by joblib.
    verbose : int, default=0
        Above 0, a progress bar on stderr, one step per fit.

    Returns
    -------
    CrossGroupScores
        With ``scores``, ``table()`` and ``plot()``.

    Raises
    ------
    ValueError
        If there is no such column, if a row has no group, if there is one group only, or if a part of a fold
        has fewer than two rows of a group; all before any fit.

    See Also
    --------
    skhyperfusion.model_selection.compare_estimators : Several methods, trained on all.

    Notes
    -----
    The model of all rows has more rows to learn from than those of one group: that it is better on a group
    may be due to these alone. And the groups may differ in how well anything can be predicted, or in their
    range of ages: compare within columns.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.compose import make_column_transformer
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"sex": ["F", "M"] * 50, "volume": rng.normal(size=100)})
    >>> age = 50 - np.where(X["sex"] == "M", 8, 16) * X["volume"]
    >>> line = make_pipeline(make_column_transformer(("passthrough", ["volume"])), LinearRegression())
    >>> scores = cross_group_scores(line, X, age)
    >>> scores.table().round(1).loc["F"].to_dict()
    {'F': 0.0, 'M': 6.7, 'all': 3.4}
    """
    check_argument(NAME, "estimator", estimator, [HasMethods("fit", "get_params", noun="an estimator")])
    check_argument(NAME, "verbose", verbose, [Number(int, 0), Boolean()])
    X, y, groups = indexable(X, y, groups)
    labels, names = _group_labels(X, by)
    check_consistent_length(X, labels)
    _check_counts(cv, labels, names)
    splits = make_folds(cv, X, y, classifier=is_classifier(estimator), labels=labels, groups=groups)
    _check_sizes(splits, labels, names)
    scorer = check_scoring(estimator, scoring=scoring)
    router = make_router(NAME, estimator, None, scorer)
    way = estimator, scorer, scoring, route_fit(router, estimator, params=params, groups=groups)
    everyone = [*names, ALL]
    tasks = {
        f"training on {train!r} in fold {fold}": (*way, X, y, train, fold, split, labels, everyone)
        for fold, split in enumerate(splits)
        for train in everyone
    }
    found = dict(run_fits(_fit_and_score, tasks, name=NAME, n_jobs=n_jobs, verbose=verbose))
    scores = pd.DataFrame([row for which in tasks for row in found[which]])
    return CrossGroupScores(scores, errors=errors_in(scoring))


def _group_labels(X, by):
    """Return the text label of each row, and the names of the groups, sorted."""
    if np.ndim(by) == 0:
        frame = as_frame(X)
        cells, index = cells_of(_column(frame, by)), frame.index
        what = f"column {by!r}"
    else:
        cells = column_or_1d(np.asarray(by, dtype=object))
        index = by.index if isinstance(by, pd.Series) else range(len(cells))
        what = "'by'"
    gaps = [index[i] for i, cell in enumerate(cells) if is_missing(cell)]
    if gaps:
        raise ValueError(
            f"{NAME} needs the group of every row, but {what} has a gap in {listing(gaps)}. Drop these rows, "
            "or fill them with a group of their own."
        )
    labels = np.array([as_text(cell) for cell in cells], dtype=object)
    names = sorted(set(labels))
    if len(names) < 2:
        raise ValueError(f"{NAME} needs two groups at least, but {what} holds one only: {show(names[0])}.")
    if ALL in names:
        raise ValueError(f"{what} holds {ALL!r}, which is the name of all rows together. Rename that group.")
    return labels, names


def _column(frame, by):
    names = list(frame.columns)
    if by in names and names.count(by) == 1:
        return frame[by]
    if isinstance(by, int | np.integer) and -len(names) <= by < len(names):
        return frame.iloc[:, by]
    raise ValueError(
        f"{NAME}: X has no column by={show(by)}. It has {listing(names, noun='column')}"
        f"{did_you_mean(by, names) or '.'}"
    )


def _check_counts(cv, labels, names):
    """Refuse a number of folds that some group is too small for."""
    if is_number_of_folds(cv):
        n_folds = 5 if cv is None else cv
        for name in names:
            n_rows = np.count_nonzero(labels == name)
            if n_rows < MIN_ROWS * n_folds:
                raise ValueError(_too_few(name, n_rows, f"all, for {n_folds} folds", names))


def _check_sizes(splits, labels, names):
    for fold, parts in enumerate(splits):
        for part, rows in zip(("training", "test"), parts, strict=True):
            for name in names:
                n_rows = np.count_nonzero(labels[rows] == name)
                if n_rows < MIN_ROWS:
                    raise ValueError(_too_few(name, n_rows, f"the {part} part of fold {fold}", names))


def _too_few(name, n_rows, where, names):
    return (
        f"Group {name!r} has {n_rows} row{'' if n_rows == 1 else 's'} in {where}, and {MIN_ROWS} are needed "
        f"in each part of each fold. Pass fewer folds (cv), or merge or drop the group. There are "
        f"{listing(names, noun='group')}."
    )


def _fit_and_score(estimator, scorer, scoring, routed, X, y, train_name, fold, split, labels, names):
    """Return a row of scores for each test group and metric."""
    train, test = (np.asarray(rows) for rows in split)
    rows = train[_belongs(labels[train], train_name)]
    start = time.perf_counter()
    fitted = fit_rows(estimator, X, y, rows, routed.fit)
    shared = {"fold": fold, "n_train": len(rows), "fit_seconds": time.perf_counter() - start}
    found = []
    for name in names:
        scored = test[_belongs(labels[test], name)]
        scores = score_rows(fitted, X, y, scored, rows, scorer, scoring, routed.score)
        found += [
            {"train": train_name, "test": name, "metric": metric, "score": score}
            | {"n_test": len(scored), **shared}
            for metric, score in scores.items()
        ]
    return found


def _belongs(labels, name):
    return np.ones(len(labels), dtype=bool) if name == ALL else labels == name
