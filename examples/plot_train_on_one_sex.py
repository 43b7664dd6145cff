"""
Does a model of one sex fit the other?
======================================

Train on women and test on men, and the other way round: if the brains of the two age differently,
a model of one is wrong about the other, and a model of both is a compromise. That is HyperFusion's
argument for letting the sex change how the scan is read.
"""

# %%
# The cohort
# ----------
# Generated brain phantoms of 12 x 12 x 12 voxels. The brains of men shrink four times as fast as
# those of women, by construction and not as a claim about medicine. The table is the sex alone,
# as in the paper's second task.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import cross_val_predict

from skhyperfusion import HyperFusionRegressor
from skhyperfusion.brain_age import cross_group_scores, error_by_group
from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.model_selection import JointStratifiedKFold

cohort = make_brain_cohort(300, shape=(12, 12, 12), task="age", image_noise=0.01, random_state=0)
X, age = cohort.data[["t1w", "sex"]], cohort.target
X["sex"].value_counts().to_dict()

# %%
# One sex for the other
# ---------------------
# In each fold a network is trained on the women of the training part, one on the men, and one on
# all; each is tested on the women, the men and all of the test part. They read the scan alone:
# among women the table would hold nothing that varies.

folds = JointStratifiedKFold(3, columns="sex", shuffle=True, random_state=0)
network = HyperFusionRegressor(
    fusion="image",
    base_channels=4,
    dropout=0.0,
    augmentation=None,
    max_epochs=10,
    lr=4e-3,
    random_state=0,
)
scores = cross_group_scores(network, X, age, by="sex", cv=folds)
_ = scores.plot()

# %%
# Compare within a column: those are the same people, predicted by three networks. Between columns
# there are other differences, such as how much a year changes a brain at all. And note that the
# network of all had twice the rows to learn from.

scores.table().round(1)

# %%
# One network that knows the sex
# ------------------------------
# The same folds, network and settings, trained on all. In one the scan is all there is; in one the
# sex stands beside the scan's features; in one it generates weights of the network that reads the
# scan.

predictions = {
    fusion: cross_val_predict(network.set_params(fusion=fusion), X, age, cv=folds)
    for fusion in ["image", "concat", "hyper"]
}
by_sex = {
    fusion: error_by_group(age, predicted, age_bins=None, sex=X["sex"])[["mae", "bias"]]
    for fusion, predicted in predictions.items()
}
pd.concat(by_sex, axis=1).round(1)

# %%
# Where the errors are
# --------------------
# Mean error (predicted less true age) by decade. That it falls from left to right is common to all
# predictions of age: they are drawn to the mean by as much as the scan leaves unexplained
# (`skhyperfusion.brain_age.AgeBiasCorrector`). In women, whose brains change little here, that is
# much, whatever the network. What knowing the sex may do is to keep one line from paying for the
# other.

fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", sharey=True)
for axis, (fusion, predicted) in zip(axes, predictions.items(), strict=True):
    bias = error_by_group(age, predicted, sex=X["sex"])["bias"].drop("all", level="age").unstack("sex")
    for sex, color in {"F": "tab:purple", "M": "tab:green"}.items():
        axis.plot(bias.index, bias[sex], "o-", color=color, label=sex, markersize=4)
    axis.axhline(0, color="0.6", linewidth=1)
    axis.set(title=fusion, xlabel="age, years")
    axis.tick_params("x", rotation=45)
axes[0].set_ylabel("mean error, years")
_ = axes[0].legend()
plt.show()
