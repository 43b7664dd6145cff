"""Maps of an attribution, drawn over the anatomy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self

import nibabel
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from skhyperfusion._optional import axes_or_new, import_optional, import_pyplot
from skhyperfusion._rules import Nothing, Number, check_argument
from skhyperfusion._typing import Estimator, TableLike
from skhyperfusion._wording import check_choice
from skhyperfusion.inspection._image_attribution import image_attribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from sklearn.utils import Bunch

_ENGINES = ("matplotlib", "nilearn")


class AttributionDisplay:
    """Draw a map of `image_attribution` over the scan: three planes, or a mosaic of slices.

    Parameters
    ----------
    attribution : Bunch
        What `image_attribution` returned.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        One for each plane of the last plot; not with ``engine="nilearn"``.
    ax_ : matplotlib.axes.Axes
        That which they lie in.
    figure_ : matplotlib.figure.Figure
        Its figure.
    at_ : tuple of float
        Place that the planes cut: mm of a scan with an affine, else the position of the voxel.
    nilearn_ : object
        nilearn's display, with ``engine="nilearn"``.

    See Also
    --------
    image_attribution : Computes it.

    Notes
    -----
    Volumes are shown in the closest of the planes of the body, the subject's left on the left side.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(20, 8, 8, 8))), "weight": rng.normal(70, 8, 20)})
    >>> y = X["weight"] / 2 + rng.normal(size=len(X))
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=1, random_state=0).fit(X, y)
    >>> display = AttributionDisplay.from_estimator(model, X, row=3, at=(4, 4, 2))
    >>> [axes.get_title() for axes in display.axes_]
    ['x = 4', 'y = 4', 'z = 2']
    """

    def __init__(self, attribution: Bunch) -> None:
        self.attribution = attribution

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: TableLike,
        target: object = None,
        method: Literal["integrated_gradients", "saliency", "occlusion", "gradcam"] = "integrated_gradients",
        *,
        row: int = 0,
        against: Mapping[str, object] | None = None,
        baseline: Literal["blur", "zero"] | pd.DataFrame | None = None,
        tolerance: float | None = None,
        window: int | Sequence[int] | None = None,
        layer: str | None = None,
        image: str | None = None,
        at: Sequence[float] | None = None,
        mosaic: int | None = None,
        smooth: float = 0.0,
        cmap: str | Colormap | None = None,
        vmax: float | None = None,
        engine: Literal["matplotlib", "nilearn"] = "matplotlib",
        ax: Axes | None = None,
    ) -> Self:
        """Explain one row by a fitted estimator, and draw its map.

        Parameters
        ----------
        estimator, X, target, method, against, baseline, tolerance, window, layer
            As in `image_attribution`.
        row : int, default=0
            Position in X of the row that is explained; no other is.
        image, at, mosaic, smooth, cmap, vmax, engine, ax
            As in `plot`.

        Returns
        -------
        AttributionDisplay
        """
        import_pyplot(cls.__name__)
        check_argument(cls.__name__, "row", row, [Number(int, 0, len(X) - 1)])
        rows = X.iloc[[row]] if hasattr(X, "iloc") else X[row : row + 1]
        attribution = image_attribution(
            estimator,
            rows,
            target,
            method,
            against=against,
            baseline=baseline,
            tolerance=tolerance,
            window=window,
            layer=layer,
        )
        return cls(attribution).plot(
            image=image, at=at, mosaic=mosaic, smooth=smooth, cmap=cmap, vmax=vmax, engine=engine, ax=ax
        )

    def plot(
        self,
        *,
        row: int = 0,
        image: str | None = None,
        at: Sequence[float] | None = None,
        mosaic: int | None = None,
        smooth: float = 0.0,
        cmap: str | Colormap | None = None,
        vmax: float | None = None,
        engine: Literal["matplotlib", "nilearn"] = "matplotlib",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the map of one row over its scan.

        Parameters
        ----------
        row : int, default=0
            Position among the rows that were explained.
        image : str, default=None
            Image column; None: the first.
        at : sequence of 3 float, default=None
            Place that the planes cut, in mm of a scan with an affine, else the position of a voxel; None:
            where the map is largest. Not used by pictures.
        mosaic : int, default=None
            So many slices from below to above in place of the three planes. Not used by pictures.
        smooth : float, default=0.0
            Standard deviation, in voxels of the scan, of a normal curve that smooths the map: regions show
            where single voxels scatter.
        cmap : str or Colormap, default=None
            Of the map; None: blue against red, or of a map without negative values light for large.
        vmax : float, default=None
            Value that has the full colour; smaller ones are the more transparent. None: that which one voxel
            in 200 of those that are not zero exceeds.
        engine : {"matplotlib", "nilearn"}, default="matplotlib"
            What draws: nilearn's ``plot_stat_map`` needs a scan with an affine.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        AttributionDisplay
            This display.
        """
        check_choice("engine", engine, _ENGINES, "engine")
        found = self.attribution
        check_argument("AttributionDisplay.plot", "row", row, [Number(int, 0, len(found.values) - 1)])
        check_argument("AttributionDisplay.plot", "mosaic", mosaic, [Nothing(), Number(int, 1)])
        check_argument("AttributionDisplay.plot", "smooth", smooth, [Number(float, 0)])
        image = check_choice("image", image, found.names, "image column")
        map, scan = (table[image].iloc[row] for table in (found.values, found.scans))
        if map is None:
            raise ValueError(
                f"AttributionDisplay: row {found.values.index[row]!r} has no image in column {image!r}."
            )
        ax = axes_or_new(ax, type(self).__name__, (10, 4))
        self.ax_, self.figure_ = ax, ax.figure
        self._is_placed = not isinstance(scan, np.ndarray)
        map, scan = _canonical(map), _canonical(scan)
        if smooth:
            map = _smoothed(map, smooth)
        style = _style(map, cmap, vmax)
        if engine == "nilearn":
            self._draw_by_nilearn(map, scan, at, mosaic, style)
            return self
        cuts = self._cuts(map, scan, at, mosaic)
        for axes, (title, of_map, of_scan, aspect) in zip(self.axes_, cuts, strict=True):
            how = {"aspect": aspect, "interpolation": "nearest", "origin": "lower" if title else "upper"}
            axes.imshow(of_scan, cmap="gray", **how)
            strength = np.clip(np.abs(of_map) / style["vmax"], 0, 1)
            drawn = axes.imshow(of_map, alpha=strength, **how, **style)
            if title:
                axes.set_title(title, fontsize="small")
                self._name_sides(axes, title)
            axes.set_axis_off()
        ax.set_axis_off()
        ax.set_title(self._title(row))
        self.figure_.colorbar(drawn, ax=ax, label=self._label(), shrink=0.8)
        return self

    def _cuts(self, map, scan, at, mosaic):
        """Make the axes, and yield what each shows: (title, map, scan, aspect)."""
        if map.ndim == 2:
            self.axes_, self.at_ = np.array([self.ax_]), None
            return [(None, map.get_fdata(), scan.get_fdata(), 1.0)]
        voxel = _voxel(map, at)
        self.at_ = tuple(float(mm) for mm in nibabel.affines.apply_affine(map.affine, voxel))
        if mosaic is None:
            places, n_columns = list(enumerate(voxel)), 3
        else:
            heights = np.linspace(0, map.shape[2] - 1, mosaic + 2)[1:-1].round().astype(int)
            places, n_columns = [(2, height) for height in heights], math.ceil(math.sqrt(2 * mosaic))
        self.axes_ = _grid(self.ax_, len(places), n_columns)
        return [_plane(map, scan, axis, position) for axis, position in places]

    def _name_sides(self, axes, title):
        if self._is_placed and not title.startswith("x"):
            for place, letter in ((0.03, "L"), (0.97, "R")):
                axes.text(
                    place, 0.03, letter,
                    transform=axes.transAxes, color="white", fontsize="small", ha="center", va="bottom",
                )  # fmt: skip

    def _draw_by_nilearn(self, map, scan, at, mosaic, style):
        plotting = import_optional("nilearn.plotting", "AttributionDisplay", extra="neighbours")
        if isinstance(map, _Picture):
            raise ValueError("AttributionDisplay: nilearn draws volumes, and this is a picture.")
        self.at_ = None if at is None else tuple(at)
        self.nilearn_ = plotting.plot_stat_map(
            map,
            bg_img=scan,
            cut_coords=at if mosaic is None else mosaic,
            display_mode="ortho" if mosaic is None else "z",
            axes=self.ax_,
            cmap=style["cmap"],
            vmax=style["vmax"],
            threshold=style["vmax"] / 10,
        )

    def _title(self, row):
        found = self.attribution
        what = f"{found.values.index[row]}: {found.unit}, {found.prediction[row]:.3g}"
        if found.against is not None:
            values = ", ".join(f"{column}={value}" for column, value in found.against.items())
            return f"{what} more than with {values}"
        return what if found.baseline is None else f"{what} (of the baseline {found.baseline[row]:.3g})"

    def _label(self):
        words = {
            "integrated_gradients": "added by a voxel",
            "saliency": "derivative, absolute",
            "occlusion": "lost without the window",
            "gradcam": "GradCAM",
        }[self.attribution.method]
        return words if self.attribution.against is None else f"{words}, difference"


class _Picture:
    """An image of two axes, asked as nibabel's are."""

    def __init__(self, voxels):
        self.voxels, self.ndim = voxels, 2

    def get_fdata(self):
        return self.voxels


def _canonical(image):
    """Return a nibabel image in the closest RAS orientation, or a picture."""
    if not isinstance(image, np.ndarray):
        return nibabel.as_closest_canonical(image)
    return _Picture(image) if image.ndim == 2 else nibabel.Nifti1Image(image, np.eye(4))


def _smoothed(map, smooth):
    voxels = gaussian_filter(map.get_fdata(), smooth)
    return _Picture(voxels) if isinstance(map, _Picture) else nibabel.Nifti1Image(voxels, map.affine)


def _style(map, cmap, vmax):
    """Return the colours' range: around zero for a map with signs, and from zero for one without."""
    voxels = map.get_fdata()
    if vmax is None:
        sizes = np.abs(voxels[voxels != 0])
        vmax = float(np.quantile(sizes, 0.995)) if sizes.size else 1.0
    signed = (voxels < 0).any()
    cmap = ("RdBu_r" if signed else "inferno") if cmap is None else cmap
    return {"cmap": cmap, "vmin": -vmax if signed else 0.0, "vmax": vmax}


def _voxel(map, at):
    """Return the voxel at a place; without one, that of the largest value."""
    if at is None:
        voxels = np.abs(map.get_fdata())
        return np.unravel_index(voxels.argmax(), voxels.shape)
    voxel = nibabel.affines.apply_affine(np.linalg.inv(map.affine), np.asarray(at, dtype=float)).round()
    if voxel.shape != (3,) or (voxel < 0).any() or (voxel >= map.shape).any():
        raise ValueError(
            f"AttributionDisplay: at={at} lies outside of the scan. Pass three numbers in mm, as the scan's "
            f"affine has them, or positions of a voxel of {map.shape} where there is none."
        )
    return tuple(voxel.astype(int))


def _plane(map, scan, axis, position):
    rest = [other for other in range(3) if other != axis]
    spacing = np.linalg.norm(map.affine[:3, :3], axis=0)
    place = nibabel.affines.apply_affine(map.affine, [position if other == axis else 0 for other in range(3)])
    layers = [np.take(image.get_fdata(), position, axis=axis).T for image in (map, scan)]
    return (f"{'xyz'[axis]} = {place[axis]:.4g}", *layers, spacing[rest[1]] / spacing[rest[0]])


def _grid(ax, n_axes, n_columns):
    """Divide an axes into a grid of others, row by row."""
    n_rows = math.ceil(n_axes / n_columns)
    width, height = 1 / n_columns, 1 / n_rows
    places = [divmod(i, n_columns) for i in range(n_axes)]
    return np.array(
        [
            ax.inset_axes([column * width, 1 - (row + 1) * height, 0.97 * width, 0.88 * height])
            for row, column in places
        ]
    )
