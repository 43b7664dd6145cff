"""
Which layers should be external?
================================

An external layer is one whose weights the hypernetwork makes from the table's row. A well-chosen few beat
many. The paper chooses them in two steps: score the layers of a network without hypernetwork, then let an
ablation decide among the best; here folds do.
"""

# %%
# Step one: which layers does the loss depend on?
# -----------------------------------------------
# A network of the picture alone is trained, then one layer at a time is filled with random weights, many
# times. The entropy of the losses is the layer's score.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from skhyperfusion import HyperFusionRegressor
from skhyperfusion.datasets import make_head_pictures
from skhyperfusion.inspection import LayerSensitivityDisplay
from skhyperfusion.model_selection import compare_estimators

plt.style.use("tableau-colorblind10")
cohort = make_head_pictures(160, shape=(32, 40), random_state=0)
X, y = cohort.data, cohort.target
X_train, X_held, y_train, y_held = train_test_split(X, y, test_size=0.3, random_state=0)

model = HyperFusionRegressor(base_channels=4, max_epochs=12, random_state=0)
image_alone = clone(model).set_params(fusion="image").fit(X_train, y_train)
display = LayerSensitivityDisplay.from_estimator(image_alone, X_held, y_held, n_repeats=40, random_state=0)
plt.show()

# %%
# Step two: let folds decide
# --------------------------
# The default is the last shortcut of the backbone, as in the paper. Beside it: the head's first layer, both
# convolutions of the last block, and the stem, which would have to be learned through all that follows.

candidates = {
    "last shortcut (default)": None,
    "head": ["head.hidden1"],
    "last block": ["backbone.block4.conv*"],
    "stem": ["backbone.stem.conv"],
}
methods = {name: clone(model).set_params(external_layers=layers) for name, layers in candidates.items()}
comparison = compare_estimators(methods, X, y, cv=3, scoring="neg_mean_absolute_error")
fitted = {name: method.fit(X_train, y_train) for name, method in methods.items()}
table = comparison.table()[["mean", "sd", "p_corrected_t", "fit_seconds"]].round(2)
table["external layers"] = pd.Series({name: len(method.external_layers_) for name, method in fitted.items()})
table

# %%
# More external layers are more weights to be made for every row, and more to be learned from the same rows.
# Where the candidates are close, keep the default: the choice is a parameter like any other, and every
# candidate that you try costs part of the evidence.
