"""From the predictions of all fits to scores: of folds, of ensembles, and of what was added to hyper."""

import numpy as np
import pandas as pd
from _fusion_fits import N_FOLDS, VARIANTS, macro_auc
from _fusion_studies import BY_SHARE
from sklearn.metrics import balanced_accuracy_score, f1_score, mean_absolute_error, precision_score

from skhyperfusion.ensemble._rules import combine
from skhyperfusion.model_selection._comparison import Comparison

ENSEMBLE, ALONE = "ensemble", "its models alone"


def score(study, seen, rows, predicted):
    """Every metric, by its name, of the predictions for some rows by a model that has seen others."""
    wanted = study.y.iloc[rows].to_numpy()
    predicted = np.asarray(predicted)
    if study.regression:
        return {"MAE": mean_absolute_error(wanted, predicted)}
    classes, codes = np.unique(study.y, return_inverse=True)
    shares = np.bincount(codes[seen], minlength=len(classes)) / len(seen)
    likeliest = classes[predicted.argmax(axis=1)]
    return {
        "balanced accuracy": balanced_accuracy_score(wanted, likeliest),
        "precision": precision_score(wanted, likeliest, average="macro", zero_division=0),
        "macro F1": f1_score(wanted, likeliest, average="macro"),
        "macro AUC": macro_auc(wanted, predicted),
        BY_SHARE: balanced_accuracy_score(wanted, classes[(predicted / shares).argmax(axis=1)]),
    }


def compare(fits, results):
    """Scores of each model on the fold that it did not see, compared with hyper."""
    rows = []
    for fit, result in zip(fits, results, strict=True):
        told = {
            "method": fit.method,
            "fold": f"seed {fit.seed}, fold {fit.fold}",
            "fit_seconds": result["fit_seconds"],
            "n_train": len(fit.train),
            "n_test": len(fit.left_out),
        }
        scores = score(fit.study, fit.train, fit.left_out, result["left_out"])
        rows += [told | {"metric": metric, "score": value} for metric, value in scores.items()]
    return Comparison(pd.DataFrame(rows), reference="hyper")


def compare_ensembles(fits, results):
    """Scores on the test part, where all of a seed's models are there: of them together, and alone.

    Returns
    -------
    DataFrame
        As `Comparison` takes it; ``fold`` is the seed, ``kind`` tells the two apart.
    """
    found = {}
    for fit, result in zip(fits, results, strict=True):
        found.setdefault((fit.method, fit.seed), []).append((fit, result))
    rows = []
    for (method, seed), members in found.items():
        if len(members) < N_FOLDS:
            continue
        study, test = members[0][0].study, members[0][0].test
        rest = np.setdiff1d(np.arange(len(study.y)), test)
        predicted = [result["test"] for _, result in members]
        joint = np.mean(predicted, axis=0) if study.regression else combine(predicted, "confidence")
        alone = [score(study, fit.train, test, result["test"]) for fit, result in members]
        told = {"method": method, "fold": seed, "n_train": len(rest), "n_test": len(test)}
        for metric, value in score(study, rest, test, joint).items():
            rows.append(told | {"metric": metric, "kind": ENSEMBLE, "score": value})
            mean = np.mean([scores[metric] for scores in alone])
            rows.append(told | {"metric": metric, "kind": ALONE, "score": mean})
    return pd.DataFrame(rows)


def gains(scores, on_test):
    """Tell what pre-training, bilateral views, ... and the ensemble give: a row for each and each metric.

    Parameters
    ----------
    scores : DataFrame
        Of `compare`.
    on_test : DataFrame
        Of `compare_ensembles`.

    Returns
    -------
    DataFrame
        Columns ``addition``, ``metric``, and the difference, its interval and p-value as in
        `Comparison.table`.
    """
    plain, depth_1, pretrained, bilateral, residual = ("hyper", *VARIANTS)
    pairs = {
        "depth 1": (scores, plain, depth_1),
        "pre-training at depth 1": (scores, depth_1, pretrained),
        "bilateral views": (scores, plain, bilateral),
        "residual start": (scores, plain, residual),
    }
    if len(on_test):
        of_hyper = on_test[on_test["method"] == "hyper"].assign(method=on_test["kind"])
        pairs["ensemble of four"] = (of_hyper, ALONE, ENSEMBLE)
    rows = []
    for addition, (found, without, with_it) in pairs.items():
        if not {without, with_it} <= set(found["method"]):
            continue
        both = Comparison(found[found["method"].isin([without, with_it])], reference=without)
        for metric in both.metrics:
            told = both.table(metric).loc[with_it]
            columns = ["folds", "difference", "difference_low", "difference_high", "p_corrected_t"]
            rows.append({"addition": addition, "metric": metric, **told[columns]})
    return pd.DataFrame(rows)
