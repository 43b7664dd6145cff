"""Fit and score several methods in the same folds."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import pandas as pd
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.utils import indexable

from skhyperfusion._meta import fit_rows, make_folds, make_router, route_fit, run_fits, score_rows
from skhyperfusion._rules import Boolean, HasMethods, Number, check_argument
from skhyperfusion._typing import ArrayLike, Estimator, Folds, PathLike, Scorers, TableLike
from skhyperfusion._wording import check_choice, show
from skhyperfusion.model_selection._comparison import SCORE_COLUMNS, Comparison, check_confidence
from skhyperfusion.model_selection._metrics import errors_in
from skhyperfusion.model_selection._results_file import ResultsFile, keys_of_fits


class ComparisonInterrupted(KeyboardInterrupt):
    """Ctrl-C during a comparison.

    Attributes
    ----------
    comparison : Comparison or None
        Of the fits that were finished, if there are any.
    """

    def __init__(self, message: str, comparison: Comparison | None = None) -> None:
        super().__init__(message)
        self.comparison = comparison


class ComparisonError(RuntimeError):
    """A method failed in a fold; what it raised is the cause.

    Attributes
    ----------
    comparison : Comparison or None
        Of the fits that were finished, if there are any.
    """

    def __init__(self, message: str, comparison: Comparison | None = None) -> None:
        super().__init__(message)
        self.comparison = comparison


def compare_estimators(
    estimators: Mapping[str, Estimator],
    X: TableLike,
    y: ArrayLike,
    *,
    cv: Folds = 5,
    scoring: Scorers | None = None,
    groups: ArrayLike | None = None,
    params: dict[str, Any] | None = None,
    reference: str | None = None,
    confidence: float = 0.95,
    results: PathLike | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Comparison:
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
        Folds, drawn once: all methods see the same. A number: folds balanced in the target, of whole groups
        if there are `groups` (:ref:`in the guide <number-of-folds>`).
    scoring : str, callable, list or dict, default=None
        One metric or several, as in `sklearn.model_selection.cross_validate`; None: each estimator's own
        ``score``. The scores of errors keep scikit-learn's minus sign (``neg_...``); tables and plots show
        them without.
    groups : array (n_samples,), default=None
        Groups, such as subjects: for the splitter, and for ``fit`` of the methods that take groups.
    params : dict, default=None
        What ``fit`` of every method gets besides, such as ``{"sample_weight": w}``; arrays of n_samples are
        cut to the fold. With metadata routing on, estimators and scorers get what they request, also of the
        groups.
    reference : str, default=None
        Name of the method that the others are compared with; None: the first.
    confidence : float, default=0.95
        Coverage of the intervals.
    results : str or path-like, default=None
        File in which each fit's scores are kept as soon as it ends. Called again with the same file, the
        fits in it are not repeated, provided that estimator, data, fold and metrics are the same (functions
        among the parameters count as the same if their names are). Of data in files, which cells name by
        path, size and time of change count. A `FrozenEstimator` counts by what it has learned; one that holds
        a network is known within one process. Whatever ends the process, finished fits are in the file.
    n_jobs : int, default=None
        Fits in parallel, by joblib; None: one, unless in a `joblib.parallel_config`.
    verbose : int, default=0
        Above 0, a progress bar on stderr, one step per fit; what was found in `results` counts as done.

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
    >>> import pandas as pd
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.dummy import DummyClassifier
    >>> from skhyperfusion import HyperFusionClassifier
    >>> from skhyperfusion.features import baseline_classifier
    >>> digits = load_digits(n_class=3)
    >>> X = pd.DataFrame({"picture": list(digits.images[:120])})
    >>> methods = {
    ...     "network": HyperFusionClassifier(fusion="image", base_channels=2, max_epochs=2, random_state=0),
    ...     "components + logistic": baseline_classifier(n_components=10),
    ...     "majority": DummyClassifier(),
    ... }
    >>> reference = "components + logistic"  # what a network has to beat
    >>> comparison = compare_estimators(
    ...     methods, X, digits.target[:120], cv=4, scoring="accuracy", reference=reference
    ... )
    >>> table = comparison.table()
    >>> table["mean"].idxmax()
    'components + logistic'
    >>> bool(table.loc["majority", "p_corrected_t"] < 0.001)
    True
    """
    estimators = _checked_estimators(estimators)
    check_choice("reference", reference, list(estimators), "method")
    check_confidence(confidence)
    check_argument("compare_estimators", "verbose", verbose, [Number(int, 0), Boolean()])
    X, y, groups = indexable(X, y, groups)
    first = next(iter(estimators.values()))
    splits = make_folds(cv, X, y, classifier=is_classifier(first), groups=groups)
    store = _Store(list(estimators), len(splits), reference, confidence, errors_in(scoring))
    if results is not None:
        store.keep_in(results, keys_of_fits(estimators, X, y, splits, scoring, params, groups))
    ways = {}
    for method, estimator in estimators.items():
        scorer = check_scoring(estimator, scoring=scoring)
        router = make_router("compare_estimators", estimator, None, scorer)
        ways[method] = estimator, scorer, scoring, route_fit(router, estimator, params=params, groups=groups)
    try:
        _fit_missing(store, ways, X, y, splits, n_jobs=n_jobs, verbose=verbose)
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

    def __init__(self, methods, n_folds, reference, confidence, errors):
        # Fold by fold, so that an interrupted comparison has whole folds.
        self.fits = [(method, fold) for fold in range(n_folds) for method in methods]
        self.methods, self.reference = methods, reference
        self.confidence, self.errors = confidence, errors
        self.found, self.file, self.keys = {}, None, {}

    def keep_in(self, path, keys):
        self.file, self.keys = ResultsFile(path), keys
        kept = self.file.read()
        self.found = {fit: _rows_of(*fit, kept[keys[fit]]) for fit in self.fits if keys[fit] in kept}

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
        return Comparison(scores, reference=reference, confidence=self.confidence, errors=self.errors)


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


def _fit_missing(store, ways, X, y, splits, *, n_jobs, verbose):
    """Do the fits that are not in the store, and store what each finds as soon as it ends.

    `ways` has for each method: estimator, scorer, scoring, and who gets which parameter.
    """
    fits = {f"{method}, fold {fold}": (method, fold) for method, fold in store.missing()}
    tasks = {which: (*ways[method], X, y, splits[fold]) for which, (method, fold) in fits.items()}

    def failure(which, error):
        method, fold = fits[which]
        return ComparisonError(
            f"Method {method!r} failed in fold {fold}: {type(error).__name__}: {error}", store.comparison()
        )

    found = run_fits(
        _fit_and_score,
        tasks,
        name="Comparison",
        n_jobs=n_jobs,
        verbose=verbose,
        n_done=len(store.found),
        failure=failure,
    )
    with contextlib.closing(found):
        for which, rows in found:
            method, fold = fits[which]
            store.add(method, fold, _rows_of(method, fold, rows))


def _rows_of(method, fold, rows):
    """Name the fit that rows are of; a file may have kept them when its fold had another number."""
    return [row | {"method": method, "fold": fold} for row in rows]


def _fit_and_score(estimator, scorer, scoring, routed, X, y, split):
    """Return a dict for each metric: the columns of `Comparison.scores` but for method and fold."""
    train, test = split
    start = time.perf_counter()
    fitted = fit_rows(estimator, X, y, train, routed.fit)
    fitted_at = time.perf_counter()
    scores = score_rows(fitted, X, y, test, train, scorer, scoring, routed.score)
    shared = {
        "fit_seconds": fitted_at - start,
        "score_seconds": time.perf_counter() - fitted_at,
        "n_train": len(train),
        "n_test": len(test),
    }
    return [{"metric": metric, "score": score, **shared} for metric, score in scores.items()]
