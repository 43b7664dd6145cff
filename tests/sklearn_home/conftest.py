"""A study of pictures on disk, small enough for whole searches."""

import re

import numpy as np
import pandas as pd
import pytest
from compatibility import tiny
from PIL import Image

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """PNG paths, gaps, categories of text, subjects' ids in the index: (X, labels, values)."""
    directory = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    n_rows = 24
    spot = rng.uniform(0, 1, n_rows)
    age = rng.normal(70, 8, n_rows)
    paths = []
    for i in range(n_rows):
        pixels = rng.uniform(40, 80, (8, 8))
        pixels[2:5, 2:5] += 150 * spot[i]
        path = directory / f"eye-{i:02d}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        paths.append(str(path))
    X = pd.DataFrame(
        {
            "photo": paths,
            "age": np.where(rng.random(n_rows) < 0.15, np.nan, age),
            "pressure": rng.normal(16, 3, n_rows),
            "side": pd.Series(rng.choice(["left", "right"], n_rows))
            .where(rng.random(n_rows) > 0.1)
            .to_numpy(),
        },
        index=[f"e{i:02d}" for i in range(n_rows)],
    )
    values = pd.Series(10 * spot + 0.1 * (age - 70), index=X.index, name="loss")
    labels = pd.Series(np.where(values > values.median(), "ill", "well"), index=X.index, name="state")
    return X, labels, values


@pytest.fixture
def classifier():
    """Return a function that makes a classifier which fits in a tenth of a second."""
    return lambda **params: tiny(HyperFusionClassifier, params)


@pytest.fixture
def regressor():
    """Return a function that makes a regressor which fits in a tenth of a second."""
    return lambda **params: tiny(HyperFusionRegressor, params)


@pytest.fixture
def words(request):
    """Return the words that a `refused` test is to find in the error, as a pattern."""
    return re.escape(request.function.compatibility.refusal)
