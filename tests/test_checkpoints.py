"""A fit that was cut off goes on where it stood, and ends as if nothing had happened."""

import os
import pickle
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from checkpoint_fits import SMALL, answers_of, small_study
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback, EarlyStopping

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, HyperFusionSurvival, ImageLoader
from skhyperfusion._engine._checkpoint import Checkpoint
from skhyperfusion.ensemble import FoldEnsembleClassifier
from skhyperfusion.persistence import load_model, save_model


class Cut(RuntimeError):
    """The end of a process, as far as a fit can tell."""


@pytest.fixture
def saves(monkeypatch):
    """Epochs that were written; ``cut_after`` of them the fit ends."""

    class Saves(list):
        cut_after = None

    saves, save = Saves(), Checkpoint.save

    def watched(checkpoint, net):
        save(checkpoint, net)
        saves.append(len(net.history))
        if len(saves) == saves.cut_after:
            raise Cut

    monkeypatch.setattr(Checkpoint, "save", watched)
    return saves


def cut_and_go_on(model, X, y, saves, after=2, **fit_params):
    """Fit without a folder; then with one, cut off and started again: the answers of both."""
    expected = answers_of(clone(model).set_params(checkpoint_dir=None).fit(X, y, **fit_params), X)
    saves.cut_after = after
    with pytest.raises(Cut):
        clone(model).fit(X, y, **fit_params)
    del saves[:]
    saves.cut_after = None
    return expected, answers_of(clone(model).fit(X, y, **fit_params), X)


def halving(optimizer):
    """A schedule that looks at what it has done."""
    return torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"augmentation": "light", "dropout": (0.3,) * 6, "optimizer": "sgd", "lr_schedule": None},
        {"early_stopping": True, "validation_fraction": 0.3, "monitor": "balanced_accuracy"},
        pytest.param(
            {"lr_schedule": halving, "precision": "float64", "class_weight": "balanced"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"callbacks": [EarlyStopping("train_loss", patience=3)], "n_iter_no_change": 3},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"image_loader": ImageLoader(bilateral=0), "optimizer": torch.optim.RMSprop},
            marks=pytest.mark.slow,
        ),
        pytest.param({"hyper_depth": 1, "pretrain_embedding": 2}, marks=pytest.mark.slow),
        pytest.param({"net_params": {"iterator_train__shuffle": False}}, marks=pytest.mark.slow),
    ],
)
def test_classifier_that_was_cut_off_ends_the_same(changed, saves, tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "fit", **(SMALL | changed))
    expected, found = cut_and_go_on(model, X, labels, saves)
    assert found == expected
    assert saves == [3, 4]


def test_regressor_and_survival_that_were_cut_off_end_the_same(saves, tmp_path):
    X, _, values, times = small_study()
    weight = np.linspace(0.5, 2, len(X))
    for model, y in (
        (HyperFusionRegressor(checkpoint_dir=tmp_path / "a", **SMALL), values),
        (HyperFusionSurvival(checkpoint_dir=tmp_path / "b", **SMALL), times),
        (HyperFusionSurvival(checkpoint_dir=tmp_path / "c", loss="cox", **SMALL), times),
    ):
        expected, found = cut_and_go_on(model, X, y, saves, after=3, sample_weight=weight)
        assert found == expected
        assert saves == [4]
        del saves[:]


def test_early_stop_is_remembered(saves, tmp_path):
    X, labels, _, _ = small_study()
    stop = {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 1, "max_epochs": 30}
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "fit", **(SMALL | stop))
    n_epochs = clone(model).set_params(checkpoint_dir=None).fit(X, labels).n_iter_
    assert n_epochs < 30
    expected, found = cut_and_go_on(model, X, labels, saves, after=n_epochs)  # behind the last epoch
    assert found == expected
    assert saves == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fit_killed_at_any_moment_ends_the_same(tmp_path):
    script = Path(__file__).with_name("checkpoint_fits.py")
    root = str(script.parent.parent)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "8"],
        env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("8 kills, the same to the last bit") == 3


def test_finished_fit_is_loaded_and_trains_nothing(saves, tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "fit", **SMALL)
    expected = answers_of(clone(model).fit(X, labels), X)
    del saves[:]
    assert answers_of(clone(model).set_params(verbose=0).fit(X, labels), X) == expected
    assert saves == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": 0.01}, "lr: 0.003 there, 0.01 here"),
        ({"max_epochs": 5}, "max_epochs: 4 there, 5 here"),
        ({"random_state": 1}, "random_state: 0 there, 1 here"),
        ({"image_loader": ImageLoader(intensity="minmax")}, "image_loader: None there, skhyperf"),
        ({"callbacks": [EarlyStopping("train_loss")]}, "callbacks: None there, .*EarlyStopping"),
    ],
)
def test_other_parameters_are_refused_by_name(change, words, tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "fit", **(SMALL | {"max_epochs": 4}))
    model.fit(X, labels)
    with pytest.raises(ValueError, match=rf"holds another fit.*{words}.*Name another folder"):
        clone(model).set_params(**change).fit(X, labels)
    clone(model).set_params(checkpoint_dir=tmp_path / "other", **change).fit(X, labels)


@pytest.mark.parametrize("part", ["table", "target", "weights", "images", "rows"])
def test_other_data_are_refused_by_name(part, tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "fit", **(SMALL | {"max_epochs": 1}))
    model.fit(X, labels)
    other, y, weight = X.copy(), labels.copy(), None
    if part == "table":
        other.loc[5, "age"] += 1e-6
    elif part == "target":
        y[:2] = y[1::-1] if y[0] != y[1] else np.where(y[:2] == "AD", "CN", "AD")
    elif part == "weights":
        weight = np.linspace(1, 2, len(X))
    elif part == "images":
        other.at[7, "picture"] = other.at[7, "picture"] + np.eye(8, dtype=np.float32)
    else:
        other, y = X.iloc[1:], labels[1:]
    with pytest.raises(ValueError, match=rf"What differs: .*{part}: .* there, .* here"):
        clone(model).fit(other, y, sample_weight=weight)


def test_file_that_has_changed_is_refused_where_images_are_read_by_batches(saves, study, tmp_path):
    X, labels, _ = study
    model = HyperFusionClassifier(
        checkpoint_dir=tmp_path / "fit", image_loader=ImageLoader(memory=0), **SMALL
    )
    expected, found = cut_and_go_on(model, X, labels, saves)
    assert found == expected
    scan = Path(X["scan"].iloc[0])
    found = scan.stat()
    os.utime(scan, ns=(found.st_atime_ns, found.st_mtime_ns + 10**9))
    try:
        with pytest.raises(ValueError, match=r"images: .* there, .* here"):
            clone(model).fit(X, labels)
    finally:
        os.utime(scan, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_search_in_one_folder_has_a_folder_for_each_fit(saves, tmp_path):
    X, labels, _, _ = small_study()
    X = X.fillna({"age": 70.0})
    model = HyperFusionClassifier(**(SMALL | {"max_epochs": 2}))
    kept = clone(model).set_params(checkpoint_dir=tmp_path / "{fit}")
    expected = cross_val_score(model, X, labels, cv=2, scoring="neg_log_loss")
    saves.cut_after = 3  # in the second fold
    with pytest.raises(Cut):
        cross_val_score(kept, X, labels, cv=2, scoring="neg_log_loss", error_score="raise")
    saves.cut_after = None
    del saves[:]
    np.testing.assert_array_equal(
        cross_val_score(kept, X, labels, cv=2, scoring="neg_log_loss", error_score="raise"), expected
    )
    assert saves == [2]
    grid = {"fusion": ["hyper", "concat"]}
    search = GridSearchCV(kept, grid, cv=2, error_score="raise").fit(X, labels)
    assert len(list(tmp_path.iterdir())) == 5  # the two of before, two more, and the refit
    assert search.best_estimator_.n_iter_ == 2


def test_ensemble_in_one_folder_has_a_folder_for_each_fit(tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=str(tmp_path / "{fit}"), **(SMALL | {"max_epochs": 1}))
    FoldEnsembleClassifier(model, cv=3).fit(X, labels)
    assert len(list(tmp_path.iterdir())) == 3


def test_fit_without_a_random_state_is_refused(tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "fit", **(SMALL | {"random_state": None}))
    with pytest.raises(ValueError, match="needs a random_state"):
        model.fit(X, labels)
    assert not list(tmp_path.iterdir())


def test_random_state_object_counts_by_what_it_draws(tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "fit", **(SMALL | {"max_epochs": 1}))
    model.set_params(random_state=np.random.RandomState(3)).fit(X, labels)
    model.set_params(random_state=np.random.RandomState(3)).fit(X, labels)
    with pytest.raises(ValueError, match=r"random_state: draws \d+ there, draws \d+ here"):
        model.set_params(random_state=np.random.RandomState(4)).fit(X, labels)


def test_warm_start_is_another_fit(tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "{fit}", **(SMALL | {"warm_start": True}))
    plain = clone(model).set_params(checkpoint_dir=None)
    for _ in range(2):
        assert answers_of(model.fit(X, labels), X) == answers_of(plain.fit(X, labels), X)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "words"), [("epoch.pt", "cannot be read.*Remove it"), ("fit.json", "not what a fit wrote")]
)
def test_damaged_file_is_refused_by_its_path(name, words, tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "fit", **(SMALL | {"max_epochs": 1}))
    model.fit(X, labels)
    (tmp_path / "fit" / name).write_bytes(b"[1, 2]")
    with pytest.raises(ValueError, match=rf"{name}.*{words}"):
        clone(model).fit(X, labels)


class Payload:
    """Unpickles to a call."""

    def __reduce__(self):
        return os.mkdir, (Payload.target,)


def test_payload_in_a_checkpoint_does_not_run(tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "fit", **(SMALL | {"max_epochs": 1}))
    model.fit(X, labels)
    Payload.target = str(tmp_path / "pwned")
    torch.save({"module": Payload()}, tmp_path / "fit" / "epoch.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        clone(model).fit(X, labels)
    assert not os.path.exists(Payload.target)


def test_epoch_without_a_word_of_whose_it_is_is_refused(tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "fit", **(SMALL | {"max_epochs": 1}))
    model.fit(X, labels)
    (tmp_path / "fit" / "fit.json").unlink()
    with pytest.raises(ValueError, match=r"holds an epoch but no 'fit.json'.*remove the folder"):
        clone(model).fit(X, labels[::-1])


class Service(Callback):
    """Forks a process that outlives the fit, as those that send a run's history elsewhere do."""

    def on_epoch_end(self, net, **kwargs):
        Service.child = os.fork()
        if not Service.child:
            time.sleep(60)
            os._exit(0)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_folder_is_free_after_the_fit_while_a_child_that_it_forked_lives(tmp_path):
    import fcntl  # there is none on Windows

    X, labels, _, _ = small_study()
    folder = tmp_path / "fit"
    HyperFusionClassifier(checkpoint_dir=folder, callbacks=[Service()], **(SMALL | {"max_epochs": 1})).fit(
        X, labels
    )
    try:
        with open(folder / "lock", "r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.kill(Service.child, signal.SIGKILL)
        os.waitpid(Service.child, 0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_folder_is_the_users_alone_and_is_swept(tmp_path):
    X, labels, _, _ = small_study()
    folder = tmp_path / "new" / "fit"
    folder.mkdir(parents=True, mode=0o700)
    (folder / ".0123.tmp").write_bytes(b"of a process that was killed")
    HyperFusionClassifier(checkpoint_dir=folder, **(SMALL | {"max_epochs": 1})).fit(X, labels)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch.pt", "fit.json", "lock"]
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_model_does_not_tell_of_its_folder(tmp_path):
    X, labels, _, _ = small_study()
    folder = tmp_path / "secret-place"
    model = HyperFusionClassifier(checkpoint_dir=folder, **(SMALL | {"max_epochs": 1})).fit(X, labels)
    assert b"secret-place" not in pickle.dumps(model.net_)
    save_model(model, tmp_path / "model")
    assert b"secret-place" not in (tmp_path / "model").read_bytes()
    loaded = load_model(tmp_path / "model")
    assert loaded.checkpoint_dir is None
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


class Unsavable(Callback):
    """Holds what no file can hold."""

    def on_epoch_end(self, net, **kwargs):
        self.seen_ = object()


class Counting(Callback):
    """Tells its state itself, and what it has seen of the epochs of all runs."""

    def initialize(self):
        self.epochs = []
        return self

    def on_epoch_end(self, net, **kwargs):
        self.epochs.append(len(net.history))
        net.history.record("counted", len(self.epochs))

    def state_dict(self):
        return {"epochs": list(self.epochs)}

    def load_state_dict(self, state):
        self.epochs = state["epochs"]


def test_callback_of_the_users_is_restored_or_refused(saves, tmp_path):
    X, labels, _, _ = small_study()
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "a", callbacks=[Counting()], **SMALL)
    expected, found = cut_and_go_on(model, X, labels, saves)
    assert found == expected
    history = clone(model).fit(X, labels).history_
    assert pd.Series.to_list(history["counted"]) == [1, 2, 3, 4]
    model = HyperFusionClassifier(checkpoint_dir=tmp_path / "b", callbacks=[Unsavable()], **SMALL)
    with pytest.raises(TypeError, match=r"callback 'Unsavable' holds seen_ = .*state_dict\(\)"):
        model.fit(X, labels)


def test_function_that_cannot_be_told_is_refused(tmp_path):
    X, labels, _, _ = small_study()
    with open(tmp_path / "file", "w") as file:

        def augmentation(images):
            return images + file.fileno() * 0

        model = HyperFusionClassifier(checkpoint_dir=tmp_path / "fit", augmentation=augmentation, **SMALL)
        with pytest.raises(ValueError, match=r"parameter 'augmentation' holds .* cannot be told from others"):
            model.fit(X, labels)
