"""Errors of predicted ages by age band and by sex."""

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skhyperfusion._rules import Nothing, Number, OneOf, SequenceOf, check_argument
from skhyperfusion._typing import ArrayLike
from skhyperfusion._wording import listing, show
from skhyperfusion.brain_age._bias import brain_age_gap

ALL = "all"


def error_by_group(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    age_bins: Literal["decades"] | Sequence[float] | None = "decades",
    sex: ArrayLike | None = None,
) -> pd.DataFrame:
    """Tabulate the errors of predicted ages by age band and by sex.

    Parameters
    ----------
    y_true : array (n_samples,)
        True ages in years.
    y_pred : array (n_samples,)
        Predicted ages in years, of rows that the model was not trained on.
    age_bins : "decades", sequence of float or None, default="decades"
        Edges of the bands of true age in years, rising; a band begins with its lower edge and ends before its
        upper one, but the last has both. "decades": bands of ten years; None: no bands.
    sex : array (n_samples,), default=None
        Sex of each row, or another grouping; None: no groups.

    Returns
    -------
    DataFrame
        A row for each band and group that has rows, and for all together (``"all"``); the index has the
        levels ``age`` and ``sex``, or that of the two which is asked for. Columns, in years but for the
        first: ``n`` (rows), ``mae`` (mean absolute error), ``sd`` (standard deviation of the absolute error,
        NaN for one row), ``bias`` (mean of predicted less true age).

    Raises
    ------
    ValueError
        If lengths differ, an age is not finite or lies outside of the edges, or a sex is missing.

    See Also
    --------
    brain_age_gap : The errors with their sign, also corrected for the bias.

    Examples
    --------
    >>> error_by_group([25, 28, 34], [30, 29, 30], sex=["F", "M", "M"]).loc[("all", "M")].to_dict()
    {'n': 2.0, 'mae': 2.5, 'sd': 2.1213203435596424, 'bias': -1.5}
    """
    error = brain_age_gap(y_true, y_pred)
    choices = [OneOf("decades"), SequenceOf(Number(float)), Nothing()]
    check_argument("error_by_group", "age_bins", age_bins, choices)
    levels = {}
    if age_bins is not None or sex is None:
        levels["age"] = _bands(column_or_1d(y_true), age_bins)
    if sex is not None:
        check_consistent_length(error, sex)
        levels["sex"] = _labels(column_or_1d(sex))
    members = [
        [*((name, codes == i) for i, name in enumerate(names)), (ALL, codes >= 0)]
        for codes, names in levels.values()
    ]
    rows = {}
    for parts in itertools.product(*members):
        chosen = np.logical_and.reduce([mask for _, mask in parts])
        if chosen.any():
            rows[tuple(name for name, _ in parts)] = _summary(error[chosen])
    index = pd.MultiIndex.from_tuples(rows, names=list(levels))
    return pd.DataFrame(list(rows.values()), index=index if len(levels) > 1 else index.get_level_values(0))


def _summary(error):
    absolute = np.abs(error)
    return {
        "n": len(error),
        "mae": absolute.mean(),
        "sd": absolute.std(ddof=1) if len(error) > 1 else np.nan,
        "bias": error.mean(),
    }


def _bands(age, edges):
    """Return the number of each row's band, and the bands' names."""
    if edges is None:
        return np.zeros(len(age), dtype=np.intp), []
    if isinstance(edges, str):
        edges = np.arange(10 * np.floor(age.min() / 10), 10 * np.floor(age.max() / 10) + 11, 10)
    edges = np.asarray(edges, dtype=np.float64)
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise ValueError(f"age_bins must be two rising edges at least. Got {edges.tolist()} instead.")
    outside = age[(age < edges[0]) | (age > edges[-1])]
    if len(outside):
        raise ValueError(
            f"age_bins go from {edges[0]:g} to {edges[-1]:g} years, which leaves out "
            f"{listing(outside, noun='age')}. Widen them, or drop the rows."
        )
    codes = np.minimum(np.searchsorted(edges, age, side="right") - 1, len(edges) - 2)
    return codes, [f"{low:g}-{high:g}" for low, high in itertools.pairwise(edges)]


def _labels(labels):
    codes, names = pd.factorize(labels, sort=True)
    if (codes < 0).any():
        rows = listing(np.flatnonzero(codes < 0))
        raise ValueError(f"sex is missing in {rows}. Give these rows a group of their own, or drop them.")
    if ALL in names:
        raise ValueError(f"sex holds {show(ALL)}, which is the name of the rows of all together.")
    return codes, list(names)
