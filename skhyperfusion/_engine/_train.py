"""Train a fusion network, and keep its best epoch."""

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch

from skhyperfusion._engine._allocator import freed_memory_kept
from skhyperfusion._engine._batches import BatchSampler
from skhyperfusion._engine._callbacks import BestEpoch, EpochLog, LongTraining, history_row, schedule
from skhyperfusion._engine._checkpoint import Checkpoint
from skhyperfusion._engine._duration import what_shortens
from skhyperfusion._engine._gone_wrong import told_of_memory
from skhyperfusion._engine._length import usual_epochs
from skhyperfusion._engine._losses import LOSSES
from skhyperfusion._engine._net import FusionNet
from skhyperfusion._wording import kind_of, listing
from skhyperfusion.nn._layout import lay_out

# Fused: one pass over all parameters, which matters where a step takes a few milliseconds.
OPTIMIZERS = {
    "adamw": functools.partial(torch.optim.AdamW, fused=True),
    "adam": functools.partial(torch.optim.Adam, fused=True),
    "sgd": functools.partial(torch.optim.SGD, fused=True),
}


class TrainedNet:
    """Outcome of `train`: net, a history row per epoch, the best and the last epoch, and Ctrl-C or not."""

    def __init__(self, net, history, best_epoch):
        self.net = net
        self.history = history
        self.best_epoch = best_epoch
        self.max_epochs = net.max_epochs
        self.interrupted = net.interrupted_


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a network is trained. Nothing has a default: those of the estimators are the only ones.

    Attributes
    ----------
    loss : str
        Name among `LOSSES`.
    n_classes : int or None
        Number of classes; None where the outputs are none.
    max_epochs : int or "auto"
    batch_size : int
    lr : float
    lr_scales : dict of str to float
        Parameters with a learning rate of their own, as a multiple of ``lr``.
    optimizer, weight_decay, lr_schedule
        As the estimators take them.
    patience : int
        Epochs without a better one before training stops.
    callbacks : sequence of skorch callbacks
        Used as they are: clones.
    net_params : dict
        Further settings of the skorch net; they win over the ones made here.
    augmentation : callable or None
        ``(image, generator) -> image`` for batches of training images.
    device : torch.device
    precision : {"float32", "bfloat16", "float64"}
    compile : bool
    seed : int
        Of the order of rows, of the views drawn and of the augmentation.
    verbose : int
        A line per epoch when positive.
    stage : str
        What a printed line calls an epoch.
    epochs_from : str
        Parameter that the number of epochs comes from, for what is said of a long training.
    root_scale : float or None
        What the root of the loss is multiplied by, so that it is an error in y's own unit; None: it is none.
    checkpoint : Checkpoint or None
        Where the end of each epoch is kept, and training goes on from.
    """

    loss: str
    n_classes: int | None
    max_epochs: int | str
    batch_size: int
    lr: float
    lr_scales: Mapping[str, float]
    optimizer: str | Callable
    weight_decay: float
    lr_schedule: str | Callable | None
    patience: int
    callbacks: Sequence
    net_params: Mapping[str, Any]
    augmentation: Callable | None
    device: torch.device
    precision: str
    compile: bool
    seed: int
    verbose: int
    stage: str
    epochs_from: str
    root_scale: float | None
    checkpoint: Checkpoint | None


def lr_scales(module, scale, backbone_scale):
    """Return what the learning rate of parameters is multiplied by: name or pattern -> factor.

    Those of the generating matrices, by `scale`, and those of the backbone's own.
    """
    scales = {
        name: 1 / n_read if scale == "auto" else float(scale)
        for name, n_read in module.generator_matrices().items()
    }
    if module.backbone is not None:
        scales["backbone.*"] = float(backbone_scale)
    return scales


def train(module, train_set, settings, *, valid_set=None, monitor=None):
    """Train a network on a data set, and keep its best epoch.

    Parameters
    ----------
    module : FusionNetwork
        Network; trained in place.
    train_set, valid_set : FusionDataset
        Rows with targets and weights. Without ``valid_set`` the last epoch counts.
    settings : TrainingSettings
        How.
    monitor : ValidationScore or None
        What tells the best epoch; None: the validation loss.

    Returns
    -------
    TrainedNet
        With its module on the CPU, in the state of the best epoch.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C came before the first epoch ended: there is nothing to keep.
    FloatingPointError
        If a loss, a gradient or a weight is no longer finite.
    torch.cuda.OutOfMemoryError
        If the device's memory is not enough; the message says what to do.
    """
    best = BestEpoch(
        None if valid_set is None else "valid_loss" if monitor is None else monitor.name,
        lower_is_better=monitor is None,
        patience=settings.patience,
    )
    n_batches = _batches_per_epoch(len(train_set), settings)
    if settings.max_epochs == "auto":
        settings = replace(settings, max_epochs=usual_epochs(len(train_set), n_batches))
    net = FusionNet(
        _prepare(module, settings.precision),
        augmentation=settings.augmentation,
        precision=settings.precision,
        compile=settings.compile,
        seed=settings.seed,
        n_classes=settings.n_classes,
        checkpoint=settings.checkpoint,
        callbacks=[
            *([] if monitor is None else [("monitor", monitor)]),
            ("best", best),
            ("log", EpochLog(settings.verbose, settings.stage, settings.root_scale)),
            ("long", _long_training(module, train_set, valid_set, n_batches, settings)),
            *schedule(settings.lr_schedule, settings.max_epochs * n_batches),
            *settings.callbacks,
        ],
        **_of_skorch(settings, valid_set),
    )
    held = contextlib.nullcontext() if settings.checkpoint is None else settings.checkpoint.held()
    memory = told_of_memory("training", train_set, settings.batch_size, settings.precision)
    with freed_memory_kept(settings.device), held, memory:
        net.fit(train_set)
    if best.state_ is None:
        raise KeyboardInterrupt
    _check_finite(best)
    net.module_.load_state_dict(best.state_)
    epochs = [record for record in net.history if "dur" in record]  # Ctrl-C leaves one unfinished
    trained = TrainedNet(net, pd.DataFrame(map(history_row, epochs)), best.epoch_)
    net.strip()
    return trained


def _batches_per_epoch(n_rows, settings, iterator="iterator_train"):
    net_params = settings.net_params
    if f"{iterator}__batch_sampler" in net_params:
        return len(net_params[f"{iterator}__batch_sampler"])
    return len(BatchSampler(n_rows, net_params.get(f"{iterator}__batch_size", settings.batch_size)))


def _long_training(module, train_set, valid_set, n_batches, settings):
    """Make what tells of a long training; only images that the network itself reads can be made smaller."""
    shape = train_set.image_shape
    reads_images = shape is not None and not module.has_constant_backbone
    return LongTraining(
        n_batches,
        0 if valid_set is None else _batches_per_epoch(len(valid_set), settings, "iterator_valid"),
        functools.partial(
            what_shortens,
            image_shape=shape[1:] if reads_images else None,
            n_rows=len(train_set),
            n_epochs=settings.max_epochs,
            epochs_from=settings.epochs_from,
            device=settings.device,
        ),
        settings.verbose,
    )


def _of_skorch(settings, valid_set):
    """Return what skorch itself takes of the settings; the user's own win."""
    optimizer = settings.optimizer
    return {
        "criterion": LOSSES[settings.loss],
        "optimizer": OPTIMIZERS[optimizer] if isinstance(optimizer, str) else _of_user(optimizer),
        "optimizer__weight_decay": settings.weight_decay,
        # With a star: torch.compile and accelerate put a prefix before every name.
        "optimizer__param_groups": [
            (f"*{name}", {"lr": settings.lr * scale})
            for name, scale in settings.lr_scales.items()
            if scale != 1
        ],
        "lr": settings.lr,
        "max_epochs": settings.max_epochs,
        "batch_size": settings.batch_size,
        "train_split": None if valid_set is None else _Hold(valid_set),
        "device": str(settings.device),
        "verbose": 0,
        **settings.net_params,
    }


def _of_user(make):
    # A class is left as it is: skorch may ask it which arguments it takes.
    return make if isinstance(make, type) else functools.partial(_make_optimizer, make)


def _make_optimizer(make, parameters, **settings):
    optimizer = make(parameters, **settings)
    if not callable(getattr(optimizer, "step", None)):
        raise TypeError(
            "The function given as optimizer must return one of torch.optim. It returned "
            f"{kind_of(optimizer)}."
        )
    return optimizer


def _check_finite(best):
    """Refuse weights that the last step has spoilt, of which no loss tells any more."""
    spoilt = [name for name, value in best.state_.items() if not torch.isfinite(value).all()]
    if spoilt:
        raise FloatingPointError(
            f"Training diverged: after epoch {best.epoch_} NaN or infinity stands in "
            f"{listing(spoilt, noun='parameter')}. Lower lr, or check the scale of the images and the table."
        )


def _prepare(module, precision):
    """Set the type of the weights, and lay convolutions out as they are right, and run fastest."""
    module = module.double() if precision == "float64" else module.float()
    lay_out(module)
    return module


class _Hold:
    """skorch's ``train_split`` for a validation set that is made already."""

    def __init__(self, valid_set):
        self.valid_set = valid_set

    def __call__(self, dataset, y=None, **_):
        return dataset, self.valid_set
