"""The losses of a network whose layers were re-initialised, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from skhyperfusion._optional import axes_or_new, import_pyplot
from skhyperfusion._typing import ArrayLike, Names, Seed, TableLike
from skhyperfusion.inspection._layer_sensitivity import layer_sensitivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from sklearn.utils import Bunch

    from skhyperfusion._base import BaseHyperFusion


class LayerSensitivityDisplay:
    """Draw what `layer_sensitivity` found: the losses of each layer, the highest score on top.

    Parameters
    ----------
    sensitivity : Bunch
        What `layer_sensitivity` returned.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Of the last plot.
    figure_ : matplotlib.figure.Figure
        Its figure.

    See Also
    --------
    layer_sensitivity : Scores the layers.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(20, 8, 8)))})
    >>> y = rng.normal(size=20)
    >>> network = HyperFusionRegressor(fusion="image", base_channels=2, max_epochs=1, random_state=0)
    >>> network = network.fit(X, y)
    >>> display = LayerSensitivityDisplay.from_estimator(network, X, y, n_repeats=5, layers="head.*")
    >>> len(display.ax_.get_yticks())
    2
    """

    def __init__(self, sensitivity: Bunch) -> None:
        self.sensitivity = sensitivity

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseHyperFusion,
        X: TableLike,
        y: ArrayLike,
        *,
        n_repeats: int = 400,
        layers: Names = None,
        sample_weight: ArrayLike | None = None,
        random_state: Seed = None,
        verbose: int = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Score the layers of a fitted estimator, and draw the result.

        Parameters
        ----------
        estimator, X, y, n_repeats, layers, sample_weight, random_state, verbose
            As in `layer_sensitivity`.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        LayerSensitivityDisplay
            Its ``sensitivity`` holds the numbers.

        Raises
        ------
        ImportError
            If matplotlib is not installed; before anything is computed.
        """
        import_pyplot(cls.__name__)
        sensitivity = layer_sensitivity(
            estimator,
            X,
            y,
            n_repeats=n_repeats,
            layers=layers,
            sample_weight=sample_weight,
            random_state=random_state,
            verbose=verbose,
        )
        return cls(sensitivity).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the range of each layer's losses: 5th to 95th percentile, quartiles, median.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        LayerSensitivityDisplay
            This display. The dotted line is the loss of the network as it was fitted; behind a layer's name
            stands its score.
        """
        table, losses = self.sensitivity.table, self.sensitivity.losses
        ax = axes_or_new(ax, type(self).__name__, (7, 1 + 0.3 * len(table)))
        places = np.arange(len(table))
        low, first, median, third, high = np.percentile(losses, [5, 25, 50, 75, 95], axis=0)
        ax.hlines(places, low, high, color="0.6", linewidth=1)
        ax.hlines(places, first, third, color="C0", linewidth=5)
        ax.plot(median, places, "|", color="white", markersize=5)
        ax.axvline(self.sensitivity.loss, color="0.3", linewidth=0.8, linestyle=":", zorder=0)
        ax.set_yticks(places, [f"{layer}  {score:.2f}" for layer, score in table["score"].items()])
        ax.set_ylim(len(places) - 0.5, -0.5)
        ax.set_xlabel("loss with the layer re-initialised (score: entropy, nats)")
        self.ax_, self.figure_ = ax, ax.figure
        return self
