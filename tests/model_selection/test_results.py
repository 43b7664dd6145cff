"""Results kept in a file: what is finished is not fitted again, what has changed is; killed at any moment."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyperfusion import ImageLoader
from skhyperfusion.model_selection import compare_estimators
from skhyperfusion.model_selection._results_file import ResultsFile

FITS = []  # rows of every fit of a Recorder


class Recorder(ClassifierMixin, BaseEstimator):
    """Predicts one class, and notes what it was fitted on; fails or is interrupted on demand."""

    def __init__(self, label=0, fail_on=None, error=None, loader=None):
        self.label = label
        self.fail_on = fail_on
        self.error = error
        self.loader = loader

    def fit(self, X, y, sample_weight=None, groups=None):
        rows = np.asarray(X)[:, 0]
        if self.fail_on is not None and self.fail_on not in rows:  # it stands in the test part
            raise self.error()
        FITS.append((self.label, tuple(rows), None if sample_weight is None else tuple(sample_weight)))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.label)


@pytest.fixture(autouse=True)
def _no_fits():
    FITS.clear()


@pytest.fixture
def rows():
    """Numbered rows, so that a Recorder can tell them: (X, y)."""
    return np.arange(12.0)[:, None], np.tile([0, 1], 6)


def test_results_file_lets_an_interrupted_comparison_go_on(rows, tmp_path):
    path = tmp_path / "results.jsonl"
    stopped = {"a": Recorder(0), "b": Recorder(1, fail_on=7.0, error=KeyboardInterrupt)}
    with pytest.raises(KeyboardInterrupt, match=r"results\.jsonl"):
        compare_estimators(stopped, *rows, cv=2, results=path)
    assert len(path.read_text().splitlines()) == 3
    FITS.clear()
    comparison = compare_estimators({"a": Recorder(0), "b": Recorder(1)}, *rows, cv=2, results=str(path))
    assert [label for label, *_ in FITS] == [1, 1]  # 'b' has other parameters now, 'a' is kept
    expected = compare_estimators({"a": Recorder(0), "b": Recorder(1)}, *rows, cv=2)
    pd.testing.assert_series_equal(comparison.scores["score"], expected.scores["score"])
    FITS.clear()
    again = compare_estimators({"a": Recorder(0), "b": Recorder(1)}, *rows, cv=2, results=path)
    assert FITS == []
    pd.testing.assert_frame_equal(again.scores, comparison.scores)  # seconds included


@pytest.mark.parametrize("change", ["estimator", "X", "y", "cv", "scoring", "params", "method"])
def test_results_file_is_not_used_for_what_has_changed(rows, tmp_path, change):
    X, y = rows
    arguments = {"estimators": {"a": Recorder(0)}, "X": X, "y": y, "cv": 2, "scoring": None, "params": None}
    compare_estimators(**arguments, results=tmp_path / "r")
    FITS.clear()
    compare_estimators(**arguments, results=tmp_path / "r")
    assert len(FITS) == 0
    changed = {
        "estimator": {"estimators": {"a": Recorder(1)}},
        "X": {"X": X + 1},
        "y": {"y": 1 - y},
        "cv": {"cv": 3},
        "scoring": {"scoring": "f1_micro"},
        "params": {"params": {"sample_weight": np.ones(12)}},
        "method": {"estimators": {"b": Recorder(0)}},
    }[change]
    compare_estimators(**(arguments | changed), results=tmp_path / "r")
    assert len(FITS) == (3 if change == "cv" else 2)


def test_results_file_is_not_used_where_a_frozen_part_has_learned_something_else(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(24, 3)), rng.normal(size=24)
    for _ in range(2):
        frozen = FrozenEstimator(PCA(2).fit(rng.normal(size=(9, 3))))
        methods = {"a": make_pipeline(frozen, LinearRegression())}
        kept = compare_estimators(methods, X, y, cv=2, results=tmp_path / "r")
        again = compare_estimators(methods, X, y, cv=2, results=tmp_path / "r")
        fresh = compare_estimators(methods, X, y, cv=2)
        pd.testing.assert_series_equal(kept.scores["score"], fresh.scores["score"])
        pd.testing.assert_frame_equal(again.scores, kept.scores)  # seconds included: found in the file


def test_results_file_is_not_used_where_an_estimator_asks_for_other_metadata(rows, tmp_path):
    with sklearn.config_context(enable_metadata_routing=True):
        for asks in (True, False, True):
            method = Recorder().set_fit_request(sample_weight=asks).set_score_request(sample_weight=True)
            params = {"sample_weight": np.ones(12)}
            compare_estimators({"a": method}, *rows, cv=2, params=params, results=tmp_path / "r")
    assert [weight is not None for *_, weight in FITS] == [True, True, False, False]


def test_results_file_is_not_used_where_a_transformer_gives_other_tables(rows, tmp_path):
    X = pd.DataFrame({"row": rows[0][:, 0]})
    for output in ("default", "pandas", "default"):
        method = make_pipeline(StandardScaler().set_output(transform=output), Recorder())
        compare_estimators({"a": method}, X, rows[1], cv=2, results=tmp_path / "r")
    assert len(FITS) == 4


def test_results_file_keeps_folds_apart_that_come_in_another_order(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(24, 2)), rng.normal(size=24)
    folds = [(np.setdiff1d(np.arange(24), test), test) for test in np.split(np.arange(24), 4)]
    methods = {"line": LinearRegression(), "mean": DummyRegressor()}
    compare_estimators({"line": methods["line"]}, X, y, cv=folds, results=tmp_path / "r")
    folds = [folds[2], folds[0], folds[3], folds[1]]
    kept = compare_estimators(methods, X, y, cv=folds, results=tmp_path / "r")
    fresh = compare_estimators(methods, X, y, cv=folds)
    wanted = ["method", "fold", "score"]
    pd.testing.assert_frame_equal(kept.scores[wanted], fresh.scores[wanted])
    twice = compare_estimators(methods, X, y, cv=[*folds, folds[0]], results=tmp_path / "r")
    assert twice.table()["folds"].tolist() == [5, 5]


def test_results_file_with_a_torn_last_line_is_mended(rows, tmp_path):
    path = tmp_path / "r"
    compare_estimators({"a": Recorder()}, *rows, cv=2, results=path)
    whole = path.read_text()
    path.write_text(whole[:-20])
    FITS.clear()
    compare_estimators({"a": Recorder()}, *rows, cv=2, results=path)
    assert len(FITS) == 1
    assert [len(json.loads(line)["rows"]) for line in path.read_text().splitlines()] == [1, 1]


def test_results_file_that_cannot_be_written_is_refused_before_any_fit(rows, tmp_path):
    with pytest.raises(FileNotFoundError):
        compare_estimators({"a": Recorder()}, *rows, cv=2, results=tmp_path / "no" / "r")
    assert FITS == []


def test_results_file_of_something_else_is_refused(rows, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("age,sex\n70,F\n")
    with pytest.raises(
        ValueError, match=r"table.csv', line 1, is no result .* 'age,sex'. Pass the path of a new"
    ):
        compare_estimators({"a": Recorder()}, *rows, cv=2, results=path)
    assert path.read_text() == "age,sex\n70,F\n"


def write(path, content="first"):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(content)
    return path


def rewrite(path):
    """Put other content of the same size into a file, as a new export of the scan would."""
    before = path.stat()
    path.write_text("other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


@pytest.mark.parametrize("cells", ["frame", "category", "array", "rows", "polars"])
def test_results_file_is_not_used_where_an_image_file_has_changed(rows, tmp_path, cells):
    paths = [str(write(tmp_path / "scans" / f"{i}.npy")) for i in range(12)]
    X = pd.DataFrame({"row": range(12), "scan": paths})
    if cells == "category":
        X = X.astype({"scan": "category"})
    elif cells == "array":
        X = X.to_numpy()
    elif cells == "rows":
        X = X.to_numpy().tolist()
    elif cells == "polars":
        X = pytest.importorskip("polars").DataFrame(X.to_dict("list"))
    arguments = {"estimators": {"a": Recorder()}, "X": X, "y": rows[1], "cv": 2, "results": tmp_path / "r"}
    compare_estimators(**arguments)
    compare_estimators(**arguments)
    assert len(FITS) == 2
    rewrite(tmp_path / "scans" / "5.npy")
    compare_estimators(**arguments)
    assert len(FITS) == 4


@pytest.mark.parametrize("what", ["relative", "relative, as a path", "pair", "series", "new"])
def test_results_file_knows_the_files_that_a_loader_would_read(rows, tmp_path, what):
    write(tmp_path / "p0.hdr")
    write(tmp_path / "p0.img")
    write(tmp_path / "series" / "1")
    cells = {"pair": "p0.img", "series": "series", "relative, as a path": Path("p0.hdr"), "new": "later.npy"}
    X = pd.DataFrame({"row": range(12), "scan": [cells.get(what, "p0.hdr")] * 12})
    methods = {"plain": Recorder(), "a": Recorder(loader=ImageLoader(root=tmp_path))}
    arguments = {"estimators": methods, "X": X, "y": rows[1], "cv": 2, "results": tmp_path / "r.jsonl"}
    compare_estimators(**arguments)
    compare_estimators(**arguments)
    assert len(FITS) == 4
    if what in ("new", "series"):
        write(tmp_path / {"new": "later.npy", "series": "series/2"}[what])
    else:
        rewrite(tmp_path / "p0.hdr")
    compare_estimators(**arguments)
    assert len(FITS) == 6  # the method without a loader of that root names other files


def test_results_file_is_not_used_for_other_groups(rows, tmp_path):
    arguments = {"estimators": {"a": Recorder()}, "X": rows[0], "y": rows[1], "results": tmp_path / "r"}
    halves = [(np.arange(6), np.arange(6, 12))]
    compare_estimators(**arguments, cv=halves, groups=np.arange(12))
    compare_estimators(**arguments, cv=halves, groups=np.arange(12) // 2)
    assert len(FITS) == 2


KILLED = """
import sys, time
import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import ParameterGrid
from skhyperfusion.model_selection import compare_estimators

class Slow(DummyClassifier):
    def fit(self, X, y):
        time.sleep(0.02)
        with open(sys.argv[2], "a") as file:
            file.write("f")
        return super().fit(X, y)

grid = ParameterGrid({"constant": list(range(30)), "strategy": ["constant"]})
methods = {str(one): Slow(**one) for one in grid}
X, y = np.arange(60.0)[:, None], np.arange(60) % 30
print("ready", flush=True)
print(compare_estimators(methods, X, y, cv=2, scoring="accuracy", results=sys.argv[1]).scores["score"].sum())
"""


@pytest.mark.slow
def test_search_that_is_killed_goes_on_with_what_is_finished(tmp_path):
    results, log = tmp_path / "results.jsonl", tmp_path / "log"
    command = [sys.executable, "-c", KILLED, str(results), str(log)]
    for n_before in (5, 20):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 60
        while not results.exists() or len(results.read_text().splitlines()) < n_before:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    total = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    assert float(total) == pytest.approx(2.0)  # each candidate is right in one class of thirty
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert len({line["key"] for line in lines}) == len(lines) == 60
    assert 60 <= len(log.read_text()) <= 62  # what was under way at each kill was done again, nothing else


def test_results_file_of_two_writers_has_every_line(tmp_path):
    path = tmp_path / "r"

    def write_many(name):
        for number in range(200):
            ResultsFile(path).add(f"{name}{number}", [{"score": 0.5, "text": name * 50}])

    writers = [threading.Thread(target=write_many, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(ResultsFile(path).read()) == 400
