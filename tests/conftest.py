"""Small studies, generated: rows with scans on disk, gaps and categories."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

collect_ignore = ["smoke.py"]  # tries the installed wheel, away from the source

torch.set_num_threads(1)  # the networks are tiny, and the tests run on both cores


def make_study(directory, n_rows=40, shape=(8, 8, 8), seed=0):
    """Write NIfTI scans, and return a table whose target depends on scan and table: (X, labels, values)."""
    rng = np.random.default_rng(seed)
    age = rng.normal(70, 8, n_rows)
    sex = rng.choice(["F", "M"], n_rows)
    lesion = rng.uniform(0, 1, n_rows)
    paths = []
    for i in range(n_rows):
        voxels = rng.normal(1, 0.1, shape)
        voxels[2:5, 2:5, 2:5] += 3 * lesion[i]
        path = directory / f"sub-{i:02d}.nii.gz"
        nib.save(nib.Nifti1Image(voxels.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0])), path)
        paths.append(str(path))
    values = np.where(sex == "F", 1, -1) * (lesion - 0.5) * 10 + 0.1 * (age - 70)
    X = pd.DataFrame(
        {
            "scan": paths,
            "age": np.where(rng.random(n_rows) < 0.2, np.nan, age),
            "sex": pd.Series(sex).where(rng.random(n_rows) > 0.1).to_numpy(),
            "apoe4": rng.integers(0, 3, n_rows),
        },
        index=[f"p{i:02d}" for i in range(n_rows)],
    )
    labels = pd.Series(np.where(values > np.median(values), "AD", "CN"), index=X.index, name="diagnosis")
    return X, labels, pd.Series(values, index=X.index, name="value")


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A table of 40 subjects with NIfTI paths, gaps and categories; their classes; their values."""
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def arrays():
    """The same kind of study with the images in the cells: (X, labels, values)."""
    rng = np.random.default_rng(0)
    n_rows = 36
    images = rng.normal(size=(n_rows, 8, 8)).astype(np.float32)
    dose = rng.normal(size=n_rows)
    values = images[:, 2:5, 2:5].mean(axis=(1, 2)) * 3 + dose
    X = pd.DataFrame({"picture": list(images), "dose": dose, "noise": rng.normal(size=n_rows)})
    return X, np.where(values > np.median(values), "high", "low"), values
