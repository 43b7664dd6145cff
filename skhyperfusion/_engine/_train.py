"""Train a fusion network, and keep its best epoch."""

import functools

import pandas as pd
import torch

from skhyperfusion._engine._allocator import freed_memory_kept
from skhyperfusion._engine._batches import BatchSampler
from skhyperfusion._engine._callbacks import BestEpoch, EpochLog, history_row, schedule
from skhyperfusion._engine._losses import LOSSES
from skhyperfusion._engine._net import FusionNet
from skhyperfusion._wording import listing
from skhyperfusion.nn._layout import lay_out

# Fused: one pass over all parameters, which matters where a step takes a few milliseconds.
OPTIMIZERS = {
    "adamw": functools.partial(torch.optim.AdamW, fused=True),
    "adam": functools.partial(torch.optim.Adam, fused=True),
    "sgd": functools.partial(torch.optim.SGD, fused=True),
}


class TrainedNet:
    """Outcome of `train`: the net, one history row per epoch, the best epoch, whether Ctrl-C ended it."""

    def __init__(self, net, history, best_epoch):
        self.net = net
        self.history = history
        self.best_epoch = best_epoch
        self.interrupted = net.interrupted_


def train(
    module,
    train_set,
    *,
    valid_set=None,
    loss,
    n_classes=None,
    max_epochs=100,
    lr=3e-3,
    batch_size=16,
    optimizer="adamw",
    weight_decay=1e-2,
    lr_schedule="cosine",
    monitor=None,
    patience=None,
    callbacks=None,
    net_params=None,
    augmentation=None,
    device="cpu",
    precision="float32",
    compile=False,
    lr_scales=None,
    seed=0,
    verbose=0,
    stage="epoch",
):
    """Train a network on a data set, and keep its best epoch.

    Parameters
    ----------
    module : FusionNetwork
        Network; trained in place.
    train_set, valid_set : FusionDataset
        Rows with targets and weights. Without ``valid_set`` the last epoch counts.
    loss : str
        Name among `LOSSES`.
    n_classes : int or None
        Number of classes; None where the outputs are none.
    monitor : ValidationScore or None
        What tells the best epoch; None: the validation loss.
    patience : int or None
        Epochs without a better one before training stops.
    callbacks : list of skorch callbacks, optional
        Used as they are: pass clones.
    net_params : dict, optional
        Further settings of the skorch net; they win over the ones made here.
    lr_scales : dict of str to float, optional
        Parameters with a learning rate of their own, as a multiple of ``lr``.
    stage : str
        What a printed line calls an epoch.

    Returns
    -------
    TrainedNet
        With its module on ``device``, in the state of the best epoch.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C came before the first epoch ended: there is nothing to keep.
    FloatingPointError
        If the loss or a weight is no longer finite.
    """
    best = BestEpoch(
        None if valid_set is None else "valid_loss" if monitor is None else monitor.name,
        lower_is_better=monitor is None,
        patience=patience,
    )
    n_steps = max_epochs * len(BatchSampler(len(train_set), batch_size))
    settings = {
        "criterion": LOSSES[loss],
        "optimizer": OPTIMIZERS.get(optimizer, optimizer) if isinstance(optimizer, str) else optimizer,
        "optimizer__weight_decay": weight_decay,
        # With a star: torch.compile and accelerate put a prefix before every name.
        "optimizer__param_groups": [
            (f"*{name}", {"lr": lr * scale}) for name, scale in (lr_scales or {}).items() if scale != 1
        ],
        "lr": lr,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "train_split": None if valid_set is None else _Hold(valid_set),
        "device": str(device),
        "verbose": 0,
        **(net_params or {}),
    }
    net = FusionNet(
        _prepare(module, precision),
        augmentation=augmentation,
        precision=precision,
        compile=compile,
        seed=seed,
        n_classes=n_classes,
        callbacks=[
            *([] if monitor is None else [("monitor", monitor)]),
            ("best", best),
            ("log", EpochLog(verbose, stage)),
            *schedule(lr_schedule, n_steps),
            *(callbacks or []),
        ],
        **settings,
    )
    with freed_memory_kept(device):
        net.fit(train_set)
    if best.state_ is None:
        raise KeyboardInterrupt
    _check_finite(best)
    net.module_.load_state_dict(best.state_)
    epochs = [record for record in net.history if "dur" in record]  # Ctrl-C leaves one unfinished
    trained = TrainedNet(net, pd.DataFrame(map(history_row, epochs)), best.epoch_)
    net.strip()
    return trained


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
