"""Count how often the tests of `Comparison` call two equally good methods different.

    python benchmarks/equal_methods.py

The target is a sum of 20 columns and noise; a ridge regression reads ten of them, another the other
ten: neither is better. They are compared in five folds, three times over, at the level of 5 %.
"""

import numpy as np
import pandas as pd
from _report import parser, write
from sklearn.linear_model import Ridge
from sklearn.model_selection import RepeatedKFold

from skhyperfusion.model_selection import Comparison

HALVES = {"first": slice(0, 10), "second": slice(10, 20)}
TESTS = ["p_corrected_t", "p_wilcoxon", "p_mann_whitney"]


def compare(n_rows, seed):
    """Return the p-values of one pair."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 20))
    y = X.sum(axis=1) / 3 + rng.normal(size=n_rows)
    scores = []
    for fold, (train, test) in enumerate(RepeatedKFold(n_splits=5, n_repeats=3, random_state=seed).split(X)):
        for method, columns in HALVES.items():
            predicted = Ridge().fit(X[train, columns], y[train]).predict(X[test, columns])
            found = {"method": method, "fold": fold, "metric": "neg_mean_absolute_error"}
            error = np.abs(predicted - y[test]).mean()
            scores.append(found | {"score": -error, "n_train": len(train), "n_test": len(test)})
    return Comparison(pd.DataFrame(scores)).table().loc["second", TESTS].astype(float)


def main():
    """Compare the pairs, print and write the shares of p below .05."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--pairs", type=int, default=1500)
    arguments.add_argument("--rows", type=int, default=100)
    read = arguments.parse_args()
    p = pd.DataFrame([compare(read.rows, read.seed + i) for i in range(read.pairs)])
    shares = (p < 0.05).mean().to_dict()
    print(f"{read.pairs} pairs:", {test: round(share, 3) for test, share in shares.items()})
    print(write(read.results, "equal_methods", pairs=read.pairs, rows=read.rows, different=shares).name)


if __name__ == "__main__":
    main()
