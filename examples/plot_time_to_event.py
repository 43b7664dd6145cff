"""
When will it happen?
====================

Studies with a follow-up ask when, of people who leave before. A survival model gives each of them a curve:
the probability to be free of dementia at every time. Are the curves right, and does the scan add to the
table?
"""

# %%
# The cohort
# ----------
# Generated heads, and the time to dementia, of which about half were seen: the others left, or the study
# closed. A small hippocampus tells of dementia to come in carriers of APOE4 alone, by construction and not
# as a claim about medicine. As in the paper, a box around the hippocampi is read.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skhyperfusion import HyperFusionSurvival, ImageLoader
from skhyperfusion.datasets import make_brain_cohort

cohort = make_brain_cohort(400, shape=(32, 32, 32), task="survival", random_state=0)
X = cohort.data[["t1w", "age", "sex", "education", "apoe4"]]
y = cohort.target
train, test = slice(0, 280), slice(280, None)
hippocampi = ImageLoader(crop=[(7, 24), (7, 19), (10, 19)])
model = HyperFusionSurvival(image_loader=hippocampi, base_channels=4, max_epochs=30, random_state=0)
model.fit(X[train], y[train])
print(f"{1 - y['event'].mean():.0%} censored, {len(y[train])} rows to learn from")

# %%
# Three subjects
# --------------
# The rows of the test part with the lowest, the middle and the highest risk. Dashed is the curve that the
# times were drawn from, which only a generated cohort can show. A dot is the time of dementia, a tick the
# last visit.

risk = model.predict(X[test])
order = np.argsort(risk)
years = np.linspace(0, 5, 60)
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for place, colour in ((0, "C2"), (len(order) // 2, "C1"), (-1, "C3")):
    row = X[test].index[order[place]]
    curve = model.predict_survival_function(X.loc[[row]])[0]
    axes.plot(years, curve(years), colour, label=row)
    true = cohort.true_curves.loc[row, :5]
    axes.plot(true.index, true, colour, linestyle="--")
    event, time = cohort.frame.loc[row, ["event", "time"]]
    if time <= 5:
        axes.plot(time, curve(time), "o" if event else "|", color=colour, markersize=9)
_ = axes.set(xlabel="years", ylabel="free of dementia", ylim=(0, 1.02))
_ = axes.legend(title="subject")

# %%
# Do the groups differ?
# ---------------------
# Thirds of the test part by predicted risk, each with its Kaplan-Meier curve: what came of them, censoring
# allowed for.


def kaplan_meier(event, time):
    """Return the share that is free of the event at the times of events, from time 0 on."""
    times = np.unique(time[event])
    left = np.array([(time >= t).sum() for t in times])
    events = np.array([(event & (time == t)).sum() for t in times])
    return np.append(0, times), np.append(1, np.cumprod(1 - events / left))


figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
groups = np.array_split(order, 3)
for rows, name, colour in zip(groups, ("low", "middle", "high"), ("C2", "C1", "C3"), strict=True):
    times, share = kaplan_meier(y[test]["event"][rows], y[test]["time"][rows])
    axes.step(times, share, colour, where="post", label=f"{name} risk ({len(rows)})")
_ = axes.set(xlabel="years", ylabel="free of dementia", xlim=(0, 6), ylim=(0, 1.02))
_ = axes.legend()

# %%
# Is a probability what it says?
# ------------------------------
# At three years, by fifths of the predicted probability: what was predicted, what Kaplan and Meier saw, and
# the truth. Points on the diagonal are calibrated; a dot is of 24 people, so that what was seen scatters.

at = 3.0
predicted = np.array([curve(at) for curve in model.predict_survival_function(X[test])])
fifths = np.array_split(np.argsort(predicted), 5)
rows = []
for part in fifths:
    times, share = kaplan_meier(y[test]["event"][part], y[test]["time"][part])
    seen = share[np.searchsorted(times, at, side="right") - 1]
    truth = cohort.true_curves.loc[X[test].index[part], at].mean()
    rows.append({"predicted": predicted[part].mean(), "seen": seen, "true": truth})
calibration = pd.DataFrame(rows, index=[f"fifth {i}" for i in range(1, 6)])
figure, axes = plt.subplots(figsize=(4, 3.7), layout="constrained")
axes.plot([0, 1], [0, 1], "0.8")
axes.plot(calibration["predicted"], calibration["seen"], "o", label="seen (Kaplan-Meier)")
axes.plot(calibration["predicted"], calibration["true"], "_", markersize=14, label="true")
_ = axes.set(xlabel="predicted, free of dementia at 3 years", ylabel="share")
_ = axes.legend()
calibration.round(2)

# %%
# What does the scan add?
# -----------------------
# Harrell's concordance of the test part: the share of pairs whose order is known and whose risks are in it,
# one half by chance. Beside the fusion stand its two halves, ``concat``, and Cox's regression of the table:
# here ``fusion="tabular"`` with ``loss="cox"``, which fits Cox's likelihood by a small network.
# scikit-survival's `CoxPHSurvivalAnalysis` takes the same target, behind a `TabularPreprocessor`.

scores = {"hyper": model.score(X[test], y[test])}
for name, settings in {
    "concat": {"fusion": "concat"},
    "scan alone": {"fusion": "image"},
    "Cox, table alone": {"fusion": "tabular", "loss": "cox"},
}.items():
    other = HyperFusionSurvival(**model.get_params(deep=False) | settings).fit(X[train], y[train])
    scores[name] = other.score(X[test], y[test])
scores["best that can be reached, in all rows"] = cohort.best_score["concordance"]
pd.Series(scores, name="concordance").round(3).to_frame()

# %%
# One split of 120 people is a small test: a difference of a few hundredths may be chance.
# `compare_estimators` repeats it over folds and says how sure a difference is; the guide has the figures of
# three cohorts.
