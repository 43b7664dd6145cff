"""Compare the fusions on generated cohorts: one where table and image interact, one whose table is noise.

    python benchmarks/cohort_fusions.py

Diagnosis in two classes, 5 folds, the estimator's defaults but for the width of the network and the number of
epochs (to end within the hour on two cores). The best reachable score is that of the Bayes rule for the same
subjects.
"""

import time

from _report import parser, save, show, workers
from sklearn.model_selection import StratifiedKFold

from skhyperfusion import HyperFusionClassifier
from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.model_selection import compare_estimators

SCORING = {"balanced accuracy": "balanced_accuracy", "ROC AUC": "roc_auc"}


def main():
    """Compare the fusions in both worlds, print the tables and save the scores."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--subjects", type=int, default=600)
    arguments.add_argument("--side", type=int, default=24, help="voxels of a scan's side")
    arguments.add_argument("--epochs", type=int, default=40)
    arguments.add_argument("--base-channels", type=int, default=4)
    arguments.add_argument("--fusions", nargs="+", default=["hyper", "concat", "image", "tabular"])
    arguments = arguments.parse_args()
    settings = {
        "base_channels": arguments.base_channels,
        "max_epochs": arguments.epochs,
        "random_state": arguments.seed,
    }
    worlds = {"interactions": (True, arguments.fusions), "noise": (False, ["hyper", "image"])}
    comparisons = {}
    for world, (informative, fusions) in worlds.items():
        cohort = make_brain_cohort(
            arguments.subjects,
            shape=(arguments.side,) * 3,
            n_classes=2,
            table_informative=informative,
            random_state=arguments.seed,
        )
        methods = {fusion: HyperFusionClassifier(fusion=fusion, **settings) for fusion in fusions}
        folds = StratifiedKFold(5, shuffle=True, random_state=arguments.seed)
        start = time.perf_counter()
        with workers(arguments.n_jobs):
            comparison = compare_estimators(
                methods, cohort.data, cohort.target, cv=folds, scoring=SCORING, verbose=1
            )
        best = {
            "balanced accuracy": cohort.best_score["balanced_accuracy"],
            "ROC AUC": cohort.best_score["roc_auc"],
        }
        for metric in SCORING:
            show(f"{world}: {metric} (best reachable {best[metric]:.3f})", comparison, metric)
        print(f"{time.perf_counter() - start:.0f} s, {arguments.n_jobs} fits at a time", flush=True)
        comparisons[world] = comparison
    save(arguments.results, "cohort_fusions", comparisons)


if __name__ == "__main__":
    main()
