"""The world of ``task="age"``: healthy subjects whose brains age at the pace of their sex."""

import numpy as np
import pandas as pd
from sklearn.metrics import mean_absolute_error, r2_score

AGE_RANGE = (20.0, 85.0)
AGE_MEAN, AGE_SD = 52.5, 65 / np.sqrt(12)
PACE, OFFSET = 0.6, 0.8  # of men over the mean, at interaction=1; women lie as far below
# What the picture shows of the brain's atrophy: weight and noise.
FEATURES = {
    "ventricular_enlargement": (1.0, 0.25),
    "hippocampal_atrophy": (0.7, 0.30),
    "cortical_atrophy": (1.0, 0.30),
    "white_matter_loss": (1.0, 0.30),
}
HEIGHT = {"M": 177.0, "F": 164.0}  # cm, at the mean age
HEIGHT_SD, EDUCATION_MEAN, EDUCATION_SD = 6.5, 14.5, 2.5
PAPER_RATES: dict[str, float] = {}  # its table is the sex, complete


def draw(n, *, rng, interaction, informative, noise):
    """Draw the subjects.

    Parameters
    ----------
    n : int
    rng : callable
        From a stream's name to its numpy.random.Generator.
    interaction, informative, noise
        As in ``make_brain_cohort``.

    Returns
    -------
    table : DataFrame, complete
    latents : DataFrame of what the picture shows
    target : ndarray of ages
    model : dict of what ``posterior`` needs
    """
    random = rng("covariates")
    age = random.uniform(*AGE_RANGE, n).round(1)
    sex = random.choice(["F", "M"], n)
    model = {"interaction": interaction, "informative": informative, "noise": noise}
    height, education = _covariates(age, sex, model)
    table = pd.DataFrame(
        {
            "sex": sex,
            "education": (education + EDUCATION_SD * random.standard_normal(n)).round(),
            "height": (height + HEIGHT_SD * random.standard_normal(n)).round(1),
        }
    )
    random = rng("latents")
    atrophy = _atrophy(age, sex, model)
    latents = pd.DataFrame(
        {
            name: weight * atrophy + noise * sd * random.standard_normal(n)
            for name, (weight, sd) in FEATURES.items()
        }
    )
    return table, latents, age, model


def present(table, gaps):
    """Leave the gaps out."""
    return table.mask(gaps)


def picture_scale(model):
    """By what the picture divides each latent variable: its standard deviation over the subjects."""
    variance = 1.0
    if model["informative"]:
        variance += (PACE * model["interaction"]) ** 2 + OFFSET**2
    return {name: np.sqrt(weight**2 * variance + sd**2) for name, (weight, sd) in FEATURES.items()}


def posterior(table, gaps, latents, model):
    """Compute P(age | latent variables of the picture, table as shown) on a grid of ages.

    Returns
    -------
    ages : ndarray of shape (n_ages,)
    density : ndarray of shape (n, n_ages), rows sum to one
    """
    ages = np.linspace(*AGE_RANGE, 651)
    sex = table["sex"].to_numpy()[:, None]
    atrophy = _atrophy(ages, sex, model)
    log_p = np.zeros((len(table), len(ages)))
    for name, (weight, sd) in FEATURES.items():
        sd = max(sd * model["noise"], 1e-3)
        log_p -= ((latents[name].to_numpy()[:, None] - weight * atrophy) / sd) ** 2 / 2
    height, education = _covariates(ages, sex, model)
    for name, mean, sd in (("height", height, HEIGHT_SD), ("education", education, EDUCATION_SD)):
        term = ((table[name].to_numpy()[:, None] - mean) / sd) ** 2 / 2
        log_p -= np.where(gaps[name].to_numpy()[:, None], 0.0, term)
    density = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return ages, density / density.sum(axis=1, keepdims=True)


def summarise(posterior, target, model):
    """Return what is known of each subject and the best that can be reached: (truth, best score)."""
    ages, density = posterior
    mean = density @ ages
    below = density.cumsum(axis=1)
    truth = pd.DataFrame(
        {
            "expected_age": mean,
            "median_age": ages[(below >= 0.5).argmax(axis=1)],
            "sd_age": np.sqrt(np.maximum(density @ ages**2 - mean**2, 0)),
        }
    )
    score = {"mean_absolute_error": float(mean_absolute_error(target, truth["median_age"]))}
    if len(target) > 1:
        score["r2"] = float(r2_score(target, mean))
    return truth, score


def _atrophy(age, sex, model):
    """Mean atrophy at an age, in a sex: with the interaction, sex multiplies the age."""
    man = np.where(sex == "M", 1.0, -1.0) if model["informative"] else 0.0
    return (1 + PACE * model["interaction"] * man) * (age - AGE_MEAN) / AGE_SD + OFFSET * man


def _covariates(age, sex, model):
    """Mean height and education: later cohorts are taller and better educated."""
    years = age - AGE_MEAN if model["informative"] else 0.0 * age
    return np.where(sex == "M", HEIGHT["M"], HEIGHT["F"]) - 0.1 * years, EDUCATION_MEAN - 0.03 * years
