"""What is a gap, a number, a category: `clean_tabular` and its parts."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pytest
from cohort_table import TEXT_DTYPE

from skhyperfusion._table import _schema
from skhyperfusion._table._cells import as_number, as_text, is_missing, object_array
from skhyperfusion._table._numbers import NumberReader
from skhyperfusion._table._schema import TableSchema, clean_tabular

NUMBERS = [1.0, np.nan, 3.0]


@pytest.mark.parametrize(
    "cell", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), decimal.Decimal("NaN")]
)
def test_is_missing_when_cell_is_a_gap_is_true(cell):
    assert is_missing(cell) is True


@pytest.mark.parametrize(
    "cell",
    [
        0,
        "",
        "nan",
        np.full((2, 2), np.nan),
        np.array(np.nan),
        datetime.date(2020, 1, 1),
        decimal.Decimal(1),
        [],
    ],
    ids=repr,
)
def test_is_missing_when_cell_is_no_gap_is_false(cell):
    assert is_missing(cell) is False


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("<80", 80),
        (">1300", 1300),
        ("≥ 5", 5),
        ("≤.5", 0.5),
        ("<=2", 2),
        (" -1.5e-3 ", -0.0015),
        ("+7.", 7),
        ("TRUE", None),
        ("False", None),
        (True, 1),
        (np.bool_(False), 0),
        (decimal.Decimal("1.5"), 1.5),
        (np.float32(2), 2),
        (np.array(4), 4),
        (b"12", 12),
        (10**400, np.inf),
        ("-inf", -np.inf),
    ],
)
def test_as_number_when_cell_is_a_number_reads_it(cell, number):
    assert as_number(cell) == pytest.approx(number)


@pytest.mark.parametrize(
    "cell", ["1,7", "1 2", "12a", "<", "1_000", "F", "٣", {}, [1], np.array([1.0]), "80-90"]
)
def test_as_number_when_cell_is_no_number_does_not_guess(cell):
    assert as_number(cell) is None


@pytest.mark.parametrize("cell", ["", "  ", "NaN", "n/a", "NA", "None", "<NA>", None])
def test_as_number_when_cell_is_a_gap_is_nan(cell):
    assert np.isnan(as_number(cell))


def test_as_text_when_numbers_differ_in_type_names_one_category():
    assert {as_text(cell) for cell in (1, 1.0, np.int8(1), "1 ", b"1", decimal.Decimal(1))} == {"1"}
    assert as_text(0.5) == "0.5"
    assert as_text(True) == as_text(np.True_) == "True"
    assert as_text("NA") == "NA"
    assert np.isnan(as_text("nan"))
    assert np.isnan(as_text("n/a"))
    assert type(as_text(np.str_("F"))) is str


@pytest.mark.parametrize(
    "column",
    [
        np.array(NUMBERS),
        np.array(NUMBERS, dtype=np.float32),
        pd.array([1, None, 3], dtype="Int64"),
        pd.array(NUMBERS, dtype="Float32"),
        pd.array([1, None, 3], dtype="int16[pyarrow]"),
        pd.array([1, None, 3], dtype="double[pyarrow]"),
        pd.array(["1", None, "3"], dtype="string[pyarrow]"),
        pd.array(["1", None, "3"], dtype=pd.StringDtype("python")),
        pd.array(["1", None, ">3"], dtype=TEXT_DTYPE),
        object_array([1, None, 3.0]),
        object_array(["1", "n/a", 3]),
        object_array([1, pd.NA, "<3"]),
        object_array([decimal.Decimal(1), np.nan, np.int8(3)]),
    ],
    ids=lambda column: f"{column.dtype}-{column[2]}",
)
def test_clean_tabular_when_cells_are_numbers_gives_float64(column):
    cleaned = clean_tabular(pd.DataFrame({"a": column}))
    assert cleaned["a"].dtype == np.float64
    np.testing.assert_array_equal(cleaned["a"], NUMBERS)


@pytest.mark.parametrize(
    "column",
    [
        np.array([True, False, True]),
        pd.array([True, None, True], dtype="boolean"),
        pd.array([True, None, True], dtype="bool[pyarrow]"),
        object_array([True, None, True]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_clean_tabular_when_cells_are_boolean_gives_zero_and_one(column):
    cleaned = clean_tabular(pd.DataFrame({"a": column}))["a"]
    assert cleaned.dtype == np.float64
    assert set(cleaned.dropna()) <= {0.0, 1.0}
    assert cleaned[2] == 1.0


@pytest.mark.parametrize(
    "column",
    [
        pd.array(["F", None, "M"], dtype=TEXT_DTYPE),
        pd.array(["F", None, "M"], dtype=pd.StringDtype("python")),
        pd.array(["F", None, "M"], dtype="string[pyarrow]"),
        pd.Categorical(["F", None, "M"]),
        object_array(["F ", pd.NA, "M"]),
        object_array(["F", "", np.str_("M")]),
        object_array([b"F", "nan", b"M"]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_clean_tabular_when_cells_are_text_gives_objects_of_str_and_nan(column):
    cleaned = clean_tabular(pd.DataFrame({"a": column}))["a"]
    assert cleaned.dtype == object
    assert cleaned[0] == "F"
    assert cleaned[2] == "M"
    assert type(cleaned[1]) is float


def test_clean_tabular_when_most_cells_are_text_gives_text_of_all():
    cleaned = clean_tabular(pd.DataFrame({"a": object_array([1, 2.0, "mid", "high", "low", None])}))["a"]
    assert cleaned.tolist()[:3] == ["1", "2", "mid"]


def test_clean_tabular_when_equal_keys_differ_in_type_reads_each_by_its_own():
    column = ["1", 1, True, 1.0, "1", np.str_("1"), "F"]  # but for the texts, one key of a dict
    found = TableSchema({"a": "text"}).read(pd.DataFrame({"a": pd.Series(column, dtype=object)}))
    assert list(found["a"]) == ["1", "1", "True", "1", "1", "1", "F"]


def test_schema_when_a_text_repeats_reads_it_once(monkeypatch):
    read = []
    plain = NumberReader.__call__
    monkeypatch.setattr(_schema, "as_text", lambda cell: read.append(cell) or as_text(cell))
    monkeypatch.setattr(NumberReader, "__call__", lambda self, text: read.append(text) or plain(self, text))
    table = pd.DataFrame({"a": ["<80", "160"] * 50})
    for kind in ("numbers", "text"):
        read.clear()
        TableSchema({"a": kind}).read(table)
        assert sorted(read) == ["160", "<80"]


def test_clean_tabular_when_codes_are_declared_a_category_reads_text():
    raw = pd.DataFrame({"job": pd.Categorical([1, 5, None, 1])})
    assert clean_tabular(raw)["job"].tolist()[:2] == ["1", "5"]


def test_schema_when_a_number_is_expected_names_row_column_and_value():
    later = pd.DataFrame({"age": ["70", "old", "older"]}, index=["p1", "p2", "p3"])
    with pytest.raises(ValueError, match=r"Row 'p2', column 'age': 'old' is not a number.*1 more.*NaN"):
        TableSchema({"age": "numbers"}).read(later)


def test_clean_tabular_when_text_reads_as_infinity_names_the_cell():
    with pytest.raises(ValueError, match=r"Row 1, column 'tau': input X contains infinity \('inf'\).*NaN"):
        clean_tabular(pd.DataFrame({"tau": ["1", "inf"]}))


def test_clean_tabular_when_cell_is_an_array_says_so():
    frame = pd.DataFrame({"t1w": object_array([np.zeros(3), np.zeros(3)])})
    with pytest.raises(
        ValueError, match=r"Row 0, column 't1w' holds an array of shape \(3,\).*image_columns"
    ):
        clean_tabular(frame)


def test_clean_tabular_shares_no_memory_and_is_writable():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    values.flags.writeable = False
    raw = pd.DataFrame(values, columns=["a", "b"], copy=False)
    cleaned = clean_tabular(raw)
    cleaned.iloc[0, 0] = -1.0
    cleaned["b"].to_numpy(copy=True)[:] = 0
    assert values[0, 0] == 1.0
    assert raw.iloc[0, 0] == 1.0


def test_clean_tabular_when_index_repeats_keeps_rows_apart():
    raw = pd.DataFrame({"age": [1, 2, 3], "sex": ["F", "M", "F"]}, index=["p", "p", "q"])
    cleaned = clean_tabular(raw)
    assert cleaned["age"].tolist() == [1.0, 2.0, 3.0]
    assert cleaned["sex"].tolist() == ["F", "M", "F"]
    assert cleaned.index.equals(raw.index)
