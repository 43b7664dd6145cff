"""Columns as hospitals export them: what is a number, a gap, a category; what is told of, what is refused."""

import warnings

import numpy as np
import pandas as pd
import pytest

from skhyperfusion._table._odd import OddTeller
from skhyperfusion._table._preprocessor import TabularPreprocessor
from skhyperfusion._table._schema import TableSchema

GAP = np.nan
PLAIN = ["48", "60.5", "72", "84"]
VALUES = [48.0, 60.5, 72.0, 84.0]

READ = {
    "decimal comma": (["70,5", "71,25", "70"], [70.5, 71.25, 70]),
    "decimal comma, three digits": (["70,5", "1,234", "0,5"], [70.5, 1.234, 0.5]),
    "decimal comma below one": (["0,123", "1,234"], [0.123, 1.234]),
    "thousands by comma, a point": (["1,234.5", "987", "2,000"], [1234.5, 987, 2000]),
    "thousands by comma, twice": (["1,234,567", "2,000"], [1234567, 2000]),
    "thousands by comma, whole numbers beside": (["987", "1,024", "512"], [987, 1024, 512]),
    "thousands by point, a comma": (["1.234,5", "2.000", "3,1"], [1234.5, 2000, 3.1]),
    "thousands by point, twice": (["1.234.567", "2.000"], [1234567, 2000]),
    "point alone": (["1.234", "2.000"], [1.234, 2.0]),
    "thousands by space": (["1 234", "12 345,5", "987"], [1234, 12345.5, 987]),
    "thousands by hard space": (["1\u00a0234", "12\u202f345"], [1234, 12345]),
    "thousands by apostrophe": (["1'234.5", "2\u2019000"], [1234.5, 2000]),
    "minus signs": (["\u22125", "\u20136,5", "-7"], [-5, -6.5, -7]),
    "exponents": (["1e3", "1,5E3", "2.5e-1"], [1000, 1500, 0.25]),
    "percent": (["45 %", "12%", "7,5 %"], [45, 12, 7.5]),
    "unit": (["70 kg", "81kg", "75"], [70, 81, 75]),
    "unit, any letters": (["5 MG/DL", "6 mg/dL"], [5, 6]),
    "units of one kind": (["70 kg", "71 kg", "72000 g"], [70, 71, 72]),
    "DICOM ages": (["070Y", "071Y", "006M", "026W"], [70, 71, 0.5, 26 * 7 / 365.25]),
    "ISO durations": (["P70Y", "P71Y", "P6M"], [70, 71, 0.5]),
    "years in words": (["70 years", "71 yrs", "72 y"], [70, 71, 72]),
    "top code": (["48", "60", "89+"], [48, 60, 89]),
    "top code in words": (["48", "60", "89 or older"], [48, 60, 89]),
    "top code of years": (["48 years", "60 years", "90 years and over"], [48, 60, 90]),
    "limits of detection": (["<0.3", "> 5", "\u2265 7", "0.5"], [0.3, 5, 7, 0.5]),
    "limits in words": (["less than 5", "12", "over 89"], [5, 12, 89]),
    "about": (["~5", "ca. 6", "approx. 7"], [5, 6, 7]),
    "currency": (["$5", "\u20ac 6", "7"], [5, 6, 7]),
    "laboratory flags": (["5.2 H", "4.9", "3.0 L", "5 *"], [5.2, 4.9, 3.0, 5]),
    "byte order mark": (["\ufeff5", "6"], [5, 6]),
    "bytes": ([b"5,5", "6,5"], [5.5, 6.5]),
    "wide digits": (["\uff11\uff12", "\uff15\uff0e\uff15", "7\uff05"], [12, 5.5, 7]),
    "digits of other scripts": (["\u0663", "\u06f4\u06f2", "\u0967"], [3, 42, 1]),
    "quoted": (['"5"', "'6,5'", '" 7 "'], [5, 6.5, 7]),
    "a spreadsheet's apostrophe": (["'5", "6", "'7"], [5, 6, 7]),
    "numbers and text": ([1, 2.5, "3,5"], [1, 2.5, 3.5]),
}
NO_VALUE = [
    "", " ", ".", "..", "?", "-", "--", "\u2014", "n.d.", "ND", "n/a", "N.A.", "NA", "NaN", "<NA>", "None",
    "null", "unknown", "UNK", "missing", "not done", "Not Available", "not applicable", "not  recorded",
    "no data", "no result", "k.A.", "unbekannt", ".A", "._", "#N/A", "#DIV/0!", "#VALUE!", "#NUM!", "#REF!",
    "#NAME?", "#NULL!", "-1.#IND", "refused", "pending",
]  # fmt: skip
NO_NUMBER = [
    "high", "neg", "<LOD", "trace", "80-90", "see note", "1/2", "5 apples", "+", "2020-01-31", "1,2,3", "nil",
]  # fmt: skip
CATEGORIES = {
    "words": ["F", "M", "F"],
    "dipstick": ["neg", "1+", "2+", "neg", "trace", "3+"],
    "stages": ["1a", "2b", "3c"],
    "ranges": ["60-69", "70-79", "80-89"],
    "field strength": ["1.5T", "3T", "3T"],
    "words with 'unknown'": ["F", "unknown", "M"],
    "truth in words": ["True", "False", "True"],
    "titres": ["1:40", "1:80", "1:160"],
}
DATES = {
    "ISO": "2020-01-{:02d}",
    "ISO with time": "2020-01-{:02d}T08:30:00Z",
    "German": "{:02d}.01.2020",
    "German, two digits": "{:02d}.01.20",
    "American": "1/{:d}/2020",
    "SAS": "{:02d}JAN2020",
    "words": "January {:d}, 2020",
    "year first, slashes": "2020/01/{:02d}",
    "month": "2020-{:02d}",
    "times": "08:{:02d}",
    "times with seconds": "08:30:{:02d}",
}


def read(cells, **params):
    schema, table = TableSchema.learn(pd.DataFrame({"lab": pd.Series(cells, dtype=object)}), **params)
    return schema, table["lab"].tolist()


@pytest.mark.parametrize("name", READ)
def test_numbers_in_any_notation_are_read_without_a_word(name):
    cells, expected = READ[name]
    schema, found = read(cells)
    assert schema.kinds == {"lab": "numbers"}
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("word", NO_VALUE)
@pytest.mark.parametrize("times", [1, 3])
def test_word_for_no_value_is_a_gap_among_numbers_at_any_share(word, times):
    schema, found = read(PLAIN + [word] * times)
    assert schema.kinds == {"lab": "numbers"}
    np.testing.assert_array_equal(found, VALUES + [GAP] * times)
    later = schema.read(pd.DataFrame({"lab": [word, "5"]}))
    np.testing.assert_array_equal(later["lab"], [GAP, 5])


@pytest.mark.parametrize("word", NO_NUMBER)
def test_other_word_among_numbers_is_missing_and_told_of(word):
    with pytest.warns(
        UserWarning, match=r"^Row 4, column 'lab': not a number.*missing_values.*'category'"
    ) as told:
        schema, found = read([*PLAIN, word])
    assert len(told) == 1
    np.testing.assert_array_equal(found, [*VALUES, GAP])
    np.testing.assert_array_equal(schema.read(pd.DataFrame({"lab": [word]}))["lab"], [GAP])
    with pytest.raises(ValueError, match="Row 0, column 'lab': 'strange' is not a number"):
        schema.read(pd.DataFrame({"lab": ["strange"]}))
    ignored = schema.read(pd.DataFrame({"lab": ["strange"]}), OddTeller({"cells": "ignore"}))
    assert ignored["lab"].isna().all()


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_stay_categories_without_a_word(name):
    schema, found = read(CATEGORIES[name])
    assert schema.kinds == {"lab": "text"}
    assert found == CATEGORIES[name]


@pytest.mark.parametrize("name", DATES)
def test_dates_as_text_are_refused_as_dates_are(name):
    cells = [DATES[name].format(i % 12 + 1) for i in range(12)]
    with pytest.raises(ValueError, match=r"Column 'lab' holds dates or times .* in row 0.*numbers"):
        read([*cells, None, "unknown"])


def test_comma_that_cannot_be_told_is_guessed_alike_for_a_whole_column_and_told_of():
    with pytest.warns(UserWarning, match="Row 0, column 'lab': '1,100' is read as 1100, since no cell"):
        schema, found = read(["1,100", "2,101", "40,139"])
    assert found == [1100, 2101, 40139]
    assert schema.read(pd.DataFrame({"lab": ["1,500"]}))["lab"].tolist() == [1500]


def test_comma_that_cannot_be_told_beside_others_is_missing_and_told_of():
    with pytest.warns(UserWarning, match="Row 2, column 'lab': not a number"):
        _, found = read(["5", "1500", "1,234", "7"])
    np.testing.assert_array_equal(found, [5, 1500, GAP, 7])


@pytest.mark.parametrize(
    "cells",
    [["70 kg", "71 kg", "5 cm"], ["45 %", "50 %", "0.5"], ["5 mg/dl", "6 mg/dl", "7 u"]],
    ids=["kind", "percent", "unit"],
)
def test_unit_that_does_not_fit_is_missing_and_told_of(cells):
    with pytest.warns(UserWarning, match="Row 2, column 'lab'"):
        _, found = read(cells)
    assert np.flatnonzero(np.isnan(found)).tolist() == [2]


@pytest.mark.parametrize("share", [0.5, np.float32(0.5), 1])
def test_share_beside_percentages_is_missing_and_told_of_as_in_text(share):
    cells = ["45 %", "50 %", "60 %", "70 %", 0.25, share]
    with pytest.warns(UserWarning, match="Row 4, column 'lab': not a number, .*2 such cells.*'0.25'"):
        schema, found = read(cells)
    np.testing.assert_array_equal(found, [45, 50, 60, 70, GAP, GAP])
    for dtype in (object, "float64", "Float64"):
        later = pd.DataFrame({"lab": pd.Series([0.25, None], dtype=dtype)})
        assert schema.read(later)["lab"].isna().all()
        with pytest.raises(ValueError, match=r"0\.75 is not a number"):
            schema.read(later.fillna(0.75))
    schema, found = read(["45 %", 50, "60 %", 70.5])
    np.testing.assert_array_equal(found, [45, 50, 60, 70.5])


def test_number_in_another_unit_than_that_of_the_fit_is_no_silent_number():
    schema, _ = read(["0.45", "0.5", "0.7"])
    with pytest.raises(ValueError, match="'45 %' is not a number"):
        schema.read(pd.DataFrame({"lab": ["45 %"]}))


def test_notation_of_the_fit_holds_for_later_tables():
    schema, _ = read(["70,5", "1.234,5"])
    assert schema.read(pd.DataFrame({"lab": ["1.234", "0,5"]}))["lab"].tolist() == [1234, 0.5]
    assert schema.read(pd.DataFrame({"lab": [70.5, 3]}))["lab"].tolist() == [70.5, 3]


@pytest.mark.parametrize(
    "cells",
    [
        ["5'11\"", "6'0\"", "5'9\"", "5'7\"", "6'1\"", "5'8\"", "5'9\""],
        [f"{i} years {12 - i} months" for i in range(8)],
        [f"{i} +/- 1" for i in range(6)],
    ],
    ids=["feet", "two units", "spread"],
)
def test_texts_that_begin_with_numbers_are_told_of_where_most_differ(cells):
    X = pd.DataFrame({"height": cells}, index=[f"p{i}" for i in range(len(cells))])
    with pytest.warns(UserWarning, match=r"Row 'p0', column 'height': .* begins with a number but"):
        TabularPreprocessor().fit(X)


@pytest.mark.parametrize(
    "cells", [["1a", "2b", "3c", "1b", "2a", "4"] * 4, ["1:40", "1:80", "1:160"] * 3, ["T1", "T2", "T3"] * 3]
)
def test_codes_that_come_again_are_categories_without_a_word(cells):
    assert TabularPreprocessor().fit(pd.DataFrame({"code": cells})).categorical_columns_ == ["code"]


def test_many_numbers_among_more_words_are_numbers_and_few_are_told_of():
    with pytest.warns(UserWarning, match="30 numbers; 40 such cells"):
        schema, _ = read([str(i) for i in range(30)] + ["low", "high"] * 20)
    assert schema.kinds["lab"] == "numbers"
    with pytest.warns(UserWarning, match="'lab' is read as categories: 6 of its cells are numbers"):
        schema, _ = read([str(i) for i in range(6)] + ["low", "high"] * 5)
    assert schema.kinds["lab"] == "text"


def test_pairs_of_numbers_are_told_of():
    with pytest.warns(UserWarning, match="'100/60' is two numbers.*Split it"):
        read([f"{100 + i}/{60 + i}" for i in range(30)])


@pytest.mark.parametrize("code", [-9, -99.0, -999, -9999, -88, "-999", "-999,0"])
@pytest.mark.parametrize("times", [1, 4])
def test_negative_code_for_no_value_is_missing_and_told_of(code, times):
    ages = [70, 81, 65, 77, 68, 72]
    with pytest.warns(UserWarning, match=r"Row 6, column 'lab': -\d+ counts as missing.*missing_values"):
        schema, found = read(ages + [code] * times)
    np.testing.assert_array_equal(found, ages + [GAP] * times)
    assert schema.read(pd.DataFrame({"lab": [float(str(code).replace(",", "."))]}))["lab"].isna().all()


@pytest.mark.parametrize("code", [999, 9999, 99.9, 888])
def test_high_code_for_no_value_is_kept_and_told_of(code):
    cells = [36.5, 37, 36.8, 38, 37.2, code]
    with pytest.warns(UserWarning, match=rf"Row 5, column 'lab': {code:g} is far above all.*missing_values"):
        _, found = read(cells)
    assert found == cells


@pytest.mark.parametrize(
    "cells", [[20, 35, 50, 77, 88, 99], [-999, 5, 3], [-5, -99, 1, 2, 3, 4], [0, 1, 2, 3, 4, 9]]
)
def test_number_that_may_be_one_is_no_code(cells):
    assert read(cells)[1] == cells


@pytest.mark.parametrize(
    ("missing_values", "gaps"),
    [
        (["Not sent", 99], [1, 3]),
        ({"lab": ["not sent", "99"]}, [1, 3]),
        ({"lab": [99]}, [3]),
        ({"other": [5]}, []),
    ],
)
def test_missing_values_are_gaps_in_columns_of_numbers(missing_values, gaps):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema, found = read(["5", "not sent", "7", "99", "8"], missing_values=missing_values)
    assert [i for i in np.flatnonzero(np.isnan(found)) if i != 1 or 1 in gaps] == gaps
    later = schema.read(pd.DataFrame({"lab": [99.0]}))["lab"]
    assert later.isna().all() == (3 in gaps)


@pytest.mark.parametrize("dtype", ["float32", "Float32", object])
def test_missing_values_are_gaps_where_a_column_holds_them_in_single_precision(dtype):
    column = pd.Series(np.array([70.1, 99.9, 60.3], dtype=np.float32), dtype=dtype)
    found = TableSchema.learn(pd.DataFrame({"lab": column}), missing_values=[99.9])[1]["lab"]
    assert found.isna().tolist() == [False, True, False]


def test_code_far_above_all_others_is_told_of_in_single_precision():
    values = np.array([*range(20, 30), 99.9], dtype=np.float32)
    with pytest.warns(UserWarning, match=r"99\.9 is far above .* missing_values=\{'lab': \[99\.9\]\}"):
        TableSchema.learn(pd.DataFrame({"lab": values}))


def test_missing_values_are_gaps_in_columns_of_text():
    _, found = read(["F", "M", "Refuse", "9"], missing_values=["refuse", 9])
    assert found[:2] == ["F", "M"]
    assert all(isinstance(cell, float) for cell in found[2:])


def test_numbers_that_are_dates_are_told_of():
    with pytest.warns(
        UserWarning, match="'lab' is read as numbers, but all of them are dates such as 20200101"
    ):
        read([20200101 + i for i in range(10)])


# ---- What the preprocessor tells of


def tell(action, kind, message):
    """Check that an action tells of a kind, and that `on_odd` silences it and makes it an error."""
    with pytest.warns(UserWarning, match=message):
        action("warn")
    with pytest.raises(ValueError, match=message):
        action({kind: "raise"})
    for silent in ("ignore", {kind: "ignore"}):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            action(silent)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.normal(70, 8, 40).round(),
            "sex": rng.choice(["F", "M"], 40),
            "dose": rng.normal(size=40),
        },
        index=[f"p{i}" for i in range(40)],
    )


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (
            "unseen",
            {"sex": "female"},
            "Row 'p2', column 'sex': 'female' is no category of the fit, which had 2",
        ),
        ("range", {"age": 900}, "Row 'p2', column 'age': 900 is far outside the range of the fit"),
        ("rows", {"age": None, "sex": None, "dose": None}, "No value in any of 3 columns .* 1 row: 'p2'"),
    ],
)
def test_later_table_that_is_unlike_the_fit_is_told_of(table, kind, changes, message):
    later = table.astype(object)
    later.loc["p2", list(changes)] = pd.Series(changes, dtype=object)
    later = later.astype({"age": float, "dose": float})
    tell(lambda on_odd: TabularPreprocessor(on_odd=on_odd).fit(table).transform(later), kind, message)


def test_unseen_word_for_no_value_is_no_category_to_be_told_of(table):
    out = (
        TabularPreprocessor().set_output(transform="pandas").fit(table).transform(table.assign(sex="Unknown"))
    )
    assert not out[["sex_F", "sex_M"]].to_numpy().any()


def test_row_without_values_is_ordinary_where_the_fit_had_one(table):
    gap = table[["age"]].assign(age=[np.nan, *table["age"][1:]], dose=[np.nan, *table["dose"][1:]])
    assert len(TabularPreprocessor().fit(gap).transform(gap.iloc[[0]])) == 1


def test_ids_and_odd_cells_and_codes_are_told_of(table):
    ids = table.assign(subject=[f"s{i}" for i in range(40)])
    message = "Column 'subject' has another value in each of 40 rows .*'s0', row 'p0'.*group_column"
    tell(lambda on_odd: TabularPreprocessor(on_odd=on_odd).fit(ids), "ids", message)
    odd = table.assign(age=["high", *table["age"][1:]])
    tell(lambda on_odd: TabularPreprocessor(on_odd=on_odd).fit(odd), "cells", "column 'age': not a number")
    code = table.assign(age=[-999, *table["age"][1:]])
    tell(lambda on_odd: TabularPreprocessor(on_odd=on_odd).fit(code), "codes", "column 'age': -999 counts")


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("id", range(40)),
        ("subject", [1000.0 + 7 * i % 40 for i in range(40)]),
        ("Subject-No", [*range(37), None, None, None]),
        ("PatientID", [i * i * 977 for i in range(40)]),
        ("record_id", [i * i * 977 for i in range(40)]),
        ("Case No.", [i * i * 977 for i in range(40)]),
        ("id2", [i * i * 977 for i in range(40)]),
        ("mrn", [10**7 + i**3 for i in range(40)]),
    ],
)
def test_ids_of_whole_numbers_are_told_of(table, name, numbers):
    table[name] = pd.Series(list(numbers), index=table.index, dtype=float)
    message = f"Column '{name}' has another value in each of .* rows .*group_column"
    tell(lambda on_odd: TabularPreprocessor(on_odd=on_odd).fit(table), "ids", message)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("volume", [1_200_000 + 977 * i for i in range(40)]),
        ("patient_volume", [1_200_000 + 977 * i for i in range(40)]),
        ("number of cells", [1_200_000 + 977 * i for i in range(40)]),
        ("liquid", [1_200_000 + 977 * i for i in range(40)]),
        ("age", range(40)),
        ("id", [i + 0.5 for i in range(40)]),
        ("id", [i // 2 for i in range(40)]),
        ("id", [*range(19), *[None] * 21]),
    ],
)
def test_numbers_that_may_be_measured_are_no_ids(table, name, numbers):
    table[name] = pd.Series(list(numbers), index=table.index, dtype=float)
    TabularPreprocessor().fit(table)  # a warning would be an error


def test_numeric_id_of_the_groups_is_told_of(table):
    groups = np.repeat(np.arange(20), 2)
    table["subject"], table["volume"] = 1000 + groups, 1_200_000 + 977 * groups

    def fit(on_odd):
        target = np.arange(40) % 2
        TabularPreprocessor(on_odd=on_odd).fit_rows(table, np.arange(40), target=target, groups=groups)

    tell(fit, "ids", "Column 'subject' has another value in each of 20 groups")


def test_unseen_category_is_expected_where_the_fit_had_one_of_a_single_row(table):
    rare = table.assign(sex=["X", *table["sex"][1:]])
    fitted = TabularPreprocessor().fit(rare)
    later = table.assign(sex=[*table["sex"][:-1], "Y"])
    fitted.transform(later)  # a warning would be an error
    for known in ("female", "f", "F."):
        with pytest.warns(UserWarning, match=f"'{known}' is no category of the fit"):
            fitted.transform(table.assign(sex=[*table["sex"][:-1], known]))


def test_folds_of_a_small_study_with_rare_categories_say_nothing(table):
    table["hand"] = ["L", "A", "S", *["R"] * 37]
    for fold in range(5):
        held_out = np.arange(40) % 5 == fold
        TabularPreprocessor().fit(table[~held_out]).transform(table[held_out])


LEAKS = {
    "the labels": ("label", np.arange(40) % 2, "determines the target"),
    "a code of the labels": ("code", np.arange(40) % 2, "determines the target"),
    "the values": ("value", np.arange(40) / 7, "is the target, or a multiple"),
    "one of two values": (
        "value",
        np.c_[np.arange(40) % 3, np.arange(40) / 7],
        "is the target, or a multiple",
    ),
    "a field of a record": (
        "value",
        np.array([(i % 2 == 0, i / 7) for i in range(40)], dtype=[("event", bool), ("time", float)]),
        "is the target, or a multiple",
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_column_that_gives_the_target_away_is_told_of(table, name):
    column, target, message = LEAKS[name]
    table["label"] = np.where(np.arange(40) % 2, "ill", "well")
    table["code"] = np.where(np.arange(40) % 2, 3, 7)
    table["value"] = 5 - 2 * np.arange(40) / 7
    table = table[["age", "sex", "dose", column]]
    tell(
        lambda on_odd: TabularPreprocessor(on_odd=on_odd).fit_rows(table, np.arange(40), target=target),
        "target",
        f"Column '{column}' {message}",
    )


def test_id_of_the_groups_is_told_of(table):
    groups = np.repeat(np.arange(20), 2)
    table["subject"] = [f"s{i}" for i in groups]

    def fit(on_odd):
        target = np.arange(40) % 2
        TabularPreprocessor(on_odd=on_odd).fit_rows(table, np.arange(40), target=target, groups=groups)

    tell(fit, "ids", "Column 'subject' has another value in each of 20 groups")


@pytest.mark.parametrize("on_odd", ["wran", {"sexes": "warn"}, {"range": "never"}, None])
def test_on_odd_when_wrong_is_explained(table, on_odd):
    with pytest.raises(ValueError, match=r"'on_odd' .* must be one of 'warn', 'ignore', 'raise' or a dict"):
        TabularPreprocessor(on_odd=on_odd).fit(table)


@pytest.mark.parametrize("missing_values", ["n.d.", [None], {"age": []}, {"age": 9}])
def test_missing_values_when_wrong_are_explained(table, missing_values):
    with pytest.raises(ValueError, match=r"'missing_values' .* must be a list"):
        TabularPreprocessor(missing_values=missing_values).fit(table)


@pytest.mark.parametrize("cell", [[1, 2], {"a": 1}, {1, 2}, (1, 2), frozenset([1]), pd.Series([1])], ids=repr)
def test_collection_in_a_cell_is_refused(cell):
    X = pd.DataFrame({"lab": pd.Series([1.0] * 8, dtype=object), "x": range(8)})
    X.at[4, "lab"] = cell
    with pytest.raises(
        ValueError, match=f"Row 4, column 'lab' holds a {type(cell).__name__} .* no value of a table"
    ):
        TabularPreprocessor().fit(X)


def test_dates_and_collections_as_categories_are_refused():
    days = pd.DataFrame({"day": pd.Categorical(pd.to_datetime(["2020-01-01", "2020-01-02"])), "x": [1, 2]})
    with pytest.raises(ValueError, match="Column 'day' holds dates or times"):
        TabularPreprocessor().fit(days)
    bands = pd.DataFrame({"band": pd.cut([1, 5, 9, 2], 2), "x": [1, 2, 3, 4]})
    assert TabularPreprocessor().fit(bands).categorical_columns_ == ["band"]
