"""The page on OASIS, run on a stand-in of what nilearn's `fetch_oasis_vbm` returns."""

import importlib.util
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

PAGE = Path(__file__).parent.parent / "examples" / "oasis_age_and_dementia.py"


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("oasis_page", PAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fetched(tmp_path):
    """As nilearn 0.14 returns it: paths, and a DataFrame with the columns of OASIS' csv file."""
    rng = np.random.default_rng(0)
    n = 24
    age = rng.integers(18, 90, n)
    affine = np.diag([12.0, 12, 12, 1])
    paths = []
    for i in range(n):
        share = np.clip(0.9 - age[i] / 200 + rng.normal(0, 0.05, (9, 10, 9)), 0, 1)
        paths.append(str(tmp_path / f"mwc1OAS1_{i:04d}_MR1_mpr_anon_fslswapdim_bet.nii.gz"))
        nib.save(nib.Nifti1Image(share.astype(np.float32), affine), paths[-1])
    people = pd.DataFrame(
        {
            "id": [f"OAS1_{i:04d}_MR1" for i in range(n)],
            "mf": rng.choice(["F", "M"], n),
            "hand": "R",
            "age": age,
            "educ": np.where(age > 40, rng.integers(1, 6, n), np.nan),
            "cdr": np.where(age > 60, rng.choice([0.0, 0.5], n), np.nan),
        }
    )
    return Bunch(gray_matter_maps=paths, white_matter_maps=[], ext_vars=people, description="stand-in")


def test_table_when_made_keeps_the_healthy_and_no_rating(page, fetched):
    X, age = page.as_table(fetched)
    ill = fetched.ext_vars.loc[fetched.ext_vars["cdr"] > 0, "id"]
    assert len(ill) > 0
    assert not set(X.index) & set(ill)
    assert X.columns.tolist() == ["grey_matter", "sex", "education", "handedness"]
    assert age.index.equals(X.index)


def test_page_when_run_on_a_stand_in_compares_its_methods(page, fetched, capsys):
    settings = {"spacing": None, "shape": None, "max_epochs": 1, "base_channels": 2, "n_components": 4}
    comparison = page.main(fetched, n_folds=2, **settings)
    assert comparison.methods == ["hyper", "concat", "image", "components + table, ridge"]
    assert np.isfinite(comparison.table()["mean"]).all()
    assert "images" in capsys.readouterr().out
