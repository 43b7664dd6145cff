"""How long is the head's circumference? 754 ultrasound pictures and the size of a pixel.

    python benchmarks/hc18_circumference.py

The circumference in mm is what the picture shows, in pixels, times the size of a pixel, which the table
holds: real data on which the table changes what an image means. Folds by subject, the same for all methods;
a seed draws the folds and the networks. Training pictures are mirrored: the circumference stays what it is.
The error is the mean absolute one, in mm. Beside the fusions stands ridge regression on the table and the
principal components of the picture.
"""

import time

import joblib
import numpy as np
import pandas as pd
from _report import parser, real_data, workers, write
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GroupKFold

from skhyperfusion import HyperFusionRegressor, ImageLoader
from skhyperfusion.features import baseline_regressor
from skhyperfusion.model_selection import Comparison

FUSIONS = ["hyper", "film", "daft", "concat", "image", "tabular"]
BASELINE = "components + table - ridge"


def read_pictures(folder):
    """Read the pictures with their table: (X, circumference in mm, subject)."""
    table = pd.read_csv(folder / "metadata.csv")
    table["picture"] = [str(folder / "images" / name) for name in table["image"]]
    return (
        table[["picture", "pixel_size"]],
        table["head_circumference"].to_numpy(),
        table["subject"].to_numpy(),
    )


def make(method, seed, arguments):
    """Return the estimator of a row of the table."""
    loader = ImageLoader(shape=tuple(arguments.shape))
    if method == BASELINE:
        return baseline_regressor(image_loader=loader)
    return HyperFusionRegressor(
        fusion=method, image_loader=loader, base_channels=arguments.base_channels,
        max_epochs=arguments.epochs, backbone=arguments.backbone, augmentation=arguments.augmentation,
        random_state=seed,
    )  # fmt: skip


def fit(method, seed, fold, rows, data, arguments):
    """Fit on all folds but one, and score that one."""
    X, y, _ = data
    train, test = rows
    start = time.perf_counter()
    model = make(method, seed, arguments).fit(X.iloc[train], y[train])
    seconds = time.perf_counter() - start
    error = mean_absolute_error(y[test], model.predict(X.iloc[test]))
    print(f"{method}, seed {seed}, fold {fold}: {error:.2f} mm, {seconds:.0f} s", flush=True)
    return {
        "method": method, "seed": seed, "fold": fold, "error_mm": error, "seconds": seconds,
        "n_train": len(train), "n_test": len(test),
    }  # fmt: skip


def against_first(rows, n_folds):
    """Compare each method with the first in the folds of all seeds: folds in which that is better, and p."""
    rows = rows.assign(fold=rows["seed"] * n_folds + rows["fold"], metric="mm", score=rows["error_mm"])
    errors = rows.pivot_table("score", "fold", "method", sort=False)
    comparison = Comparison(rows, errors=["mm"])
    better = errors.gt(errors[comparison.methods[0]], axis=0).sum()
    return pd.DataFrame({"folds behind": better, "p": comparison.table()["p_corrected_t"]})


def main():
    """Compare the methods, print the table and save the errors of every fold."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--fusions", nargs="+", choices=[*FUSIONS, BASELINE], default=[*FUSIONS, BASELINE])
    arguments.add_argument("--seeds", type=int, default=3, help="number of seeds, from --seed on")
    arguments.add_argument("--folds", type=int, default=4)
    arguments.add_argument("--only-folds", type=int, default=None, help="how many of the folds are scored")
    arguments.add_argument("--epochs", type=int, default=20)
    arguments.add_argument("--base-channels", type=int, default=8)
    arguments.add_argument("--shape", type=int, nargs=2, default=(54, 80))
    arguments.add_argument("--backbone", default="resnet")
    arguments.add_argument("--augmentation", choices=["light", "shift"], default="light")
    arguments = arguments.parse_args()
    data = read_pictures(real_data("hc18-small"))
    X, y, subject = data
    jobs = []
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        folds = list(GroupKFold(arguments.folds, shuffle=True, random_state=seed).split(X, y, subject))
        for fold, rows in enumerate(folds[: arguments.only_folds]):
            jobs += [joblib.delayed(fit)(m, seed, fold, rows, data, arguments) for m in arguments.fusions]
    start = time.perf_counter()
    with workers(arguments.n_jobs):
        rows = pd.DataFrame(joblib.Parallel()(jobs))
    by_seed = rows.groupby(["method", "seed"], sort=False)["error_mm"].mean().unstack()
    table = pd.DataFrame(
        {
            "error (mm)": by_seed.mean(axis=1),
            "sd of seeds": by_seed.std(axis=1),
            "sd of fits": rows.groupby("method", sort=False)["error_mm"].std(),
            "fits": rows.groupby("method", sort=False).size(),
            "seconds per fit": rows.groupby("method", sort=False)["seconds"].mean(),
        }
    )
    table = table.join(against_first(rows, arguments.folds))
    spread = mean_absolute_error(y, np.full(len(y), np.median(y)))
    print(f"\n{len(y)} pictures of {len(set(subject))} subjects; the median alone errs by {spread:.1f} mm")
    print(table.loc[arguments.fusions].round(2).to_string())
    print(f"{time.perf_counter() - start:.0f} s in all, {arguments.n_jobs} fits at a time")
    settings = {name: value for name, value in vars(arguments).items() if name != "results"}
    errors = rows.to_dict("records")
    path = write(arguments.results, "hc18_circumference", settings=settings, rows=errors)
    print(f"Errors of every fold: {path.name} in {arguments.results.name}/")


if __name__ == "__main__":
    main()
