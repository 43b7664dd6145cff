"""Time `TabularPreprocessor` on wide tables against scikit-learn's own steps, and against its own medians.

    python benchmarks/wide_table.py

"one row": encoding a row of a fitted table (each tenth cell a gap) beside a pipeline of `SimpleImputer` with
its flags and `StandardScaler`, which tells of nothing. "fit": the default imputer beside imputer="median".
Both sides take turns; medians.
"""

import numpy as np
import pandas as pd
from _speed import parser, ratios, save, show, take_turns, threads
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyperfusion import TabularPreprocessor

N_ROWS = 24
QUIET = {"width": "ignore"}


def make_table(n_columns, seed):
    """Return a table of numbers with gaps."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(N_ROWS, n_columns))
    return pd.DataFrame(np.where(rng.random(values.shape) < 0.1, np.nan, values)).add_prefix("g")


def measure_row(n_columns, repeats, seed):
    """Time the encoding of one row."""
    table = make_table(n_columns, seed)
    ours = TabularPreprocessor(on_odd=QUIET).fit(table)
    plain = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()).fit(table)
    row = table.iloc[[3]]
    return _compare("one row", n_columns, lambda: ours.transform(row), lambda: plain.transform(row), repeats)


def measure_fit(n_columns, repeats, seed):
    """Time the fit, by the default imputer and by medians."""
    table = make_table(n_columns, seed)
    default, median = TabularPreprocessor(on_odd=QUIET), TabularPreprocessor(imputer="median")
    return _compare("fit", n_columns, lambda: default.fit(table), lambda: median.fit(table), repeats)


def _compare(case, n_columns, ours, other, repeats):
    medians = take_turns({"ours": ours, "other": other}, repeats)
    milliseconds = {f"{side}_ms": 1e3 * medians[side][0] for side in medians}
    return {"case": case, "columns": n_columns, **milliseconds, **ratios(medians["ours"], medians["other"])}


def main():
    """Time all cases, print the table and save it."""
    arguments = parser(__doc__.splitlines()[0]).parse_args()
    widths = (100, 300) if arguments.quick else (100, 600, 3000)
    with threads(arguments.threads):
        repeats = 2 if arguments.quick else arguments.repeats
        rows = [measure_row(width, repeats, arguments.seed) for width in widths]
        rows += [measure_fit(width, repeats, arguments.seed) for width in widths]
    show("Wide tables", rows)
    save(arguments, "wide_table", rows)


if __name__ == "__main__":
    main()
