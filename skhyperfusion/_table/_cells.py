"""The cells of a table: what is a gap, what is a number, what is text, and how messages name them."""

import numbers
import re
from decimal import Decimal

import numpy as np
import pandas as pd

from skhyperfusion._table._words import NO_VALUE, means_no_number
from skhyperfusion._wording import show

# A number, alone or behind a sign of comparison: laboratories write "<80" below the limit of detection.
_NUMBER = re.compile(
    r"(?:[<>≤≥]=?|=)?\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?)", re.ASCII
)


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
        if means_no_number(text):
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
        return np.nan if text.lower() in NO_VALUE else text
    if isinstance(cell, numbers.Real) and not isinstance(cell, bool):
        value = float(cell)
        return str(int(cell)) if value.is_integer() else repr(value)
    return str(cell)


def read_cells(read, cells):
    """Read every cell by a function; a text that stands in many rows is read once.

    Examples
    --------
    >>> read_cells(as_number, ["<80", 120, None])
    [80.0, 120.0, nan]
    """
    # No other type: 1, 1.0 and True are one key.
    texts = {text: read(text) for text in {cell for cell in cells if type(cell) is str}}
    return [texts[cell] if type(cell) is str else read(cell) for cell in cells]
