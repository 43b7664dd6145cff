"""What the images of a study are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageSpec:
    """What the images of a study are once loaded.

    Parameters
    ----------
    shape : tuple of int
        Spatial axes: (H, W), or (X, Y, Z) in the loader's orientation.
    n_channels : int
        Channels, all image columns together.
    n_views : int
        Views per image: 2 with ``bilateral``, else 1 or as many boxes as ``crop`` returns.
    spacing : tuple of float or None
        Size of a voxel in mm; None where it differs between images or is unknown.
    orientation : str or None
        Such as "RAS"; None for pictures and arrays.
    intensity : str
        Name of the intensity rule.
    """

    shape: tuple[int, ...]
    n_channels: int = 1
    n_views: int = 1
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    intensity: str = "zscore"

    @property
    def spatial_dims(self) -> int:
        """2 or 3."""
        return len(self.shape)
