"""
Can a grid search find the right fusion?
========================================

Yes, where there is something to find: ``fusion`` is a parameter like any other. Here the table asks
a question about a picture, so that neither side can answer alone, and the way in which they are
joined decides.

The pictures are scikit-learn's digits. The table has one column with one of two questions: is the
digit even? Is it above four? The answer is the target. What the picture means depends on the table:
an interaction, and nothing but.
"""

# %%
# The data
# --------
# One column of arrays, one column of text. No column needs to be declared.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GridSearchCV, train_test_split

from skhyperfusion import HyperFusionClassifier, ImageLoader

digits = load_digits()
rng = np.random.default_rng(0)
rows = rng.choice(len(digits.target), 600, replace=False)
question = rng.choice(["even?", "above four?"], len(rows))
X = pd.DataFrame({"image": list(digits.images[rows]), "question": question})
y = np.where(question == "even?", digits.target[rows] % 2 == 0, digits.target[rows] > 4)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

fig, axes = plt.subplots(1, 5, figsize=(9, 2.2), layout="constrained")
for axis, image, text, answer in zip(axes, X["image"], X["question"], y, strict=False):
    axis.imshow(image, cmap="gray_r")
    axis.set_title(f"{text} {'yes' if answer else 'no'}", fontsize=9)
    axis.axis("off")

# %%
# The search
# ----------
# A small network and few epochs, the same for all candidates.

model = HyperFusionClassifier(
    image_loader=ImageLoader(intensity="minmax"),
    base_channels=4,
    dropout=0.0,
    augmentation=None,
    max_epochs=12,
    lr=3e-3,
    batch_size=32,
    random_state=0,
    early_stopping=False,
)
fusions = ["hyper", "daft", "film", "concat", "image", "tabular"]
search = GridSearchCV(model, {"fusion": fusions}, cv=2).fit(X_train, y_train)
results = pd.DataFrame(search.cv_results_).set_index("param_fusion")
results[["mean_test_score", "mean_fit_time"]].round(2)

# %%
# The best of six candidates looks better than it is, since it was chosen for its score. So the
# winner is scored on rows that the search has not seen, beside a gradient boosting on the 64 pixels
# and the question.


def as_numbers(X):
    pixels = np.stack(X["image"].to_list()).reshape(len(X), -1)
    return np.column_stack([pixels, X["question"] == "even?"])


boosting = HistGradientBoostingClassifier(random_state=0).fit(as_numbers(X_train), y_train)
held_out = pd.Series(
    {
        f"{search.best_params_['fusion']} (chosen)": search.score(X_test, y_test),
        "boosting on the pixels": boosting.score(as_numbers(X_test), y_test),
        "more frequent answer": max(y_test.mean(), 1 - y_test.mean()),
    },
    name="accuracy on held-out rows",
)
held_out.round(3)

# %%
# How the fusions compare
# -----------------------
# Lines are the two folds. ``"image"`` does not know what is asked, and ``"tabular"`` does not see
# the digit: they mark what can be had without fusion. A fusion that stays near them has not learned
# the interaction in so few epochs, which does not mean that it never would.

fig, axis = plt.subplots(figsize=(6.5, 3), layout="constrained")
folds = results[["split0_test_score", "split1_test_score"]].loc[fusions]
axis.barh(fusions, folds.mean(axis=1), color="0.75")
axis.hlines(range(len(fusions)), folds.min(axis=1), folds.max(axis=1), color="black")
axis.axvline(held_out["more frequent answer"], linestyle="--", color="tab:red", label="more frequent answer")
axis.set_xlabel("accuracy in 2 folds")
axis.invert_yaxis()
axis.legend(loc="lower right")
plt.show()
