"""Checks of parameters: the kinds of value that one may have, and the error where it has none of them.

An estimator declares its rules once and checks them in `fit`::

    check_parameters(self, {"lr": [Number(float, 0, closed="neither")], "fusion": [OneOf("hyper", "film")]})
"""

import inspect
import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skhyperfusion._sklearn_private import check_weights, parameter_names
from skhyperfusion._wording import LARGEST, did_you_mean, listing, show


class InvalidParameterError(ValueError, TypeError):
    """A parameter has a value that its estimator does not understand."""


class Rule(ABC):
    """One kind of value that a parameter may have."""

    #: What a misspelt string may have meant.
    names: tuple = ()

    @abstractmethod
    def accepts(self, value):
        """Tell whether the value keeps the rule."""

    @abstractmethod
    def __str__(self):
        """Say what the rule wants, to follow the words 'must be'."""


class OneOf(Rule):
    """One of some strings (or other constants of the same type)."""

    def __init__(self, *names):
        self.names = names

    def accepts(self, value):
        return any(type(value) in (type(n), np.str_) and bool(value == n) for n in self.names)

    def __str__(self):
        # A parameter that takes any scorer has dozens of names.
        shown = [repr(n) for n in self.names[:10]] + ["..."] * (len(self.names) > 10)
        return shown[0] if len(self.names) == 1 else f"one of {', '.join(shown)}"


class Number(Rule):
    """An integer or a real number between two bounds; never NaN, an infinity or a boolean."""

    def __init__(self, kind, low=None, high=None, closed="both"):
        self.kind, self.low, self.high, self.closed = kind, low, high, closed

    def accepts(self, value):
        wanted = numbers.Integral if self.kind is int else numbers.Real
        if isinstance(value, bool | np.bool_) or not isinstance(value, wanted) or not math.isfinite(value):
            return False
        if self.low is not None and (value < self.low or (value == self.low and self._open("left"))):
            return False
        return self.high is None or value < self.high or (value == self.high and not self._open("right"))

    def _open(self, side):
        return self.closed not in ("both", side)

    def __str__(self):
        kind = "an integer" if self.kind is int else "a number"
        if self.low is not None and self.high is not None:
            left, right = "(" if self._open("left") else "[", ")" if self._open("right") else "]"
            return f"{kind} in {left}{self.low}, {self.high}{right}"
        if self.low is not None:
            return f"{kind} {'>' if self._open('left') else '>='} {self.low}"
        if self.high is not None:
            return f"{kind} {'<' if self._open('right') else '<='} {self.high}"
        return kind


class Boolean(Rule):
    """True or False."""

    def accepts(self, value):
        return isinstance(value, bool | np.bool_)

    def __str__(self):
        return "True or False"


class InstanceOf(Rule):
    """An instance of one of some types."""

    def __init__(self, *types):
        self.types = types

    def accepts(self, value):
        return isinstance(value, self.types)

    def __str__(self):
        return " or ".join(f"{_article(t.__name__)} {t.__name__}" for t in self.types)


class Callable(Rule):
    """A function, a class, or another object that can be called."""

    def accepts(self, value):
        return callable(value)

    def __str__(self):
        return "a callable"


class HasMethods(Rule):
    """An instance, not a class, with certain methods: a transformer, a scheduler."""

    def __init__(self, *methods, noun="an object"):
        self.methods, self.noun = methods, noun

    def accepts(self, value):
        return not inspect.isclass(value) and all(callable(getattr(value, m, None)) for m in self.methods)

    def __str__(self):
        return f"{self.noun} with {' and '.join(self.methods)}"


class Nothing(Rule):
    """None."""

    def accepts(self, value):
        return value is None

    def __str__(self):
        return "None"


class RandomState(Rule):
    """What scikit-learn takes as `random_state`: None, a seed, or a `numpy.random.RandomState`."""

    def accepts(self, value):
        is_seed = Number(int, 0, 2**32 - 1).accepts(value)
        return value is None or is_seed or isinstance(value, np.random.RandomState)

    def __str__(self):
        return "None, an integer in [0, 4294967295] or a numpy.random.RandomState"


class AnyOf(Rule):
    """What keeps one of some rules: for the items of a sequence."""

    def __init__(self, *rules):
        self.rules = rules

    @property
    def names(self):
        return tuple(name for rule in self.rules for name in rule.names)

    def accepts(self, value):
        return any(rule.accepts(value) for rule in self.rules)

    def __str__(self):
        *first, last = (str(rule) for rule in self.rules)
        return f"{', '.join(first)} or {last}" if first else last


class SequenceOf(Rule):
    """A list, tuple, range or 1-D array whose items all keep a rule, of any length or of one of `lengths`."""

    def __init__(self, rule, lengths=None, empty=False):
        self.rule, self.empty = rule, empty
        self.lengths = None if lengths is None else tuple(np.atleast_1d(lengths).tolist())

    @property
    def names(self):
        return self.rule.names

    def accepts(self, value):
        if not isinstance(value, list | tuple | range) and getattr(value, "ndim", None) != 1:
            return False
        if len(value) == 0:
            return self.empty
        right_length = self.lengths is None or len(value) in self.lengths
        return right_length and all(self.rule.accepts(item) for item in value)

    def __str__(self):
        if self.lengths is None:
            return f"a list whose items are {self.rule}"
        return f"a list of {' or '.join(map(str, self.lengths))} items, each {self.rule}"


class DictOf(Rule):
    """A dict whose keys are strings and whose values all keep a rule."""

    def __init__(self, rule):
        self.rule = rule

    def accepts(self, value):
        return isinstance(value, Mapping) and all(
            isinstance(key, str) and self.rule.accepts(item) for key, item in value.items()
        )

    def __str__(self):
        return f"a dict of {self.rule} for each name"


def private_random_state(random_state: Any) -> np.random.RandomState:
    """Return a RandomState; None means fresh entropy: NumPy's global state is neither read nor changed."""
    return np.random.RandomState() if random_state is None else check_random_state(random_state)


def check_sample_weight(sample_weight, index):
    """Return the weights of rows as floats (n,), none of them negative; 1 each where there are none.

    Parameters
    ----------
    sample_weight : array (n,), number or None
        As it was given to ``fit``.
    index : Index (n,)
        Names of the rows, for the messages.

    Examples
    --------
    >>> check_sample_weight(None, ["p01", "p02"])
    array([1., 1.])
    >>> check_sample_weight([1, -2], ["p01", "p02"])
    Traceback (most recent call last):
    ...
    ValueError: sample_weight must hold numbers from 0 to 1e+100, but does not in 1 row: 'p02' (the first
    holds -2). Give 0 to leave a row out.
    """
    if sample_weight is not None:
        _refuse_strange_weights(sample_weight, index)
    return check_weights(sample_weight, np.empty((len(index), 1)), ensure_non_negative=True)


def _refuse_strange_weights(sample_weight, index):
    cells = np.asarray(sample_weight, dtype=object)
    if cells.ndim == 0 and not _is_weight(sample_weight):
        raise ValueError(
            f"sample_weight must be a number from 0 to {LARGEST:g} for each row, or one for all. Got "
            f"{show(sample_weight)} instead."
        )
    if cells.ndim and cells.shape != (len(index),):
        return  # scikit-learn's own message follows
    wrong = [row for row, cell in enumerate(cells.reshape(-1)) if not _is_weight(cell)]
    if wrong:
        raise ValueError(
            f"sample_weight must hold numbers from 0 to {LARGEST:g}, but does not in "
            f"{listing([index[row] for row in wrong])} (the first holds {show(cells[wrong[0]])}). Give 0 to "
            "leave a row out."
        )
    if cells.size and not cells.any():
        raise ValueError(
            "Sample weights must contain at least one non-zero number, but sample_weight is 0 in all "
            f"{len(index)} rows. Give those a positive weight that are to count."
        )


def _is_weight(cell):
    try:
        return 0 <= float(cell) <= LARGEST
    except (TypeError, ValueError, OverflowError):
        return False


def check_names(cls, params):
    """Raise TypeError where the constructor of an estimator is given a parameter that it does not have.

    Python's own error has no suggestion.
    """
    names = parameter_names(cls)
    for name in params:
        if name not in names:
            raise TypeError(
                f"{cls.__name__} got an unexpected keyword argument {name!r}{did_you_mean(name, names)}"
            )


def check_parameters(estimator, rules: Mapping[str, Sequence[Rule]]):
    """Raise an error that explains the first parameter which keeps none of its rules.

    Parameters
    ----------
    estimator : object
        Its attributes are the parameters.
    rules : dict of str to list of Rule
        A parameter is right when one of its rules accepts it.

    Raises
    ------
    InvalidParameterError
        Both a `ValueError` and a `TypeError`, as scikit-learn's own.

    Examples
    --------
    >>> class Net:
    ...     backbone = "resnett"
    >>> check_parameters(Net(), {"backbone": [OneOf("resnet", "vgg"), Callable()]})
    Traceback (most recent call last):
    ...
    skhyperfusion._rules.InvalidParameterError: The 'backbone' parameter of Net must be one of 'resnet',
    'vgg' or a callable. Got 'resnett' instead; did you mean 'resnet'?
    """
    for parameter, choices in rules.items():
        check_argument(type(estimator).__name__, parameter, getattr(estimator, parameter), choices)


def check_argument(owner, parameter, value, choices):
    """Raise `InvalidParameterError` where an argument of a function keeps none of its rules.

    Examples
    --------
    >>> check_argument("layer_sensitivity", "n_repeats", 1, [Number(int, 5)])
    Traceback (most recent call last):
    ...
    skhyperfusion._rules.InvalidParameterError: The 'n_repeats' parameter of layer_sensitivity must be
    an integer >= 5. Got 1 instead.
    """
    wanted = AnyOf(*choices)
    if wanted.accepts(value):
        return
    wrong = value if isinstance(value, str) else _first_unknown(value, wanted.names)
    hint = did_you_mean(wrong, wanted.names) or "."
    raise InvalidParameterError(
        f"The {parameter!r} parameter of {owner} must be {wanted}. Got {show(value)} instead{hint}"
    )


def _first_unknown(value, names):
    if not isinstance(value, list | tuple):
        return None
    return next((item for item in value if isinstance(item, str) and item not in names), None)


def _article(noun):
    return "an" if noun[0].lower() in "aeiou" else "a"
