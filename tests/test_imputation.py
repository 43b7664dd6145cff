"""The numeric columns of TabularPreprocessor: imputation and scaling."""

import numpy as np
import pytest
from cohort_table import make_table
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.preprocessing import MinMaxScaler, RobustScaler, SplineTransformer

from skhyperfusion._table._preprocessor import TabularPreprocessor


@pytest.fixture
def table():
    return make_table()


def test_scaler_when_standard_leaves_flags_and_booleans_alone(table):
    out = TabularPreprocessor(imputer="median").fit_transform(table)
    for name in ("age", "tau"):
        assert out[name].mean() == pytest.approx(0, abs=1e-9)
        assert out[name].std(ddof=0) == pytest.approx(1)
    assert set(out["carrier"]) == {0.0, 1.0}
    assert set(out["missingindicator_tau"]) == {0.0, 1.0}


def test_scaler_when_none_keeps_units(table):
    out = TabularPreprocessor(scaler=None).fit_transform(table)
    np.testing.assert_array_equal(out["age"], table["age"])


def test_scaler_when_given_is_used(table):
    out = TabularPreprocessor(scaler=MinMaxScaler()).fit_transform(table)
    assert (out["age"].min(), out["age"].max()) == pytest.approx((0, 1))


def test_scaler_when_it_makes_more_columns_names_them(table):
    fitted = TabularPreprocessor(scaler=SplineTransformer(n_knots=3, degree=1)).fit(table)
    names = list(fitted.transform(table).columns)
    assert names[:3] == ["age_sp_0", "age_sp_1", "age_sp_2"]
    assert "carrier" in names


def test_imputer_when_median_fills_the_median(table):
    out = TabularPreprocessor(imputer="median", scaler=None).fit_transform(table)
    assert set(out["tau"][table["tau"].isna()]) == {table["tau"].median()}


def test_imputer_when_iterative_uses_the_other_columns(table):
    gaps = table["tau"].isna().to_numpy()
    error = {}
    for imputer in ("iterative", "median"):
        out = TabularPreprocessor(imputer=imputer, scaler=None).fit_transform(table)
        error[imputer] = np.abs(out["tau"] - 3 * table["age"]).to_numpy()[gaps].mean()
    assert error["iterative"] < 0.3 * error["median"]


def test_imputer_when_knn_measures_in_standard_units():
    rng = np.random.default_rng(0)
    small, large = rng.normal(size=200), 1e6 * rng.normal(size=200)
    target = 10 * small
    target[::4] = np.nan
    out = TabularPreprocessor(imputer="knn", scaler=None, add_indicator=False).fit_transform(
        np.c_[small, large, target]
    )
    assert np.abs(out[::4, 2] - 10 * small[::4]).mean() < 3.5  # 8 for a column that means nothing


def test_imputer_when_filling_stays_within_the_range_seen(table):
    fitted = TabularPreprocessor(scaler=None).fit(table)
    odd = table.iloc[[0]].assign(age=500.0, tau=np.nan)
    with pytest.warns(UserWarning, match="Row 'p0', column 'age': 500 is far outside the range of the fit"):
        assert fitted.transform(odd)["tau"].item() <= table["tau"].max()


def test_imputer_when_very_many_columns_have_gaps_is_the_median_and_says_so():
    rng = np.random.default_rng(0)
    X = np.where(rng.random((24, 120)) < 0.2, np.nan, rng.normal(size=(24, 120)))
    X[0] = np.nan
    with pytest.warns(UserWarning, match=r"120 columns of numbers have gaps: .* medians.*imputer='median'"):
        switched = TabularPreprocessor().fit(X)
    assert switched.imputer_ == "median"
    median = TabularPreprocessor(imputer="median").fit(X)
    np.testing.assert_array_equal(switched.transform(X), median.transform(X))
    assert TabularPreprocessor().fit(X[:, :20]).imputer_ == "iterative"
    quiet = TabularPreprocessor(on_odd={"width": "ignore"}).fit(X)
    assert quiet.imputer_ == "median"


def test_imputer_when_values_are_observed_returns_them_bit_for_bit(table):
    for imputer in ("iterative", "knn"):
        out = TabularPreprocessor(imputer=imputer, scaler=None).fit_transform(table)
        seen = table["tau"].notna().to_numpy()
        np.testing.assert_array_equal(out["tau"][seen], table["tau"][seen])


def test_imputer_when_given_gets_the_columns_as_they_are(table):
    out = TabularPreprocessor(
        imputer=SimpleImputer(strategy="constant", fill_value=-1), scaler=None
    ).fit_transform(table)
    assert set(out["tau"][table["tau"].isna()]) == {-1.0}


def test_imputer_when_it_flags_too_has_its_flags_unscaled(table):
    pre = TabularPreprocessor(imputer=SimpleImputer(add_indicator=True), add_indicator=False)
    out = pre.fit_transform(table)
    assert set(out["missingindicator_tau"]) == {0.0, 1.0}


class _Zeros(TransformerMixin, BaseEstimator):
    """A third-party imputer that tells no names."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return np.nan_to_num(np.asarray(X, dtype=float))


def test_imputer_when_it_tells_no_names_keeps_those_of_the_columns(table):
    out = TabularPreprocessor(imputer=_Zeros(), scaler=None).fit_transform(table)
    assert list(out.columns)[:3] == ["age", "tau", "carrier"]
    assert set(out["tau"][table["tau"].isna()]) == {0.0}


def test_imputer_when_none_and_gap_names_row_and_column(table):
    with pytest.raises(ValueError, match=r"Row 'p0', column 'tau' is missing, and imputer=None .*8 rows"):
        TabularPreprocessor(imputer=None).fit(table)
    fitted = TabularPreprocessor(imputer=None).fit(table.drop(columns="tau"))
    gap = table.drop(columns="tau").assign(age=[np.nan] + [70.0] * 39)
    with pytest.raises(ValueError, match="Row 'p0', column 'age' is missing"):
        fitted.transform(gap)


def test_imputer_when_it_leaves_gaps_names_row_and_column(table):
    with pytest.raises(ValueError, match=r"in row 'p0' column 'tau' is nan \(8 such .*RobustScaler"):
        TabularPreprocessor(imputer=RobustScaler(), scaler=None).fit_transform(table)


def test_imputer_when_its_parameters_are_set_by_name_uses_them(table):
    pre = TabularPreprocessor(imputer=KNNImputer(n_neighbors=1), scaler=None)
    one = pre.fit_transform(table)["tau"]
    many = pre.set_params(imputer__n_neighbors=20).fit_transform(table)["tau"]
    assert not one.equals(many)


@pytest.mark.parametrize("imputer", ["iterative", "median", "knn"])
@pytest.mark.parametrize(("n", "p"), [(1, 1), (1, 4), (2, 1), (2, 3), (3, 30), (12, 1), (5, 45)])
def test_imputer_when_the_table_is_tiny_or_wide_gives_finite_numbers(imputer, n, p):
    X = np.random.default_rng(0).normal(size=(n, p))
    if n > 1:
        X[np.arange(p) % n, np.arange(p)] = np.nan
    out = TabularPreprocessor(imputer=imputer).fit_transform(X)
    assert np.isfinite(out).all()
    assert len(out) == n


def test_imputer_when_column_was_complete_in_fit_fills_later_gaps(table):
    fitted = TabularPreprocessor().fit(table)
    later = fitted.transform(table.assign(age=np.nan))
    assert "missingindicator_age" not in later
    assert later["age"].notna().all()
