"""What generated weights do, drawn: the effect of each column, or the embedding of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pandas as pd

from skhyperfusion._optional import axes_or_new, import_pyplot
from skhyperfusion._typing import Estimator, Seed
from skhyperfusion._wording import check_choice
from skhyperfusion.inspection._modulation import weight_modulation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from sklearn.utils import Bunch

_KINDS = ("columns", "embedding")


class ModulationDisplay:
    """Draw what `weight_modulation` found: effects of the columns, or a map of the embedding.

    Parameters
    ----------
    modulation : Bunch
        What `weight_modulation` returned.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Of the last plot.
    figure_ : matplotlib.figure.Figure
        Its figure.

    See Also
    --------
    weight_modulation : Computes it.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(20, 8, 8))), "dose": rng.normal(size=20)})
    >>> X["sex"] = rng.choice(["F", "M"], 20)
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=1, random_state=0)
    >>> model = model.fit(X, X["dose"] + rng.normal(size=20))
    >>> display = ModulationDisplay.from_estimator(model, X, n_pairs=5, kind="embedding", color="sex")
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['F', 'M']
    """

    def __init__(self, modulation: Bunch) -> None:
        self.modulation = modulation

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: pd.DataFrame,
        *,
        columns: Sequence[str] | None = None,
        n_pairs: int = 50,
        n_images: int = 32,
        random_state: Seed = None,
        kind: Literal["columns", "embedding"] = "columns",
        color: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Measure the modulation of a fitted estimator, and draw it.

        Parameters
        ----------
        estimator, X, columns, n_pairs, n_images, random_state
            As in `weight_modulation`.
        kind, color, ax
            As in `plot`.

        Returns
        -------
        ModulationDisplay
        """
        import_pyplot(cls.__name__)
        modulation = weight_modulation(
            estimator, X, columns=columns, n_pairs=n_pairs, n_images=n_images, random_state=random_state
        )
        return cls(modulation).plot(kind=kind, color=color, ax=ax)

    def plot(
        self,
        *,
        kind: Literal["columns", "embedding"] = "columns",
        color: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the effects of the columns, or the rows of the table as the first layer's generator sees them.

        Parameters
        ----------
        kind : {"columns", "embedding"}, default="columns"
            "columns": a bar for each column and external layer, the broad one its effect, the narrow one
            the part that differs between images. "embedding": the first two principal components.
        color : str, default=None
            Column that colours the points of the embedding; None: the one with the largest effect. Not used
            by "columns".
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        ModulationDisplay
            This display.
        """
        check_choice("kind", kind, _KINDS, "kind")
        found = self.modulation
        height = 1.2 + 0.3 * found.values.size if kind == "columns" else 4.8
        ax = axes_or_new(ax, type(self).__name__, (7, height))
        self.ax_, self.figure_ = ax, ax.figure
        if kind == "columns":
            self._draw_columns(ax)
        else:
            largest = (found.values**2).sum().idxmax()
            self._draw_embedding(
                ax, check_choice("color", largest if color is None else color, found.names, "column")
            )
        return self

    def _draw_columns(self, ax):
        found = self.modulation
        n_layers = len(found.values)
        height = 0.8 / n_layers
        for i, layer in enumerate(found.values.index):
            places = np.arange(len(found.names)) + (i - (n_layers - 1) / 2) * height
            ax.barh(places, found.values.loc[layer], 0.9 * height, color=f"C{i}", alpha=0.4, label=str(layer))
            ax.barh(places, found.interaction.loc[layer], 0.4 * height, color=f"C{i}")
        ax.set_yticks(np.arange(len(found.names)), [str(name) for name in found.names])
        ax.invert_yaxis()
        ax.set_xlabel("effect of the generated weights, sd of predictions\n(narrow: differs between images)")
        ax.legend(title="external layer")

    def _draw_embedding(self, ax, color):
        found = self.modulation
        x, y = found.map.to_numpy().T
        values = found.data[color]
        if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
            points = ax.scatter(x, y, c=values.astype(float), s=18, plotnonfinite=True)
            self.figure_.colorbar(points, ax=ax, label=str(color))
        else:
            names = values.astype(object).where(values.notna(), "missing").map(str).to_numpy()
            for name in sorted(set(names)):
                ax.scatter(x[names == name], y[names == name], s=18, label=name)
            ax.legend(title=str(color))
        for axis, part in zip("xy", found.explained, strict=True):
            which = {"x": "first", "y": "second"}[axis]
            getattr(ax, f"set_{axis}label")(f"{which} component of the embedding ({part:.0%})")
