"""Curves over time, of survival or of the cumulative hazard, and how well risks order the times."""

import numpy as np

from skhyperfusion._wording import listing

_TIED = 1e-8  # risks that differ by less are taken for equal, as rounding moves them so far


class SurvivalCurve:
    """A curve over time: of the probability to have had no event, or of the cumulative hazard.

    Parameters
    ----------
    x : ndarray (K,)
        Times at which it is known, rising.
    y : ndarray (K,)
        Its values there.
    start : float
        Its value at time 0: one for survival, zero for a cumulative hazard.
    interpolation : {"step", "hazard"}
        Between the times: "step" keeps the value of the last one; "hazard" has a constant hazard, so that the
        cumulative hazard is a straight line, and survival falls as an exponential.

    Attributes
    ----------
    domain : tuple of float
        From 0 to the last time.

    Examples
    --------
    >>> curve = SurvivalCurve(np.array([1.0, 2.0]), np.array([0.5, 0.25]), 1.0, "hazard")
    >>> curve([0.0, 1.0, 2.0]), curve.domain
    (array([1.  , 0.5 , 0.25]), (0.0, 2.0))
    """

    def __init__(self, x, y, start, interpolation):
        self.x = x
        self.y = y
        self.start = start
        self.interpolation = interpolation

    def __repr__(self):
        known = f"{len(self.x)} times from 0 to {self.x[-1]:g}"
        return f"SurvivalCurve({known}, interpolation={self.interpolation!r})"

    @property
    def domain(self):
        """First and last time that the curve is known at."""
        return 0.0, float(self.x[-1])

    def __call__(self, time):
        """Return the values at some times.

        Parameters
        ----------
        time : float or array (n_times,)
            From 0 to the last time, ends included.

        Returns
        -------
        float or ndarray (n_times,)
            A number for a number.

        Raises
        ------
        ValueError
            If a time is outside the domain.
        """
        time = np.asarray(time, dtype=np.float64)
        outside = ~((time >= 0) & (time <= self.x[-1]))
        if outside.any():
            raise ValueError(
                f"The curve is known from 0 to {self.x[-1]:g}, the last event that was learned from. Got "
                f"{listing(np.atleast_1d(time)[np.atleast_1d(outside)].tolist(), noun='time')} outside of it."
            )
        if self.interpolation == "step":
            values = np.concatenate([[self.start], self.y])
            return values[np.searchsorted(self.x, time, side="right")]
        is_survival = self.start == 1
        hazard = -np.log(self.y) if is_survival else self.y
        between = np.interp(time, np.concatenate([[0.0], self.x]), np.concatenate([[0.0], hazard]))
        return np.exp(-between) if is_survival else between


def mean_time(times, survival, interpolation):
    """Return the mean time without the event up to the last time: the area under curves.

    Parameters
    ----------
    times : ndarray (K,)
        At which they are known, rising.
    survival : ndarray (n, K)
        Their values there.
    interpolation : {"step", "hazard"}
        How they go on between, see `SurvivalCurve`.

    Returns
    -------
    ndarray (n,)

    Examples
    --------
    >>> mean_time(np.array([1.0, 2.0]), np.array([[0.5, 0.5]]), "step")
    array([1.5])
    """
    first = np.column_stack([np.ones(len(survival)), survival[:, :-1]])
    height = first
    if interpolation == "hazard":
        fall = np.log(first) - np.log(survival)
        falls = fall > 1e-8
        height = np.where(falls, (first - survival) / np.where(falls, fall, 1.0), first)
    return (height * np.diff(times, prepend=0.0)).sum(axis=1)


def concordance_index(event, time, risk):
    """Return Harrell's concordance: the share of pairs whose risks are in the order of their times.

    A pair counts if the earlier of the two times is that of an event; of equal times, if one is an event and
    the other not. Equal risks count half.

    Parameters
    ----------
    event : array (n,)
        Whether the event was seen.
    time : array (n,)
        Of the event or the censoring.
    risk : array (n,)
        The higher, the sooner.

    Raises
    ------
    ValueError
        If there is no pair that counts.

    References
    ----------
    Harrell, Lee, Mark, "Multivariable prognostic models", Statistics in Medicine 15, 1996.

    Examples
    --------
    >>> concordance_index([True, True, False], [1.0, 2.0, 3.0], [3.0, 1.0, 2.0])
    0.6666666666666666
    """
    event, time, risk = np.asarray(event, dtype=bool), np.asarray(time), np.asarray(risk)
    concordant = pairs = 0.0
    for i in np.flatnonzero(event):
        later = (time > time[i]) | ((time == time[i]) & ~event)
        difference = risk[i] - risk[later]
        tied = np.abs(difference) <= _TIED
        concordant += np.count_nonzero((difference > 0) & ~tied) + 0.5 * np.count_nonzero(tied)
        pairs += np.count_nonzero(later)
    if not pairs:
        raise ValueError("There is no pair of rows of which one is known to have had its event first.")
    return float(concordant / pairs)
