"""How far models without a network get on the generated cohorts, and how far one can get.

    python benchmarks/cohort_check.py --n-subjects 400 --shape 32

The picture enters as its true latent variables, or as their estimates by a ridge regression on the
voxels, fitted in the training folds. "products" are all of picture times table; "true products" those
alone that the generating model has. 5 folds; the oracle is the Bayes rule for the same subjects.
"""

import argparse

import nibabel as nib
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skhyperfusion.datasets import make_brain_cohort

MODELS = ("image", "table", "additive", "products", "true products", "boosting")
WORLDS = {
    "interaction": {},
    "interaction, gaps of the paper": {"missing_rate": "paper"},
    "no interaction": {"interaction": 0},
    "table of noise": {"table_informative": False},
}
TASKS = {
    "diagnosis, 3 classes": {"task": "diagnosis"},
    "diagnosis, 2 classes": {"task": "diagnosis", "n_classes": 2},
    "age": {"task": "age"},
}


def encode(cohort, train, test):
    """Scale the table's numbers and make categories one-hot, as the training rows have them."""
    data = cohort.data.drop(columns="t1w")
    for name in [c for c in data if c.startswith("csf_")]:
        data[name] = pd.to_numeric(data[name].astype(str).str.lstrip("<>"), errors="coerce")
    if "apoe4" in data:
        data["carrier"] = data["apoe4"].clip(upper=1)
    numbers = data.select_dtypes("number").columns
    encoder = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (
            OneHotEncoder(drop="if_binary", handle_unknown="ignore", sparse_output=False),
            data.columns.difference(numbers),
        ),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    return encoder.fit_transform(data.iloc[train]), encoder.transform(data.iloc[test])


def voxels(cohort):
    """Every second voxel of the smoothed scans, each scan centred and scaled."""
    scans = (nib.load(path).get_fdata(dtype=np.float32) for path in cohort.data["t1w"])
    flat = np.stack([gaussian_filter(s / s.mean(), 0.8)[::2, ::2, ::2].ravel() for s in scans])
    return flat - flat.mean(axis=1, keepdims=True)


def estimate(pixels, latents, train, test):
    """Read the latent variables from voxels, knowing them in the training folds."""
    ridge = RidgeCV(np.logspace(-1, 4, 11))
    # Those of the training rows come from inner folds, as noisy as those of the test rows.
    inner = cross_val_predict(ridge, pixels[train], latents[train], cv=5)
    return inner, ridge.fit(pixels[train], latents[train]).predict(pixels[test])


def design(model, image, table):
    """Features of a model."""
    if model == "image":
        return image
    if model == "table":
        return table.to_numpy()
    columns = {"products": list(table), "true products": [c for c in ("carrier", "sex_M") if c in table]}
    moderators = table[columns.get(model, [])].to_numpy()
    return np.hstack([image, table, (image[:, :, None] * moderators[:, None, :]).reshape(len(image), -1)])


def evaluate(cohort, pixels=None, seed=0):
    """Cross-validate every model: a row of mean scores each, and one of the oracle's."""
    is_class = cohort.target.name == "diagnosis"
    latents = cohort.truth.filter(regex="_atrophy|_enlargement|_loss").to_numpy()
    target = cohort.target.to_numpy()
    folds = (StratifiedKFold if is_class else KFold)(5, shuffle=True, random_state=seed)
    rows = []
    for train, test in folds.split(latents, target):
        tables = encode(cohort, train, test)
        images = (latents[train], latents[test])
        if pixels is not None:
            images = estimate(pixels, latents, train, test)
        for model in MODELS:
            fitted, given = (design(model, *pair) for pair in zip(images, tables, strict=True))
            score = score_classes if is_class else score_age
            rows.append({"model": model} | score(model, fitted, target[train], given, target[test]))
    scores = pd.DataFrame(rows).groupby("model").mean().loc[list(MODELS)]
    scores.loc["oracle"] = pd.Series(cohort.best_score)[scores.columns]
    return scores


def score_classes(model, features, target, given, wanted):
    """Balanced accuracy and ROC AUC of a model of the class."""
    if model == "boosting":
        fitted = HistGradientBoostingClassifier(max_iter=60, class_weight="balanced").fit(features, target)
    else:
        fitted = LogisticRegression(C=0.3, class_weight="balanced", max_iter=2000).fit(features, target)
    p = fitted.predict_proba(given)
    auc = np.mean([roc_auc_score(wanted == name, p[:, k]) for k, name in enumerate(fitted.classes_)])
    return {"balanced_accuracy": balanced_accuracy_score(wanted, fitted.predict(given)), "roc_auc": auc}


def score_age(model, features, target, given, wanted):
    """Mean absolute error of a model of the age."""
    boosting = HistGradientBoostingRegressor(max_iter=80)
    regressor = boosting if model == "boosting" else RidgeCV(np.logspace(-1, 3, 9))
    error = mean_absolute_error(wanted, regressor.fit(features, target).predict(given))
    return {"mean_absolute_error": error}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-subjects", type=int, default=400)
    parser.add_argument("--shape", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for task, first in TASKS.items():
        for world, second in WORLDS.items():
            if first["task"] == "age" and second.get("missing_rate") == "paper":
                continue
            cohort = make_brain_cohort(
                given.n_subjects, shape=(given.shape,) * 3, random_state=given.seed, **first, **second
            )
            kinds = {"true latents": evaluate(cohort), "from voxels": evaluate(cohort, voxels(cohort))}
            print(f"\n{task}; {world}; {given.n_subjects} subjects")
            print(pd.concat(kinds, axis=1).round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
