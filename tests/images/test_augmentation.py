import sys

import numpy as np
import pytest
import torch

from skhyperfusion._engine._augmentation import make_augmentation

SHAPES = {2: (12, 40), 3: (20, 8, 10)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=[2, 3])
def spatial_dims(request):
    return request.param


@pytest.fixture
def batch(spatial_dims):
    """Images (8, 2, *S) that are all different."""
    return torch.randn(8, 2, *SHAPES[spatial_dims], generator=generator(9))


def test_none_when_given_is_none(spatial_dims):
    assert make_augmentation(None, spatial_dims) is None


def test_light_when_called_mirrors_and_shifts_each_image(batch, spatial_dims):
    augment = make_augmentation("light", spatial_dims)
    changed = augment(batch, generator())
    assert changed.shape == batch.shape
    assert changed.dtype == batch.dtype
    mirrored_axis = 2 if spatial_dims == 3 else 3
    n_mirrored = 0
    for before, after in zip(batch, changed, strict=True):
        candidates = {False: before, True: before.flip(mirrored_axis - 1)}
        found = [flip for flip, image in candidates.items() if shift_of(image, after) is not None]
        assert len(found) == 1
        n_mirrored += found[0]
    assert 0 < n_mirrored < len(batch)


def test_shift_when_called_moves_and_mirrors_nothing(batch, spatial_dims):
    changed = make_augmentation("shift", spatial_dims)(batch, generator())
    shifts = {shift_of(before, after) for before, after in zip(batch, changed, strict=True)}
    assert None not in shifts
    assert len(shifts) > 1


def shift_of(image, moved):
    """The shift, within a twentieth of each axis, that turns `image` into `moved`; None: no shift does."""
    reaches = [max(1, round(0.05 * n)) for n in image.shape[1:]]
    for shift in np.ndindex(*[2 * reach + 1 for reach in reaches]):
        candidate = image
        for axis, (step, reach) in enumerate(zip(shift, reaches, strict=True), start=1):
            index = (torch.arange(image.shape[axis]) + step - reach).clamp(0, image.shape[axis] - 1)
            candidate = candidate.index_select(axis, index)
        if torch.equal(candidate, moved):
            return shift
    return None


def test_light_when_images_are_many_uses_every_shift():
    images = torch.arange(40.0).expand(400, 1, 1, 40)
    changed = make_augmentation("light", 2)(images, generator())[:, 0, 0]
    ascending = changed[changed[:, 5] < changed[:, 30]]
    assert set((ascending[:, 20] - 20).int().tolist()) == {-2, -1, 0, 1, 2}
    assert 150 < len(ascending) < 250


@pytest.mark.parametrize("augmentation", ["shift", "light", "function"])
def test_augmentation_when_seed_is_the_same_gives_the_same(batch, spatial_dims, augmentation):
    if augmentation == "function":
        augmentation = lambda images: images + torch.randn_like(images)  # noqa: E731
    augment = make_augmentation(augmentation, spatial_dims)
    before, state = batch.clone(), torch.get_rng_state()
    first = augment(batch, generator(1))
    torch.testing.assert_close(augment(batch, generator(1)), first, rtol=0, atol=0)
    assert not torch.equal(augment(batch, generator(2)), first)
    assert torch.equal(batch, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_augmentation_when_called_again_goes_on_with_the_generator(batch, spatial_dims):
    augment, source = make_augmentation("light", spatial_dims), generator()
    assert not torch.equal(augment(batch, source), augment(batch, source))


def test_callable_when_given_sees_the_batch(batch, spatial_dims):
    seen = []
    augment = make_augmentation(lambda images: seen.append(images.shape) or images.mul_(2), spatial_dims)
    before = batch.clone()
    torch.testing.assert_close(augment(batch, generator()), 2 * before)
    assert seen == [batch.shape]
    assert torch.equal(batch, before)


@pytest.mark.parametrize(
    "change", [lambda images: images[..., 1:], lambda images: images.numpy(), lambda images: None]
)
def test_callable_when_it_changes_the_shape_is_refused(batch, spatial_dims, change):
    augment = make_augmentation(change, spatial_dims)
    with pytest.raises(
        ValueError, match=r"must return tensors of the shape .*a batch of shape \(8, 2.*came back as"
    ):
        augment(batch, generator())


def test_callable_when_type_changes_gives_the_batch_type(batch, spatial_dims):
    augment = make_augmentation(lambda images: images.double(), spatial_dims)
    assert augment(batch, generator()).dtype == torch.float32


@pytest.mark.parametrize("augmentation", ["heavy", 3])
def test_augmentation_when_unknown_is_refused(augmentation):
    with pytest.raises(
        ValueError, match=r"'augmentation' parameter must be 'shift', 'light', 'medical'.*Got"
    ):
        make_augmentation(augmentation, 3)


def test_medical_when_monai_is_absent_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai", None)
    monkeypatch.setitem(sys.modules, "monai.transforms", None)
    with pytest.raises(ImportError, match=r'pip install "skhyperfusion\[medical\]"'):
        make_augmentation("medical", 3)


class TestMonai:
    """With the real library."""

    @pytest.fixture(autouse=True)
    def _library(self):
        self.transforms = pytest.importorskip("monai.transforms", exc_type=ImportError)

    def test_medical_when_called_changes_images_reproducibly(self, batch, spatial_dims):
        augment = make_augmentation("medical", spatial_dims)
        states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        before = batch.clone()
        changed = augment(batch, generator(1))
        assert type(changed) is torch.Tensor
        assert changed.shape == batch.shape
        assert torch.isfinite(changed).all()
        assert not torch.equal(changed, batch)
        torch.testing.assert_close(augment(batch, generator(1)), changed, rtol=0, atol=0)
        assert not torch.equal(augment(batch, generator(2)), changed)
        assert torch.equal(batch, before)
        assert torch.equal(torch.get_rng_state(), states[0])
        np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002

    def test_medical_when_called_mirrors_nothing(self, spatial_dims):
        """A bright left half stays on the left."""
        images = torch.zeros(24, 1, *(24,) * spatial_dims)
        images[:, :, :10] = 10
        changed = make_augmentation("medical", spatial_dims)(images, generator())
        assert (changed[:, 0, :8].flatten(1).mean(1) > changed[:, 0, -8:].flatten(1).mean(1)).all()

    def test_transform_when_given_is_called_on_each_image(self, batch, spatial_dims):
        transform = self.transforms.RandFlip(prob=0.5, spatial_axis=0)
        changed = make_augmentation(transform, spatial_dims)(batch, generator())
        flipped = [torch.equal(after, before.flip(1)) for before, after in zip(batch, changed, strict=True)]
        kept = [torch.equal(after, before) for before, after in zip(batch, changed, strict=True)]
        assert any(flipped)
        assert any(kept)
        assert all(a != b for a, b in zip(flipped, kept, strict=True))

    def test_transform_when_it_crops_is_refused(self, batch, spatial_dims):
        augment = make_augmentation(self.transforms.CenterSpatialCrop((4,) * spatial_dims), spatial_dims)
        with pytest.raises(ValueError, match="Leave out what crops or resizes"):
            augment(batch, generator())


class TestTorchio:
    """With the real library."""

    @pytest.fixture(autouse=True)
    def _library(self):
        self.torchio = pytest.importorskip("torchio", exc_type=ImportError)

    @pytest.mark.parametrize("name", ["RandomNoise", "RandomFlip", "RandomAffine"])
    def test_transform_when_given_is_reproducible(self, batch, spatial_dims, name):
        transform = getattr(self.torchio, name)()
        augment = make_augmentation(transform, spatial_dims)
        state = torch.get_rng_state()
        first = augment(batch, generator(1))
        assert first.shape == batch.shape
        assert not torch.equal(first, batch)
        torch.testing.assert_close(augment(batch, generator(1)), first, rtol=0, atol=0)
        assert not torch.equal(augment(batch, generator(2)), first)
        assert torch.equal(torch.get_rng_state(), state)

    def test_composition_when_given_is_called(self, batch, spatial_dims):
        transform = self.torchio.Compose([self.torchio.RandomNoise(std=(1, 1)), self.torchio.RandomBlur()])
        changed = make_augmentation(transform, spatial_dims)(batch, generator())
        assert changed.shape == batch.shape
        assert not torch.equal(changed, batch)


def test_callable_when_called_seeds_no_gpu_but_the_batchs(batch, spatial_dims, monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    make_augmentation(lambda images: images + torch.randn_like(images), spatial_dims)(batch, generator())
    assert seeded == []
