"""Names for callables in cache keys: equal for equal code and state, in every process."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import joblib


def fingerprint(function: Callable) -> str:
    """Return a text that changes when the code, defaults or captured values of `function` change.

    A function is known by its bytecode rather than by its name: two lambdas on one line differ, and an
    edited function does not find what its former self has left in a cache folder.
    """
    return joblib.hash(_parts(function))


def _parts(value: Any) -> Any:
    if isinstance(value, functools.partial):
        return ("partial", _parts(value.func), value.args, sorted(value.keywords.items()))
    if isinstance(value, types.MethodType):
        return ("method", _parts(value.__func__), _state(value.__self__))
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return (
            value.__module__,
            value.__qualname__,
            _code_parts(value.__code__),
            value.__defaults__,
            value.__kwdefaults__,
            [_state(cell) for cell in cells],
        )
    return _state(value)


def _code_parts(code: types.CodeType) -> tuple:
    return (code.co_code, [_constant(constant) for constant in code.co_consts], code.co_names)


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _code_parts(value)
    # A set of texts has another order in every process.
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value


def _state(value: Any) -> Any:
    """Return something that joblib can hash: the value itself, else its class and readable attributes."""
    if isinstance(value, types.FunctionType | types.MethodType | functools.partial):
        return _parts(value)
    try:
        return joblib.hash(value)
    except Exception:  # whatever pickling an unknown object may raise: it is then known by its class alone
        return f"{type(value).__module__}.{type(value).__qualname__}"
