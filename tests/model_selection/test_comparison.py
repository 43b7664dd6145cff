"""Intervals, tests and corrections against hand calculations and SciPy; the tables and plots made of them."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skhyperfusion.model_selection import Comparison
from skhyperfusion.model_selection._statistics import (
    corrected_interval,
    corrected_standard_error,
    corrected_t_test,
    holm,
    mann_whitney_test,
    wilcoxon_test,
    without_rounding_noise,
)

A = [0.70, 0.80, 0.75, 0.85, 0.90]
B = [0.60, 0.75, 0.70, 0.85, 0.80]
C = [0.71, 0.79, 0.77, 0.86, 0.87]


def make_scores(methods, metric="accuracy", n_train=80, n_test=20):
    return pd.concat(
        pd.DataFrame(
            {
                "method": name,
                "fold": np.arange(len(values)),
                "metric": metric,
                "score": values,
                "fit_seconds": 2.0,
                "score_seconds": 1.0,
                "n_train": n_train,
                "n_test": n_test,
            }
        )
        for name, values in methods.items()
    )


@pytest.fixture
def comparison():
    return Comparison(make_scores({"a": A, "b": B, "c": C}))


def test_corrected_t_test_is_that_of_the_hand_calculation():
    # Differences .10, .05, .05, 0, .10: mean .06,
    # variance (.04^2 + .01^2 + .01^2 + .06^2 + .04^2) / 4 = .00175,
    # standard error sqrt(.00175 * (1/5 + 20/80)) = sqrt(.0007875) = .0280624, t = 2.138090 with 4 degrees.
    difference = np.subtract(A, B)
    assert corrected_standard_error(difference, 20 / 80) == pytest.approx(0.02806243)
    expected = 2 * stats.t.sf(0.06 / 0.02806243, 4)
    assert expected == pytest.approx(0.0993, abs=1e-4)
    assert corrected_t_test(difference, 20 / 80) == pytest.approx(expected)


def test_corrected_t_test_without_overlap_is_the_paired_t_test():
    assert corrected_t_test(np.subtract(A, B), 0) == pytest.approx(stats.ttest_rel(A, B).pvalue)


def test_corrected_interval_holds_zero_exactly_when_the_test_says_so():
    difference = np.subtract(A, B)
    p_value = corrected_t_test(difference, 0.25)
    low, high = corrected_interval(difference, 0.25, 1 - p_value)
    assert low == pytest.approx(0)
    assert high == pytest.approx(2 * difference.mean())


def test_corrected_interval_without_overlap_is_scipys():
    expected = stats.ttest_1samp(A, 0).confidence_interval(0.9)
    np.testing.assert_allclose(corrected_interval(A, 0, 0.9), expected)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [([0, 0, 0], 1), ([0.1, 0.1, 0.1], 0), ([0.3], np.nan), ([0.1, np.nan], np.nan)],
)
def test_corrected_t_test_at_its_limits(difference, expected):
    np.testing.assert_equal(corrected_t_test(difference, 0.25), expected)


def test_wilcoxon_is_scipys_and_one_without_differences():
    difference = np.subtract(A, C)
    assert wilcoxon_test(difference) == stats.wilcoxon(A, C).pvalue
    assert wilcoxon_test([0, 0, 0]) == 1
    # Five differences of one sign: two of the 2^5 sign patterns are as extreme.
    assert wilcoxon_test([0.1, 0.2, 0.3, 0.4, 0.5]) == 2 / 2**5
    np.testing.assert_equal([wilcoxon_test([]), wilcoxon_test([0.1, np.nan])], [np.nan, np.nan])


def test_mann_whitney_is_scipys():
    assert mann_whitney_test(A, C) == stats.mannwhitneyu(A, C).pvalue
    # All of one above all of the other: two of the C(6, 3) = 20 arrangements.
    assert mann_whitney_test([4, 5, 6], [1, 2, 3]) == pytest.approx(2 / 20)
    np.testing.assert_equal([mann_whitney_test([], A), mann_whitney_test([np.nan], A)], [np.nan, np.nan])


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        # Sorted .01, .02, .03, .04: times 4, 3, 2, 1 = .04, .06, .06, .04; none smaller than the one before.
        ([0.02, 0.04, 0.01, 0.03], [0.06, 0.06, 0.04, 0.06]),
        ([0.5, 0.9, 0.4], [1, 1, 1]),
        ([np.nan, 0.02, 0.03], [np.nan, 0.04, 0.04]),
        ([np.nan], [np.nan]),
        ([], []),
    ],
)
def test_holm_is_that_of_the_hand_calculation(p_values, expected):
    np.testing.assert_allclose(holm(p_values), expected)


def test_rounding_noise_is_removed_and_nothing_else():
    values = [0.1 + 0.2 - 0.3, 0.3 - 0.2, 0.1, 1e-9]
    cleaned = without_rounding_noise(values, scale=0.3)
    assert cleaned[0] == 0
    assert cleaned[1] == cleaned[2]
    np.testing.assert_allclose(cleaned[1:], values[1:], rtol=1e-3)
    np.testing.assert_array_equal(without_rounding_noise([0.0], scale=0), [0])


def test_table_has_a_row_per_method_with_the_figures_of_the_functions(comparison):
    table = comparison.table()
    assert table.index.tolist() == ["a", "b", "c"]
    assert table["folds"].tolist() == [5, 5, 5]
    np.testing.assert_allclose(table["mean"], [np.mean(A), np.mean(B), np.mean(C)])
    np.testing.assert_allclose(table["sd"], [np.std(v, ddof=1) for v in (A, B, C)])
    np.testing.assert_allclose(table.loc["b", ["low", "high"]].tolist(), corrected_interval(B, 0.25, 0.95))
    np.testing.assert_allclose(table["difference"], [np.nan, -0.06, 0.0], atol=1e-12)
    difference = np.subtract(B, A)
    np.testing.assert_allclose(
        table.loc["b", ["difference_low", "difference_high"]].tolist(),
        corrected_interval(difference, 0.25, 0.95),
    )
    assert table.loc["b", "p_corrected_t"] == pytest.approx(corrected_t_test(difference, 0.25))
    assert table.loc["c", "p_wilcoxon"] == pytest.approx(stats.wilcoxon(np.subtract(C, A)).pvalue)
    assert table.loc["c", "p_mann_whitney"] == pytest.approx(stats.mannwhitneyu(C, A).pvalue)
    for test in ("corrected_t", "wilcoxon", "mann_whitney"):
        np.testing.assert_allclose(table[f"p_{test}_holm"], holm(table[f"p_{test}"]))
    assert table["fit_seconds"].tolist() == [2, 2, 2]


def test_table_of_identical_methods_has_p_values_of_one():
    table = Comparison(make_scores({"a": A, "b": A})).table()
    p_values = table.loc["b", [name for name in table if name.startswith("p_")]]
    assert p_values.tolist() == [1.0] * 6


def test_reference_is_met_by_the_others():
    table = Comparison(make_scores({"a": A, "b": B}), reference="b").table()
    assert table.loc["a", "difference"] == pytest.approx(0.06)
    assert np.isnan(table.loc["b", "difference"])


def test_confidence_widens_the_interval():
    scores = make_scores({"a": A})
    widths = [Comparison(scores, confidence=c).table().eval("high - low").item() for c in (0.5, 0.95)]
    assert widths[0] < widths[1]


def test_sizes_of_the_folds_widen_the_interval():
    few, many = (
        Comparison(make_scores({"a": A}, n_test=n)).table().eval("high - low").item() for n in (20, 80)
    )
    assert many / few == pytest.approx(np.sqrt((1 / 5 + 1) / (1 / 5 + 1 / 4)))


def test_metric_chooses_the_rows(comparison):
    both = Comparison(pd.concat([comparison.scores, make_scores({"a": B, "b": A}, metric="f1")]))
    assert both.table()["mean"].tolist() == comparison.table()["mean"].tolist()
    assert both.table("f1").loc["b", "mean"] == pytest.approx(np.mean(A))
    assert np.isnan(both.table("f1").loc["c", "mean"])
    with pytest.raises(
        ValueError, match="metric='acuracy' is none of 2 metrics: 'accuracy', 'f1'; did you mean 'accuracy'"
    ):
        both.table("acuracy")


def test_missing_folds_are_left_out_of_the_pairs():
    scores = make_scores({"a": A, "b": B[:3]})
    table = Comparison(scores).table()
    assert table["folds"].tolist() == [5, 3]
    assert table.loc["b", "difference"] == pytest.approx(np.mean(np.subtract(B[:3], A[:3])))
    expected = corrected_t_test(np.subtract(B[:3], A[:3]), 0.25)
    assert table.loc["b", "p_corrected_t"] == pytest.approx(expected)


def test_methods_without_a_common_fold_have_no_difference():
    scores = make_scores({"a": A, "b": B})
    scores = scores[(scores["method"] == "a") == (scores["fold"] < 2)]
    assert np.isnan(Comparison(scores).table().loc["b", "difference"])


def test_score_that_is_nan_is_not_hidden():
    table = Comparison(make_scores({"a": A, "b": [np.nan, *B[1:]]})).table()
    assert table.loc["b", "folds"] == 5
    figures = table.loc["b"].drop(["folds", "fit_seconds"])
    assert figures.isna().all()


def test_single_fold_has_a_difference_but_no_interval():
    row = Comparison(make_scores({"a": A[:1], "b": B[:1]})).table().loc["b"]
    assert row["difference"] == pytest.approx(-0.1)
    assert row[["sd", "low", "difference_high", "p_corrected_t", "p_wilcoxon", "p_mann_whitney"]].isna().all()


def test_repr_prints_every_metric(comparison):
    both = Comparison(pd.concat([comparison.scores, make_scores({"a": B, "b": A}, metric="f1")]))
    text = repr(both)
    assert text.startswith("Comparison of 3 methods: 'a', 'b', 'c' in 5 folds; 95 % intervals")
    assert "accuracy\n" in text
    assert "f1\n" in text
    assert "-0.060" in text
    assert "nan" not in text


def test_comparison_is_made_again_from_a_saved_table(comparison, tmp_path):
    comparison.scores.to_csv(tmp_path / "scores.csv", index=False)
    again = Comparison(pd.read_csv(tmp_path / "scores.csv"))
    pd.testing.assert_frame_equal(again.table(), comparison.table())
    without_seconds = comparison.scores.drop(columns=["fit_seconds", "score_seconds"])
    assert Comparison(without_seconds).table()["fit_seconds"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.drop(columns=["n_test"]), "lacks 1 column: 'n_test'"),
        (lambda s: s.iloc[:0], "at least one score"),
        (lambda s: pd.concat([s, s.iloc[:1]]), r"there are more in 1 row: \('a', 0, 'accuracy'\)"),
    ],
)
def test_table_of_scores_that_does_not_fit_is_refused(comparison, change, message):
    with pytest.raises(ValueError, match=message):
        Comparison(change(comparison.scores))


def test_confidence_in_per_cent_is_refused(comparison):
    with pytest.raises(ValueError, match=r"confidence must be a number in \(0, 1\). Got 95"):
        Comparison(comparison.scores, confidence=95)


def test_unknown_reference_is_refused(comparison):
    with pytest.raises(ValueError, match="reference='d' is none of 3 methods: 'a', 'b', 'c'"):
        Comparison(comparison.scores, reference="d")


def test_plot_shows_folds_means_and_intervals(comparison):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    ax = comparison.plot()
    dots = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 5]
    for values in (A, B, C):
        assert any(np.allclose(sorted(dot), sorted(values)) for dot in dots)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert "accuracy" in ax.get_xlabel()
    assert ax.yaxis_inverted()  # the first method at the top
    bars = ax.containers[0]
    np.testing.assert_allclose(bars[0].get_xdata(orig=False), comparison.table()["mean"])
    ends = np.array([segment[:, 0] for segment in bars[2][0].get_segments()])
    np.testing.assert_allclose(ends, comparison.table()[["low", "high"]])
    plt.close(ax.figure)


def test_plot_draws_where_it_is_told_and_the_metric_it_is_told(comparison):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    both = Comparison(pd.concat([comparison.scores, make_scores({"a": B, "b": A}, metric="f1")]))
    figure, axes = plt.subplots()
    assert both.plot("f1", ax=axes) is axes
    assert "f1" in axes.get_xlabel()
    with pytest.raises(ValueError, match="metric='f2' is none of"):
        both.plot("f2", ax=axes)
    plt.close(figure)


@pytest.mark.parametrize(
    ("metric", "errors", "title"),
    [
        ("neg_mean_absolute_error", None, "mean absolute error (less is better)"),
        ("MAE, years", ["MAE, years"], "MAE, years (less is better)"),
    ],
)
def test_errors_are_shown_without_their_minus_sign(comparison, metric, errors, title):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    negative = {name: [-value for value in values] for name, values in {"a": A, "b": B, "c": C}.items()}
    both = [make_scores(negative, metric=metric), make_scores({"a": A, "b": B}, metric="r2")]
    shown = Comparison(pd.concat(both), errors=errors)
    assert shown.errors == [metric]
    pd.testing.assert_frame_equal(shown.table(metric), comparison.table())
    assert shown.table(metric).loc["b", "difference"] < 0  # of errors: b errs less
    assert shown.scores["score"].min() == -0.9  # as scikit-learn gives them
    assert f"\n{title}\n" in repr(shown)
    assert "-0.80" not in repr(shown)
    ax = shown.plot(metric)
    assert ax.get_xlabel() == f"{title}: folds, mean, 95 % interval"
    assert min(ax.lines[0].get_xdata()) == 0.7
    plt.close(ax.figure)
    assert "less is better" not in shown.plot("r2").get_xlabel()
    plt.close("all")


def test_errors_may_be_none_of_the_metrics(comparison):
    scores = comparison.scores.assign(metric="neg_entropy")
    pd.testing.assert_frame_equal(Comparison(scores, errors=[]).table(), comparison.table())
    with pytest.raises(ValueError, match=r"'errors' parameter of Comparison .* did you mean 'neg_entropy'"):
        Comparison(scores, errors=["neg_entrpy"])


def test_notebook_shows_a_table_for_each_metric_and_escapes_names():
    scores = make_scores({"<b>a": A, "b & c": B}, metric="neg_max_error")
    shown = Comparison(pd.concat([scores, make_scores({"<b>a": A, "b & c": B})]))._repr_html_()
    assert shown.count("<table") == 2
    assert "<b>max error (less is better)</b>" in shown
    assert "<b>accuracy</b>" in shown
    assert "&lt;b&gt;a" in shown
    assert "b &amp; c" in shown
    assert "0.800" in shown  # the mean of A
    assert "p-values after Holm" in shown


def test_plot_without_matplotlib_says_what_to_install(comparison, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"Comparison.plot needs matplotlib.*skhyperfusion\[plot\]"):
        comparison.plot()
