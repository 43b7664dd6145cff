"""Where does fusion help? ``make demo`` answers on generated data; ``QUICK=1 make demo`` in a minute.

Pictures of a disc whose circumference is asked for in mm: what the picture shows times the size of a pixel,
which stands in the table, as in ultrasound. And scans of brains with a table: Alzheimer's disease or not. In
the same folds HyperFusion stands beside its rivals, a gradient boosting on the table alone, and a linear
model of the image's principal components and the table. A table and a figure come out.
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
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.features import baseline_classifier, baseline_regressor
from skhyperfusion.model_selection import compare_estimators

FUSIONS = ["hyper", "daft", "film", "concat", "image", "tabular"]
BOOSTING, BASELINE = "boosting (table)", "components + table, linear"
SIDE, SHAPE = 24, (16, 16, 16)
NOISE = 2.0  # mm, of the measured circumference
ABOUT_S = {False: 120, True: 35}  # seconds on two cores, by --quick


def make_discs(n_pictures, seed):
    """Draw noisy pictures of discs, and pixels of any size: (X, measured and true circumference in mm)."""
    rng = np.random.default_rng(seed)
    radius, pixel = rng.uniform(4, 10, n_pictures), np.exp(rng.uniform(np.log(0.5), np.log(1.5), n_pictures))
    centre = SIDE / 2 + rng.uniform(-2, 2, (n_pictures, 2))
    grid = np.indices((SIDE, SIDE)) + 0.5
    distance = np.hypot(*(grid[:, None] - centre.T[..., None, None]))
    pictures = 1 / (1 + np.exp((distance - radius[:, None, None]) / 0.5))
    pictures = (pictures + rng.normal(0, 0.3, pictures.shape)).astype(np.float32)
    truth = 2 * np.pi * radius * pixel
    X = pd.DataFrame({"picture": list(pictures), "pixel_mm": pixel})
    return X, truth + rng.normal(0, NOISE, n_pictures), truth


def boosting_on_the_table(estimator):
    """Gradient boosting that leaves the image column alone."""
    categories = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer(
        ("drop", make_column_selector("picture|t1w")),
        (categories, make_column_selector("^(?!picture|t1w)", dtype_exclude="number")),
        remainder="passthrough",
    )
    return make_pipeline(columns, estimator)


def compare_circumference(n_folds, settings):
    """Compare every method on the discs: (X, y, comparison, least error that can be reached)."""
    X, y, truth = make_discs(160, seed=0)
    methods = {fusion: HyperFusionRegressor(fusion=fusion, **settings) for fusion in FUSIONS}
    methods[BOOSTING] = boosting_on_the_table(HistGradientBoostingRegressor(random_state=0))
    methods[BASELINE] = baseline_regressor(n_components=20)
    folds = KFold(n_folds, shuffle=True, random_state=0)
    comparison = compare_estimators(methods, X, y, cv=folds, scoring=["neg_mean_absolute_error"], verbose=1)
    return X, y, comparison, mean_absolute_error(y, truth)


def compare_diagnosis(n_folds, settings):
    """Compare every method on the brains: (cohort, comparison, best reachable score)."""
    cohort = make_brain_cohort(120, shape=SHAPE, n_classes=2, random_state=0)
    methods = {fusion: HyperFusionClassifier(fusion=fusion, **settings) for fusion in FUSIONS}
    methods[BOOSTING] = boosting_on_the_table(HistGradientBoostingClassifier(random_state=0))
    methods[BASELINE] = baseline_classifier(n_components=20)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    comparison = compare_estimators(
        methods, cohort.data, cohort.target, cv=folds, scoring=["roc_auc"], verbose=1
    )
    return cohort, comparison, cohort.best_score["roc_auc"]


def print_table(title, comparison, best, n_folds):
    """One row per method, the best reachable score below."""
    columns = {"mean": "mean", "sd": "sd", "difference": "to hyper", "fit_seconds": "seconds per fit"}
    told = "mean absolute error, less is better" if comparison.errors else "ROC AUC, more is better"
    print(f"\n{title}: {told}; mean of {n_folds} folds")
    print(comparison.table()[list(columns)].rename(columns=columns).round(3).to_string())
    print(f"best reachable, knowing how the data were made: {best:.3f}")


def draw(path, pictures, panels):
    """Draw some images, and below them every fold's score beside the best reachable one."""
    figure = plt.figure(figsize=(max(9, 7 * len(panels)), 7), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 2])
    for axes, (title, picture) in zip(top.subplots(1, len(pictures)), pictures, strict=True):
        axes.imshow(picture, cmap="gray")
        axes.set_title(title, fontsize=9)
        axes.axis("off")
    panes = bottom.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, comparison, best) in zip(panes, panels, strict=True):
        comparison.plot(ax=axes)
        axes.axvline(best, linestyle="--", color="tab:green", label="best reachable")
        axes.set_title(title)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    """Generate the data, compare the methods, print the tables and save the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked = os.environ.get("QUICK", "") not in ("", "0")
    parser.add_argument("--quick", action="store_true", default=asked, help="the discs alone, three folds")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    arguments = parser.parse_args()
    arguments.output.mkdir(exist_ok=True)
    n_folds = 3 if arguments.quick else 5
    n_tasks = 1 if arguments.quick else 2
    print(
        f"{len(FUSIONS) + 2} methods, {n_folds} folds, {n_tasks} task{'s' * (n_tasks > 1)}: "
        f"about {ABOUT_S[arguments.quick]} s on two cores",
        flush=True,
    )
    start = time.perf_counter()
    settings = {"base_channels": 4, "max_epochs": arguments.epochs, "random_state": 0}
    with joblib.parallel_config("loky", n_jobs=os.cpu_count()):  # a fit per core, of one thread each
        X, y, by_length, least = compare_circumference(n_folds, settings)
        panels = [("Circumference of a disc (mm)", by_length, least)]
        pictures = [
            (f"{size:.2f} mm a pixel: {length:.0f} mm", picture)
            for picture, size, length in zip(X["picture"][:3], X["pixel_mm"], y, strict=False)
        ]
        if not arguments.quick:
            cohort, by_class, best = compare_diagnosis(n_folds, settings)
            panels.append(("Alzheimer's disease or not", by_class, best))
            known = cohort.data.assign(label=cohort.target).dropna(subset=["age", "sex"])
            pictures += [
                (
                    f"{subject.label}, {subject.sex}, {subject.age:.0f} y",
                    np.rot90(nib.load(subject.t1w).get_fdata()[:, SHAPE[1] // 2]),
                )
                for subject in known.iloc[:3].itertuples()
            ]
    for (title, comparison, best_score), name in zip(panels, ("circumference", "diagnosis"), strict=False):
        print_table(title, comparison, best_score, n_folds)
        comparison.scores.to_csv(arguments.output / f"{name}.csv", index=False)
    figure = arguments.output / "demo.png"
    draw(figure, pictures, panels)
    print(
        "\nWhere the table changes what the picture means, the ways in which it acts inside the network "
        "(hyper, daft, film) are the ones to try. Among few subjects the linear model is hard to beat."
        f"\nFigure: {figure}; scores of every fold beside it; {time.perf_counter() - start:.0f} s in all"
    )


if __name__ == "__main__":
    main()
