"""Saving and loading what hypothesis draws: values, tables, names and labels; and files that are damaged."""

import contextlib
import json

import numpy as np
import pandas as pd
import pytest
from drawn_tables import NAMES, drawn, few, fitted, tables
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from saved_parts import SMALL
from sklearn.base import clone

from skhyperfusion import HyperFusionClassifier, ImageLoader, TabularPreprocessor
from skhyperfusion.persistence import DamagedFileError, load_model, save_model
from skhyperfusion.persistence._codec import Decoder, Encoder

NUMBERS = st.integers() | st.floats() | st.booleans() | st.none()
NUMPY = st.sampled_from(["f4", "f8", "f2", "i1", "i2", "i8", "u1", "u4", "?", "<U3", ">f8", ">i4"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
#: Values as they occur in parameters and in what estimators learn.
VALUES = st.recursive(
    NUMBERS | st.text() | st.sampled_from(["$", "object", "not saved"]) | NUMPY,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.text(max_size=3) | st.just("$") | st.integers() | st.tuples(NAMES), inner, max_size=3
        )
    ),
    max_leaves=8,
)


def bits(value):
    """A value as what can be compared: types, dtypes and every bit, NaN and the sign of zero too."""
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        return type(value), array.dtype.newbyteorder("="), array.shape, array.tolist().__repr__()
    if isinstance(value, dict):
        return dict, [(bits(key), bits(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [bits(item) for item in value]
    return type(value), repr(value)


@drawn(50, 500)
def test_any_value_comes_back(n_examples):
    @few(n_examples)
    @given(VALUES)
    def check(value):
        encoder = Encoder()
        text = json.dumps(encoder.encode(value, "value"), allow_nan=False)
        decoder = Decoder(None, encoder.arrays, (), {})
        assert bits(decoder.decode(json.loads(text))) == bits(value)

    check()


@drawn(10, 60)
def test_preprocessor_of_any_table_comes_back(n_examples, tmp_path):
    @few(n_examples)
    @given(tables() | tables(pictures=True), st.sampled_from(["iterative", "median", "knn"]))
    def check(table, imputer):
        model = fitted(table, imputer=imputer)
        save_model(model, tmp_path / "model")
        loaded = load_model(tmp_path / "model")
        assert repr(loaded) == repr(model)
        assert loaded.get_feature_names_out().tolist() == model.get_feature_names_out().tolist()
        np.testing.assert_array_equal(loaded.feature_names_in_, model.feature_names_in_)
        expected, found = (pd.DataFrame(m.transform(table)) for m in (model, loaded))
        pd.testing.assert_frame_equal(found, expected, check_exact=True)

    check()


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # what is odd about a table is told, and none of this
@drawn(4, 20)
def test_estimator_of_any_table_and_parameters_comes_back(n_examples, tmp_path):
    labels = st.lists(st.text(max_size=3) | st.just("$"), min_size=2, max_size=3, unique=True)

    @few(n_examples)
    @given(
        tables(n_rows=(6, 10), n_columns=(2, 4), pictures=True),
        labels | st.just([False, True]) | st.just([3, -1]),
        st.fixed_dictionaries(
            {
                "fusion": st.sampled_from(["hyper", "concat", "film", "image"]),
                "hyper_depth": st.integers(0, 2),
                "dropout": st.floats(0, 0.5) | st.tuples(*[st.sampled_from([0.0, 0.25])] * 6),
                "class_weight": st.sampled_from([None, "balanced"]),
                "image_loader": st.sampled_from([None, ImageLoader(shape=(6, 6), intensity=(5, 95))]),
                "random_state": st.integers(0, 2**31),
            }
        ),
    )
    def check(table, labels, parameters):
        assume(not any("\0" in label for label in labels if isinstance(label, str)))
        assume(parameters["fusion"] == "image" or has_numbers(table))
        y = np.array(labels, dtype=object)[np.arange(len(table)) % len(labels)]
        model = HyperFusionClassifier(**SMALL | {"base_channels": 1, "max_epochs": 1} | parameters)
        model.fit(table, np.array(y.tolist()))
        save_model(model, tmp_path / "model")
        loaded = load_model(tmp_path / "model")
        assert repr(loaded) == repr(model)
        np.testing.assert_array_equal(loaded.predict_proba(table), model.predict_proba(table))
        np.testing.assert_array_equal(loaded.predict(table), model.predict(table))
        assert repr(clone(loaded)) == repr(clone(model))

    check()


def has_numbers(table):
    """Whether a preprocessor keeps any column but the images."""
    with contextlib.suppress(ValueError):
        return len(TabularPreprocessor(images="drop", on_odd="ignore").fit(table).get_feature_names_out()) > 0
    return False


@drawn(40, 400)
def test_file_that_is_cut_or_changed_is_refused_or_the_same(n_examples, saved, table_study, tmp_path):
    model, path = saved
    X, _, _ = table_study
    expected, data = model.predict_proba(X), path.read_bytes()
    places = st.integers(0, len(data) - 1)

    @few(n_examples)
    @given(st.sampled_from(["cut", "flip", "drop", "repeat", "zero"]), places, places, st.integers(0, 7))
    def check(kind, place, other, bit):
        first, last = sorted([place, other])
        damaged = bytearray(data)
        if kind == "cut":
            del damaged[place:]
        elif kind == "flip":
            damaged[place] ^= 1 << bit
        elif kind == "drop":
            del damaged[first : last + 1]
        elif kind == "repeat":
            damaged[first:first] = data[first : last + 1]
        else:
            damaged[first : last + 1] = bytes(last + 1 - first)
        (tmp_path / "model").write_bytes(damaged)
        try:
            loaded = load_model(tmp_path / "model")
        except DamagedFileError:
            return
        assert kind in ("flip", "zero", "repeat")  # of what says nothing, such as a date in the zip
        np.testing.assert_array_equal(loaded.predict_proba(X), expected)

    check()


@drawn(20, 100)
def test_nothing_but_a_saved_model_loads(n_examples, tmp_path):
    @few(n_examples)
    @given(
        st.binary(max_size=200) | st.text().map(str.encode) | st.binary().map(lambda rest: b"PK\3\4" + rest)
    )
    def check(content):
        (tmp_path / "model").write_bytes(content)
        with pytest.raises(DamagedFileError, match="is no model that save_model wrote"):
            load_model(tmp_path / "model")

    check()
