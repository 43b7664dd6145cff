"""Whether a network's features tell what should not matter: scanner, site, sex."""

from typing import Literal

import joblib
import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.utils import Bunch
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skhyperfusion._rules import Number, OneOf, RandomState, check_argument, private_random_state
from skhyperfusion._table._cells import holds_numbers
from skhyperfusion._typing import ArrayLike, Estimator, Folds, Scorer, Seed
from skhyperfusion._wording import listing, show
from skhyperfusion.inspection._answered import Answered, as_truth, make_scorer_of
from skhyperfusion.inspection._answers import Findings, as_rows, check_column
from skhyperfusion.inspection._contribution import groups_of
from skhyperfusion.inspection._members import members_of
from skhyperfusion.inspection._site_scores import SiteProbe, scores_without
from skhyperfusion.inspection._subjects import Subjects, classes_to_keep

_MOST_CODES = 10  # a column of more different numbers is a measure


def site_check(
    estimator: Estimator,
    X: pd.DataFrame,
    site: str | ArrayLike,
    y: ArrayLike | None = None,
    scoring: Scorer | None = None,
    *,
    kind: Literal["auto", "categorical", "numeric"] = "auto",
    groups: ArrayLike | None = None,
    cv: Folds = 5,
    n_permutations: int = 200,
    n_resamples: int = 200,
    confidence: float = 0.95,
    random_state: Seed = None,
    n_jobs: int | None = None,
) -> Bunch:
    """Tell how well a network's features predict a column that should not matter, such as the scanner.

    A linear model learns the column from what `embed` returns, cross-validated, and is compared with the same
    on columns permuted among subjects. With `y`, the score is also taken without each of the column's groups.

    Parameters
    ----------
    estimator : estimator
        A fitted `HyperFusionClassifier`, `HyperFusionRegressor` or `HyperFusionSurvival`, a fold ensemble of
        them (the features of its networks side by side), a search over them, or a pipeline that ends in one.
        It is not changed.
    X : DataFrame (n_samples, n_features)
        Rows, best such as it was not fitted on. They are not changed.
    site : str, or array (n_samples,)
        A column of X by name, or one value a row.
    y : array (n_samples,), default=None
        Target of the rows; None: no score is taken.
    scoring : str or callable, default=None
        As in `modality_contribution`.
    kind : {"auto", "categorical", "numeric"}, default="auto"
        What the column is. "auto": numeric where it holds numbers and more than 10 different ones.
    groups : array (n_samples,), default=None
        Subject of each row, whose rows stay on one side of a fold and are permuted together. None: the
        estimator's ``group_column``, if it has one by name; otherwise each row is a subject.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the linear model; a number balances them in the column.
    n_permutations : int, default=200
        How often the column is permuted; the least p-value is 1 / (n_permutations + 1).
    n_resamples : int, default=200
        How often subjects are drawn again for the intervals of the changes.
    confidence : float, default=0.95
        Their coverage.
    random_state : int, RandomState or None, default=None
        Source of permutations and draws.
    n_jobs : int, default=None
        Permutations at once, by joblib.

    Returns
    -------
    Bunch
        ``site``: the column's name, or None; ``kind``; ``metric``: "balanced accuracy", of a numeric column
        "R2"; ``score``: of the linear model in rows that it has not learned from; ``permuted``
        (n_permutations,): the same for permuted columns; ``chance``: their mean; ``p_value``: the share of
        permutations that do as well, the column itself among them; ``n_features``; ``names``: the groups, of
        a numeric column its quarters. ``groups``: None without `y`; otherwise a DataFrame, one row per group:
        ``n_rows`` in it, ``score_without`` it, ``change`` (that less the score of all rows), ``low`` and
        ``high`` (interval of the change over subjects drawn again); NaN where no row of some class
        would be left. ``model_score``: of all rows, or None; ``scoring``: its name, or None; ``confidence``.

    Raises
    ------
    TypeError
        If X is no DataFrame, or the estimator has no features.
    ValueError
        If the column is absent, has gaps, one value only, or a group smaller than the number of folds.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    SiteCheckDisplay : Draws it.
    skhyperfusion.model_selection.cross_group_scores : Fits on one group, and tests on another.

    Notes
    -----
    That features tell the site is no proof that predictions rest on it: where sites differ in what they
    treat, features that tell the diagnosis tell something of the site. That they do not is good news, but of
    linear models only.

    References
    ----------
    Alain, Bengio, "Understanding intermediate layers using linear classifier probes", ICLR workshop 2017.

    Ojala, Garriga, "Permutation tests for studying classifier performance", Journal of Machine Learning
    Research 11, 2010.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> scanner = rng.choice(["A", "B"], 60)
    >>> scans = rng.normal(size=(60, 8, 8))
    >>> scans[scanner == "B", :, :4] += 2
    >>> X = pd.DataFrame({"scan": list(scans), "weight": rng.normal(70, 8, 60)})
    >>> model = HyperFusionRegressor(base_channels=4, max_epochs=5, random_state=0).fit(X, np.arange(60))
    >>> found = site_check(model, X, scanner, n_permutations=19, random_state=0)
    >>> found.metric, found.score > found.chance, found.p_value
    ('balanced accuracy', True, 0.05)
    """
    caller = "site_check"
    check_is_fitted(estimator)
    X = as_rows(X, caller)
    check_argument(caller, "kind", kind, [OneOf("auto", "categorical", "numeric")])
    check_argument(caller, "n_permutations", n_permutations, [Number(int, 1)])
    check_argument(caller, "n_resamples", n_resamples, [Number(int, 2)])
    check_argument(caller, "confidence", confidence, [Number(float, 0, 1, closed="neither")])
    check_argument(caller, "random_state", random_state, [RandomState()])
    name, column = _column(X, site, caller)
    is_numeric = _is_numeric(column) if kind == "auto" else kind == "numeric"
    subjects = Subjects(groups_of(estimator, X) if groups is None else groups, len(X), caller)
    features = np.hstack([one.estimator.embed(one.frame) for one in members_of(estimator, X, caller)])
    probe = SiteProbe(features, column, is_numeric, subjects, cv)
    random_state = private_random_state(random_state)
    score = probe.score(np.arange(len(X)))
    sources = [subjects.permute(random_state) for _ in range(n_permutations)]
    permuted = np.array(joblib.Parallel(n_jobs)(joblib.delayed(probe.score)(source) for source in sources))
    labels = pd.qcut(column.astype(float), 4, duplicates="drop") if is_numeric else column
    found = Findings(
        site=name,
        kind="numeric" if is_numeric else "categorical",
        metric="R2" if is_numeric else "balanced accuracy",
        score=score,
        permuted=permuted,
        chance=float(permuted.mean()),
        p_value=float((1 + np.count_nonzero(permuted >= score)) / (1 + n_permutations)),
        n_features=probe.features.shape[1],
        names=sorted(labels.unique().tolist(), key=lambda name: (type(name).__name__, name)),
        groups=None,
        model_score=None,
        scoring=None,
        confidence=confidence,
    )
    if y is not None:
        y = as_truth(estimator, X, y, caller)
        scorer, found["scoring"] = make_scorer_of(estimator, scoring, caller)
        answered, classes = Answered(estimator, X), classes_to_keep(estimator, y)
        draws = [subjects.resample(random_state, classes) for _ in range(n_resamples)]
        with config_context(assume_finite=True, skip_parameter_validation=True):  # thousands of small calls
            found["groups"] = scores_without(
                lambda rows: scorer(answered, rows, y[rows]),
                labels.to_numpy(),
                found.names,
                draws,
                confidence,
                classes,
            )
        found["model_score"] = float(scorer(answered, np.arange(len(X)), y))
    return found


def _column(X, site, caller):
    """Return the column's name, or None, and its values."""
    if isinstance(site, str):
        check_column(X, site, caller)
        name, column = site, X[site]
    else:
        check_consistent_length(X, site)
        name, column = getattr(site, "name", None), pd.Series(np.asarray(site), index=X.index)
    gaps = X.index[column.isna()]
    if len(gaps):
        raise ValueError(
            f"{caller}: the column has gaps ({listing(gaps)}). Leave these rows out, or fill them."
        )
    if column.nunique() < 2:
        raise ValueError(f"{caller}: all rows have the value {show(column.iloc[0])}, so nothing is to tell.")
    return name, column


def _is_numeric(column):
    numbers = holds_numbers(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    return numbers and column.nunique() > _MOST_CODES
