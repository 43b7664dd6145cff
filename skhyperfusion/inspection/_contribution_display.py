"""What images and table contribute, drawn with the intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from skhyperfusion._optional import axes_or_new, import_pyplot
from skhyperfusion._typing import ArrayLike, Estimator, Scorer, Seed
from skhyperfusion.inspection._contribution import modality_contribution

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from sklearn.utils import Bunch


class ContributionDisplay:
    """Draw what `modality_contribution` found.

    Parameters
    ----------
    contribution : Bunch
        What `modality_contribution` returned.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Of the last plot.
    figure_ : matplotlib.figure.Figure
        Its figure.
    points_ : matplotlib.lines.Line2D
        The losses.
    intervals_ : matplotlib.collections.LineCollection
        Their intervals.

    See Also
    --------
    modality_contribution : Computes it.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(30, 8, 8))), "weight": rng.normal(70, 8, 30)})
    >>> y = X["weight"] / 2 + rng.normal(size=len(X))
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=1, random_state=0).fit(X[:20], y[:20])
    >>> display = ContributionDisplay.from_estimator(model, X[20:], y[20:], n_repeats=2, n_resamples=10)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['images', 'table', 'both', 'interaction']
    """

    def __init__(self, contribution: Bunch) -> None:
        self.contribution = contribution

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: pd.DataFrame,
        y: ArrayLike,
        scoring: Scorer | None = None,
        *,
        groups: ArrayLike | None = None,
        image_columns: Sequence[str] | None = None,
        n_repeats: int = 10,
        n_resamples: int = 200,
        confidence: float = 0.95,
        random_state: Seed = None,
        ax: Axes | None = None,
    ) -> Self:
        """Compute the contributions to a fitted estimator's score, and draw them.

        Parameters
        ----------
        estimator, X, y, scoring, groups, image_columns, n_repeats, n_resamples, confidence, random_state
            As in `modality_contribution`.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        ContributionDisplay
        """
        import_pyplot(cls.__name__)
        contribution = modality_contribution(
            estimator,
            X,
            y,
            scoring,
            groups=groups,
            image_columns=image_columns,
            n_repeats=n_repeats,
            n_resamples=n_resamples,
            confidence=confidence,
            random_state=random_state,
        )
        return cls(contribution).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw each loss with its interval.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        ContributionDisplay
            This display. The dotted line is zero.
        """
        found = self.contribution
        ax = axes_or_new(ax, type(self).__name__, (6.4, 2.6))
        places = np.arange(len(found.names))
        self.intervals_ = ax.hlines(places, *found.interval.T, color="C0", linewidth=2)
        self.points_ = ax.plot(found.values, places, "D", color="C0", markersize=7)[0]
        ax.axvline(0, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
        ax.set_yticks(places, found.names)
        ax.set_ylim(len(places) - 0.5, -0.5)
        change = "rise" if found.scoring.startswith("neg_") else "fall"
        name = found.scoring.removeprefix("neg_").replace("_", " ")
        ax.set_xlabel(f"{change} of {name} by exchange among subjects, {100 * found.confidence:g} % interval")
        self.ax_, self.figure_ = ax, ax.figure
        return self
