"""From the constructor to the archive: what scikit-learn does with an estimator besides fitting it."""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from compatibility import refused, works
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
)
from skorch.exceptions import SkorchException

import skhyperfusion
from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, ImageLoader, TabularPreprocessor

ROOT = str(Path(skhyperfusion.__file__).parents[1])


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.module_.parameters()])


@works("clone", "and `get_params`")
@pytest.mark.parametrize("estimator", [HyperFusionClassifier, HyperFusionRegressor])
def test_clone_of_a_fitted_estimator_is_fresh_and_has_the_same_parameters(pictures, estimator):
    X, labels, values = pictures
    model = estimator(
        base_channels=1,
        max_epochs=1,
        image_loader=ImageLoader(shape=(4, 4)),
        tabular_preprocessor=TabularPreprocessor(),
    )
    model.fit(X, labels if estimator is HyperFusionClassifier else values)
    copy = clone(model)
    assert not copy.__sklearn_is_fitted__()
    assert repr(copy.get_params()) == repr(model.get_params())
    assert copy.image_loader is not model.image_loader
    assert copy.tabular_preprocessor is not model.tabular_preprocessor
    assert not hasattr(model.tabular_preprocessor, "image_columns_")  # fitted is a clone of it


@works("get_params", "nested ones; `set_params` alike")
def test_nested_parameters_are_listed_and_set(classifier):
    model = classifier(image_loader=ImageLoader())
    assert {"image_loader__shape", "tabular_preprocessor__imputer"} <= set(model.get_params())
    assert not any("__" in name for name in model.get_params(deep=False))
    pipeline = make_pipeline(TabularPreprocessor(), model)
    pipeline.set_params(hyperfusionclassifier__image_loader__shape=(4, 4), tabularpreprocessor__scaler=None)
    assert model.image_loader.shape == (4, 4)
    assert pipeline[0].scaler is None


@works("repr", "and the HTML diagram")
def test_repr_shows_what_was_changed_and_the_diagram_is_drawn(pictures, classifier):
    X, y, _ = pictures
    assert repr(HyperFusionClassifier(hyper_depth=2)) == "HyperFusionClassifier(hyper_depth=2)"
    model = make_pipeline(TabularPreprocessor(), classifier())
    for state in (model, model.fit(X, y)):
        html = state._repr_html_()
        assert "HyperFusionClassifier" in html
        assert "TabularPreprocessor" in html


@works("pickle", "and `joblib.dump`, across processes")
@pytest.mark.slow
def test_pickle_in_another_process_predicts_the_same_bits(tmp_path, pictures, classifier):
    X, y, _ = pictures
    model = classifier().fit(X, y)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    joblib.dump(model, tmp_path / "model.joblib")
    X.to_pickle(tmp_path / "X.pkl")
    code = (
        "import pathlib, pickle, joblib, numpy, pandas;"
        "X = pandas.read_pickle('X.pkl');"
        "models = pickle.loads(pathlib.Path('model.pkl').read_bytes()), joblib.load('model.joblib');"
        "numpy.save('proba.npy', [model.predict_proba(X) for model in models])"
    )
    environment = os.environ | {"PYTHONPATH": ROOT}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=tmp_path, env=environment)
    for proba in np.load(tmp_path / "proba.npy"):
        np.testing.assert_array_equal(proba, model.predict_proba(X))


@works(
    "pickle", "from a machine with a GPU to one without", note="If `device` names a GPU, a warning says so"
)
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_pickle_from_a_machine_with_a_gpu_predicts_on_the_cpu(monkeypatch, pictures, classifier, device):
    X, y, _ = pictures
    model = classifier().fit(X, y)
    assert model.net_.device == "cpu"
    assert {parameter.device.type for parameter in model.module_.parameters()} == {"cpu"}
    expected = model.predict_proba(X)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    opened = pickle.loads(pickle.dumps(model.set_params(device=device)))
    with pytest.warns(UserWarning, match=f"'device' parameter is '{device}', but torch sees 0 CUDA"):
        np.testing.assert_array_equal(opened.predict_proba(X), expected)
    with pytest.raises(ValueError, match=f"(?s)'{device}', but torch sees 0 CUDA.* Pass device='auto'"):
        opened.fit(X, y)


def test_pickle_holds_the_weights_once(pictures, classifier):
    X, y, _ = pictures
    models = [classifier(base_channels=channels).fit(X, y) for channels in (1, 6)]
    n_bytes = [sum(tensor.nbytes for tensor in model.module_.state_dict().values()) for model in models]
    sizes = [len(pickle.dumps(model)) for model in models]
    assert n_bytes[1] - n_bytes[0] > 500_000
    assert sizes[1] - sizes[0] < 1.1 * (n_bytes[1] - n_bytes[0])
    assert "module_" in repr(models[0].net_)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pickle_of_a_model_trained_on_a_gpu_loads_without_one(tmp_path, pictures, classifier):
    X, y, _ = pictures
    model = classifier(device="cuda").fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    X.to_pickle(tmp_path / "X.pkl")
    code = (
        "import joblib, numpy, pandas, torch;"
        "assert not torch.cuda.is_available();"
        "numpy.save('proba.npy', joblib.load('model.joblib').predict_proba(pandas.read_pickle('X.pkl')))"
    )
    hidden = os.environ | {
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": str(Path(skhyperfusion.__file__).parents[1]),
    }
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=hidden)
    np.testing.assert_allclose(np.load(tmp_path / "proba.npy"), model.predict_proba(X), atol=1e-6)


@works("refit on other data")
def test_refit_on_other_data_equals_a_fresh_fit(pictures, study, classifier):
    X, y, _ = pictures
    model = classifier().fit(*study[:2]).fit(X, y)
    assert torch.equal(weights(model), weights(classifier().fit(X, y)))
    assert model.feature_names_in_.tolist() == list(X.columns)


@works("warm_start", "goes on from the fitted network")
def test_warm_start_goes_on_and_a_clone_does_not(pictures, classifier):
    X, y, _ = pictures
    model = classifier(warm_start=True, max_epochs=8, lr=3e-3, dropout=0.0)
    first = model.fit(X, y).history_["train_loss"]
    onward = model.fit(X, y).history_["train_loss"]
    assert onward.iloc[0] < first.iloc[0]
    assert clone(model).fit(X, y).history_["train_loss"].tolist() == first.tolist()


@works("set_params", "after `fit`: the fitted model is undisturbed")
def test_set_params_after_fit_does_not_disturb_predictions(pictures, classifier):
    X, y, _ = pictures
    model = classifier(image_loader=ImageLoader(shape=(8, 8))).fit(X, y)
    before = model.predict_proba(X)
    model.set_params(
        image_loader__shape=(4, 4), tabular_preprocessor__imputer="knn", fusion="film", base_channels=3
    )
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert model.image_spec_.shape == (8, 8)


class PressCtrlC(Callback):
    """Raises what Ctrl-C raises, in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == self.epoch:
            raise KeyboardInterrupt


@works("KeyboardInterrupt", "in a fit: fitted with the best epoch so far, and raised again")
def test_ctrl_c_keeps_the_best_epoch_and_is_raised_again(pictures, classifier):
    X, y, _ = pictures
    model = classifier(max_epochs=9, callbacks=[PressCtrlC(3)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.best_epoch_ == 2
    assert set(model.predict(X)) <= {"ill", "well"}


@works("KeyboardInterrupt", "stops a cross-validation and a search, `n_jobs=2` too")
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_stops_a_cross_validation_and_a_search(pictures, classifier, n_jobs):
    X, y, _ = pictures
    model = classifier(max_epochs=3, callbacks=[PressCtrlC(2)])
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(model, X, y, cv=2, n_jobs=n_jobs)
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(model, {"lr": [1e-3]}, cv=2, n_jobs=n_jobs).fit(X, y)


class Remember(Callback):
    """Keeps what a shared callback would mix up."""

    def on_epoch_end(self, net, **kwargs):
        self.epochs_ = [*getattr(self, "epochs_", []), len(net.history)]
        net.history.record("remembered", len(self.epochs_))


@works("callbacks", "of skorch are cloned for each fit, not shared")
def test_callbacks_are_cloned_for_each_fit(pictures, classifier):
    X, y, _ = pictures
    callback = Remember()
    model = classifier(max_epochs=2, callbacks=[callback, ("named", Remember())])
    assert model.fit(X, y).history_["remembered"].tolist() == [1, 2]
    assert clone(model).fit(X, y).history_["remembered"].tolist() == [1, 2]
    assert not hasattr(callback, "epochs_")


HELD_OUT = {"early_stopping": True, "validation_fraction": 0.3}


@works("callbacks", "skorch's own: schedulers")
def test_scheduler_of_skorch_lowers_the_learning_rate(pictures, classifier):
    X, y, _ = pictures
    callback = LRScheduler("StepLR", step_size=1)
    model = classifier(max_epochs=2, lr_schedule=None, callbacks=[("mine", callback)]).fit(X, y)
    assert model.history_["lr"].iloc[1] < model.history_["lr"].iloc[0]


@works(
    "callbacks",
    "skorch's own: `EpochScoring` and `BatchScoring` with a scorer of scikit-learn",
    note="Classes are coded 0, 1, ..., values standardised; the parameter `monitor` scores in your own",
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("scoring", ["balanced_accuracy", "roc_auc", "neg_log_loss", "r2"])
def test_scoring_of_skorch_scores_as_monitor_does(pictures, classifier, regressor, scoring, precision):
    X, labels, values = pictures
    make, y = (regressor, values) if scoring == "r2" else (classifier, labels)
    model = make(
        max_epochs=3,
        precision=precision,
        monitor=scoring,
        callbacks=[
            EpochScoring(scoring, name="own", lower_is_better=False),
            BatchScoring(scoring, name="batch", lower_is_better=False),
            EpochScoring(scoring, name="seen", on_train=True),
            EpochScoring(scoring, name="again", use_caching=False, lower_is_better=False),
        ],
        **HELD_OUT,
    ).fit(X, y, sample_weight=np.linspace(0.5, 2, 24))
    np.testing.assert_allclose(model.history_["own"], model.history_[f"valid_{scoring}"], rtol=1e-3)
    np.testing.assert_allclose(model.history_["batch"], model.history_["own"], rtol=1e-5)  # one batch
    np.testing.assert_allclose(model.history_["again"], model.history_["own"], rtol=1e-5)
    assert np.isfinite(model.history_["seen"]).all()


@works("callbacks", "skorch's own: `Checkpoint`, `EarlyStopping`, `GradientNormClipping`, `Freezer`")
def test_other_callbacks_of_skorch_do_their_work(tmp_path, pictures, classifier):
    X, y, _ = pictures
    files = Checkpoint(monitor="train_loss_best", dirname=str(tmp_path))
    stop = EarlyStopping(patience=1, threshold=1e3, threshold_mode="abs")
    model = classifier(max_epochs=9, callbacks=[files, stop], **HELD_OUT).fit(X, y)
    assert model.n_iter_ == 2
    assert (tmp_path / "params.pt").is_file()

    clipped = classifier(optimizer="sgd", callbacks=[GradientNormClipping(1e-9)]).fit(X, y)
    assert not torch.equal(weights(clipped), weights(classifier(optimizer="sgd").fit(X, y)))

    frozen = classifier(callbacks=[Freezer("head.*")]).fit(X, y).module_
    frozen_names = {name for name, p in frozen.named_parameters() if not p.requires_grad}
    assert frozen_names == {name for name, _ in frozen.named_parameters() if name.startswith("head.")}


@refused(
    "callbacks",
    "skorch's `EarlyStopping` or `Checkpoint` on `valid_loss`, where no rows are held out",
    words="none are: pass early_stopping=True, or let the callback monitor 'train_loss'",
    reason="`early_stopping='auto'` holds rows out from 1000 on",
)
@pytest.mark.parametrize("callback", [EarlyStopping(), Checkpoint()], ids=["EarlyStopping", "Checkpoint"])
def test_callback_that_asks_for_rows_held_out_is_told(pictures, classifier, callback, words):
    X, y, _ = pictures
    with pytest.raises((KeyError, SkorchException)) as caught:
        classifier(callbacks=[callback]).fit(X, y)
    assert re.search(words, "\n".join(caught.value.__notes__))
