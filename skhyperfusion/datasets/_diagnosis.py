"""The world of ``task="diagnosis"``: who is drawn, what the picture shows, what follows from both.

The order is causal and every step has a closed form, so that the posterior of the class given the
picture's latent variables and the table, gaps and limits of detection included, is exact.
"""

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr, ndtri
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

CLASSES = {2: ("CN", "AD"), 3: ("CN", "MCI", "AD")}
SHARES = {2: (0.5, 0.5), 3: (740 / 2120, 1015 / 2120, 365 / 2120)}  # three: the paper's cohort

AGE_MEAN, AGE_SD, AGE_RANGE = 73.0, 7.0, (55.0, 90.0)
EDUCATION = np.arange(8, 21)
EDUCATION_MEAN, EDUCATION_SD = 16, 2.7
EDUCATION_P = np.exp(-0.5 * ((EDUCATION - EDUCATION_MEAN) / EDUCATION_SD) ** 2)
EDUCATION_P /= EDUCATION_P.sum()
APOE4 = np.arange(3)
APOE4_P = np.array([0.54, 0.36, 0.10])

MIXING = np.deg2rad(45)  # of the image's gain at interaction=1
IMAGE_EFFECT, TABLE_EFFECT, LABEL_NOISE = 2.0, 0.65, 0.2
AGEING = {"hippocampal_atrophy": 0.4, "ventricular_enlargement": 0.4, "cortical_atrophy": 0.6}
# name: location and scale of the standardised log value, shift from CN to AD, decimals, limits
MARKERS = {
    "csf_abeta": (np.log(900), 0.40, -0.4, 0, (200, 1700)),
    "csf_ptau": (np.log(24), 0.45, 0.4, 1, (8, 120)),
    "csf_ttau": (np.log(260), 0.40, 0.4, 0, (80, 1300)),
    "fdg": (np.log(1.22), 0.12, -0.45, 3, None),
    "av45": (np.log(1.17), 0.18, 0.45, 3, None),
}
PAPER_RATES = {"age": 0.002, "apoe4": 0.087, "csf": 0.515, "fdg": 0.381, "av45": 0.528}


def draw(n, *, rng, n_classes, class_shares, interaction, informative, noise):
    """Draw the subjects.

    Parameters
    ----------
    n : int
    rng : callable
        From a stream's name to its numpy.random.Generator: one setting leaves the other draws alone.

    Returns
    -------
    table : DataFrame of the complete covariates and markers, numbers
    latents : DataFrame of what the picture shows, each about standard normal
    target : ndarray of class names
    model : dict of what the posterior needs
    """
    table, latents = draw_subjects(n, rng, informative)
    model = {"interaction": interaction, "informative": informative, "scale": max(LABEL_NOISE * noise, 1e-9)}
    severity = _severity(
        {name: table[name].to_numpy() for name in table},
        {name: latents[name].to_numpy() for name in AGEING},
        model,
    )
    liability = severity + model["scale"] * rng("labels").logistic(size=n)
    counts = _counts(n, class_shares or SHARES[n_classes])
    ordered = np.sort(liability)
    cuts = np.cumsum(counts)[:-1]
    model["thresholds"] = (ordered[cuts - 1] + ordered[cuts]) / 2
    model["classes"] = np.array(CLASSES[n_classes])
    codes = np.searchsorted(model["thresholds"], liability)
    position = codes / (n_classes - 1)
    random = rng("markers")
    for name, (location, scale, shift, _, _) in MARKERS.items():
        z = informative * shift * position + random.standard_normal(n)
        table[name] = np.exp(location + scale * z)
    return table, latents, model["classes"][codes], model | {"severity": severity}


def draw_subjects(n, rng, informative):
    """Draw elderly subjects: their covariates, and what the picture shows, which goes with the age."""
    table = _covariates(n, rng("covariates"))
    link = 1.0 if informative else 0.0
    excess = pd.DataFrame(rng("latents").standard_normal((n, 3)), columns=list(AGEING))
    age = (table["age"].to_numpy() - AGE_MEAN) / AGE_SD
    latents = pd.DataFrame(
        {k: link * r * age + np.sqrt(1 - (link * r) ** 2) * excess[k] for k, r in AGEING.items()}
    )
    return table, latents


def present(table, gaps):
    """Round the table, cut it at the limits of detection and leave the gaps out."""
    shown = table.copy()
    for name, (_, _, _, decimals, limits) in MARKERS.items():
        values = shown[name].round(decimals)
        if limits is not None:
            low, high = limits
            below, above = table[name] < low, table[name] > high
            if ((below | above) & ~gaps[name]).any():  # text then, as pandas reads such a column
                values = (
                    values.map(f"{{:.{decimals}f}}".format).mask(below, f"<{low}").mask(above, f">{high}")
                )
        shown[name] = values
    return shown.mask(gaps)


def picture_scale(model):
    """By what the picture divides each latent variable: nothing, they have unit variance."""
    return dict.fromkeys(AGEING, 1.0)


def posterior(table, gaps, latents, model):
    """Compute P(class | latent variables of the picture, table as shown), (n, n_classes)."""
    n_classes = len(model["classes"])
    log_markers = _marker_likelihood(table, gaps, n_classes, model["informative"])
    out = np.empty((len(table), n_classes))
    observed = {name: table[name].to_numpy() for name in ("age", "apoe4", "education", "sex")}
    hidden = {name: gaps[name].to_numpy() for name in ("age", "apoe4", "education")}
    grids = {"age": np.linspace(*AGE_RANGE, 36), "apoe4": APOE4, "education": EDUCATION}
    picture = {name: latents[name].to_numpy() for name in AGEING}
    for i in range(len(table)):
        # What is missing among the causes is summed over, weighted by what the picture tells of it:
        # one axis for each cause, of length one where the cause is known.
        axes = np.ix_(*(grids[name] if hidden[name][i] else observed[name][i : i + 1] for name in grids))
        causes = dict(zip(grids, axes, strict=True)) | {"sex": observed["sex"][i]}
        shown = {name: values[i] for name, values in picture.items()}
        weight = np.exp(
            sum(log_prior(name, causes[name], shown, model) for name in grids if hidden[name][i])
            + np.zeros([len(axis.ravel()) for axis in axes])
        ).ravel()
        severity = _severity(causes, shown, model) + np.zeros([len(axis.ravel()) for axis in axes])
        prior = weight @ _class_probabilities(severity.ravel(), model) / weight.sum()
        joint = np.log(np.maximum(prior, 1e-300)) + log_markers[i]
        joint = np.exp(joint - joint.max())
        out[i] = joint / joint.sum()
    return out


def summarise(posterior, target, model):
    """Return what is known of each subject and the best that can be reached: (truth, best score)."""
    classes = model["classes"]
    truth = pd.DataFrame(posterior, columns=[f"p_{name}" for name in classes])
    truth.insert(0, "severity", model["severity"])
    share = target.value_counts(normalize=True)[classes].to_numpy()
    labels = target.to_numpy()
    if len(classes) == 2:
        auc = roc_auc_score(labels == classes[1], posterior[:, 1])
    else:
        auc = np.mean([roc_auc_score(labels == name, posterior[:, k]) for k, name in enumerate(classes)])
    return truth, {
        "accuracy": float(accuracy_score(labels, classes[posterior.argmax(axis=1)])),
        "balanced_accuracy": float(
            balanced_accuracy_score(labels, classes[(posterior / share).argmax(axis=1)])
        ),
        "roc_auc": float(auc),
    }


def _covariates(n, rng):
    low, high = ndtr((np.array(AGE_RANGE) - AGE_MEAN) / AGE_SD)
    return pd.DataFrame(
        {
            "age": (AGE_MEAN + AGE_SD * ndtri(rng.uniform(low, high, n))).round(1),
            "sex": rng.choice(["F", "M"], n),
            "education": rng.choice(EDUCATION, n, p=EDUCATION_P),
            "apoe4": rng.choice(APOE4, n, p=APOE4_P),
        }
    )


def _severity(causes, picture, model):
    """Linear predictor of the disease, larger is worse."""
    hippocampus, ventricles = picture["hippocampal_atrophy"], picture["ventricular_enlargement"]
    if not model["informative"]:
        return IMAGE_EFFECT * (hippocampus + ventricles) / np.sqrt(2)
    age = (causes["age"] - AGE_MEAN) / AGE_SD
    education = (causes["education"] - EDUCATION_MEAN) / EDUCATION_SD
    carrier = np.where(causes["apoe4"] > 0, 1.0, -1.0)
    woman = np.where(causes["sex"] == "F", 1.0, -1.0)
    angle = MIXING * model["interaction"]
    excess = (
        hippocampus + ventricles - age * (AGEING["hippocampal_atrophy"] + AGEING["ventricular_enlargement"])
    )  # beyond what the age explains
    image = np.cos(angle) * excess + np.sin(angle) * (carrier * hippocampus + woman * ventricles)
    table = 0.6 * carrier + 0.5 * age - 0.5 * education + 0.37 * woman
    return IMAGE_EFFECT * image / np.sqrt(2) + TABLE_EFFECT * table


def _class_probabilities(severity, model):
    """Cumulative logit: P(class | severity), (n, n_classes)."""
    below = expit((model["thresholds"] - severity[:, None]) / model["scale"])
    edges = np.hstack([np.zeros((len(severity), 1)), below, np.ones((len(severity), 1))])
    return np.diff(edges, axis=1)


def log_prior(name, values, picture, model):
    """Log weight of the values of a missing cause, given the picture, up to a constant."""
    if name == "apoe4":
        return np.log(APOE4_P)[values]
    if name == "education":
        return np.log(EDUCATION_P)[values - EDUCATION[0]]
    age = (values - AGE_MEAN) / AGE_SD
    log_p = -(age**2) / 2
    if model["informative"]:
        for shown, slope in AGEING.items():
            log_p = log_p - (picture[shown] - slope * age) ** 2 / (2 * (1 - slope**2))
    return log_p


def _marker_likelihood(table, gaps, n_classes, informative):
    """Log likelihood of the markers shown under each class, (n, n_classes)."""
    out = np.zeros((len(table), n_classes))
    if not informative:
        return out
    position = np.arange(n_classes) / (n_classes - 1)
    for name, (location, scale, shift, _, limits) in MARKERS.items():
        value = table[name].to_numpy()
        centre = shift * position
        log_p = -0.5 * ((np.log(value)[:, None] - location) / scale - centre) ** 2
        if limits is not None:
            low, high = ((np.log(limit) - location) / scale for limit in limits)
            log_p[value < limits[0]] = np.log(ndtr(low - centre))
            log_p[value > limits[1]] = np.log(ndtr(centre - high))
        out += np.where(gaps[name].to_numpy()[:, None], 0.0, log_p)
    return out


def _counts(n, shares):
    """Whole numbers that sum to n, near the shares, none of them zero."""
    wanted = np.asarray(shares, dtype=float) / np.sum(shares) * n
    counts = np.maximum(np.floor(wanted), 1).astype(int)
    while counts.sum() < n:
        counts[np.argmax(wanted - counts)] += 1
    while counts.sum() > n:
        counts[np.argmax(counts - wanted)] -= 1
    return counts
