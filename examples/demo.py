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
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.model_selection import compare_estimators

FUSIONS = ["hyper", "daft", "film", "concat", "image", "tabular"]
SHAPE = (20, 20, 20)


def boosting_on_the_table(estimator):
    """Gradient boosting that leaves the image column alone."""
    categories = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer(
        ("drop", ["t1w"]),
        (categories, make_column_selector(dtype_exclude="number")),
        remainder="passthrough",
    )
    return make_pipeline(columns, estimator)


def compare_diagnosis(n_subjects, settings):
    """Compare every fusion on the diagnosis: (cohort, comparison)."""
    cohort = make_brain_cohort(n_subjects, shape=SHAPE, n_classes=2, random_state=0)
    methods = {fusion: HyperFusionClassifier(fusion=fusion, **settings) for fusion in FUSIONS}
    methods["boosting (table)"] = boosting_on_the_table(HistGradientBoostingClassifier(random_state=0))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scoring = {"balanced accuracy": "balanced_accuracy", "ROC AUC": "roc_auc"}
    return cohort, compare_estimators(
        methods, cohort.data, cohort.target, cv=folds, scoring=scoring, verbose=1
    )


def compare_age(n_subjects, settings):
    """Compare the regressor with its rivals on the age: (cohort, comparison)."""
    cohort = make_brain_cohort(n_subjects, shape=SHAPE, task="age", random_state=1)
    methods = {
        fusion: HyperFusionRegressor(fusion=fusion, **settings) for fusion in ("hyper", "concat", "image")
    }
    methods["boosting (table)"] = boosting_on_the_table(HistGradientBoostingRegressor(random_state=0))
    folds = KFold(5, shuffle=True, random_state=0)
    scoring = {"mean absolute error, years": "neg_mean_absolute_error"}
    return cohort, compare_estimators(
        methods, cohort.data, cohort.target, cv=folds, scoring=scoring, verbose=1
    )


def print_table(title, comparison, best):
    """One row per method, the best reachable score below."""
    columns = {"mean": "mean", "sd": "sd", "difference": "to hyper", "fit_seconds": "seconds per fit"}
    metric = comparison.metrics[0]
    better = "less" if metric in comparison.errors else "more"
    print(f"\n{title}: {metric}, mean of 5 folds ({better} is better)")
    print(comparison.table()[list(columns)].rename(columns=columns).round(3).to_string())
    print(f"best reachable, knowing how the cohort was made: {best:.3f}")


def draw(path, cohort, panels):
    """Draw six scans, and every fold's score of each method beside the best reachable one."""
    figure = plt.figure(figsize=(12, 6.5), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 2])
    subjects = cohort.data.assign(label=cohort.target).iloc[:6].itertuples()
    for axes, subject in zip(top.subplots(1, 6), subjects, strict=True):
        voxels = nib.load(subject.t1w).get_fdata()
        axes.imshow(np.rot90(voxels[:, SHAPE[1] // 2]), cmap="gray")
        axes.set_title(f"{subject.label}, {subject.sex}, {subject.age:.0f} y", fontsize=9)
        axes.axis("off")
    for axes, (title, (comparison, best)) in zip(bottom.subplots(1, 2), panels.items(), strict=True):
        comparison.plot(ax=axes)
        axes.axvline(best, linestyle="--", color="tab:green", label="best reachable")
        axes.set_title(title)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    """Generate the cohorts, compare the methods, print the tables and save the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=13)
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    arguments = parser.parse_args()
    arguments.output.mkdir(exist_ok=True)
    start = time.perf_counter()
    # Fewer channels and epochs than the defaults, and so a higher learning rate: it is a demonstration.
    settings = {"base_channels": 4, "max_epochs": arguments.epochs, "lr": 3e-3, "random_state": 0}
    with joblib.parallel_config("loky", n_jobs=os.cpu_count()):  # a fit per core, of one thread each
        patients, by_class = compare_diagnosis(arguments.subjects, settings)
        volunteers, by_age = compare_age(arguments.subjects, settings)
    best_class = patients.best_score["balanced_accuracy"]
    best_age = volunteers.best_score["mean_absolute_error"]
    print_table("Alzheimer's disease or not", by_class, best_class)
    print_table("Brain age", by_age, best_age)
    figure = arguments.output / "demo.png"
    draw(
        figure,
        patients,
        {"Alzheimer's disease or not": (by_class, best_class), "Brain age": (by_age, best_age)},
    )
    by_class.scores.to_csv(arguments.output / "diagnosis.csv", index=False)
    by_age.scores.to_csv(arguments.output / "age.csv", index=False)
    print(f"\nFigure: {figure}; scores of every fold beside it; {time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
