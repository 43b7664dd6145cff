"""
What did the scan add for this patient?
=======================================

A model says "AD". Before anybody acts on it, a clinician asks what it saw in the scan, what it
took from the table, and whether it would read the same scan otherwise in somebody with another
genotype.
"""

# %%
# A cohort whose truth is known
# -----------------------------
# Generated brain phantoms of 32 x 32 x 32 voxels. By construction, and not as a claim about
# medicine, a small hippocampus tells of the disease in carriers of an APOE4 allele alone, and large
# ventricles in women alone. The network sees the middle of the brain.

import matplotlib.pyplot as plt
import pandas as pd

from skhyperfusion import HyperFusionClassifier
from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.images import ImageLoader
from skhyperfusion.inspection import (
    AttributionDisplay,
    conditioning_profile,
    image_attribution,
    tabular_attribution,
    weight_modulation,
)

cohort = make_brain_cohort(
    260, n_classes=2, missing_rate=None, image_noise=0.01, anatomy_variation=0.3, random_state=0
)
X, y = cohort.data[["t1w", "age", "sex", "education", "apoe4"]], cohort.target
X_train, X_test, y_train, y_test = X[:200], X[200:], y[:200], y[200:]

settings = {
    "image_loader": ImageLoader(crop=((8, 24), (7, 24), (10, 25))),
    "base_channels": 4,
    "max_epochs": 20,
}
models = {
    fusion: HyperFusionClassifier(fusion=fusion, augmentation=None, random_state=0, **settings).fit(
        X_train, y_train
    )
    for fusion in ("hyper", "tabular")
}
model = models["hyper"]
pd.Series({fusion: one.score(X_test, y_test) for fusion, one in models.items()}, name="accuracy").round(2)

# %%
# One patient
# -----------
# A carrier of the allele with the diagnosis, of whom the model is sure. What does a network that
# reads the table alone say of the same patient?

ill = X_test[(y_test == "AD") & (X_test["apoe4"] > 0)]
patient = ill.iloc[[model.predict_proba(ill)[:, list(model.classes_).index("AD")].argmax()]]
pd.DataFrame(
    {fusion: one.predict_proba(patient)[0] for fusion, one in models.items()}, index=model.classes_
).round(2)

# %%
# What the scan added
# -------------------
# The scan is compared with the mean scan of the training rows, given this patient's table. Red
# voxels speak for the disease, blue ones against it; the map sums to the log-odds that the scan
# adds. It lies on the grid of the scan: ``nibabel.save(found.values.iloc[0, 0], "map.nii.gz")``
# writes it for any viewer.

found = image_attribution(model, patient, target="AD", baseline=X_train)
_ = AttributionDisplay(found).plot(smooth=0.7)

# %%
# The values add up, which is what makes them shares of the prediction:

map = found.values["t1w"].iloc[0].get_fdata()
gained = found.prediction[0] - found.baseline[0]
f"the scan adds {gained:.2f} to the log-odds; the map sums to {map.sum():.2f}"

# %%
# What each column added
# ----------------------
# The same patient's scan, with columns taken from other patients: Shapley values, in parts of the
# probability.

shares = tabular_attribution(model, patient, background=X_train, n_permutations=10, random_state=0)
k = shares.classes.index("AD")
_, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
labels = [f"{name} = {patient[name].iloc[0]}" for name in shares.names]
ax.barh(
    labels, shares.values[0, :, k], color=["C3" if value > 0 else "C0" for value in shares.values[0, :, k]]
)
ax.axvline(0, color="0.3", linewidth=0.8)
_ = ax.set_xlabel("added to the probability of AD")

# %%
# The same scan with another genotype
# -----------------------------------
# First the number: the probability of this patient, had the allele been another.

profile = conditioning_profile(model, patient, "apoe4", grid=[0, 1, 2])
pd.Series(
    profile.values[0, :, k], index=pd.Index(profile.grid, name="apoe4"), name="probability of AD"
).round(2)

# %%
# Then the reading: the map of this scan, less the map that it would have in somebody without the
# allele. Where it is red, the same voxels speak for the disease because of the genotype.

_ = AttributionDisplay.from_estimator(
    model, patient, target="AD", baseline=X_train, against={"apoe4": 0}, smooth=0.7
)

# %%
# Does the model read the scan by the genotype at all?
# ----------------------------------------------------
# One patient proves nothing. Over the test rows: how far each column moves the output by way of the
# generated weights, and how much of it differs between scans (``interaction``). In truth, that of
# age and education is zero.

modulation = weight_modulation(model, X_test, random_state=0)
pd.DataFrame({"effect": modulation.values.iloc[0], "interaction": modulation.interaction.iloc[0]}).round(2)

# %%
# A map shows what this model reads, not what is ill; a model that is wrong has maps that look as
# sure. Another fit, or another baseline, gives another map: believe what they have in common.
