"""From the constructor to the archive: what scikit-learn does with an estimator besides fitting it."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from compatibility import works
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback, EpochScoring, LRScheduler

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


@works("pickle", "from a machine with a GPU to one without")
def test_pickle_holds_no_tensor_of_a_gpu(pictures, classifier):
    X, y, _ = pictures
    model = classifier(device="auto").fit(X, y)
    assert model.net_.device == "cpu"
    assert {parameter.device.type for parameter in model.module_.parameters()} == {"cpu"}
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


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
    joblib.dump(model.set_params(device="auto"), tmp_path / "model.joblib")
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


@works("callbacks", "skorch's own: schedulers, scoring")
@pytest.mark.parametrize(
    "callback",
    [
        LRScheduler("StepLR", step_size=1),
        EpochScoring(lambda net, dataset, y: 1.0, name="one", on_train=True),
    ],
    ids=["LRScheduler", "EpochScoring"],
)
def test_callbacks_of_skorch_run(pictures, classifier, callback):
    X, y, _ = pictures
    model = classifier(max_epochs=2, lr_schedule=None, callbacks=[("mine", callback)]).fit(X, y)
    assert model.n_iter_ == 2
    if isinstance(callback, LRScheduler):
        assert model.history_["lr"].iloc[1] < model.history_["lr"].iloc[0]
    else:
        assert model.history_["one"].tolist() == [1.0, 1.0]
