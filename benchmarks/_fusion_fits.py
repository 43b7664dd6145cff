"""Splits, methods and fits of the table of fusions; each fit's predictions are kept as soon as it ends."""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import torch
from _fusion_studies import Study
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tqdm import tqdm

import skhyperfusion
from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, ImageLoader, TabularPreprocessor
from skhyperfusion.model_selection import JointStratifiedKFold
from skhyperfusion.model_selection._results_file import ResultsFile

N_FOLDS = 4
BOOSTING = "boosting (table)"
VARIANTS = {
    "hyper, depth 1": {"hyper_depth": 1},
    "hyper, depth 1, pre-trained": {"hyper_depth": 1, "pretrain_embedding": 20},
    "hyper, bilateral": {"loader": {"bilateral": 0}},
    "hyper, residual start": {"hyper_init": "residual"},
}
# Learning rate and weight decay, of the boosting its L2 penalty; the first of each are the defaults.
CANDIDATES = [(3e-3, 1e-2), (1e-3, 1e-2), (1e-2, 1e-2), (3e-3, 1e-1), (1e-3, 1e-1), (1e-2, 1e-1)]
BOOSTING_CANDIDATES = [(0.1, 0.0), (0.03, 0.0), (0.3, 0.0), (0.1, 10.0), (0.03, 10.0), (0.3, 10.0)]


def package_state():
    """Hash the source of the package that is imported."""
    folder = Path(skhyperfusion.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:8]


PACKAGE = package_state()  # now: what is changed later is not what this process has imported


@dataclass
class Fit:
    """One model: a method, on all folds but one of what a seed's test part leaves."""

    study: Study
    method: str
    settings: dict  # parameters of the estimator, with those of ImageLoader under "loader"
    candidates: list  # (learning rate, penalty)
    seed: int
    fold: int
    train: np.ndarray
    left_out: np.ndarray
    test: np.ndarray

    def key(self):
        """All that the predictions depend on, but for the versions of the libraries."""
        rows = {name: getattr(self, name).tolist() for name in ("train", "left_out", "test")}
        told = [self.study.fingerprint, self.settings, self.candidates, self.seed, self.fold, rows]
        return joblib.hash(json.dumps(told, sort_keys=True))


def methods(study, fusions, variants):
    """Name the rows of the table, and give the settings of each."""
    shared = study.settings | {"loader": study.loader}
    rows = {fusion: shared | {"fusion": fusion} for fusion in fusions}
    rows[BOOSTING] = {"boosting": True}
    for name, changes in VARIANTS.items() if variants else ():
        loader = shared["loader"] | changes.get("loader", {})
        if "bilateral" in loader and study.name == "pad":
            continue  # a photo of a lesion has no two sides
        rows[name] = shared | {"fusion": "hyper"} | changes | {"loader": loader}
    return rows


def splits(study, seed):
    """Set a fifth apart, and split the rest in four: (train, left out, test) of each fold."""
    rows = np.arange(len(study.y))
    rest, test = next(_split(study, rows, 5, seed))
    return [(train, left_out, test) for train, left_out in _split(study, rest, N_FOLDS, seed)]


def _split(study, rows, n_splits, seed):
    """Folds of the rows, even in the target; the rows of a group stay together."""
    folds = JointStratifiedKFold(n_splits, shuffle=True, random_state=seed)
    groups = None if study.groups is None else study.groups.iloc[rows].to_numpy()
    for train, test in folds.split(study.X.iloc[rows], study.y.iloc[rows].to_numpy(), groups):
        yield rows[train], rows[test]


def plan(studies, fusions, variants, lr, n_candidates):
    """List the fits of the studies, by seed, fold by fold, so that an interrupted run has whole folds."""
    return [
        Fit(study, name, settings, _candidates(settings, lr)[:n_candidates], seed, fold, *parts)
        for seed, study in studies.items()
        for fold, parts in enumerate(splits(study, seed))
        for name, settings in methods(study, fusions, variants).items()
    ]


def _candidates(settings, lr):
    if settings.get("boosting"):
        return BOOSTING_CANDIDATES
    first = (lr, CANDIDATES[0][1])
    return [first, *(candidate for candidate in CANDIDATES if candidate != first)]


def run(fits, path, finished=False):
    """Do the fits that the file lacks, or none of them; return the finished fits and their results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = ResultsFile(path)
    keys = [fit.key() for fit in fits]
    found = file.read()
    missing = [(key, fit) for key, fit in zip(keys, fits, strict=True) if key not in found]
    jobs = [] if finished else [joblib.delayed(_fit)(key, fit) for key, fit in missing]
    done = joblib.Parallel(return_as="generator_unordered")(jobs)
    with tqdm(total=len(fits), initial=len(fits) - len(missing), unit="fit", disable=finished) as bar:
        for key, result in done:
            file.add(key, result)
            found[key] = result
            bar.set_postfix_str(f"{result['method']}, seed {result['seed']}, fold {result['fold']}")
            bar.update()
    there = [(fit, found[key]) for key, fit in zip(keys, fits, strict=True) if key in found]
    return [fit for fit, _ in there], [result for _, result in there]


def _fit(key, fit):
    """Fit one model, and return (key, its predictions for the rows that it did not see)."""
    torch.set_num_threads(1)
    try:
        start = time.perf_counter()
        candidate = _choose(fit)
        model = _fitted(fit, candidate, fit.train)
        seconds = time.perf_counter() - start
        parts = {
            part: predict(fit.study, model, getattr(fit, part)).tolist() for part in ("left_out", "test")
        }
    except Exception as error:
        error.add_note(f"in the fit of {fit.method!r}, seed {fit.seed}, fold {fit.fold}")
        raise
    told = {"method": fit.method, "seed": fit.seed, "fold": fit.fold, "candidate": candidate}
    return key, told | {"package": PACKAGE, "fit_seconds": seconds, **parts}


def _choose(fit):
    """Choose the candidate that is best on a fourth of the training rows when fitted on the others."""
    if len(fit.candidates) == 1:
        return fit.candidates[0]
    study = fit.study
    train, valid = next(_split(study, fit.train, 4, fit.seed))
    wanted = study.y.iloc[valid].to_numpy()
    scores = []
    for candidate in fit.candidates:
        found = predict(study, _fitted(fit, candidate, train), valid)
        scores.append(-mean_absolute_error(wanted, found) if study.regression else macro_auc(wanted, found))
    return fit.candidates[int(np.argmax(scores))]


def macro_auc(labels, probabilities):
    """ROC AUC, the mean over the classes of one against the rest."""
    scores = probabilities if probabilities.shape[1] > 2 else probabilities[:, 1]
    return roc_auc_score(labels, scores, multi_class="ovr")


def _fitted(fit, candidate, rows):
    model = make_estimator(fit.study, fit.settings, candidate, random_state=N_FOLDS * fit.seed + fit.fold)
    return model.fit(fit.study.X.iloc[rows], fit.study.y.iloc[rows])


def predict(study, model, rows):
    """Probabilities (n, n_classes) in the order of the sorted classes, or values (n,)."""
    X = study.X.iloc[rows]
    return model.predict(X) if study.regression else model.predict_proba(X)


def make_estimator(study, settings, candidate, random_state):
    """Make the estimator of a row of the table."""
    rate, penalty = candidate
    if settings.get("boosting"):
        boosting = HistGradientBoostingRegressor if study.regression else HistGradientBoostingClassifier
        return make_pipeline(
            TabularPreprocessor(image_columns=study.image),
            FunctionTransformer(_without, kw_args={"image": study.image}),
            boosting(learning_rate=rate, l2_regularization=penalty, random_state=random_state),
        )
    estimator = HyperFusionRegressor if study.regression else HyperFusionClassifier
    parameters = {name: value for name, value in settings.items() if name != "loader"}
    return estimator(
        **parameters,
        image_loader=ImageLoader(**settings["loader"]),
        lr=rate,
        weight_decay=penalty,
        early_stopping=False,
        random_state=random_state,
    )


def _without(X, image):
    return X.drop(columns=image)
