"""Finished fits, kept in a file, so that an interrupted comparison goes on where it stopped."""

import json
import os
from contextlib import contextmanager

import joblib
import numpy as np
from sklearn.base import BaseEstimator

from skhyperfusion._sklearn_private import keeps_its_state, kept_beside_parameters
from skhyperfusion.model_selection._named_files import roots_of, states_of_files, texts_of

try:
    import fcntl
except ImportError:  # not on Windows: there, one process at a time may write to a file of results
    fcntl = None  # type: ignore[assignment]


def describe(value):
    """Describe a parameter's value the same in every process: estimators by class and parameters.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> describe(SVC()) == describe(SVC(C=1.0)), describe(SVC()) == describe(SVC(C=2.0))
    (True, False)
    """
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, BaseEstimator):
        if keeps_its_state(value):
            return [kind, joblib.hash(value)]
        params = {name: describe(v) for name, v in value.get_params(deep=False).items()}
        return {"class": kind, **params, **kept_beside_parameters(value)}
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [kind, *(describe(item) for item in value)]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if hasattr(value, "__qualname__"):  # functions and classes: by name, whatever stands in them
        return f"{value.__module__}.{value.__qualname__}"
    return [kind, joblib.hash(value)]


def keys_of_fits(estimators, X, y, splits, scoring, params, groups=None):
    """Name each fit by all that its scores depend on: a dict (method, fold) -> str.

    That the table holds the same paths is not enough: the files count, by size and time of change.
    """
    data = joblib.hash((X, y, params, groups))
    texts = texts_of(X)
    keys, files = {}, {}
    for method, estimator in estimators.items():
        roots = roots_of(estimator)
        for root in roots:
            if root not in files:
                files[root] = states_of_files(texts, root)
        named = [files[root] for root in roots]
        settings = joblib.hash((method, describe(estimator), describe(scoring), named))
        for fold, (train, test) in enumerate(splits):
            keys[method, fold] = joblib.hash((data, settings, np.asarray(train), np.asarray(test)))
    return keys


class ResultsFile:
    """Lines of JSON, one per finished fit: ``{"key": ..., "rows": [...]}``.

    Parameters
    ----------
    path : str or path-like
        A file, made if it is not there. Lines are added to it and never changed.
    """

    def __init__(self, path):
        self.path = os.fspath(path)

    def read(self):
        """Rows of the fits in the file, by key."""
        # Made now if it is not there: a folder that cannot be written to must not show after the first fit.
        with open(self.path, "a+", encoding="utf-8") as file:
            file.seek(0)
            lines = file.read().split("\n")
        found = {}
        for number, line in enumerate(lines[:-1], start=1):  # what follows the last line end was cut off
            try:
                entry = json.loads(line)
                found[entry["key"]] = entry["rows"]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.path!r}, line {number}, is no result of compare_estimators: {line[:80]!r}. Pass "
                    "the path of a new file as results=, or remove the line."
                ) from error
        return found

    def add(self, key, rows):
        """Write the rows of one fit, whole or not at all, also where several processes write at once."""
        line = json.dumps({"key": key, "rows": rows}).encode() + b"\n"
        with open(self.path, "ab+", buffering=0) as file, _alone(file):
            # The end of a line that was cut off by a crash; nobody else is in the middle of one.
            if file.seek(0, os.SEEK_END) and not _ends_line(file):
                file.truncate(_start_of_last_line(file))
            file.write(line)
            os.fsync(file.fileno())


@contextmanager
def _alone(file):
    """Keep other processes from writing meanwhile."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_UN)


def _ends_line(file):
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _start_of_last_line(file):
    file.seek(0)
    return file.read().rfind(b"\n") + 1
