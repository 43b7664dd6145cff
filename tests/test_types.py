"""Public names say what they take and give, as docstrings and rules do, and a user's mypy sees it."""

import ast
import inspect
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


NOT_YET = ("nn", "inspection", "model_selection", "ensemble", "brain_age", "backbones", "features")
NOT_YET += ("datasets", "presets", "persistence")


@pytest.mark.parametrize("name", [one for one in sorted(PUBLIC) if one.split(".")[1] not in NOT_YET])
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
