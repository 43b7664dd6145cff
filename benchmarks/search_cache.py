"""Time a grid search that keeps decoded scans against the same search that decodes again and again.

    python benchmarks/search_cache.py

8 candidates x 5 folds over 200 scans of 1 mm, one process. "kept": the loader's defaults. "again":
``ImageLoader(memory=0)``. With few epochs decoding is most of the work; with many, less.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from _speed import clock, parser, save, show, threads
from first_epoch import write_scans
from sklearn.model_selection import GridSearchCV

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion.images import clear_cache

GRID = {"lr": [1e-3, 3e-3], "hyper_depth": [0, 1], "weight_decay": [1e-3, 1e-2]}


def search(table, y, *, kept, shape, epochs, folds, seed):
    """Run the search from an empty cache; return its best score."""
    clear_cache()
    loader = ImageLoader(shape=shape, memory="auto" if kept else 0)
    model = HyperFusionClassifier(image_loader=loader, base_channels=4, max_epochs=epochs, random_state=seed)
    return GridSearchCV(model, GRID, cv=folds, refit=False).fit(table, y).cv_results_["mean_test_score"]


def main():
    """Time both searches with few and with many epochs, print the table and save it."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--scans", type=int, default=200)
    arguments.add_argument("--shape", type=int, nargs=3, default=(182, 218, 182), help="voxels of a scan")
    arguments.add_argument(
        "--target", type=int, nargs=3, default=(24, 28, 24), help="voxels after resampling"
    )
    arguments.add_argument("--epochs", type=int, nargs="+", default=[3, 30])
    arguments = arguments.parse_args()
    n, folds = (12, 2) if arguments.quick else (arguments.scans, 5)
    epochs = [1, 3] if arguments.quick else arguments.epochs
    rng = np.random.default_rng(arguments.seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder, threads(arguments.threads):
        table = pd.DataFrame({"scan": write_scans(Path(folder), n, tuple(arguments.shape), arguments.seed)})
        table["age"] = rng.normal(size=n)
        y = np.arange(n) % 2
        for n_epochs in epochs:
            found, seconds = {}, {}
            for kept in (True, False):
                settings = {"shape": tuple(arguments.target), "epochs": n_epochs, "folds": folds}

                def run(kept=kept, settings=settings, found=found):
                    found[kept] = search(table, y, kept=kept, seed=arguments.seed, **settings)

                seconds[kept] = clock(run)[0]
            np.testing.assert_array_equal(found[True], found[False])  # the same search, whatever is kept
            rows.append(
                {
                    "epochs": n_epochs,
                    "kept_s": seconds[True],
                    "again_s": seconds[False],
                    "times": seconds[False] / seconds[True],
                }
            )
            show(f"Search of 8 candidates x {folds} folds, {n} scans", rows)
    save(arguments, "search_cache", rows)


if __name__ == "__main__":
    main()
