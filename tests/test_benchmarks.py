"""The scripts in benchmarks/ start; and the paper's table is scored as it says."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith("_"))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_benchmark_starts_and_tells_its_arguments(script):
    told = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "usage:" in told.stdout


def test_report_words_scores_and_p_values_as_its_examples_say(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    assert doctest.testmod(importlib.import_module("_fusion_report")).failed == 0


@pytest.fixture
def scores(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("_fusion_scores")


@pytest.fixture
def study():
    return SimpleNamespace(y=pd.Series(list("aabbbbaabbbb")), regression=False)


def _fit(study, method, fold, seen, left_out, test):
    rows = {"train": np.array(seen), "left_out": np.array(left_out), "test": np.array(test)}
    return SimpleNamespace(study=study, method=method, seed=0, fold=fold, **rows)


def test_scores_of_the_table_follow_from_the_predictions_by_hand(scores, study):
    # Rows 0 and 1 are "a", 2 and 3 are "b"; the third is taken for an "a".
    predicted = [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]]
    found = scores.score(study, np.arange(12), np.arange(4), predicted)
    assert found["balanced accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["precision"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["macro F1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert found["macro AUC"] == pytest.approx(3 / 4)  # of the four pairs one is in the wrong order
    # A third of the rows are "a": (2.7, .15), (1.8, .6), (2.1, .45), (.6, 1.2)
    assert found[scores.BY_SHARE] == pytest.approx((1 + 1 / 2) / 2)
    by_share = scores.score(study, np.array([0, 2, 3, 4, 5]), np.arange(4), [[0.3, 0.7]] * 4)
    assert by_share["balanced accuracy"] == 0.5  # all "b"
    assert by_share[scores.BY_SHARE] == 0.5  # all "a": .3 / .2 > .7 / .8


def test_table_compares_methods_fold_by_fold_and_ensembles_on_the_test_part(scores, study):
    test = [0, 2, 3, 6]
    folds = [[1, 4], [5, 7], [8, 10], [9, 11]]
    rest = sorted(set(range(12)) - set(test))
    fits, results = [], []
    for method, certainty in (("hyper", 0.9), ("concat", 0.6)):
        for fold, left_out in enumerate(folds):
            fits.append(_fit(study, method, fold, sorted(set(rest) - set(left_out)), left_out, test))
            right = {row: [certainty, 1 - certainty] if study.y[row] == "a" else [1 - certainty, certainty]
                     for row in range(12)}  # fmt: skip
            wrong = {row: value[::-1] for row, value in right.items()}
            answers = wrong if method == "concat" and fold == 0 else right
            result = {
                part: [answers[row] for row in rows]
                for part, rows in (("left_out", left_out), ("test", test))
            }
            results.append({"fit_seconds": 1.0, **result})
    on_test = scores.compare_ensembles(fits, results)
    accuracy = on_test[on_test["metric"] == "balanced accuracy"].set_index(["method", "kind"])["score"]
    assert accuracy["hyper", scores.ENSEMBLE] == accuracy["hyper", scores.ALONE] == 1
    assert accuracy["concat", scores.ENSEMBLE] == 1  # three of four are right, and equally sure
    assert accuracy["concat", scores.ALONE] == pytest.approx(3 / 4)
    gains = scores.gains(pd.DataFrame({"method": ["hyper"]}), on_test)
    assert set(gains["addition"]) == {"ensemble of four"}
