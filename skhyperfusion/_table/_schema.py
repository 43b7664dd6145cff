"""What each column of a table was at the fit, and the reading of every later table by it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skhyperfusion._table._cells import (
    as_text,
    cell_name,
    cells_of,
    holds_numbers,
    infinity_message,
    object_array,
    read_cells,
)
from skhyperfusion._table._missing import are_dates, find_codes, missing_of
from skhyperfusion._table._notation import Notation
from skhyperfusion._table._numbers import NumberReader, learn_numbers
from skhyperfusion._table._odd import OddTeller
from skhyperfusion._wording import LARGEST, listing, show


class TableSchema:
    """What each column of a table was at the fit: who reads a table later asks it, and decides nothing.

    Parameters
    ----------
    kinds : dict of str to str
        Of each column, in the table's order: "numbers"; "text"; "empty", without a value; "image"; "group",
        the subject's id; "dropped", images that nobody asked for.
    missing_values : sequence or dict of str to sequence, default=()
        What means "no value" besides what always does; a dict: of single columns.

    Attributes
    ----------
    kinds : dict of str to str
    """

    def __init__(self, kinds, missing_values=()):
        self.kinds = dict(kinds)
        self._missing_values = missing_values
        self._readers = {}  # of columns of numbers that held objects or text at the fit
        self._codes = {}  # numbers that turned out to mean "no value"

    @classmethod
    def learn(cls, frame, roles=None, *, missing_values=(), teller=None):
        """Settle what the columns of a table are, and read it.

        Numbers are: numeric and boolean columns (True is 1), and columns of objects or text most of whose
        cells are numbers, in whatever notation the column is written; see `NumberReader`. A column of the
        dtype ``category`` is text always: so numbers can be declared to be mere codes.

        Parameters
        ----------
        frame : DataFrame of shape (n_samples, n_columns)
            Of any dtypes. It is not changed.
        roles : ColumnRoles, default=None
            Which columns hold images, or the subject's id; None: none does.
        missing_values : sequence or dict of str to sequence, default=()
            See above.
        teller : OddTeller, default=None
            Tells what is odd; None: by warnings.

        Returns
        -------
        schema : TableSchema
        table : DataFrame of shape (n_samples, n_tabular)
            The tabular columns, as `read` gives them.

        Raises
        ------
        ValueError
            If a number is infinite, a cell of text is an array, or a column holds dates.

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
        teller = OddTeller() if teller is None else teller
        schema = cls(dict.fromkeys(frame.columns, "tabular") | _parts(roles), missing_values)
        for name in schema.columns("tabular"):
            schema.kinds[name] = schema._learn_kind(frame, name, teller)
        table = schema.read(frame, teller)
        for name, is_empty in table.isna().all().items():
            if is_empty:
                schema.kinds[name] = "empty"
        numbers = schema.columns("numbers")
        table[numbers] = schema._learn_codes(table[numbers], teller)
        return schema, table

    def columns(self, *kinds):
        """Names of the columns of some kinds, in the table's order."""
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def read(self, frame, teller=None):
        """Read the columns of a table that are numbers, text or empty, and leave the others out.

        Parameters
        ----------
        frame : DataFrame of shape (n_samples, n_columns)
            Columns that the schema knows. It is not changed.
        teller : OddTeller, default=None
            With "cells" ignored, what is no number counts as missing, and is else an error.

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
        names = [name for name in frame.columns if self.kinds[name] in ("numbers", "text", "empty")]
        texts = [name for name in names if self.kinds[name] == "text"]
        numbers = [name for name in names if self.kinds[name] != "text"]
        table = pd.DataFrame(self._read_numbers(frame, numbers, teller), columns=numbers, index=frame.index)
        if not texts:
            return table
        # The dtype is given: pandas 3 would turn objects that are text into its own dtype.
        columns = {n: pd.Series(self._read_text(frame, n), index=frame.index, dtype=object) for n in texts}
        words = pd.DataFrame(columns, index=frame.index)
        if not numbers:  # pandas 2 warns of joining a table without columns
            return words
        table = pd.concat([table, words], axis=1)
        return table if list(table.columns) == names else table[names]

    # ---- What is learned

    def _learn_kind(self, frame, name, teller):
        column = frame[name]
        if holds_numbers(column.dtype):
            return "numbers"
        if isinstance(column.dtype, pd.CategoricalDtype):
            return "text"
        missing = missing_of(self._missing_values, name)
        reader = learn_numbers(frame, name, cells_of(column), missing, teller)
        if reader is None:
            return "text"
        self._readers[name] = reader
        return "numbers"

    def _learn_codes(self, table, teller):
        """Find numbers that mean "no value", and return the table without them."""
        table = table.copy(deep=False)  # pandas 2 warns of columns set in what was cut from a table
        for name, column in table.items():
            values = column.to_numpy()
            certain, doubtful = find_codes(values)
            for code in certain:
                teller.tell("codes", _code_message(table, name, code, values == code))
            if certain:
                self._codes[name] = np.array(certain)
                table[name] = np.where(np.isin(values, certain), np.nan, values)
            for code in doubtful:
                teller.tell("codes", _doubt_message(table, name, code, values == code))
            if are_dates(values):
                teller.tell("dates", _date_message(table, name))
        return table

    # ---- What is read

    def _read_numbers(self, frame, names, teller):
        """Return a float64 matrix of the columns that are numbers or empty."""
        matrix = np.full((len(frame), len(names)), np.nan)
        dtypes = dict(zip(frame.columns, frame.dtypes, strict=True))
        filled = [(place, name) for place, name in enumerate(names) if self.kinds[name] == "numbers"]
        plain = [
            (place, name)
            for place, name in filled
            if isinstance(dtypes[name], np.dtype) and dtypes[name].kind in "biuf" and self._takes_bare(name)
        ]
        if plain:  # all at once: a row may have thousands of them
            matrix[:, [place for place, _ in plain]] = frame[[name for _, name in plain]].to_numpy(np.float64)
        for place, name in sorted(set(filled) - set(plain)):
            matrix[:, place] = self._read_column(frame, name, teller)
        infinite = np.argwhere(np.isinf(matrix))
        if infinite.size:
            row, place = infinite[0]
            cell = frame[names[place]].iloc[row]
            raise ValueError(infinity_message(frame, row, names[place], cell))
        self._clear_missing(matrix, names)
        large = np.argwhere(np.abs(matrix) > LARGEST)
        if large.size:
            row, place = large[0]
            raise ValueError(
                f"{cell_name(frame, row, names[place])}: {matrix[row, place]:g} is beyond {LARGEST:g}, as "
                "nothing that is measured. Correct it, or give NaN where the value is missing."
            )
        return matrix

    def _read_column(self, frame, name, teller):
        column = frame[name]
        if holds_numbers(column.dtype) and self._takes_bare(name):
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        cells = cells_of(column)
        reader = self._readers.get(name) or NumberReader(Notation(), missing_of(self._missing_values, name))
        read = read_cells(reader, cells)
        no_numbers = [row for row, number in enumerate(read) if number is None]
        if no_numbers and (teller is None or teller.answer("cells") != "ignore"):
            raise ValueError(_no_number_message(frame, name, cells, no_numbers))
        return np.array([np.nan if number is None else number for number in read], dtype=np.float64)

    def _takes_bare(self, name):
        """Tell whether a number without a unit is in that of the column."""
        return name not in self._readers or self._readers[name].notation.bare

    def _clear_missing(self, matrix, names):
        """Make gaps of the numbers that stand for "no value", in place."""
        if isinstance(self._missing_values, Mapping):
            stated = {name: missing_of(self._missing_values, name).numbers for name in self._missing_values}
        else:
            stated = {}
            everywhere = missing_of(self._missing_values, None).numbers
            if everywhere.size:
                matrix[np.isin(matrix, everywhere)] = np.nan
        for found in (stated, self._codes):
            for name in found.keys() & set(names) if found else ():
                place = names.index(name)
                matrix[np.isin(matrix[:, place], found[name]), place] = np.nan

    def _read_text(self, frame, name):
        cells = cells_of(frame[name])
        for row, cell in enumerate(cells):
            if isinstance(cell, np.ndarray) and cell.ndim:
                raise ValueError(
                    f"{cell_name(frame, row, name)} holds an array of shape {cell.shape}, and the column is "
                    "none of the image columns. Give image_columns, or one column per number."
                )
        texts = read_cells(as_text, cells)
        missing = missing_of(self._missing_values, name)
        return object_array([np.nan if type(t) is str and missing.has_text(t) else t for t in texts])


def clean_tabular(frame):
    """Read every column as numbers or as text, whichever it holds; see `TableSchema.learn`."""
    return TableSchema.learn(frame, teller=OddTeller("ignore"))[1]


def _parts(roles):
    if roles is None:
        return {}
    parts = dict.fromkeys(roles.image, "image") | dict.fromkeys(roles.dropped, "dropped")
    return parts if roles.group is None else parts | {roles.group: "group"}


def _no_number_message(frame, name, cells, no_numbers):
    row = no_numbers[0]
    more = f" (and {len(no_numbers) - 1} more)" if len(no_numbers) > 1 else ""
    return (
        f"{cell_name(frame, row, name)}: {show(cells[row])} is not a number, but the column held numbers "
        f"when the model was fitted{more}. Give a number, or NaN where the value is missing."
    )


def _code_message(table, name, code, rows):
    return (
        f"{cell_name(table, np.flatnonzero(rows)[0], name)}: {code:g} counts as missing "
        f"({listing(table.index[rows])}), since no other number of the column is negative and all are far "
        f"from it. Pass missing_values={{{name!r}: [{code:g}]}} of TabularPreprocessor to say so."
    )


def _doubt_message(table, name, code, rows):
    return (
        f"{cell_name(table, np.flatnonzero(rows)[0], name)}: {code:g} is far above all other numbers of the "
        f"column ({listing(table.index[rows])}). If it means that there is no value, pass "
        f"missing_values={{{name!r}: [{code:g}]}} of TabularPreprocessor."
    )


def _date_message(table, name):
    values = table[name].dropna()
    return (
        f"Column {name!r} is read as numbers, but all of them are dates such as {values.iloc[0]:.0f} (row "
        f"{show(values.index[0])}). Turn them into years since a date, or drop the column."
    )
