"""
Does the table change what the image means?
===========================================

How large is a head on an ultrasound picture? The picture tells how many pixels it is around, the table how
large a pixel is, and neither says anything without the other. This page draws such data, lets five methods
learn from them, and asks two fitted networks what they make of the same picture with another pixel.
"""

# %%
# Discs instead of heads
# ----------------------
# 200 noisy pictures of 24 x 24 pixels, each of a disc of 4 to 10 pixels' radius. The size of a pixel, .5 to
# 1.5 mm, is in the table; the circumference was measured with an error of 2 mm. In HC18, which is made of
# real ultrasound, pixels differ by a factor of eight (``benchmarks/hc18_circumference.py``).

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import KFold

from skhyperfusion import HyperFusionRegressor
from skhyperfusion.features import baseline_regressor
from skhyperfusion.inspection import conditioning_profile
from skhyperfusion.model_selection import compare_estimators

rng = np.random.default_rng(0)


def draw_discs(radius):
    """Return one noisy picture for each radius (in pixels), its disc near the middle."""
    centre = 12 + rng.uniform(-2, 2, (len(radius), 2))
    grid = np.indices((24, 24)) + 0.5
    distance = np.hypot(*(grid[:, None] - centre.T[..., None, None]))
    pictures = 1 / (1 + np.exp((distance - radius[:, None, None]) / 0.5))
    return list(pictures + rng.normal(0, 0.3, pictures.shape))


radius = rng.uniform(4, 10, 200)
X = pd.DataFrame({"picture": draw_discs(radius), "pixel_mm": rng.uniform(0.5, 1.5, 200)})
circumference = 2 * np.pi * radius * X["pixel_mm"]
y = circumference + rng.normal(0, 2, 200)

# %%
# The first of these three looks larger than the second, and is smaller.

by_looks = (radius / X["pixel_mm"]).sort_values().index
fig, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained")
for axis, row in zip(axes, [by_looks[-1], by_looks[0], circumference.idxmax()], strict=True):
    axis.imshow(X["picture"][row], cmap="gray")
    axis.set(title=f"{X['pixel_mm'][row]:.2f} mm a pixel:\n{y[row]:.0f} mm around", xlabel="pixels")
plt.show()

# %%
# Five methods in the same folds
# ------------------------------
# Three ways to join picture and table in one network; the picture alone; and the simplest thing that uses
# both, ridge regression on the picture's principal components and the table. The error is in mm; nobody can
# be better than that of the measurement.

networks = {
    fusion: HyperFusionRegressor(fusion=fusion, base_channels=4, max_epochs=30, random_state=0)
    for fusion in ["hyper", "film", "concat", "image"]
}
methods = networks | {"components + table, ridge": baseline_regressor(n_components=20)}
folds = KFold(3, shuffle=True, random_state=0)
comparison = compare_estimators(methods, X, y, cv=folds, scoring=["neg_mean_absolute_error"], n_jobs=2)
comparison.table()[["mean", "sd", "difference", "fit_seconds"]].round(2)

# %%

fig, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
comparison.plot(ax=axis)
axis.axvline(mean_absolute_error(y, circumference), linestyle="--", color="tab:green", label="best reachable")
_ = axis.legend()

# %%
# The same picture with another pixel
# -----------------------------------
# A small and a large disc that no network has seen, each with pixels of every size. The truth is a line for
# each, and the lines are not parallel: what a millimetre more per pixel adds depends on the picture. So this
# is what a network must have understood, and an error averaged over all rows does not tell whether it has.

shown = pd.DataFrame({"picture": draw_discs(np.array([5.0, 9.0])), "pixel_mm": 1.0})
sizes = np.linspace(0.5, 1.5, 11)
fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", sharey=True)
for axis, fusion in zip(axes, ["hyper", "concat"], strict=True):
    profile = conditioning_profile(networks[fusion].fit(X, y), shown, "pixel_mm", grid=sizes)
    for values, true_radius, color in zip(profile.values, [5, 9], ["tab:blue", "tab:orange"], strict=True):
        axis.plot(sizes, values, "o-", color=color, markersize=4, label=f"radius of {true_radius} pixels")
        axis.plot(sizes, 2 * np.pi * true_radius * sizes, "--", color=color)
    axis.set(title=f'fusion="{fusion}"', xlabel="mm a pixel (dashed: the truth)")
axes[0].set_ylabel("predicted circumference, mm")
_ = axes[0].legend()
plt.show()

# %%
# Where the table changes what the image means, it has to act inside the network that reads the image, or the
# network's last layers have to learn a product from sums. Fit the simple baseline beside it all the same:
# among few rows it is hard to beat.
