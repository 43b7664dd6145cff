"""Public names say what they take and give, as docstrings and rules do, and a user's mypy sees it."""

import ast
import inspect
import os
import re
import subprocess
import sys
import types
import typing
from pathlib import Path

import pytest
from test_docstrings import ENTITIES, PUBLIC, section

from skhyperfusion import (
    HyperFusionClassifier,
    HyperFusionRegressor,
    HyperFusionSurvival,
    ImageLoader,
    TabularPreprocessor,
)
from skhyperfusion._parameters import PARAMETER_RULES
from skhyperfusion._rules import AnyOf
from skhyperfusion._table import _preprocessor_rules
from skhyperfusion.images import _loader

ROOT = Path(__file__).parent.parent


def functions(one):
    """Yield (what documents it, function) for a public function, or for the public methods of a class."""
    if inspect.isfunction(one):
        yield one, one
        return
    for name, _ in inspect.getmembers_static(one):
        if name != "__init__" and name.startswith("_"):
            continue
        found = inspect.getattr_static(one, name)
        for holder in ("__func__", "fget", "fn"):  # class methods, properties, methods under `available_if`
            found = getattr(found, holder, found)
        if inspect.isfunction(found) and found.__module__.startswith("skhyperfusion."):
            yield (one if name == "__init__" else found), found


def lacking(function):
    """Return the parameters, and "return", that have no annotation."""
    signature = inspect.signature(function)
    bare = [n for n, one in signature.parameters.items() if one.annotation is inspect.Parameter.empty]
    result = ["return"] if signature.return_annotation is inspect.Signature.empty else []
    return [name for name in bare if name not in ("self", "cls")] + result


def hints(function):
    """Return the annotations as objects, those too whose names are imported for type checkers alone."""
    module = sys.modules[function.__module__]
    names = dict(vars(module))
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
            exec(compile(ast.Module(node.body, []), module.__name__, "exec"), names)
    return typing.get_type_hints(function, names)


def parts(hint):
    """Return what a union is made of, unions in it taken apart."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [part for one in typing.get_args(hint) for part in parts(one)]
    return [hint]


def takes_none(hint):
    return bool({types.NoneType, typing.Any, object} & set(parts(hint)))


def contradictions(documented, function):
    """Return the parameters where default or documentation say None and the annotation not, or conversely."""
    found = {}
    kinds, known = section(documented, "Parameters"), hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in known or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        annotated, kind = takes_none(known[name]), kinds.get(name)
        if parameter.default is None and not annotated:
            found[name] = f"is None by default, and annotated {known[name]}"
        elif kind is not None and ("None" in kind) != annotated and typing.Any not in parts(known[name]):
            found[name] = f"is documented as {kind}, and annotated {known[name]}"
    return found


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_name_is_annotated(name):
    bare = {one.__qualname__: lacking(one) for _, one in functions(PUBLIC[name])}
    assert {which: names for which, names in bare.items() if names} == {}


@pytest.mark.parametrize("name", sorted(ENTITIES))
def test_annotations_take_none_where_the_docstring_says_so_and_nowhere_else(name):
    found = {one.__qualname__: contradictions(told, one) for told, one in functions(ENTITIES[name])}
    assert {which: names for which, names in found.items() if names} == {}


def half_done(rows: int | None, names: str = None):  # noqa: RUF013
    """Count.

    Parameters
    ----------
    rows : int
        Of the table.
    names : str, default=None
        Of the columns.
    """


def test_what_is_not_annotated_or_contradicts_the_docstring_is_found():
    assert lacking(half_done) == ["return"]
    assert sorted(contradictions(half_done, half_done)) == ["names", "rows"]


def literals(hint):
    listed = [one for one in parts(hint) if typing.get_origin(one) is typing.Literal]
    return {value for one in listed for value in typing.get_args(one)}


RULES = {
    HyperFusionClassifier: PARAMETER_RULES | HyperFusionClassifier._own_rules,
    HyperFusionRegressor: PARAMETER_RULES | HyperFusionRegressor._own_rules,
    HyperFusionSurvival: PARAMETER_RULES | HyperFusionSurvival._own_rules,
    TabularPreprocessor: _preprocessor_rules.PARAMETER_RULES,
    ImageLoader: _loader._RULES,
}


@pytest.mark.parametrize("cls", RULES, ids=lambda cls: cls.__name__)
def test_names_and_none_that_a_parameter_is_annotated_with_are_those_that_its_rules_accept(cls):
    known = hints(cls.__init__)
    wrong = {}
    for name, rules in RULES[cls].items():
        rule = AnyOf(*rules)
        # Where any string is accepted, as the name of a column, none is listed.
        listed = {word for word in rule.names if rule.accepts(word) and not rule.accepts("any string")}
        if literals(known[name]) != listed or takes_none(known[name]) != rule.accepts(None):
            wrong[name] = (known[name], str(rule))
    assert wrong == {}


# What a user writes, and what mypy is to know of it; the last lines are mistakes.
USERS_CODE = """
from typing import assert_type

import numpy as np
import pandas as pd
from sklearn.model_selection import cross_val_score

from skhyperfusion import HyperFusionClassifier, HyperFusionSurvival, TabularPreprocessor, survival_target
from skhyperfusion.ensemble import FoldEnsembleRegressor
from skhyperfusion.images import ImageLoader, ImageReport, check_images
from skhyperfusion.model_selection import Comparison, JointStratifiedKFold, compare_estimators
from skhyperfusion.persistence import load_model

X = pd.read_csv("study.csv")
y = ["AD", "CN"] * 20
estimator = HyperFusionClassifier(
    image_columns=["t1w"], image_loader=ImageLoader(shape=(32, 32, 32)), fusion="film", random_state=0
)
scores = cross_val_score(estimator, X, y, cv=JointStratifiedKFold(5))
assert_type(estimator.fit(X, y), HyperFusionClassifier)
assert_type(estimator.fit(X, np.array(y)).predict_proba(X), np.ndarray)
rows = [[1, "a.png"], [2, "b.png"]]
assert_type(estimator.fit(rows, y, groups=range(2)).set_params(lr=1e-3).predict(rows), np.ndarray)
estimator.save("model.zip")
load_model("model.zip", trusted=["mine"]).predict(X)
times = survival_target([True, False], pd.Series([1.0, 2.0]))
assert_type(HyperFusionSurvival(loss="cox").fit(X, times).score(X, times), float)
ensemble = FoldEnsembleRegressor(estimator, cv=5).fit(X, np.arange(40.0))
assert_type(ensemble.predict(X, return_std=True), tuple[np.ndarray, np.ndarray])
assert_type(ensemble.predict(X), np.ndarray)
assert_type(compare_estimators({"hyper": estimator}, X, y, cv=JointStratifiedKFold(5)), Comparison)
assert_type(check_images(X), ImageReport)
TabularPreprocessor(imputer="median", scaler=None).fit_transform(X)
# --- mistakes
HyperFusionClassifier(fusion="hypr")
HyperFusionClassifier(learning_rate=1e-3)
estimator.fit(X, 3)
survival_target([True], [1.0]).columns
"""


@pytest.mark.slow  # mypy reads torch's types
def test_mypy_knows_the_types_in_a_users_code_and_finds_the_mistakes(tmp_path):
    code = tmp_path / "analysis.py"
    code.write_text(USERS_CODE, encoding="utf-8")
    settings = tmp_path / "mypy.ini"
    settings.write_text(
        "[mypy]\n[mypy-sklearn.*,pandas.*]\nignore_missing_imports = True\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", settings, "--cache-dir", tmp_path / "cache"]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    run = subprocess.run([*command, code.name], cwd=tmp_path, env=environment, capture_output=True, text=True)
    first = USERS_CODE.splitlines().index("# --- mistakes") + 2
    found = re.findall(r"^analysis\.py:(\d+): error: .*\[([a-z-]+)\]$", run.stdout, re.MULTILINE)
    mistakes = [(int(line) - first, kind) for line, kind in found]
    assert mistakes == [(0, "arg-type"), (1, "call-arg"), (2, "arg-type"), (3, "attr-defined")], run.stdout
