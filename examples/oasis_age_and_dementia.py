"""
Real data: age from the grey matter of OASIS
============================================

Complete code for a public study of 416 people: grey-matter maps by nilearn, with age, sex, education and a
dementia rating. It downloads about 1 GB, so the documentation does not run it; a test runs it on a stand-in
of the same shape. Run it as ``python examples/oasis_age_and_dementia.py``.
"""

# %%
# One table from what nilearn fetches
# -----------------------------------
# `fetch_oasis_vbm` returns paths of maps and a table. The dementia rating is missing for the young, who were
# not asked: a gap that tells of the age. It must not be a column where the age is the target.

import pandas as pd
from sklearn.model_selection import KFold

from skhyperfusion import HyperFusionRegressor, ImageLoader
from skhyperfusion.features import baseline_regressor
from skhyperfusion.images import check_images
from skhyperfusion.model_selection import compare_estimators

COLUMNS = {"mf": "sex", "educ": "education", "hand": "handedness"}


def as_table(fetched):
    """Return (X, age) of those who are free of dementia, with a column of paths."""
    people = pd.DataFrame(fetched.ext_vars).reset_index(drop=True)
    people["grey_matter"] = [str(path) for path in fetched.gray_matter_maps]
    healthy = people[people["cdr"].fillna(0) == 0].set_index("id")
    return healthy[["grey_matter", *COLUMNS]].rename(columns=COLUMNS), healthy["age"]


# %%
# Grey-matter maps are measurements: no z-score
# ---------------------------------------------
# The value of a voxel is a share of grey matter, so ``intensity=None`` leaves it as stored. At 6 mm a fit
# takes a minute or two; go finer when the pipeline stands.


def methods(spacing=6.0, shape=(27, 32, 27), max_epochs=30, base_channels=8, n_components=60):
    """Return the estimators that are compared, by name."""
    loader = ImageLoader(spacing=spacing, shape=shape, intensity=None)
    network = {
        "image_loader": loader,
        "base_channels": base_channels,
        "max_epochs": max_epochs,
        "random_state": 0,
    }
    compared = {f: HyperFusionRegressor(fusion=f, **network) for f in ["hyper", "concat", "image"]}
    compared["components + table, ridge"] = baseline_regressor(n_components=n_components, image_loader=loader)
    return compared


# %%
# Look, then compare in the same folds
# ------------------------------------


def main(fetched, n_folds=5, **settings):
    """Check the images, compare the methods, return the comparison."""
    X, age = as_table(fetched)
    print(check_images(X))
    folds = KFold(n_folds, shuffle=True, random_state=0)
    comparison = compare_estimators(
        methods(**settings), X, age, cv=folds, scoring="neg_mean_absolute_error", verbose=1
    )
    print(comparison.table()[["mean", "sd", "difference", "p_corrected_t"]].round(2))
    return comparison


if __name__ == "__main__":
    from nilearn.datasets import fetch_oasis_vbm

    main(fetch_oasis_vbm()).plot().figure.savefig("oasis_age.png")
