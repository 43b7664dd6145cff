"""How well the features tell a column that should not matter, drawn beside chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skhyperfusion._optional import axes_or_new, import_pyplot
from skhyperfusion._typing import ArrayLike, Estimator, Scorer
from skhyperfusion.inspection._site import site_check

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from sklearn.utils import Bunch


class SiteCheckDisplay:
    """Draw what `site_check` found.

    Parameters
    ----------
    check : Bunch
        What `site_check` returned.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Of the last plot.
    figure_ : matplotlib.figure.Figure
        Its figure.

    See Also
    --------
    site_check : Computes it.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(30, 8, 8))), "sex": rng.choice(["F", "M"], 30)})
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=1, random_state=0).fit(X, np.arange(30))
    >>> display = SiteCheckDisplay.from_estimator(model, X, "sex", n_permutations=9)
    >>> display.ax_.get_xlabel()
    'balanced accuracy of telling sex from the features'
    """

    def __init__(self, check: Bunch) -> None:
        self.check = check

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: pd.DataFrame,
        site: str | ArrayLike,
        y: ArrayLike | None = None,
        scoring: Scorer | None = None,
        *,
        ax: Axes | None = None,
        **settings: Any,
    ) -> Self:
        """Check the features of a fitted estimator, and draw them against chance.

        Parameters
        ----------
        estimator, X, site, y, scoring
            As in `site_check`.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.
        **settings : dict
            Further arguments of `site_check`, by name.

        Returns
        -------
        SiteCheckDisplay
        """
        import_pyplot(cls.__name__)
        return cls(site_check(estimator, X, site, y, scoring, **settings)).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw the scores of permuted columns, and that of the column itself as a line.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        SiteCheckDisplay
            This display.
        """
        ax = self._axes(ax, figsize=(6.4, 3))
        found = self.check
        ax.hist(found.permuted, bins=20, color="0.7", label="permuted among subjects")
        p = f"p = {found.p_value:.2g}"
        ax.axvline(found.score, color="C3", linewidth=2, label=f"as it is: {found.score:.2f} ({p})")
        site = "the site" if found.site is None else found.site
        ax.set_xlabel(f"{found.metric} of telling {site} from the features")
        ax.set_ylabel("permutations")
        ax.legend()
        return self

    def plot_groups(self, *, ax: Axes | None = None) -> Self:
        """Draw how the score changes without each group, with the intervals.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        SiteCheckDisplay
            This display.

        Raises
        ------
        ValueError
            If `site_check` was not given a target.
        """
        found = self.check
        if found.groups is None:
            raise ValueError("There are no scores to draw: site_check was not given y. Pass it.")
        ax = self._axes(ax, figsize=(6.4, 1.2 + 0.35 * len(found.groups)))
        places = np.arange(len(found.groups))
        ax.hlines(places, found.groups["low"], found.groups["high"], color="C0", linewidth=2)
        ax.plot(found.groups["change"], places, "D", color="C0", markersize=7)
        ax.axvline(0, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
        ax.set_yticks(places, [f"without {name}" for name in found.groups.index])
        ax.set_ylim(len(places) - 0.5, -0.5)
        name = found.scoring.replace("_", " ")
        ax.set_xlabel(f"change of {name}, {100 * found.confidence:g} % interval")
        return self

    def _axes(self, ax, figsize):
        ax = axes_or_new(ax, type(self).__name__, figsize)
        self.ax_, self.figure_ = ax, ax.figure
        return ax
