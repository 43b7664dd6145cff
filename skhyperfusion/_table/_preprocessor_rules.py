"""What the parameters of `TabularPreprocessor` may be."""

from skhyperfusion._rules import (
    AnyOf,
    Boolean,
    DictOf,
    HasMethods,
    InstanceOf,
    Nothing,
    Number,
    OneOf,
    Rule,
    SequenceOf,
)
from skhyperfusion._table._odd import OddRule

_CELL = AnyOf(InstanceOf(str), Number(float))
PARAMETER_RULES: dict[str, list[Rule]] = {
    "image_columns": [
        OneOf("auto"),
        InstanceOf(str),
        Number(int),
        SequenceOf(AnyOf(InstanceOf(str), Number(int)), empty=True),
        Nothing(),
    ],
    "images": [OneOf("passthrough", "drop")],
    "imputer": [
        OneOf("iterative", "median", "knn"),
        HasMethods("fit", "transform", noun="an imputer"),
        Nothing(),
    ],
    "add_indicator": [Boolean()],
    "scaler": [OneOf("standard"), HasMethods("fit", "transform", noun="a transformer"), Nothing()],
    "max_categories": [Number(int, 2), Nothing()],
    "missing_values": [SequenceOf(_CELL, empty=True), DictOf(SequenceOf(_CELL))],
    "on_odd": [OddRule()],
}
