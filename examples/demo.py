"""What does a hypernetwork add to a scan and a table? ``make demo`` answers on generated brains.

Two tasks on NIfTI files: the diagnosis from scan and table, and the age of healthy subjects conditioned on
sex. In 5 folds each, HyperFusion stands beside its rivals and a gradient boosting on the table alone; a table
and a figure come out. On two cores it takes some minutes.
"""

import argparse
import os
import time
from pathlib import Path

import joblib
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from tqdm import tqdm

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion.datasets import make_brain_cohort

FUSIONS = ["hyper", "daft", "film", "concat", "image", "tabular"]
IMAGE = "t1w"


def boosting_on_the_table(estimator):
    """Gradient boosting that leaves the image column alone."""
    categories = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer(
        ("drop", [IMAGE]),
        (categories, make_column_selector(dtype_exclude="number")),
        remainder="passthrough",
    )
    return make_pipeline(columns, estimator)


def fit_and_score(name, fold, estimator, X, y, train, test, scoring):
    """One fold of one method: (method, fold, score, seconds)."""
    start = time.perf_counter()
    estimator = clone(estimator).fit(X.iloc[train], y.iloc[train])
    score = get_scorer(scoring)(estimator, X.iloc[test], y.iloc[test])
    return name, fold, abs(score), time.perf_counter() - start


def cross_validate_all(title, methods, X, y, cv, scoring):
    """Cross-validate every method in the same folds, on all cores, with a progress bar."""
    jobs = [
        joblib.delayed(fit_and_score)(name, fold, estimator, X, y, train, test, scoring)
        for fold, (train, test) in enumerate(cv.split(X, y))
        for name, estimator in methods.items()
    ]
    done = joblib.Parallel(n_jobs=os.cpu_count(), return_as="generator_unordered")(jobs)
    rows = list(tqdm(done, total=len(jobs), desc=title, unit="fit"))
    return pd.DataFrame(rows, columns=["method", "fold", "score", "seconds"])


def summarize(results, methods):
    """One row per method: mean and spread over the folds, and the seconds of a fit."""
    folds = results.groupby("method", sort=False)
    table = pd.DataFrame(
        {
            "mean": folds["score"].mean(),
            "sd": folds["score"].std(),
            "seconds per fit": folds["seconds"].mean(),
        }
    )
    return table.loc[list(methods)]


def draw(panels, path, scans):
    """Draw a few scans, and every fold's score of each method beside the best reachable one."""
    figure = plt.figure(figsize=(12, 6.5), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 2])
    for axes, (label, scan) in zip(top.subplots(1, len(scans)), scans.items(), strict=True):
        axes.imshow(np.rot90(scan), cmap="gray")
        axes.set_title(label, fontsize=9)
        axes.axis("off")
    for axes, (title, (results, methods, best)) in zip(
        bottom.subplots(1, len(panels)), panels.items(), strict=True
    ):
        for row, name in enumerate(methods):
            scores = results.loc[results["method"] == name, "score"]
            axes.plot(scores, np.full(len(scores), row), "o", color="0.6", markersize=4)
            axes.plot(scores.mean(), row, "D", color="tab:red" if name == "hyper" else "black")
        axes.axvline(best, linestyle="--", color="tab:green", label="best reachable")
        axes.set_yticks(range(len(methods)), methods)
        axes.invert_yaxis()
        axes.set_xlabel(title)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def middle_slice(path):
    """The coronal slice through the middle of a scan."""
    voxels = nib.load(path).get_fdata()
    return voxels[:, voxels.shape[1] // 2]


def main():
    """Generate the cohorts, compare the methods, print the tables and save the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    arguments = parser.parse_args()
    arguments.output.mkdir(exist_ok=True)
    settings = {"base_channels": 8, "max_epochs": arguments.epochs, "random_state": 0}
    shape = (24, 24, 24)

    diagnosis = make_brain_cohort(
        arguments.subjects, shape=shape, task="diagnosis", n_classes=2, random_state=0
    )
    classifiers = {f: HyperFusionClassifier(fusion=f, **settings) for f in FUSIONS}
    classifiers["boosting (table)"] = boosting_on_the_table(HistGradientBoostingClassifier(random_state=0))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    by_class = cross_validate_all(
        "diagnosis", classifiers, diagnosis.data, diagnosis.target, folds, "balanced_accuracy"
    )

    age = make_brain_cohort(arguments.subjects, shape=shape, task="age", random_state=1)
    regressors = {f: HyperFusionRegressor(fusion=f, **settings) for f in ("hyper", "concat", "image")}
    regressors["boosting (table)"] = boosting_on_the_table(HistGradientBoostingRegressor(random_state=0))
    folds = KFold(5, shuffle=True, random_state=0)
    by_age = cross_validate_all(
        "brain age", regressors, age.data, age.target, folds, "neg_mean_absolute_error"
    )

    print(f"\nDiagnosis, balanced accuracy in 5 folds of {arguments.subjects} subjects (higher is better)")
    print(summarize(by_class, classifiers).round(3).to_string())
    print(f"best reachable: {diagnosis.best_score['balanced_accuracy']:.3f}")
    print(
        f"\nBrain age, mean absolute error in years in 5 folds of {arguments.subjects} subjects (lower is better)"
    )
    print(summarize(by_age, regressors).round(3).to_string())
    print(f"best reachable: {age.best_score['mean_absolute_error']:.3f}")

    scans = {
        f"{label}, {row.sex}, {row.age:.0f} y": middle_slice(row.t1w)
        for label, row in zip(diagnosis.target.iloc[:6], diagnosis.data.iloc[:6].itertuples(), strict=True)
    }
    panels = {
        "balanced accuracy (diagnosis)": (by_class, classifiers, diagnosis.best_score["balanced_accuracy"]),
        "mean absolute error, years (brain age)": (by_age, regressors, age.best_score["mean_absolute_error"]),
    }
    figure = arguments.output / "demo.png"
    draw(panels, figure, scans)
    pd.concat({"diagnosis": by_class, "brain age": by_age}, names=["task", "row"]).to_csv(
        arguments.output / "demo.csv"
    )
    print(f"\nFigure: {figure}   Scores of every fold: {arguments.output / 'demo.csv'}")


if __name__ == "__main__":
    main()
