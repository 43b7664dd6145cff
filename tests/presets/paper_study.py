"""What the tests of the presets share: the paper's table, and fits that end where training begins."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from skhyperfusion.nn._fusion import TabularNetwork

# Sizes at which a fit takes a fraction of a second.
TINY = {"base_channels": 1, "max_epochs": 1, "random_state": 0}
TINY_ALZHEIMER = {**TINY, "image_loader__crop": None, "pretrain_embedding": 1}
TINY_AGE = {**TINY, "image_loader__shape": (8, 8, 8), "image_loader__spacing": None}

DIAGNOSES = np.array(["CN", "MCI", "CN", "MCI", "AD", "MCI"] * 4)
GAPS = ["age", "apoe4", "abeta", "ptau", "ttau", "fdg", "av45"]


def clinical_table(n=24, seed=0):
    """Return nine columns as the paper's: gaps in seven, and values beyond the assay."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": rng.normal(74, 7, n),
            "sex": [["F", "M"][i % 2] for i in range(n)],
            "education": rng.integers(8, 20, n),
            "apoe4": rng.integers(0, 3, n),
            "abeta": rng.normal(1000, 300, n),
            "ptau": rng.normal(25, 8, n),
            "ttau": rng.normal(250, 80, n),
            "fdg": rng.normal(1.2, 0.1, n),
            "av45": rng.normal(1.2, 0.2, n),
        }
    )
    for i, name in enumerate(GAPS):
        table.loc[[(2 * i + k) % n for k in (0, 1, 5, 9, 14)], name] = np.nan
    table["abeta"] = table["abeta"].astype(object)
    table.loc[[2, 3], "abeta"] = [">1700", "<80"]
    return table


class Reached(Exception):
    """The fit has come to its main training."""


def begin(patch, estimator, X, y):
    """Run a fit up to its training: a list of (module, data set, settings), one for each call of `train`."""
    calls = []

    def stand_in(module, train_set, settings, **held_out):
        calls.append((module, train_set, {**vars(settings), **held_out}))
        if not isinstance(module, TabularNetwork):
            raise Reached
        return SimpleNamespace(interrupted=False)

    for caller in ("_base", "_engine._pretrain"):
        patch.setattr(f"skhyperfusion.{caller}.train", stand_in)
    with pytest.raises(Reached):
        estimator.fit(X, y)
    return calls


def counts(module):
    """Number of parameters of every part that holds some itself."""
    parts = {name: sum(p.numel() for p in part.parameters(False)) for name, part in module.named_modules()}
    return {name: n for name, n in parts.items() if n}
