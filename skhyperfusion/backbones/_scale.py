"""The scale of brightness that a network was trained with."""

from collections.abc import Sequence

import numpy as np


class PixelScale:
    """The scale of pictures that a network was trained with: ``(x / white - mean) / std``, by channel.

    Parameters
    ----------
    mean, std : sequence of float
        One number per channel, in units of `white`. Grey images take the average of each.
    white : float, default=255
        The brightest value that is stored.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyperfusion.backbones import PixelScale
    >>> PixelScale([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])(np.full((3, 1, 1), 255.0)).ravel().tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], white: float = 255.0) -> None:
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        self.white = float(white)
        if len(self.mean) != len(self.std) or min(self.std, default=0) <= 0 or self.white <= 0:
            raise ValueError(
                "PixelScale needs as many means as positive standard deviations, and a positive white. Got "
                f"mean={self.mean}, std={self.std}, white={self.white}."
            )

    def __repr__(self):
        return f"PixelScale({list(self.mean)}, {list(self.std)}, white={self.white:g})"

    def __eq__(self, other):
        return isinstance(other, PixelScale) and vars(self) == vars(other)

    def __hash__(self):
        return hash((self.mean, self.std, self.white))

    def __call__(self, voxels):
        """Scale an image (C, *S)."""
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        if len(voxels) == 1:
            mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
        if len(voxels) != len(mean):
            raise ValueError(f"the image has {len(voxels)} channels, and {self!r} is for {len(mean)}")
        shape = (-1,) + (1,) * (voxels.ndim - 1)
        return ((voxels / self.white - mean.reshape(shape)) / std.reshape(shape)).astype(np.float32)
