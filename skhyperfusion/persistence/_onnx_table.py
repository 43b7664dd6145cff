"""How a fitted encoder turns the cells of a table into numbers, as plain data for readers in any language."""

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skhyperfusion._table._imputation import StandardizedImputer
from skhyperfusion._table._missing import missing_of
from skhyperfusion._table._notation import (
    DICOM_AGE,
    FLAGS,
    ISO_DURATION,
    PERIODS,
    PLAIN_CHARACTERS,
    WRITTEN,
    Notation,
)
from skhyperfusion._table._odd import OddTeller
from skhyperfusion._table._preprocessor import TabularPreprocessor
from skhyperfusion._table._units import convert, unit_names
from skhyperfusion._table._words import NO_NUMBER, NO_VALUE
from skhyperfusion._wording import show


def describe_table(encoder):
    """Return the reading and encoding of a fitted `RowEncoder`'s table, or None where it reads none.

    Raises
    ------
    ValueError
        If the preprocessor is the user's own, or has parts that only code can describe.
    """
    if not encoder.tabular_columns:
        return None
    preprocessor = encoder.tabular_preprocessor
    if preprocessor is None:
        names, schema, on_odd = list(encoder.tabular_columns), encoder._schema, "warn"
        encoding = {
            "numeric": {"columns": names, "impute": None, "scale": None},
            "flags": [],
            "categories": [],
        }
    elif type(preprocessor) is TabularPreprocessor:
        names, schema, on_odd = preprocessor._inputs, preprocessor._schema, preprocessor.on_odd
        encoding = _encoding(preprocessor)
    else:
        raise ValueError(
            f"export_onnx cannot describe tabular_preprocessor={show(preprocessor)} as plain data: fit with "
            "'default' or a TabularPreprocessor, or encode the table before the estimator and pass "
            "'passthrough'."
        )
    teller = OddTeller(on_odd)
    return {
        "columns": [_column(schema, name) for name in names],
        "words": {
            "no_text": sorted(NO_VALUE),
            "no_number": sorted(NO_NUMBER),
            "no_number_pattern": r"\.[a-z_]",
            "plain_characters": {chr(code): text or "" for code, text in PLAIN_CHARACTERS.items()},
            "number_pattern": WRITTEN.pattern,
            "duration_patterns": [DICOM_AGE.pattern, ISO_DURATION.pattern],
            "durations": PERIODS,
            "laboratory_flags": sorted(FLAGS),
        },
        "other_text_is_a_gap": teller.answer("cells") == "ignore",
        "refused": _refused(preprocessor, teller),
        **encoding,
        "flag_of_missing_images": bool(encoder.image_columns) and encoder.image_loader.missing == "zeros",
    }


def _column(schema, name):
    """Return how the cells of one column are read."""
    missing = missing_of(schema._missing_values, name)
    gaps = {"texts": sorted(missing.texts), "numbers": missing.numbers.tolist()}
    if schema.kinds[name] == "text":
        return {"name": name, "kind": "text", "gaps": gaps}
    gaps["numbers"] += np.asarray(schema._codes.get(name, ())).tolist()
    reader = schema._readers.get(name)
    notation = Notation() if reader is None else reader.notation
    return {
        "name": name,
        "kind": "number",
        "gaps": gaps,
        "words_seen": [] if reader is None else sorted(reader.odd),
        "notation": {
            "decimal": notation.decimal,
            "unit": notation.unit,
            "needs_no_unit": notation.bare,
            "flags": notation.flags,
            "open_end": notation.open_end,
            "units": _units(notation.unit),
        },
    }


def _units(unit):
    """Return what a number before each unit is multiplied by to be in the column's: text -> factor."""
    names = unit_names()
    factors = {text: 1.0 if name == unit else convert(1.0, name, unit) for text, name in names.items()}
    return {text: factor for text, factor in factors.items() if factor is not None} | {unit: 1.0}


def _refused(preprocessor, teller):
    """Return what of later tables is an error, where the user has asked for errors."""
    seen = getattr(preprocessor, "_seen", None)
    asked = [
        kind for kind in ("unseen", "range", "rows") if seen is not None and teller.answer(kind) == "raise"
    ]
    refused = {}
    if "unseen" in asked:
        refused["unseen"] = {name: sorted(values) for name, values in seen._categories.items()}
    if "range" in asked:
        bounds = zip(seen._numeric, seen._low, seen._high, strict=True)
        refused["range"] = {name: [low, high] for name, low, high in bounds if np.isfinite([low, high]).all()}
    if "rows" in asked:
        refused["rows"] = not seen._has_empty_rows
    return refused


def _plain_numbers(names):
    """Return an encoding that takes these columns as they are."""
    return {"numeric": {"columns": names, "impute": None, "scale": None}, "flags": [], "categories": []}


def _encoding(preprocessor):
    """Return the three parts of the encoded table, in their order: numbers, flags of gaps, categories."""
    inputs = preprocessor._inputs
    encoding = _plain_numbers([])
    transformer = preprocessor.column_transformer_
    for branch, fitted, columns in () if transformer is None else transformer.transformers_:
        names = [inputs[column] if isinstance(column, int | np.integer) else column for column in columns]
        if branch == "numeric":
            encoding["numeric"] = {"columns": names, **_numeric(preprocessor, fitted, len(names))}
        elif branch == "flag":
            encoding["flags"] = names
        elif branch == "category":
            encoding["categories"] = [_category(fitted, place, name) for place, name in enumerate(names)]
    return encoding


def _category(encoder, place, name):
    """Return the place of each category among the columns of 0 and 1 that one column becomes."""
    known = encoder.categories_[place].tolist()
    rare = encoder.infrequent_categories_[place] if encoder.max_categories is not None else None
    rare = [] if rare is None else rare.tolist()
    common = [category for category in known if category not in rare]
    places = {category: i for i, category in enumerate(common)} | dict.fromkeys(rare, len(common))
    return {"name": name, "places": places, "width": len(common) + bool(rare)}


def _numeric(preprocessor, fitted, n_columns):
    parts = {"impute": None, "scale": None}
    steps = fitted.steps if isinstance(fitted, Pipeline) else []
    for name, step in steps:
        parts[name] = _imputation(step, n_columns) if name == "impute" else _scaling(step, preprocessor)
    return parts


def _scaling(step, preprocessor):
    """Return mean and scale of the columns that are scaled, the first ones."""
    inner = step.transformers_[0][1] if isinstance(step, ColumnTransformer) else step
    if type(inner) is not StandardScaler:
        raise ValueError(
            f"export_onnx cannot describe scaler={show(preprocessor.scaler)} as plain data: fit with "
            "TabularPreprocessor(scaler='standard') or None."
        )
    n_columns = inner.n_features_in_
    mean = np.zeros(n_columns) if inner.mean_ is None else inner.mean_
    scale = np.ones(n_columns) if inner.scale_ is None else inner.scale_
    return {"mean": mean.tolist(), "scale": scale.tolist()}


def _imputation(imputer, n_columns):
    if type(imputer) is SimpleImputer and _is_plain(imputer) and len(imputer.statistics_) == n_columns:
        return {"rule": "constants", "values": imputer.statistics_.tolist()}
    if type(imputer) is StandardizedImputer and type(imputer.imputer_) is IterativeImputer:
        inner = imputer.imputer_
        steps = [_regression(step) for step in inner.imputation_sequence_]
        limits = [limit for limit in (inner.min_value, inner.max_value) if limit is not None]
        limited = any(np.isfinite(limit).any() for limit in limits)
        if None not in steps and _is_plain(inner) and not limited and not inner.sample_posterior:
            return {
                "rule": "regressions",
                **{n: getattr(imputer, f"{n}_").tolist() for n in ("mean", "scale", "low", "high", "median")},
                "start": inner.initial_imputer_.statistics_.tolist(),
                "steps": steps,
            }
    raise ValueError(
        f"export_onnx cannot describe the imputer {show(imputer)} as plain data"
        + (", since it keeps the training table" if "KNN" in repr(imputer) else "")
        + ": fit with TabularPreprocessor(imputer='iterative') or 'median'."
    )


def _is_plain(imputer):
    """Tell whether an imputer fills gaps, and nothing but these, and adds no column."""
    missing = imputer.missing_values
    return isinstance(missing, float) and np.isnan(missing) and not imputer.add_indicator


def _regression(step):
    """Return one step of an iterative imputation, or None where it is no linear regression."""
    if type(step.estimator) not in (Ridge, BayesianRidge):
        return None
    return {
        "column": int(step.feat_idx),
        "from": np.asarray(step.neighbor_feat_idx).tolist(),
        "coefficients": step.estimator.coef_.tolist(),
        "intercept": float(step.estimator.intercept_),
    }
