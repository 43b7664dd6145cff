"""What happens at the end of an epoch: score it, keep the best, log it, change the learning rate."""

import functools
import math
import numbers
import time
import warnings

import torch
from skorch.callbacks import Callback, LRScheduler

from skhyperfusion._engine._duration import (
    LONG,
    Pace,
    announcement,
    in_words,
    is_news,
    root_in_unit,
    time_to_go,
)
from skhyperfusion._wording import kind_of, show

WARM_UP = 0.05  # share of the steps over which the learning rate rises before the cosine takes it down


class ValidationScore(Callback):
    """Score the validation rows after each epoch with a scikit-learn scorer.

    Parameters
    ----------
    scorer : callable
        ``(predictions, None, y) -> float``, the more the better.
    predictions : callable
        ``outputs (n, K) ->`` what the scorer may ask.
    y : ndarray (n, ...)
        True labels or values of the validation rows.
    name : str
        Its column in the history.
    monitor : str
        What the user calls the scorer, for the warning where it gives NaN.
    """

    def __init__(self, scorer, predictions, y, name, monitor):
        self.scorer = scorer
        self.predictions = predictions
        self.y = y
        self.name = name
        self.monitor = monitor

    def on_train_begin(self, net, **kwargs):
        self.warned_ = False

    def on_epoch_begin(self, net, **kwargs):
        self.outputs_ = []

    def on_batch_end(self, net, training, y_pred=None, **kwargs):
        if not training:
            self.outputs_.append(y_pred.detach().double().cpu())

    def on_epoch_end(self, net, **kwargs):
        predictions = self.predictions(torch.cat(self.outputs_).numpy())
        given = self.scorer(predictions, None, self.y)
        try:
            score = float(given)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"monitor={self.monitor} must give a number for the rows held out. It gave {show(given)}."
            ) from error
        if math.isnan(score) and not self.warned_:
            self.warned_ = True
            warnings.warn(
                f"monitor={self.monitor} gives NaN for the {len(self.y)} rows held out. Such an epoch never "
                "counts as the best one; where all are such, the last one counts. Pass another monitor "
                "('loss' is defined for any rows), a larger validation_fraction, or early_stopping=False.",
                UserWarning,
                stacklevel=2,
            )
        net.history.record(self.name, score)


class BestEpoch(Callback):
    """Keep the weights of the best epoch in memory, and stop when none better comes.

    In memory, since files of parallel fits would collide.

    Parameters
    ----------
    monitor : str or None
        Column of the history that tells the best epoch; None: the last epoch is the best.
    lower_is_better : bool
        Whether a smaller value is better.
    patience : int or None
        Epochs without a better one before training stops.
    """

    def __init__(self, monitor, lower_is_better, patience):
        self.monitor = monitor
        self.lower_is_better = lower_is_better
        self.patience = patience

    def initialize(self):
        self.epoch_ = 0
        self.value_ = math.inf
        self.state_ = None
        return self

    def on_epoch_end(self, net, **kwargs):
        record = net.history[-1]
        if self.monitor is None:
            self._keep(net, record["epoch"], 0.0)
            return
        value = record[self.monitor] if self.lower_is_better else -record[self.monitor]
        if math.isnan(value) and self.value_ == math.inf:
            self._keep(net, record["epoch"], math.inf)  # until there is one that says something
        elif value < self.value_ or self.state_ is None:
            self._keep(net, record["epoch"], value)
        elif record["epoch"] - self.epoch_ >= self.patience:
            net.stop_requested_ = True

    def _keep(self, net, epoch, value):
        state = {name: tensor.detach().clone() for name, tensor in net.module_.state_dict().items()}
        # At once, and behind the copy: Ctrl-C may come in its middle.
        self.epoch_, self.value_, self.state_ = epoch, value, state


class LongTraining(Callback):
    """Say once how long a training will take, and what makes it shorter, where that is over a minute.

    As a warning, or as a printed line where lines are printed anyway.

    Parameters
    ----------
    n_steps, n_valid_steps : int
        Steps of an epoch: of training, and of validation after them.
    advise : callable
        Returns what makes it shorter; asked only if it is said.
    verbose : int
        Print when positive.
    clock : callable
        Gives seconds.
    """

    def __init__(self, n_steps, n_valid_steps, advise, verbose, clock=time.monotonic):
        self.n_steps = n_steps
        self.n_valid_steps = n_valid_steps
        self.advise = advise
        self.verbose = verbose
        self.clock = clock

    def on_train_begin(self, net, **kwargs):
        self._pace = Pace(self.n_steps, self.n_valid_steps, self.clock)
        self._epochs_left = None  # a checkpoint is read after this

    def on_batch_end(self, net, training, **kwargs):
        if self._pace is None:
            return
        if self._epochs_left is None:
            self._epochs_left = net.max_epochs - len(net.history) + 1
        seconds = self._pace.step(training=training, epochs_left=self._epochs_left)
        if seconds is None:
            return
        self._pace = None
        if seconds > LONG and is_news(seconds):
            self._say(announcement(seconds, self._epochs_left, stops_early=self.n_valid_steps > 0))

    def _say(self, how_long):
        said = f"{how_long} {self.advise()}"
        if self.verbose > 0:
            print(said, flush=True)
            return
        warnings.warn(
            f"{said} With verbose=1 each epoch tells the time to go. Not to be told: "
            "warnings.filterwarnings('ignore', message='Training will take').",
            UserWarning,
            stacklevel=2,
        )


class EpochLog(Callback):
    """Note the learning rate of each epoch, and print a line where asked.

    Parameters
    ----------
    verbose : int
        Print when positive.
    stage : str
        What stands before the number of the epoch.
    root_scale : float or None
        What the root of the loss is multiplied by, so that it is an error in y's own unit; None: it is none.
    clock : callable
        Gives seconds.
    """

    def __init__(self, verbose, stage="epoch", root_scale=None, clock=time.monotonic):
        self.verbose = verbose
        self.stage = stage
        self.root_scale = root_scale
        self.clock = clock

    def on_train_begin(self, net, **kwargs):
        self._start = self.clock()
        self._n_done = 0

    def on_epoch_end(self, net, **kwargs):
        net.history.record("lr", net.optimizer_.param_groups[-1]["lr"])
        seconds = self.clock() - self._start
        self._n_done += 1
        if self._n_done == 1:
            self._first = seconds
        if self.verbose > 0:
            left = net.max_epochs - len(net.history)
            rest = time_to_go(seconds, first=self._first, n_done=self._n_done, n_left=left)
            row = history_row(net.history[-1])
            print(_epoch_line(row, net.max_epochs, self.stage, self.root_scale, rest), flush=True)


def callback_states(callbacks):
    """Return what a net's callbacks have learned so far, as tensors and plain values: name -> state.

    That is what their ``state_dict`` gives, or else every attribute whose name ends in an underscore.

    Raises
    ------
    TypeError
        If a callback holds something else.
    """
    return {name: _state_of(name, callback) for name, callback in callbacks}


def set_callback_states(callbacks, states):
    """Give callbacks back what `callback_states` told of them."""
    for name, callback in callbacks:
        state = dict(states[name])
        if hasattr(callback, "load_state_dict"):
            callback.load_state_dict(state)
            continue
        if isinstance(callback, LRScheduler):
            callback.lr_scheduler_.load_state_dict(state.pop("lr_scheduler_"))
        vars(callback).update(state)


def _state_of(name, callback):
    if hasattr(callback, "load_state_dict"):
        return callback.state_dict()
    state = {key: value for key, value in vars(callback).items() if key.endswith("_")}
    # What skorch gathers within an epoch, and functions that it makes anew.
    for key in ("y_trues_", "y_preds_", "outputs_", "scoring_", "policy_"):
        state.pop(key, None)
    if isinstance(callback, LRScheduler):
        state["lr_scheduler_"] = state["lr_scheduler_"].state_dict()
    return {key: plain_state(value, f"the callback {name!r} holds {key}") for key, value in state.items()}


def plain_state(value, where):
    """Return a value as a checkpoint can hold it: NumPy's numbers as Python's."""
    if hasattr(value, "item") and type(value).__module__ == "numpy" and value.shape == ():
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str | bytes | torch.Tensor):
        return value
    if isinstance(value, dict):
        return {key: plain_state(item, where) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(plain_state(item, where) for item in value)
    raise TypeError(
        f"checkpoint_dir: {where} = {show(value)}, which a checkpoint cannot hold. Give the callback "
        "state_dict() and load_state_dict(state), of tensors and plain values, or pass checkpoint_dir=None."
    )


def history_row(record):
    """Keep what a person wants of a skorch record: no batches, no counts, no flags of the best epoch."""
    row = {name: value for name, value in record.items() if not _is_of_skorch(name, record)}
    row["seconds"] = row.pop("dur")
    return row


def _is_of_skorch(name, record):
    if name in ("batches", "train_batch_count", "valid_batch_count"):
        return True
    # A scoring callback flags its best epochs; a column that a user calls so is none of its.
    return name.endswith("_best") and name.removesuffix("_best") in record and isinstance(record[name], bool)


def _epoch_line(row, max_epochs, stage, root_scale, rest):
    values = [f"{name} {_short(row[name])}" for name in row if name not in ("epoch", "seconds")]
    epoch = f"{row['epoch']:>{len(str(max_epochs))}}/{max_epochs}"
    if root_scale is not None:
        values.append(_errors_in_unit(row, root_scale))
    return "  ".join([f"{stage} {epoch}", *values, in_words(row["seconds"]), rest])


def _errors_in_unit(row, root_scale):
    """Say what the losses are as root mean squared errors in y's own unit, which has no name here."""
    train, valid = (row.get(name) for name in ("train_loss", "valid_loss"))
    errors = [
        f"{_short(root_in_unit(loss, root_scale))} ({part})"
        for loss, part in ((train, "train"), (valid, "valid"))
        if loss is not None
    ]
    return f"RMSE of y {', '.join(errors)}"


def _short(value):
    return f"{value:.4g}" if isinstance(value, numbers.Real) else show(value)


def cosine_with_warm_up(step, n_steps):
    """Factor of the learning rate: up over the first steps, then down a half cosine to zero."""
    n_warm_up = max(1, round(WARM_UP * n_steps))
    if step < n_warm_up:
        return (step + 1) / n_warm_up
    progress = (step - n_warm_up) / max(1, n_steps - n_warm_up)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def schedule(lr_schedule, n_steps):
    if lr_schedule is None:
        return []
    if lr_schedule == "cosine":
        factor = functools.partial(cosine_with_warm_up, n_steps=n_steps)
        policy = torch.optim.lr_scheduler.LambdaLR
        return [("lr", LRScheduler(policy, lr_lambda=factor, step_every="batch", event_name=None))]
    return [("lr", LRScheduler(_SchedulerFactory(lr_schedule), event_name=None))]


class _SchedulerFactory:
    """Calls the user's ``optimizer -> scheduler`` without skorch's own arguments."""

    def __init__(self, factory):
        self.factory = factory

    def __call__(self, optimizer, **_):
        scheduler = self.factory(optimizer)
        if not callable(getattr(scheduler, "step", None)):
            raise TypeError(
                "The function given as lr_schedule must return a scheduler of torch.optim.lr_scheduler. It "
                f"returned {kind_of(scheduler)}."
            )
        return scheduler
