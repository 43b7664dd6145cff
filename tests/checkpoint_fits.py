"""Fits that are killed by SIGKILL and started again: ``python checkpoint_fits.py FOLDER N_KILLS``."""

import os
import pickle
import random
import shutil
import signal
import sys
import time
import traceback

import numpy as np
import pandas as pd
import torch

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, HyperFusionSurvival, survival_target

SMALL = {"base_channels": 2, "max_epochs": 4, "device": "cpu", "random_state": 0, "batch_size": 8}


def small_study(n_rows=30):
    """Return a table with pictures, and a classifier's, a regressor's and a survival estimator's target."""
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(n_rows, 8, 8)).astype(np.float32)
    X = pd.DataFrame({"picture": list(pictures), "age": rng.normal(70, 8, n_rows)})
    X.loc[3, "age"] = np.nan
    values = X["age"].fillna(70).to_numpy() + rng.normal(size=n_rows)
    labels = np.where(values > np.median(values), "AD", "CN")
    return X, labels, values, survival_target(np.arange(n_rows) % 3 > 0, values)


def answers_of(model, X):
    """Return weights, predictions and history as bytes that are equal where all of it is."""
    weights = [(name, value.numpy().tobytes()) for name, value in model.module_.state_dict().items()]
    history = model.history_.drop(columns="seconds").to_numpy(dtype=np.float64).tobytes()
    return pickle.dumps((weights, model.predict(X).tolist(), history, model.best_epoch_))


def models(folder):
    """Return an estimator of each kind with its target, each with what it has of its own to remember."""
    _, labels, values, times = small_study()
    stop = {"early_stopping": True, "validation_fraction": 0.3}
    long = SMALL | {"max_epochs": 12, "checkpoint_dir": os.path.join(folder, "{fit}")}
    return [
        (HyperFusionClassifier(augmentation="light", **long), labels),
        (HyperFusionRegressor(dropout=(0.3,) * 6, monitor="r2", **stop, **long), values),
        (HyperFusionSurvival(loss="cox", optimizer="sgd", lr=1e-3, **long), times),
    ]


def _fit_in_child(model, X, y, path):
    """Fork a process that fits and writes what came out; return its number."""
    child = os.fork()
    if child:
        return child
    try:
        answers = answers_of(model.fit(X, y), X)
        with open(path, "wb") as file:
            file.write(answers)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def main(folder, n_kills):
    """Kill each fit so many times in its course, let it end, and compare it with an undisturbed one."""
    torch.set_num_threads(1)
    X, rng = small_study()[0], random.Random(0)
    for number, (model, y) in enumerate(models(folder)):
        expected = answers_of(model.set_params(checkpoint_dir=None).fit(X, y), X)
        name, survived, pause = type(model).__name__, 0, 0.5
        path, place = os.path.join(folder, name), os.path.join(folder, str(number))
        model.set_params(checkpoint_dir=place)
        while survived < n_kills:
            child = _fit_in_child(model, X, y, path)
            time.sleep(rng.uniform(0, pause))
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            survived += os.WIFSIGNALED(status)
            if not os.WIFSIGNALED(status):  # it was over: once more from the start
                assert status == 0
                shutil.rmtree(place)
                pause /= 2
        assert os.waitpid(_fit_in_child(model, X, y, path), 0)[1] == 0
        with open(path, "rb") as file:
            assert file.read() == expected, f"{name} came out differently"
        assert sorted(os.listdir(place)) == ["epoch.pt", "fit.json", "lock"]
        print(f"{name}: {survived} kills, the same to the last bit", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
