"""What a loader did to an image is told, and undone: sums stay, and voxels come back to their places."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from skhyperfusion.images import ImageLoader
from skhyperfusion.images._voxels._placement import put_back

# Axes permuted and flipped, of unlike spacing.
AFFINE = np.array([[0, 0, -2.0, 40], [1.2, 0, 0, -20], [0, -1.5, 0, 30], [0, 0, 0, 1]])
LOADERS = {
    "plain": {},
    "stretched": {"shape": (6, 20, 9)},
    "spaced": {"spacing": 1.7},
    "windowed": {"spacing": 1.1, "shape": (30, 14, 24)},
    "boxed": {"crop": ((2, 9), (1, 12), (3, 10))},
    "boxed, stretched": {"crop": ((2, 9), (1, 12), (3, 10)), "shape": (12, 8, 6)},
    "foreground": {"crop": "foreground", "shape": (8, 8, 8)},
    "halved": {"bilateral": 0},
    "halved, spaced, LPS": {"bilateral": 0, "spacing": 1.3, "orientation": "LPS"},
    "two boxes": {"crop": lambda voxels: [((0, 5), (0, 6), (0, 7)), ((5, 10), (3, 9), (1, 8))]},
    "as stored": {"orientation": None, "shape": (9, 9, 9)},
}


def scan(shape=(13, 11, 10)):
    voxels = np.zeros(shape, dtype=np.float32)
    voxels[2:-2, 2:-1, 1:-1] = np.random.default_rng(0).uniform(1, 2, voxels[2:-2, 2:-1, 1:-1].shape)
    return nib.Nifti1Image(voxels, AFFINE)


def opened(image, **parameters):
    return ImageLoader(intensity=None, **parameters).open(pd.DataFrame({"scan": [image]}, dtype=object))


@pytest.mark.parametrize("name", LOADERS)
def test_placement_makes_what_the_loader_makes(name):
    source = opened(scan(), **LOADERS[name])
    original = source.originals(0)["scan"]
    np.testing.assert_array_equal(original.voxels[0], scan().get_fdata(dtype=np.float32))
    np.testing.assert_array_equal(original.affine, AFFINE)
    views = np.stack([placement.take(original.voxels) for placement in original.views])
    np.testing.assert_allclose(views, source.read([0])[0], atol=1e-5)


@pytest.mark.parametrize("name", LOADERS)
def test_what_is_put_back_keeps_its_sum_or_its_level(name):
    source = opened(scan(), **LOADERS[name])
    original = source.originals(0)["scan"]
    rng = np.random.default_rng(1)
    for placement in original.views:
        view = rng.normal(size=(2, *source.spec.shape))
        back = placement.put_back(view)
        assert back.shape[1:] == original.voxels.shape[1:]
        # The way back is the transpose of the way there.
        voxels = rng.normal(size=back.shape)
        assert np.vdot(back, voxels) == pytest.approx(np.vdot(view, placement.take(voxels)), rel=1e-5)
        if name != "windowed":  # whose filling belongs to no voxel
            assert back.sum() == pytest.approx(view.sum(), rel=1e-5)
    level = put_back(original.views, np.full((len(original.views), *source.spec.shape), 3.0), level=True)
    assert set(np.unique(level.round(6))) <= {0.0, 3.0}
    assert (level > 0).sum() > level.size / 4


@pytest.mark.parametrize("name", [name for name in LOADERS if "halved" not in name and name != "two boxes"])
def test_marked_voxel_comes_back_to_its_place(name):
    place = (7, 6, 5)
    source = opened(scan(), **LOADERS[name])
    original = source.originals(0)["scan"]
    marked = np.zeros_like(original.voxels)
    marked[(0, *place)] = 1
    for level in (False, True):
        back = put_back(original.views, original.views[0].take(marked), level=level)
        found = np.unravel_index(back.argmax(), back.shape)
        assert np.abs(np.subtract(found, place)).max() <= (
            1 if "shape" in LOADERS[name] or "spac" in name else 0
        )
        centre = np.array([(np.indices(back.shape)[a] * back).sum() / back.sum() for a in range(3)])
        np.testing.assert_allclose(centre, place, atol=0.6)


def test_picture_and_slice_come_back_in_their_own_shape():
    picture = np.random.default_rng(0).uniform(1, 2, (7, 9, 3)).astype(np.float32)
    original = opened(picture, shape=(5, 4), channels="grey").originals(0)["scan"]
    assert original.affine is None
    assert put_back(original.views, np.ones((1, 5, 4)), level=False).shape == (7, 9)
    flat = nib.Nifti1Image(np.ones((8, 1, 6), np.float32), np.diag([1.0, 5, 1, 1]))
    original = opened(flat, shape=(4, 4)).originals(0)["scan"]
    assert put_back(original.views, np.ones((1, 4, 4)), level=False).shape == (8, 1, 6)


def test_missing_image_has_no_original():
    cells = pd.DataFrame({"scan": [np.ones((4, 5)), None]}, dtype=object)
    source = ImageLoader(missing="zeros", intensity=None).open(cells)
    assert source.originals(1) == {"scan": None}
