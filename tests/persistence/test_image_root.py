"""A loaded model looks for images where the user says: the file does not tell where they lay."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from saved_parts import SMALL, zip_contents
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from skhyperfusion import (
    HyperFusionClassifier,
    HyperFusionRegressor,
    HyperFusionSurvival,
    ImageLoader,
    TabularPreprocessor,
    survival_target,
)
from skhyperfusion.brain_age import AgeBiasCorrector
from skhyperfusion.ensemble import (
    ConfidenceVotingClassifier,
    FoldEnsembleClassifier,
    FoldEnsembleRegressor,
    FoldEnsembleSurvival,
)
from skhyperfusion.features import ImageFeatures
from skhyperfusion.persistence import load_model, save_model

MANY_FITS = ("fold regressor", "fold survival", "corrected regressor")


def moved(study, tmp_path):
    """The study with scans named from a folder: (X, labels, values, that folder, a copy of it elsewhere)."""
    X, labels, values = study
    folder = Path(X["scan"].iloc[0]).parent
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    return X.assign(scan=[os.path.basename(path) for path in X["scan"]]), labels, values, folder, elsewhere


def models_of_scans(folder):
    """Unfitted models of every kind that read scans, by name; classifiers or not told by their name."""
    net = SMALL | {"max_epochs": 1, "image_loader": ImageLoader(root=folder)}
    features = ImageFeatures(n_components=2, image_loader=ImageLoader(root=folder))
    return {
        "classifier": HyperFusionClassifier(**net),
        "regressor": HyperFusionRegressor(**net),
        "survival": HyperFusionSurvival(**net),
        "fold classifier": FoldEnsembleClassifier(HyperFusionClassifier(**net), cv=2),
        "fold regressor": FoldEnsembleRegressor(HyperFusionRegressor(**net), cv=2),
        "fold survival": FoldEnsembleSurvival(HyperFusionSurvival(**net), cv=2),
        "voting classifier": ConfidenceVotingClassifier([("net", HyperFusionClassifier(**net))]),
        "features regressor": make_pipeline(TabularPreprocessor(), features, LinearRegression()),
        "corrected regressor": AgeBiasCorrector(HyperFusionRegressor(**net), cv=2),
    }


@pytest.mark.filterwarnings("ignore:Predictions of HyperFusionRegressor do not rise")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow if kind in MANY_FITS else ())
        for kind in models_of_scans(None)
    ],
)
def test_image_root_when_given_is_where_a_loaded_model_looks(kind, study, tmp_path):
    X, labels, values, folder, elsewhere = moved(study, tmp_path)
    y = labels if kind.endswith("classifier") else values
    y = survival_target(np.arange(len(X)) % 3 > 0, values - values.min() + 1) if "survival" in kind else y
    model = models_of_scans(folder)[kind].fit(X, y)
    save_model(model, tmp_path / "model")
    with pytest.raises(ValueError, match=r"'sub-00\.nii\.gz' does not exist.*root=None"):
        load_model(tmp_path / "model").predict(X)
    loaded = load_model(tmp_path / "model", image_root=elsewhere)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    shutil.rmtree(elsewhere)
    X["scan"] = X["scan"].str.replace("sub", "./sub")  # known to no cache by this name
    with pytest.raises(ValueError, match=r"does not exist.*elsewhere"):
        loaded.predict(X)


def test_image_root_when_the_loader_was_left_at_its_default_holds_for_another_fit_too(study, tmp_path):
    X, labels, _, _, elsewhere = moved(study, tmp_path)
    model = HyperFusionClassifier(**SMALL).fit(study[0], labels)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model", image_root=str(elsewhere))
    assert loaded.image_loader.root == str(elsewhere)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(study[0]))
    np.testing.assert_array_equal(clone(loaded).fit(X, labels).predict_proba(X), loaded.predict_proba(X))
    save_model(loaded, tmp_path / "again")
    assert b"elsewhere" not in b"".join(zip_contents(tmp_path / "again"))
    assert load_model(tmp_path / "again").image_loader.root is None


def test_image_root_when_it_is_of_no_use_is_refused(saved, table_study, tmp_path):
    X, labels, _ = table_study
    _, path = saved
    with pytest.raises(NotADirectoryError, match=r"image_root='nowhere'\): there is no such folder"):
        load_model(path, image_root="nowhere")
    with pytest.raises(TypeError, match=r"must be the path of a folder\. Got 3"):
        load_model(path, image_root=3)
    save_model(HyperFusionClassifier(fusion="tabular", **SMALL).fit(X, labels), tmp_path / "model")
    with pytest.raises(TypeError, match="reads its images by nothing, as it has none"):
        load_model(tmp_path / "model", image_root=tmp_path)


class OwnLoader(BaseEstimator):
    """A reader of images of the user's own."""

    missing = "raise"

    def open(self, cells, **settings):
        return ImageLoader().open(cells, **settings)


def test_image_root_when_the_loader_is_the_users_own_is_refused(table_study, tmp_path):
    X, labels, _ = table_study
    save_model(HyperFusionClassifier(image_loader=OwnLoader(), **SMALL).fit(X, labels), tmp_path / "model")
    name = f"{OwnLoader.__module__}.OwnLoader"
    load_model(tmp_path / "model", trusted=[name])
    with pytest.raises(TypeError, match="reads its images by a OwnLoader, which has no root"):
        load_model(tmp_path / "model", image_root=tmp_path, trusted=[name])
