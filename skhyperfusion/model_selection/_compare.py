"""Fit and score several methods in the same folds."""

import pickle
import traceback
import warnings
from collections.abc import Mapping

import joblib
import pandas as pd
from sklearn.base import is_classifier
from sklearn.model_selection import cross_validate
from sklearn.utils import indexable
from tqdm import tqdm

from skhyperfusion._meta import make_splitter
from skhyperfusion._rules import HasMethods
from skhyperfusion._wording import known, show
from skhyperfusion.model_selection._comparison import SCORE_COLUMNS, Comparison, check_confidence
from skhyperfusion.model_selection._results_file import ResultsFile, keys_of_fits


class ComparisonInterrupted(KeyboardInterrupt):
    """Ctrl-C during a comparison.

    Attributes
    ----------
    comparison : Comparison or None
        Of the fits that were finished, if there are any.
    """

    def __init__(self, message, comparison=None):
        super().__init__(message)
        self.comparison = comparison


class ComparisonError(RuntimeError):
    """A method failed in a fold; what it raised is the cause.

    Attributes
    ----------
    comparison : Comparison or None
        Of the fits that were finished, if there are any.
    """

    def __init__(self, message, comparison=None):
        super().__init__(message)
        self.comparison = comparison


def compare_estimators(
    estimators,
    X,
    y,
    *,
    cv=5,
    scoring=None,
    groups=None,
    params=None,
    reference=None,
    confidence=0.95,
    results=None,
    n_jobs=None,
    verbose=0,
):
    """Cross-validate several methods in the same folds, and test their differences.

    Parameters
    ----------
    estimators : dict of str to estimator
        Methods by name, or a list of such pairs. Each fit is one of a clone.
    X : DataFrame or array (n_samples, n_features)
        What the methods take; tables with images included.
    y : array (n_samples,) or (n_samples, n_outputs)
        Target.
    cv : int, splitter or iterable of (train, test), default=5
        Folds, drawn once: all methods see the same. A number: stratified for classifiers, and of whole
        groups if there are groups.
    scoring : str, callable, list or dict, default=None
        One metric or several, as in `sklearn.model_selection.cross_validate`; None: each estimator's own
        ``score``. Losses keep scikit-learn's sign (``neg_...``), so that more is better everywhere.
    groups : array (n_samples,), default=None
        Groups for the splitter, such as subjects.
    params : dict, default=None
        What ``fit`` of every method gets besides, such as ``{"sample_weight": w}``; arrays of n_samples are
        cut to the fold. With metadata routing on, estimators and scorers get what they request.
    reference : str, default=None
        Name of the method that the others are compared with; None: the first.
    confidence : float, default=0.95
        Coverage of the intervals.
    results : str or path-like, default=None
        File in which each fit's scores are kept as soon as it ends. Called again with the same file, the
        fits in it are not repeated, provided that estimator, data, fold and metrics are the same (functions
        among the parameters count as the same if their names are).
    n_jobs : int, default=None
        Fits in parallel, by joblib; None: one, unless in a `joblib.parallel_config`.
    verbose : int, default=0
        Above 0, a progress bar on stderr, one step per fit.

    Returns
    -------
    Comparison
        With ``scores``, ``table()`` and ``plot()``.

    Raises
    ------
    ComparisonError
        If a fit fails: names method and fold, chained to what was raised; its attribute ``comparison`` has
        what was finished.
    ComparisonInterrupted
        A `KeyboardInterrupt`, after Ctrl-C; its ``comparison`` has what was finished.

    See Also
    --------
    Comparison : What the numbers mean.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> methods = {"logistic": LogisticRegression(max_iter=500), "majority": DummyClassifier()}
    >>> comparison = compare_estimators(methods, X, y, scoring="accuracy")
    >>> comparison.table()["mean"].round(2).to_dict()
    {'logistic': 0.97, 'majority': 0.33}
    >>> bool(comparison.table().loc["majority", "p_corrected_t"] < 0.001)
    True
    """
    estimators = _checked_estimators(estimators)
    known("reference", reference, list(estimators), "method")
    check_confidence(confidence)
    X, y, groups = indexable(X, y, groups)
    first = next(iter(estimators.values()))
    splitter = make_splitter(cv, y, classifier=is_classifier(first), groups=groups)
    splits = list(splitter.split(X, y, groups))
    store = _Store(list(estimators), len(splits), reference, confidence)
    if results is not None:
        store.keep_in(results, keys_of_fits(estimators, X, y, splits, scoring, params))
    jobs = [
        joblib.delayed(_fit_and_score)(method, fold, estimators[method], X, y, splits[fold], scoring, params)
        for method, fold in store.missing()
    ]
    try:
        _run(jobs, n_jobs, store, verbose)
    except KeyboardInterrupt as interrupt:
        raise ComparisonInterrupted(
            f"Interrupted after {len(store.found)} of {len(store.fits)} fits; what was finished is in the "
            "attribute 'comparison' of this exception"
            + (f" and in {results}." if results is not None else "."),
            store.comparison(),
        ) from interrupt
    return store.comparison()


class _Store:
    """Finished fits: in memory, and in a file if there is one."""

    def __init__(self, methods, n_folds, reference, confidence):
        # Fold by fold, so that an interrupted comparison has whole folds.
        self.fits = [(method, fold) for fold in range(n_folds) for method in methods]
        self.methods, self.reference, self.confidence = methods, reference, confidence
        self.found, self.file, self.keys = {}, None, {}

    def keep_in(self, path, keys):
        self.file, self.keys = ResultsFile(path), keys
        kept = self.file.read()
        self.found = {fit: kept[keys[fit]] for fit in self.fits if keys[fit] in kept}

    def missing(self):
        return [fit for fit in self.fits if fit not in self.found]

    def add(self, method, fold, rows):
        self.found[method, fold] = rows
        if self.file is not None:
            self.file.add(self.keys[method, fold], rows)

    def comparison(self):
        """Make a Comparison of what is there; None if there is nothing."""
        if not self.found:
            return None
        fits = sorted(self.found, key=lambda fit: (self.methods.index(fit[0]), fit[1]))
        scores = pd.DataFrame([row for fit in fits for row in self.found[fit]], columns=SCORE_COLUMNS)
        # An interrupted comparison may lack the reference.
        reference = self.reference if self.reference in {method for method, _ in fits} else None
        return Comparison(scores, reference=reference, confidence=self.confidence)


def _checked_estimators(estimators):
    pairs = list(estimators.items()) if isinstance(estimators, Mapping) else list(estimators)
    if not pairs:
        raise ValueError("compare_estimators needs at least one estimator, but 'estimators' is empty.")
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                "estimators must be a dict of names to estimators, or a list of (name, estimator). "
                f"Got {show(pair)} in it."
            )
        if not HasMethods("fit", "get_params").accepts(pair[1]):
            raise TypeError(f"Method {pair[0]!r} must be an estimator. Got {show(pair[1])} instead.")
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"Names of estimators must differ. Got {names}.")
    return dict(pairs)


def _run(jobs, n_jobs, store, verbose):
    """Do the jobs, and store what each returns as soon as it ends."""
    done = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs)
    n_fits, n_found = len(store.fits), len(store.found)
    try:
        with tqdm(total=n_fits, initial=n_found, desc="Comparison", unit="fit", disable=verbose <= 0) as bar:
            for method, fold, rows in done:
                if isinstance(rows, Exception):
                    raise ComparisonError(
                        f"Method {method!r} failed in fold {fold}: {type(rows).__name__}: {rows}",
                        store.comparison(),
                    ) from rows
                store.add(method, fold, rows)
                bar.set_postfix_str(f"{method}, fold {fold}", refresh=False)
                bar.update()
    finally:
        with warnings.catch_warnings():  # the exception on its way says enough
            warnings.filterwarnings("ignore", ".* tasks which were still being processed", UserWarning)
            done.close()


def _fit_and_score(method, fold, estimator, X, y, split, scoring, params):
    """Return (method, fold, rows of scores), or in their place the exception."""
    try:
        result = cross_validate(
            estimator, X, y, cv=[split], scoring=scoring, params=params, error_score="raise"
        )
    except Exception as error:  # raised again by the parent, which adds method and fold
        return method, fold, _portable(error)
    train, test = split
    shared = {
        "fit_seconds": float(result["fit_time"][0]),
        "score_seconds": float(result["score_time"][0]),
        "n_train": len(train),
        "n_test": len(test),
    }
    rows = [
        {"method": method, "fold": fold, "metric": metric, "score": float(result[f"test_{key}"][0]), **shared}
        for key, metric in _metrics(scoring, result).items()
    ]
    return method, fold, rows


def _metrics(scoring, result):
    """Names of metrics by the keys that `cross_validate` gives them."""
    keys = [key.removeprefix("test_") for key in result if key.startswith("test_")]
    if keys != ["score"]:
        return {key: key for key in keys}
    if scoring is None or isinstance(scoring, str):
        return {"score": scoring or "score"}
    function = getattr(scoring, "_score_func", scoring)  # of what make_scorer returns
    sign = "neg_" if getattr(scoring, "_sign", 1) < 0 else ""
    return {"score": sign + getattr(function, "__name__", "score")}


def _portable(error):
    """Let an exception pass from process to process, with the traceback that it would lose."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        substitute = RuntimeError(f"{type(error).__name__}: {error}")
        substitute.add_note(error.__notes__[-1])
        return substitute
    return error
