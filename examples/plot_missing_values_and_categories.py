"""
What becomes of missing values and categories?
==============================================

They are handled inside ``fit``: numbers are imputed and flagged, categories become columns of 0 and
1, limits of detection are read as numbers, and image columns pass through untouched.
``TabularPreprocessor`` does it; here it is looked at alone, then changed.
"""

# %%
# A table as it comes
# -------------------
# A generated cohort with the missing rates of the HyperFusion study: half of the CSF values are
# absent. Some are below or above what the assay can measure.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from skhyperfusion import HyperFusionClassifier, TabularPreprocessor
from skhyperfusion.datasets import make_brain_cohort

cohort = make_brain_cohort(150, shape=(8, 8, 8), n_classes=2, missing_rate="paper", random_state=0)
X, y = cohort.data, cohort.target
X.drop(columns="t1w").head()

# %%
# What the network gets
# ---------------------
# Every column that had gaps has a flag; a category that is missing is 0 in all its columns. The
# image column comes last, as it was.

preprocessor = TabularPreprocessor(scaler=None).set_output(transform="pandas")
encoded = preprocessor.fit_transform(X)
encoded.drop(columns="t1w").iloc[:5, :12].round(2)

# %%
# The figure shows the encoded table, one line per subject; each column is scaled to its own range.

table = encoded.drop(columns="t1w").astype(float)
fig, axis = plt.subplots(figsize=(9, 4), layout="constrained")
axis.imshow((table - table.min()) / (table.max() - table.min()), aspect="auto", interpolation="nearest")
axis.set_xticks(range(table.shape[1]), table.columns, rotation=90, fontsize=7)
_ = axis.set_ylabel("subject")

# %%
# How well are gaps filled?
# -------------------------
# The cohort is generated, so the values behind the gaps are known. The error is the mean absolute
# one, in standard deviations of each marker: 0.8 is what the mean of a normally distributed column
# achieves. The markers of this cohort depend on each other through the disease alone, so there is
# little to be gained from the other columns; in a real table there often is more.

markers = ["fdg", "av45", "csf_ttau"]
errors = {}
for imputer in ["median", "knn", "iterative"]:
    filled = TabularPreprocessor(imputer=imputer, scaler=None).set_output(transform="pandas").fit_transform(X)
    errors[imputer] = {
        name: np.abs(filled[name] - cohort.complete[name])[X[name].isna()].mean()
        / cohort.complete[name].std()
        for name in markers
    }
pd.DataFrame(errors).round(2)

# %%
# In the estimator
# ----------------
# The default preprocessor is fitted inside each fold, on training rows only. Another one is passed
# as a parameter; its own parameters can be searched. The image plays no part here
# (``fusion="tabular"``), and the baselines need no network: a logistic regression behind the same
# preprocessor, and a gradient boosting behind it.

settings = {"fusion": "tabular", "max_epochs": 30, "random_state": 0}
columns = X.drop(columns="t1w")
methods = {
    "network, iterative": (HyperFusionClassifier(**settings), X),
    "network, median": (
        HyperFusionClassifier(tabular_preprocessor=TabularPreprocessor(imputer="median"), **settings),
        X,
    ),
    "network, no flags": (
        HyperFusionClassifier(tabular_preprocessor=TabularPreprocessor(add_indicator=False), **settings),
        X,
    ),
    "logistic regression": (make_pipeline(TabularPreprocessor(), LogisticRegression(max_iter=500)), columns),
    "boosting": (
        make_pipeline(TabularPreprocessor(scaler=None), HistGradientBoostingClassifier(random_state=0)),
        columns,
    ),
}
folds = StratifiedKFold(3, shuffle=True, random_state=0)
scores = pd.DataFrame(
    {
        name: cross_val_score(model, data, y, cv=folds, scoring="roc_auc")
        for name, (model, data) in methods.items()
    }
)
scores.T.assign(mean=scores.mean()).round(3)

# %%
# How much of this is chance? Three folds of 50 subjects: the folds of one method differ by as much
# as the methods do. For such a choice to matter in your study it should show over repeated folds
# (`skhyperfusion.model_selection.compare_estimators`), and if it does not, take the simplest.
