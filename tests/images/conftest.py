import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from skhyperfusion._table import _suffixes
from skhyperfusion.images._cache._memory import CACHE
from skhyperfusion.images._formats import _readers as readers


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


@pytest.fixture
def own_suffix():
    yield ".own"
    readers._readers.pop(".own", None)
    _suffixes._registered.discard(".own")


@pytest.fixture
def pydicom():
    return pytest.importorskip("pydicom")


@pytest.fixture
def save_slice(pydicom):
    """Write one DICOM slice (rows, columns)."""

    def save(path, pixels, *, series="1.2.3", **elements):
        pixels = np.asarray(pixels)
        dataset = pydicom.Dataset()
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        dataset.SOPInstanceUID = pydicom.uid.generate_uid()
        dataset.SeriesInstanceUID = series
        dataset.Rows, dataset.Columns = pixels.shape[:2]
        dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
        dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
        if pixels.ndim == 3:
            dataset.PlanarConfiguration = 0
        dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        dataset.PixelSpacing = [2.0, 1.5]
        for name, value in elements.items():
            setattr(dataset, name, value)
        dataset.PixelData = pixels.tobytes()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        path.parent.mkdir(exist_ok=True)
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        return str(path)

    return save


@pytest.fixture
def save_series(save_slice, tmp_path):
    """Write axial slices of (columns, rows, slices) under shuffled names, head first."""

    def save(voxels, places=None, name="series", **elements):
        places = np.arange(voxels.shape[2]) * 3.0 if places is None else places
        order = np.random.default_rng(0).permutation(voxels.shape[2])
        for i, number in enumerate(order):
            save_slice(
                tmp_path / name / f"IM{i:03d}",
                voxels[:, :, number].T,
                ImagePositionPatient=[-10.0, -20.0, float(places[number])],
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                **elements,
            )
        return str(tmp_path / name)

    return save


@pytest.fixture
def save_enhanced(save_slice, pydicom, tmp_path):
    """Write a file of several frames (n, rows, columns) with its functional groups."""

    def item(**elements):
        dataset = pydicom.Dataset()
        for name, value in elements.items():
            setattr(dataset, name, value)
        return dataset

    def save(frames, places, *, rescale=None, direction=(1, 0, 0, 0, 1, 0), spacing=(2.0, 1.5), **elements):
        frames = np.asarray(frames)
        groups = []
        for i, place in enumerate(places):
            position = [0.0, 0.0, float(place)] if np.ndim(place) == 0 else list(place)
            group = item(PlanePositionSequence=[item(ImagePositionPatient=position)])
            if rescale is not None:
                slope, intercept = rescale[i]
                values = item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")
                group.PixelValueTransformationSequence = [values]
            groups.append(group)
        shared = item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=list(direction))],
            PixelMeasuresSequence=[item(PixelSpacing=list(spacing))],
        )
        path = tmp_path / "enhanced.dcm"
        save_slice(
            path,
            frames[0],
            NumberOfFrames=len(frames),
            PerFrameFunctionalGroupsSequence=groups,
            SharedFunctionalGroupsSequence=[shared],
            **elements,
        )
        dataset = pydicom.dcmread(path)
        del dataset.PixelSpacing
        dataset.PixelData = frames.tobytes()
        dataset.save_as(path)
        return str(path)

    return save
