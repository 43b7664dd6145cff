"""How old is the brain? Age from images and a table on 121 real subjects, against the simplest baseline.

    python benchmarks/ixi_age.py                             # T1 at 6 mm
    python benchmarks/ixi_age.py --images gm                 # maps of grey matter
    python benchmarks/ixi_age.py --shape 56 68 56            # 3 mm: hours
    python benchmarks/ixi_age.py --volumes                   # volumes of regions stand in the table

Five shuffled folds of the subjects with an age; the table holds sex, height, weight and ethnic_id. The error
is the mean absolute one, in years. Image alone, concatenation, principal components + table - ridge and a
ridge regression on the table alone stand beside HyperFusion, and with ``--together`` some models of other
seeds whose predictions are averaged.
"""

import time

import numpy as np
import pandas as pd
from _report import parser, real_data, save, show, workers
from sklearn.base import clone
from sklearn.ensemble import VotingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from skhyperfusion import HyperFusionRegressor, ImageLoader, TabularPreprocessor
from skhyperfusion.features import baseline_regressor
from skhyperfusion.model_selection import compare_estimators

TABLE = ["sex", "height", "weight", "ethnic_id"]


def read_subjects(folder, images="t1"):
    """Read the subjects with an age, and their T1 or, as "gm", maps of grey matter: (X, y)."""
    subjects = pd.read_csv(folder / "participants.tsv", sep="\t", na_values="n/a")
    subjects = subjects[subjects["age"].notna()].set_index("participant_id")
    ending = {"t1": "T1w", "gm": "GM"}[images]
    subjects["t1w"] = [str(folder / images / f"{name}_{ending}.nii.gz") for name in subjects.index]
    # The codes of ethnic_id are categories without an order.
    return subjects[["t1w", *TABLE]].astype({"ethnic_id": "category"}), subjects["age"]


def with_volumes(X, folder):
    """Add the volumes of regions, as shares of the volume within the skull."""
    volumes = pd.read_csv(folder / "roi_volumes.csv").set_index("participant_id")
    shares = volumes.drop(columns="ICV").div(volumes["ICV"], axis=0)
    return X.join(shares)


def main():
    """Compare the methods, print the table and save the scores."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=60)
    arguments.add_argument("--base-channels", type=int, default=4)
    arguments.add_argument("--fusions", nargs="*", default=["hyper", "concat", "image"])
    arguments.add_argument("--images", choices=("t1", "gm"), default="t1", help="T1, or maps of grey matter")
    arguments.add_argument("--shape", type=int, nargs=3, default=(28, 34, 28), help="voxels of an image")
    arguments.add_argument("--volumes", action="store_true", help="volumes of regions in the table")
    arguments.add_argument("--together", type=int, default=0, help="models of other seeds, averaged")
    arguments = arguments.parse_args()
    folder = real_data("ixi-t1-small")
    X, y = read_subjects(folder, arguments.images)
    if arguments.volumes:
        X = with_volumes(X, folder)
    # The brightness of a map of grey matter is a measurement, that of T1 has no unit.
    intensity = {"intensity": None} if arguments.images == "gm" else {}
    loader = ImageLoader(shape=tuple(arguments.shape), **intensity)
    settings = {
        "image_loader": loader,
        "base_channels": arguments.base_channels,
        "max_epochs": arguments.epochs,
        "random_state": arguments.seed,
    }
    methods = {f: HyperFusionRegressor(fusion=f, **settings) for f in arguments.fusions}
    if arguments.together:
        for fusion in arguments.fusions:
            seeds = range(arguments.seed, arguments.seed + arguments.together)
            members = [(str(seed), clone(methods[fusion]).set_params(random_state=seed)) for seed in seeds]
            methods[f"{fusion}, {arguments.together} together"] = VotingRegressor(members)
    methods["components + table - ridge"] = baseline_regressor(image_loader=loader)
    ridge = RidgeCV(np.logspace(-3, 3, 13), scoring="neg_mean_squared_error")
    methods["table - ridge"] = make_pipeline(TabularPreprocessor(images="drop"), ridge)
    folds = KFold(5, shuffle=True, random_state=arguments.seed)
    start = time.perf_counter()
    with workers(arguments.n_jobs):
        comparison = compare_estimators(
            methods, X, y, cv=folds, scoring={"MAE": "neg_mean_absolute_error"}, verbose=1
        )
    show(f"Age of {len(y)} subjects, mean absolute error in years", comparison)
    print(f"{time.perf_counter() - start:.0f} s in all, {arguments.n_jobs} fits at a time")
    name = f"{arguments.images}{'_volumes' * arguments.volumes}_{arguments.shape[0]}"
    save(arguments.results, f"ixi_age_{name}", {"age": comparison})


if __name__ == "__main__":
    main()
