import numpy as np
import pytest
from paper_study import DIAGNOSES, clinical_table


@pytest.fixture
def paper_study():
    """24 subjects with scans of 16 x 8 x 8 voxels: (X, diagnosis)."""
    scans = list(np.random.default_rng(1).normal(1, 1, size=(24, 16, 8, 8)).astype(np.float32))
    return clinical_table().assign(t1w=scans), DIAGNOSES
