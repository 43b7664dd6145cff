"""What a row of the table of bad inputs is, and the good study that each one spoils."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor

N_ROWS = 12
BAD_ROW, BAD_PLACE = "p10", 10  # in the training rows of the first of two folds
EVERYWHERE = ("fit", "predict", "cross_val_score")
TRAINING = ("fit", "cross_val_score")


@dataclass
class Study:
    """A table with paths of pictures, its target, and all else that ``fit`` may be given."""

    folder: Path
    X: Any
    y: Any
    values: Any
    params: dict = field(default_factory=dict)
    fit_params: dict = field(default_factory=dict)
    estimator: type = HyperFusionClassifier

    def copy(self):
        """Return a study that may be spoilt: the table is another, the files are the same."""
        other = copy(self)
        other.X, other.y, other.values = self.X.copy(), self.y.copy(), self.values.copy()
        other.params, other.fit_params = dict(self.params), {}
        return other

    def write(self, name, content):
        """Write a file, and return its path."""
        path = self.folder / name
        path.write_bytes(content)
        return str(path)


@dataclass(frozen=True)
class BadInput:
    """One row of the table.

    Attributes
    ----------
    name : str
        Of the test.
    spoil : callable
        Takes a `Study` of its own, and spoils it.
    error : type
        Of the exception; a subclass will do.
    words : tuple of str
        What the message must hold: the row, the column or parameter, what was found, what to do.
    ways : tuple of str
        Where it is tried: "fit", "predict", "cross_val_score" through a pipeline.
    words_in_folds : tuple of str
        In ``cross_val_score``, where scikit-learn itself refuses the input before it comes to us, or a
        transformer of ours does; empty: the same.
    error_in_folds : type
        Likewise.
    """

    name: str
    spoil: Callable
    error: type
    words: tuple
    ways: tuple = EVERYWHERE
    words_in_folds: tuple = ()
    error_in_folds: type | None = None

    def expected(self, way):
        """Return the type of the exception, and the words that it must hold."""
        if way != "cross_val_score":
            return self.error, self.words
        return self.error_in_folds or self.error, self.words_in_folds or self.words


def rows_of(section, ways=EVERYWHERE):
    """Return a function that makes rows of one section of the table: name, spoil, error, words."""

    def bad(name, spoil, *words, error=ValueError, ways=ways, folds=(), error_in_folds=None):
        folds = (folds,) if isinstance(folds, str) else folds
        return BadInput(f"{section}: {name}", spoil, error, words, ways, folds, error_in_folds)

    return bad


def make_study(folder):
    """Write pictures, and return the good study: a `Study`."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(N_ROWS):
        paths.append(str(folder / f"eye-{i:02d}.npy"))
        np.save(paths[-1], rng.normal(size=(6, 6)).astype(np.float32))
    X = pd.DataFrame(
        {
            "scan": paths,
            "age": rng.normal(70, 8, N_ROWS).round(5),
            "tau": rng.normal(300, 40, N_ROWS).round(5),
            "sex": ["F", "M", None] * (N_ROWS // 3),
        },
        index=[f"p{i:02d}" for i in range(N_ROWS)],
    )
    X.loc["p03", "age"] = np.nan
    labels = pd.Series(["AD", "CN"] * (N_ROWS // 2), index=X.index, name="diagnosis")
    values = pd.Series(rng.normal(50, 9, N_ROWS).round(5), index=X.index, name="score")
    return Study(folder, X, labels, values, {"base_channels": 2, "max_epochs": 1, "random_state": 0})


# ---- Ways to spoil a study


def table(change):
    """Exchange the table for what a function makes of it."""

    def spoil(study):
        study.X = change(study.X)

    return spoil


def column(name, make):
    """Exchange a column, or add one; `make` is given nothing but the number of rows."""
    return table(lambda X: X.assign(**{name: pd.Series(make(len(X)), index=X.index, dtype=None)}))


def cell(name, value):
    """Put a value into one cell of a column; a function is called with the study's folder."""

    def spoil(study):
        cells = study.X[name].astype(object).tolist()
        cells[BAD_PLACE] = value(study) if callable(value) else value
        column = np.empty(len(cells), dtype=object)
        for i, one in enumerate(cells):
            column[i] = one
        study.X[name] = pd.Series(column, index=study.X.index, dtype=object)

    return spoil


def file(name, content):
    """Let the picture of one row be a file of some bytes."""
    return cell("scan", lambda study: study.write(name, content))


def target(change):
    """Exchange the labels for what a function makes of them."""

    def spoil(study):
        study.y = change(study.y)

    return spoil


def values(change):
    """Make it a regression, and exchange the values for what a function makes of them."""

    def spoil(study):
        study.estimator = HyperFusionRegressor
        study.y = change(study.values)

    return spoil


def params(**changed):
    """Give the estimator other parameters."""
    return lambda study: study.params.update(changed)


def fit_params(**given):
    """Give ``fit`` weights or groups; functions are called with the number of rows."""
    return lambda study: study.fit_params.update(
        {name: value(len(study.X)) if callable(value) else value for name, value in given.items()}
    )


def both(*spoils):
    """Spoil a study in several ways."""

    def spoil(study):
        for one in spoils:
            one(study)

    return spoil
