"""The house as it is drawn: scikit-learn's private names in one file, long files, rooms of the root."""

import ast
import re
from pathlib import Path

import pytest

import skhyperfusion

PACKAGE = Path(skhyperfusion.__file__).parent
DRAWING = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1]
FILES = sorted(PACKAGE.rglob("*.py"))
PRIVATE = re.compile(r"(^|\.)_(?!_)")
# What scikit-learn's classes and objects hold under private names, and files here have asked them for.
ATTRIBUTES = {
    "_get_param_names", "_parameter_constraints", "_score_func", "_sign", "_sklearn_output_config",
}  # fmt: skip


def private_names(code):
    """Yield what a module takes from scikit-learn under private names."""
    for node in ast.walk(ast.parse(code)):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        for name in names:
            if name in ATTRIBUTES or (re.match(r"sklearn\.\S+$", name) and PRIVATE.search(name)):
                yield name


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from sklearn.utils.validation import _num_samples as n", "sklearn.utils.validation._num_samples"),
        ("from sklearn.impute._iterative import Imputer", "sklearn.impute._iterative.Imputer"),
        ("import sklearn.utils._param_validation", "sklearn.utils._param_validation"),
        ("trusted = ['sklearn.calibration._SigmoidCalibration']", "sklearn.calibration._SigmoidCalibration"),
        ("getattr(scorer, '_sign', 1)", "_sign"),
        ("names = cls._get_param_names()", "_get_param_names"),
    ],
)
def test_private_name_is_found_however_it_is_taken(code, found):
    assert list(private_names(code)) == [found]


def test_private_names_of_scikit_learn_are_gathered_in_one_file():
    found = {path: list(private_names(path.read_text(encoding="utf-8"))) for path in FILES}
    assert len(found.pop(PACKAGE / "_sklearn_private.py")) >= 12
    assert {str(path): names for path, names in found.items() if names} == {}


def test_no_file_is_long_but_that_of_two_estimators():
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name for name, length in lengths.items() if length > 400} == {"_estimators.py"}


def test_every_room_of_the_root_is_on_the_drawing_and_no_other():
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    rooms = files | {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert rooms - set(re.findall(r"\w+/?", DRAWING)) == set()
    headings = {name for line in DRAWING.splitlines()[1:] for name in line[:20].split()}
    assert headings - rooms == set()
