"""Bad inputs: single cells, of ordinary values and of images."""

import datetime
import pathlib
from decimal import Decimal

import nibabel as nib
import numpy as np
import pandas as pd
from bad_case import cell, rows_of

WHERE = "Row 'p10', column 'age'"
bad = rows_of("cell")

VALUES = [
    bad("list", cell("age", [70, 71]), WHERE, "holds a list", "one column for each"),
    bad("tuple", cell("age", (70, 71)), WHERE, "holds a tuple", "one column for each"),
    bad("dict", cell("age", {"visit": 70}), WHERE, "holds a dict", "one column for each"),
    bad("set", cell("age", {70}), WHERE, "holds a set", "one column for each"),
    bad("Series", cell("age", pd.Series([70, 71])), WHERE, "holds a Series", "one column for each"),
    bad("DataFrame", cell("age", pd.DataFrame({"visit": [70]})), WHERE, "holds a DataFrame"),
    bad("vector", cell("age", np.array([70.0, 71.0])), WHERE, "array"),
    bad("picture in a column of numbers", cell("age", np.ones((6, 6))), WHERE, "array"),
    bad("vector in a column of words", cell("sex", np.array([70.0, 71.0])), "Row 'p10', column 'sex'",
        "(2,)", "one column"),
    bad("date", cell("age", datetime.date(1950, 5, 1)), "Column 'age'", "dates or times", "row 'p10'"),
    bad("time of day", cell("age", datetime.time(12)), "Column 'age'", "dates or times", "row 'p10'"),
    bad("span of time", cell("age", datetime.timedelta(days=3)), "Column 'age'", "dates or times",
        "row 'p10'"),
    bad("time stamp", cell("age", pd.Timestamp("1950-05-01")), "Column 'age'", "dates or times",
        "row 'p10'"),
    bad("NumPy date", cell("age", np.datetime64("1950-05-01")), "Column 'age'", "dates or times",
        "row 'p10'"),
    bad("complex number", cell("age", 70 + 1j), WHERE, "Complex data not supported", "(70+1j)"),
    bad("infinity", cell("age", -np.inf), WHERE, "infinity (-inf)", "NaN where the value is missing"),
    bad("infinite decimal", cell("age", Decimal("Infinity")), WHERE, "infinity"),
    bad("infinity as text", cell("age", "inf"), WHERE, "infinity"),
    bad("integer beyond any float", cell("age", 10**400), WHERE, "infinity"),
    bad("word among numbers", cell("age", "seventy"), WHERE, "'seventy' is not a number", "NaN where",
        ways=("predict",)),
    bad("object among numbers", cell("age", lambda study: object), WHERE, "is not a number",
        ways=("predict",)),
    bad("path among numbers", cell("age", "scan.nii.gz"), WHERE, "is not a number", ways=("predict",)),
]  # fmt: skip

SCAN = "Row 'p10', column 'scan'"
bad = rows_of("image cell")

IMAGES = [
    bad("number", cell("scan", 3.5), "'scan'", "'p10'", "3.5"),
    bad("list", cell("scan", [1, 2]), SCAN, "holds a list"),
    bad("vector", cell("scan", np.ones(6)), "'scan'", "'p10'"),
    bad("array of no axis", cell("scan", np.array(3.0)), "'scan'", "'p10'"),
    bad("array of five axes", cell("scan", np.ones((2, 2, 2, 2, 2))), SCAN, "(2, 2, 2, 2, 2)"),
    bad("array of objects", cell("scan", np.full((6, 6), None)), SCAN, "object"),
    bad("array of text", cell("scan", np.full((6, 6), "x")), SCAN, "<U1"),
    bad("complex array", cell("scan", np.ones((6, 6)) * 1j), SCAN, "complex128"),
    bad("array of dates", cell("scan", np.full((6, 6), "2020-01-01", "M8[D]")), SCAN, "datetime64"),
    bad("array without a pixel", cell("scan", np.ones((0, 6))), SCAN, "(0, 6)"),
    bad("NaN among pixels", cell("scan", np.where(np.eye(6) > 0, np.nan, 1.0)), SCAN, "NaN"),
    bad("infinite pixel", cell("scan", np.where(np.eye(6) > 0, np.inf, 1.0)), SCAN, "infinit"),
    bad("picture of another size", cell("scan", np.ones((6, 7))), SCAN, "(6, 7)", "(6, 6)"),
    bad("volume among pictures", cell("scan", np.ones((6, 6, 6))), SCAN, "(6, 6, 6)", "(6, 6)"),
    bad("nibabel image among pictures", cell("scan", nib.Nifti1Image(np.ones((6, 6, 6), np.float32),
        np.eye(4))), SCAN, "(6, 6, 6)", "(6, 6)"),
    bad("nibabel image without a voxel", cell("scan", nib.Nifti1Image(np.ones((0, 6, 6), np.float32),
        np.eye(4))), SCAN, "(0, 6, 6)"),
    bad("None", cell("scan", None), "No image in column 'scan'", "1 row: 'p10'", "missing='zeros'"),
    bad("NaN", cell("scan", np.nan), "No image in column 'scan'", "1 row: 'p10'", "missing='zeros'"),
    bad("NA", cell("scan", pd.NA), "No image in column 'scan'", "1 row: 'p10'", "missing='zeros'"),
    bad("path that leads nowhere", cell("scan", "nowhere/p10.nii.gz"), SCAN, "'nowhere/p10.nii.gz'",
        "does not exist", "root"),
    bad("pathlib path that leads nowhere", cell("scan", pathlib.Path("nowhere/p10.npy")), SCAN,
        "nowhere/p10.npy", "does not exist", "root"),
    bad("address on the web", cell("scan", "https://example.org/p10.npy"), SCAN,
        "https://example.org/p10.npy", "does not exist"),
    bad("path longer than paths are", cell("scan", "x" * 5000 + ".npy"), SCAN),
    bad("path with a null", cell("scan", "p10\0.npy"), SCAN),
    bad("path of an unknown suffix", cell("scan", "p10.xyz"), "'scan'", "'p10'", "'p10.xyz'"),
    bad("path without a suffix", cell("scan", "p10"), "'scan'", "'p10'"),
    bad("empty text", cell("scan", ""), "'scan'", "'p10'"),
    bad("folder", cell("scan", lambda study: str(study.folder)), "'scan'", "'p10'"),
]  # fmt: skip

CELLS = [*VALUES, *IMAGES]
