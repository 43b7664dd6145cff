"""How a training went: losses, score, learning rate, and the epoch that was kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skhyperfusion._optional import axes_or_new, import_pyplot
from skhyperfusion._typing import Estimator

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class TrainingDisplay:
    """Draw the history of a fit.

    Parameters
    ----------
    history : DataFrame
        A fitted estimator's ``history_``.
    best_epoch : int
        Its ``best_epoch_``.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Of the losses.
    rate_ax_ : matplotlib.axes.Axes
        Of the learning rate, behind it.
    figure_ : matplotlib.figure.Figure
        Their figure.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(20, 8, 8))), "weight": rng.normal(70, 8, 20)})
    >>> y = X["weight"] / 2 + rng.normal(size=len(X))
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=3, random_state=0).fit(X, y)
    >>> display = TrainingDisplay.from_estimator(model)
    >>> [line.get_label() for line in display.ax_.get_lines()]
    ['training loss', 'epoch kept: 3']
    """

    def __init__(self, history: pd.DataFrame, best_epoch: int) -> None:
        self.history = history
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator: Estimator, *, ax: Axes | None = None) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : HyperFusionClassifier, HyperFusionRegressor, HyperFusionSurvival or pipeline
            Fitted; of a pipeline its last step.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        TrainingDisplay
        """
        import_pyplot(cls.__name__)
        check_is_fitted(estimator)
        model: Any = estimator
        if hasattr(estimator, "steps"):
            model = model[-1]
        if not hasattr(model, "history_"):
            raise TypeError(
                f"TrainingDisplay needs an estimator with a history_, and {type(model).__name__} has none. "
                "Of an ensemble, draw the members of estimators_ one by one."
            )
        return cls(model.history_, model.best_epoch_).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw losses and score by epoch, the learning rate behind them.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        TrainingDisplay
            This display.
        """
        ax = axes_or_new(ax, type(self).__name__)
        epochs = self.history["epoch"]
        names = {"train_loss": "training loss", "valid_loss": "loss of the rows held out"}
        for name in self.history.columns:
            if name in names or name.startswith("valid_"):
                ax.plot(epochs, self.history[name], label=names.get(name, f"{name[6:]} of the rows held out"))
        ax.axvline(self.best_epoch, color="0.3", linestyle=":", label=f"epoch kept: {self.best_epoch}")
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss, score")
        ax.legend()
        self.rate_ax_ = ax.twinx()
        self.rate_ax_.plot(epochs, self.history["lr"], color="0.7", linewidth=0.8)
        self.rate_ax_.set_ylabel("learning rate")
        self.ax_, self.figure_ = ax, ax.figure
        return self
