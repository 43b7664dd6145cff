"""Scores by training and test group: table and heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import pandas as pd

from skhyperfusion._optional import axes_or_new
from skhyperfusion._rules import OneOf, check_argument
from skhyperfusion._wording import check_choice, listing
from skhyperfusion.model_selection._metrics import check_errors, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALL = "all"
COLUMNS = ["train", "test", "fold", "metric", "score", "n_train", "n_test", "fit_seconds"]
Statistic: TypeAlias = Literal["mean", "sd", "n_train", "n_test"]
STATISTICS: dict[Statistic, tuple[str, str]] = {
    "mean": ("score", "mean"),
    "sd": ("score", "std"),
    "n_train": ("n_train", "mean"),
    "n_test": ("n_test", "sum"),
}


class CrossGroupScores:
    """Scores of models that were trained on one group and tested on another.

    `cross_group_scores` makes it; a table of scores that was saved makes it again.

    Parameters
    ----------
    scores : DataFrame
        With the columns of the attribute `scores`; ``fit_seconds`` may be absent.
    errors : list of str, default=None
        Metrics whose scores are errors with a minus sign: tables and plots show them without it. None: those
        whose names begin with ``neg_``.

    Attributes
    ----------
    scores : DataFrame
        One row per training group, test group, fold and metric: ``train``, ``test`` (names of groups, or
        ``"all"``), ``fold``, ``metric``, ``score`` (of errors with a minus sign), ``n_train``, ``n_test``
        (rows trained on and scored), ``fit_seconds``.
    groups : list of str
        Their names; ``"all"`` is the last.
    metrics : list of str
        In the order in which they were given.
    errors : list of str
        The metrics that are shown as errors.

    See Also
    --------
    cross_group_scores : Fits and scores.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame({
    ...     "train": ["F", "F", "M", "M"], "test": ["F", "M", "F", "M"], "fold": 0, "metric": "accuracy",
    ...     "score": [0.9, 0.6, 0.7, 0.8], "n_train": 20, "n_test": 10,
    ... })
    >>> CrossGroupScores(scores).table()
    test     F    M
    train
    F      0.9  0.6
    M      0.7  0.8
    """

    def __init__(self, scores: pd.DataFrame, *, errors: Sequence[str] | None = None) -> None:
        scores = pd.DataFrame(scores)
        absent = [name for name in COLUMNS if name not in scores and name != "fit_seconds"]
        if absent or scores.empty:
            found = f"it lacks {listing(absent, noun='column')}" if absent else "it is empty"
            raise ValueError(f"CrossGroupScores needs a table with the columns {COLUMNS}; {found}.")
        self.scores = scores[[name for name in COLUMNS if name in scores]].reset_index(drop=True)
        names = pd.unique(self.scores[["train", "test"]].to_numpy().ravel())
        self.groups = sorted(names, key=lambda name: (name == ALL, name))
        self.metrics = list(dict.fromkeys(self.scores["metric"]))
        self.errors = check_errors("CrossGroupScores", errors, self.metrics)

    def table(self, metric: str | None = None, statistic: Statistic = "mean") -> pd.DataFrame:
        """Summarise one metric over the folds: a row per training group, a column per test group.

        Parameters
        ----------
        metric : str, default=None
            One of `metrics`; None: the first.
        statistic : {"mean", "sd", "n_train", "n_test"}, default="mean"
            Of the scores (or errors) over the folds; or the number of rows trained on (mean over the folds)
            or scored (in all folds together). Training sets overlap: ``sd / sqrt(folds)`` is no standard
            error.

        Returns
        -------
        DataFrame (n_groups, n_groups)
            Indexed by ``train``, with columns ``test``.
        """
        check_argument("CrossGroupScores.table", "statistic", statistic, [OneOf(*STATISTICS)])
        column, function = STATISTICS[statistic]
        metric = check_choice("metric", metric, self.metrics, "metric")
        rows = self.scores[self.scores["metric"] == metric]
        if metric in self.errors:
            rows = rows.assign(score=-rows["score"])
        wide = rows.pivot_table(index="train", columns="test", values=column, aggfunc=function, dropna=False)
        return wide.reindex(
            index=[name for name in self.groups if name in wide.index],
            columns=[name for name in self.groups if name in wide.columns],
        )

    def plot(self, metric: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw a heat map of one metric.

        Parameters
        ----------
        metric : str, default=None
            One of `metrics`; None: the first.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            In each cell the mean over the folds, their standard deviation, and the number of rows that were
            scored; beside each row the number of rows that a model was trained on.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        metric = check_choice("metric", metric, self.metrics, "metric")
        less_is_better = metric in self.errors
        mean, sd, n_train, n_test = (self.table(metric, statistic) for statistic in STATISTICS)
        size = (2 + 1.4 * mean.shape[1], 1.2 + 0.9 * mean.shape[0])
        ax = axes_or_new(ax, "CrossGroupScores.plot", size)
        # Bright is good.
        image = ax.imshow(mean, cmap="viridis_r" if less_is_better else "viridis", aspect="auto")
        middle = np.nanmean([np.nanmin(mean), np.nanmax(mean)])
        for (row, column), value in np.ndenumerate(mean.to_numpy()):
            spread = sd.iat[row, column]
            text = f"{value:.2f}" + ("" if np.isnan(spread) else f" ± {spread:.2f}")
            is_dark = value > middle if less_is_better else value <= middle
            label = f"{text}\nn = {n_test.iat[row, column]:.0f}"
            ax.text(
                column,
                row,
                label,
                ha="center",
                va="center",
                color="white" if is_dark else "black",
                fontsize=9,
            )
        ax.set_xticks(range(mean.shape[1]), mean.columns)
        ax.set_yticks(
            range(mean.shape[0]),
            [f"{name} (n = {n:.0f})" for name, n in n_train.mean(axis=1).items()],
        )
        ax.set(xlabel="tested on", ylabel="trained on")
        ax.figure.colorbar(image, ax=ax, label=title_of(metric, self.errors))
        return ax

    def __repr__(self):
        head = (
            f"CrossGroupScores of {listing(self.groups, noun='group')}\n"
            f"Means over the folds ({self.scores['fold'].nunique()}); a row for what was trained on, "
            "a column for what was tested on"
        )
        tables = (
            f"{title_of(metric, self.errors)}\n{self.table(metric).round(3).to_string()}"
            for metric in self.metrics
        )
        return "\n\n".join([head, *tables])
