"""What a transformer of ours gives out: names that differ, and the kind of table that was asked for."""

from skhyperfusion._sklearn_private import asked_output
from skhyperfusion._table._cells import cells_of, holds_numbers, is_missing


def distinct(names, taken=()):
    """Tell repeated names apart by a number: category b_c of column a and category c of column a_b.

    Names in ``taken`` are others', and count as given out.

    Examples
    --------
    >>> distinct(["a_b_c", "a_b_c", "age"]), distinct(["age"], taken=["age"])
    (['a_b_c', 'a_b_c_2', 'age'], ['age_2'])
    """
    given_out = set(taken)  # thousands of voxels are looked up
    result = []
    for name in names:
        number, candidate = 1, name
        while candidate in given_out:
            number, candidate = number + 1, f"{name}_{number + 1}"
        given_out.add(candidate)
        result.append(candidate)
    return result


def as_asked(transformer, frame):
    """Return the DataFrame, or a polars one where `set_output` (or scikit-learn's setting) asks for it."""
    # scikit-learn's own conversion takes cells of polars that are arrays for lists.
    return _to_polars(frame) if asked_output(transformer) == "polars" else frame


def _to_polars(frame):
    import polars

    series = []
    for name, column in frame.items():
        if holds_numbers(column.dtype):
            series.append(polars.Series(name, column.to_numpy()))
            continue
        cells = [None if is_missing(cell) else cell for cell in cells_of(column)]
        is_text = all(cell is None or isinstance(cell, str) for cell in cells)
        series.append(polars.Series(name, cells, dtype=polars.String if is_text else polars.Object))
    return polars.DataFrame(series)
