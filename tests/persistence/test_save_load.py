"""What is saved comes back: the same answers, bit for bit, and the same estimator."""

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from saved_parts import SMALL, OwnPreprocessor, halved, small_backbone, zip_contents
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skhyperfusion import (
    HyperFusionClassifier,
    HyperFusionRegressor,
    HyperFusionSurvival,
    ImageLoader,
    TabularPreprocessor,
    impute_table,
    survival_target,
)
from skhyperfusion._parameters import FUSIONS
from skhyperfusion.brain_age import AgeBiasCorrector
from skhyperfusion.ensemble import (
    ConfidenceVotingClassifier,
    FoldEnsembleClassifier,
    FoldEnsembleRegressor,
    FoldEnsembleSurvival,
)
from skhyperfusion.features import ImageFeatures, baseline_regressor
from skhyperfusion.persistence import UntrustedTypesError, load_model, save_model
from skhyperfusion.presets import alzheimer_classifier, brain_age_regressor


def round_trip(model, path, **kwargs):
    save_model(model, path)
    return load_model(path, **kwargs)


def assert_same(loaded, model, X):
    assert type(loaded) is type(model)
    assert repr(loaded) == repr(model)
    for method in ("predict", "predict_proba", "embed"):
        if hasattr(model, method):
            expected, found = getattr(model, method)(X), getattr(loaded, method)(X)
            np.testing.assert_array_equal(found, expected, err_msg=method)
            assert found.dtype == expected.dtype


@pytest.mark.parametrize("fusion", FUSIONS)
def test_classifier_comes_back_bit_for_bit(fusion, table_study, tmp_path):
    X, labels, _ = table_study
    model = HyperFusionClassifier(fusion=fusion, **SMALL).fit(X, labels)
    loaded = round_trip(model, tmp_path / "model")
    assert_same(loaded, model, X)
    np.testing.assert_array_equal(loaded.classes_, model.classes_)
    np.testing.assert_array_equal(loaded.feature_names_in_, model.feature_names_in_)
    pd.testing.assert_frame_equal(loaded.history_, model.history_)
    assert set(vars(loaded)) == set(vars(model))
    assert loaded.image_spec_ == model.image_spec_
    assert loaded.external_layers_ == model.external_layers_


@pytest.mark.parametrize(
    "changed",
    [
        {"backbone": "vgg", "precision": "float64"},
        {"shared_embedding": False, "hyper_depth": 2, "hyper_init": "residual", "dropout": (0.1,) * 6},
        {"external_layers": ("head.*",), "hyper_depth": 1, "pretrain_embedding": 1},
        {"early_stopping": True, "validation_fraction": 0.25, "monitor": "r2"},
        {"tabular_preprocessor": TabularPreprocessor(imputer="median", add_indicator=False)},
        {"image_loader": ImageLoader(shape=(6, 6), intensity=(5, 95), bilateral=0)},
        {"random_state": np.int64(3), "max_epochs": np.int64(2), "lr": np.float32(0.01)},
        {"optimizer": "sgd", "net_params": {"iterator_train__shuffle": False}, "lr_schedule": None},
    ],
)
def test_regressor_with_other_parameters_comes_back_bit_for_bit(changed, table_study, tmp_path):
    X, _, values = table_study
    model = HyperFusionRegressor(**(SMALL | changed)).fit(X, np.column_stack([values, -values]))
    loaded = round_trip(model, tmp_path / "model")
    assert_same(loaded, model, X)
    for name, value in model.get_params(deep=False).items():
        assert type(getattr(loaded, name)) is type(value)


def test_model_for_a_gpu_predicts_the_same_on_a_machine_without_one(table_study, tmp_path, monkeypatch):
    X, labels, _ = table_study
    model = HyperFusionClassifier(**SMALL).fit(X, labels)
    expected = model.predict_proba(X)
    model.set_params(device="cuda")  # after a fit on one the network is on the CPU
    save_model(model, tmp_path / "model.skhf")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    loaded = load_model(tmp_path / "model.skhf")
    with pytest.warns(UserWarning, match="predicting on the CPU"):
        np.testing.assert_array_equal(loaded.predict_proba(X), expected)


def test_random_state_goes_on_where_it_stood(table_study, tmp_path):
    X, _, values = table_study
    model = HyperFusionRegressor(**(SMALL | {"random_state": np.random.RandomState(3)})).fit(X, values)
    loaded = round_trip(model, tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.random_state.randint(2**31) == model.random_state.randint(2**31)


def test_scans_on_disk_come_back_bit_for_bit(study, tmp_path):
    X, labels, _ = study
    model = HyperFusionClassifier(**SMALL).fit(X, labels)
    assert_same(round_trip(model, tmp_path / "model"), model, X)


def test_scikit_learn_preprocessor_comes_back(table_study, tmp_path):
    X, labels, _ = table_study
    encode = make_column_transformer(
        (SimpleImputer(), ["age"]), (OneHotEncoder(sparse_output=False), ["sex"]), remainder="drop"
    )
    model = HyperFusionClassifier(tabular_preprocessor=encode, **SMALL).fit(X, labels)
    assert_same(round_trip(model, tmp_path / "model"), model, X)


def test_pipeline_vote_and_calibration_come_back(table_study, tmp_path):
    X, labels, _ = table_study
    net = HyperFusionClassifier(**SMALL)
    table = make_pipeline(make_column_transformer((SimpleImputer(), ["age"])), LogisticRegression())
    for model in (
        make_pipeline(TabularPreprocessor(), net),
        ConfidenceVotingClassifier([("net", net), ("table", table)]),
        CalibratedClassifierCV(net, cv=2),
    ):
        assert_same(round_trip(model.fit(X, labels), tmp_path / "model"), model, X)


def test_fold_ensembles_come_back(table_study, tmp_path):
    X, labels, values = table_study
    classifier = FoldEnsembleClassifier(HyperFusionClassifier(**SMALL), cv=2).fit(X, labels)
    assert_same(round_trip(classifier, tmp_path / "model"), classifier, X)
    regressor = FoldEnsembleRegressor(HyperFusionRegressor(**SMALL), cv=2, n_best=1).fit(X, values)
    loaded = round_trip(regressor, tmp_path / "model")
    assert_same(loaded, regressor, X)
    np.testing.assert_array_equal(loaded.fold_scores_, regressor.fold_scores_)


@pytest.mark.parametrize("loss", ["discrete", "cox"])
def test_survival_estimators_come_back(loss, table_study, tmp_path):
    X, _, values = table_study
    y = survival_target(np.arange(len(X)) % 3 > 0, values)
    single = HyperFusionSurvival(loss=loss, **SMALL)
    for model in (single, FoldEnsembleSurvival(single, cv=2)):
        loaded = round_trip(model.fit(X, y), tmp_path / "model")
        assert_same(loaded, model, X)
        curves = [m.predict_survival_function(X, return_array=True) for m in (loaded, model)]
        np.testing.assert_array_equal(*curves)


@pytest.mark.parametrize("method", ["pca", "voxels"])
def test_features_of_images_come_back(method, table_study, tmp_path):
    X, labels, values = table_study
    features = ImageFeatures(method, n_components=3, image_loader=ImageLoader(missing="zeros"))
    model = make_pipeline(TabularPreprocessor(), features, LogisticRegression()).fit(X, labels)
    assert_same(round_trip(model, tmp_path / "model"), model, X)
    baseline = baseline_regressor(method=method, n_components=3).fit(X, values)
    assert_same(round_trip(baseline, tmp_path / "model"), baseline, X)


def test_mask_of_few_voxels_comes_back(tmp_path):
    pictures = np.zeros((6, 1100, 1100), dtype=np.float32)  # a mask above 1 MB, of which 4 bytes are not zero
    pictures[:, :2, :2] = np.random.default_rng(0).normal(size=(6, 2, 2))
    X = pd.DataFrame({"picture": list(pictures)})
    features = ImageFeatures("voxels", image_loader=ImageLoader(intensity=None))
    model = make_pipeline(features, Ridge()).fit(X, np.arange(6.0))
    assert model[0].mask_.sum() == 4
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(X), model.predict(X))
    with zipfile.ZipFile(tmp_path / "model") as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == len(set(archive.namelist()))  # nothing is left of a first attempt
    assert (tmp_path / "model").stat().st_size < 1_300_000


def test_features_of_a_network_come_back_where_it_is_given_again(table_study, tmp_path):
    X, labels, _ = table_study
    model = make_pipeline(TabularPreprocessor(), ImageFeatures(small_backbone), LogisticRegression())
    save_model(model.fit(X, labels), tmp_path / "model")
    with pytest.raises(ValueError, match=r"method=function .*small_backbone.*load_model\(path, method=...\)"):
        load_model(tmp_path / "model")
    assert_same(load_model(tmp_path / "model", method=small_backbone), model, X)

    def other(in_channels, spatial_dims):
        return torch.nn.Conv2d(in_channels, 7, 3)

    with pytest.raises(ValueError, match=r"weights are not those of the network that method="):
        load_model(tmp_path / "model", method=other)


def test_imputer_in_front_comes_back(table_study, tmp_path):
    X, labels, _ = table_study
    model = make_pipeline(impute_table(SimpleImputer()), HyperFusionClassifier(**SMALL)).fit(X, labels)
    assert_same(round_trip(model, tmp_path / "model"), model, X)


@pytest.mark.filterwarnings("ignore:Predictions of HyperFusionRegressor do not rise")
def test_brain_age_corrector_comes_back(table_study, tmp_path):
    X, _, values = table_study
    model = AgeBiasCorrector(HyperFusionRegressor(**SMALL), cv=2).fit(X, values)
    loaded = round_trip(model, tmp_path / "model")
    assert loaded.bias_ == model.bias_
    assert_same(loaded, model, X)


@pytest.mark.parametrize("preset", [alzheimer_classifier, brain_age_regressor])
def test_preset_comes_back(preset, table_study, tmp_path):
    X, labels, values = table_study
    small = SMALL | {"image_loader": None, "early_stopping": False, "monitor": "loss"}
    small |= {"batch_size": 8, "backbone": "resnet"}
    model = preset(**small, pretrain_embedding=1)
    model.fit(X, labels if preset is alzheimer_classifier else values)
    assert_same(round_trip(model, tmp_path / "model"), model, X)


def test_preset_keeps_its_crop(table_study, tmp_path):
    X, labels, _ = table_study
    model = HyperFusionClassifier(**SMALL).fit(X, labels)
    model.set_params(image_loader=alzheimer_classifier().image_loader)
    loaded = round_trip(model, tmp_path / "model")
    assert loaded.image_loader.crop is model.image_loader.crop


def test_own_backbone_must_be_given_again(table_study, tmp_path):
    X, labels, _ = table_study
    model = HyperFusionClassifier(backbone=small_backbone, **SMALL).fit(X, labels)
    save_model(model, tmp_path / "model")
    with pytest.raises(ValueError, match=r"backbone=function .*small_backbone.*load_model\(path, back"):
        load_model(tmp_path / "model")
    loaded = load_model(tmp_path / "model", backbone=small_backbone)
    assert_same(loaded, model, X)
    assert loaded.backbone is small_backbone


def test_other_backbone_than_that_of_the_fit_is_refused(table_study, tmp_path):
    X, labels, _ = table_study
    save_model(HyperFusionClassifier(backbone=small_backbone, **SMALL).fit(X, labels), tmp_path / "model")

    def other(in_channels, spatial_dims):
        return torch.nn.Conv2d(in_channels, 7, 3)

    with pytest.raises(ValueError, match=r"weights are not those of the network .* is of shape"):
        load_model(tmp_path / "model", backbone=other)


def test_function_that_only_training_uses_may_be_left_out(table_study, tmp_path):
    X, labels, _ = table_study
    model = HyperFusionClassifier(augmentation=halved, **SMALL).fit(X, labels)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    with pytest.raises(ValueError, match=r"'augmentation' parameter .* <function .*halved, which the file"):
        clone(loaded).fit(X, labels)
    assert load_model(tmp_path / "model", augmentation=halved).augmentation is halved


def test_parameter_without_use_is_refused(saved):
    _, path = saved
    with pytest.raises(TypeError, match=r"1 parameter: 'backbone'.*set_params"):
        load_model(path, backbone=small_backbone)


def test_own_preprocessor_must_be_trusted(table_study, tmp_path):
    X, labels, _ = table_study
    X = X[["picture", "age"]]
    model = HyperFusionClassifier(tabular_preprocessor=OwnPreprocessor(), **SMALL).fit(X, labels)
    save_model(model, tmp_path / "model")
    with pytest.raises(
        UntrustedTypesError, match=r"does not trust .*OwnPreprocessor.* pass trusted="
    ) as raised:
        load_model(tmp_path / "model")
    assert_same(load_model(tmp_path / "model", trusted=raised.value.names), model, X)
    kind, arguments, *_ = raised.value.__reduce__()  # dask, where it is imported, pickles by a way of its own
    assert str(kind(*arguments)) == str(raised.value)
    assert kind(*arguments).names == raised.value.names


def test_loaded_model_trains_on_and_pickles(table_study, saved):
    X, labels, _ = table_study
    model, path = saved
    loaded = load_model(path)
    again = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    loaded.set_params(warm_start=True).fit(X, labels)
    expected = pickle.loads(pickle.dumps(model)).set_params(warm_start=True).fit(X, labels)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected.predict_proba(X))


def test_model_loads_in_a_process_of_its_own(table_study, saved, tmp_path):
    X, _, _ = table_study
    model, path = saved
    X.to_pickle(tmp_path / "X.pkl")
    code = (
        "import sys, numpy as np, pandas as pd; from skhyperfusion.persistence import load_model; "
        "np.save(sys.argv[3], load_model(sys.argv[1]).predict_proba(pd.read_pickle(sys.argv[2])))"
    )
    argv = [str(path), str(tmp_path / "X.pkl"), str(tmp_path / "proba.npy")]
    subprocess.run([sys.executable, "-c", code, *argv], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "proba.npy"), model.predict_proba(X), rtol=1e-6)


def test_what_is_not_fitted_or_not_ours_is_refused(table_study, tmp_path):
    X, labels, _ = table_study
    with pytest.raises(NotFittedError):
        save_model(HyperFusionClassifier(), tmp_path / "model")
    search = GridSearchCV(HyperFusionClassifier(**SMALL), {"base_channels": [1]}, cv=2).fit(X, labels)
    with pytest.raises(TypeError, match=r"not a GridSearchCV. Of a search, save its best_estimator_"):
        save_model(search, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_part_that_no_file_can_hold_is_named(table_study, tmp_path):
    X, labels, _ = table_study
    model = HyperFusionClassifier(**SMALL).fit(X, labels).set_params(callbacks=[torch.nn.Linear(1, 1)])
    with pytest.raises(TypeError, match=r"HyperFusionClassifier\.callbacks\[0\] is .*Linear"):
        save_model(model, tmp_path / "model")


def test_crash_while_writing_leaves_the_old_file(saved, table_study, tmp_path, monkeypatch):
    model, path = saved
    target = tmp_path / "model"
    target.write_bytes(path.read_bytes())
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_model(model, target)
    assert target.read_bytes() == path.read_bytes()
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("name", "words"), [("", "is a folder"), ("absent/model", "which is no folder")])
def test_place_that_is_none_is_refused(name, words, saved, tmp_path):
    with pytest.raises(ValueError, match=words):
        save_model(saved[0], tmp_path / name)


def test_file_holds_no_row_no_path_and_no_id(study, tmp_path):
    X, labels, _ = study
    loader = ImageLoader(root=Path(X["scan"].iloc[0]).parent, cache_dir=tmp_path / "private-cache")
    X = X.assign(scan=[os.path.basename(path) for path in X["scan"]], subject=list(X.index))
    X["age"] = X["age"] + 0.123456789
    model = HyperFusionClassifier(image_loader=loader, group_column="subject", **SMALL).fit(X, labels)
    save_model(model, tmp_path / "model")
    text = b"".join(zip_contents(tmp_path / "model"))
    assert b"sub-0" not in text
    assert b"private-cache" not in text
    assert str(tmp_path.parent).encode() not in text
    assert not any(f'"{row}"'.encode() in text for row in X.index)
    ages = X["age"].dropna().to_numpy()
    found = {age for age in ages if np.float64(age).tobytes() in text or repr(float(age)).encode() in text}
    assert found <= {ages.min(), ages.max(), np.median(ages)}  # what the imputer knows of the column


# The sample's scikit-learn may be newer than the oldest that is declared.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_older_format_still_loads():
    """The sample was written by format 1, when it was new; it is never written anew."""
    folder = Path(__file__).parent / "samples"
    model = load_model(folder / "format-1-classifier.skhf")
    X = pd.DataFrame({"picture": list(np.load(folder / "pictures.npy")), "age": [60.0, np.nan, 80.0]})
    np.testing.assert_allclose(
        model.predict_proba(X), np.load(folder / "format-1-probabilities.npy"), rtol=1e-5
    )


def test_save_method_writes_what_save_model_writes(saved, table_study, tmp_path):
    X, _, _ = table_study
    saved[0].save(tmp_path / "model")
    assert_same(load_model(tmp_path / "model"), saved[0], X)
