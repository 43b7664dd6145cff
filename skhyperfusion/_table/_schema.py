"""What each column of a table was at the fit, and the reading of every later table by it."""

import warnings

import numpy as np
import pandas as pd

from skhyperfusion._table._cells import (
    as_number,
    as_text,
    cell_name,
    cells_of,
    holds_numbers,
    infinity_message,
    is_missing,
    object_array,
    read_cells,
    row_name,
)
from skhyperfusion._wording import listing, show

# Stray text among numbers: from this many distinct numbers on it looks like an oversight.
_MANY_NUMBERS = 20


class TableSchema:
    """What each column of a table was at the fit: who reads a table later asks it, and decides nothing.

    Parameters
    ----------
    kinds : dict of str to str
        Of each column, in the table's order: "numbers"; "text"; "empty", without a value; "image"; "group",
        the subject's id; "dropped", images that nobody asked for.
    """

    def __init__(self, kinds):
        self.kinds = dict(kinds)

    @classmethod
    def learn(cls, frame, roles=None):
        """Settle what the columns of a table are, and read it.

        Numbers are: numeric and boolean columns (True is 1), and columns of objects or text whose every cell
        is one, or is a gap. ``"<80"`` and ``">1300"`` count as their number. A column of the dtype
        ``category`` is text always: so numbers can be declared to be mere codes.

        Parameters
        ----------
        frame : DataFrame of shape (n_samples, n_columns)
            Of any dtypes. It is not changed.
        roles : ColumnRoles, default=None
            Which columns hold images, or the subject's id; None: none does.

        Returns
        -------
        schema : TableSchema
        table : DataFrame of shape (n_samples, n_tabular)
            The tabular columns, as `read` gives them.

        Examples
        --------
        >>> raw = pd.DataFrame({"tau": ["<80", 120, None], "sex": ["F", None, "M"]})
        >>> schema, table = TableSchema.learn(raw)
        >>> schema.kinds
        {'tau': 'numbers', 'sex': 'text'}
        >>> table
             tau  sex
        0   80.0    F
        1  120.0  NaN
        2    NaN    M
        """
        kinds = dict.fromkeys(frame.columns, "tabular") | _parts(roles)
        columns = {}
        for name, kind in kinds.items():
            if kind == "tabular":
                kinds[name], columns[name] = _learn_column(frame, name)
        return cls(kinds), _as_table(columns, frame.index)

    def columns(self, *kinds):
        """Names of the columns of some kinds, in the table's order."""
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def read(self, frame):
        """Read the columns of a table that are numbers, text or empty, and leave the others out.

        Parameters
        ----------
        frame : DataFrame of shape (n_samples, n_columns)
            Columns that the schema knows. It is not changed.

        Returns
        -------
        DataFrame
            Columns of float64, or of object (str or NaN), which share no memory with ``frame``. An empty
            column is NaN, whatever its cells hold now.

        Raises
        ------
        ValueError
            If a cell of a column of numbers holds none, or an infinite one; if a cell of text is an array.
        """
        readers = {"numbers": _read_numbers, "text": _read_text, "empty": _read_nothing}
        columns = {
            name: readers[self.kinds[name]](frame, name)
            for name in frame.columns
            if self.kinds[name] in readers
        }
        return _as_table(columns, frame.index)


def clean_tabular(frame):
    """Read every column as numbers or as text, whichever it holds; see `TableSchema.learn`."""
    return TableSchema.learn(frame)[1]


def _parts(roles):
    if roles is None:
        return {}
    parts = dict.fromkeys(roles.image, "image") | dict.fromkeys(roles.dropped, "dropped")
    return parts if roles.group is None else parts | {roles.group: "group"}


def _as_table(columns, index):
    # The dtype is given: pandas 3 would turn objects that are text into its own dtype.
    series = {n: pd.Series(values, index=index, dtype=values.dtype) for n, values in columns.items()}
    return pd.DataFrame(series, index=index)


def _learn_column(frame, name):
    """Settle what a column is, and read it: (kind, values)."""
    column = frame[name]
    if holds_numbers(column.dtype):
        values = _read_numbers(frame, name)
        return "empty" if np.isnan(values).all() else "numbers", values
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _text_or_empty(frame, name)
    cells = cells_of(column)
    read = read_cells(as_number, cells)
    no_numbers = [i for i, number in enumerate(read) if number is None]
    if no_numbers:
        _warn_of_stray_text(frame, name, cells, read, no_numbers)
        return _text_or_empty(frame, name)
    values = _finite(frame, name, np.array(read, dtype=np.float64), column)
    return "empty" if np.isnan(values).all() else "numbers", values


def _text_or_empty(frame, name):
    values = _read_text(frame, name)
    return "empty" if all(is_missing(value) for value in values) else "text", values


def _read_nothing(frame, name):
    return np.full(len(frame), np.nan)


def _read_numbers(frame, name):
    column = frame[name]
    if holds_numbers(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        return _finite(frame, name, values, column)
    cells = cells_of(column)
    read = read_cells(as_number, cells)
    no_numbers = [i for i, number in enumerate(read) if number is None]
    if no_numbers:
        raise ValueError(_no_number_message(frame, name, cells, no_numbers))
    return _finite(frame, name, np.array(read, dtype=np.float64), column)


def _read_text(frame, name):
    cells = cells_of(frame[name])
    for row, cell in enumerate(cells):
        if isinstance(cell, np.ndarray) and cell.ndim:
            raise ValueError(
                f"{cell_name(frame, row, name)} holds an array of shape {cell.shape}, and the column is "
                "none of the image columns. Give image_columns, or one column per number."
            )
    return object_array(read_cells(as_text, cells))


def _finite(frame, name, values, column):
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise ValueError(infinity_message(frame, infinite[0], name, column.iloc[infinite[0]]))
    return values


def _no_number_message(frame, name, cells, no_numbers):
    row = no_numbers[0]
    more = f" (and {len(no_numbers) - 1} more)" if len(no_numbers) > 1 else ""
    return (
        f"{cell_name(frame, row, name)}: {show(cells[row])} is not a number, but the column held numbers "
        f"when the model was fitted{more}. Give a number, or NaN where the value is missing."
    )


def _warn_of_stray_text(frame, name, cells, read, no_numbers):
    no_numbers = [i for i in no_numbers if isinstance(cells[i], str)]
    found = [number for number in read if number is not None and number == number]
    if no_numbers and len(found) >= 9 * len(no_numbers) and len(set(found)) > _MANY_NUMBERS:
        shown = listing([cells[i] for i in no_numbers], noun="cell")
        warnings.warn(
            f"Column {name!r} is read as categories: {len(found)} of its cells are numbers, but not {shown} "
            f"({row_name(frame, no_numbers[0])} first). Replace such cells by NaN to have numbers.",
            UserWarning,
            stacklevel=2,
        )
