"""ImageFeatures: image columns become numbers, the other columns pass."""

from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from skhyperfusion._encoder import RowEncoder
from skhyperfusion._rules import (
    AnyOf,
    Callable,
    HasMethods,
    InstanceOf,
    Nothing,
    Number,
    OneOf,
    Rule,
    SequenceOf,
    check_parameters,
)
from skhyperfusion._sklearn_private import check_feature_names_in
from skhyperfusion._table._columns import check_table, resolve_columns
from skhyperfusion._table._output import as_asked, distinct
from skhyperfusion._typing import ArrayLike, Columns, FeatureMethod, TableLike, Transformed
from skhyperfusion.features._network import NetworkFeatures
from skhyperfusion.features._voxels import VoxelFeatures
from skhyperfusion.images._loader import ImageLoader

_RULES: dict[str, list[Rule]] = {
    "method": [OneOf("pca", "voxels"), Callable()],
    "image_columns": [
        OneOf("auto"),
        InstanceOf(str),
        Number(int),
        SequenceOf(AnyOf(InstanceOf(str), Number(int))),
    ],
    "image_loader": [Nothing(), HasMethods("open", "get_params")],
    "n_components": [Number(int, 1)],
    "device": [InstanceOf(str), HasMethods("type", "index")],
}


class ImageFeatures(TransformerMixin, BaseEstimator):
    """Turn images into numbers that any estimator reads; the other columns pass as they are.

    Parameters
    ----------
    method : {"pca", "voxels"} or callable, default="pca"
        "voxels": the voxels that differ between the training images. "pca": their principal components, all
        divided by one number, so that their mean variance over these images is 1 and their sizes still
        tell how much of the images each explains. A callable ``(in_channels, spatial_dims) ->
        torch.nn.Module`` as `HyperFusionClassifier` takes it for ``backbone``, such as those of
        `skhyperfusion.backbones`: the network is run as it is made, in evaluation mode and without training,
        and its map is averaged over positions and views.
    image_columns : "auto", str, int or list of these, default="auto"
        Columns that hold images, as in `HyperFusionClassifier`. Several are the channels of one image.
    image_loader : ImageLoader, default=None
        How images are read, resampled and scaled; None: ``ImageLoader()``. With ``missing="zeros"`` a row
        without an image gets the mean of the training rows' features, and a last column of 0 and 1 tells
        so.
    n_components : int, default=60
        Principal components of "pca". Where the training rows allow no more, fewer are kept, and a warning
        says so.
    device : str or torch.device, default="auto"
        Where a network runs; "auto": CUDA if there is one.

    Attributes
    ----------
    image_columns_ : list of str
        Columns that images are read from.
    passed_columns_ : list of str
        Columns that pass as they are. Columns of images that are not among `image_columns` do not.
    image_spec_ : ImageSpec
        Shape, spacing, orientation and intensity rule of the images; later ones are checked against it.
    mask_ : ndarray of shape (n_views, n_channels, *shape), bool, or None
        Voxels that differ between the training images; None for a network.
    pca_ : sklearn.decomposition.PCA or None
        The principal components, with "pca".
    module_ : torch.nn.Module
        The network, where `method` is a callable.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Their names, where all are strings.

    See Also
    --------
    baseline_classifier, baseline_regressor : A whole pipeline with it, in one line.

    Notes
    -----
    What a network makes of an image is kept beside the decoded image, in memory and in the loader's
    ``cache_dir`` if it has one, under the image's identity, the network's weights and the code that makes
    it: a search embeds each image once, in each of its processes or, with a ``cache_dir``, in one of them.
    Weights that the callable draws rather than loads are drawn from the same seed in every fit.

    Masks, components and scales are of the rows given to `fit` and of no others. `fit` holds the training
    images in memory; `transform` reads some at a time.

    A `TabularPreprocessor` behind this one brings all components to the same scale, so that a ridge shrinks
    the last as little as the first; before it, it leaves images alone. The baselines have it before.

    Examples
    --------
    >>> from sklearn.linear_model import RidgeCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhyperfusion import TabularPreprocessor
    >>> from skhyperfusion.datasets import make_brain_cohort
    >>> from skhyperfusion.features import ImageFeatures
    >>> cohort = make_brain_cohort(30, shape=(8, 8, 8), task="age", random_state=0)
    >>> features = ImageFeatures(n_components=3).fit_transform(cohort.data)
    >>> list(features.columns[-3:])
    ['t1w_pca0', 't1w_pca1', 't1w_pca2']
    >>> model = make_pipeline(TabularPreprocessor(), ImageFeatures(n_components=3), RidgeCV())
    >>> model.fit(cohort.data, cohort.target).predict(cohort.data).shape
    (30,)
    """

    def __init__(
        self,
        method: FeatureMethod = "pca",
        *,
        image_columns: Columns = "auto",
        image_loader: ImageLoader | None = None,
        n_components: int = 60,
        device: str | torch.device = "auto",
    ) -> None:
        self.method = method
        self.image_columns = image_columns
        self.image_loader = image_loader
        self.n_components = n_components
        self.device = device

    def fit(self, X: TableLike, y: Any = None) -> Self:
        """Learn what makes features of the images of X.

        Parameters
        ----------
        X : DataFrame, 2-D array or list of rows of shape (n_samples, n_features)
            The table.
        y : None
            Ignored.

        Returns
        -------
        self : ImageFeatures

        Raises
        ------
        ValueError
            If there is no image column, an image cannot be used, or fewer than two rows have one.
        """
        check_parameters(self, _RULES)
        frame = check_table(self, X, reset=True)
        roles = resolve_columns(
            frame,
            image_columns=self.image_columns,
            has_names=hasattr(self, "feature_names_in_"),
            estimator_name=type(self).__name__,
            on_no_image="error",
        )
        self.image_columns_ = list(roles.image)
        self.passed_columns_ = list(roles.tabular)
        self._encoder = RowEncoder(
            image_columns=roles.image,
            tabular_columns=(),
            pixels=roles.pixels,
            image_loader=ImageLoader() if self.image_loader is None else clone(self.image_loader),
            tabular_preprocessor=None,
        )
        source = self._encoder.open_images(frame)
        self.image_spec_ = source.spec
        self._features = self._make_features().fit(source.view(~source.missing))
        return self

    def transform(self, X: TableLike) -> Transformed:
        """Replace the images of X by their features.

        Parameters
        ----------
        X : DataFrame, 2-D array or list of rows of shape (n_samples, n_features)
            The columns that `fit` has seen; named columns in any order.

        Returns
        -------
        DataFrame or ndarray of shape (n_samples, n_features_out)
            A DataFrame where `fit` has seen names; the columns that pass, then the features in float64.
        """
        check_is_fitted(self)
        frame = check_table(self, X, reset=False)
        source = self._encoder.open_images(frame)
        has_image = ~source.missing
        features = np.tile(self._features.center_, (len(frame), 1))
        features[has_image] = self._features.transform(source.view(has_image))
        if self._flags_missing:
            features = np.column_stack([features, source.missing])
        others = frame[self.passed_columns_]
        if not hasattr(self, "feature_names_in_"):
            return np.column_stack([others.to_numpy(), features]) if self.passed_columns_ else features
        names = self.get_feature_names_out()[len(self.passed_columns_) :]
        features = pd.DataFrame(features, columns=names, index=frame.index)
        return as_asked(self, pd.concat([others, features], axis=1))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of X, for a table that had none in `fit`.

        Returns
        -------
        ndarray of str
            ``"age"``, ``"t1w_pca0"``, ``"missingindicator_t1w"``. Features of several columns are called by
            the first.
        """
        check_is_fitted(self)
        new_names = check_feature_names_in(self, input_features)
        own = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        new_names = dict(zip(own, new_names, strict=True))
        image = new_names[self.image_columns_[0]]
        names = [new_names[name] for name in self.passed_columns_]
        names += [f"{image}_{self._features.kind}{i}" for i in range(len(self._features.center_))]
        names += [f"missingindicator_{image}"] * self._flags_missing
        return np.array(distinct(names), dtype=object)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, nested ones too, as ``image_loader__shape``.

        Parameters
        ----------
        **params : dict
            Where a parameter is given of an image loader that is left at its default, one is made to hold it.

        Returns
        -------
        self : ImageFeatures
        """
        nested = any(name.startswith("image_loader__") for name in params)
        if nested and params.get("image_loader", self.image_loader) is None:
            params["image_loader"] = ImageLoader()
        return super().set_params(**params)

    @property
    def mask_(self) -> np.ndarray | None:
        """Voxels that differ between the training images."""
        return self._learned("mask_")

    @property
    def pca_(self) -> Any:
        """The principal components, with "pca"."""
        return self._learned("pca_")

    @property
    def module_(self) -> torch.nn.Module:
        """The network."""
        return self._learned("module_")

    def _learned(self, name):
        if not hasattr(self, "_features"):
            raise AttributeError(f"{type(self).__name__} has no {name} before fit.")
        if not hasattr(self._features, name):
            raise AttributeError(f"{type(self).__name__}(method={self.method!r}) has no {name}.")
        return getattr(self._features, name)

    def _make_features(self):
        if callable(self.method):
            return NetworkFeatures(self.method, self.device)
        return VoxelFeatures(None if self.method == "voxels" else self.n_components)

    @property
    def _flags_missing(self):
        return self._encoder.image_loader.missing == "zeros"

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_features")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags
