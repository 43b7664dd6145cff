"""Random changes to training images, drawn from one generator: the same seed gives the same images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from skhyperfusion._optional import import_optional

Augmentation = Callable[[torch.Tensor, torch.Generator], torch.Tensor]

_LARGEST_SHIFT = 0.05  # of an axis


def make_augmentation(augmentation: Any, spatial_dims: int) -> Augmentation | None:
    """Return the function that changes a batch of training images, or None for none.

    Parameters
    ----------
    augmentation : {"shift", "light", "medical"}, transform, callable or None
        "shift": moved by up to a twentieth of each axis, on the batch's device. "light": that, and mirrored
        left to right (every second image, on average). "medical": rotation, scaling, elastic deformation,
        noise, bias field and blur by MONAI (extra ``medical``); nothing is mirrored. A MONAI or torchio
        transform: called on each image (C, *S). Any other callable: called on the batch (B, C, *S).
    spatial_dims : {2, 3}
        Number of spatial axes S.

    Returns
    -------
    callable or None
        ``augment(batch, generator)`` returns a batch of the same shape, type and device, and leaves its input
        as it was. What a transform draws from torch's global generator, or as MONAI's ``Randomizable``,
        follows from `generator` alone; torch's global state is not changed.

    Examples
    --------
    >>> import torch
    >>> from skhyperfusion._engine._augmentation import make_augmentation
    >>> augment = make_augmentation("light", spatial_dims=2)
    >>> augment(torch.ones(4, 1, 8, 8), torch.Generator().manual_seed(0)).shape
    torch.Size([4, 1, 8, 8])
    """
    if augmentation is None:
        return None
    if isinstance(augmentation, str) and augmentation in ("shift", "light"):
        return _Move(spatial_dims, mirrors=augmentation == "light")
    if isinstance(augmentation, str) and augmentation == "medical":
        return _EachImage(_medical_transform(spatial_dims))
    if not callable(augmentation):
        raise ValueError(
            "The 'augmentation' parameter must be 'shift', 'light', 'medical', a MONAI or torchio transform, "
            f"a callable on a batch, or None. Got {augmentation!r} instead."
        )
    if _comes_from(augmentation, "monai") or _comes_from(augmentation, "torchio"):
        return _EachImage(augmentation)
    return _WholeBatch(augmentation)


class _Move:
    """Shift each image by whole voxels, and mirror it where asked; what comes in repeats the edge."""

    def __init__(self, spatial_dims: int, *, mirrors: bool) -> None:
        # Left to right: X in RAS volumes, the width of pictures.
        self._mirrored = None if not mirrors else 0 if spatial_dims == 3 else 1

    def __call__(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        n_samples, n_axes = len(batch), batch.ndim - 2
        draws = torch.rand(n_samples, 1 + n_axes, generator=generator, device=generator.device)
        draws = draws.to(batch.device)
        for axis in range(n_axes):
            size = batch.shape[2 + axis]
            index = torch.arange(size, device=batch.device).expand(n_samples, size)
            reach = max(1, round(_LARGEST_SHIFT * size)) if size > 1 else 0
            shift = (draws[:, 1 + axis, None] * (2 * reach + 1)).long() - reach
            index = (index + shift).clamp(0, size - 1)
            if axis == self._mirrored:
                index = torch.where(draws[:, :1] < 0.5, index.flip(1), index)
            shape = [n_samples] + [1] * (1 + n_axes)
            shape[2 + axis] = size
            batch = batch.take_along_dim(index.reshape(shape), dim=2 + axis)
        return batch


class _EachImage:
    """Call a MONAI or torchio transform on each image of a batch."""

    def __init__(self, transform: Any) -> None:
        self._transform = transform

    def __call__(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seeds = _seeds(len(batch), generator)
        with torch.random.fork_rng(devices=_devices(batch)):
            images = [self._one(image.clone(), seed) for image, seed in zip(batch, seeds, strict=True)]
        return _checked(torch.stack(images), batch, self._transform)

    def _one(self, image: torch.Tensor, seed: int) -> torch.Tensor:
        _seed(image.device, seed)
        if hasattr(self._transform, "set_random_state"):
            self._transform.set_random_state(seed=seed)
        # torchio takes (C, W, H, D): a picture is a volume of one slice to it.
        flat = image.ndim == 3 and _comes_from(self._transform, "torchio")
        changed = self._transform(image[..., None] if flat else image)
        if flat and changed.shape[-1] == 1:
            changed = changed[..., 0]
        changed = torch.as_tensor(changed)
        # MONAI returns a subclass that carries metadata: a batch of plain tensors goes on.
        return changed.as_subclass(torch.Tensor)


class _WholeBatch:
    """Call a function on the batch."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._function = function

    def __call__(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        (seed,) = _seeds(1, generator)
        with torch.random.fork_rng(devices=_devices(batch)):
            _seed(batch.device, seed)
            return _checked(self._function(batch.clone()), batch, self._function)


def _seeds(n: int, generator: torch.Generator) -> list[int]:
    return torch.randint(2**31, (n,), generator=generator, device=generator.device).tolist()


def _seed(device: torch.device, seed: int) -> None:
    """Seed the generators that a transform may draw from: the CPU's and the device's, no other GPU's."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def _devices(batch: torch.Tensor) -> list[torch.device]:
    return [batch.device] if batch.is_cuda else []


def _checked(changed: Any, batch: torch.Tensor, transform: Any) -> torch.Tensor:
    if not isinstance(changed, torch.Tensor) or changed.shape != batch.shape:
        found = tuple(changed.shape) if isinstance(changed, torch.Tensor) else type(changed).__name__
        raise ValueError(
            f"The augmentation {transform!r} must return tensors of the shape that it is given: a batch of "
            f"shape {tuple(batch.shape)} came back as {found}. Leave out what crops or resizes "
            "(ImageLoader does that)."
        )
    return changed.to(device=batch.device, dtype=batch.dtype)


def _comes_from(value: Any, package: str) -> bool:
    """Tell whether the value's class, or one that it inherits from, is defined in `package`."""
    return any(kind.__module__.split(".")[0] == package for kind in type(value).__mro__)


def _medical_transform(spatial_dims: int) -> Any:
    transforms = import_optional("monai.transforms", "augmentation='medical'", extra="medical")
    angle = 0.15  # radians, about 9 degrees
    affine = {
        "rotate_range": angle if spatial_dims == 2 else (angle,) * 3,
        "scale_range": (0.1,) * spatial_dims,
        "padding_mode": "border",
        "prob": 0.5,
    }
    if spatial_dims == 2:
        elastic = transforms.Rand2DElastic(spacing=(8, 8), magnitude_range=(0.0, 1.0), **affine)
    else:
        elastic = transforms.Rand3DElastic(sigma_range=(3, 5), magnitude_range=(0.0, 40.0), **affine)
    return transforms.Compose(
        [
            elastic,
            transforms.RandBiasField(degree=3, coeff_range=(0.0, 0.1), prob=0.3),
            transforms.RandGaussianNoise(prob=0.3, std=0.1),
            transforms.RandGaussianSmooth(
                sigma_x=(0.25, 1.0), sigma_y=(0.25, 1.0), sigma_z=(0.25, 1.0), prob=0.2
            ),
        ]
    )
