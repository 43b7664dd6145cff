"""What is odd about a table is told: once for each kind, naming row and column, or not at all."""

import warnings
from collections.abc import Mapping

from skhyperfusion._rules import Rule

#: The kinds of what may be odd about a table, by which they can be silenced.
ODD_KINDS = ("cells", "codes", "dates", "ids", "target", "width", "unseen", "range", "rows")
_ANSWERS = ("warn", "ignore", "raise")


class OddRule(Rule):
    """What `TabularPreprocessor(on_odd=...)` may be."""

    names = (*_ANSWERS, *ODD_KINDS)

    def accepts(self, value):
        if isinstance(value, Mapping):
            return all(kind in ODD_KINDS and answer in _ANSWERS for kind, answer in value.items())
        return isinstance(value, str) and value in _ANSWERS

    def __str__(self):
        return (
            f"one of {', '.join(map(repr, _ANSWERS))} or a dict of one of these for some of "
            f"{', '.join(map(repr, ODD_KINDS))}"
        )


class OddTeller:
    """Tells what is odd in the way that was asked for.

    Parameters
    ----------
    on_odd : {"warn", "ignore", "raise"} or dict of kind to one of these, default="warn"
        Kinds that a dict does not name are warned of.
    """

    def __init__(self, on_odd="warn"):
        self.on_odd = on_odd

    def answer(self, kind):
        """Return "warn", "ignore" or "raise", whichever holds for a kind of `ODD_KINDS`."""
        return self.on_odd.get(kind, "warn") if isinstance(self.on_odd, Mapping) else self.on_odd

    def tell(self, kind, message):
        """Warn, or raise ValueError, or do nothing; the message gets the way to silence its kind."""
        answer = self.answer(kind)
        if answer == "raise":
            raise ValueError(message)
        if answer == "warn":
            silence = f" (TabularPreprocessor(on_odd={{{kind!r}: 'ignore'}}) silences this.)"
            warnings.warn(message + silence, UserWarning, stacklevel=2)
