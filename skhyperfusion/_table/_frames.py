"""Any table as a pandas DataFrame, and the refusal of what no column may hold."""

import datetime
import numbers
import warnings
from collections.abc import Collection, Mapping
from decimal import Decimal

import numpy as np
import pandas as pd
from scipy import sparse

from skhyperfusion._table._cells import (
    cell_name,
    cells_of,
    infinity_message,
    is_missing,
    object_array,
    row_name,
)
from skhyperfusion._wording import show

_TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64, pd.Period)


def as_frame(X):
    """Return X as a DataFrame of its own, which shares no column labels with the caller's.

    Parameters
    ----------
    X : DataFrame, 2-D array or list of rows
        pandas, polars, or any frame with ``to_pandas``; an array, numeric or object; rows of cells.

    Returns
    -------
    DataFrame of shape (n_samples, n_features)
        The column labels are those of X, or 0, 1, ... where it has none.
    """
    if isinstance(X, pd.DataFrame):
        frame = X.copy(deep=False)
    elif sparse.issparse(X):
        raise TypeError(
            "Sparse data was passed for X, but dense data is required. "
            "Use '.toarray()' to convert to a dense numpy array."
        )
    elif X is None or isinstance(X, str | bytes | Mapping | set):
        raise ValueError(
            f"X must be a table: a DataFrame, a 2-D array or a list of rows. Got a {type(X).__name__} instead"
            + ("; pass pandas.DataFrame(X)." if isinstance(X, Mapping) else ".")
        )
    elif _looks_like_series(X):
        raise ValueError(_series_message(X))
    elif type(X).__module__.partition(".")[0] == "polars":
        frame = pd.DataFrame({name: _from_polars(X.get_column(name)) for name in X.columns})
    elif callable(getattr(X, "to_pandas", None)):
        frame = X.to_pandas()
        if not isinstance(frame, pd.DataFrame):
            raise ValueError(_series_message(X))
    elif hasattr(X, "__dataframe__") and not hasattr(X, "__array__"):
        frame = _from_interchange(X)
    elif isinstance(X, list | tuple):
        frame = _from_rows(X)
    else:
        frame = _from_array(np.asarray(X) if not isinstance(X, np.ma.MaskedArray) else X)
    return _densify(frame)


def _looks_like_series(X):
    is_frame = hasattr(X, "columns") or hasattr(X, "column_names")
    return isinstance(X, pd.Series) or (hasattr(X, "to_frame") and hasattr(X, "name") and not is_frame)


def _from_polars(series):
    # polars' own conversion needs pyarrow, which a polars user need not have.
    kind = str(series.dtype).partition("(")[0]
    if series.dtype.is_numeric() and kind != "Decimal":
        return series.to_numpy()
    if kind == "Boolean":
        return pd.array(series.to_list(), dtype="boolean")
    if kind in ("Categorical", "Enum"):
        return pd.Categorical(series.to_list())
    if series.dtype.is_temporal():
        return series.to_numpy()
    return pd.Series(object_array(series.to_list()), dtype=object)


def _from_interchange(X):
    with warnings.catch_warnings():
        # pandas means to drop the protocol; a frame that offers nothing newer can still be read.
        warnings.simplefilter("ignore", DeprecationWarning)
        return pd.api.interchange.from_dataframe(X)


def _from_rows(rows):
    if not len(rows):
        raise ValueError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required: X has no row."
        )
    if isinstance(rows[0], Mapping):
        raise ValueError("X is a list of dicts; pass pandas.DataFrame(X).")
    if not _is_row(rows[0]):
        raise ValueError(_one_dimensional(f"a list that starts with {show(rows[0])}"))
    lengths = [len(row) if _is_row(row) else -1 for row in rows]
    odd = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    if odd is not None:
        raise ValueError(
            f"The rows of X differ in length: row 0 has {lengths[0]} cells, row {odd} "
            + (f"has {lengths[odd]}." if lengths[odd] >= 0 else f"is {show(rows[odd])}.")
        )
    if getattr(rows[0], "ndim", 1) > 1 or any(isinstance(cell, list | tuple) for cell in rows[0]):
        raise ValueError(_too_many_dimensions(1 + getattr(rows[0], "ndim", 2)))
    rows = [row if isinstance(row, list | tuple) else list(np.asarray(row)) for row in rows]
    return _without_empty_times(pd.DataFrame(rows))


def _is_row(row):
    if isinstance(row, str | bytes | Mapping):
        return False
    return isinstance(row, list | tuple) or getattr(row, "ndim", 0) >= 1


def _from_array(array):
    if array.ndim == 0:
        raise ValueError(
            f"Expected 2D array, got scalar array instead: {show(array.item())}. Reshape your data: "
            "X must be a table of rows and columns."
        )
    if array.ndim == 1:
        raise ValueError(_one_dimensional(f"1D array of shape {array.shape}"))
    if array.ndim > 2:
        raise ValueError(_too_many_dimensions(array.ndim))
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "V":
        raise ValueError(f"X has the dtype {array.dtype}; pass pandas.DataFrame(X).")
    frame = pd.DataFrame(array, copy=True)
    return _without_empty_times(frame) if array.dtype.kind == "O" else frame


def _without_empty_times(frame):
    """Make gaps of what pandas takes for times where cells are None and NaT alone, which tell nothing."""
    for position, dtype in enumerate(frame.dtypes):
        if getattr(dtype, "kind", "O") in "mM" and frame.iloc[:, position].isna().all():
            frame.isetitem(position, object_array([None] * len(frame)))
    return frame


def _series_message(X):
    return (
        f"Expected a 2-dimensional container but got {type(X)} instead. Reshape your data: "
        "pass X.to_frame() if it is one column, or a DataFrame of one row if it is one sample."
    )


def _one_dimensional(found):
    return (
        f"Expected 2D array, got {found} instead. Reshape your data: array.reshape(-1, 1) if it is "
        "one column, array.reshape(1, -1) if it is one row, or pass a DataFrame."
    )


def _too_many_dimensions(ndim):
    return (
        f"Found array with dim {ndim}, while dim <= 2 is required: X is a table, one row per sample. "
        "Put images into the cells of a column, as in pandas.DataFrame({'image': list(images)})."
    )


def _densify(frame):
    is_sparse = [isinstance(dtype, pd.SparseDtype) for dtype in frame.dtypes]
    for position in np.flatnonzero(is_sparse):
        frame.isetitem(position, np.asarray(frame.iloc[:, position]))
    return frame


def refuse_strange_cells(frame):
    """Raise an error for complex numbers, times, infinities and collections, naming row and column."""
    floats = []
    for position, (name, dtype) in enumerate(frame.dtypes.items()):
        kind = getattr(dtype, "kind", "O")
        if kind == "c":
            raise ValueError(f"Complex data not supported: column {name!r} has the dtype {dtype}.")
        if kind in "mM" or isinstance(dtype, pd.PeriodDtype):
            raise ValueError(time_message(name, f"the dtype {dtype}"))
        if kind == "f":
            floats.append(position)
        elif isinstance(dtype, pd.CategoricalDtype):
            _refuse_strange_categories(frame, position)
        elif kind == "O" and not isinstance(dtype, pd.StringDtype):
            _refuse_strange_objects(frame, position)
    values = frame.iloc[:, floats]
    if not all(isinstance(dtype, np.dtype) for dtype in values.dtypes):
        values = values.astype(np.float64)
    infinite = np.isinf(values.to_numpy())
    if infinite.any():
        row, column = (int(i) for i in np.argwhere(infinite)[0])
        raise ValueError(infinity_message(frame, row, values.columns[column], values.iat[row, column]))


def _refuse_strange_objects(frame, position):
    name = frame.columns[position]
    for row, cell in enumerate(cells_of(frame.iloc[:, position])):
        if not (isinstance(cell, str) or is_missing(cell)):
            _refuse_strange(frame, row, name, cell)


def _refuse_strange_categories(frame, position):
    column = frame.iloc[:, position]
    for code, category in enumerate(column.cat.categories):
        if not isinstance(category, str):
            rows = np.flatnonzero(column.cat.codes == code)
            if rows.size:
                _refuse_strange(frame, rows[0], frame.columns[position], category)


def _refuse_strange(frame, row, name, cell):
    where = cell_name(frame, row, name)
    if isinstance(cell, _TIMES):
        raise ValueError(time_message(name, f"{show(cell)} in {row_name(frame, row)}"))
    if isinstance(cell, numbers.Complex) and not isinstance(cell, numbers.Real):
        raise ValueError(f"Complex data not supported: {where} holds {show(cell)}.")
    if isinstance(cell, float | np.floating | Decimal) and abs(cell) == np.inf:
        raise ValueError(infinity_message(frame, row, name, cell))
    if isinstance(cell, Collection) and not isinstance(cell, bytes | np.ndarray):
        raise ValueError(
            f"{where} holds a {type(cell).__name__} ({show(cell)}), which is no value of a table. Give one "
            "number or text to a cell: one column for each of several values."
        )


def time_message(name, found):
    return (
        f"Column {name!r} holds dates or times ({found}). Turn them into numbers, such as years since birth "
        "or days since the first visit, or drop the column."
    )
