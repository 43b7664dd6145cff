"""The world of ``task="survival"``: elderly subjects, some of whom become demented while they are followed.

Weibull hazards, proportional to the exponential of a linear predictor: closed forms all the way, so that the
curve of a subject given the picture's latent variables and the table, gaps included, is exact.
"""

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid

from skhyperfusion._curves import concordance_index
from skhyperfusion.datasets._diagnosis import (
    AGE_MEAN,
    AGE_RANGE,
    AGE_SD,
    AGEING,
    APOE4,
    draw_subjects,
    log_prior,
)

MIXING = np.deg2rad(45)  # of the image's gain at interaction=1
IMAGE_EFFECT, CARRIER_EFFECT, AGE_EFFECT = 2.0, 0.4, 0.4  # on the logarithm of the hazard
SCALE, SHAPE = 6.5, 1.5  # of the Weibull distribution: years, and how steeply the hazard rises
RECRUITED, STUDY = 3.0, 8.0  # years over which subjects enter, and until the study is closed
LEAVING = 0.06  # hazard of leaving before, per year
TIMES = np.arange(0, 4 * STUDY + 1) / 4  # years at which curves are told
PAPER_RATES = {"age": 0.002, "apoe4": 0.087}


def draw(n, *, rng, interaction, informative, noise):
    """Draw the subjects.

    Parameters
    ----------
    n : int
    rng : callable
        From a stream's name to its numpy.random.Generator: one setting leaves the other draws alone.
    interaction, informative, noise
        As in ``make_brain_cohort``.

    Returns
    -------
    table : DataFrame of the complete covariates
    latents : DataFrame of what the picture shows, each about standard normal
    target : structured array of event (bool) and time (years)
    model : dict of what the posterior needs
    """
    table, latents = draw_subjects(n, rng, informative)
    model = {"interaction": interaction, "informative": informative, "noise": max(noise, 1e-9)}
    log_hazard = _log_hazard(
        {name: table[name].to_numpy() for name in ("age", "apoe4")},
        latents["hippocampal_atrophy"].to_numpy(),
        model,
    )
    gumbel = np.log(rng("labels").exponential(size=n))
    dementia = SCALE * np.exp((model["noise"] * gumbel - log_hazard) / SHAPE)
    random = rng("censoring")
    closed = STUDY - random.uniform(0, RECRUITED, n)
    followed = np.minimum(closed, random.exponential(1 / LEAVING, n))
    target = np.empty(n, dtype=[("event", bool), ("time", np.float64)])
    target["event"] = dementia <= followed
    target["time"] = np.maximum(np.minimum(dementia, followed).round(2), 0.01)
    return table, latents, target, model | {"log_hazard": log_hazard, "dementia": dementia}


def present(table, gaps):
    """Leave the gaps out."""
    return table.mask(gaps)


def picture_scale(model):
    """By what the picture divides each latent variable: nothing, they have unit variance."""
    return dict.fromkeys(AGEING, 1.0)


def posterior(table, gaps, latents, model):
    """Compute P(no dementia until `TIMES` | the picture's latents, table as shown), (n, n_times)."""
    out = np.empty((len(table), len(TIMES)))
    grids = {"age": np.linspace(*AGE_RANGE, 141), "apoe4": APOE4}
    known = {name: table[name].to_numpy() for name in grids}
    hidden = {name: gaps[name].to_numpy() for name in grids}
    picture = {name: latents[name].to_numpy() for name in AGEING}
    for i in range(len(table)):
        # What is missing is averaged over, weighted by what the picture tells of it: an axis for each cause.
        axes = np.ix_(*(grids[name] if hidden[name][i] else known[name][i : i + 1] for name in grids))
        causes = dict(zip(grids, axes, strict=True))
        shown = {name: values[i] for name, values in picture.items()}
        weight = np.zeros([len(axis.ravel()) for axis in axes])
        log_hazard = _log_hazard(causes, shown["hippocampal_atrophy"], model) + weight
        for name in grids:
            if hidden[name][i]:
                weight = weight + log_prior(name, causes[name], shown, model)
        weight = np.exp(weight - weight.max()).ravel()
        demented = 1 - _survival(log_hazard.ravel(), model)  # exactly 0 at time 0
        out[i] = 1 - np.minimum(weight @ demented / weight.sum(), 1.0)
    return out


def summarise(curves, target, model):
    """Return what is known of each subject and the best that can be reached: (truth, best score)."""
    mean_time = trapezoid(curves, TIMES, axis=1)
    truth = pd.DataFrame(
        {
            "log_hazard": model["log_hazard"],
            "dementia_time": model["dementia"],
            "expected_time": mean_time,
        }
    )
    event, time = target["event"], target["time"]
    if not event.any() or time[event].min() == time.max():
        return truth, {}  # there is no pair whose order is known
    return truth, {"concordance": concordance_index(event, time, -mean_time)}


def _log_hazard(causes, hippocampus, model):
    """Logarithm of the hazard ratio; larger is sooner."""
    if not model["informative"]:
        return IMAGE_EFFECT * hippocampus
    age = (causes["age"] - AGE_MEAN) / AGE_SD
    carrier = np.where(causes["apoe4"] > 0, 1.0, -1.0)
    angle = MIXING * model["interaction"]
    excess = hippocampus - AGEING["hippocampal_atrophy"] * age  # beyond what the age explains
    image = np.cos(angle) * excess + np.sin(angle) * carrier * hippocampus
    return IMAGE_EFFECT * image + CARRIER_EFFECT * carrier + AGE_EFFECT * age


def _survival(log_hazard, model):
    """Survival at `TIMES` (n, n_times) of log hazards (n,)."""
    with np.errstate(divide="ignore"):  # at time 0
        rate = (SHAPE * np.log(TIMES / SCALE) + log_hazard[:, None]) / model["noise"]
    return np.exp(-np.exp(np.minimum(rate, 700.0)))
