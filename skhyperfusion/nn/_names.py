"""Words for messages: the nearest valid name, and short lists."""

import difflib
from collections.abc import Iterable, Sequence


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """Return the end of a sentence: ``"; did you mean 'x'?"`` for the nearest valid name, or ``"."``."""
    near = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "."


def listing(names: Sequence[str], limit: int = 12) -> str:
    """Return the first `limit` names, quoted, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
