"""The files that installed packages ship: each reads as by its own library, or is refused by name."""

import warnings
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import scipy
import sklearn
from PIL import Image

from skhyperfusion.images import ImageLoader

pydicom = pytest.importorskip("pydicom")
DICOM = Path(pydicom.__file__).parent / "data" / "test_files"
DICOM_FILES = sorted(
    path
    for path in DICOM.rglob("*")
    if path.is_file() and path.suffix in ("", ".dcm") and "README" not in path.name
)
NIBABEL = Path(nib.__file__).parent
NIBABEL_FILES = sorted(path for path in NIBABEL.rglob("tests/data/*") if path.is_file())
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif")
PICTURES = sorted(
    path
    for package in (sklearn, scipy)
    for path in Path(package.__file__).parent.rglob("*")
    if path.suffix in PICTURE_SUFFIXES
)


def read(path, **parameters):
    """Return the image (C, *S) as stored, or what the error says."""
    frame = pd.DataFrame({"scan": [str(path)]}, index=["p0"])
    try:
        source = ImageLoader(intensity=None, orientation=None, **parameters).open(frame)
        return source.read([0], n_threads=1)[0, 0]
    except ValueError as error:
        return str(error)


def reference_dicom(path):
    """Return what pydicom makes of a file, channels first, or None where it cannot decode it."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    try:
        dataset = pydicom.dcmread(path, force=True)
        voxels = dataset.pixel_array
    except Exception:  # the reference's own error, whatever it is
        return None
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        voxels = apply_color_lut(voxels, dataset)
    elif dataset.SamplesPerPixel == 1:
        voxels = apply_modality_lut(voxels, dataset) * float(dataset.get("DoseGridScaling", 1))
    colours = dataset.SamplesPerPixel == 3 or dataset.PhotometricInterpretation == "PALETTE COLOR"
    voxels = np.moveaxis(voxels, -1, 0) if colours else voxels[None]
    return voxels if int(dataset.get("NumberOfFrames", 1) or 1) == 1 else voxels.transpose(0, 3, 2, 1)


def outcome(found, expected, path):
    if isinstance(found, str):
        assert str(path) in found, found
        assert found.startswith("Row 'p0', column 'scan': "), found
        return "refused"
    if expected is None or found.shape != expected.shape:
        return "wrong"
    return "equal" if np.allclose(found, expected.astype(np.float32), rtol=1e-5, atol=1e-5) else "wrong"


@pytest.mark.slow
def test_dicom_files_of_pydicom_are_read_as_by_pydicom_or_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom remarks on what is odd in its test files
        outcomes = {path: outcome(read(path), reference_dicom(path), path) for path in DICOM_FILES}
    wrong = [path.name for path, what in outcomes.items() if what == "wrong"]
    assert wrong == []
    assert Counter(outcomes.values())["equal"] >= 70
    # Refused are: what holds no image, what pydicom cannot decode here, films, and damaged headers.
    for path in [path for path, what in outcomes.items() if what == "refused"]:
        print(path.name, read(path))


def reference_nibabel(path):
    """Return what nibabel makes of a file, channels first, or None where it cannot read it."""
    try:
        voxels = nib.load(path).get_fdata()
    except Exception:  # the reference's own error, whatever it is
        return None
    return voxels[None] if voxels.ndim == 3 else np.moveaxis(voxels, -1, 0)


def test_files_of_nibabel_are_read_as_by_nibabel_or_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom remarks on what is odd in the DICOM files among them
        outcomes = {
            path: outcome(
                read(path),
                reference_dicom(path) if path.suffix == ".dcm" else reference_nibabel(path),
                path,
            )
            for path in NIBABEL_FILES
        }
    assert [path.name for path, what in outcomes.items() if what == "wrong"] == []
    assert Counter(outcomes.values())["equal"] >= 7
    # Refused are: formats without a reader (PAR/REC, MINC, AFNI, tracks), headers without their voxels, NaN.


def test_pictures_of_installed_packages_are_read_as_by_pillow():
    outcomes = {}
    for path in PICTURES:
        with Image.open(path) as image:
            grey = image.mode in ("L", "LA", "1")
            pixels = np.array(image.convert("L" if grey else "RGB"))
        outcomes[path] = outcome(read(path), pixels[None] if grey else np.moveaxis(pixels, -1, 0), path)
    assert [path.name for path, what in outcomes.items() if what != "equal"] == []
    assert len(outcomes) >= 3
