"""Bad inputs: targets of the three estimators, weights of rows, and groups."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
from bad_case import BAD_PLACE, TRAINING, both, fit_params, params, rows_of, target, values
from scipy import sparse

from skhyperfusion import HyperFusionSurvival

LENGTHS = "inconsistent numbers of samples"
bad = rows_of("y", TRAINING)


def gap(y, value=None):
    """Put a value into the row that is spoilt."""
    y = y.astype(object)
    y.iloc[BAD_PLACE] = value
    return y


LABELS = [
    bad("None", target(lambda y: None), "requires y to be passed", "y is None", ways=("fit",)),
    bad("one row short", target(lambda y: y[:-1]), LENGTHS, "[12, 11]"),
    bad("one row more", target(lambda y: [*y, "AD"]), LENGTHS, "[12, 13]"),
    bad("empty", target(lambda y: []), LENGTHS, "[12, 0]"),
    bad("a single label", target(lambda y: "AD"), "y", ways=("fit",)),
    bad("a single number", target(lambda y: 3), "y", ways=("fit",)),
    bad("gap", target(gap), "target is missing in 1 row: 'p10'", "Drop", ways=("fit",)),
    bad("NaN among labels", target(lambda y: gap(y, np.nan)), "target is missing in 1 row: 'p10'",
        ways=("fit",)),
    bad("NA among labels", target(lambda y: gap(y, pd.NA)), "target is missing in 1 row: 'p10'",
        ways=("fit",)),
    bad("null of polars", target(lambda y: pl.Series(gap(y).to_list())), "target is missing in 1 row: 'p10'",
        ways=("fit",)),
    bad("one class", target(lambda y: ["CN"] * len(y)), "at least two classes", "'CN' in all",
        ways=TRAINING),
    bad("continuous labels", target(lambda y: np.linspace(0.1, 5.3, len(y))), "continuous"),
    bad("labels of two columns", target(lambda y: np.column_stack([y == "AD"] * 2).astype(int)), "y"),
    bad("labels of three axes", target(lambda y: np.ones((len(y), 2, 2))), "y"),
    bad("words and numbers as labels", target(lambda y: gap(y, 3)), "y", "'p10'", ways=("fit",)),
    bad("list among labels", target(lambda y: gap(y, ["AD", "CN"])), "y", "'p10'", ways=("fit",)),
    bad("dict of labels", target(lambda y: y.to_dict()), "y", ways=("fit",)),
    bad("set of labels", target(lambda y: set(y)), "y", ways=("fit",)),
    bad("sparse labels", target(lambda y: sparse.csr_array((y == "AD").to_numpy()[:, None])), "y",
        ways=("fit",), error=(TypeError, ValueError)),
    bad("infinite label", target(lambda y: np.where(y == "AD", np.inf, 1.0)), "infinity", ways=("fit",)),
    bad("complex labels", target(lambda y: (y == "AD").to_numpy() * 1j), "omplex", ways=("fit",)),
]  # fmt: skip

NUMBERS = [
    bad("gap among values", values(gap), "target is missing in 1 row: 'p10'", "Drop", ways=("fit",)),
    bad("infinite value", values(lambda y: gap(y, np.inf)), "infinity", "'p10'", ways=TRAINING),
    bad("word among values", values(lambda y: gap(y, "<1.0")), "holds text in 1 row: 'p10'", "'<1.0'"),
    bad("words for values", values(lambda y: ["low"] * len(y)), "y holds words, such as 'low'",
        "HyperFusionClassifier"),
    bad("dates for values", values(lambda y: pd.date_range("2020", periods=len(y))), "y", "date"),
    bad("date among values", values(lambda y: gap(y, datetime.date(2020, 1, 1))), "y", "'p10'", "date"),
    bad("spans of time for values", values(lambda y: pd.to_timedelta(range(len(y)), unit="D")), "y",
        "time"),
    bad("complex values", values(lambda y: y.to_numpy() * 1j), "omplex"),
    bad("complex value", values(lambda y: gap(y, 1j)), "omplex", "'p10'"),
    bad("list among values", values(lambda y: gap(y, [1.0, 2.0])), "y", "'p10'"),
    bad("rows of values of several lengths", values(lambda y: [*[[1.0, 2.0]] * (len(y) - 1), [1.0]]), "y",
        ways=("fit",)),
    bad("values of three axes", values(lambda y: np.ones((len(y), 2, 2))), "y must be of shape",
        "2, 2) instead"),
    bad("no column of values", values(lambda y: np.ones((len(y), 0))), "y", "0"),
    bad("dict of values", values(lambda y: y.to_dict()), "y", ways=("fit",)),
    bad("a single value", values(lambda y: 3.0), "y", ways=("fit",)),
    bad("values one row short", values(lambda y: y[:-1]), LENGTHS, "[12, 11]"),
    bad("value beyond any float", values(lambda y: gap(y, 10**400)), "y", "'p10'"),
]  # fmt: skip


def survival(change):
    """Make it a survival, and exchange events and times for what a function makes of them."""

    def spoil(study):
        study.estimator = HyperFusionSurvival
        event = np.arange(len(study.X)) % 2 == 0
        times = study.values.abs() + 1
        study.y = change(pd.DataFrame({"event": event, "time": times}, index=study.X.index))

    return spoil


def put(column, value):
    """Put a value into events or times."""

    def change(y):
        y = y.astype({column: object})
        y.loc["p10", column] = value
        return y

    return survival(change)


SURVIVAL = [
    bad("survival of one column", survival(lambda y: y["time"]), "y", "event", "time"),
    bad("survival of three columns", survival(lambda y: y.assign(weight=1)), "y", "event", "time",
        "3) instead"),
    bad("survival of columns exchanged", survival(lambda y: y[["time", "event"]].astype(float)), "event"),
    bad("survival without events", survival(lambda y: y.assign(event=False)), "all", "censored"),
    bad("event that is a word", put("event", "yes"), "event of row 'p10'", "'yes'", "True"),
    bad("event that is a gap", put("event", None), "'p10'"),
    bad("time that is negative", put("time", -3.0), "time of row 'p10' is -3.0", "positive"),
    bad("time of zero", put("time", 0.0), "time of row 'p10' is 0.0", "positive"),
    bad("time that is a gap", put("time", np.nan), "'p10'"),
    bad("time that is infinite", put("time", np.inf), "time of row 'p10' is inf", "finite"),
    bad("time that is a word", put("time", "long"), "'p10'", "'long'"),
    bad("time that is a date", put("time", pd.Timestamp("2020-01-01")), "'p10'", "2020"),
    bad("survival one row short", survival(lambda y: y[:-1]), LENGTHS, "[12, 11]"),
    bad("survival of None", survival(lambda y: None), "y", ways=("fit",)),
]  # fmt: skip

bad = rows_of("weights", TRAINING)


def one_weight(value):
    """Give every row a weight of one, and the row that is spoilt another."""
    return fit_params(sample_weight=lambda n: [*[1.0] * BAD_PLACE, value, *[1.0] * (n - BAD_PLACE - 1)])


WEIGHTS = [
    bad("negative", one_weight(-1.0), "sample_weight", "'p10'", "-1"),
    bad("NaN", one_weight(np.nan), "sample_weight", "'p10'"),
    bad("infinite", one_weight(np.inf), "sample_weight", "'p10'"),
    bad("gap", one_weight(None), "sample_weight", "'p10'"),
    bad("word", one_weight("heavy"), "sample_weight", "'p10'", "'heavy'"),
    bad("complex", one_weight(1j), "sample_weight", "'p10'"),
    bad("one short", fit_params(sample_weight=lambda n: np.ones(n - 1)), "sample_weight", "11"),
    bad("of two columns", fit_params(sample_weight=lambda n: np.ones((n, 2))),
        "Sample weights must be 1D array"),
    bad("all zero", fit_params(sample_weight=np.zeros), "at least one non-zero number", "in all"),
    bad("zero for all", fit_params(sample_weight=0.0), "at least one non-zero number", "in all"),
    bad("one row alone", fit_params(sample_weight=lambda n: np.eye(n)[BAD_PLACE]),
        "at least 2 rows of positive weight"),
    bad("a single word", fit_params(sample_weight="heavy"), "sample_weight", "'heavy'"),
    bad("dict", fit_params(sample_weight=lambda n: dict.fromkeys(range(n), 1.0)), "sample_weight",
        ways=("fit",)),
]  # fmt: skip

bad = rows_of("groups", TRAINING)
GROUPS = [
    bad("one short", fit_params(groups=lambda n: np.arange(n - 1)), "X and groups", LENGTHS, "11]"),
    bad("of two columns", fit_params(groups=lambda n: np.ones((n, 2))), "groups must hold one name",
        "of shape"),
    bad("list among them", fit_params(groups=lambda n: [*["a"] * BAD_PLACE, ["a", "b"], "b"]),
        "group of row 'p10'", "['a', 'b']"),
    bad("a single name", fit_params(groups="a"), "groups must hold one name for each row"),
    bad("all one, with early stopping", both(fit_params(groups=np.zeros), params(early_stopping=True)),
        "all rows belong to one", "early_stopping=False"),
]  # fmt: skip

TARGETS = [*LABELS, *NUMBERS, *SURVIVAL, *WEIGHTS, *GROUPS]
