"""Tables drawn by hypothesis: names, dtypes and gaps of every kind, and how many of them a test looks at."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st

from skhyperfusion import TabularPreprocessor
from skhyperfusion._table._cells import object_array

#: Cells that mean "no value", in a column of objects.
GAPS = [None, np.nan, pd.NA, pd.NaT]
#: Dtypes that hold the same cells, by what the cells are; those that cannot hold a gap are marked.
DTYPES = {
    "reals": ["float64", "float32", "object", "Float64", "double[pyarrow]"],
    "whole": ["int64 without gaps", "int16 without gaps", "float64", "object", "Int64", "int32[pyarrow]"],
    "flags": ["bool without gaps", "object", "boolean", "bool[pyarrow]"],
    "words": ["object", "category", "string", "str", "string[pyarrow]"],
    "codes": ["category"],
    "empty": ["object", "float64", "Int64", "boolean", "string", "category", "double[pyarrow]"],
}
_CELLS = {
    "reals": st.floats(-1e6, 1e6, width=32),
    "whole": st.integers(-300, 300),
    "flags": st.booleans(),
    "words": st.sampled_from(["F", "M", "left", "a_b", "b", "\u00e4", "e\u0301", "site 1"]),
    "codes": st.integers(0, 5),
    "empty": st.nothing(),
}
#: Names that are apt to be taken for others: made-up names, prefixes, categories behind a name.
NAMES = st.one_of(
    st.sampled_from(
        ["", " ", "a", "A", "a ", "a_b", "a_F", "b", "\u00e4", "a\u0308", "x0", "x1", "0", "1", "nan", "None"]
        + ["missingindicator_a", "numeric__a", "category__a", "flag__a", "a__b", "%s", "{}", "\n"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)
#: Names that a preprocessor itself gives out, or nearly.
COLLIDING = st.sampled_from(
    [
        "a",
        "a_b",
        "a_F",
        "a_0",
        "missingindicator_a",
        "numeric__a",
        "category__a_b",
        "flag__missingindicator_a",
    ]
)
#: Names that no estimator of scikit-learn takes for names.
OTHER_NAMES = st.one_of(
    st.integers(), st.booleans(), st.none(), st.floats(), st.tuples(NAMES, st.integers(0, 3))
)


def few(n_examples):
    """Settings of a check: the same examples each time, kept nowhere."""
    return settings(
        max_examples=n_examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


def drawn(n_examples, n_slow):
    """Give a test the number of its examples: some in the default run, many among the slow tests."""
    return pytest.mark.parametrize("n_examples", [n_examples, pytest.param(n_slow, marks=pytest.mark.slow)])


def fitted(table, **parameters):
    """A preprocessor, silent about what is odd; a table without a usable column is none of the examples."""
    try:
        return TabularPreprocessor(on_odd="ignore", **parameters).fit(table)
    except ValueError as error:
        assume("holds no usable column" not in str(error))
        raise


def as_column(cells, dtype):
    """A column of a dtype; None among the cells is its gap, any other gap stays in objects."""
    dtype = dtype.partition(" ")[0]
    if dtype == "object":
        return pd.Series(object_array(cells), dtype=object)
    missing = np.nan if dtype in ("float64", "float32") else None
    return pd.Series([missing if cell is None else cell for cell in cells], dtype=dtype)


@st.composite
def cell_lists(draw, family, n_rows, gaps=True, any_text=False):
    """Cells of one family, with None for gaps where there may be any; words may be any text."""
    if family == "empty":
        return [None] * n_rows
    cells = _CELLS[family]
    if family == "words" and any_text:
        cells |= st.text(max_size=4)
    return draw(st.lists(st.none() | cells if gaps else cells, min_size=n_rows, max_size=n_rows))


@st.composite
def columns(draw, n_rows, families=tuple(DTYPES)):
    """One column: cells of a family in one of its dtypes, in objects with gaps of all kinds."""
    family = draw(st.sampled_from(families))
    dtype = draw(st.sampled_from(DTYPES[family]))
    cells = draw(cell_lists(family, n_rows, gaps="without" not in dtype, any_text=True))
    if dtype == "object":
        cells = [draw(st.sampled_from(GAPS)) if cell is None else cell for cell in cells]
    return as_column(cells, dtype)


@st.composite
def tables(draw, names=NAMES, n_rows=(2, 12), n_columns=(1, 5), families=tuple(DTYPES), pictures=False):
    """A table of drawn columns under drawn names that differ; with pictures, its first columns hold some."""
    n = draw(st.integers(*n_rows))
    labels = draw(st.lists(names, min_size=n_columns[0], max_size=n_columns[1], unique_by=_identity))
    parts = [draw(columns(n, families)) for _ in labels]
    rng = np.random.default_rng(n)
    for i in range(draw(st.integers(1, max(1, len(parts) - 1)))) if pictures else ():
        parts[i] = pd.Series(object_array(list(rng.normal(size=(n, 8, 8)).astype(np.float32))), dtype=object)
    table = pd.concat(parts, axis=1)
    as_text = all(isinstance(label, str) for label in labels) and draw(st.booleans())
    table.columns = pd.Index(object_array(labels), dtype="str" if as_text else object, tupleize_cols=False)
    return table


def _identity(name):
    return "nan" if isinstance(name, float) and name != name else (name, isinstance(name, str))
