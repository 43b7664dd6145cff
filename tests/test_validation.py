"""The rules for parameters, and the wording of messages."""

import numpy as np
import pandas as pd
import pytest

from skhyperfusion._rules import (
    AnyOf,
    Boolean,
    Callable,
    HasMethods,
    InstanceOf,
    InvalidParameterError,
    Nothing,
    Number,
    OneOf,
    RandomState,
    Rule,
    SequenceOf,
    check_parameters,
)
from skhyperfusion._wording import closest, did_you_mean, listing, show


class Net:
    def __init__(self, **parameters):
        vars(self).update(parameters)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (
            OneOf("a", "b"),
            ["a", np.str_("b")],
            ["c", "A", None, 1, ["a"], np.array(["a"]), np.array(["a", "b"])],
        ),
        (
            Number(int),
            [0, -3, np.int64(7), 10**30],
            [1.0, True, np.True_, "1", None, np.array([1]), float("nan")],
        ),
        (Number(int, 1, 5), [1, 5], [0, 6]),
        (Number(float), [0, 0.5, np.float32(2)], [True, float("nan"), float("inf"), "0.5", 1j, None]),
        (Number(float, 0, 1), [0, 1, 0.5], [-0.1, 1.1]),
        (Number(float, 0, 1, closed="left"), [0, 0.99], [1, -0.01]),
        (Number(float, 0, 1, closed="right"), [1, 0.01], [0, 1.01]),
        (Number(float, 0, 1, closed="neither"), [0.5], [0, 1]),
        (Number(float, 0, closed="neither"), [1e-9, 1e9], [0, -1]),
        (Number(float, high=2), [2, -5], [2.1]),
        (Boolean(), [True, np.False_], [0, 1, None, "True"]),
        (InstanceOf(str), ["a"], [b"a", 1]),
        (Callable(), [len, dict], ["len", None]),
        (HasMethods("fit", "transform"), [Net(fit=len, transform=len)], [Net(fit=len), Net, None]),
        (Nothing(), [None], [0, "", False]),
        (RandomState(), [None, 0, np.int64(3), np.random.RandomState(0)], [-1, 2**32, 1.0, "0", True]),
        (AnyOf(InstanceOf(str), Number(int)), ["a", 1], [1.5, True]),
        (
            SequenceOf(Number(int, 1)),
            [[1], (1, 2), np.array([3]), range(1, 3), pd.Index([4])],
            [[], [0], "12", {1}, np.ones((1, 1), int), None, [1, "a"]],
        ),
        (SequenceOf(Number(int), lengths=(2, 3)), [[1, 2], [1, 2, 3]], [[1], [1, 2, 3, 4]]),
        (SequenceOf(Number(int), empty=True), [[], ()], ["", {}]),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, list) else "",
)
def test_rule_accepts_what_it_should_and_no_more(rule, good, bad):
    assert [value for value in good if not rule.accepts(value)] == []
    assert [value for value in bad if rule.accepts(value)] == []


@pytest.mark.parametrize("method", ["accepts", "__str__"])
def test_rule_that_does_not_say_what_it_wants_cannot_be_made(method):
    half = type("Half", (Rule,), {method: lambda self, *value: "anything"})
    with pytest.raises(TypeError, match="Can't instantiate abstract class Half"):
        half()


@pytest.mark.parametrize(
    ("rules", "value", "message"),
    [
        (
            [OneOf("resnet", "vgg"), Callable()],
            "resnett",
            "one of 'resnet', 'vgg' or a callable. Got 'resnett' instead; did you mean 'resnet'?",
        ),
        (
            [OneOf("auto"), Number(int, 0), Nothing()],
            -1,
            "'auto', an integer >= 0 or None. Got -1 instead.",
        ),
        ([Number(float, 0, 1, closed="left")], 1, "a number in [0, 1). Got 1 instead."),
        ([Number(float, 0, closed="neither")], np.float64(0), "a number > 0. Got 0.0 instead."),
        ([Number(int, high=3)], 4, "an integer <= 3. Got 4 instead."),
        ([Number(float, high=3, closed="neither")], 3, "a number < 3. Got 3 instead."),
        ([Number(int)], "3", "an integer. Got '3' instead."),
        ([Boolean()], 1, "True or False. Got 1 instead."),
        ([InstanceOf(dict, int)], "x", "a dict or an int. Got 'x' instead."),
        (
            [HasMethods("fit", "transform", noun="an imputer")],
            3,
            "an imputer with fit and transform. Got 3",
        ),
        (
            [RandomState()],
            -1,
            "None, an integer in [0, 4294967295] or a numpy.random.RandomState.",
        ),
        (
            [SequenceOf(Number(int, 1), lengths=(2, 3))],
            [0, 1],
            "a list of 2 or 3 items, each an integer >= 1. Got [0",
        ),
        (
            [SequenceOf(OneOf("age", "sex"))],
            ["age", "sexx"],
            "a list whose items are one of 'age', 'sex'. Got ['age', 'sexx'] instead; did you mean 'sex'?",
        ),
    ],
)
def test_check_parameters_when_no_rule_accepts_says_what_is_wanted(rules, value, message):
    with pytest.raises(InvalidParameterError) as caught:
        check_parameters(Net(first=1, backbone=value), {"first": [Number(int)], "backbone": rules})
    assert f"The 'backbone' parameter of Net must be {message}" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)


def test_check_parameters_when_a_rule_accepts_returns_none():
    net = Net(a="x", b=None, c=1)
    assert check_parameters(net, {"a": [OneOf("y"), OneOf("x")], "b": [Number(int), Nothing()]}) is None


def test_check_parameters_when_value_is_huge_keeps_the_message_short():
    with pytest.raises(InvalidParameterError) as caught:
        check_parameters(Net(a=pd.DataFrame(np.zeros((500, 50)))), {"a": [Number(int)]})
    assert len(str(caught.value)) < 300


def test_one_of_many_names_shows_ten_and_still_guesses():
    rule = OneOf(*[f"scorer_{i}" for i in range(60)], "balanced_accuracy")
    assert str(rule).endswith("'scorer_9', ...")
    with pytest.raises(InvalidParameterError, match="did you mean 'balanced_accuracy'"):
        check_parameters(Net(monitor="balanced_acuracy"), {"monitor": [rule]})


def test_closest_when_only_case_differs_finds_the_name():
    assert closest("AGE", ["sex", "age"]) == "age"


def test_closest_when_nothing_is_near_or_not_text_is_none():
    assert closest("csf", ["age", "sex", 3]) is None
    assert closest(3, ["age"]) is None
    assert did_you_mean("csf", ["age"]) == ""


def test_listing_when_more_than_limit_shows_the_first():
    assert listing(["a"]) == "1 row: 'a'"
    assert listing(range(7)) == "7 rows: 0, 1, 2, 3, 4, ..."
    assert listing(np.arange(3), limit=1, noun="column") == "3 columns: 0, ..."


def test_show_when_text_is_long_or_broken_is_one_short_line():
    assert len(show("x" * 1000)) < 120
    assert "\n" not in show(np.zeros((30, 30)))
    assert show(np.int64(3)) == "3"
