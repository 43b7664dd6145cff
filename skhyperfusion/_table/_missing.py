"""What stands for "no value": what the user says, and numbers that look like codes for it."""

import warnings
from collections.abc import Mapping

import numpy as np

from skhyperfusion._table._cells import as_number, as_text
from skhyperfusion._table._notation import plain_text
from skhyperfusion._wording import did_you_mean, listing


def _in_both_precisions(numbers):
    """Return numbers, and beside them what a column of float32 holds where they were written: 99.9000015."""
    numbers = np.array(numbers, dtype=np.float64)
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32).astype(np.float64)
    return np.union1d(numbers, single[np.isfinite(single)])


_DIGITS = [float(digit * length) for digit in "789" for length in range(2, 5)]
#: Numbers that are written where there is none: -9, -99, 999, 99.9 and the like.
_CODES = _in_both_precisions(
    [-8.0, -9.0, -99999.0, *(-n for n in _DIGITS), *_DIGITS, *(n / 10 for n in _DIGITS if n > 99)]
)
# So many numbers must stand beside a code, or its distance from them says nothing.
_FEWEST_OTHERS = 5


class MissingValues:
    """Cells that mean "no value" because the user says so.

    Parameters
    ----------
    values : sequence of str and float
        Upper and lower case count alike; ``-999`` and ``"-999"`` do, too.

    Examples
    --------
    >>> missing = MissingValues(["Not sent", -999])
    >>> missing.has_text("not  sent"), missing.has_text("-999"), missing.has_number(-999.0)
    (True, True, True)
    """

    def __init__(self, values=()):
        values = list(values)
        self.texts = frozenset(plain_text(str(as_text(value))) for value in values)
        numbers = [as_number(value) for value in values]
        self.numbers = _in_both_precisions([number for number in numbers if number is not None])

    def has_text(self, text):
        """Tell whether a text means that there is no value."""
        return bool(self.texts) and plain_text(text) in self.texts

    def has_number(self, number):
        """Tell whether a number means that there is no value."""
        return self.numbers.size > 0 and number in self.numbers


def check_missing_names(missing_values, columns):
    """Raise ValueError where ``missing_values`` speaks of a column that the table does not have."""
    if not isinstance(missing_values, Mapping):
        return
    for name in missing_values:
        if name not in columns:
            raise ValueError(
                f"missing_values names {name!r}, which is not a column of X"
                f"{did_you_mean(name, columns) or '.'}"
            )


def missing_of(missing_values, name):
    """Return the `MissingValues` of a column: a list holds for all columns, a dict for those it names."""
    if isinstance(missing_values, Mapping):
        missing_values = missing_values.get(name, ())
    return MissingValues(missing_values)


def find_codes(values):
    """Find numbers of a column that look like codes for "no value": (certain, doubtful).

    Certain is -9, -99 or the like far below numbers of which none is negative; doubtful is 999 or the like
    far above all others.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        With NaN for gaps.

    Returns
    -------
    certain, doubtful : list of float

    Examples
    --------
    >>> find_codes(np.array([70.0, 81.0, -999.0, 65.0, 77.0, 59.0, 999.0]))
    ([-999.0], [999.0])
    """
    seen = np.unique(values[~np.isnan(values)])
    others = np.flatnonzero(~np.isin(seen, _CODES))
    if len(others) == len(seen) or not others.size:
        return [], []
    # 77 and 88 may be ages: what lies between two numbers that are no codes is none.
    low, high = seen[others[0]], seen[others[-1]]
    if ((values >= low) & (values <= high)).sum() < _FEWEST_OTHERS:
        return [], []
    below, above = seen[: others[0]], seen[others[-1] + 1 :]
    certain = below[(below < low - (high - low)) & (low >= 0) & (below < 0)]
    doubtful = above[(above > high + 2 * (high - low)) & (high > low)]
    return certain.tolist(), doubtful.tolist()


def warn_of_codes_as_values(values, index):
    """Warn of values of a target that look like codes for none: -999 far below others that are not negative.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_outputs)
    index : Index (n_samples,)
        Names of the rows.
    """
    for output in values.T:
        codes, _ = find_codes(output)
        if codes:
            rows = listing(index[np.isin(output, codes)])
            warnings.warn(
                f"y holds {', '.join(f'{code:g}' for code in codes)} in {rows}, far from all other values, "
                "none of which is negative. If it means that there is no value, drop the rows from X and y.",
                UserWarning,
                stacklevel=2,
            )


def are_dates(values):
    """Tell whether all numbers of a column read as dates in the form 20200131.

    Examples
    --------
    >>> are_dates(np.array([20200131.0, 20191224, 20180506, 20170809, 20161011])), are_dates(np.arange(5.0))
    (True, False)
    """
    values = values[~np.isnan(values)]
    if len(values) < _FEWEST_OTHERS or values.min() < 19000101 or values.max() > 21001231:
        return False
    whole = values.astype(np.int64)
    month, day = whole // 100 % 100, whole % 100
    in_calendar = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return bool((whole == values).all() and in_calendar.all() and len(np.unique(whole)) > 1)
