"""`TabularPreprocessor` on tables that hypothesis draws: what holds for every one of them."""

import contextlib
import pickle
import warnings

import numpy as np
import pandas as pd
from drawn_tables import COLLIDING, DTYPES, GAPS, as_column, cell_lists, drawn, few, fitted, tables
from hypothesis import given
from hypothesis import strategies as st

from skhyperfusion import TabularPreprocessor

TABLES = st.one_of(tables(), tables(pictures=True), tables(COLLIDING), tables(COLLIDING, pictures=True))
IMPUTERS = st.sampled_from(["iterative", "median", "knn"])


def numbers(model, out):
    """What came out, without images: a float64 matrix."""
    n_numbers = out.shape[1] - len(model.image_columns_)
    return out if isinstance(out, np.ndarray) else out.iloc[:, :n_numbers].to_numpy()


@drawn(25, 150)
def test_any_table_gives_finite_numbers_under_names_that_differ(n_examples):
    @few(n_examples)
    @given(TABLES, IMPUTERS, st.booleans(), st.data())
    def check(table, imputer, add_indicator, data):
        n_learned = data.draw(st.integers(1, len(table)))
        model = fitted(table.iloc[:n_learned], imputer=imputer, add_indicator=add_indicator)
        names = model.get_feature_names_out()
        assert len(set(names)) == len(names)
        for rows in (table.iloc[:n_learned], table, table.iloc[[-1]]):
            out = model.transform(rows)
            assert out.shape == (len(rows), len(names))
            assert numbers(model, out).dtype == np.float64
            assert np.isfinite(numbers(model, out)).all()
            if model.image_columns_:
                assert list(out.columns) == list(names)
                first = rows[model.image_columns_[0]].iloc[0]
                assert out[model.image_columns_[0]].iloc[0] is first

    check()


@drawn(20, 120)
def test_any_rows_in_any_order_are_encoded_each_by_itself(n_examples):
    @few(n_examples)
    @given(tables(), IMPUTERS, st.data())
    def check(table, imputer, data):
        model = fitted(table, imputer=imputer)
        before, kept = pickle.dumps(model), pickle.dumps(table)
        expected = numbers(model, model.transform(table))
        rows = data.draw(st.lists(st.integers(0, len(table) - 1), min_size=1, max_size=15))
        np.testing.assert_allclose(
            numbers(model, model.transform(table.iloc[rows])), expected[rows], rtol=1e-9, atol=1e-9
        )
        assert pickle.dumps(model) == before  # nothing is learned from what is transformed
        assert pickle.dumps(table) == kept

    check()


@drawn(15, 80)
def test_rows_of_another_table_have_no_say_in_what_is_learned(n_examples):
    @few(n_examples)
    @given(tables(n_rows=(4, 12)), IMPUTERS, st.data())
    def check(table, imputer, data):
        rows = np.arange(data.draw(st.integers(2, len(table) - 1)))
        own, other = (TabularPreprocessor(imputer=imputer, on_odd="ignore") for _ in range(2))
        learned = fitted(table.iloc[rows], imputer=imputer)
        frame = table.set_axis([f"c{i}" for i in range(table.shape[1])], axis=1)
        strange = pd.concat([frame.iloc[rows], frame.iloc[len(rows) :].sample(frac=1, random_state=0)])
        encoded = [
            model.fit_rows(rest, rows)[: len(rows)] for model, rest in ((own, frame), (other, strange))
        ]
        np.testing.assert_array_equal(*encoded)
        assert encoded[0].shape[1] == len(learned.get_feature_names_out())

    check()


@drawn(25, 150)
def test_same_cells_in_another_dtype_are_encoded_the_same(n_examples):
    @few(n_examples)
    @given(st.data(), IMPUTERS)
    def check(data, imputer):
        family = data.draw(st.sampled_from([name for name in DTYPES if name != "codes"]))
        cells = data.draw(cell_lists(family, data.draw(st.integers(3, 10))))
        dtypes = DTYPES[family] if None not in cells else [d for d in DTYPES[family] if "without" not in d]
        first, second = (data.draw(st.sampled_from(dtypes)) for _ in range(2))
        beside = np.arange(len(cells)) % 3
        made = [pd.DataFrame({"a": as_column(cells, dtype), "b": beside}) for dtype in (first, second)]
        models = [fitted(table, imputer=imputer) for table in made]
        expected = models[0].transform(made[0])
        for model in models:
            for table in made:
                np.testing.assert_array_equal(model.transform(table), expected)
        assert models[0].get_feature_names_out().tolist() == models[1].get_feature_names_out().tolist()

    check()


@drawn(15, 80)
def test_gaps_of_any_kind_are_the_same(n_examples):
    @few(n_examples)
    @given(st.data())
    def check(data):
        family = data.draw(st.sampled_from([name for name in DTYPES if name != "codes"]))
        cells = data.draw(cell_lists(family, data.draw(st.integers(3, 10))))
        made = []
        for _ in range(2):
            own = [data.draw(st.sampled_from(GAPS)) if cell is None else cell for cell in cells]
            made.append(pd.DataFrame({"a": as_column(own, "object"), "b": np.arange(len(cells)) % 3}))
        models = [fitted(table) for table in made]
        np.testing.assert_array_equal(models[0].transform(made[1]), models[1].transform(made[0]))

    check()


@drawn(15, 100)
def test_whatever_is_odd_is_told_of_a_row_or_a_column(n_examples):
    @few(n_examples)
    @given(TABLES, st.data())
    def check(table, data):
        n_learned = data.draw(st.integers(1, len(table)))
        quiet = fitted(table.iloc[:n_learned], imputer="median")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            loud = TabularPreprocessor(imputer="median").fit(table.iloc[:n_learned])
            out = None
            with contextlib.suppress(ValueError):  # text among numbers is an error in a later table
                out = loud.transform(table)
        if out is not None:
            np.testing.assert_array_equal(numbers(loud, out), numbers(quiet, quiet.transform(table)))
        for warning in told:
            assert warning.category is UserWarning
            assert "silences this" in str(warning.message)

    check()
