"""Time to event: what y is, and what follows from a network's outputs."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from skhyperfusion._curves import concordance_index, mean_time
from skhyperfusion._target import Target
from skhyperfusion._typing import ArrayLike
from skhyperfusion._wording import LARGEST, did_you_mean, kind_of, listing, show

_WANTED = (
    "a structured array, its first field the event (bool), its second the time, such as "
    "skhyperfusion.survival_target(event, time)"
)
_MOST_INTERVALS = 30


def survival_target(event: ArrayLike, time: ArrayLike) -> np.ndarray:
    """Make the target of `HyperFusionSurvival` from two columns.

    Parameters
    ----------
    event : array-like (n_samples,)
        Whether the event was seen (True, 1) or the row was censored (False, 0).
    time : array-like (n_samples,)
        Time of the event or of the censoring, in any unit; positive.

    Returns
    -------
    ndarray (n_samples,) with the fields "event" (bool) and "time" (float)

    Raises
    ------
    ValueError
        If the lengths or the names of the rows differ, the two are swapped, an event is neither true nor
        false, or a time is not positive and finite.

    Examples
    --------
    >>> survival_target([1, 0], [2.5, 4.0])
    array([( True, 2.5), (False, 4. )], dtype=[('event', '?'), ('time', '<f8')])
    """
    columns: dict[str, Any] = {"event": event, "time": time}
    for name, column in columns.items():
        if np.ndim(column) != 1:
            raise ValueError(f"{name} must be a column, of shape (n_samples,). Got {show(column)} instead.")
    if len(event) != len(time):
        raise ValueError(f"event and time must be of one length. Got {len(event)} and {len(time)}.")
    index = event.index if isinstance(event, pd.Series) else pd.RangeIndex(len(event))
    if isinstance(event, pd.Series) and isinstance(time, pd.Series) and not index.equals(time.index):
        raise ValueError(
            "event and time are Series whose rows have different names: bring them into one order, as by "
            "time.loc[event.index]."
        )
    _refuse_swapped(event, time, "survival_target")
    target = np.empty(len(event), dtype=[("event", bool), ("time", np.float64)])
    target["event"] = _events(event, index, numbers=True)
    target["time"] = _times(time, index)
    return target


def check_survival(y, index, *, name):
    """Return event and time as float64 (n, 2), or raise ValueError that names the row.

    Parameters
    ----------
    y : structured array (n,) or DataFrame (n, 2)
        The event first, the time second, under any names.
    index : Index (n,)
        Names of the rows, for the messages.
    name : str
        Of who asks.
    """
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None. It wants {_WANTED}.")
    if isinstance(y, pd.DataFrame) and y.shape[1] == 2:
        event, time = y.iloc[:, 0], y.iloc[:, 1]
    elif (names := getattr(getattr(y, "dtype", None), "names", None)) is not None and len(names) == 2:
        event, time = (np.atleast_1d(y)[field] for field in names)
    else:
        raise ValueError(f"y of {name} must be {_WANTED}. Got {kind_of(y)} instead.")
    if len(event) != len(index):
        raise ValueError(
            "X and y must have the same number of rows. Found input variables with inconsistent numbers of "
            f"samples: [{len(index)}, {len(event)}]"
        )
    _refuse_swapped(event, time, name)
    return np.column_stack([_events(event, index), _times(time, index)]).astype(np.float64)


def _refuse_swapped(event, time, name):
    if np.asarray(time).dtype.kind == "b" and np.asarray(event).dtype.kind != "b":
        raise ValueError(f"The two fields of y are swapped: {name} wants the event first, the time second.")


def _events(event, index, numbers=False):
    values = np.asarray(event)
    if values.dtype.kind == "b":
        return values
    cells = values.astype(object)
    is_gap = pd.isna(cells)  # pandas.NA is neither equal to 1 nor not
    allowed = [
        isinstance(cell, bool | np.bool_) or (numbers and not gap and cell in (0, 1))
        for cell, gap in zip(cells, is_gap, strict=True)
    ]
    wrong = np.flatnonzero(~np.array(allowed, dtype=bool))
    if wrong.size:
        row = wrong[0]
        raise ValueError(
            f"The event of row {show(index[row])} is {show(cells[row])}, which is neither True nor False. "
            "Make y by survival_target(event, time), with True or 1 where the event was seen."
        )
    return cells.astype(bool)


def _times(time, index):
    cells = np.asarray(time, dtype=object)
    values = np.array([_time(cell) for cell in cells], dtype=np.float64)
    wrong = np.flatnonzero(~((values > 0) & (values <= LARGEST)))
    if wrong.size:
        rows = listing([index[i] for i in wrong])
        raise ValueError(
            f"The time of row {show(index[wrong[0]])} is {show(cells[wrong[0]])}; times must be positive "
            f"and finite, up to {LARGEST:g} ({rows}). Count time from the start of observation, and drop "
            "rows without any."
        )
    return values


def _time(cell):
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return np.nan


class SurvivalTarget(Target):
    """Time to an event, with rows that leave before it. Values are (n, 2): event, time.

    Parameters
    ----------
    owner : str
        Name of the estimator.
    loss : {"discrete", "cox"}
        A hazard for each of some intervals, or one logarithm of a risk.
    n_intervals : int or "auto"
        Of the discrete loss.

    Attributes
    ----------
    times : ndarray (K,)
        Ends of the intervals; or the distinct times of events in the training rows.
    log_odds : ndarray (K,)
        Of the hazard in each interval, in the training rows together, from which the network's outputs are
        differences; only with "discrete". A network that starts at even odds would spend its training on
        learning how rare events are.
    baseline : ndarray (K,)
        Breslow's cumulative hazard at these times, of a risk of one; only with "cox".
    """

    task = "regression"

    def __init__(self, owner, *, loss="discrete", n_intervals="auto"):
        super().__init__(owner)
        self.loss = {"discrete": "logistic_hazard", "cox": "cox"}[loss]
        self.n_intervals = n_intervals
        self.log_odds = 0.0  # before they are learned

    @property
    def interpolation(self):
        """How curves go on between their times, as `SurvivalCurve` calls it."""
        return "step" if self.loss == "cox" else "hazard"

    @property
    def needs_outputs(self):
        """Whether `finish` must be told what the trained network says of the training rows."""
        return self.loss == "cox"

    def learn(self, y, index, previous=None):
        """Check event and time, and return them (n, 2)."""
        values = check_survival(y, index, name=self.owner)
        if not values[:, 0].any():
            raise ValueError(
                f"{self.owner} needs events, but all {len(values)} rows of y are censored: there is "
                "no time to learn."
            )
        if previous is not None and previous.loss != self.loss:
            raise ValueError("warm_start=True goes on with another loss than before. Fit a clone.")
        self._continues = previous is not None
        if self._continues and self.loss != "cox":
            self.times, self.log_odds = previous.times, previous.log_odds
        return values

    def read(self, y, index, caller):
        """Return event and time of rows that come after the fit (n, 2)."""
        return check_survival(y, index, name=caller)

    def fit(self, values, weight):
        """Learn the times at which curves are known, and how likely events are, from the training rows."""
        seen = values[values[:, 0] == 1, 1]
        if not seen.size:
            raise ValueError(
                f"{self.owner}: no training row has an event, all are held out. Pass early_stopping=False."
            )
        if self.loss == "cox":
            self.times, self.n_outputs = np.unique(seen), 1
            return
        if not self._continues:
            wanted = self.n_intervals
            if wanted == "auto":
                wanted = min(max(2, round(np.sqrt(len(seen)))), _MOST_INTERVALS)
            self.times = _weighted_quantiles(
                seen, weight[values[:, 0] == 1], np.arange(1, wanted + 1) / wanted
            )
            self.log_odds = self._marginal_log_odds(values, weight)
        self.n_outputs = len(self.times)

    def _marginal_log_odds(self, values, weight):
        survived, event = self._intervals(values)
        intervals = np.arange(len(self.times))
        at_risk = weight @ (intervals < (survived + event)[:, None])
        fell = weight @ ((intervals == survived[:, None]) & (event == 1)[:, None])
        little = 1e-3 * weight.sum()  # of an interval that nobody survives, the odds were infinite
        return np.log(fell + little) - np.log(at_risk - fell + little)

    def encode(self, values):
        """Return what the loss is given (n, 2 + K), or (n, 3) of Cox's.

        Of the discrete loss: the number of intervals survived, whether the event falls into the next, and
        `log_odds`. An interval holds its end and not its start; who leaves within one is not counted in it
        (Kvamme and Borgan 2021). Of Cox's: the rank of the time, the event, and the number of the row, by
        which its last risk is remembered.
        """
        if self.loss == "cox":
            event, time = values[:, 0], values[:, 1]
            rank = np.unique(time, return_inverse=True)[1]  # of times, the order counts alone
            return np.column_stack([rank, event, np.arange(len(values))]).astype(np.float64)
        survived, event = self._intervals(values)
        odds = np.broadcast_to(self.log_odds, (len(values), len(self.times)))
        return np.column_stack([survived, event, odds]).astype(np.float64)

    def _intervals(self, values):
        """Return how many intervals each row survived, and whether its event falls into the next."""
        event, time = values[:, 0], values[:, 1]
        survived = np.where(
            event == 1,
            np.searchsorted(self.times, time, side="left"),
            np.searchsorted(self.times, time, side="right"),
        )
        # An event behind the last interval is one that the intervals do not see.
        return survived, event * (survived < len(self.times))

    def finish(self, outputs, values, weight):
        """Learn Breslow's baseline from what the trained network says of the training rows (n, 1)."""
        risk = weight * np.exp(outputs[:, 0])
        event, time = values[:, 0], values[:, 1]
        at_risk = np.array([risk[time >= t].sum() for t in self.times])
        events = np.array([weight[(time == t) & (event == 1)].sum() for t in self.times])
        self.baseline = np.cumsum(events / at_risk)

    def original(self, values):
        """Return a structured array."""
        return survival_target(values[:, 0].astype(bool), values[:, 1])

    def predictions(self, outputs):
        """Return what answers `predict`: the risk."""
        return SurvivalPredictions(self.risk(outputs[:, None]))

    def attributes(self):
        """Return ``unique_times_``."""
        return {"unique_times_": self.times}

    def strata(self, values):
        """Return the events."""
        return values[:, 0].astype(int)

    def scorer(self, monitor):
        """Return the scorer that "concordance", or a scorer of the user's, means."""
        if isinstance(monitor, str) and monitor != "concordance":
            raise ValueError(
                f"The 'monitor' parameter of {self.owner} must be 'loss', 'concordance' or a scorer. "
                f"Got {monitor!r} instead{did_you_mean(monitor, ['loss', 'concordance']) or '.'}"
            )
        return _concordance_of if monitor == "concordance" else monitor

    def risk(self, outputs):
        """Return the risk (n,) of outputs by view (n, V, K): the higher, the sooner.

        Of Cox's loss the logarithm of the risk. Of the discrete one minus the mean survival time up to the
        last interval's end: in the unit of time, and unlike the sum of cumulative hazards not ruled by a few
        late intervals in which hardly anybody is left.
        """
        if self.loss == "cox":
            return outputs.mean(axis=1)[:, 0]
        return -mean_time(self.times, self.survival(outputs), self.interpolation)

    def survival(self, outputs):
        """Return the survival at `times` (n, K) of outputs by view (n, V, K); the views' is averaged."""
        if self.loss == "cox":
            survival = np.exp(-np.exp(outputs.mean(axis=1)) * self.baseline)
        else:  # 1 - hazard as expit(-logit): near one it would be rounded away
            survival = np.cumprod(expit(-outputs - self.log_odds), axis=2).mean(axis=1)
        return np.maximum(survival, np.finfo(float).tiny)  # so that its logarithm is a number


def _weighted_quantiles(times, weight, levels):
    """Return the distinct times at which these shares of the weight are reached, the last time at 1."""
    order = np.argsort(times, kind="stable")
    below = np.cumsum(weight[order])
    return np.unique(times[order][np.searchsorted(below, levels * below[-1], side="left")])


class SurvivalPredictions:
    """What a survival model would answer for rows whose risks are known; a scorer may ask it."""

    def __init__(self, risks):
        self.risks_ = risks

    def predict(self, X):
        """Return the risks."""
        return self.risks_


def _concordance_of(predictions, X, y):
    event, time = (y[field] for field in y.dtype.names)
    return concordance_index(event, time, predictions.predict(X))
