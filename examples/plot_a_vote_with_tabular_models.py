"""
Does a vote with tabular models help?
=====================================

A network that reads the picture and models that read the table err in different rows. A vote averages them;
stacking learns how much to trust each. Both are scikit-learn's own, and take the estimators as they
are, beside a column that says which rows must stay on one side of a split.
"""

# %%
# The data: families
# ------------------
# Generated pictures of heads: is this one larger than 210 mm? Two pictures are of one family here; siblings
# are alike, so the rows of one family must stay on one side of every split.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skhyperfusion import HyperFusionClassifier, TabularPreprocessor
from skhyperfusion.datasets import make_head_pictures

plt.style.use("tableau-colorblind10")
cohort = make_head_pictures(140, shape=(32, 40), random_state=0)
family = np.array([f"family {number // 2}" for number in range(len(cohort.data))])
X, y = cohort.data.assign(family=family), np.where(cohort.target > 210, "large", "small")

fig, axes = plt.subplots(1, 4, figsize=(9, 2.1), layout="constrained")
for axis, i in zip(axes, range(4), strict=True):
    axis.imshow(Image.open(X["picture"].iloc[i]), cmap="gray")
    axis.set_title(f"{X['family'].iloc[i]}, {X['pixel_mm'].iloc[i]:.1f} mm a pixel: {y[i]}", fontsize=7)
    axis.axis("off")

# %%
# The partners
# ------------
# ``group_column`` tells the network which column holds the family: it is no feature, and keeps a family
# together in the network's own internal split. Partners on the table alone drop that column, and by
# ``images="drop"`` the pictures. One network reads the picture alone, one reads both.

settings = {"group_column": "family", "base_channels": 4, "max_epochs": 10, "random_state": 0}
drop_family = FunctionTransformer(pd.DataFrame.drop, kw_args={"columns": "family"})
table = TabularPreprocessor(images="drop", imputer="median")
partners = [
    ("picture", HyperFusionClassifier(fusion="image", **settings)),
    ("boosting", make_pipeline(drop_family, table, HistGradientBoostingClassifier(random_state=0))),
    ("logistic", make_pipeline(drop_family, table, LogisticRegression(max_iter=1000))),
]

# %%
# Each alone, and together
# ------------------------
# A vote averages probabilities. Stacking fits a logistic regression on the partners' out-of-fold predictions:
# three fits of every partner inside each of our folds.

methods = {"hyper": HyperFusionClassifier(**settings), **dict(partners)}
methods["vote"] = VotingClassifier(partners, voting="soft")
methods["stacking"] = StackingClassifier(partners, cv=3)
folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
scores = pd.DataFrame(
    {
        name: cross_validate(method, X, y, groups=family, cv=folds, scoring="roc_auc")["test_score"]
        for name, method in methods.items()
    },
    index=[f"fold {number + 1}" for number in range(3)],
).T
scores.assign(mean=scores.mean(axis=1)).round(3)

# %%

fig, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
for position, (_, row) in enumerate(scores.iterrows()):
    axes.plot(row, [position] * 3, "o", color="C0", alpha=0.6)
    axes.plot(row.mean(), position, "|", color="C1", markersize=18, markeredgewidth=3)
axes.set(yticks=range(len(scores)), yticklabels=scores.index, xlabel="ROC AUC")
axes.invert_yaxis()
plt.show()

# %%
# What to take from it
# --------------------
# A vote of one side each can be above its partners, since their errors differ, and stacking can learn whom to
# trust. Neither lets the table change what the picture means, as a network of both does: where that matters,
# the first row is ahead of all that only add. A vote with that network is one more line.
