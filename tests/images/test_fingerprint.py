import dataclasses
import functools
import math
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from scipy import ndimage

from skhyperfusion.images._fingerprint import fingerprint

FACTOR = 2
settings = None  # a module, in one test


def scale(voxels, factor=2):
    return voxels * factor if factor in {"a", "b", 2} else voxels


class Rule:
    def __init__(self, value):
        self.value = value

    def __call__(self, voxels):
        return voxels

    def method(self, voxels):
        return voxels


def adder(n):
    return lambda voxels: voxels + n


@dataclasses.dataclass(frozen=True)
class Window:
    low: float = 0
    high: float = 1

    def __call__(self, voxels):
        return np.clip(voxels, self.low, self.high)


def guarded(voxels):
    try:
        return voxels + FACTOR
    except ValueError:
        return voxels


def imports_within(voxels):
    from scipy import ndimage as inside

    return inside.gaussian_filter(voxels, FACTOR)


@functools.lru_cache
def remembered(n):
    return n + 1


@functools.lru_cache
def remembered_otherwise(n):
    return n + 2


def factorial(n):
    return n * factorial(n - 1) if n else 1


PAIRS = {
    "code": (lambda v: v + 1, lambda v: v + 2),
    "captured numbers": (adder(1), adder(2)),
    "captured functions": (adder(adder(1)), adder(adder(2))),
    "keywords": (functools.partial(scale, factor=1), functools.partial(scale, factor=2)),
    "a partial's function": (functools.partial(lambda v: v + 1), functools.partial(lambda v: v + 2)),
    "a partial's lambda": (
        functools.partial(scale, factor=lambda: 1),
        functools.partial(scale, factor=lambda: 2),
    ),
    "state": (Rule(1), Rule(2)),
    "an object's method": (Rule(1).method, Rule(2).method),
    "a lambda held by an object": (Rule(adder(1)), Rule(adder(2))),
    "a lambda in a list": (Rule([adder(1)]), Rule([adder(2)])),
    "a lambda in a dict": (Rule({"f": adder(1)}), Rule({"f": adder(2)})),
    "a lambda in an array": (Rule(np.array([adder(1)])), Rule(np.array([adder(2)]))),
    "arrays": (Rule(np.zeros(3)), Rule(np.zeros(4))),
    "ufuncs": (np.log1p, np.exp),
    "builtins": (math.sqrt, math.exp),
    "defaults": (lambda v, k=1: v, lambda v, k=2: v),
    "keyword defaults": (lambda v, *, k=1: v, lambda v, *, k=2: v),
    "inner code": (lambda v: [v for _ in "ab"], lambda v: [v for _ in "abc"]),
    "attributes": (lambda v: v.min(), lambda v: v.max()),
    "fields": (Window(0, 1), Window(0, 2)),
    "caches": (remembered, remembered_otherwise),
    "names of keywords": (lambda v, a=1, b=2: v - a + b, lambda v, b=1, a=2: v - b + a),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_fingerprint_when_code_or_state_differs_differs(kind):
    one, other = PAIRS[kind]
    assert fingerprint(one) is not None
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


@pytest.mark.parametrize(
    "make",
    [
        lambda: adder(3),
        lambda: Rule([1, 2]),
        lambda: Rule({"a": adder(1), "b": {3, 1, 2}}),
        lambda: functools.partial(scale, factor=lambda voxels: voxels * 2),
        lambda: functools.partial(np.clip, a_min=0, a_max=np.float32(1)),
        lambda: Window(0, 2.0),
        lambda: Rule(Rule(2).method),
        lambda: np.vectorize(lambda v: v + 1),
        lambda: Rule(pytest),
        lambda: Rule(threading.Thread),
    ],
)
def test_fingerprint_when_made_again_is_the_same(make):
    assert fingerprint(make()) is not None
    assert fingerprint(make()) == fingerprint(make())


@pytest.mark.parametrize(
    "rule", [guarded, factorial, imports_within, remembered, ndimage.gaussian_filter, np.clip, Rule, abs]
)
def test_fingerprint_when_a_plain_function_is_known(rule):
    assert fingerprint(rule) is not None


def test_fingerprint_when_a_global_changes_differs(monkeypatch):
    def outer(voxels):
        return [guarded(voxels) for _ in range(2)]  # reads FACTOR by way of another function

    before = fingerprint(guarded), fingerprint(outer), fingerprint(imports_within)
    monkeypatch.setitem(globals(), "FACTOR", 3)
    after = fingerprint(guarded), fingerprint(outer), fingerprint(imports_within)
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_fingerprint_when_a_module_of_the_users_changes_differs(monkeypatch):
    captured = types.ModuleType("settings_of_a_study")
    captured.scale, captured.other = 1, 1
    monkeypatch.setitem(sys.modules, "settings_of_a_study", captured)
    monkeypatch.setitem(globals(), "settings", captured)

    def imports(voxels):
        from settings_of_a_study import scale

        return voxels * scale

    rules = [lambda v: v * settings.scale, lambda v: v * captured.scale, imports]
    before = [fingerprint(rule) for rule in rules]
    captured.other = 2
    assert [fingerprint(rule) for rule in rules] == before
    captured.scale = 2
    assert None not in before
    assert not set(before) & {fingerprint(rule) for rule in rules}


def test_fingerprint_when_a_module_is_asked_by_getattr_differs(monkeypatch):
    module = types.ModuleType("my_settings")
    module.FACTOR = 2
    monkeypatch.setitem(globals(), "settings", module)
    rules = (
        lambda v: v * getattr(settings, "FACTOR", 1),
        lambda v: [v * getattr(settings, "FACTOR", 1) for _ in v],
    )
    before = [fingerprint(rule) for rule in rules]
    assert None not in before
    module.FACTOR = 3
    assert all(fingerprint(rule) != name for rule, name in zip(rules, before, strict=True))


def test_fingerprint_when_a_method_is_edited_differs(monkeypatch):
    before = fingerprint(Rule(1))
    monkeypatch.setattr(Rule, "__call__", lambda self, voxels: -voxels)
    assert fingerprint(Rule(1)) != before


@pytest.mark.parametrize(
    "state",
    [threading.Lock(), (i for i in range(3)), types.ModuleType("users_own"), [threading.Lock()]],
    ids=["lock", "generator", "module", "in a list"],
)
def test_fingerprint_when_state_cannot_be_looked_into_is_none(state):
    assert fingerprint(Rule(state)) is None
    assert fingerprint(functools.partial(scale, factor=state)) is None


def test_fingerprint_when_a_captured_lock_cannot_be_looked_into_is_none():
    assert fingerprint(adder(threading.Lock())) is None


@pytest.mark.slow
def test_fingerprint_when_in_another_process_is_the_same():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_fingerprint as t;"
        "print([t.fingerprint(r) for r in (t.scale, t.adder(3), t.guarded, t.Rule({'b', 'a'}), t.Window(1))])"
    )
    here = str(__import__("pathlib").Path(__file__).parent)
    shown = {
        subprocess.run([sys.executable, "-c", code, here], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(shown) == 1
    assert "None" not in shown.pop()
