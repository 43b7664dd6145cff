"""The world of ``task="age"``: healthy subjects whose pictures age at the pace of their sex."""

import numpy as np
import pandas as pd

AGE_RANGE = (20.0, 85.0)
AGE_MEAN, AGE_SD = 52.5, 65 / np.sqrt(12)
# name: pace of ageing, share of the pace that sex turns, offset of men, noise
FEATURES = {
    "ventricular_enlargement": (1.0, 0.6, 0.3, 0.35),
    "cortical_atrophy": (1.0, 0.6, -0.3, 0.40),
    "hippocampal_atrophy": (0.7, 0.6, 0.2, 0.45),
    "white_matter_loss": (1.0, 1.0, 0.0, 0.45),
}
PAPER_RATES = {}  # its table is the sex, complete
HEIGHT = {"M": 177.0, "F": 164.0}


def draw(n, *, rng, interaction, informative, noise):
    """Draw the subjects; see ``_diagnosis.draw``."""
    random = rng("covariates")
    age = random.uniform(*AGE_RANGE, n).round(1)
    sex = random.choice(["F", "M"], n)
    link = 1.0 if informative else 0.0
    years = link * (age - AGE_MEAN)
    height = np.where(sex == "M", HEIGHT["M"], HEIGHT["F"]) - 0.1 * years + 6.5 * random.standard_normal(n)
    education = (14.5 - 0.03 * years + 2.5 * random.standard_normal(n)).round().clip(6, 22)
    table = pd.DataFrame({"sex": sex, "education": education, "height": height})
    model = {"interaction": interaction, "informative": informative, "noise": noise}
    random = rng("latents")
    latents = pd.DataFrame(
        {
            name: mean + sd * random.standard_normal(n)
            for name, (mean, sd) in _features(age, sex, model).items()
        }
    )
    return table, latents, age, model


def present(table, gaps):
    """Round the table and leave the gaps out."""
    return table.assign(height=table["height"].round(1)).mask(gaps)


def picture_scale(model):
    """By what the picture divides each latent variable: its standard deviation over the subjects."""
    scale = {}
    for name, (pace, share, offset, noise) in FEATURES.items():
        turned, offset = (share * model["interaction"], offset) if model["informative"] else (0.0, 0.0)
        scale[name] = np.sqrt(pace**2 * (_common(share, model) ** 2 + turned**2) + offset**2 + noise**2)
    return scale


def posterior(table, gaps, latents, model):
    """Compute P(age | latent variables of the picture, table as shown) on a grid of ages.

    Returns
    -------
    ages : ndarray of shape (n_ages,)
    density : ndarray of shape (n, n_ages), rows sum to one
    """
    ages = np.linspace(*AGE_RANGE, 651)
    log_p = np.zeros((len(table), len(ages)))
    sex = table["sex"].to_numpy()
    for name, (mean, sd) in _features(ages[None], sex[:, None], model).items():
        sd = max(sd, 1e-3)
        log_p -= ((latents[name].to_numpy()[:, None] - mean) / sd) ** 2 / 2
    if model["informative"]:
        years = ages - AGE_MEAN
        base = np.where(sex == "M", HEIGHT["M"], HEIGHT["F"])[:, None]
        for name, mean, sd in (("height", base - 0.1 * years, 6.5), ("education", 14.5 - 0.03 * years, 2.5)):
            term = ((table[name].to_numpy(float)[:, None] - mean) / sd) ** 2 / 2
            log_p -= np.where(gaps[name].to_numpy()[:, None], 0.0, term)
    density = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return ages, density / density.sum(axis=1, keepdims=True)


def _common(share, model):
    """Part of the pace that both sexes have; a share of one turns the whole pace."""
    if not model["informative"] or share < 1:
        return 1.0
    return 1.0 - model["interaction"]


def _features(age, sex, model):
    """Mean and sd of what the picture shows at an age, in a sex."""
    tau = (age - AGE_MEAN) / AGE_SD
    man = np.where(sex == "M", 1.0, -1.0) if model["informative"] else np.zeros(np.shape(sex))
    out = {}
    for name, (pace, share, offset, noise) in FEATURES.items():
        rate = pace * (_common(share, model) + share * model["interaction"] * man)
        out[name] = (rate * tau + offset * man, noise * model["noise"])
    return out
