"""On generated cohorts inspection finds the truth; benchmarks/inspection_truth.py tells how nearly."""

import importlib
from pathlib import Path

import pytest

from skhyperfusion.inspection import weight_modulation

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def truth(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("inspection_truth")


def test_attribution_of_the_diagnosis_lies_in_hippocampi_and_ventricles(truth):
    X, _, _, model = truth.fit_brains(200, epochs=20)
    test = X[200:]
    hippocampi, ventricles = truth.structures()
    structures = hippocampi | ventricles
    map = truth.mean_map(model, test.iloc[:15], X[:200])
    # They have a twelfth of the scan's voxels, and a quarter of those that the network sees.
    assert map[structures].sum() > 0.4 * map.sum()
    interaction = weight_modulation(model, test, random_state=0).interaction.iloc[0]
    assert interaction["apoe4"] > 1.5 * interaction[["age", "education"]].max()


def test_attribution_and_profiles_of_the_heads_follow_the_truth(truth):
    cohort, model = truth.fit_heads(200, epochs=25)
    share, size = truth.on_outline(model, cohort.data[200:215], cohort.data[:200])
    assert share > 2.5 * size
    assert truth.error_of_profiles(model, cohort, slice(200, None)) < 0.06
