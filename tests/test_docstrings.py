"""What a public docstring lists is what the object has: parameters, defaults, attributes; the pair agrees."""

import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpydoc.validate import validate
from sklearn.base import clone
from test_table_checks import ESTIMATORS, TRANSFORMERS

import skhyperfusion
from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, HyperFusionSurvival, survival_target
from skhyperfusion._parameters import (
    DATA_PARAMETERS,
    MACHINE_PARAMETERS,
    NETWORK_PARAMETERS,
    TRAINING_PARAMETERS,
    document,
)

HEADING = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)


def public():
    """Return what the package, and the packages within it, name in ``__all__``, by dotted name."""
    names = [module.name for module in pkgutil.walk_packages(skhyperfusion.__path__, "skhyperfusion.")]
    modules = [skhyperfusion] + [import_module(name) for name in names if "._" not in name]
    found = {getattr(module, name) for module in modules for name in getattr(module, "__all__", ())}
    documented = [one for one in found if inspect.isclass(one) or inspect.isfunction(one)]
    by_name = {f"{one.__module__}.{one.__qualname__}": one for one in documented}
    return dict(sorted(by_name.items()))  # the workers of a parallel run must list the same tests


def section(documented, name):
    """Return the entries of a section of a numpydoc text: name -> what stands behind the colon.

    Of names that stand together on a line without a default, None.
    """
    text = inspect.getdoc(documented) or ""
    parts = HEADING.split(text)
    body = dict(zip(parts[1::2], parts[2::2], strict=True)).get(name, "")
    entries = {}
    for line in body.strip("\n").splitlines():
        if line and not line[0].isspace():
            names, _, kind = line.partition(" : ")
            apart = [one.strip().lstrip("*") for one in names.split(",")]
            entries |= dict.fromkeys(apart, kind if len(apart) == 1 or "default=" in kind else None)
    return entries


def taken(documented):
    parameters = inspect.signature(documented).parameters
    return {name: one for name, one in parameters.items() if name not in ("self", "cls")}


@pytest.mark.parametrize("margin", ["", "    "], ids=["Python 3.13", "before"])
def test_shared_parameters_stand_in_line_whatever_the_margin(margin):
    lines = ["Learn.", "", "Parameters", "----------", "{machine}", ""]
    model = document(type("Model", (), {"__doc__": f"\n{margin}".join(lines)}))
    assert inspect.getdoc(model) == "\n".join([*lines[:4], MACHINE_PARAMETERS]).strip()


PUBLIC = public()
# An exception's message, and what a class takes over from torch or pandas, have their own documentation.
ENTITIES = {
    name: one
    for name, one in PUBLIC.items()
    if inspect.isfunction(one) or ("__init__" in vars(one) and not issubclass(one, BaseException))
}


# What numpydoc asks for beyond what is asked here: a longer summary, a see-also and an example everywhere; no
# sections but its own, so not the shapes of a network; a text behind what a name and a type say already.
NOT_ASKED = {"ES01", "SA01", "EX01", "GL06", "GL07", "PR07", "RT02", "RT03"}


def faults(one):
    """Return what numpydoc finds wrong with a docstring, and with those of an estimator's methods."""
    methods = vars(one).items() if hasattr(one, "get_params") else ()
    names = [f"{one.__qualname__}.{n}" for n, method in methods if n[0] != "_" and inspect.isfunction(method)]
    errors = {name: validate(f"{one.__module__}.{name}")["errors"] for name in (one.__qualname__, *names)}
    return [(name, *error) for name in errors for error in errors[name] if error[0] not in NOT_ASKED]


@pytest.mark.filterwarnings("ignore:Unknown section Shapes")
@pytest.mark.parametrize("name", sorted(ENTITIES))
def test_docstring_is_valid_numpydoc(name):
    assert faults(ENTITIES[name]) == []


def undocumented(rows):
    """Count the rows."""


def test_docstring_without_a_parameter_is_not_valid_numpydoc():
    assert ("undocumented", "PR01", "Parameters {'rows'} not documented") in faults(undocumented)


@pytest.mark.parametrize("name", sorted(ENTITIES))
def test_parameters_are_documented_in_their_order(name):
    assert list(section(PUBLIC[name], "Parameters")) == list(taken(PUBLIC[name]))


def methods():
    for name, cls in ENTITIES.items():
        for attribute, method in vars(cls).items() if inspect.isclass(cls) else ():
            documented = inspect.isfunction(method) and "Parameters\n" in (method.__doc__ or "")
            if documented and not attribute.startswith("_"):
                yield f"{name}.{attribute}", method


@pytest.mark.parametrize(("name", "method"), [pytest.param(*case, id=case[0]) for case in methods()])
def test_parameters_of_methods_are_documented_in_their_order(name, method):
    assert list(section(method, "Parameters")) == list(taken(method)), name


@pytest.mark.parametrize("name", sorted(ENTITIES))
def test_defaults_are_documented_as_they_are(name):
    wrong = {}
    for parameter, kind in section(PUBLIC[name], "Parameters").items():
        if kind is None:
            continue
        stated = re.search(r"default=(.+)$", kind)
        default = taken(PUBLIC[name])[parameter].default
        if stated and not _says(stated[1], default):
            wrong[parameter] = (stated[1], default)
        # What may be left out says what it is then; *args and **kwargs have no default.
        if not stated and default is not inspect.Parameter.empty and default is not None:
            wrong[parameter] = ("nothing", default)
    assert wrong == {}


def _says(text, default):
    if isinstance(default, str):
        return text.strip("'\"` ") == default
    try:
        return eval(text, {"__builtins__": {}}) == default
    except SyntaxError:  # words, such as "8 GiB"
        return True


def test_classifier_and_regressor_have_the_same_parameters_in_one_order():
    ours, theirs = taken(HyperFusionClassifier), taken(HyperFusionRegressor)
    shared = [name for name in ours if name in theirs]
    assert shared == [name for name in theirs if name in ours]
    assert {name: ours[name].default for name in shared} == {name: theirs[name].default for name in shared}
    assert set(ours) - set(theirs) == {"class_weight"}
    assert set(theirs) - set(ours) == {"scale_target"}
    kinds = [section(cls, "Parameters") for cls in (HyperFusionClassifier, HyperFusionRegressor)]
    assert {name: kinds[0][name] for name in shared} == {name: kinds[1][name] for name in shared}
    assert {one.kind for one in [*ours.values(), *theirs.values()]} == {inspect.Parameter.KEYWORD_ONLY}


FITTED = ESTIMATORS | {"TabularPreprocessor": TRANSFORMERS["default"]}


@pytest.mark.filterwarnings("ignore:Predictions of HyperFusionRegressor do not rise:UserWarning")
@pytest.mark.parametrize("name", sorted(FITTED))
def test_attributes_of_a_fitted_estimator_are_documented_and_there(name, study):
    X, labels, values = (part.head(24) for part in study)
    estimator = clone(FITTED[name])
    is_classifier = getattr(estimator, "_estimator_type", "") == "classifier" or "Classifier" in name
    target = labels if is_classifier else values
    if "Survival" in name:
        target = survival_target(labels == labels.iloc[0], np.exp(values))
    estimator.fit(X, target)
    listed = section(type(estimator), "Attributes")
    absent = [one for one in listed if not hasattr(estimator, one)]
    optional = {"fold_scores_"}  # where it was asked for
    assert set(absent) <= optional
    learned = {one for one in vars(estimator) if one.endswith("_") and not one.startswith("_")}
    assert learned - set(listed) == set()


# The table of the estimators' page


def grouped_parameters():
    """Return the rows of "Parameters by group": [(group, {parameter: its default in words}), ...]."""
    text = (Path(__file__).parent.parent / "docs" / "api" / "estimators.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^   \* - (\w+)\n     - .*?\n     - (.*?)(?=^   \* |^\S)", text, re.M | re.S)
    entry = re.compile(r"\**(\w+)\**\s``(.*?)``")
    return [(group, dict(entry.findall(cell))) for group, cell in rows if group != "group"]


def test_table_of_parameters_groups_them_as_the_docstring_does():
    texts = {
        "data": DATA_PARAMETERS,
        "network": NETWORK_PARAMETERS,
        "training": TRAINING_PARAMETERS,
        "machine": MACHINE_PARAMETERS,
    }
    rows = grouped_parameters()
    groups = dict(rows).keys()
    assert list(groups) == list(texts)
    own = {"class_weight", "scale_target", "loss", "n_intervals"}  # of one estimator, in its own docstring
    for group, text in texts.items():
        shown = set().union(*(entries for other, entries in rows if other == group))
        assert shown - own == set(re.findall(r"^(\w+) : ", text, re.MULTILINE))


def test_table_of_parameters_has_every_parameter_with_its_default():
    shown = {name: value for _, entries in grouped_parameters() for name, value in entries.items()}
    there = {}
    for estimator in (HyperFusionClassifier, HyperFusionRegressor, HyperFusionSurvival):
        there |= {name: one.default for name, one in inspect.signature(estimator).parameters.items()}
    assert {name: eval(value) for name, value in shown.items()} == there
