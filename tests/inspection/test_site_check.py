"""Whether the features show a scanner: found where the scans do, and not where they do not."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, HyperFusionSurvival, survival_target
from skhyperfusion.ensemble import FoldEnsembleRegressor
from skhyperfusion.inspection import SiteCheckDisplay, site_check

matplotlib.use("Agg")
FAST = {"base_channels": 2, "max_epochs": 1, "device": "cpu", "random_state": 0}
QUICK = {"n_permutations": 19, "n_resamples": 20, "random_state": 0}


@pytest.fixture(scope="module")
def scanners():
    """90 rows whose scanner leaves a stripe in the picture; the coin leaves nothing: X, values."""
    rng = np.random.default_rng(0)
    scanner = rng.choice(["A", "B", "C"], 90)
    gain = rng.uniform(0, 2, 90)
    pictures = rng.normal(size=(90, 8, 8))
    pictures[:, :, 1] += 3 * (scanner == "B")[:, None]
    pictures[:, 6] += 3 * (scanner == "C")[:, None]
    pictures[:, 3, 3:] += 2 * gain[:, None]
    X = pd.DataFrame(
        {
            "scan": list(pictures),
            "scanner": scanner,
            "gain": gain,
            "coin": rng.choice([0, 1], 90),
            "dose": rng.normal(size=90),
            "subject": np.repeat(np.arange(45), 2),
        },
        index=[f"p{i:02d}" for i in range(90)],
    )
    return X, X["dose"].to_numpy() + rng.normal(size=90)


@pytest.fixture(scope="module")
def network(scanners):
    X, values = scanners
    return HyperFusionRegressor(fusion="image", image_columns="scan", **(FAST | {"base_channels": 8})).fit(
        X, values
    )


def test_scanner_that_marks_the_scans_is_found_and_a_coin_is_not(scanners, network):
    X, _ = scanners
    before = X.copy()
    found = site_check(network, X, "scanner", random_state=0, n_permutations=49)
    assert (found.site, found.kind, found.metric) == ("scanner", "categorical", "balanced accuracy")
    assert found.names == ["A", "B", "C"]
    assert found.p_value == 1 / 50
    assert found.score > 0.6
    assert abs(found.chance - 1 / 3) < 0.05
    assert found.permuted.shape == (49,)
    assert found.n_features == network.embed(X).shape[1]
    assert found.groups is None
    coin = site_check(network, X, "coin", random_state=0, n_permutations=49)
    assert coin.kind == "categorical"
    assert coin.p_value > 0.05
    pd.testing.assert_frame_equal(X, before)


def test_numeric_site_is_scored_by_r2_and_split_into_quarters(scanners, network):
    X, values = scanners
    found = site_check(network, X, X["gain"].to_numpy(), values, **QUICK)
    assert (found.site, found.kind, found.metric) == (None, "numeric", "R2")
    assert found.p_value == 0.05
    assert found.score > 0.2
    assert list(found.groups["n_rows"]) == [23, 22, 22, 23]
    assert site_check(network, X, "coin", kind="numeric", **QUICK).metric == "R2"
    assert site_check(network, X, X["gain"].round(), kind="categorical", **QUICK).kind == "categorical"


def test_score_without_a_group_is_that_of_the_other_rows(scanners, network):
    X, values = scanners
    found = site_check(network, X, "scanner", values, "neg_mean_absolute_error", **QUICK)
    errors = -np.abs(network.predict(X) - values)
    assert found.scoring == "neg_mean_absolute_error"
    assert found.model_score == pytest.approx(errors.mean())
    for name, row in found.groups.iterrows():
        others = (X["scanner"] != name).to_numpy()
        assert row["n_rows"] == 90 - others.sum()
        assert row["score_without"] == pytest.approx(errors[others].mean())
        assert row["change"] == pytest.approx(row["score_without"] - found.model_score)
        assert row["low"] < row["change"] < row["high"]
    half = site_check(network, X, "scanner", values, "neg_mean_absolute_error", confidence=0.5, **QUICK)
    assert np.all(half.groups["high"] - half.groups["low"] < found.groups["high"] - found.groups["low"])
    assert site_check(network, X, "scanner", values, **QUICK).scoring == "r2"


def test_group_that_holds_all_rows_of_a_class_has_no_score_without_it(scanners):
    X, _ = scanners
    labels = np.where(X["scanner"] == "A", "ill", "well")
    model = HyperFusionClassifier(fusion="image", image_columns="scan", **FAST).fit(X, labels)
    found = site_check(model, X, "scanner", labels, **QUICK)
    assert np.isnan(found.groups.loc["A", ["score_without", "change", "low", "high"]].to_numpy(float)).all()
    assert np.isfinite(found.groups.loc["B"].to_numpy(float)).all()


def test_parameters_count(scanners, network):
    X, _ = scanners
    found = site_check(network, X, "coin", **QUICK)
    with pytest.raises(ValueError, match="n_jobs == 0"):  # joblib's
        site_check(network, X, "coin", n_jobs=0, **QUICK)
    other = site_check(network, X, "coin", **(QUICK | {"random_state": 1}))
    assert not np.array_equal(found.permuted, other.permuted)
    for settings in ({"cv": 3}, {"cv": KFold(4)}, {"groups": X["subject"]}):
        changed = site_check(network, X, "coin", **QUICK, **settings)
        assert not np.array_equal(changed.permuted, found.permuted)


def test_rows_of_a_subject_are_permuted_together(scanners, network):
    X, values = scanners
    by_subject = X.assign(ward=np.where(X["subject"] % 2, "north", "south"))
    model = HyperFusionRegressor(image_columns="scan", group_column="subject", **FAST)
    found = site_check(model.fit(by_subject, values), by_subject, "ward", cv=3, **QUICK)
    given = site_check(model, by_subject, by_subject["ward"], groups=by_subject["subject"], cv=3, **QUICK)
    np.testing.assert_array_equal(found.permuted, given.permuted)


def test_every_kind_of_model_is_taken(scanners, study):
    X, values = scanners
    image = {"image_columns": "scan", **FAST}
    ensemble = FoldEnsembleRegressor(HyperFusionRegressor(**image), cv=2).fit(X, values)
    found = site_check(ensemble, X, "scanner", **QUICK)
    assert found.n_features == sum(model.embed(X).shape[1] for model in ensemble.estimators_)
    y = survival_target(np.ones(90, bool), np.exp(values))
    survival = site_check(HyperFusionSurvival(**image).fit(X, y), X, "scanner", y, **QUICK)
    assert survival.scoring == "concordance"
    pipeline = make_pipeline("passthrough", HyperFusionRegressor(**image)).fit(X, values)
    assert site_check(pipeline, X, "scanner", **QUICK).n_features > 0
    scans, labels, _ = study
    model = HyperFusionClassifier(**FAST).fit(scans, labels)
    assert site_check(model, scans, "apoe4", labels, cv=3, **QUICK).scoring == "accuracy"


@pytest.mark.parametrize("fusion", ["hyper", "concat", "film", "daft", "tabular", "late", "reverse"])
def test_every_fusion_has_features_and_is_left_as_it_was(scanners, fusion):
    X, values = scanners
    model = HyperFusionRegressor(fusion=fusion, image_columns="scan", **FAST).fit(X, values)
    before = model.predict(X)
    assert site_check(model, X, "scanner", **QUICK).permuted.shape == (19,)
    np.testing.assert_array_equal(model.predict(X), before)


def test_site_check_refuses_what_it_cannot_tell(scanners, network):
    X, values = scanners
    with pytest.raises(ValueError, match=r"no column 'scaner'; did you mean 'scanner'"):
        site_check(network, X, "scaner")
    with pytest.raises(ValueError, match=r"has gaps \(1 row: 'p00'\)"):
        site_check(network, X, X["scanner"].where(X.index != "p00"))
    with pytest.raises(ValueError, match="all rows have the value 1"):
        site_check(network, X, np.ones(90, int))
    with pytest.raises(ValueError, match="fewer subjects than cv=5 folds"):
        site_check(network, X, np.where(np.arange(90) < 3, "rare", "common"))
    with pytest.raises(TypeError, match="LinearRegression is none of this package"):
        site_check(LinearRegression().fit(X[["dose"]], values), X, "coin")
    with pytest.raises(ValueError, match="inconsistent"):
        site_check(network, X, values[:-1])
    with pytest.raises(NotFittedError):
        site_check(HyperFusionRegressor(), X, "coin")
    for name, value in {
        "kind": "nominal", "n_permutations": 0, "n_resamples": 1, "confidence": 2, "random_state": "a",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            site_check(network, X, "coin", **{name: value})


def test_display_draws_chance_and_score_and_groups(scanners, network):
    X, values = scanners
    display = SiteCheckDisplay.from_estimator(network, X, "scanner", values, "r2", **QUICK)
    assert display.ax_.get_xlabel() == "balanced accuracy of telling scanner from the features"
    assert display.ax_.get_lines()[0].get_xdata()[0] == display.check.score
    assert sum(patch.get_height() for patch in display.ax_.patches) == 19
    assert "p = 0.05" in display.ax_.get_legend().get_texts()[1].get_text()
    display.plot_groups()
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == [
        "without A", "without B", "without C",
    ]  # fmt: skip
    np.testing.assert_array_equal(display.ax_.get_lines()[0].get_xdata(), display.check.groups["change"])
    _, ax = matplotlib.pyplot.subplots()
    assert display.plot(ax=ax).ax_ is ax
    with pytest.raises(ValueError, match="was not given y"):
        SiteCheckDisplay.from_estimator(network, X, "coin", **QUICK).plot_groups()
    matplotlib.pyplot.close("all")
