"""From the predictions of all fits to scores: of each fold, and of the ensembles on the test part."""

import numpy as np
import pandas as pd
from _fusion_fits import macro_auc
from sklearn.metrics import balanced_accuracy_score, f1_score, mean_absolute_error, precision_score

from skhyperfusion.ensemble._rules import combine
from skhyperfusion.model_selection._comparison import Comparison


def score(study, rows, predicted):
    """Every metric of the predictions for some rows, by its name."""
    wanted = study.y.iloc[rows].to_numpy()
    predicted = np.asarray(predicted)
    if study.regression:
        return {"MAE": mean_absolute_error(wanted, predicted)}
    labels = np.unique(study.y)[predicted.argmax(axis=1)]
    return {
        "balanced accuracy": balanced_accuracy_score(wanted, labels),
        "precision": precision_score(wanted, labels, average="macro", zero_division=0),
        "macro F1": f1_score(wanted, labels, average="macro"),
        "macro AUC": macro_auc(wanted, predicted),
    }


def compare(study, fits, results):
    """Scores of each model on the fold that it did not see, as a Comparison with hyper."""
    rows = []
    for fit, result in zip(fits, results, strict=True):
        told = {
            "method": fit.method,
            "fold": f"seed {fit.seed}, fold {fit.fold}",
            "fit_seconds": result["fit_seconds"],
            "n_train": len(fit.train),
            "n_test": len(fit.left_out),
        }
        scores = score(study, fit.left_out, result["left_out"])
        rows += [told | {"metric": metric, "score": value} for metric, value in scores.items()]
    return Comparison(pd.DataFrame(rows), reference="hyper")


def ensembles(study, fits, results):
    """Scores on the test part: a row per method, seed and metric, of the ensemble and of its models' mean."""
    found = {}
    for fit, result in zip(fits, results, strict=True):
        found.setdefault((fit.method, fit.seed), []).append((fit.test, result["test"]))
    rows = []
    for (method, seed), members in found.items():
        test = members[0][0]
        predicted = [predictions for _, predictions in members]
        joint = np.mean(predicted, axis=0) if study.regression else combine(predicted, "confidence")
        together = score(study, test, joint)
        alone = pd.DataFrame([score(study, test, member) for member in predicted]).mean()
        for metric, value in together.items():
            told = {"method": method, "seed": seed, "metric": metric}
            rows.append(told | {"ensemble": value, "single": alone[metric]})
    return pd.DataFrame(rows)
