"""The cells of a table: what is a gap, what is a number, and tabular columns as numbers or text."""

import numbers
import re
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd

from skhyperfusion._wording import listing, show

# A number, alone or behind a sign of comparison: laboratories write "<80" below the limit of detection.
_NUMBER = re.compile(
    r"(?:[<>≤≥]=?|=)?\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?)", re.ASCII
)
# Text that stands for a gap everywhere ("n/a" is BIDS's word for it), and only where the other cells of the
# column are numbers: "None" and "NA" may be categories.
_NO_VALUE = {"", "nan", "<na>", "nat", "n/a"}
_NO_NUMBER = _NO_VALUE | {"na", "#n/a", "none", "null"}
# Stray text among numbers: from this many distinct numbers on it looks like an oversight.
_MANY_NUMBERS = 20


def is_missing(value):
    """Tell whether a cell is a gap: None, NaN, `pandas.NA` or NaT. An array never is one.

    Examples
    --------
    >>> is_missing(None), is_missing(float("nan")), is_missing(pd.NA), is_missing(np.zeros((2, 2)))
    (True, True, True, False)
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, float | np.floating):
        return bool(value != value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, Decimal) and value.is_nan()


def cells_of(column):
    """Return the cells of a column as a 1-D object array, whatever the column's dtype."""
    return column.to_numpy(dtype=object)


def row_name(frame, position):
    """Name a row as its owner knows it, for a message.

    Examples
    --------
    >>> row_name(pd.DataFrame({"age": [70]}, index=["p07"]), 0)
    "row 'p07'"
    """
    return f"row {show(frame.index[position])}"


def cell_name(frame, position, column):
    """Name a cell, to begin a message with."""
    return f"Row {show(frame.index[position])}, column {column!r}"


def holds_numbers(dtype):
    """Tell whether a dtype is numeric or boolean, of NumPy, pandas or pyarrow."""
    return pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)


def object_array(values):
    """Make a 1-D object array, also of cells that are arrays (NumPy alone would stack those)."""
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def infinity_message(frame, row, name, value):
    """Say that a cell is infinite, in words that scikit-learn's users know."""
    return (
        f"{cell_name(frame, row, name)}: input X contains infinity ({show(value)}). "
        "Give a finite number, or NaN where the value is missing."
    )


def as_number(cell):
    """Read a cell as a float: NaN for a gap, None for what is no number.

    Examples
    --------
    >>> as_number(" <80"), as_number(True), as_number("1e3"), as_number("n/a"), as_number("F")
    (80.0, 1.0, 1000.0, nan, None)
    """
    if is_missing(cell):
        return np.nan
    if isinstance(cell, np.ndarray) and cell.ndim == 0:
        cell = cell.item()
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "replace")
    if isinstance(cell, str):
        text = cell.strip().lower()
        if text in _NO_NUMBER:
            return np.nan
        match = _NUMBER.fullmatch(text)
        # "True" is a category: pandas reads real booleans as such, and leaves text only beside other words.
        return float(match[1]) if match else None
    if isinstance(cell, bool | np.bool_ | numbers.Real | Decimal):
        try:
            return float(cell)
        except OverflowError:
            return np.inf if cell > 0 else -np.inf
    return None


def as_text(cell):
    """Read a cell as the name of a category, or NaN for a gap: 1, 1.0 and "1 " are all "1".

    Examples
    --------
    >>> as_text(" F"), as_text(1.0), as_text(True), as_text(None)
    ('F', '1', 'True', nan)
    """
    if is_missing(cell):
        return np.nan
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "replace")
    if isinstance(cell, str):
        text = str(cell).strip()
        return np.nan if text.lower() in _NO_VALUE else text
    if isinstance(cell, numbers.Real) and not isinstance(cell, bool):
        value = float(cell)
        return str(int(cell)) if value.is_integer() else repr(value)
    return str(cell)


def clean_tabular(frame, *, numeric=None):
    """Turn every column into float64 numbers, or into text with NaN for its gaps.

    Numbers are: numeric and boolean columns (True is 1), and columns of objects or text whose every cell
    is one, or is a gap. ``"<80"`` and ``">1300"`` count as their number. A column of the dtype
    ``category`` is text always: so numbers can be declared to be mere codes.

    Parameters
    ----------
    frame : DataFrame of shape (n_samples, n_columns)
        Tabular columns, of any dtype. It is not changed.
    numeric : collection of str, default=None
        Columns to read as numbers, all others as text: what they were when a model was fitted.
        None decides by the cells.

    Returns
    -------
    DataFrame of shape (n_samples, n_columns)
        Columns of float64 or of object (str or NaN), which share no memory with ``frame``. Only a column of
        the dtype ``category`` whose text reads as numbers stays one, lest it be taken for numbers next time.

    Examples
    --------
    >>> raw = pd.DataFrame({"tau": ["<80", 120, None], "sex": ["F", None, "M"]})
    >>> clean_tabular(raw)
         tau  sex
    0   80.0    F
    1  120.0  NaN
    2    NaN    M
    """
    columns = {}
    for name, column in frame.items():
        wanted = None if numeric is None else name in numeric
        values = _clean(frame, name, column, wanted)
        # The dtype is given: pandas 3 would turn objects that are text into its own dtype.
        columns[name] = pd.Series(values, index=frame.index, dtype=values.dtype)
    return pd.DataFrame(columns, index=frame.index)


def _clean(frame, name, column, wanted):
    """Clean one column: to numbers if ``wanted``, to text if it is False, to either if it is None."""
    if holds_numbers(column.dtype) and wanted is not False:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        return _finite(frame, name, values, column)
    cells = cells_of(column)
    if wanted is False:
        return _text(frame, name, cells)
    read = _read_each(as_number, cells)
    strangers = [i for i, number in enumerate(read) if number is None]
    if wanted is None and isinstance(column.dtype, pd.CategoricalDtype):
        text = _text(frame, name, cells)
        return text if strangers else pd.Categorical(text)
    if not strangers:
        return _finite(frame, name, np.array(read, dtype=np.float64), column)
    if wanted:
        raise ValueError(_no_number_message(frame, name, cells, strangers))
    _warn_of_stray_text(frame, name, cells, read, strangers)
    return _text(frame, name, cells)


def _finite(frame, name, values, column):
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise ValueError(infinity_message(frame, infinite[0], name, column.iloc[infinite[0]]))
    return values


def _text(frame, name, cells):
    for row, cell in enumerate(cells):
        if isinstance(cell, np.ndarray) and cell.ndim:
            raise ValueError(
                f"{cell_name(frame, row, name)} holds an array of shape {cell.shape}, and the column is "
                "none of the image columns. Give image_columns, or one column per number."
            )
    return object_array(_read_each(as_text, cells))


def _read_each(read, cells):
    """Read every cell; a text that stands in many rows is read once."""
    # No other type: 1, 1.0 and True are one key.
    known = {text: read(text) for text in {cell for cell in cells if type(cell) is str}}
    return [known[cell] if type(cell) is str else read(cell) for cell in cells]


def _no_number_message(frame, name, cells, strangers):
    row = strangers[0]
    more = f" (and {len(strangers) - 1} more)" if len(strangers) > 1 else ""
    return (
        f"{cell_name(frame, row, name)}: {show(cells[row])} is not a number, but the column held numbers "
        f"when the model was fitted{more}. Give a number, or NaN where the value is missing."
    )


def _warn_of_stray_text(frame, name, cells, read, strangers):
    strangers = [i for i in strangers if isinstance(cells[i], str)]
    found = [number for number in read if number is not None and number == number]
    if strangers and len(found) >= 9 * len(strangers) and len(set(found)) > _MANY_NUMBERS:
        shown = listing([cells[i] for i in strangers], noun="cell")
        warnings.warn(
            f"Column {name!r} is read as categories: {len(found)} of its cells are numbers, but not {shown} "
            f"({row_name(frame, strangers[0])} first). Replace such cells by NaN to have numbers.",
            UserWarning,
            stacklevel=2,
        )
