"""Images inside scikit-learn's searches: decoded once, and bad ones named from wherever they are met."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score

from skhyperfusion import HyperFusionClassifier
from skhyperfusion.images import ImageLoader, cache_info, clear_cache

GRID = {"hyper_depth": [0, 1, 2], "fusion": ["hyper", "concat"]}


class Counted:
    """An intensity rule that notes each decoding as one byte of a file: whole in every process."""

    def __init__(self, path):
        self.path = str(path)

    def __call__(self, voxels):
        with open(self.path, "ab", buffering=0) as file:
            file.write(b"x")
        return voxels

    @property
    def count(self):
        with open(self.path, "rb") as file:
            return len(file.read())


@pytest.fixture
def study(tmp_path):
    """60 subjects with scans on disk, and their classes."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(60):
        paths.append(str(tmp_path / f"{i}.nii.gz"))
        nib.save(nib.Nifti1Image(rng.random((8, 8, 8), dtype=np.float32), np.eye(4)), paths[-1])
    X = pd.DataFrame({"scan": paths, "age": rng.normal(70, 8, 60)}, index=[f"p{i}" for i in range(60)])
    return X, np.arange(60) % 2


def classifier(loader, max_epochs=3):
    return HyperFusionClassifier(image_loader=loader, max_epochs=max_epochs, base_channels=2, random_state=0)


@pytest.mark.slow
def test_search_when_in_one_process_decodes_each_file_once(study, tmp_path):
    X, y = study
    counted = Counted(tmp_path / "log")
    search = GridSearchCV(classifier(ImageLoader(intensity=counted)), GRID, cv=5, error_score="raise")
    search.fit(X, y)
    assert counted.count == 60


@pytest.mark.slow
def test_search_when_in_two_processes_decodes_each_file_once_in_all(study, tmp_path):
    X, y = study
    counted = Counted(tmp_path / "log")
    loader = ImageLoader(intensity=counted, cache_dir=tmp_path / "cache")
    for _ in range(2):  # the second run decodes none
        GridSearchCV(classifier(loader), GRID, cv=5, n_jobs=2, error_score="raise").fit(X, y)
        clear_cache()
        assert counted.count == 60
    assert cache_info(tmp_path / "cache")["disk_images"] == 60


@pytest.mark.slow
def test_fit_when_images_come_from_memory_or_disk_is_the_same(study, tmp_path):
    X, y = study
    in_memory = classifier(ImageLoader()).fit(X, y).predict_proba(X)
    for _ in range(2):
        on_disk = classifier(ImageLoader(cache_dir=tmp_path / "cache")).fit(X, y).predict_proba(X)
        np.testing.assert_array_equal(on_disk, in_memory)


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_cross_validation_when_a_scan_is_damaged_names_it(study, n_jobs):
    X, y = study
    with open(X.loc["p17", "scan"], "r+b") as file:
        file.truncate(900)
    message = r"Row 'p17', column 'scan': '.*17\.nii\.gz' is cut short: its gzip stream ends too early"
    with pytest.raises(ValueError, match=message):
        cross_val_score(classifier(ImageLoader(), 1), X, y, cv=2, n_jobs=n_jobs, error_score="raise")
