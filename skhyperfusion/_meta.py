"""What estimators of estimators share: folds, who gets which parameter of ``fit``, and many fits at once.

The folds of a number
    `make_folds`: the same balanced folds for everything here that takes ``cv``.
Routing
    `make_router`, `route_fit`: groups and weights to the splitter, to ``fit`` and to the scorer.
Many fits
    `run_fits`: the one parallel loop, with its progress and what it says of a fit that fails; `fit_rows` and
    `score_rows` are what a job does.
"""

import numbers
import os
import pickle
import traceback
import warnings
from collections.abc import Hashable

import joblib
import numpy as np
import pandas as pd
import sklearn
from pandas.api.types import is_bool_dtype
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils import Bunch, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d, has_fit_parameter

from skhyperfusion._progress import progress_bar
from skhyperfusion._sklearn_private import check_method_params, count_rows, is_loss, score_function, take_rows
from skhyperfusion._wording import kind_of, show

# Whole groups cannot be dealt by single ranks: so many parts of the target at most are balanced over them.
BINS_OF_GROUPS = 8


def without_none(**metadata):
    """Return the metadata that is not None."""
    return {name: value for name, value in metadata.items() if value is not None}


def take_over_tags(tags, estimator):
    """Let `tags` say of inputs and chance what the inner estimator's own tags say."""
    own = get_tags(estimator)
    tags.input_tags = own.input_tags
    tags.non_deterministic = own.non_deterministic
    return tags


def row_names(X):
    """Return the names of the rows of X, for messages."""
    return X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(count_rows(X))


# --- The folds of a number ---------------------------------------------------------------------------------


def is_number_of_folds(cv):
    """Tell whether `cv` leaves the folds to us: a number, or None for 5."""
    return cv is None or isinstance(cv, numbers.Integral)


def make_folds(cv, X, y, *, classifier, labels=None, groups=None, **split_params):
    """List the rows to train on and to test on of each fold.

    Parameters
    ----------
    cv : int, splitter, iterable of (train, test) or None
        A number (None: 5) gives balanced folds: stratified by class as scikit-learn's `StratifiedKFold`;
        where the target is no class, every fold gets its share of each part of the target's range, and of
        times to an event its share of rows that had it and of the range of their times. With groups, these
        stay whole. Nothing is shuffled. All else splits as it likes.
    X : table (n_samples, n_features)
        Rows.
    y : array (n_samples,) or (n_samples, n_outputs)
        Target. Of several outputs the sum of the ranks is balanced, jointly with columns that are true or
        false.
    classifier : bool
        Whether y holds classes, if it is of such a kind.
    labels : array (n_samples,), default=None
        What a number of folds balances besides, jointly with the target.
    groups : array (n_samples,), default=None
        Subjects, whose rows stay together. A row without a group is one of its own.
    **split_params : dict
        What else the splitter's ``split`` gets, if `cv` is no number.

    Returns
    -------
    list of (train, test)
        Positions of rows.

    Raises
    ------
    ValueError
        If the number is below 2, or there are fewer rows, or groups, than folds.

    Examples
    --------
    >>> ages = np.arange(20, 80)  # sorted, as tables often are
    >>> [int(ages[test].mean()) for _, test in make_folds(3, ages[:, None], ages, classifier=False)]
    [48, 49, 50]
    """
    if not is_number_of_folds(cv):
        splitter = check_cv(cv, y, classifier=classifier)
        splits = splitter.split(X, y, **without_none(groups=groups), **split_params)
        return [tuple(_positions(rows, count_rows(X)) for rows in split) for split in splits]
    n_folds = 5 if cv is None else int(cv)
    if isinstance(y, pd.DataFrame) and y.shape[1] == 2 and is_bool_dtype(y.dtypes.iloc[0]):
        y = y.to_records(index=False)
    fields = getattr(getattr(y, "dtype", None), "names", None)
    if fields is not None:  # event and time
        labels = y[fields[0]] if labels is None else labels
        y, classifier = y[fields[1]], False
    if n_folds < 2:
        raise ValueError(
            f"cv={cv} is no number of folds. Pass 2 or more, a splitter, or a list of (train, test)."
        )
    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(n_folds)
    _check_enough(n_folds, count_rows(X), "samples: n_samples")
    n_bins = None if groups is None else BINS_OF_GROUPS
    if groups is not None:
        groups = group_codes(groups)
        _check_enough(n_folds, groups.max() + 1, "groups: n_groups")
    strata = _strata(y, n_folds, classifier=classifier, labels=labels, n_bins=n_bins)
    folds = list(splitter.split(np.zeros(len(strata)), strata, groups))
    # scikit-learn's now and then leaves a fold without rows where there are as many groups as folds.
    all_test = all(len(test) for _, test in folds)
    return folds if all_test else list(GroupKFold(n_folds).split(strata, groups=groups))


def _positions(rows, n_rows):
    """Return the positions of rows that are told by these, or by true and false for every row."""
    rows = np.asarray(rows)
    if rows.dtype == bool and rows.shape != (n_rows,):
        raise ValueError(
            f"A fold of cv tells its rows by true and false, in an array of shape {rows.shape}, and X has "
            f"{n_rows} rows. Give one for each row, or the positions of the fold's rows."
        )
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def check_groups(groups, index):
    """Return groups as a 1-D object array, or raise ValueError that names the row.

    Parameters
    ----------
    groups : array-like (n,)
        The subject of each row.
    index : Index (n,)
        Names of the rows, for the messages.
    """
    cells = np.asarray(groups, dtype=object)
    if cells.ndim == 2 and cells.shape[1] == 1:
        cells = cells[:, 0]
    if cells.ndim != 1:
        raise ValueError(f"groups must hold one name for each row. Got {kind_of(groups)} instead.")
    if len(cells) != len(index):
        raise ValueError(
            "X and groups must have the same number of rows. Found input variables with inconsistent numbers "
            f"of samples: [{len(index)}, {len(cells)}]"
        )
    for row, cell in zip(index, cells, strict=True):
        if not isinstance(cell, Hashable):
            raise ValueError(
                f"The group of row {show(row)} is {show(cell)}, which is no name. Give one number or text to "
                "each row."
            )
    return cells


def group_codes(groups):
    """Return the number of each row's group; a row without a group is a group of its own.

    Examples
    --------
    >>> group_codes(["b", "a", None, "b", None]).tolist()
    [0, 1, 2, 0, 3]
    """
    codes, names = pd.factorize(np.asarray(column_or_1d(groups), dtype=object))
    alone = codes < 0
    codes[alone] = len(names) + np.arange(alone.sum())
    return codes


def _check_enough(n_folds, n_found, what):
    if n_found < n_folds:
        raise ValueError(
            f"cv={n_folds} folds are more than the number of {what}={n_found}. Pass a smaller cv."
        )


def _strata(y, n_folds, *, classifier, labels, n_bins):
    """Return classes whose stratification balances the target, and the labels if there are any.

    Each has as many rows as there are folds at least, if the labels have.
    """
    n_rows = count_rows(y)
    labels = np.zeros(n_rows, dtype=np.intp) if labels is None else pd.factorize(np.asarray(labels))[0]
    if classifier and type_of_target(y) in ("binary", "multiclass"):
        y = column_or_1d(y)
        return y if labels.max() == 0 else _joint_classes(pd.factorize(y)[0], labels, n_folds)
    labels, rank = _rank(y, labels)
    strata, n_strata = np.empty(n_rows, dtype=np.intp), 0
    for label in range(labels.max() + 1):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(rank[rows], kind="stable")]
        n_parts = max(1, len(rows) // n_folds)
        n_parts = n_parts if n_bins is None else min(n_parts, n_bins)
        strata[rows] = n_strata + np.arange(len(rows)) * n_parts // len(rows)
        n_strata += n_parts
    return strata


def _rank(y, labels):
    """Return the labels, jointly with what in y is true or false, and the rank of the other outputs."""
    named = isinstance(y, pd.DataFrame) or getattr(np.asarray(y).dtype, "names", None)
    outputs = pd.DataFrame(y if named else np.asarray(y).reshape(len(labels), -1)).reset_index(drop=True)
    rank = np.zeros(len(labels))
    for _, output in outputs.items():
        if pd.api.types.is_bool_dtype(output):  # such as whether the event was seen, beside its time
            labels = pd.factorize(labels * 2 + output.to_numpy(dtype=np.intp))[0]
        else:
            numeric = pd.api.types.is_numeric_dtype(output)
            values = output if numeric else pd.Series(pd.factorize(output)[0])
            rank += values.rank(na_option="bottom").to_numpy()
    return labels, rank


def _joint_classes(classes, labels, n_folds):
    """Return joint codes; what is rarer than the folds goes with the commonest class of its label."""
    codes = labels * (classes.max() + 1) + classes
    counts = np.bincount(codes)
    for label in range(labels.max() + 1):
        own = np.unique(codes[labels == label])
        rare = own[counts[own] < n_folds]
        codes[np.isin(codes, rare)] = own[np.argmax(counts[own])]
    return codes


# --- Routing -----------------------------------------------------------------------------------------------


def make_router(owner, estimator, cv, scorer=None):
    """Return the router from the owner's ``fit`` to the estimator's, the splitter's and the scorer's methods.

    Parameters
    ----------
    owner : str
        Class or function, for the messages.
    estimator : estimator
        Gets what its ``fit`` requests.
    cv : int, splitter, iterable or None
        As in `make_folds`; a number asks for groups.
    scorer : callable, default=None
        Gets what it requests; None: there is none.
    """
    splitter = GroupKFold() if is_number_of_folds(cv) else check_cv(cv)
    router = MetadataRouter(owner=owner)
    router.add(estimator=estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
    router.add(splitter=splitter, method_mapping=MethodMapping().add(caller="fit", callee="split"))
    if scorer is not None:
        router.add(scorer=scorer, method_mapping=MethodMapping().add(caller="fit", callee="score"))
    return router


def route_fit(router, estimator, *, params=None, sample_weight=None, groups=None):
    """Say who gets what: a Bunch of dicts ``fit`` (the estimator's), ``split`` and ``score``.

    With metadata routing, each gets what it requests. Without, ``fit`` gets `params` as they are, the groups
    if it takes such, and the weights; the splitter gets the groups, the scorer nothing.

    Raises
    ------
    TypeError
        Without routing, if there are weights and ``fit`` takes none.
    """
    params = params or {}
    metadata = without_none(sample_weight=sample_weight, groups=groups)
    if sklearn.get_config()["enable_metadata_routing"]:
        routed = process_routing(router, "fit", **(metadata | params))
        return Bunch(
            fit=routed.estimator.fit,
            split=routed.splitter.split,
            score=routed.scorer.score if "scorer" in routed else {},
        )
    if sample_weight is not None and not has_fit_parameter(estimator, "sample_weight"):
        raise TypeError(
            f"sample_weight was passed, but fit of {type(estimator).__name__} does not take it. "
            "Leave it out, or (for a pipeline) use metadata routing."
        )
    taken = {name: value for name, value in metadata.items() if has_fit_parameter(estimator, name)}
    return Bunch(fit=taken | params, split=without_none(groups=groups), score={})


# --- Many fits ---------------------------------------------------------------------------------------------


def fit_rows(estimator, X, y, rows, params):
    """Fit a clone on some of the rows; of `params`, those with a value for each row are cut to these."""
    X_part, y_part = take_rows(estimator, X, y, rows)
    fitted = clone(estimator)
    fitted.fit(X_part, y_part, **check_method_params(X, params, rows))
    return fitted


def score_rows(fitted, X, y, rows, trained, scorer, scoring, params):
    """Return the scores in some of the rows by the metrics' names; `trained` are the rows of the fit."""
    X_part, y_part = take_rows(fitted, X, y, rows, trained)
    scores = scorer(fitted, X_part, y_part, **check_method_params(X, params, rows))
    if not isinstance(scores, dict):
        scores = {name_of_metric(scoring): scores}
    for name, score in scores.items():
        if not isinstance(score, numbers.Number):
            raise ValueError(f"The metric {name!r} must give a number. Got {show(score)} instead.")
    return {name: float(score) for name, score in scores.items()}


def name_of_metric(scoring):
    """Name the one metric of `scoring`: a loss as scikit-learn does, with ``neg_``.

    Examples
    --------
    >>> from sklearn.metrics import make_scorer, max_error
    >>> name_of_metric("r2"), name_of_metric(make_scorer(max_error, greater_is_better=False))
    ('r2', 'neg_max_error')
    """
    if scoring is None or isinstance(scoring, str):
        return scoring or "score"
    sign = "neg_" if is_loss(scoring) else ""
    return sign + getattr(score_function(scoring), "__name__", "score")


def run_fits(function, tasks, *, name, n_jobs=None, verbose=0, n_done=0, failure=None):
    """Call `function` for each task, in parallel by joblib, and yield each result as soon as it is there.

    Parameters
    ----------
    function : callable
        Does one fit.
    tasks : dict of str to tuple
        Arguments of each call, by the words that tell which fit it is: ``"fold 1"``.
    name : str
        What the bar is called.
    n_jobs : int, default=None
        Fits at once; None: one, unless in a `joblib.parallel_config`.
    verbose : int, default=0
        Above 0, a bar on stderr that names the fit which ended last.
    n_done : int, default=0
        Fits of a former run, which the bar counts as done.
    failure : callable, default=None
        ``failure(which, error)`` returns what is raised from the error of a fit; None: the error itself, with
        a note that tells which fit it was.

    Yields
    ------
    which, result : str, object
        In the order in which they end.
    """
    jobs = (
        joblib.delayed(_result_or_error)(function, which, arguments, os.getpid())
        for which, arguments in tasks.items()
    )
    done = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs)
    bar = progress_bar(n_done + len(tasks), name, "fit", verbose=verbose, n_done=n_done)
    try:
        with bar:
            for which, result, error in done:
                if error is not None and failure is not None:
                    raise failure(which, error) from error
                if error is not None:
                    error.add_note(f"This happened in {which}.")
                    raise error
                bar.set_postfix_str(which, refresh=False)
                bar.update()
                yield which, result
    finally:
        with warnings.catch_warnings():  # the exception on its way says enough
            warnings.filterwarnings("ignore", ".* tasks which were still being processed", UserWarning)
            done.close()


def _result_or_error(function, which, arguments, parent):
    """Return (which, result, None), or (which, None, the exception), which the parent raises again."""
    try:
        return which, function(*arguments), None
    except Exception as error:
        return which, None, error if os.getpid() == parent else _portable(error)


def _portable(error):
    """Let an exception pass from process to process, with the traceback that it would lose."""
    note = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever pickling an unknown object may raise
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(note)
    return error
