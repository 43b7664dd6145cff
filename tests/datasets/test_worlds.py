"""What the generating models promise, on their latent variables: no scan is drawn."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, log_loss, mean_absolute_error
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyperfusion._curves import concordance_index
from skhyperfusion.datasets import _age, _dementia, _diagnosis, make_brain_cohort


@pytest.fixture(autouse=True)
def without_scans(monkeypatch):
    monkeypatch.setattr("skhyperfusion.datasets._cohort.write_scans", lambda _, names, *rest: list(names))


def numbers_of(cohort):
    """Table as numbers, complete; and the moderators of the generating model."""
    table = cohort.complete.assign(man=cohort.complete["sex"].eq("M").astype(float))
    if "apoe4" in table:
        table["carrier"] = table["apoe4"].gt(0).astype(float)
    moderators = table[[c for c in ("carrier", "man") if c in table]].to_numpy()
    return table.select_dtypes("number").to_numpy(dtype=float), moderators


def scores_of(cohort):
    """Cross-validated scores of image, table, their sum, and their sum with the model's products."""
    image = cohort.truth.filter(regex="_atrophy|_enlargement|_loss").to_numpy()
    table, moderators = numbers_of(cohort)
    products = (image[:, :, None] * moderators[:, None, :]).reshape(len(image), -1)
    designs = {
        "image": [image],
        "table": [table],
        "sum": [image, table],
        "products": [image, table, products],
    }
    if cohort.target.name == "age":
        model, score = Ridge(), mean_absolute_error
    else:
        model, score = LogisticRegression(class_weight="balanced", max_iter=500), balanced_accuracy_score
    model = make_pipeline(StandardScaler(), model)
    return {
        name: score(cohort.target, cross_val_predict(model, np.hstack(parts), cohort.target, cv=5))
        for name, parts in designs.items()
    }


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_diagnosis_when_it_interacts_needs_the_products(n_classes, seed):
    cohort = make_brain_cohort(500, n_classes=n_classes, missing_rate=None, random_state=seed)
    score = scores_of(cohort)
    assert max(score["image"], score["table"]) < score["sum"] - 0.01
    assert score["sum"] < score["products"] - 0.09
    assert score["products"] < cohort.best_score["balanced_accuracy"]
    assert min(score["image"], score["table"]) > 1 / n_classes + 0.08


@pytest.mark.parametrize("n_classes", [2, 3])
def test_diagnosis_when_nothing_interacts_is_additive(n_classes):
    cohort = make_brain_cohort(500, n_classes=n_classes, interaction=0, random_state=0)
    score = scores_of(cohort)
    assert score["sum"] > score["products"] - 0.02
    assert score["sum"] > cohort.best_score["balanced_accuracy"] - 0.07
    assert score["sum"] > max(score["image"], score["table"]) + 0.03


@pytest.mark.parametrize("n_classes", [2, 3])
def test_diagnosis_when_the_table_is_noise_is_in_the_image_alone(n_classes):
    cohort = make_brain_cohort(500, n_classes=n_classes, table_informative=False, random_state=0)
    score = scores_of(cohort)
    assert score["image"] > score["sum"] - 0.01
    assert score["image"] > cohort.best_score["balanced_accuracy"] - 0.05
    assert abs(score["table"] - 1 / n_classes) < 0.07


@pytest.mark.parametrize("seed", [0, 1])
def test_age_when_it_interacts_needs_the_products(seed):
    cohort = make_brain_cohort(400, task="age", random_state=seed)
    score = scores_of(cohort)
    assert min(score["image"], score["table"]) > score["sum"] + 2
    assert score["sum"] > 2 * score["products"]
    assert 0 < score["products"] - cohort.best_score["mean_absolute_error"] < 1


def test_age_when_nothing_interacts_is_additive():
    cohort = make_brain_cohort(400, task="age", interaction=0, random_state=0)
    score = scores_of(cohort)
    assert score["image"] > score["sum"] + 4
    assert abs(score["sum"] - score["products"]) < 0.1
    assert score["sum"] - cohort.best_score["mean_absolute_error"] < 0.4


def test_age_when_the_table_is_noise_is_in_the_image_alone():
    score = scores_of(make_brain_cohort(400, task="age", table_informative=False, random_state=0))
    assert abs(score["image"] - score["sum"]) < 0.1
    assert score["table"] > 15


@pytest.mark.parametrize("informative", [True, False])
@pytest.mark.parametrize("missing_rate", [None, "paper", 0.3])
def test_posterior_when_held_against_classes_is_calibrated(missing_rate, informative):
    cohort = make_brain_cohort(
        1500, missing_rate=missing_rate, table_informative=informative, noise=4, random_state=2
    )
    p = cohort.truth.filter(like="p_").to_numpy()
    truth = np.stack([cohort.target.eq(name) for name in ("CN", "MCI", "AD")], axis=1)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    bins = np.digitize(p.ravel(), np.linspace(0, 1, 6)[1:-1])
    table = pd.DataFrame({"p": p.ravel(), "truth": truth.ravel()}).groupby(bins).mean()
    np.testing.assert_allclose(table["p"], table["truth"], atol=0.06)
    # A proper score is best at the truth: neither a bolder nor a shyer posterior scores better.
    loss = [log_loss(truth, q / q.sum(axis=1, keepdims=True)) for q in (p**0.8, p, p**1.25)]
    assert loss[1] == min(loss)


def test_posterior_when_causes_are_missing_equals_the_average_over_like_subjects():
    rng = np.random.default_rng(0)
    cohort = make_brain_cohort(300, missing_rate=0.5, random_state=1)
    gaps = cohort.data.isna()
    model = {"interaction": 1.0, "informative": True, "scale": 0.2, "classes": np.array(["CN", "MCI", "AD"])}
    model["thresholds"] = np.array([-0.7, 1.4])
    markers = list(_diagnosis.MARKERS)
    gaps[markers] = True  # the markers have a test of their own
    row = np.flatnonzero(gaps[["age", "apoe4"]].all(axis=1))[:1]
    table, latents = cohort.complete.iloc[row], cohort.truth.iloc[row]
    exact = _diagnosis.posterior(table, gaps.iloc[row], latents, model)[0]

    many = _diagnosis._covariates(200_000, rng)
    if not gaps["education"].iloc[row[0]]:
        many["education"] = table["education"].iloc[0]
    many["sex"] = table["sex"].iloc[0]
    age = (many["age"] - 73) / 7
    weight = np.ones(len(many))
    for name, slope in _diagnosis.AGEING.items():
        weight *= np.exp(-((latents[name].iloc[0] - slope * age) ** 2) / (2 * (1 - slope**2)))
    picture = {name: latents[name].to_numpy() for name in _diagnosis.AGEING}
    severity = _diagnosis._severity({name: many[name].to_numpy() for name in many}, picture, model)
    sampled = weight @ _diagnosis._class_probabilities(severity, model) / weight.sum()
    np.testing.assert_allclose(exact, sampled, atol=0.01)


def test_markers_when_censored_count_with_their_tail():
    table = pd.DataFrame({name: [np.exp(rule[0])] * 2 for name, rule in _diagnosis.MARKERS.items()})
    table["csf_abeta"] = [100.0, 150.0]  # both are shown as "<200"
    gaps = pd.DataFrame(False, index=table.index, columns=table.columns)
    likelihood = _diagnosis._marker_likelihood(table, gaps, 3, True)
    np.testing.assert_array_equal(likelihood[0], likelihood[1])
    assert likelihood[0, 2] - likelihood[0, 0] > 0.5  # low A-beta speaks for AD
    gaps["csf_abeta"] = True
    assert np.ptp(_diagnosis._marker_likelihood(table, gaps, 3, True)[0]) < np.ptp(likelihood[0])


@pytest.mark.parametrize("missing_rate", [None, 0.4])
@pytest.mark.parametrize("interaction", [0, 1])
def test_age_posterior_when_held_against_ages_is_calibrated(interaction, missing_rate):
    settings = {"interaction": interaction, "missing_rate": missing_rate, "task": "age"}
    cohort = make_brain_cohort(800, noise=2, random_state=3, **settings)
    error = (cohort.target - cohort.truth["expected_age"]) / cohort.truth["sd_age"]
    assert abs(error.mean()) < 0.1
    assert 0.93 < error.std() < 1.07
    assert abs((cohort.target < cohort.truth["median_age"]).mean() - 0.5) < 0.05


def test_age_posterior_when_integrated_is_uniform_at_the_truth():
    cohort = make_brain_cohort(600, task="age", missing_rate=None, random_state=4)
    model = {"interaction": 1.0, "informative": True, "noise": 1.0}
    gaps = cohort.complete.isna()
    ages, density = _age.posterior(cohort.complete, gaps, cohort.truth, model)
    below = (density * (ages < cohort.target.to_numpy()[:, None])).sum(axis=1)
    assert kstest(below, "uniform").pvalue > 0.01


def test_latents_when_drawn_have_unit_variance_for_the_picture():
    for world, task in ((_diagnosis, "diagnosis"), (_age, "age"), (_dementia, "survival")):
        for informative in (True, False):
            cohort = make_brain_cohort(
                1000, task=task, table_informative=informative, missing_rate=None, random_state=0
            )
            scale = world.picture_scale({"interaction": 1.0, "informative": informative, "noise": 1.0})
            spread = [cohort.truth[name].std() / scale[name] for name in scale]
            np.testing.assert_allclose(spread, 1, atol=0.07)


def survival_of(n=1500, **settings):
    return make_brain_cohort(n, task="survival", **{"random_state": 5} | settings)


@pytest.mark.parametrize("interaction", [0, 1])
def test_survival_when_censored_is_so_for_about_half_and_by_both_ways(interaction):
    cohort = survival_of(interaction=interaction)
    censored = ~cohort.target["event"]
    assert 0.4 < censored.mean() < 0.6
    time = cohort.target["time"][censored]
    assert (time < 5).mean() > 0.15  # who left: the study closes after 5 years at the earliest
    assert (time >= 5).mean() > 0.3
    assert cohort.target["time"].max() <= 8
    seen = cohort.target["event"]
    np.testing.assert_allclose(
        cohort.target["time"][seen], np.maximum(cohort.truth["dementia_time"][seen], 0.01), atol=0.0051
    )
    assert (cohort.target["time"][censored] <= cohort.truth["dementia_time"][censored] + 0.006).all()


@pytest.mark.parametrize("noise", [0.5, 2.0])
@pytest.mark.parametrize("informative", [True, False])
@pytest.mark.parametrize("missing_rate", [None, 0.5])
def test_true_curves_when_held_against_times_are_calibrated(missing_rate, informative, noise):
    cohort = survival_of(missing_rate=missing_rate, table_informative=informative, noise=noise)
    time = cohort.truth["dementia_time"].to_numpy()[:, None]
    alive = time > cohort.true_curves.columns.to_numpy()
    p = cohort.true_curves.to_numpy()
    np.testing.assert_allclose(p.mean(axis=0), alive.mean(axis=0), atol=0.03)
    at = 12  # after 3 years
    bins = np.digitize(p[:, at], np.linspace(0, 1, 6)[1:-1])
    told = pd.DataFrame({"p": p[:, at], "alive": alive[:, at], "variance": p[:, at] * (1 - p[:, at])})
    told = told.groupby(bins).agg(["mean", "sum", "size"])
    spread = np.sqrt(told["variance"]["sum"]) / told["p"]["size"]
    assert (abs(told["p"]["mean"] - told["alive"]["mean"]) < 3.5 * spread).all()
    # A proper score is best at the truth: neither a bolder nor a shyer curve scores better.
    others = [p[:, at] ** k / (p[:, at] ** k + (1 - p[:, at]) ** k) for k in (0.7, 1, 1.4)]
    loss = [log_loss(alive[:, at], other) for other in others]
    assert loss[1] == min(loss)


def test_best_concordance_when_reached_is_that_of_the_hazards():
    cohort = survival_of(missing_rate=None)
    event, time = cohort.target["event"], cohort.target["time"]
    exact = concordance_index(event, time, cohort.truth["log_hazard"].to_numpy())
    assert cohort.best_score["concordance"] == pytest.approx(exact, abs=1e-3)
    assert survival_of(missing_rate=0.5).best_score["concordance"] < exact - 0.01
    assert survival_of(missing_rate=None, noise=0).best_score["concordance"] > 0.99
    assert survival_of(n=1).best_score == {}  # one subject has nobody to be compared with


@pytest.mark.parametrize(("interaction", "gain"), [(0, 0.0), (1, 0.05)])
def test_survival_when_it_interacts_needs_the_product(interaction, gain):
    cohort = survival_of(missing_rate=None, interaction=interaction)
    truth, table = cohort.truth, cohort.complete
    carrier = np.where(table["apoe4"] > 0, 1.0, -1.0)
    atrophy = truth["hippocampal_atrophy"].to_numpy()
    columns = {"image": [atrophy], "sum": [atrophy, carrier, table["age"]]}
    columns["products"] = [*columns["sum"], carrier * atrophy]
    risk = {
        name: LinearRegression().fit(np.column_stack(x), truth["log_hazard"]).predict(np.column_stack(x))
        for name, x in columns.items()
    }
    event, time = cohort.target["event"], cohort.target["time"]
    score = {name: concordance_index(event, time, x) for name, x in risk.items()}
    assert score["image"] > 0.6
    assert score["sum"] > score["image"]
    assert score["products"] >= score["sum"] + gain
    assert score["products"] == pytest.approx(cohort.best_score["concordance"], abs=0.01)
