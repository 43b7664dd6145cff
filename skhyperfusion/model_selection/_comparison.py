"""What a comparison found: scores, table, plot."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skhyperfusion._optional import axes_or_new
from skhyperfusion._rules import Number
from skhyperfusion._wording import check_choice, listing, show
from skhyperfusion.model_selection._metrics import check_errors, title_of
from skhyperfusion.model_selection._statistics import (
    corrected_interval,
    corrected_t_test,
    holm,
    mann_whitney_test,
    wilcoxon_test,
    without_rounding_noise,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCORE_COLUMNS = ["method", "fold", "metric", "score", "fit_seconds", "score_seconds", "n_train", "n_test"]
TESTS = ["corrected_t", "wilcoxon", "mann_whitney"]


class Comparison:
    """Scores of several methods in the same folds, and what can be said of them.

    `compare_estimators` makes it; a table of scores, one that was saved, say, makes it again.

    Parameters
    ----------
    scores : DataFrame
        One row per method, fold and metric, with the columns of the attribute `scores`; the two of seconds
        may be absent.
    reference : str, default=None
        The method that the others are compared with; None: the first.
    confidence : float, default=0.95
        Coverage of the intervals.
    errors : list of str, default=None
        Metrics whose scores are errors with a minus sign, as scikit-learn's ``neg_...`` are: tables and plots
        show them without it, in the unit of the target, say, and less is better. None: those whose names
        begin with ``neg_``.

    Attributes
    ----------
    scores : DataFrame
        One row per method, fold and metric: ``method``, ``fold``, ``metric``, ``score``, ``fit_seconds``,
        ``score_seconds``, ``n_train``, ``n_test`` (rows that were trained on and scored). With several
        metrics, the seconds of a fit stand in each of its rows. Errors keep their minus sign here.
    methods, metrics : list of str
        In the order in which they were given.
    reference : str
        The method that the others are compared with.
    confidence : float
        Coverage of the intervals.
    errors : list of str
        The metrics that are shown as errors.

    See Also
    --------
    compare_estimators : Fits and scores the methods.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame({
    ...     "method": ["a", "a", "a", "b", "b", "b"], "fold": [0, 1, 2, 0, 1, 2], "metric": "accuracy",
    ...     "score": [0.7, 0.8, 0.9, 0.6, 0.6, 0.9], "n_train": 20, "n_test": 10,
    ... })
    >>> comparison = Comparison(scores)
    >>> comparison.table()["difference"].round(3).tolist()
    [nan, -0.1]
    """

    def __init__(
        self,
        scores: pd.DataFrame,
        *,
        reference: str | None = None,
        confidence: float = 0.95,
        errors: Sequence[str] | None = None,
    ) -> None:
        check_confidence(confidence)
        scores = pd.DataFrame(scores).reindex(columns=_present(scores))
        if scores.empty:
            raise ValueError("A Comparison needs at least one score, but the table of scores is empty.")
        if scores.duplicated(["method", "fold", "metric"]).any():
            twice = scores.loc[scores.duplicated(["method", "fold", "metric"]), ["method", "fold", "metric"]]
            rows = listing(twice.itertuples(index=False, name=None))
            raise ValueError(f"A method has one score per fold and metric, but there are more in {rows}.")
        self.scores = scores.reset_index(drop=True)
        self.methods = list(dict.fromkeys(self.scores["method"]))
        self.metrics = list(dict.fromkeys(self.scores["metric"]))
        self.reference = check_choice("reference", reference, self.methods, "method")
        self.confidence = confidence
        self.errors = check_errors("Comparison", errors, self.metrics)

    def table(self, metric: str | None = None) -> pd.DataFrame:
        """Summarise one metric: a row per method.

        Parameters
        ----------
        metric : str, default=None
            One of `metrics`; None: the first.

        Returns
        -------
        DataFrame
            Indexed by method: ``folds`` (their number), ``mean``, ``sd`` (over the folds), ``low`` and
            ``high`` (confidence interval of the mean), ``difference`` to the reference in the folds that
            both have, ``difference_low`` and ``difference_high`` (its interval), ``p_corrected_t``,
            ``p_wilcoxon``, ``p_mann_whitney``, each followed by itself with ``_holm``: adjusted over the
            rivals of the reference; ``fit_seconds`` (mean). NaN where the reference meets itself, where a
            score is NaN, and for intervals and p-values of fewer than two folds. Of metrics in `errors`, the
            numbers are positive errors: a method with a negative difference errs less than the reference.

        Notes
        -----
        Training sets of a cross-validation overlap, so that scores of folds are not independent, and
        intervals and tests that take them to be are too sure. The intervals and ``p_corrected_t`` use the
        variance of Nadeau and Bengio: ``(1 / k + n_test / n_train) * s ** 2`` for k folds (k times r of a
        cross-validation repeated r times), with k - 1 degrees of freedom. Wilcoxon's signed-rank test and
        the Mann-Whitney U test are given because papers report them; they know nothing of the overlap, and
        of 5 folds the smallest p-value that Wilcoxon's can give is 0.0625. How far this goes: of 1500
        simulated pairs of equally good methods (100 rows, 3 times 5 folds), the corrected test called 4 %
        different at the level of 5 %, the two others 28 % and 24 % (``benchmarks/equal_methods.py``).

        References
        ----------
        Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003.

        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6,
        1979.
        """
        wide = self._wide(metric)
        reference = wide[self.reference] if self.reference in wide else pd.Series(np.nan, wide.index)
        rows = [self._row(method, wide.get(method), reference) for method in self.methods]
        table = pd.DataFrame(rows, index=pd.Index(self.methods, name="method"))
        for test in TESTS:
            table.insert(table.columns.get_loc(f"p_{test}") + 1, f"p_{test}_holm", holm(table[f"p_{test}"]))
        return table

    def plot(self, metric: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw one metric: a dot per fold, the mean and its confidence interval.

        Parameters
        ----------
        metric : str, default=None
            One of `metrics`; None: the first.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            The first method is at the top.
        """
        metric = check_choice("metric", metric, self.metrics, "metric")
        ax = axes_or_new(ax, "Comparison.plot", (6, 1 + 0.4 * len(self.methods)))
        table, wide = self.table(metric), self._wide(metric)
        places = np.arange(len(self.methods))
        for place, method in zip(places, self.methods, strict=True):
            values = wide[method].dropna() if method in wide else []
            ax.plot(values, np.full(len(values), place + 0.2), "o", color="0.3", alpha=0.5, markersize=4)
        half = np.nan_to_num(table["high"] - table["mean"])
        ax.errorbar(table["mean"], places, xerr=half, fmt="D", color="C0", markersize=5, capsize=3)
        ax.axvline(table.loc[self.reference, "mean"], color="C0", linewidth=0.8, linestyle=":", zorder=0)
        ax.set_yticks(places, self.methods)
        ax.set_ylim(len(places) - 0.5, -0.5)
        ax.set_xlabel(f"{title_of(metric, self.errors)}: folds, mean, {100 * self.confidence:g} % interval")
        return ax

    def __repr__(self):
        tables = (
            f"{title_of(metric, self.errors)}\n{self._printed(metric).to_string()}" for metric in self.metrics
        )
        return "\n\n".join([self._headline(), *tables])

    def _repr_html_(self):
        """Return what a notebook shows: a table for each metric, and how to read it."""
        how = (
            "Mean and standard deviation over the folds; intervals and the p-value <i>corrected t</i> know "
            "that training sets overlap, Wilcoxon's and Mann and Whitney's do not. <code>table()</code> has "
            "all numbers, <code>plot()</code> draws them, <code>scores</code> holds every fold."
        )
        tables = "".join(
            f"<p><b>{html.escape(title_of(metric, self.errors))}</b></p>"
            + self._printed(metric).to_html(border=0)
            for metric in self.metrics
        )
        return f"<div><p>{html.escape(self._headline())}</p>{tables}<p>{how}</p></div>"

    def _headline(self):
        n_folds = self.scores["fold"].nunique()
        return (
            f"Comparison of {listing(self.methods, noun='method')} in {n_folds} fold{'s' * (n_folds != 1)}; "
            f"{100 * self.confidence:g} % intervals, differences to {self.reference!r}, p-values after Holm"
        )

    def _wide(self, metric):
        """Scores of one metric, or its errors: folds by methods, NaN where a fit is missing."""
        metric = check_choice("metric", metric, self.metrics, "metric")
        rows = self.scores[self.scores["metric"] == metric]
        wide = rows.pivot(index="fold", columns="method", values="score")
        return -wide if metric in self.errors else wide

    def _row(self, method, scores, reference):
        own = self.scores[self.scores["method"] == method]
        ratio = (own["n_test"] / own["n_train"]).mean()
        done = own["fold"].unique()  # a NaN among these is a score, outside of them a fit that is missing
        values = np.array([]) if scores is None else scores.loc[scores.index.isin(done)].to_numpy()
        row = {"folds": len(values), "mean": np.nan, "sd": np.nan, "low": np.nan, "high": np.nan}
        if len(values):
            row["mean"] = values.mean()
            row["sd"] = values.std(ddof=1) if len(values) > 1 else np.nan
            row["low"], row["high"] = corrected_interval(values, ratio, self.confidence)
        row |= self._against_reference(method, scores, reference, done, ratio)
        row["fit_seconds"] = own["fit_seconds"].mean() if "fit_seconds" in own else np.nan
        return row

    def _against_reference(self, method, scores, reference, done, ratio):
        names = ["difference", "difference_low", "difference_high", *(f"p_{test}" for test in TESTS)]
        row = dict.fromkeys(names, np.nan)
        others = self.scores.loc[self.scores["method"] == self.reference, "fold"].unique()
        both = reference.index.isin(done) & reference.index.isin(others)
        if method == self.reference or scores is None or not both.any():
            return row
        values, rival = scores[both].to_numpy(), reference[both].to_numpy()
        scale = np.abs([values, rival]).max()
        difference = without_rounding_noise(values - rival, scale)
        row["difference"] = difference.mean()
        row["difference_low"], row["difference_high"] = corrected_interval(difference, ratio, self.confidence)
        if len(difference) > 1:
            row["p_corrected_t"] = corrected_t_test(difference, ratio)
            row["p_wilcoxon"] = wilcoxon_test(difference)
            row["p_mann_whitney"] = mann_whitney_test(values, rival)
        return row

    def _printed(self, metric):
        table = self.table(metric)
        low_high = [f"[{low:.3f}, {high:.3f}]" for low, high in table[["low", "high"]].to_numpy()]
        printed = pd.DataFrame({"mean": table["mean"].map("{:.3f}".format)}, index=table.index)
        printed["sd"] = table["sd"].map("{:.3f}".format)
        printed["interval"] = low_high
        printed["difference"] = table["difference"].map("{:+.3f}".format)
        for test in TESTS:
            printed[f"p {test}".replace("_", " ")] = table[f"p_{test}_holm"].map("{:.3g}".format)
        printed["fit seconds"] = table["fit_seconds"].map("{:.2f}".format)
        printed = printed.replace(["nan", "+nan", "[nan, nan]"], "")
        return printed.rename_axis(None)


def check_confidence(confidence):
    """Refuse what is no coverage of an interval, such as 95."""
    if not Number(float, 0, 1, closed="neither").accepts(confidence):
        raise ValueError(f"confidence must be a number in (0, 1). Got {show(confidence)} instead.")


def _present(scores):
    absent = [name for name in SCORE_COLUMNS if name not in scores and not name.endswith("seconds")]
    if absent:
        raise ValueError(
            f"A table of scores needs the columns {SCORE_COLUMNS}; it lacks {listing(absent, noun='column')}."
        )
    return [name for name in SCORE_COLUMNS if name in scores]
