"""A profile, drawn: a thin line for each row, a thick one for their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from skhyperfusion._optional import axes_or_new, import_pyplot
from skhyperfusion._typing import ArrayLike, Estimator
from skhyperfusion._wording import check_choice
from skhyperfusion.inspection._profile import conditioning_profile

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from sklearn.utils import Bunch

_MOST_LINES = 100  # more are a surface


class ConditioningDisplay:
    """Draw what `conditioning_profile` found.

    Parameters
    ----------
    profile : Bunch
        What `conditioning_profile` returned.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Of the last plot.
    figure_ : matplotlib.figure.Figure
        Its figure.
    lines_ : list of matplotlib.lines.Line2D
        Those of the rows, and the mean's last.

    See Also
    --------
    conditioning_profile : Computes it.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(20, 8, 8))), "weight": rng.normal(70, 8, 20)})
    >>> y = X["weight"] / 2 + rng.normal(size=len(X))
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=1, random_state=0).fit(X, y)
    >>> display = ConditioningDisplay.from_estimator(model, X, "weight")
    >>> display.ax_.get_xlabel()
    'weight'
    """

    def __init__(self, profile: Bunch) -> None:
        self.profile = profile

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: pd.DataFrame,
        column: str,
        *,
        grid: ArrayLike | None = None,
        n_grid: int = 20,
        target: object = None,
        ax: Axes | None = None,
    ) -> Self:
        """Compute the profile of a fitted estimator, and draw it.

        Parameters
        ----------
        estimator, X, column, grid, n_grid
            As in `conditioning_profile`.
        target, ax
            As in `plot`.

        Returns
        -------
        ConditioningDisplay
        """
        import_pyplot(cls.__name__)
        profile = conditioning_profile(estimator, X, column, grid=grid, n_grid=n_grid)
        return cls(profile).plot(target=target, ax=ax)

    def plot(self, *, target: object = None, ax: Axes | None = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        target : object, default=None
            Class whose probability is drawn; None: the last one. Not used where there are no classes.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        ConditioningDisplay
            This display.
        """
        profile, k = self.profile, 0
        if profile.names is not None:
            target = check_choice(
                "target", profile.names[-1] if target is None else target, profile.names, "label"
            )
            k = profile.names.index(target)
        ax = axes_or_new(ax, type(self).__name__)
        places = profile.grid if profile.is_numeric else np.arange(len(profile.grid))
        shown = np.linspace(0, len(profile.values) - 1, min(_MOST_LINES, len(profile.values))).astype(int)
        self.lines_ = [
            *ax.plot(places, profile.values[shown, :, k].T, color="0.7", linewidth=0.6),
            *ax.plot(
                places, profile.mean[:, k], color="C0", linewidth=2.5, marker="o", label="mean of the rows"
            ),
        ]
        if not profile.is_numeric:
            ax.set_xticks(places, [str(value) for value in profile.grid])
        ax.set_xlabel(str(profile.column))
        ax.set_ylabel("prediction" if profile.names is None else f"probability of {target}")
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
