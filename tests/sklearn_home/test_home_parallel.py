"""Several processes on one machine, clusters, GPUs; the guide is [clusters.md](clusters.md).

Scores are bit-identical for every backend, given an int as `random_state` and one thread of torch in each
process.
"""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import joblib
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from compatibility import works
from joblib import parallel_config
from joblib._parallel_backends import ThreadingBackend
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion._engine import _device
from skhyperfusion.ensemble import ConfidenceVotingClassifier, FoldEnsembleClassifier
from skhyperfusion.images import cache_info

GUIDE = Path(__file__).parents[2] / "docs" / "clusters.md"
GRID = {"hyper_depth": [0, 1], "fusion": ["hyper", "film"]}


def guide_lines(name):
    """Return the code that the guide shows below the comment ``<!-- runs: name -->``."""
    found = re.search(rf"<!-- runs: {name} -->\n```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return found[1]


def witness(estimator, X, y):
    """Score a fit, and tell where and with how many threads it was scored."""
    return {
        "accuracy": estimator.score(X, y),
        "log_loss": estimator.predict_log_proba(X).sum(),
        "process": os.getpid(),
        "threads": torch.get_num_threads(),
        "decoded": cache_info()["decoded"],
    }


def scores(search):
    """Every fold's scores of every candidate."""
    results = search.cv_results_
    names = sorted(name for name in results if re.fullmatch(r"split\d+_test_(accuracy|log_loss|score)", name))
    return np.array([results[name] for name in names])


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def search(classifier):
    return GridSearchCV(classifier(max_epochs=2), GRID, cv=2, scoring=witness, refit="accuracy")


@pytest.fixture
def serial(pictures, search, one_thread):
    """What the search finds in one process and one thread: (scores, best parameters)."""
    X, y, _ = pictures
    search.fit(X, y)
    return scores(search), search.best_params_


# One machine


@works("loky", "`n_jobs=2`: same bits as `n_jobs=1`; threads times workers within the cores, restored after")
@pytest.mark.slow
def test_search_in_two_processes_finds_the_same_bits_without_oversubscription(pictures, search, serial):
    X, y, _ = pictures
    search.set_params(n_jobs=2)
    with parallel_config("loky", inner_max_num_threads=1):
        search.fit(X, y)
    np.testing.assert_array_equal(scores(search), serial[0])
    assert search.best_params_ == serial[1]
    processes = search.cv_results_["split0_test_process"]
    assert os.getpid() not in processes
    assert torch.get_num_threads() == 1

    search.fit(X, y)  # as joblib does by default
    threads = max(search.cv_results_["split0_test_threads"])
    assert 2 * threads <= joblib.cpu_count()
    assert torch.get_num_threads() == 1


@works("threading", "`backend='threading'`: same bits; fits take turns")
@pytest.mark.slow
def test_search_in_threads_finds_the_same_bits(pictures, search, serial):
    X, y, _ = pictures
    search.set_params(n_jobs=2)
    with parallel_config("threading"):
        search.fit(X, y)
    np.testing.assert_array_equal(scores(search), serial[0])


@works(
    "VotingClassifier",
    "`n_jobs=2`: same bits; bagging, `FoldEnsembleClassifier` and `ConfidenceVotingClassifier` alike",
)
@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_ensembles_in_two_processes_predict_the_same_bits(pictures, classifier):
    X, y, _ = pictures
    members = [(fusion, classifier(fusion=fusion)) for fusion in ("hyper", "image")]
    for ensemble in (
        VotingClassifier(members, voting="soft"),
        BaggingClassifier(classifier(), 3, random_state=0),
        FoldEnsembleClassifier(classifier(), cv=2),
        ConfidenceVotingClassifier(members),
    ):
        expected = ensemble.fit(X, y).predict_proba(X)
        with parallel_config("loky", inner_max_num_threads=1):
            parallel = ensemble.set_params(n_jobs=2).fit(X, y).predict_proba(X)
        np.testing.assert_array_equal(parallel, expected)


@works("torch threads", "are those that torch was given; a fit and a prediction leave their number as it is")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_number_of_threads_is_left_as_it_is(pictures, classifier, n_threads):
    X, y, _ = pictures
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        classifier(fusion="tabular").fit(X, y).predict(X)
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_bits_depend_on_the_number_of_threads_in_training_alone(study, classifier):
    """What the guide says of it; should torch ever change, the guide is to change too."""
    X, y, _ = study
    before = torch.get_num_threads()
    models, probabilities = [], []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            models.append(classifier(base_channels=2).fit(X, y))
            probabilities.append([model.predict_proba(X) for model in models])
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(probabilities[0][0], probabilities[1][0])
    np.testing.assert_allclose(probabilities[1][0], probabilities[1][1], atol=1e-2)


class Scale(ThreadingBackend):
    """Weighs what joblib would send to another process for each task."""

    sizes = []  # noqa: RUF012

    def submit(self, func, callback=None):
        self.sizes.append(len(pickle.dumps(func)))
        return super().submit(func, callback)

    def apply_async(self, func, callback=None):  # what joblib 1.4 calls instead
        self.sizes.append(len(pickle.dumps(func)))
        return super().apply_async(func, callback)


@works("payload", "of a task: the table with its paths, no pixel")
def test_task_of_a_search_holds_paths_not_pixels(tmp_path, classifier):
    rng = np.random.default_rng(0)
    n_rows, shape = 24, (32, 32, 32)
    for i in range(n_rows):
        nib.save(nib.Nifti1Image(rng.random(shape, dtype=np.float32), np.eye(4)), tmp_path / f"{i}.nii")
    X = pd.DataFrame(
        {
            "t1w": [str(tmp_path / f"{i}.nii") for i in range(n_rows)],
            "age": np.where(np.arange(n_rows) % 5 == 0, np.nan, rng.normal(size=n_rows)),
            "sex": rng.choice(["F", "M"], n_rows),
        }
    )
    y = np.arange(n_rows) % 2
    model = classifier(image_loader=ImageLoader(shape=(4, 4, 4)))
    clone(model).fit(X, y)  # the images are in the cache now
    joblib.register_parallel_backend("scale", Scale)
    Scale.sizes.clear()
    with parallel_config("scale"):
        fitted = cross_validate(model, X, y, cv=2, n_jobs=2, return_estimator=True)["estimator"]
    pixels = n_rows * np.prod(shape) * 4
    assert len(Scale.sizes) == 2
    assert max(Scale.sizes) < 20_000 < pixels / 100
    # What comes back is the network, whatever the size of the images.
    n_weights = sum(parameter.nbytes for parameter in fitted[0].module_.parameters())
    assert len(pickle.dumps(fitted[0])) < n_weights + 100_000  # torch's own, per tensor


# GPUs, as far as one can tell without them


class Named:
    def __init__(self, name):
        self.name = name


@works("GPU", "`device='auto'`: workers of a search spread over the GPUs")
def test_workers_spread_over_the_gpus_in_turns(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices = []
    for name in ("MainProcess", "LokyProcess-1", "LokyProcess-2", "LokyProcess-3", "ForkPoolWorker-4"):
        monkeypatch.setattr(_device.multiprocessing, "current_process", lambda name=name: Named(name))
        devices.append(str(_device.spread_device("auto")))
    assert devices == ["cuda:0", "cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert str(_device.spread_device("cuda:1")) == "cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert str(_device.spread_device("auto")) == "cpu"


# Clusters


class InTurn:
    """Fits several estimators where one is fitted: they share the cluster."""

    def __init__(self, *estimators):
        self.estimators = estimators

    def fit(self, X, y):
        for estimator in self.estimators:
            estimator.fit(X, y)


@works("dask.distributed", "`parallel_config('dask')`: same bits, images read by the workers")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_search_on_a_dask_cluster_finds_the_same_bits(pictures, search, serial):
    pytest.importorskip("distributed")
    X, y, _ = pictures
    folds = FoldEnsembleClassifier(search.estimator, cv=2, n_jobs=2)
    expected = clone(folds).set_params(n_jobs=1).fit(X, y).predict_proba(X)
    decoded_here = cache_info()["decoded"]
    search.set_params(refit=False)
    exec(guide_lines("dask"), {"search": InTurn(search, folds), "X": X, "y": y})
    np.testing.assert_array_equal(scores(search), serial[0])
    results = search.cv_results_
    assert results["params"][int(np.argmax(results["mean_test_accuracy"]))] == serial[1]
    processes = {process for fold in (0, 1) for process in results[f"split{fold}_test_process"]}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert min(results["split0_test_decoded"]) > 0
    assert cache_info()["decoded"] == decoded_here
    np.testing.assert_array_equal(folds.predict_proba(X), expected)
    assert set(results["split0_test_threads"]) == {1}


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_guide_lines_for_one_machine_run(pictures, classifier):
    X, y, _ = pictures
    names = {"GridSearchCV": GridSearchCV, "model": classifier(), "X": X, "y": y}
    names |= {"torch": torch, "parallel_config": parallel_config}
    exec(guide_lines("loky"), names)
    assert names["search"].best_params_["fusion"] in ("hyper", "film")
    exec(guide_lines("threads"), names)
    expected = cross_val_score(names["search"].best_estimator_, X, y, cv=2).mean()
    assert names["search"].best_score_ == expected


ACCELERATE = """
import joblib, pandas
from skhyperfusion import HyperFusionClassifier

X, y = pandas.read_pickle("X.pkl"), pandas.read_pickle("y.pkl")
model = HyperFusionClassifier(
    base_channels=1,
    max_epochs=3,
    batch_size=8,
    dropout=0.0,
    augmentation=None,
    early_stopping=True,
    validation_fraction=0.3,
)
"""

SAME_EVERYWHERE = """
total = sum(parameter.double().sum() for parameter in model.module_.parameters())
totals = accelerator.gather(total[None])
assert len(totals) == accelerator.num_processes == 2
assert (totals == totals[0]).all(), totals
"""


@works("accelerate", "one fit on several processes or GPUs, by the lines of the guide")
@pytest.mark.slow
def test_one_fit_in_two_processes_by_accelerate_is_one_model(tmp_path, pictures):
    pytest.importorskip("accelerate")
    X, y, _ = pictures
    X.to_pickle(tmp_path / "X.pkl")
    y.to_pickle(tmp_path / "y.pkl")
    (tmp_path / "train.py").write_text(ACCELERATE + guide_lines("accelerate") + SAME_EVERYWHERE)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "train.py"]
    settings = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(GUIDE.parents[1])}
    done = subprocess.run(launch, cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model = joblib.load(tmp_path / "model.joblib")
    assert set(model.predict(X)) <= {"ill", "well"}
    # Batch normalisation sees a process's share of a batch: in one process the model differs, if not by much.
    alone = HyperFusionClassifier(**model.get_params()).fit(X, y)
    assert len(alone.history_) == len(model.history_) == 3
    start = HyperFusionClassifier(**model.get_params() | {"max_epochs": 1, "lr": 1e-9}).fit(X, y)
    proba, expected, untrained = (m.predict_proba(X)[:, 0] for m in (model, alone, start))
    assert np.abs(proba - expected).mean() < 0.5 * np.abs(untrained - expected).mean()
