"""Are the networks healthy when a fit ends? The regression test of every change of a default.

    python benchmarks/training_health.py --quick
    python benchmarks/training_health.py

Fits over tasks, fusions, learning rates, widths and seeds on generated data, and looks into each network:

- dead: share of the rectified units that are shut for every training row, of the head and of all rectifiers
- collapsed: fits that warn that the network says the same of every row
- gap: how far outputs move between training mode (batch statistics, no dropout) and evaluation mode on the
  same training rows: root mean square, over the outputs' standard deviation
- score on fresh rows beside the best reachable: ROC AUC, or 1 - mean absolute error / that of the median

The tasks "length" and "large" have HC18's structure: of a disc, the circumference in mm is what the picture
shows times the size of a pixel, which the table holds; "large" is whether it is above the median, drawn with
a known probability. "diagnosis" and "age" are generated brains.
"""

import itertools
import time
import warnings

import joblib
import numpy as np
import pandas as pd
import torch
from _report import parser, workers, write
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_absolute_error, roc_auc_score
from torch.utils._python_dispatch import TorchDispatchMode

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion._engine._predict import predict_outputs
from skhyperfusion.datasets import make_brain_cohort

SIDE = 24  # pixels of a picture of a disc
RADIUS = (4.0, 10.0)  # pixels
NOISE = 2.0  # mm, of the measured circumference
SOFTNESS = 6.0  # mm: how unsure the label "large" is near the median
FUSIONS = ("hyper", "concat", "film", "daft", "image")
LEARNING_RATES = (1e-3, 3e-3, 1e-2)
WIDTHS = (4, 8, 16)
ALL_TASKS = ("length", "large", "diagnosis", "age")


def discs(n, rng):
    """Draw pictures of discs and a table: (X, circumference in mm)."""
    radius = rng.uniform(*RADIUS, n)
    pixel = np.exp(rng.uniform(np.log(0.5), np.log(1.5), n))
    centre = SIDE / 2 + rng.uniform(-2, 2, (n, 2))
    grid = np.indices((SIDE, SIDE)) + 0.5
    distance = np.hypot(*(grid[:, None] - centre.T[..., None, None]))
    pictures = 1 / (1 + np.exp((distance - radius[:, None, None]) / 0.5))
    pictures += rng.normal(0, 0.3, pictures.shape)
    table = {"picture": list(pictures.astype(np.float32)), "pixel_mm": pixel, "noise": rng.normal(size=n)}
    return pd.DataFrame(table), 2 * np.pi * radius * pixel


def length(n, seed):
    """How long is the circumference: (X, y, best reachable score)."""
    rng = np.random.default_rng(seed)
    X, circumference = discs(n, rng)
    y = circumference + rng.normal(0, NOISE, n)
    return X, y, skill(y, circumference)


def large(n, seed):
    """Is the circumference above the median, which is not for certain near it: (X, y, best)."""
    rng = np.random.default_rng(seed)
    X, circumference = discs(n, rng)
    proba = 1 / (1 + np.exp(-(circumference - np.median(circumference)) / SOFTNESS))
    y = np.where(rng.random(n) < proba, "large", "small")
    return X, y, roc_auc_score(y == "large", proba)


def _brains(n, seed, task):
    settings = {"n_classes": 2} if task == "diagnosis" else {}
    cohort = make_brain_cohort(n, shape=(16, 16, 16), task=task, random_state=seed, **settings)
    if task == "diagnosis":
        return cohort.data, cohort.target, cohort.best_score["roc_auc"]
    spread = mean_absolute_error(cohort.target, np.full(n, np.median(cohort.target)))
    return cohort.data, cohort.target, 1 - cohort.best_score["mean_absolute_error"] / spread


def make_task(task, n_train, n_test, seed):
    """Return (X, y) to fit, (X, y) to score, the best reachable score and the estimator's class."""
    kinds = {"length": length, "large": large}
    n = n_train + n_test
    X, y, best = kinds[task](n, seed) if task in kinds else _brains(n, seed, task)
    y = np.asarray(y)
    kind = HyperFusionRegressor if y.dtype.kind == "f" else HyperFusionClassifier
    return (X[:n_train], y[:n_train]), (X[n_train:], y[n_train:]), best, kind


def skill(y, predicted):
    """1 - mean absolute error / that of the median: 1 is perfect, 0 says nothing."""
    return 1 - mean_absolute_error(y, predicted) / mean_absolute_error(y, np.full(len(y), np.median(y)))


class OpenUnits(TorchDispatchMode):
    """Note, of every rectifier that is run, which channels are open for at least one row and place."""

    def __init__(self):
        super().__init__()
        self.open = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run the operation, and look at what a rectifier gives."""
        out = func(*args, **(kwargs or {}))
        if func.name() in ("aten::relu", "aten::relu_"):
            self.open.append((out.transpose(0, 1).flatten(1) > 0).any(1))
        return out


def look_inside(estimator, X):
    """Share of dead units in the head's last rectifier and in all of them, and the gap between the modes."""
    dataset = estimator._encode_rows(X, torch.float32)
    outputs = predict_outputs(estimator.module_, dataset, device=torch.device("cpu"), batch_size=len(X))
    inputs, _ = dataset.__getitems__(np.arange(len(X)))
    inputs["image"] = inputs["image"][:, 0]
    module = estimator.module_.eval()
    with torch.no_grad(), OpenUnits() as units:
        module(**inputs)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    module.train()
    for part in module.modules():
        if "Dropout" in type(part).__name__:
            part.eval()
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    in_training = torch.empty(len(X), outputs.shape[-1])
    with torch.no_grad():
        for rows in order.split(estimator.batch_size):
            in_training[rows] = module(**{name: value[rows] for name, value in inputs.items()})
    module.load_state_dict(state)
    module.eval()
    moved = in_training.numpy() - outputs[:, 0]
    spread = outputs[:, 0].std(0).mean()
    return {
        "dead_head": float((~units.open[-1]).double().mean()),
        "dead_all": float((~torch.cat(units.open)).double().mean()),
        "gap": float(np.sqrt(np.square(moved).mean()) / max(spread, 1e-6)),
    }


def fit(task, fusion, lr, width, seed, n_train, n_test, settings):
    """Fit once: a row of the table."""
    (X, y), (X_new, y_new), best, kind = make_task(task, n_train, n_test, seed)
    estimator = kind(fusion=fusion, base_channels=width, lr=lr, random_state=seed, **settings)
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        estimator.fit(X, y)
    seconds = time.perf_counter() - start
    if kind is HyperFusionClassifier:
        score = roc_auc_score(y_new == estimator.classes_[1], estimator.predict_proba(X_new)[:, 1])
    else:
        score = skill(y_new, estimator.predict(X_new))
    return {
        "task": task, "fusion": fusion, "lr": lr, "F": width, "seed": seed, "score": score, "best": best,
        "collapsed": any(issubclass(w.category, ConvergenceWarning) for w in told),
        "seconds": seconds, **look_inside(estimator, X),
    }  # fmt: skip


def summarise(rows, by):
    """Means over everything but `by`, the number of fits, and the worst share of dead units."""
    groups = pd.DataFrame(rows).groupby(by, sort=False)
    table = groups[["dead_head", "dead_all", "gap", "score", "best", "seconds"]].mean()
    table.insert(0, "fits", groups.size())
    table.insert(1, "collapsed", groups["collapsed"].sum())
    table.insert(4, "worst_head", groups["dead_head"].max())
    table.insert(7, "score_sd", groups["score"].std())
    return table


def main():
    """Fit, and print the table by task and fusion, by learning rate and by width."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="discs, one rate and width: a minute or two")
    arguments.add_argument("--tasks", nargs="+", choices=ALL_TASKS, default=None)
    arguments.add_argument("--fusions", nargs="+", default=list(FUSIONS))
    arguments.add_argument("--lr", type=float, nargs="+", default=None)
    arguments.add_argument("--base-channels", type=int, nargs="+", default=None)
    arguments.add_argument("--seeds", type=int, default=None, help="number of seeds, from --seed on")
    arguments.add_argument("--rows", type=int, default=200, help="training rows; as many are scored")
    arguments.add_argument("--epochs", type=int, default=30)
    arguments.add_argument("--backbone", default="resnet")
    arguments = arguments.parse_args()
    quick = arguments.quick
    grid = list(
        itertools.product(
            arguments.tasks or (ALL_TASKS[:2] if quick else ALL_TASKS),
            arguments.fusions,
            arguments.lr or ((3e-3,) if quick else LEARNING_RATES),
            arguments.base_channels or (WIDTHS[:1] if quick else WIDTHS),
            range(arguments.seed, arguments.seed + (arguments.seeds or (1 if quick else 2))),
        )
    )
    settings = {"max_epochs": arguments.epochs, "backbone": arguments.backbone}
    start = time.perf_counter()
    with workers(arguments.n_jobs):
        jobs = (joblib.delayed(fit)(*point, arguments.rows, arguments.rows, settings) for point in grid)
        rows = joblib.Parallel()(jobs)
    for by in (["task", "fusion"], ["fusion"], ["lr"], ["F"]):
        print(f"\n{summarise(rows, by).round(3).to_string()}")
    scores = pd.DataFrame(rows).pivot_table("score", ["task", "lr", "F", "seed"], "fusion", sort=False)
    lead = -scores.sub(scores[arguments.fusions[0]], axis=0)
    print(f"\n{arguments.fusions[0]} in the {len(lead)} pairs of like settings:")
    print(pd.DataFrame({"ahead in": (lead > 0).sum(), "on average by": lead.mean().round(3)}).to_string())
    every = summarise(rows, lambda _: "all").iloc[0]
    print(
        f"\n{len(rows)} fits, {every['collapsed']:.0f} collapsed; dead units of the head "
        f"{every['dead_head']:.2%} on average, {every['worst_head']:.0%} in the worst fit; "
        f"{time.perf_counter() - start:.0f} s"
    )
    path = write(arguments.results, "training_health", settings=settings, rows=rows)
    print(f"Every fit: {path.name} in {arguments.results.name}/")


if __name__ == "__main__":
    main()
