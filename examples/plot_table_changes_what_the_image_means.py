"""
Does the table change what the image means?
===========================================

How large is a head on an ultrasound picture? The picture tells how many pixels it is around, the table how
large a pixel is, and neither says much without the other. This page draws such data, lets five methods
learn from them, and asks two fitted networks what they make of the same picture with another pixel.
"""

# %%
# Heads of any size, in pixels of any size
# ----------------------------------------
# 240 generated pictures of 24 x 32 pixels. The table holds the size of a pixel, and two columns that tell
# nothing of the head. The circumference was measured with an error of 2 mm. HC18 is real ultrasound of this
# kind (``benchmarks/hc18_circumference.py``).

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.model_selection import KFold

from skhyperfusion import HyperFusionRegressor
from skhyperfusion.datasets import make_head_pictures
from skhyperfusion.features import baseline_regressor
from skhyperfusion.inspection import conditioning_profile
from skhyperfusion.model_selection import compare_estimators

cohort = make_head_pictures(240, shape=(24, 32), random_state=0)
X, y = cohort.data, cohort.target
X.drop(columns="picture").head(3).round(2)

# %%
# The first of these three heads looks larger than the second, and is smaller.

looks, pixel = cohort.truth["circumference_pixels"], X["pixel_mm"]
chosen = [(looks / pixel).idxmax(), (looks / pixel).idxmin(), y.idxmax()]
fig, axes = plt.subplots(1, 3, figsize=(8, 2.6), layout="constrained")
for axis, row in zip(axes, chosen, strict=True):
    axis.imshow(Image.open(X["picture"][row]), cmap="gray")
    axis.set(title=f"{pixel[row]:.1f} mm a pixel:\n{y[row]:.0f} mm around", xticks=[], yticks=[])
plt.show()

# %%
# Five methods in the same folds
# ------------------------------
# Three ways to join picture and table in one network; the picture alone; and the simplest thing that uses
# both, ridge regression on the picture's principal components and the table. The error is in mm; nobody can
# be better than that of the measurement.

networks = {
    fusion: HyperFusionRegressor(fusion=fusion, base_channels=4, max_epochs=20, random_state=0)
    for fusion in ["hyper", "film", "concat", "image"]
}
methods = networks | {"components + table, ridge": baseline_regressor(n_components=20)}
folds = KFold(3, shuffle=True, random_state=0)
comparison = compare_estimators(methods, X, y, cv=folds, scoring=["neg_mean_absolute_error"], n_jobs=2)
comparison.table()[["mean", "sd", "difference", "fit_seconds"]].round(2)

# %%

fig, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
comparison.plot(ax=axis)
axis.axvline(
    cohort.best_score["mean_absolute_error"], linestyle="--", color="tab:green", label="best reachable"
)
_ = axis.legend()

# %%
# The same picture with another pixel
# -----------------------------------
# A small and a large head that no network has seen, each with pixels of every size. The truth is a line for
# each, and the lines are not parallel: what a larger pixel adds depends on the picture. So this is what a
# network must have understood, and an error averaged over all rows does not tell whether it has.

unseen = make_head_pictures(40, shape=(24, 32), random_state=1)
by_size = unseen.truth["circumference_pixels"].sort_values()
by_size = by_size.iloc[[4, -5]]  # not the most extreme
sizes = np.linspace(*pixel.quantile([0.02, 0.98]), 11)
fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", sharey=True)
for axis, fusion in zip(axes, ["hyper", "concat"], strict=True):
    model = networks[fusion].fit(X, y)
    profile = conditioning_profile(model, unseen.data.loc[by_size.index], "pixel_mm", grid=sizes)
    for values, in_pixels, color in zip(profile.values, by_size, ["tab:blue", "tab:orange"], strict=True):
        axis.plot(sizes, values, "o-", color=color, markersize=4, label=f"{in_pixels:.0f} pixels around")
        axis.plot(sizes, in_pixels * sizes, "--", color=color)
    axis.set(title=f'fusion="{fusion}"', xlabel="mm a pixel (dashed: the truth)")
axes[0].set_ylabel("predicted circumference, mm")
_ = axes[0].legend()
plt.show()

# %%
# Where the table changes what the image means, it has to act inside the network that reads the image, or the
# network's last layers have to learn a product from sums. Fit the simple baseline beside it all the same:
# among few rows it is hard to beat.
