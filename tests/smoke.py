"""Fit, predict, save and load with an installed package: `make dist` runs it beside no source tree."""

import tempfile
from pathlib import Path

import numpy as np

import skhyperfusion
from skhyperfusion import HyperFusionClassifier
from skhyperfusion.datasets import make_brain_cohort


def main():
    """Fail where something does not work, or where what works is the source tree."""
    assert Path(skhyperfusion.__file__).parents[1] != Path(__file__).parents[1], (
        "the source tree was imported"
    )
    assert Path(skhyperfusion.__file__).with_name("py.typed").is_file()
    with tempfile.TemporaryDirectory() as folder:
        cohort = make_brain_cohort(24, shape=(8, 8, 8), directory=folder, random_state=0)
        model = HyperFusionClassifier(base_channels=2, max_epochs=1, random_state=0).fit(
            cohort.data, cohort.target
        )
        probabilities = model.predict_proba(cohort.data)
    assert probabilities.shape == (24, len(np.unique(cohort.target)))
    assert np.allclose(probabilities.sum(axis=1), 1)
    print(f"skhyperfusion {skhyperfusion.__version__} works from {Path(skhyperfusion.__file__).parent}")


if __name__ == "__main__":  # pytest collects doctests of every file here
    main()
