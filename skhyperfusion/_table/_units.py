"""Units that stand behind numbers in tables, and the conversion of those of one kind."""

# How many of the first one each is.
_SCALES = (
    {"y": 1.0, "mo": 1 / 12, "wk": 7 / 365.25, "d": 1 / 365.25},
    {"kg": 1.0, "g": 1e-3, "mg": 1e-6, "µg": 1e-9, "ng": 1e-12, "lb": 0.45359237},
    {"m": 1.0, "cm": 1e-2, "mm": 1e-3},
    {"l": 1.0, "dl": 0.1, "ml": 1e-3, "µl": 1e-6},
    {
        "g/l": 1.0,
        "g/dl": 10.0,
        "mg/l": 1e-3,
        "mg/dl": 1e-2,
        "µg/ml": 1e-3,
        "µg/l": 1e-6,
        "ng/ml": 1e-6,
        "pg/ml": 1e-9,
    },
    {"mmol/l": 1.0, "µmol/l": 1e-3, "nmol/l": 1e-6, "pmol/l": 1e-9},
)
_ALONE = """
    % ‰ pg km µm nm mm2 mm² cm2 cm² m2 m² mm3 mm³ cm3 cm³ cc h hr hrs hours min mins minutes s sec seconds ms
    kg/m2 kg/m² bpm /min breaths/min mmhg hpa kpa cmh2o °c °f ° iu u mol mmol µmol nmol pmol meq pts points gy
    mgy mci mbq hu hz mv kcal kj u/l iu/l iu/ml u/ml miu/l miu/ml meq/l mosm/kg ml/min ml/min/1.73m2 l/min
    mm/h mm/hr mg/kg mg/g /µl /mm3 cells/µl fl mg/day packs pack-years py usd eur $ € £
"""
_OTHERS = frozenset(_ALONE.split())
_NAMES = {
    name: unit
    for unit, names in {
        "y": "yr yrs year years yo y.o. y/o jahre ans años anni",
        "mo": "mos month months monate mois",
        "wk": "w wks week weeks wochen",
        "d": "day days tage jours",
        "kg": "kgs kilogram kilograms kilos",
        "g": "gr gram grams",
        "µg": "ug mcg",
        "lb": "lbs pounds",
        "l": "liter litre liters litres",
        "µl": "ul",
        "µg/l": "ug/l",
        "µg/ml": "ug/ml mcg/ml",
        "µmol/l": "umol/l",
        "/µl": "/ul",
        "cells/µl": "cells/ul",
        "%": "percent pct pct.",
    }.items()
    for name in names.split()
} | {"years old": "y", "year old": "y"}


def unit_name(text):
    """Return the one name of a unit that is written in many ways; another text as it is.

    Examples
    --------
    >>> unit_name("yrs"), unit_name("mcg"), unit_name("stage")
    ('y', 'µg', 'stage')
    """
    return _NAMES.get(text, text)


def unit_names():
    """Return all ways to write a unit: text -> its one name."""
    known = {unit: unit for scales in _SCALES for unit in scales} | {unit: unit for unit in _OTHERS}
    return known | _NAMES


def is_unit(name):
    """Tell whether a name, as `unit_name` gives it, is that of a unit.

    Examples
    --------
    >>> is_unit("mg/dl"), is_unit("stage")
    (True, False)
    """
    return name in _OTHERS or any(name in scales for scales in _SCALES)


def convert(number, unit, wanted):
    """Convert a number to another unit; None where they are not of one kind.

    Examples
    --------
    >>> convert(6.0, "mo", "y"), convert(6.0, "mo", "kg")
    (0.5, None)
    """
    for scales in _SCALES:
        if unit in scales and wanted in scales:
            return number * (scales[unit] / scales[wanted])
    return None
