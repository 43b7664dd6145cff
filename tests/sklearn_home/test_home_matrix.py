"""docs/compatibility.md says what the tests show, and every tool that users are promised has a row."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn
from compatibility import MODULES, SETUP, marked_tests, render, shown_line

ROOT = Path(__file__).parents[2]
PROMISED = """
cross_val_score cross_validate cross_val_predict GridSearchCV RandomizedSearchCV HalvingGridSearchCV
learning_curve validation_curve permutation_test_score TunedThresholdClassifierCV
FixedThresholdClassifier GroupKFold StratifiedGroupKFold

Pipeline ColumnTransformer FunctionTransformer SimpleImputer VotingClassifier VotingRegressor
StackingClassifier StackingRegressor BaggingClassifier CalibratedClassifierCV FrozenEstimator
TransformedTargetRegressor MultiOutputRegressor OneVsRestClassifier

permutation_importance partial_dependence ConfusionMatrixDisplay RocCurveDisplay CalibrationDisplay
PredictionErrorDisplay

pandas.DataFrame polars.DataFrame numpy.ndarray list pathlib.Path set_output
clone get_params repr pickle warm_start set_params KeyboardInterrupt callbacks
loky payload GPU dask.distributed accelerate optuna MAPIE imbalanced-learn skrub
"""
ENTRIES = [(module, *pair) for module in MODULES for pair in marked_tests(module)]
SHOWN = [(line, entry) for _, function, entry in ENTRIES if (line := shown_line(function))]


def test_page_is_what_the_tests_say():
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    assert page == render(), "run: python docs/make_matrix.py"


@pytest.mark.slow
def test_script_writes_the_page(tmp_path):
    code = (
        f"import runpy, pathlib, sys; sys.argv = ['make_matrix'];"
        f"script = runpy.run_path({str(ROOT / 'docs' / 'make_matrix.py')!r});"
        "script['main'].__globals__['PAGE'] = pathlib.Path('page.md'); script['main']()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == render()


def test_every_tool_that_is_promised_has_a_row():
    tools = {entry.tool for _, _, entry in ENTRIES}
    assert [tool for tool in PROMISED.split() if tool not in tools] == []


@pytest.mark.parametrize(
    ("function", "entry"), [case[1:] for case in ENTRIES], ids=[case[1].__name__ for case in ENTRIES]
)
def test_row_is_borne_by_its_test(function, entry):
    """A refusal is matched against the words shown, and nothing that carries a row is expected to fail."""
    names = {mark.name for mark in getattr(function, "pytestmark", [])}
    assert names.isdisjoint({"xfail", "skip"})
    assert ("words" in inspect.signature(function).parameters) == bool(entry.refusal)
    assert not (entry.refusal and shown_line(function))


def test_no_two_rows_say_the_same():
    keys = [(module, entry.tool, entry.case) for module, _, entry in ENTRIES]
    assert len(keys) == len(set(keys))


@pytest.mark.slow
@pytest.mark.parametrize(("line", "entry"), SHOWN, ids=[f"{e.tool} {e.case}" for _, e in SHOWN])
def test_line_shown_runs_after_the_lines_that_the_page_begins_with(line, entry):
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    assert page.index(SETUP) < page.index(line.replace("|", "\\|"))
    if "temperature" in line and sklearn.__version__.startswith("1.7"):
        pytest.skip("new in scikit-learn 1.8")
    names = {}
    exec(SETUP, names)
    if "skrub." in line:
        names["skrub"] = pytest.importorskip("skrub")
    with sklearn.config_context(enable_metadata_routing="routing on" in entry.case):
        exec(line, names)
