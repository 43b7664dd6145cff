"""The two estimators: a hypernetwork makes, from the table, weights of the network that reads the image."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from scipy.special import log_softmax, logsumexp
from sklearn.base import ClassifierMixin, RegressorMixin

from skhyperfusion._base import BaseHyperFusion
from skhyperfusion._parameters import document
from skhyperfusion._rules import Boolean, InstanceOf, Nothing, OneOf
from skhyperfusion._target import LabelTarget, ValueTarget
from skhyperfusion._typing import (
    ArrayLike,
    Augmentation,
    Backbone,
    Columns,
    Fusion,
    HyperInit,
    Names,
    Optimizer,
    PathLike,
    Precision,
    Schedule,
    Scorer,
    Seed,
    TableLike,
    Transformer,
)

if TYPE_CHECKING:
    import torch

    from skhyperfusion.images._loader import ImageLoader


@functools.partial(
    document,
    task_training="""\
class_weight : "balanced", dict or None, default=None
    Weights of the classes in the loss; "balanced": inversely to how often each occurs.""",
)
class HyperFusionClassifier(ClassifierMixin, BaseHyperFusion):
    """Classify rows of a table that hold images beside ordinary values.

    A hypernetwork reads the ordinary values of a row and generates some of the weights of the network
    that reads its image; both are trained end to end by cross-entropy.

    Parameters
    ----------
    {data}
    {network}
    {training}
    {machine}

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
        Class labels, sorted.
    {attributes}

    See Also
    --------
    HyperFusionRegressor : The same for a continuous target.

    Notes
    -----
    What a row is predicted does not depend on the other rows of the batch: small images and tables are
    computed in float64, large images always in equally many at a time. Image and table of the rows that
    early stopping holds out influence nothing but which epoch is kept.

    References
    ----------
    Duenias, Nichyporuk, Arbel, Riklin Raviv, "HyperFusion: A hypernetwork approach to multimodal
    integration of tabular and medical imaging data for predictive modeling", Medical Image Analysis, 2025,
    arXiv 2403.13319.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(40, 8, 8))), "age": rng.normal(70, 8, size=40)})
    >>> y = np.where(X["age"] > 70, "old", "young")
    >>> classifier = HyperFusionClassifier(base_channels=4, max_epochs=20, random_state=0).fit(X, y)
    >>> classifier.predict_proba(X.head(3)).shape
    (3, 2)
    >>> bool(classifier.score(X, y) > 0.8)
    True
    """

    _own_rules: ClassVar = {"class_weight": [Nothing(), OneOf("balanced"), InstanceOf(dict)]}

    def __init__(
        self,
        *,
        image_columns: Columns | None = "auto",
        image_loader: ImageLoader | None = None,
        tabular_preprocessor: Literal["default", "passthrough"] | Transformer = "default",
        group_column: str | int | None = None,
        augmentation: Augmentation = "shift",
        fusion: Fusion = "hyper",
        backbone: Backbone = "resnet",
        base_channels: int = 16,
        dropout: float | Sequence[float] = 0.2,
        external_layers: Names = None,
        frozen_layers: Names = None,
        hyper_depth: int = 0,
        hyper_width: int = 32,
        embedding_dim: int = 8,
        shared_embedding: bool = True,
        hyper_init: HyperInit = "principled",
        hyper_lr_scale: Literal["auto"] | float = "auto",
        pretrain_embedding: int = 0,
        max_epochs: int | Literal["auto"] = 100,
        lr: float = 3e-3,
        backbone_lr_scale: float = 1.0,
        batch_size: int = 16,
        optimizer: Optimizer = "adamw",
        weight_decay: float = 1e-2,
        lr_schedule: Schedule = "cosine",
        class_weight: Literal["balanced"] | dict[Any, float] | None = None,
        early_stopping: Literal["auto"] | bool = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 15,
        monitor: Scorer = "loss",
        callbacks: Sequence[Any] | None = None,
        net_params: dict[str, Any] | None = None,
        warm_start: bool = False,
        checkpoint_dir: PathLike | None = None,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        compile: bool = False,
        random_state: Seed = None,
        verbose: int = 0,
    ) -> None:
        self.image_columns = image_columns
        self.image_loader = image_loader
        self.tabular_preprocessor = tabular_preprocessor
        self.group_column = group_column
        self.augmentation = augmentation
        self.fusion = fusion
        self.backbone = backbone
        self.base_channels = base_channels
        self.dropout = dropout
        self.external_layers = external_layers
        self.frozen_layers = frozen_layers
        self.hyper_depth = hyper_depth
        self.hyper_width = hyper_width
        self.embedding_dim = embedding_dim
        self.shared_embedding = shared_embedding
        self.hyper_init = hyper_init
        self.hyper_lr_scale = hyper_lr_scale
        self.pretrain_embedding = pretrain_embedding
        self.max_epochs = max_epochs
        self.lr = lr
        self.backbone_lr_scale = backbone_lr_scale
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.monitor = monitor
        self.callbacks = callbacks
        self.net_params = net_params
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.precision = precision
        self.compile = compile
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: TableLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit the preprocessor, the hypernetwork and the network that reads the image.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Columns of images and of ordinary values, which may have gaps.
        y : array (n_samples,)
            Class labels: strings, numbers or booleans.
        sample_weight : array (n_samples,), default=None
            Weights of the rows in the loss; a row of weight zero is left out.
        groups : array (n_samples,), default=None
            Subjects: the rows of one stay on one side of the internal validation split.

        Returns
        -------
        HyperFusionClassifier
            This estimator, fitted.

        Raises
        ------
        ValueError
            If a parameter, a column, an image or a target is not as it should be; the message names it.
        KeyboardInterrupt
            After Ctrl-C; the estimator is then fitted with the best epoch so far, if one was finished. If
            none was, and after any other error, it is as it was before: not fitted, or with its old network.
        """
        return self._fit(X, y, sample_weight, groups)

    def predict(self, X: TableLike) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`; the columns may stand in another order.

        Returns
        -------
        ndarray (n_samples,)
            The likeliest class of each row.
        """
        codes = self.predict_log_proba(X).argmax(axis=1)
        return self.classes_[codes]

    def predict_proba(self, X: TableLike) -> np.ndarray:
        """Predict class probabilities.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`; the columns may stand in another order.

        Returns
        -------
        ndarray (n_samples, n_classes)
            Probabilities in the order of ``classes_``, averaged over the views of an image.
        """
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: TableLike) -> np.ndarray:
        """Predict logarithms of class probabilities.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`; the columns may stand in another order.

        Returns
        -------
        ndarray (n_samples, n_classes)
            Logarithms of what `predict_proba` returns, exact also where that is tiny.
        """
        outputs = self._outputs(X)
        return logsumexp(log_softmax(outputs, axis=2), axis=1) - np.log(outputs.shape[1])

    def _new_target(self):
        return LabelTarget(type(self).__name__, class_weight=self.class_weight)


@functools.partial(
    document,
    task_training="""\
scale_target : bool, default=True
    Train on the target standardised by the training rows; predictions are in its own unit.""",
)
class HyperFusionRegressor(RegressorMixin, BaseHyperFusion):
    """Predict one number or several from rows of a table that hold images beside ordinary values.

    A hypernetwork reads the ordinary values of a row and generates some of the weights of the network
    that reads its image; both are trained end to end by the mean squared error.

    Parameters
    ----------
    {data}
    {network}
    {training}
    {machine}

    Attributes
    ----------
    target_mean_, target_scale_ : float or ndarray (n_outputs,)
        Mean and standard deviation of the target over the training rows (0 and 1 without ``scale_target``).
        A constant target has the scale 0, and is predicted for every row.
    {attributes}

    See Also
    --------
    HyperFusionClassifier : The same for classes.

    Notes
    -----
    What a row is predicted does not depend on the other rows of the batch: small images and tables are
    computed in float64, large images always in equally many at a time.

    References
    ----------
    Duenias, Nichyporuk, Arbel, Riklin Raviv, "HyperFusion: A hypernetwork approach to multimodal
    integration of tabular and medical imaging data for predictive modeling", Medical Image Analysis, 2025,
    arXiv 2403.13319.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(40, 8, 8))), "weight": rng.normal(70, 8, size=40)})
    >>> y = X["weight"] / 2 + rng.normal(size=40)
    >>> regressor = HyperFusionRegressor(base_channels=4, max_epochs=20, random_state=0).fit(X, y)
    >>> regressor.predict(X.head(3)).shape
    (3,)
    """

    _own_rules: ClassVar = {"scale_target": [Boolean()]}

    def __init__(
        self,
        *,
        image_columns: Columns | None = "auto",
        image_loader: ImageLoader | None = None,
        tabular_preprocessor: Literal["default", "passthrough"] | Transformer = "default",
        group_column: str | int | None = None,
        augmentation: Augmentation = "shift",
        fusion: Fusion = "hyper",
        backbone: Backbone = "resnet",
        base_channels: int = 16,
        dropout: float | Sequence[float] = 0.2,
        external_layers: Names = None,
        frozen_layers: Names = None,
        hyper_depth: int = 0,
        hyper_width: int = 32,
        embedding_dim: int = 8,
        shared_embedding: bool = True,
        hyper_init: HyperInit = "principled",
        hyper_lr_scale: Literal["auto"] | float = "auto",
        pretrain_embedding: int = 0,
        max_epochs: int | Literal["auto"] = 100,
        lr: float = 3e-3,
        backbone_lr_scale: float = 1.0,
        batch_size: int = 16,
        optimizer: Optimizer = "adamw",
        weight_decay: float = 1e-2,
        lr_schedule: Schedule = "cosine",
        scale_target: bool = True,
        early_stopping: Literal["auto"] | bool = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 15,
        monitor: Scorer = "loss",
        callbacks: Sequence[Any] | None = None,
        net_params: dict[str, Any] | None = None,
        warm_start: bool = False,
        checkpoint_dir: PathLike | None = None,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        compile: bool = False,
        random_state: Seed = None,
        verbose: int = 0,
    ) -> None:
        self.image_columns = image_columns
        self.image_loader = image_loader
        self.tabular_preprocessor = tabular_preprocessor
        self.group_column = group_column
        self.augmentation = augmentation
        self.fusion = fusion
        self.backbone = backbone
        self.base_channels = base_channels
        self.dropout = dropout
        self.external_layers = external_layers
        self.frozen_layers = frozen_layers
        self.hyper_depth = hyper_depth
        self.hyper_width = hyper_width
        self.embedding_dim = embedding_dim
        self.shared_embedding = shared_embedding
        self.hyper_init = hyper_init
        self.hyper_lr_scale = hyper_lr_scale
        self.pretrain_embedding = pretrain_embedding
        self.max_epochs = max_epochs
        self.lr = lr
        self.backbone_lr_scale = backbone_lr_scale
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.scale_target = scale_target
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.monitor = monitor
        self.callbacks = callbacks
        self.net_params = net_params
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.precision = precision
        self.compile = compile
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: TableLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit the preprocessor, the hypernetwork and the network that reads the image.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Columns of images and of ordinary values, which may have gaps.
        y : array (n_samples,) or (n_samples, n_outputs)
            Values to predict.
        sample_weight : array (n_samples,), default=None
            Weights of the rows in the loss; a row of weight zero is left out.
        groups : array (n_samples,), default=None
            Subjects: the rows of one stay on one side of the internal validation split.

        Returns
        -------
        HyperFusionRegressor
            This estimator, fitted.

        Raises
        ------
        ValueError
            If a parameter, a column, an image or a target is not as it should be; the message names it.
        KeyboardInterrupt
            After Ctrl-C; the estimator is then fitted with the best epoch so far, if one was finished. If
            none was, and after any other error, it is as it was before: not fitted, or with its old network.
        """
        return self._fit(X, y, sample_weight, groups)

    def predict(self, X: TableLike) -> np.ndarray:
        """Predict values.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`; the columns may stand in another order.

        Returns
        -------
        ndarray (n_samples,) or (n_samples, n_outputs)
            Values in the target's unit, averaged over the views of an image.
        """
        outputs = self._outputs(X).mean(axis=1)
        return self._target.decode(outputs)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _new_target(self):
        return ValueTarget(type(self).__name__, standardize=self.scale_target)
