"""Numbers as people and hospital systems write them: marks for decimals and thousands, units, open ends.

One cell does not always tell: ``"1,234"`` may be 1234 or 1.234. `Notation.learn` looks at the whole column.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from skhyperfusion._table._units import convert, is_unit, unit_name

# Spaces, minus signs, apostrophes and digits of all kinds become the plain ones; wide letters do, too.
_ZEROS = "\u0660\u06f0\u0966\u09e6\u0e50"  # of Arabic, Persian, Devanagari, Bengali, Thai
PLAIN_CHARACTERS = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | {chr(ord(zero) + digit): str(digit) for zero in _ZEROS for digit in range(10)}
    | dict.fromkeys("\u3000\u00a0\u2002\u2003\u2007\u2009\u200a\u202f", " ")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-")
    | dict.fromkeys("\u00b4\u02bc\u2019`", "'")
    | dict.fromkeys("\u200b\ufeff")
    | {"\u03bc": "\u00b5"}
)
WRITTEN = re.compile(
    r"(?P<quote>[\"']?)'?"
    r"(?:[<>≤≥]\s?=?|=|~|≈|(?:ca|approx)\.?(?= |\d)|about|circa|over|under|above|below|at (?:least|most)"
    r"|up to|(?:more|less|greater|fewer|older|younger|higher|lower) than)?\s?[$€£]?\s?"
    r"(?P<body>[+-]?\s?(?:\d[\d.,' ]*|[.,]\d+)(?:e[+-]?\d+)?)"
    r"(?P<unit>[^\d+].*?)??\s?"
    r"(?P<end>\+|plus|(?:or|and|&) (?:older|over|above|more|up|higher|greater))?"
    r"(?P=quote)",
    re.ASCII,
)
DICOM_AGE = re.compile(r"(\d{3})([dwmy])", re.ASCII)
ISO_DURATION = re.compile(r"p(\d+(?:[.,]\d+)?)([dwmy])", re.ASCII)
PERIODS = {"d": "d", "w": "wk", "m": "mo", "y": "y"}
# What a laboratory writes behind a result that is out of range.
FLAGS = {"h", "l", "hh", "ll", "*", "**", "!", "(h)", "(l)", "(hh)", "(ll)"}
# From this many distinct numbers on, a word that they share is a unit, whichever it be.
_MANY_NUMBERS = 20


class Written(NamedTuple):
    """A number in a text: its digits and marks, the name of its unit, whether it means "and more"."""

    body: str
    unit: str
    is_open: bool


@dataclass(frozen=True)
class Notation:
    """How one column writes its numbers.

    Attributes
    ----------
    decimal : "." or "," or None
        Which mark is the decimal one where three digits follow; None: a comma cannot be told there.
    unit : str
        What the numbers are in, "" where none is named.
    bare : bool
        Whether a number without a unit is in this unit as well.
    flags : bool
        Whether letters behind numbers, as in ``"5.2 H"``, are a laboratory's flags.
    open_end : bool
        Whether ``"89+"`` is a number: the greatest of all, and the only one of its kind.
    """

    decimal: str | None = None
    unit: str = ""
    bare: bool = True
    flags: bool = False
    open_end: bool = True

    @classmethod
    def learn(cls, texts):
        """Learn from the texts of a column: a dict of text to the number of cells that hold it.

        Examples
        --------
        >>> notation = Notation.learn({"70,5 kg": 3, "1.234,5 kg": 1})
        >>> notation.decimal, notation.unit, notation.read("1.234 kg")
        (',', 'kg', 1234.0)
        """
        found = {text: part for text in texts if (part := split_number(text)) is not None}
        decimal = _decimal_mark([part.body for part in found.values()])
        units = Counter()
        for text, part in found.items():
            units[part.unit] += texts[text]
        unit, flags = _main_unit(units, found.values())
        values = [(_read_body(part.body, decimal), part) for part in found.values()]
        plain = [value for value, part in values if value is not None and not part.unit]
        bare = unit != "%" or not any(0 < value <= 1 for value in plain)
        ends = {value for value, part in values if part.is_open}
        others = [value for value, part in values if value is not None and not part.is_open]
        open_end = len(ends) == 1 and None not in ends and bool(others) and max(ends) >= max(others)
        return cls(decimal, unit, bare, flags, open_end)

    def read(self, text):
        """Return the number that a text stands for, or None if it is none or cannot be told.

        Examples
        --------
        >>> Notation(decimal=",").read("1.234,5"), Notation().read("1,234"), Notation(unit="y").read("006M")
        (1234.5, None, 0.5)
        """
        part = split_number(text)
        if part is None or (part.is_open and not self.open_end):
            return None
        number = _read_body(part.body, self.decimal)
        unit = "" if self.flags and part.unit in FLAGS else part.unit
        if number is None or unit == self.unit:
            return number
        if not unit:
            return number if self.bare else None
        return convert(number, unit, self.unit)


def plain_text(text):
    """Return a text in lower case, with plain spaces and minus signs.

    Examples
    --------
    >>> plain_text(" 5   MG")
    '5 mg'
    """
    return " ".join(text.translate(PLAIN_CHARACTERS).lower().split())


def split_number(text):
    """Split a text into the parts of a number, or return None if it is none.

    Examples
    --------
    >>> split_number("< 1.234,5 mg/dL")
    Written(body='1.234,5', unit='mg/dl', is_open=False)
    >>> split_number("89+").is_open, split_number("070Y").unit, split_number("F")
    (True, 'y', None)
    """
    text = plain_text(text)
    if match := DICOM_AGE.fullmatch(text) or ISO_DURATION.fullmatch(text):
        return Written(match[1], PERIODS[match[2]], False)
    match = WRITTEN.fullmatch(text)
    if match is None:
        return None
    unit = unit_name((match["unit"] or "").strip())
    return Written(match["body"].strip(), unit, match["end"] is not None)


def is_ambiguous(text):
    """Tell whether a text is a number whose only comma may part decimals or thousands.

    Examples
    --------
    >>> is_ambiguous("1,234"), is_ambiguous("0,234"), is_ambiguous("1,234.5")
    (True, False, False)
    """
    part = split_number(text)
    return part is not None and _is_group(part.body.lstrip("+- "), ",")


def _main_unit(units, parts):
    """Return the unit that most cells name, or "", and whether all the names are a laboratory's flags."""
    named = [unit for unit, _ in units.most_common() if unit]
    if not named:
        return "", False
    if set(named) <= FLAGS and (len(named) > 1 or units[""]):
        return "", True
    shared = {part.body for part in parts if part.unit == named[0]}
    is_known = is_unit(named[0]) or (named[0][0].isalpha() and len(shared) > _MANY_NUMBERS)
    return (named[0] if is_known else ""), False


def _is_group(digits, mark):
    """Tell whether a single mark stands before exactly three digits, as one between thousands does."""
    return re.fullmatch(rf"[1-9]\d{{0,2}}{re.escape(mark)}\d{{3}}", digits, re.ASCII) is not None


def _decimal_mark(bodies):
    """Tell the decimal mark of a column by those of its numbers that can be read in one way only."""
    commas = dots = 0  # numbers that show that this is the decimal mark
    groups, whole = 0, []
    for body in bodies:
        digits = re.sub(r"^[+-]\s?|e[+-]?\d+$", "", body)
        marks = re.findall(r"[.,]", digits)
        if not marks:
            whole.append(digits)
        elif len(set(marks)) == 2:
            commas += marks[-1] == ","
            dots += marks[-1] == "."
        elif len(marks) > 1:  # between thousands
            commas += marks[0] == "."
            dots += marks[0] == ","
        elif _is_group(digits, ","):
            groups += 1
        elif not _is_group(digits, "."):
            commas += marks[0] == ","
            dots += marks[0] == "."
    if bool(commas) != bool(dots):
        return "," if commas else "."
    # "987" beside "1,024": whole numbers, parted from a thousand on.
    sizes = [len(digits) for digits in whole if digits.isdecimal()]
    return "." if groups and not commas and sizes and max(sizes) == 3 else None


def _read_body(body, decimal):
    """Read digits and marks as a float; None where they follow no rule, or may be read in two ways."""
    match = re.fullmatch(r"([+-]?)\s?([\d.,' ]+?)(e[+-]?\d+)?", body, re.ASCII)
    if match is None:
        return None
    sign, digits, exponent = match[1], match[2].strip(), match[3] or ""
    if re.search(r"[' ]", digits):
        if not re.fullmatch(r"\d{1,3}(?:(?:'\d{3})+|(?: \d{3})+)(?:[.,]\d*)?", digits, re.ASCII):
            return None
        digits = re.sub(r"[' ]", "", digits)
        decimal = "," if "," in digits else "."
    marks = re.findall(r"[.,]", digits)
    if len(marks) == 1:
        mark = marks[0]
        if _is_group(digits, mark) and decimal != mark and (mark == "," or decimal == ","):
            if decimal is None:
                return None
            digits = digits.replace(mark, "")
    elif marks:
        thousands, last = marks[0], marks[-1]
        grouped = rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+"
        if not re.fullmatch(grouped if thousands == last else grouped + re.escape(last) + r"\d*", digits):
            return None
        digits = digits.replace(thousands, "")
    return float(sign + digits.replace(",", ".") + exponent)
