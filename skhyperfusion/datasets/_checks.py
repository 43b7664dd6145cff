"""Checks of the parameters of ``make_brain_cohort``, and their wording."""

import difflib
from numbers import Integral, Real

import numpy as np

TASKS = ("diagnosis", "age", "survival")


def check_cohort_parameters(params):
    """Raise ValueError or TypeError on the first parameter that is not as documented."""
    task, shares, rate = params["task"], params["class_shares"], params["missing_rate"]
    if task not in TASKS:
        near = difflib.get_close_matches(str(task), TASKS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(_text("task", "one of 'diagnosis', 'age' or 'survival'", task, end=hint))
    n_classes = params["n_classes"]
    if not _is_integer(n_classes) or n_classes not in (2, 3):
        raise ValueError(_text("n_classes", "2 (CN, AD) or 3 (CN, MCI, AD)", n_classes))
    fewest = n_classes if task == "diagnosis" else 1
    if not _is_integer(params["n_subjects"]) or params["n_subjects"] < fewest:
        raise ValueError(_text("n_subjects", f"an integer of at least {fewest}", params["n_subjects"]))
    shape = params["shape"]
    if not isinstance(shape, tuple) or len(shape) != 3 or not all(_is_integer(s) and s >= 4 for s in shape):
        raise ValueError(_text("shape", "three integers of at least 4", shape))
    if shares is not None:
        values = np.asarray(shares, dtype=float)
        if values.shape != (n_classes,) or not np.all(np.isfinite(values)) or np.any(values <= 0):
            raise ValueError(_text("class_shares", f"None or {n_classes} positive numbers", shares))
    if not (rate is None or rate == "paper" or (_is_number(rate) and 0 <= rate < 1)):
        raise ValueError(_text("missing_rate", "None, 'paper' or a number in [0, 1)", rate))
    _within(params, "interaction", 0, 1.5)
    for name in ("noise", "image_noise", "anatomy_variation"):
        _within(params, name, 0, np.inf)
    if not isinstance(params["table_informative"], (bool, np.bool_)):
        raise ValueError(_text("table_informative", "True or False", params["table_informative"]))


def _within(params, name, low, high):
    value = params[name]
    if not _is_number(value) or not low <= value <= high or np.isinf(value):
        span = f"a number in [{low}, {high}]" if np.isfinite(high) else f"a number of at least {low}"
        raise ValueError(_text(name, span, value))


def _is_integer(value):
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


def _text(name, wanted, got, end="."):
    return f"The {name!r} parameter of make_brain_cohort must be {wanted}. Got {got!r} instead{end}"
