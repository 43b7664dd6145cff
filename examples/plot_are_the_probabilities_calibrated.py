"""
Are the probabilities calibrated?
=================================

A network that was trained to the end is often too sure of itself. Compare what it says with how often
it is right, mend that with scikit-learn's `CalibratedClassifierCV`, and put intervals that hold a
promised share of the true values around the predictions of another network, by MAPIE.
"""

# %%
# A diagnosis, and how sure the network is of it
# ----------------------------------------------
# Generated brain phantoms of 12 x 12 x 12 voxels with a table, of patients (AD) and others (CN). The
# same network is fitted by itself, and inside `CalibratedClassifierCV`, which fits it on two thirds of
# the rows three times, and learns from the third part how the probabilities should be bent.

import importlib.util

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss
from sklearn.model_selection import train_test_split

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion.datasets import make_brain_cohort

cohort = make_brain_cohort(
    480, shape=(12, 12, 12), n_classes=2, missing_rate=None, image_noise=0.01, random_state=0
)
X, y = cohort.data, cohort.target
train, test = train_test_split(np.arange(len(X)), train_size=240, stratify=y, random_state=0)
settings = {
    "base_channels": 4,
    "dropout": 0.0,
    "augmentation": None,
    "max_epochs": 15,
    "lr": 4e-3,
    "random_state": 0,
}
network = HyperFusionClassifier(**settings)
methods = {
    "network": network,
    "calibrated": CalibratedClassifierCV(network, method="sigmoid", cv=3),
    "shares of the classes": DummyClassifier(),
}
patient = (y.iloc[test] == "AD").to_numpy()
probability = {}
for name, method in methods.items():
    answers = method.fit(X.iloc[train], y.iloc[train]).predict_proba(X.iloc[test])
    probability[name] = answers[:, list(method.classes_).index("AD")]

# %%
# Of rows that were given a probability of about .8, four in five should be patients: their dot should
# lie on the dotted line. Below it at the right and above it at the left is too sure.

fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
for name in ["network", "calibrated"]:
    CalibrationDisplay.from_predictions(
        patient, probability[name], n_bins=6, strategy="quantile", name=name, ax=ax
    )
ax.set(xlabel="predicted probability, mean of the bin", ylabel="share of patients")

# %%
# The Brier score and the log loss tell it in one number each, the smaller the better; both also count
# how well patients are told from the others, as the accuracy does alone. That of the calibrated model
# is the mean of three networks, which may be better than one for that reason, too.

pd.DataFrame(
    {
        name: {
            "Brier score": brier_score_loss(patient, p),
            "log loss": log_loss(patient, p),
            "accuracy": accuracy_score(patient, p > 0.5),
        }
        for name, p in probability.items()
    }
).T.round(3)

# %%
# Intervals around a predicted age
# --------------------------------
# MAPIE's `CrossConformalRegressor` fits a regressor on folds and measures its errors in the rows left
# out; its intervals hold the true value of new rows as often as was asked for, on average over rows,
# whatever the network is like, as long as new rows come from where the others came from.

ages = make_brain_cohort(
    360, shape=(12, 12, 12), task="age", missing_rate=None, image_noise=0.01, random_state=0
)
X, age = ages.data, ages.target
train, test = train_test_split(np.arange(len(X)), train_size=240, random_state=0)
levels = [0.5, 0.8, 0.95]
intervals = None
if importlib.util.find_spec("mapie") is None:
    print("MAPIE is not installed. Run: pip install mapie")
else:
    from mapie.regression import CrossConformalRegressor

    model = CrossConformalRegressor(HyperFusionRegressor(**settings), confidence_level=levels, cv=3)
    model.fit_conformalize(X.iloc[train], age.iloc[train])
    predicted, intervals = model.predict_interval(X.iloc[test])

# %%
# The share of test rows whose age lies inside, beside what was asked for; and how wide the intervals
# are, in years.

if intervals is not None:
    low, high = intervals[:, 0], intervals[:, 1]
    truth = age.iloc[test].to_numpy()
    inside = (low <= truth[:, None]) & (truth[:, None] <= high)
    width = (high - low).mean(axis=0)
    held = pd.DataFrame({"asked for": levels, "held": inside.mean(axis=0), "width": width})
    print(held.round(2).to_string(index=False))

# %%
# Each line is the interval of 80 % of one test row, red where the true age lies outside.

if intervals is not None:
    fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    order = np.argsort(predicted)
    colors = np.where(inside[order, 1], "0.7", "tab:red")
    ax.vlines(np.arange(len(order)), low[order, 1], high[order, 1], colors=colors)
    ax.plot(truth[order], ".", color="C0", label="true age")
    ax.set(xlabel="test rows, by predicted age", ylabel="age")
    ax.legend()
    plt.show()
