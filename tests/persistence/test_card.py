"""The model card tells what the model is, and leaves blank what only people know."""

import zipfile

import numpy as np
import pytest
from saved_parts import SMALL
from sklearn.exceptions import NotFittedError

from skhyperfusion import (
    HyperFusionClassifier,
    HyperFusionRegressor,
    HyperFusionSurvival,
    ImageLoader,
    survival_target,
)
from skhyperfusion.ensemble import FoldEnsembleClassifier
from skhyperfusion.persistence import model_card, save_model

SECTIONS = [
    "Model description", "Intended uses", "Limitations", "Data", "Network", "Training", "Scores",
    "Parameters", "Versions", "How to use", "Authors and contact", "Citation",
]  # fmt: skip


def sections_of(card):
    parts = card.split("\n## ")
    return {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in parts[1:]}


def test_card_has_its_sections_and_blanks(saved, table_study):
    model, _ = saved
    X, labels, _ = table_study
    card = sections_of(model_card(model, X, labels, scores={"AUC, 5 folds": 0.81}))
    assert list(card) == SECTIONS
    for blank in ("Intended uses", "Limitations", "Authors and contact"):
        assert card[blank].strip() == "*To be filled in.*"
    assert "Classes: 'AD', 'CN'." in card["Model description"]
    assert "24 rows." in card["Data"]
    assert "| age | table | 4.2% |" in card["Data"]
    assert "| sex | table | 25.0% |" in card["Data"]
    assert "| picture | image | 0.0% |" in card["Data"]
    assert "| shape | 8 x 8 |" in card["Data"]
    assert "| AD | 12 |" in card["Data"]
    assert "`backbone.block4.shortcut.conv`" in card["Network"]
    assert "| AUC, 5 folds | 0.81 |" in card["Scores"]
    assert "| `base_channels` | `2` |  |" in card["Parameters"]
    assert "| `fusion` | `'hyper'` | yes |" in card["Parameters"]
    assert "| torch |" in card["Versions"]


def test_card_without_rows_does_not_guess(saved):
    card = sections_of(model_card(saved[0]))
    assert "| age | table | not known |" in card["Data"]
    assert card["Scores"].strip() == "*To be filled in.*"


def test_card_of_a_regressor_tells_the_range(table_study):
    X, _, values = table_study
    loader = ImageLoader(missing="zeros", root="/home/somebody")
    model = HyperFusionRegressor(image_loader=loader, group_column="sex", **SMALL).fit(X, values)
    card = model_card(model, X, values)
    assert f"Target: {values.min():.4g} to {values.max():.4g}" in card
    assert "read as zeros, flagged in the table" in card
    assert "| sex | subject's id, not a feature |" in card
    assert "somebody" not in card


def test_card_counts_subjects(table_study):
    X, labels, _ = table_study
    X = X.assign(subject=[f"s{i // 2}" for i in range(len(X))])
    model = HyperFusionClassifier(group_column="subject", **SMALL).fit(X, labels)
    assert "24 rows of 12 subjects." in model_card(model, X, labels)


def test_card_of_a_survival_estimator_tells_of_events_and_times(table_study):
    X, _, values = table_study
    y = survival_target(np.arange(len(X)) % 3 > 0, values)
    card = model_card(HyperFusionSurvival(**SMALL).fit(X, y), X, y)
    assert "A survival model that reads images and a table" in card
    assert f"Target: 16 events in 24 rows, times from {values.min():.4g} to {values.max():.4g}." in card


def test_card_of_an_ensemble_tells_of_each_network(table_study):
    X, labels, _ = table_study
    model = FoldEnsembleClassifier(HyperFusionClassifier(**SMALL), cv=2).fit(X, labels)
    card = model_card(model)
    assert "2 networks, whose predictions are combined by FoldEnsembleClassifier" in card
    assert "### Network 2 of 2" in card


def test_card_of_what_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        model_card(HyperFusionClassifier())


def test_card_travels_in_the_file(saved, tmp_path):
    save_model(saved[0], tmp_path / "model", card="# My own card")
    with zipfile.ZipFile(tmp_path / "model") as archive:
        assert archive.read("card.md") == b"# My own card"
    with zipfile.ZipFile(saved[1]) as archive:
        assert archive.read("card.md").startswith(b"# HyperFusionClassifier")
