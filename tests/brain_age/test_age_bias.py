"""The bias of predicted ages: the line by hand, the gap, errors by band and sex."""

import numpy as np
import pandas as pd
import pytest

from skhyperfusion.brain_age import AgeBias, brain_age_gap, error_by_group, fit_age_bias


def test_line_is_that_of_least_squares_with_weights():
    age, predicted, weight = (
        np.array([20.0, 30.0, 50.0, 80.0]),
        np.array([31.0, 30.0, 47.0, 60.0]),
        [1, 2, 0, 3],
    )
    slope, intercept = np.polyfit(age, predicted, 1)
    assert fit_age_bias(age, predicted) == pytest.approx((slope, intercept))
    repeated = np.repeat(np.arange(4), weight)
    slope, intercept = np.polyfit(age[repeated], predicted[repeated], 1)
    assert fit_age_bias(age, predicted, sample_weight=weight) == pytest.approx((slope, intercept))


def test_corrections_of_the_field_agree_with_each_other():
    # Line 0.5 * age + 25: at 30 the model says 40, at 70 it says 60; the brains look 2 years older than that.
    bias, age, predicted = AgeBias(0.5, 25.0), np.array([30.0, 70.0]), np.array([42.0, 62.0])
    assert bias.correct(predicted).tolist() == [34.0, 74.0]  # Cole: (42 - 25) / 0.5
    assert brain_age_gap(age, predicted).tolist() == [12.0, -8.0]
    gap = brain_age_gap(age, predicted, correction=bias)
    assert gap.tolist() == [2.0, 2.0]
    beheshti = (predicted - age) - ((0.5 - 1) * age + 25)
    de_lange = predicted + (age - (0.5 * age + 25)) - age
    np.testing.assert_allclose(beheshti, gap)
    np.testing.assert_allclose(de_lange, gap)
    np.testing.assert_allclose((bias.correct(predicted) - age) * bias.slope, gap)
    assert brain_age_gap(age, predicted, correction=[0.5, 25]).tolist() == [2.0, 2.0]


def test_gap_left_by_the_fitted_line_does_not_depend_on_age():
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 80, 100)
    predicted = 0.6 * age + 20 + rng.normal(size=100)
    gap = brain_age_gap(age, predicted, correction=fit_age_bias(age, predicted))
    assert np.corrcoef(age, gap)[0, 1] == pytest.approx(0, abs=1e-10)
    assert gap.mean() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: fit_age_bias([50, 50], [40, 60]),
            ValueError,
            "two different ages, but all of 2 rows are 50.0",
        ),
        (lambda: fit_age_bias([50, 60], [40]), ValueError, "inconsistent numbers of samples"),
        (lambda: fit_age_bias([50, np.nan], [40, 60]), ValueError, "y_true contains NaN"),
        (lambda: brain_age_gap([50], [np.inf]), ValueError, "y_pred contains infinity"),
        (lambda: brain_age_gap([50], [60], correction=2.0), TypeError, r"pair \(slope, intercept\).*Got 2.0"),
        (lambda: brain_age_gap([50], [60], correction=(1, np.nan)), TypeError, "of numbers"),
        (lambda: AgeBias(-0.1, 50).correct([50]), ValueError, r"do not rise with age \(slope -0.1\)"),
    ],
)
def test_wrong_ages_and_corrections_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


AGE = [20, 29.9, 30, 45, 50, 50]
PREDICTED = [24, 28, 33, 45, 44, 60]  # errors 4, -1.9, 3, 0, -6, 10
SEX = ["F", "M", "M", "F", "F", "F"]


def test_errors_by_decade_and_sex_are_those_computed_by_hand():
    table = error_by_group(AGE, PREDICTED, sex=SEX)
    assert table.columns.tolist() == ["n", "mae", "sd", "bias"]
    assert table.index.names == ["age", "sex"]
    assert table.index.tolist() == [
        ("20-30", "F"), ("20-30", "M"), ("20-30", "all"), ("30-40", "M"), ("30-40", "all"),
        ("40-50", "F"), ("40-50", "all"), ("50-60", "F"), ("50-60", "all"),
        ("all", "F"), ("all", "M"), ("all", "all"),
    ]  # fmt: skip
    assert table["n"].tolist() == [1, 1, 2, 1, 1, 1, 1, 2, 2, 4, 2, 6]
    row = table.loc[("50-60", "F")]
    assert row[["mae", "bias"]].tolist() == [8.0, 2.0]
    assert row["sd"] == pytest.approx(np.std([6, 10], ddof=1))
    assert table.loc[("all", "M")].to_numpy() == pytest.approx([2, 2.45, np.std([1.9, 3], ddof=1), 0.55])
    assert table.loc[("all", "all"), "mae"] == pytest.approx((4 + 1.9 + 3 + 0 + 6 + 10) / 6)
    assert table.loc[("all", "all"), "bias"] == pytest.approx((4 - 1.9 + 3 + 0 - 6 + 10) / 6)
    assert np.isnan(table.loc[("30-40", "M"), "sd"])


def test_errors_by_one_of_the_two_or_none():
    bands = error_by_group(AGE, PREDICTED, age_bins=[20, 45, 50])
    assert bands["n"].to_dict() == {"20-45": 3, "45-50": 3, "all": 6}  # the last band has both edges
    assert bands.index.name == "age"
    sexes = error_by_group(AGE, PREDICTED, age_bins=None, sex=pd.Series(SEX, index=list("abcdef")))
    assert sexes["bias"].round(2).to_dict() == {"F": 2.0, "M": 0.55, "all": 1.52}
    assert sexes.index.name == "sex"
    assert error_by_group(AGE, PREDICTED, age_bins=None)["n"].to_dict() == {"all": 6}


def test_decades_begin_and_end_with_the_ages():
    assert error_by_group([30, 40], [30, 40]).index.tolist() == ["30-40", "40-50", "all"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"age_bins": [20, 45]}, "from 20 to 45 years, which leaves out 2 ages: 50.0, 50.0"),
        ({"age_bins": [30, 60]}, "leaves out 2 ages: 20.0, 29.9"),
        ({"age_bins": [60, 20]}, "two rising edges at least"),
        ({"age_bins": "decade"}, "'age_bins' parameter of error_by_group must be .* did you mean 'decades'"),
        ({"sex": ["F", None, "M", "F", np.nan, "F"]}, "sex is missing in 2 rows: 1, 4"),
        ({"sex": ["all"] * 6}, "sex holds 'all'"),
        ({"sex": ["F"]}, "inconsistent numbers of samples"),
    ],
)
def test_wrong_bands_and_groups_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        error_by_group(AGE, PREDICTED, **arguments)
