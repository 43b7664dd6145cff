"""
What does the table add to the scan?
====================================

Fit the same network with the scan alone, the table alone, and both, on the same rows. In this
generated cohort the brains of men shrink faster than those of women, so the same scan means another
age in the other sex: the table has to change how the scan is read.
"""

# %%
# The cohort
# ----------
# Brain phantoms of 32 x 32 x 32 voxels, and a table with sex, education, height, and two columns that
# tell nothing. Since the data are generated, it is known how well anyone could do. The networks read
# the scans at 12 x 12 x 12, little more than the head's outline and the dark of the ventricles.

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skhyperfusion import HyperFusionRegressor, ImageLoader, TabularPreprocessor
from skhyperfusion.datasets import make_brain_cohort

cohort = make_brain_cohort(480, shape=(32, 32, 32), task="age", image_noise=0.01, random_state=0)
X, y = cohort.data, cohort.target
train, test = train_test_split(np.arange(len(X)), train_size=320, random_state=0)

fig, axes = plt.subplots(1, 5, figsize=(9, 2.3), layout="constrained")
for axis, i in zip(axes, np.argsort(y.to_numpy())[:: len(y) // 4 - 1][:5], strict=False):
    axis.imshow(np.rot90(nib.load(X["t1w"].iloc[i]).get_fdata()[:, 16]), cmap="gray")
    axis.set_title(f"{X['sex'].iloc[i]}, {y.iloc[i]:.0f} y", fontsize=9)
    axis.axis("off")

# %%
# Four networks and two baselines
# -------------------------------
# One parameter changes, all others are the same: a narrow network without dropout or augmentation,
# since the images that it reads are so small that a shift by one voxel would change what they show. The
# baselines: a gradient boosting on the table alone, and the mean age.

settings = {
    "image_loader": ImageLoader(shape=(12, 12, 12)),
    "base_channels": 4,
    "dropout": 0.0,
    "augmentation": None,
    "max_epochs": 12,
    "lr": 4e-3,
    "random_state": 0,
    "early_stopping": False,
}
methods = {
    fusion: HyperFusionRegressor(fusion=fusion, **settings)
    for fusion in ["hyper", "concat", "image", "tabular"]
}
methods["boosting on the table"] = make_pipeline(
    TabularPreprocessor(image_columns=[]), HistGradientBoostingRegressor(random_state=0)
)
methods["mean age"] = DummyRegressor()
predictions = pd.DataFrame(index=X.index[test])
for name, method in methods.items():
    columns = X.drop(columns="t1w") if name == "boosting on the table" else X
    predictions[name] = method.fit(columns.iloc[train], y.iloc[train]).predict(columns.iloc[test])

# %%
# The last two columns answer the question: by how many years the error differs from that of the
# scan alone, on the same test rows, and the standard error of that difference. What is smaller than
# twice its standard error should not be believed, whichever way it points; and other training rows
# would give other networks, so a study repeats this over folds
# (`skhyperfusion.model_selection.compare_estimators`).

signed = predictions.sub(y.iloc[test], axis=0)
absolute = signed.abs()
to_image = absolute.sub(absolute["image"], axis=0)
summary = {
    "mean absolute error": absolute.mean(),
    "less the scan's": to_image.mean(),
    "standard error": to_image.sem(),
}
pd.DataFrame(summary).round(1)

# %%
# Where the difference arises
# ---------------------------
# The error in each sex, with and without its sign. At the same age men's brains look older here, so
# a network that does not know the sex tends to read men as too old and women as too young. (It may
# guess: women's heads are smaller on average.) How far a fusion mends that is what to look for.
# Women's brains change the least here, so their age is the harder one to read, for every method.

sex = X["sex"].iloc[test]
by_sex = {
    "mean error": signed.groupby(sex).mean().T,
    "mean absolute error": absolute.groupby(sex).mean().T,
}
pd.concat(by_sex, axis=1).round(1)

# %%
# Predictions against the truth
# -----------------------------
# The dashed line is the best that anyone could do who knew how the cohort was made, over all
# subjects.

fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
for axis, name in zip(axes, ["hyper", "image"], strict=False):
    for name_of_sex, color in {"F": "tab:purple", "M": "tab:green"}.items():
        chosen = sex == name_of_sex
        axis.scatter(y.iloc[test][chosen], predictions[name][chosen], s=14, color=color, label=name_of_sex)
    axis.plot([20, 85], [20, 85], color="0.6", linewidth=1)
    axis.set(title=name, xlabel="age, years", ylabel="predicted age, years")
axes[0].legend()
axes[2].barh(absolute.columns, absolute.mean(), xerr=absolute.sem(), color="0.75")
axes[2].axvline(cohort.best_score["mean_absolute_error"], linestyle="--", color="tab:red")
axes[2].invert_yaxis()
axes[2].set_xlabel("mean absolute error, years")
plt.show()
