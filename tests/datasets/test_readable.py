"""The scans tell what they were drawn from, to a model as plain as ridge regression."""

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict

from skhyperfusion.datasets import make_brain_cohort


def read(cohort):
    """Cross-validated R2 of every latent variable, from smoothed voxels."""
    scans = (np.asarray(nib.load(path).dataobj, dtype=float) for path in cohort.data["t1w"])
    pixels = np.stack([gaussian_filter(s / s.mean(), 0.8).ravel() for s in scans])
    latents = cohort.truth.filter(regex="_atrophy|_enlargement|_loss")
    guess = cross_val_predict(RidgeCV(np.logspace(0, 3, 4)), pixels, latents.to_numpy(), cv=4)
    return dict(zip(latents, r2_score(latents, guess, multioutput="raw_values"), strict=True))


@pytest.mark.parametrize(
    ("task", "least"),
    [
        ("diagnosis", {"hippocampal_atrophy": 0.7, "ventricular_enlargement": 0.85}),
        (
            "age",
            {
                "hippocampal_atrophy": 0.75,
                "ventricular_enlargement": 0.85,
                "cortical_atrophy": 0.75,
                "white_matter_loss": 0.7,
            },
        ),
    ],
)
def test_latents_when_read_from_150_scans_are_found(task, least):
    found = read(make_brain_cohort(150, shape=(24, 24, 24), task=task, random_state=0))
    assert all(found[name] > bound for name, bound in least.items()), found
