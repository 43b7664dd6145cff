"""Bad inputs: X as a whole, its columns, and what is said of them."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from bad_case import TRAINING, both, column, params, rows_of, table
from scipy import sparse

from skhyperfusion import ImageLoader

bad = rows_of("X")
LENGTHS = "inconsistent numbers of samples"
ARRAY_LIKE = "must be an array-like"  # scikit-learn's own words


def cells(value, dtype=None):
    """Return a function that makes a column: gaps, and one value in the row that is spoilt."""
    return lambda n: pd.Series([*[None] * (n - 2), value, None], dtype=dtype).array


def objects(X):
    return X.to_numpy(dtype=object)


WHOLE = [
    bad("None", table(lambda X: None), "Got a NoneType", folds=ARRAY_LIKE),
    bad("path of a table", table(lambda X: "participants.csv"), "must be a table", "Got a str",
        folds=ARRAY_LIKE),
    bad("dict", table(lambda X: X.to_dict("list")), "Got a dict instead", "pass pandas.DataFrame(X)",
        folds=LENGTHS),
    bad("list of dicts", table(lambda X: X.to_dict("records")), "list of dicts", "pass pandas.DataFrame(X)"),
    bad("list of paths", table(lambda X: X["scan"].tolist()), "Expected 2D array", "Reshape your data"),
    bad("array of paths", table(lambda X: objects(X)[:, 0]), "Expected 2D array", "1D array of shape",
        "Reshape your data"),
    bad("number", table(lambda X: 3.0), "Expected 2D array", "scalar", "3.0",
        folds=ARRAY_LIKE),
    bad("Series", table(lambda X: X["age"]), "2-dimensional container", "to_frame"),
    bad("polars Series", table(lambda X: pl.Series("age", X["tau"].to_numpy())), "2-dimensional container",
        "to_frame"),
    bad("pyarrow array", table(lambda X: pa.array(X["tau"].to_numpy())), "2-dimensional container",
        "to_frame"),
    bad("stack of images", table(lambda X: np.ones((len(X), 6, 6))), "dim 3, while dim <= 2",
        "pandas.DataFrame({'image': list(images)})"),
    bad("list of images", table(lambda X: [np.ones((6, 6))] * len(X)), "dim 3, while dim <= 2",
        "pandas.DataFrame({'image': list(images)})"),
    bad("rows of lists", table(lambda X: [[[1, 2]]] * len(X)), "dim 3"),
    bad("rows of several lengths", table(lambda X: [*[[1, 2]] * (len(X) - 1), [1]]), "row 0 has 2 cells",
        "has 1", ways=("fit", "predict")),
    bad("row that is a number", table(lambda X: [*[[1, 2]] * (len(X) - 1), 3]), "differ in length",
        "row 11 is 3", ways=("fit", "predict")),
    bad("empty list", table(lambda X: []), "0 sample(s)", folds=LENGTHS),
    bad("table without rows", table(lambda X: X.iloc[:0]), "0 sample(s)", folds=LENGTHS),
    bad("table without columns", table(lambda X: X[[]]), "0 feature(s)"),
    bad("array without rows", table(lambda X: np.empty((0, 4))), "0 sample(s)", folds=LENGTHS),
    bad("one row", table(lambda X: X.iloc[:1]), LENGTHS, "[1, 12]", ways=TRAINING),
    bad("one row more than y", table(lambda X: pd.concat([X, X.tail(1)])), LENGTHS, "[13, 12]",
        ways=TRAINING),
    bad("sparse array", table(lambda X: sparse.csr_array(np.eye(len(X)))), "Sparse data", "toarray",
        error=TypeError),
    bad("complex array", table(lambda X: np.ones((len(X), 4)) * 1j), "Complex data not supported",
        "column"),
    bad("structured array", table(lambda X: np.zeros((len(X), 1), dtype=[("age", float)])),
        "pass pandas.DataFrame(X)"),
    bad("array of dates", table(lambda X: np.full((len(X), 4), "2020-01-01", dtype="M8[D]")),
        "dates or times", "numbers"),
    bad("array with infinity", table(lambda X: np.where(np.arange(len(X) * 4) == 41, np.inf, 1.0)
        .reshape(-1, 4)), "Row 10, column", "infinity", ways=("fit", "predict")),
    bad("array of objects with infinity", table(lambda X: objects(X.assign(tau=np.inf))),
        "Row 0, column", "infinity"),
    bad("array of fewer columns", table(lambda X: objects(X)[:, :3]), "has 3 features",
        "expecting 4 features", ways=("predict",)),
    bad("generator", table(lambda X: (row for row in objects(X))), "must be a table", "generator",
        folds=ARRAY_LIKE),
    bad("function", table(lambda X: len), "must be a table", "function len",
        folds=ARRAY_LIKE),
    bad("set", table(lambda X: {1, 2}), "must be a table", "Got a set",
        folds="Input should have at least 1 dimension", error_in_folds=TypeError),
]  # fmt: skip

bad = rows_of("columns")
PIXELS = {f"pixel{i}": float(i) for i in range(4)}
LOADER = ImageLoader(shape=(2, 2))

COLUMNS = [
    bad("one name twice", table(lambda X: X.set_axis(["scan", "age", "age", "sex"], axis=1)),
        "some occur more than once", "'age'", "Rename"),
    bad("names of UTF-16", table(lambda X: X.rename(columns={"age": "age\0"})), "NUL", "'age\\x00'",
        "encoding='utf-16'"),
    bad("names of text and numbers", table(lambda X: X.set_axis(["scan", "age", 3, "sex"], axis=1)),
        "Feature names are only supported if all input features have string names", error=TypeError),
    bad("lacks a column", table(lambda X: X.drop(columns="sex")), "yet now missing", "X lacks column 'sex'",
        ways=("predict",)),
    bad("misspelt column", table(lambda X: X.rename(columns={"age": "Age"})), "unseen at fit time", "- Age",
        "did you mean 'Age'?", ways=("predict",)),
    bad("further column", table(lambda X: X.assign(csf=1.0)), "unseen at fit time", "- csf", "Drop",
        ways=("predict",)),
    bad("no image", table(lambda X: X.drop(columns="scan")), "no image column", "'sex'", ".nii.gz",
        "fusion='tabular'", ways=("fit",)),
    bad("no image, all numbers, images asked for", both(table(lambda X: X[["age", "tau"]]),
        params(image_columns="scan")), "image_columns names 'scan'", "not a column", "'age', 'tau'",
        ways=("fit",)),
    bad("images and nothing else", table(lambda X: X[["scan"]]), "fusion='hyper' needs tabular columns",
        "fusion='image'", ways=("fit",)),
    bad("table of empty columns", table(lambda X: X.assign(age=np.nan, tau=np.nan, sex=None)),
        "no usable column", "'age'", ways=TRAINING, folds=("needs tabular columns", "fusion='image'")),
    bad("dates", column("age", lambda n: pd.date_range("2020", periods=n)), "Column 'age'", "dates or times",
        "Turn them into numbers"),
    bad("dates of a zone", column("age", lambda n: pd.date_range("2020", periods=n, tz="UTC")),
        "Column 'age'", "dates or times"),
    bad("spans of time", column("age", lambda n: pd.to_timedelta(range(n), unit="D")), "Column 'age'",
        "dates or times"),
    bad("periods", column("age", lambda n: pd.period_range("2020", periods=n, freq="M")), "Column 'age'",
        "dates or times"),
    bad("dates of pyarrow", column("age", lambda n: pd.array(pd.date_range("2020", periods=n),
        dtype="timestamp[ns][pyarrow]")), "Column 'age'", "dates or times"),
    bad("complex numbers", column("age", lambda n: np.ones(n) * 1j), "Complex data not supported", "'age'"),
    *[
        bad(f"infinity as {dtype}", column("age", cells(np.inf, dtype)), "Row 'p10', column 'age'",
            "infinity")
        for dtype in ("float64", "float32", "float16", "Float64", "double[pyarrow]", "object", "category")
    ],
    bad("image column misspelt", params(image_columns="scam"), "image_columns names 'scam'",
        "did you mean 'scan'?", ways=("fit",)),
    bad("image column at a position beyond", params(image_columns=9), "position 9 is out of range",
        "4 columns", ways=("fit",)),
    bad("image column twice", params(image_columns=["scan", 0]), "gives column 'scan' more than once",
        ways=("fit",)),
    bad("image column of words", both(table(lambda X: X.assign(site="Ulm")),
        params(image_columns="site")), "Row 'p00', column 'site'", "'Ulm'", ways=("fit",)),
    bad("image column of one number", params(image_columns="age"), "'age'", "'scan'", "set_output",
        ways=("fit",)),
    bad("image column empty", both(table(lambda X: X.assign(flair=None)), params(image_columns="flair")),
        "'flair'", "holds no image", "missing", ways=("fit",)),
    bad("numbers and images as one image", params(image_columns=["scan", "age"]), "image_columns mixes",
        "'age'", "'scan'", ways=("fit",)),
    bad("pixels without a shape", both(table(lambda X: X.drop(columns="scan").assign(**PIXELS)),
        params(image_columns=list(PIXELS))), "4 pixel columns need the shape", "ImageLoader(shape=(H, W))",
        ways=("fit",)),
    bad("pixels of another number", both(table(lambda X: X.drop(columns="scan").assign(**PIXELS)),
        params(image_columns=[*PIXELS][:3], image_loader=LOADER)), "makes 4 pixels", "3 pixel columns",
        ways=("fit",)),
    bad("pixel that is text", both(table(lambda X: X.drop(columns="scan").assign(**PIXELS)),
        column("pixel2", lambda n: [*[1.0] * (n - 2), "x", 1.0]),
        params(image_columns=list(PIXELS), image_loader=LOADER)), "Row 'p10', column 'pixel2'",
        "must be a number", "'x'", ways=("fit",)),
    bad("pixel that is missing", both(table(lambda X: X.drop(columns="scan").assign(**PIXELS)),
        column("pixel2", lambda n: [*[1.0] * (n - 2), None, 1.0]),
        params(image_columns=list(PIXELS), image_loader=LOADER)), "Row 'p10', column 'pixel2'", "finite",
        "Impute it", ways=("fit",)),
    bad("name on an array", both(table(objects), params(image_columns="scan", group_column="sex")),
        "group_column names 'sex'", "has no column names", "set_output", ways=("fit",)),
    bad("name that fits two columns", both(table(lambda X: X.assign(a__scan=X["scan"], b__scan=X["scan"])
        .drop(columns="scan")), params(image_columns="scan")), "the name 'scan' fits 2 columns",
        "'a__scan', 'b__scan'", "Give the whole name", ways=("fit",)),
    bad("group column that is none", params(group_column="subjet"), "group_column names 'subjet'",
        "not a column", ways=("fit",)),
    bad("group column of images", params(group_column="scan", image_columns="scan"), "Column 'scan'",
        "both as image_columns and as group_column", ways=("fit",)),
    bad("group column beside other groups", lambda study: (study.params.update(group_column="sex"),
        study.fit_params.update(groups=np.arange(12))), "group_column='sex'", "groups=", "one of them",
        ways=("fit",)),
]  # fmt: skip

TABLES = [*WHOLE, *COLUMNS]
