"""What the rows of a fit held, and what of later rows is unlike it."""

import difflib

import numpy as np

from skhyperfusion._table._cells import cell_name
from skhyperfusion._table._notation import plain_text
from skhyperfusion._table._words import means_no_number
from skhyperfusion._wording import listing, show

# How many times the range of the fit a number may lie beyond it before it is told of.
_MARGIN = 3
# Fewer numbers than these say little about a range.
_FEWEST_NUMBERS = 10
# Letters of the longest abbreviation, and how alike two words are, at most 1, of which one is misspelt.
_ABBREVIATION, _ALIKE = 3, 0.8


class SeenValues:
    """Ranges and categories of the rows of a fit. No value of a row is kept but as a category.

    Parameters
    ----------
    table : DataFrame of shape (n_samples, n_columns)
        As `TableSchema.read` gives it.
    numeric, categorical : list of str
        Its columns.
    """

    def __init__(self, table, numeric, categorical):
        self._numeric = list(numeric)
        values = table[self._numeric].to_numpy(dtype=np.float64)
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        has_range = ((~np.isnan(values)).sum(axis=0) >= _FEWEST_NUMBERS) & (high > low)
        reach = np.where(has_range, _MARGIN * (high - low), np.inf)
        self._low, self._high = low - reach, high + reach
        seen = {name: set(table[name].dropna()) for name in categorical}
        # A column of one category says hardly anything, and a rare second one is no oversight.
        self._categories = {name: values for name, values in seen.items() if len(values) > 1}
        # Where a category stood in a single row of the fit, rows of others are no surprise: so it is in the
        # folds of a small study.
        self._expects_more = {name for name in self._categories if 1 in table[name].value_counts().values}
        self._has_empty_rows = bool(table.isna().all(axis=1).any())

    def tell(self, table, teller):
        """Tell what no row of the fit held: a category, a number far out of its range, no value at all."""
        unseen = [
            (row, name)
            for name, seen in self._categories.items()
            for row in np.flatnonzero(table[name].notna() & ~table[name].isin(seen))
            # "unknown" counts as none of the categories, as it should.
            if not means_no_number(plain_text(table[name].iloc[row]))
            if name not in self._expects_more or _is_spelt_otherwise(table[name].iloc[row], seen)
        ]
        if unseen:
            teller.tell("unseen", self._unseen_message(table, unseen))
        values = table[self._numeric].to_numpy(dtype=np.float64)
        far = np.argwhere((values < self._low) | (values > self._high))
        if far.size:
            teller.tell("range", self._range_message(table, values, far))
        if not self._has_empty_rows and table.shape[1]:
            empty = np.flatnonzero(table.isna().to_numpy().all(axis=1))
            if empty.size:
                teller.tell("rows", self._rows_message(table, empty))

    def _unseen_message(self, table, unseen):
        row, name = unseen[0]
        seen = ", ".join(map(show, sorted(self._categories[name])[:5]))
        return (
            f"{cell_name(table, row, name)}: {show(table[name].iloc[row])} is no category of the fit, which "
            f"had {len(self._categories[name])} ({seen}){_more(unseen)}. It counts as none of them; write it "
            "as at the fit if it is one."
        )

    def _range_message(self, table, values, far):
        row, place = far[0]
        name = self._numeric[place]
        return (
            f"{cell_name(table, row, name)}: {values[row, place]:g} is far outside the range of the fit: "
            f"{_MARGIN} times its width beyond it are {self._low[place]:g} and {self._high[place]:g}"
            f"{_more(far)}. Correct it, or give NaN where the value is missing."
        )

    def _rows_message(self, table, empty):
        return (
            f"No value in any of {table.shape[1]} columns of the table in {listing(table.index[empty])}, as "
            "in no row of the fit. All are filled in; give the values, or drop such rows."
        )


def _is_spelt_otherwise(category, seen):
    """Tell whether a category looks like one that was seen: "female" beside "F", "Left" beside "left".

    Examples
    --------
    >>> _is_spelt_otherwise("Female", {"F", "M"}), _is_spelt_otherwise("left-handed", {"lefthanded"})
    (True, True)
    >>> _is_spelt_otherwise("site-12", {"site-11"}), _is_spelt_otherwise("other", {"F", "M"})
    (False, False)
    """
    word, known = _letters(category), {_letters(other) for other in seen} - {""}
    if not word:
        return False
    if word in known or any(
        longer.startswith(shorter) and len(shorter) <= _ABBREVIATION
        for shorter, longer in (sorted((word, other), key=len) for other in known)
    ):
        return True
    words = [other for other in known if other.isalpha() and len(other) > _ABBREVIATION]
    return word.isalpha() and bool(difflib.get_close_matches(word, words, n=1, cutoff=_ALIKE))


def _letters(category):
    return "".join(letter for letter in plain_text(str(category)) if letter.isalnum())


def _more(cells):
    return f" (and {len(cells) - 1} more such cells)" if len(cells) > 1 else ""
