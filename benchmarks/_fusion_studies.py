"""The studies that the table of fusions is made on: a generated cohort, photos of lesions, T1 of IXI."""

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from _report import real_data
from ixi_age import read_subjects
from pad_cancer import read_lesions

from skhyperfusion.datasets import make_brain_cohort

BY_SHARE = "balanced accuracy by share"


@dataclass
class Study:
    """Rows with images, their target, and how every method is set up on them."""

    name: str
    title: str
    X: pd.DataFrame
    y: pd.Series
    image: str  # column of X
    settings: dict  # parameters of the estimators
    loader: dict  # parameters of ImageLoader
    groups: pd.Series | None = None
    regression: bool = False
    drawn: bool = False  # anew for each seed
    best: dict = field(default_factory=dict)  # best reachable scores, by metric

    def first(self, n_subjects):
        """Keep the first subjects, or all for None."""
        if n_subjects is None:
            return self
        subjects = pd.Series(self.y.index if self.groups is None else self.groups.to_numpy())
        kept = subjects.isin(subjects.unique()[:n_subjects]).to_numpy()
        groups = None if self.groups is None else self.groups[kept]
        return Study(**{**vars(self), "X": self.X[kept], "y": self.y[kept], "groups": groups})

    @functools.cached_property
    def fingerprint(self):
        """Name the rows by table, target, groups and the bytes of the images, wherever these lie."""
        table = self.X.drop(columns=self.image).assign(target=self.y.to_numpy())
        if self.groups is not None:
            table["group"] = self.groups.to_numpy()
        digest = hashlib.sha256(table.to_csv().encode())
        for path in self.X[self.image]:
            digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
        return digest.hexdigest()


def cohort(arguments, seed):
    """Diagnosis in the seed's generated cohort with the paper's class shares and missing rates."""
    side = arguments.side
    made = make_brain_cohort(
        arguments.subjects,
        shape=(side,) * 3,
        n_classes=arguments.classes,
        missing_rate="paper",
        random_state=seed,
    )
    return Study(
        name=f"cohort_{arguments.classes}",
        title=f"Diagnosis in a generated cohort: {arguments.subjects} subjects, {side} x {side} x {side} "
        f"voxels, {arguments.classes} classes, the paper's missing rates",
        X=made.data,
        y=made.target,
        image="t1w",
        settings={"base_channels": arguments.base_channels, "max_epochs": arguments.epochs},
        loader={},
        drawn=True,
        best={
            BY_SHARE: made.best_score["balanced_accuracy"],
            "macro AUC": made.best_score["roc_auc"],
        },
    )


def pad(arguments, seed):
    """Cancer or not in photos of skin lesions, by patient, set up as in ``pad_cancer.py``; for all seeds."""
    del seed
    X, y, patients = read_lesions(real_data("pad-ufes-20-small"), complete=False)
    study = Study(
        name="pad",
        title="Cancer in photos of skin lesions (PAD-UFES-20), by patient",
        X=X,
        y=pd.Series(y, index=X.index),
        groups=pd.Series(patients, index=X.index),
        image="photo",
        settings={
            "augmentation": "light",
            "base_channels": arguments.base_channels,
            "hyper_init": "residual",
            "max_epochs": arguments.epochs,
        },
        loader={"shape": (arguments.side, arguments.side), "intensity": None},
    )
    return study.first(arguments.subjects)


def ixi(arguments, seed):
    """Age from T1 and four columns, set up as in ``ixi_age.py``; for all seeds."""
    del seed
    X, y = read_subjects(real_data("ixi-t1-small"))
    study = Study(
        name="ixi",
        title="Age of subjects of IXI, mean absolute error in years",
        X=X,
        y=y,
        image="t1w",
        settings={"base_channels": arguments.base_channels, "max_epochs": arguments.epochs},
        loader={"shape": (28, 34, 28)},
        regression=True,
    )
    return study.first(arguments.subjects)
