"""How old is the brain? Age from T1 and a table on 121 real subjects, against voxels - PCA - ridge.

    python benchmarks/ixi_age.py

Five shuffled folds of the subjects with an age; the table holds sex, height, weight and ethnic_id. The error
is the mean absolute one, in years. Image alone, concatenation and the voxels stand beside HyperFusion.
"""

import time

import pandas as pd
from _report import parser, real_data, save, show, workers
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skhyperfusion import HyperFusionRegressor, ImageLoader
from skhyperfusion.model_selection import compare_estimators

TABLE = ["sex", "height", "weight", "ethnic_id"]


def read_subjects(folder):
    """Read the subjects with an age: (X, y)."""
    subjects = pd.read_csv(folder / "participants.tsv", sep="\t", na_values="n/a")
    subjects = subjects[subjects["age"].notna()].set_index("participant_id")
    subjects["t1w"] = [str(folder / "t1" / f"{name}_T1w.nii.gz") for name in subjects.index]
    # The codes of ethnic_id are categories without an order.
    return subjects[["t1w", *TABLE]].astype({"ethnic_id": "category"}), subjects["age"]


def voxels(X):
    """All voxels of each scan, as rows."""
    return ImageLoader().open(X[["t1w"]]).stack().reshape(len(X), -1)


def main():
    """Compare the methods, print the table and save the scores."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=60)
    arguments.add_argument("--base-channels", type=int, default=4)
    arguments = arguments.parse_args()
    X, y = read_subjects(real_data("ixi-t1-small"))
    settings = {
        "image_loader": ImageLoader(shape=(28, 34, 28)),
        "base_channels": arguments.base_channels,
        "max_epochs": arguments.epochs,
        "random_state": arguments.seed,
    }
    methods = {f: HyperFusionRegressor(fusion=f, **settings) for f in ("hyper", "concat", "image")}
    ridge = RidgeCV([10.0**k for k in range(-2, 7)], scoring="neg_mean_squared_error")
    methods["voxels - PCA(60) - ridge"] = make_pipeline(
        FunctionTransformer(voxels), PCA(60, random_state=arguments.seed), ridge
    )
    folds = KFold(5, shuffle=True, random_state=arguments.seed)
    start = time.perf_counter()
    with workers(arguments.n_jobs):
        comparison = compare_estimators(
            methods, X, y, cv=folds, scoring={"MAE": "neg_mean_absolute_error"}, verbose=1
        )
    show(f"Age of {len(y)} subjects, mean absolute error in years", comparison)
    print(f"{time.perf_counter() - start:.0f} s in all, {arguments.n_jobs} fits at a time")
    save(arguments.results, "ixi_age", {"age": comparison})


if __name__ == "__main__":
    main()
