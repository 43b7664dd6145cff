import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from skhyperfusion.images._cache._memory import CACHE


@pytest.fixture(autouse=True)
def _empty_cache():
    CACHE.clear()
    yield
    CACHE.clear()


@pytest.fixture
def volume():
    """Voxels (6, 8, 10) that are all different, none of them 0."""
    return np.arange(1, 481, dtype=np.float32).reshape(6, 8, 10)


@pytest.fixture
def save_nifti(tmp_path):
    """Write voxels to a NIfTI file in a fresh folder; return its path."""

    def save(voxels, name="scan.nii.gz", affine=None, spacing=1.0, dtype=np.float32, kind=nib.Nifti1Image):
        affine = np.diag([*np.broadcast_to(spacing, 3), 1.0]) if affine is None else affine
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(kind(np.asarray(voxels, dtype=dtype), affine), path)
        return str(path)

    return save


@pytest.fixture
def as_column():
    """One image column 'scan' with rows 'p0', 'p1', ..."""

    def column(*cells, name="scan"):
        values = pd.Series(list(cells), dtype=object, index=[f"p{i}" for i in range(len(cells))])
        return values.to_frame(name)

    return column


@pytest.fixture
def load(as_column):
    """Load cells with an ImageLoader of the given parameters: (n, V, C, *S)."""
    from skhyperfusion.images import ImageLoader

    def load(*cells, **parameters):
        return ImageLoader(**parameters).open(as_column(*cells)).stack(n_threads=1)

    return load
