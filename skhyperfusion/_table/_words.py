"""Words that stand in a table where a value is missing, and texts that are dates."""

import re

# A gap in every column: "n/a" is BIDS's word for it, "." that of SAS, "?" that of the UCI repository; Excel
# writes the others where a formula has no result.
_NO_VALUE = """
    nan <na> nat n/a . ? #n/a #na #div/0! #null! #name? #value! #ref! #num! #spill! #calc! #error!
    #getting_data
"""
# Gaps where the other cells of the column are numbers; elsewhere they may be categories.
_NO_NUMBER = """
    na none null n.a. n.a n/d n/k n/m n/r n/t nd n.d. n.d nr n.r. nt n.t. nk n.k. nm n.m. nv k.a. k.a ka tbd
    - -- --- .. ... ?? _ / // unk unkn unknown missing miss blank empty unavailable undetermined unspecified
    unrecorded undocumented unassessed untested notdone notavailable declined refused pending cancelled
    canceled unbekannt fehlt fehlend inconnu desconocido sconosciuto -nan +nan 1.#qnan -1.#ind 1.#ind
"""
_NOT_DONE = """
    done available applicable assessed tested known recorded measured reported determined performed collected
    specified given obtained evaluated documented examined entered provided taken evaluable
"""
_NONE_OF = "data result results value values answer entry record information info sample"
NO_VALUE = frozenset(["", *_NO_VALUE.split()])
NO_NUMBER = NO_VALUE.union(
    _NO_NUMBER.split(),
    (f"not {done}" for done in _NOT_DONE.split()),
    (f"no {what}" for what in _NONE_OF.split()),
)
# The special missing values of SAS, .A to .Z.
_SAS = re.compile(r"\.[a-z_]")

_MONTH = r"(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zäéû]*\.?"
_DAY, _NUMBER_OF_MONTH = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])"
_TWO_DAY, _TWO_MONTH = r"(?:0[1-9]|[12]\d|3[01])", r"(?:0[1-9]|1[0-2])"
_YEAR = r"(?:1[6-9]\d\d|20\d\d|2100)"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?: ?[ap]m)?"
_ZONE = r"(?:z| ?[+-]\d\d:?\d\d)?"
_DATE = re.compile(
    "(?:"
    rf"{_YEAR}(?P<a>[-/.]){_NUMBER_OF_MONTH}(?P=a){_DAY}"
    rf"|{_YEAR}-(?:0[1-9]|1[0-2])"
    rf"|(?:{_DAY}(?P<b>[-/.]){_NUMBER_OF_MONTH}|{_NUMBER_OF_MONTH}(?P<c>[-/.]){_DAY})(?:(?P=b)|(?P=c)){_YEAR}"
    rf"|(?:{_TWO_DAY}(?P<d>[-/.]){_TWO_MONTH}(?P=d)|{_TWO_MONTH}(?P<e>[-/.]){_TWO_DAY}(?P=e))\d\d"
    rf"|(?:{_DAY}/{_NUMBER_OF_MONTH}|{_NUMBER_OF_MONTH}/{_DAY})/\d\d"
    rf"|{_DAY}\.?[- ]?{_MONTH}[-, ]*(?:{_YEAR}|\d\d)"
    rf"|{_MONTH} {_DAY}(?:st|nd|rd|th)?,? {_YEAR}"
    rf")(?:[t :]?{_CLOCK}{_ZONE})?|{_CLOCK}{_ZONE}"
)
_PAIR = re.compile(r"\d+(?:[.,]\d+)?\s?/\s?\d+(?:[.,]\d+)?", re.ASCII)


def means_no_number(text):
    """Tell whether a text, as `plain_text` gives it, stands for a gap among numbers.

    Examples
    --------
    >>> means_no_number("not done"), means_no_number(".a"), means_no_number("high")
    (True, True, False)
    """
    return text in NO_NUMBER or _SAS.fullmatch(text) is not None


def is_date(text):
    """Tell whether a text, as `plain_text` gives it, is a date or a time of the day.

    Examples
    --------
    >>> is_date("2020-01-31t08:30"), is_date("31.12.2020"), is_date("31-jan-20"), is_date("08:30")
    (True, True, True, True)
    >>> is_date("31.12"), is_date("120/80"), is_date("1:40"), is_date("5.0.1")
    (False, False, False, False)
    """
    return _DATE.fullmatch(text) is not None


def is_pair(text):
    """Tell whether a text is two numbers, such as the blood pressure ``"120/80"``.

    Examples
    --------
    >>> is_pair("120/80"), is_pair("120")
    (True, False)
    """
    return _PAIR.fullmatch(text) is not None
