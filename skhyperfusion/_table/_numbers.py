"""A column of objects or text as numbers: whether it is one, in which notation, and what its words mean."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np

from skhyperfusion._table._cells import as_number, cell_name, is_missing, row_name
from skhyperfusion._table._frames import time_message
from skhyperfusion._table._notation import Notation, is_ambiguous, plain_text, split_number
from skhyperfusion._table._words import is_date, is_pair, means_no_number
from skhyperfusion._wording import listing, show

# From this many distinct numbers on, words beside them are an oversight, however often they stand there.
_MANY_NUMBERS = 20
# So many distinct numbers among words are told of; fewer may be grades.
_FEW_NUMBERS = 5
_BEGINS_WITH_NUMBER = re.compile(r"[^\w]*\d")


class NumberReader:
    """How the cells of one column are read as numbers, learned from the cells of a fit.

    Parameters
    ----------
    notation : Notation
        How its texts write numbers.
    missing : MissingValues
        What the user says to mean "no value".
    odd : collection of str
        Words of the fit that are no numbers: told then, and missing ever after.
    """

    def __init__(self, notation, missing, odd=()):
        self.notation, self.missing, self.odd = notation, missing, frozenset(odd)

    def __call__(self, cell):
        """Return a cell as a float: NaN for a gap, None for what is no number."""
        if isinstance(cell, bytes):
            cell = cell.decode("utf-8", "replace")
        if not isinstance(cell, str):
            number = as_number(cell)
            if not self.notation.bare and number is not None and number == number:
                return np.nan if repr(number) in self.odd else None  # .45 beside "45 %"
        elif cell in self.odd or self.missing.has_text(cell) or means_no_number(plain_text(cell)):
            return np.nan
        else:
            number = self.notation.read(cell)
            if number is None and split_number(cell) is None:
                number = as_number(cell)  # "inf"
        return np.nan if number is not None and self.missing.has_number(number) else number


def learn_numbers(frame, name, cells, missing, teller):
    """Return the `NumberReader` of a column, or None where it is one of text.

    It is one of numbers where most cells that hold a value hold one, in a notation that can be told.

    Parameters
    ----------
    frame : DataFrame
        The table, for the names of its rows.
    name : str
        The column.
    cells : array of object (n_samples,)
    missing : MissingValues
    teller : OddTeller

    Raises
    ------
    ValueError
        If most cells are dates or times.
    """
    cells = [cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell for cell in cells]
    texts = Counter(str(cell) for cell in cells if isinstance(cell, str))
    texts = {t: n for t, n in texts.items() if not missing.has_text(t) and not means_no_number(plain_text(t))}
    _refuse_dates(frame, name, cells, texts)
    others = [as_number(cell) for cell in cells if not isinstance(cell, str) and not is_missing(cell)]
    if None in others:  # neither text nor number
        return None
    if any(0 < number < 1 for number in others) and _are_percentages(texts):
        # As in text: .45 beside "45 %" may be a share, which spreadsheets store where they show per cent.
        bare = Counter(repr(number) for number in others if not missing.has_number(number))
        cells = [c if isinstance(c, str) or is_missing(c) else repr(as_number(c)) for c in cells]
        texts, others = Counter(texts) + bare, []
    notation, is_guess = _learn_notation(texts, whole=[n for n in others if n % 1 == 0])
    read = {text: NumberReader(notation, missing)(text) for text in texts}
    odd = {text for text, number in read.items() if number is None}
    n_odd = sum(texts[text] for text in odd)
    n_numbers = len(others) + sum(texts.values()) - n_odd
    n_distinct = len({*others, *(number for number in read.values() if number is not None)})
    place = _Place(frame, name, cells)
    if n_numbers <= n_odd and not n_distinct > max(_MANY_NUMBERS, len(odd)):
        _tell_categories(place, texts, read, n_numbers, n_distinct, teller)
        return None
    if is_guess:
        teller.tell("cells", place.guess_message(texts))
    if odd:
        teller.tell("cells", place.odd_message(odd, n_odd, n_numbers))
    return NumberReader(notation, missing, odd)


def _learn_notation(texts, whole):
    """Return the notation of a column's texts, and whether it had to be guessed."""
    if all(as_number(text) is not None for text in texts):
        return Notation(), False
    beside = {str(int(number)): 1 for number in whole}
    notation = Notation.learn(beside | texts)
    read = [text for text in texts if notation.read(text) is not None]
    if not read and not whole and any(is_ambiguous(text) for text in texts):
        # All are 1000 times as large in one reading as in the other: scaling makes them the same.
        return replace(notation, decimal="."), True
    return notation, False


def _are_percentages(texts):
    parts = (split_number(text) for text in texts)
    return any(part is not None and part.unit == "%" for part in parts)


def _refuse_dates(frame, name, cells, texts):
    dates = {text for text in texts if is_date(plain_text(text))}
    n_dates, n_values = sum(texts[text] for text in dates), sum(not is_missing(cell) for cell in cells)
    if 2 * n_dates > n_values:
        raise ValueError(_Place(frame, name, cells).date_message(dates))


def _tell_categories(place, texts, read, n_numbers, n_distinct, teller):
    n_pairs = sum(n for text, n in texts.items() if is_pair(plain_text(text)))
    if 2 * n_pairs > sum(texts.values()) and len(texts) > _MANY_NUMBERS:
        teller.tell("cells", place.pair_message(texts))
    elif n_distinct >= _FEW_NUMBERS:
        teller.tell("cells", place.category_message(read, n_numbers))
    else:
        measured = {text for text in texts if _BEGINS_WITH_NUMBER.match(plain_text(text))}
        n_measured = sum(texts[text] for text in measured)
        # Each cell another one is an id; stages such as "2a" come again.
        is_id = len(texts) == sum(texts.values()) >= _MANY_NUMBERS
        if len(measured) >= _FEW_NUMBERS and 2 * len(measured) > n_measured and not is_id:
            teller.tell("cells", place.measured_message(measured))


class _Place:
    """A column of a table, and what is said about it."""

    def __init__(self, frame, name, cells):
        self.frame, self.name, self.cells = frame, name, cells

    def _first(self, texts):
        return next(row for row, cell in enumerate(self.cells) if isinstance(cell, str) and cell in texts)

    def _shown(self, texts):
        first = self.cells[self._first(texts)]
        return listing([first, *sorted(set(texts) - {first})], noun="text")

    def odd_message(self, odd, n_odd, n_numbers):
        return (
            f"{cell_name(self.frame, self._first(odd), self.name)}: not a number, in a column of "
            f"{n_numbers} numbers; {n_odd} such cell{'s' * (n_odd > 1)} count as missing "
            f"({self._shown(odd)}). Write numbers or NaN there, pass missing_values=[...] of "
            "TabularPreprocessor if they mean that there is no value, or give the column the dtype "
            "'category' if it holds codes."
        )

    def guess_message(self, texts):
        row = self._first(texts)
        number = Notation(decimal=".").read(self.cells[row])
        return (
            f"{cell_name(self.frame, row, self.name)}: {show(self.cells[row])} is read as {number:g}, since "
            "no cell of the column tells whether its commas part thousands or decimals. Write numbers with a "
            "decimal point, and none between thousands."
        )

    def category_message(self, read, n_numbers):
        odd = {text for text, number in read.items() if number is None}
        return (
            f"Column {self.name!r} is read as categories: {n_numbers} of its cells are numbers, but not "
            f"{self._shown(odd)} ({row_name(self.frame, self._first(odd))} first). Replace these by numbers "
            "or NaN to have numbers, or give the column the dtype 'category' if it holds codes."
        )

    def pair_message(self, texts):
        row = self._first(texts)
        return (
            f"{cell_name(self.frame, row, self.name)}: {show(self.cells[row])} is two numbers, and the "
            "column is read as categories. Split it into two columns."
        )

    def measured_message(self, measured):
        row = self._first(measured)
        return (
            f"{cell_name(self.frame, row, self.name)}: {show(self.cells[row])} begins with a number but is "
            f"not read as one, and the column is read as categories ({self._shown(measured)}). Write plain "
            "numbers to have numbers, or give the column the dtype 'category' if it holds codes."
        )

    def date_message(self, dates):
        row = self._first(dates)
        return time_message(self.name, f"{show(self.cells[row])} in {row_name(self.frame, row)}")
