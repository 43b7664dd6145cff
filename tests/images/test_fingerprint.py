import functools
import subprocess
import sys

import numpy as np
import pytest

from skhyperfusion.images._fingerprint import fingerprint


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda v: v + 1, lambda v: v + 2),
        (adder(1), adder(2)),
        (adder(adder(1)), adder(adder(2))),
        (functools.partial(scale, factor=1), functools.partial(scale, factor=2)),
        (Rule(1), Rule(2)),
        (Rule(1).method, Rule(2).method),
        (np.log1p, np.exp),
        (lambda v, k=1: v, lambda v, k=2: v),
        (lambda v: [v for _ in "ab"], lambda v: [v for _ in "abc"]),
        (lambda v: v.min(), lambda v: v.max()),
    ],
)
def test_fingerprint_when_code_or_state_differs_differs(one, other):
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


def test_fingerprint_when_made_again_is_the_same():
    assert fingerprint(adder(3)) == fingerprint(adder(3))
    assert fingerprint(Rule([1, 2])) == fingerprint(Rule([1, 2]))


def test_fingerprint_when_state_cannot_be_pickled_is_that_of_the_class():
    assert fingerprint(Rule(adder(1))) == fingerprint(Rule(adder(1)))


@pytest.mark.slow
def test_fingerprint_when_in_another_process_is_the_same():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_fingerprint as t;"
        "print(t.fingerprint(t.scale), t.fingerprint(t.adder(3)))"
    )
    here = str(__import__("pathlib").Path(__file__).parent)
    shown = {
        subprocess.run([sys.executable, "-c", code, here], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(shown) == 1
