"""The words that every message shares: values and names shown short, the nearest valid name."""

import difflib
import reprlib

#: Numbers beyond this are refused in tables, targets, times and weights: nothing that is measured is so
#: large, and the sum of the squares of smaller ones stays within float64.
LARGEST = 1e100

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


def show(value):
    """Return a short `repr` of a value, the same for a NumPy scalar as for the Python number.

    Examples
    --------
    >>> import numpy as np
    >>> show(np.float64(0.5)), show("p07")
    ('0.5', "'p07'")
    """
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    return " ".join(_SHORT.repr(value).split())


def listing(items, limit=5, noun="row"):
    """Say how many items there are, and show the first few.

    Examples
    --------
    >>> listing(["p01", "p02", "p03"])
    "3 rows: 'p01', 'p02', 'p03'"
    >>> listing(range(20), limit=2, noun="column")
    '20 columns: 0, 1, ...'
    """
    items = list(items)
    shown = [show(item) for item in items[:limit]] + ["..."] * (len(items) > limit)
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}: {', '.join(shown)}"


def kind_of(value):
    """Say what a value is without telling what it holds: its type, and its shape where it has one.

    Examples
    --------
    >>> import numpy as np
    >>> kind_of(np.zeros((12, 2))), kind_of(None)
    ('an ndarray of shape (12, 2)', 'a NoneType')
    """
    name = type(value).__name__
    article = "an" if name[0].lower() in "aeiou" or name == "ndarray" else "a"
    shape = getattr(value, "shape", None)
    return f"{article} {name}" + (f" of shape {tuple(shape)}" if isinstance(shape, tuple) else "")


def closest(name, names):
    """Return that of `names` which `name` most resembles, or None if none is near.

    Examples
    --------
    >>> closest("resnett", ["vgg", "resnet"])
    'resnet'
    """
    names = [candidate for candidate in names if isinstance(candidate, str)]
    if not isinstance(name, str):
        return None
    lower = {candidate.lower(): candidate for candidate in reversed(names)}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None


def did_you_mean(name, names):
    """Return ``"; did you mean 'x'?"``, or nothing if no name is near.

    Examples
    --------
    >>> did_you_mean("Age ", ["age", "sex"])
    "; did you mean 'age'?"
    """
    found = closest(name, names)
    return "" if found is None else f"; did you mean {found!r}?"


def check_choice(parameter, name, names, noun):
    """Return the name among those there are (None: the first), or raise ValueError where it is none of them.

    Examples
    --------
    >>> check_choice("metric", "acuracy", ["accuracy", "roc_auc"], "metric")
    Traceback (most recent call last):
    ...
    ValueError: metric='acuracy' is none of 2 metrics: 'accuracy', 'roc_auc'; did you mean 'accuracy'?
    """
    if name is None:
        return names[0]
    if name not in names:
        raise ValueError(
            f"{parameter}={show(name)} is none of {listing(names, noun=noun)}"
            f"{did_you_mean(name, names) or '.'}"
        )
    return name


def quoted(names, limit=12):
    """Return the first names in quotes, and how many more there are.

    Examples
    --------
    >>> quoted(["resnet", "vgg", "own"], limit=2)
    "'resnet', 'vgg' and 1 more"
    """
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
