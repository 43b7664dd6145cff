"""The third estimator: the time to an event, from the same network as the other two."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from skhyperfusion._base import BaseHyperFusion
from skhyperfusion._parameters import document
from skhyperfusion._rules import Number, OneOf
from skhyperfusion._survival import SurvivalTarget
from skhyperfusion._survival_mixin import SurvivalMixin
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
loss : {"discrete", "cox"}, default="discrete"
    "discrete": the network gives the hazard in each of some intervals of time, so any curve of survival; it
    does not depend on the batch. "cox": the logarithm of a risk that is proportional at all times, by the
    partial likelihood with Efron's ties over the batch and the last risks of all other training rows.
n_intervals : int or "auto", default="auto"
    Intervals of "discrete", cut at quantiles of the training rows' event times. "auto": the square root of
    the number of events, 2 to 30.""",
)
class HyperFusionSurvival(SurvivalMixin, BaseHyperFusion):
    """Predict the time to an event from rows of a table that hold images beside ordinary values.

    A hypernetwork reads the ordinary values of a row and generates some of the weights of the network
    that reads its image. Rows that were left before the event (censored) count as long as they were seen.

    Parameters
    ----------
    {data}
    {network}
    {training}
    {machine}

    Attributes
    ----------
    unique_times_ : ndarray (n_times,)
        Times at which curves are known: the ends of the intervals, or with ``loss="cox"`` the distinct times
        of events in the training rows.
    {attributes}

    See Also
    --------
    survival_target : Makes y of two columns.

    Notes
    -----
    ``monitor`` is "loss" or "concordance", or a scorer that asks for `predict`. Early stopping holds out rows
    with and without events in equal shares.

    The survival of several views of an image is averaged; with ``loss="cox"`` the logarithm of the risk.

    References
    ----------
    Gensheimer, Narasimhan, "A scalable discrete-time survival model for neural networks", PeerJ 7, 2019.

    Kvamme, Borgan, "Continuous and discrete-time survival prediction with neural networks", Lifetime Data
    Analysis 27, 2021.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionSurvival, survival_target
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(40, 8, 8))), "age": rng.normal(70, 8, size=40)})
    >>> years = rng.exponential(np.exp((75 - X["age"]) / 8))
    >>> y = survival_target(event=years < 4, time=np.minimum(years, 4))
    >>> model = HyperFusionSurvival(base_channels=2, max_epochs=20, random_state=0).fit(X, y)
    >>> curve = model.predict_survival_function(X.head(1))[0]
    >>> bool(0 < curve(1.0) < 1), bool(model.score(X, y) > 0.6)
    (True, True)
    """

    _own_rules: ClassVar = {
        "loss": [OneOf("discrete", "cox")],
        "n_intervals": [OneOf("auto"), Number(int, 1)],
    }

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
        loss: Literal["discrete", "cox"] = "discrete",
        n_intervals: int | Literal["auto"] = "auto",
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
        self.loss = loss
        self.n_intervals = n_intervals
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
        y : structured array (n_samples,) or DataFrame (n_samples, 2)
            First whether the event was seen (bool), second the time, by position; see `survival_target`.
        sample_weight : array (n_samples,), default=None
            Weights of the rows in the loss; a row of weight zero is left out.
        groups : array (n_samples,), default=None
            Subjects: the rows of one stay on one side of the internal validation split.

        Returns
        -------
        HyperFusionSurvival
            This estimator, fitted.

        Raises
        ------
        ValueError
            If a parameter, a column, an image, an event or a time is not as it should be; the message names
            it.
        KeyboardInterrupt
            After Ctrl-C; the estimator is then fitted with the best epoch so far, if one was finished. If
            none was, and after any other error, it is as it was before: not fitted, or with its old network.
        """
        return self._fit(X, y, sample_weight, groups)

    def predict(self, X: TableLike) -> np.ndarray:
        """Predict the risk: the higher, the sooner the event.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`; the columns may stand in another order.

        Returns
        -------
        ndarray (n_samples,)
            With ``loss="discrete"`` minus the mean time without the event up to the last of
            ``unique_times_``, in the unit of y; with "cox" the logarithm of the risk.
        """
        outputs = self._outputs(X)
        return self._target.risk(outputs)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _new_target(self):
        return SurvivalTarget(type(self).__name__, loss=self.loss, n_intervals=self.n_intervals)

    def _survival(self, X):
        outputs = self._outputs(X)
        return self._target.survival(outputs), self._target.interpolation
