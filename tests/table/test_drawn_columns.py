"""The contract of columns on tables that hypothesis draws: names, orders, dtypes, what is refused."""

import numpy as np
import pandas as pd
import pytest
from drawn_tables import NAMES, OTHER_NAMES, drawn, few, fitted, tables
from hypothesis import assume, given
from hypothesis import strategies as st

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, TabularPreprocessor
from skhyperfusion._table._cells import object_array

SMALL = {"base_channels": 1, "max_epochs": 1, "device": "cpu", "random_state": 0}


def renamed(table, names):
    return table.set_axis(pd.Index(object_array(names), tupleize_cols=False), axis=1)


@drawn(20, 120)
def test_columns_are_matched_by_name_in_any_order(n_examples):
    @few(n_examples)
    @given(tables(n_columns=(2, 6)), st.randoms(use_true_random=False))
    def check(table, random):
        model = fitted(table, imputer="median")
        assert model.feature_names_in_.tolist() == list(table.columns)
        order = list(table.columns)
        random.shuffle(order)
        np.testing.assert_array_equal(model.transform(table[order]), model.transform(table))

    check()


@drawn(20, 120)
def test_column_that_is_missing_or_unseen_is_named(n_examples):
    @few(n_examples)
    @given(tables(n_columns=(2, 5)), NAMES, st.data())
    def check(table, stranger, data):
        model = fitted(table, imputer="median")
        lost = data.draw(st.sampled_from(list(table.columns)))
        with pytest.raises(ValueError, match="yet now missing") as raised:
            model.transform(table.drop(columns=lost))
        assert f"- {lost}\n" in str(raised.value)
        assert f"X lacks column {lost!r}" in str(raised.value)
        assume(stranger not in table.columns)
        with pytest.raises(ValueError, match="unseen at fit time") as raised:
            model.transform(table.assign(**{stranger: 1}))
        assert f"- {stranger}\n" in str(raised.value)
        with pytest.raises(ValueError, match=r"unseen at fit time(?s:.)*yet now missing"):
            model.transform(table.rename(columns={lost: stranger}))

    check()


@drawn(20, 120)
def test_names_that_are_no_text_tell_the_order_or_count_by_position(n_examples):
    @few(n_examples)
    @given(tables(n_columns=(2, 5)), st.data())
    def check(table, data):
        n = table.shape[1]
        names = data.draw(st.lists(OTHER_NAMES, min_size=n, max_size=n, unique_by=repr))
        assume(not pd.Index(object_array(names), tupleize_cols=False).has_duplicates)  # True and 1
        other = renamed(table, names)
        model = fitted(other, imputer="median")
        assert not hasattr(model, "feature_names_in_")
        assert model.image_columns_ == []
        expected = model.transform(other)
        np.testing.assert_array_equal(fitted(table, imputer="median").transform(table), expected)
        parts = [part for name in names for part in (name if isinstance(name, tuple) else (name,))]
        are_told = all(isinstance(part, int | str) for part in parts)
        strange = range(10**9, 10**9 + n)
        in_another_order = other.iloc[:, ::-1] if are_told else renamed(table, names[::-1])
        for reading in (table.to_numpy(dtype=object), in_another_order, renamed(table, strange)):
            np.testing.assert_array_equal(model.transform(reading), expected)
        with pytest.raises(
            ValueError, match=f"X has {n - 1} features, but TabularPreprocessor is expecting {n}"
        ):
            model.transform(other.iloc[:, 1:])
        mixed = renamed(table, [*names[:-1], "a"])
        for use in (TabularPreprocessor().fit, model.transform):
            with pytest.raises(
                TypeError, match="Feature names are only supported if all input features have st"
            ):
                use(mixed)

    check()


@drawn(10, 50)
def test_name_that_occurs_twice_is_refused(n_examples):
    @few(n_examples)
    @given(tables(n_columns=(2, 4)), st.data())
    def check(table, data):
        model = fitted(table, imputer="median")
        names = list(table.columns)
        twice = data.draw(st.sampled_from(names[1:]))
        table = renamed(table, [twice, *names[1:]])
        for use in (TabularPreprocessor().fit, model.transform):
            with pytest.raises(ValueError, match="some occur more than once") as raised:
                use(table)
            assert repr(twice) in str(raised.value)

    check()


@drawn(20, 100)
def test_column_of_times_is_refused_by_name(n_examples):
    @few(n_examples)
    @given(
        tables(n_columns=(1, 4)),
        st.sampled_from(["datetime", "with zone", "difference", "period", "object", "arrow"]),
    )
    def check(table, kind):
        table = table.set_axis([f"c{i}" for i in range(table.shape[1])], axis=1)
        model = fitted(table, imputer="median")
        days = pd.Series(pd.date_range("2020-01-31", periods=len(table)), index=table.index)
        times = {
            "datetime": days,
            "with zone": days.dt.tz_localize("Europe/Berlin"),
            "difference": days - days.iloc[0],
            "period": days.dt.to_period("M"),
            "object": days.astype(object),
            "arrow": days.astype("timestamp[us][pyarrow]"),
        }[kind]
        for use, name in ((TabularPreprocessor().fit, "visit"), (model.transform, "c0")):
            with pytest.raises(
                ValueError, match=rf"Column '{name}' holds dates or times .*Turn them into numb"
            ):
                use(table.assign(**{name: times}))

    check()


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # what is odd about a table is told, and none of this
@drawn(4, 20)
def test_estimator_knows_its_columns_by_any_name_in_any_order(n_examples):
    @few(n_examples)
    @given(tables(n_rows=(6, 10), n_columns=(2, 5), pictures=True), st.randoms(use_true_random=False))
    def check(table, random):
        preprocessor = fitted(table, imputer="median")
        images = preprocessor.image_columns_
        assume(preprocessor.numeric_columns_)
        y = np.arange(len(table)) % 2
        for make in (HyperFusionClassifier, HyperFusionRegressor):
            model = make(**SMALL).fit(table, y)
            assert list(model.image_columns_) == images
            expected = model.predict(table)
            assert len(expected) == len(table)
            named = make(image_columns=images, **SMALL).fit(table, y)
            np.testing.assert_array_equal(named.predict(table), expected)
            order = list(table.columns)
            random.shuffle(order)
            np.testing.assert_array_equal(model.predict(table[order]), expected)
            with pytest.raises(ValueError, match="yet now missing") as raised:
                model.predict(table.iloc[:, :-1])
            assert f"X lacks column {table.columns[-1]!r}" in str(raised.value)

    check()
