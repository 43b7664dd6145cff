"""Time to event: fusions, each side alone, linear models and Kaplan-Meier on generated cohorts.

    python benchmarks/survival_table.py                  # generated cohorts, one for each seed
    python benchmarks/survival_table.py --data gbsg2     # the table alone, on public data of breast cancer

Each seed draws a cohort of its own, half of whose subjects are censored; of its scans a box around the
hippocampi is read, as in the paper, which crops them too. All methods see the same folds, and are compared
with hyper by the corrected resampled t-test of `compare_estimators`, over the folds of all seeds. The
correction takes all folds for folds of the same rows; of several cohorts, which share none, it asks too much.

    concordance   Harrell's, on the fold that was left out
    Brier score   squared error of the curves, averaged over the first 5 years; against the times of dementia
                  as they were drawn, censored or not, which the cohort tells
    curve error   mean absolute difference of the curves to the true ones over the same years
    calibration   at 3 years, by fifths of what is predicted: mean absolute difference between the mean
                  predicted survival and the mean true one

Fits are done fold by fold over all seeds, and kept in a file as soon as they end: run again, and it goes on
where it stopped. Cox's regression and the public table are scikit-survival's; without it these rows are left
out.
"""

import functools

import nibabel as nib
import numpy as np
import pandas as pd
from _report import parser, workers, write
from sklearn.base import BaseEstimator
from sklearn.model_selection import RepeatedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skhyperfusion import HyperFusionSurvival, TabularPreprocessor
from skhyperfusion._curves import SurvivalCurve
from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.features import ImageFeatures
from skhyperfusion.model_selection import Comparison, SurvivalStratifiedKFold, compare_estimators

try:
    from sksurv.linear_model import CoxPHSurvivalAnalysis
except ImportError:
    CoxPHSurvivalAnalysis = None

N_FOLDS = 5
YEARS = (
    np.arange(1, 21) / 4
)  # all folds have events after 5 years, and nobody is censored by the study before
AT = 11  # of them, 3 years
HIPPOCAMPI = [-46, -48, -36], [46, 16, 8]  # mm, with a margin for where heads lie
KAPLAN_MEIER = "Kaplan-Meier"


class KaplanMeier(BaseEstimator):
    """The same curve for all: the share of the training rows without the event (Kaplan and Meier 1958)."""

    def fit(self, X, y):
        """Learn the curve."""
        event, time = (y[field] for field in y.dtype.names)
        self.unique_times_ = np.unique(time[event])
        left = np.array([(time >= t).sum() for t in self.unique_times_])
        died = np.array([(event & (time == t)).sum() for t in self.unique_times_])
        self.survival_ = np.cumprod(1 - died / left)
        return self

    def predict_survival_function(self, X):
        """Return the curve once for each row."""
        curve = SurvivalCurve(self.unique_times_, self.survival_, 1.0, "step")
        return [curve] * len(X)

    def score(self, X, y):
        """Return .5, the concordance of equal risks."""
        return 0.5


def concordance(estimator, X, y):
    """Return the estimator's own score."""
    return estimator.score(X, y)


def _curves(estimator, X):
    return np.array([curve(YEARS) for curve in estimator.predict_survival_function(X)])


def brier_score(estimator, X, y, dementia):
    """Return the squared error, with a minus sign, of the curves of rows whose times are known."""
    alive = dementia.loc[X.index].to_numpy()[:, None] > YEARS
    return -np.mean((_curves(estimator, X) - alive) ** 2)


def curve_error(estimator, X, y, true_curves):
    """Return the mean absolute difference, with a minus sign, to the true curves."""
    return -np.mean(abs(_curves(estimator, X) - true_curves.loc[X.index, YEARS].to_numpy()))


def calibration_error(estimator, X, y, true_curves):
    """Return the mean absolute difference, with a minus sign, of fifths of the rows to the true survival."""
    predicted = _curves(estimator, X)[:, AT]
    true = true_curves.loc[X.index, YEARS[AT]].to_numpy()
    fifths = np.array_split(np.argsort(predicted, kind="stable"), 5)
    return -np.mean([abs(predicted[rows].mean() - true[rows].mean()) for rows in fifths])


def cohort(arguments, seed):
    """Return (X with the scans as arrays, y, scorers, best reachable scores) of a seed's cohort."""
    side = (arguments.side,) * 3
    made = make_brain_cohort(arguments.subjects, task="survival", shape=side, random_state=seed)
    to_voxels = np.linalg.inv(nib.load(made.data["t1w"].iloc[0]).affine)
    first, last = (to_voxels @ [*corner, 1.0] for corner in HIPPOCAMPI)
    box = tuple(slice(int(np.floor(a)), int(np.ceil(b))) for a, b in zip(first[:3], last[:3], strict=True))
    scans = [np.asarray(nib.load(path).dataobj, dtype=np.float32)[box] for path in made.data["t1w"]]
    X = made.data.assign(t1w=pd.Series(scans, index=made.data.index))
    dementia, curves = made.truth["dementia_time"], made.true_curves
    alive = dementia.to_numpy()[:, None] > YEARS
    scorers = {
        "concordance": concordance,
        "neg_brier_score": functools.partial(brier_score, dementia=dementia),
        "neg_curve_error": functools.partial(curve_error, true_curves=curves),
        "neg_calibration": functools.partial(calibration_error, true_curves=curves),
    }
    best = {
        "concordance": made.best_score["concordance"],
        "Brier score": np.mean((curves[YEARS].to_numpy() - alive) ** 2),
        "censored": 1 - made.target["event"].mean(),
    }
    return X, made.target, scorers, best


def without_scans(X):
    """Return the table alone."""
    return X.drop(columns="t1w")


def methods(arguments, seed):
    """Name the rows of the table."""
    shared = {
        "base_channels": arguments.base_channels,
        "max_epochs": arguments.epochs,
        "loss": arguments.loss,
        "random_state": seed,
    }
    rows = {
        fusion: HyperFusionSurvival(fusion=fusion, **shared)
        for fusion in ("hyper", "concat", "image", "tabular")
    }
    if CoxPHSurvivalAnalysis is not None:
        rows["Cox (table)"] = make_pipeline(
            FunctionTransformer(without_scans),
            TabularPreprocessor(image_columns=None),
            CoxPHSurvivalAnalysis(alpha=1.0),
        )
        rows["Cox (components and table)"] = make_pipeline(
            ImageFeatures(n_components=60),
            TabularPreprocessor(image_columns=None),
            CoxPHSurvivalAnalysis(alpha=10.0),
        )
    rows[KAPLAN_MEIER] = KaplanMeier()
    return rows


def compare_cohorts(arguments):
    """Fit what is missing, fold by fold over all seeds, and print the table after each fold."""
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    studies = {seed: cohort(arguments, seed) for seed in seeds}
    best = pd.DataFrame({seed: study[-1] for seed, study in studies.items()}).T
    print(f"Best that can be reached:\n{best.round(3).to_string()}", flush=True)
    arguments.results.mkdir(parents=True, exist_ok=True)
    for n_folds in range(1, arguments.folds + 1):
        parts = []
        for seed, (X, y, scorers, _) in studies.items():
            folds = list(SurvivalStratifiedKFold(N_FOLDS, shuffle=True, random_state=seed).split(X, y))
            found = compare_estimators(
                methods(arguments, seed),
                X,
                y,
                cv=folds[:n_folds],
                scoring=scorers,
                results=arguments.results / f"survival_table_{seed}.fits.jsonl",
            ).scores
            parts.append(found.assign(fold=[f"seed {seed}, fold {fold}" for fold in found["fold"]]))
        comparison = Comparison(pd.concat(parts, ignore_index=True), reference="hyper")
        report(f"{n_folds} of {N_FOLDS} folds of {arguments.seeds} seeds", comparison)
        write(
            arguments.results,
            "survival_table",
            best=best.to_dict("index"),
            settings={name: value for name, value in vars(arguments).items() if name != "results"},
            scores=comparison.scores.to_dict("records"),
        )


def report(title, comparison):
    """Print each metric: mean, spread, difference to hyper, p-value."""
    print(f"\n{title}")
    columns = ["mean", "sd", "difference", "p_corrected_t", "fit_seconds"]
    for metric in comparison.metrics:
        print(f"{metric}\n{comparison.table(metric)[columns].round(3).to_string()}", flush=True)


def compare_public(arguments):
    """Compare networks of a table alone with Cox's regression, on German breast cancer data (GBSG 2)."""
    if CoxPHSurvivalAnalysis is None:
        raise SystemExit("This part needs scikit-survival: pip install scikit-survival.")
    from sksurv.datasets import load_gbsg2

    X, y = load_gbsg2()
    shared = {"fusion": "tabular", "random_state": arguments.seed, "max_epochs": arguments.epochs}
    rows = {
        "Cox": make_pipeline(TabularPreprocessor(), CoxPHSurvivalAnalysis(alpha=0.1)),
        "network, discrete": HyperFusionSurvival(**shared),
        "network, cox": HyperFusionSurvival(loss="cox", **shared),
    }
    folds = RepeatedKFold(n_splits=5, n_repeats=2, random_state=arguments.seed)
    comparison = compare_estimators(
        rows, X, y, cv=folds, scoring={"concordance": concordance}, reference="Cox"
    )
    report(f"GBSG 2: {len(y)} women, {1 - y['cens'].mean():.2f} of them censored", comparison)
    write(arguments.results, "survival_table_gbsg2", scores=comparison.scores.to_dict("records"))


def main():
    """Run the part that is named."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--data", choices=("cohort", "gbsg2"), default="cohort")
    arguments.add_argument("--seeds", type=int, default=3, help="cohorts")
    arguments.add_argument("--subjects", type=int, default=400)
    arguments.add_argument("--side", type=int, default=32, help="voxels of a scan's side")
    arguments.add_argument("--base-channels", type=int, default=4)
    arguments.add_argument("--epochs", type=int, default=40)
    arguments.add_argument("--loss", choices=("discrete", "cox"), default="discrete")
    arguments.add_argument("--folds", type=int, choices=range(1, N_FOLDS + 1), default=N_FOLDS, help="of 5")
    arguments = arguments.parse_args()
    with workers(arguments.n_jobs):
        (compare_cohorts if arguments.data == "cohort" else compare_public)(arguments)


if __name__ == "__main__":
    main()
