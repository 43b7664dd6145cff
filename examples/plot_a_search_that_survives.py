"""
How do I run a long search on many cores?
=========================================

A comparison of many methods takes hours. It should use every core, decode each scan once, and go on where it
was when the machine goes down.
"""

# %%
# Scans are decoded once
# ----------------------
# ``cache_dir`` keeps decoded, resampled scans in a folder that all processes share. Without it each process
# decodes for itself.

import tempfile
from pathlib import Path

import joblib
import matplotlib.pyplot as plt

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.features import baseline_classifier
from skhyperfusion.model_selection import compare_estimators

plt.style.use("tableau-colorblind10")
folder = Path(tempfile.mkdtemp())
cohort = make_brain_cohort(60, shape=(32, 32, 32), n_classes=2, random_state=0)
X, y = cohort.data, cohort.target
loader = ImageLoader(spacing=8.0, shape=(20, 24, 20), cache_dir=folder / "decoded")

# %%
# Every core, and every result on disk
# ------------------------------------
# ``results=`` names a file to which each finished fit is appended. joblib spreads the fits over cores, or
# over the machines of a Dask cluster with ``joblib.parallel_config("dask")``: no other line changes.

settings = {"image_loader": loader, "base_channels": 2, "max_epochs": 3, "random_state": 0}
methods = {f: HyperFusionClassifier(fusion=f, **settings) for f in ["hyper", "concat", "tabular"]}
with joblib.parallel_config("loky", n_jobs=2):
    finished = compare_estimators(methods, X, y, cv=3, scoring="roc_auc", results=folder / "fits.jsonl")
finished.scores[["method", "fold", "score"]].round(2).head(4)

# %%
# The machine goes down, or a method is added
# -------------------------------------------
# The same call takes what is in the file and fits the rest. Fits of other data or other parameters may stand
# in the file, too: they are not taken for these.

methods["components + table, logistic"] = baseline_classifier(n_components=10, image_loader=loader)
with joblib.parallel_config("loky", n_jobs=2):
    comparison = compare_estimators(methods, X, y, cv=3, scoring="roc_auc", results=folder / "fits.jsonl")
n_finished = len(finished.scores)
print(f"{len(comparison.scores) - n_finished} fits were new, {n_finished} were there")
comparison.plot()
plt.show()

# %%
# What remains to be said to a cluster (threads for each process, memory, GPUs) stands on the page "Searches
# on many cores, many machines, many GPUs".
