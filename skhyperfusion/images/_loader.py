"""ImageLoader: from the cells of image columns to images of one shape."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skhyperfusion._rules import Callable, InstanceOf, Nothing, Number, OneOf, SequenceOf, check_parameters
from skhyperfusion._typing import Crop, Intensity, PathLike
from skhyperfusion._wording import listing
from skhyperfusion.images._agreement import mismatches, most_common_spec, warn_of_cut
from skhyperfusion.images._cache._disk import DiskCache
from skhyperfusion.images._cache._store import Store
from skhyperfusion.images._image_cells import collect_bad, pixel_cells, raise_bad, read_cells
from skhyperfusion.images._source import ImageSource, threads
from skhyperfusion.images._spec import ImageSpec
from skhyperfusion.images._voxels._intensity import check_intensity, intensity_name
from skhyperfusion.images._voxels._recipe import Recipe

_SPACING = Number(float, 0, closed="neither")
_RULES = {
    "shape": [Nothing(), SequenceOf(Number(int, 1), lengths=(2, 3))],
    "spacing": [Nothing(), _SPACING, SequenceOf(_SPACING, lengths=(2, 3))],
    "orientation": [Nothing(), InstanceOf(str)],
    "crop": [
        Nothing(),
        OneOf("foreground"),
        SequenceOf(SequenceOf(Number(int, 0), lengths=2), lengths=(2, 3)),
        Callable(),
    ],
    "bilateral": [Nothing(), Number(int, 0, 2)],
    "channels": [OneOf("auto", "grey", "rgb"), Number(int, 1)],
    "root": [Nothing(), InstanceOf(str, os.PathLike)],
    "missing": [OneOf("raise", "zeros")],
    "memory": [OneOf("auto"), Number(int, 0)],
    "cache_dir": [Nothing(), InstanceOf(str, os.PathLike)],
    "max_voxels": [Number(int, 1)],
}


class ImageLoader(BaseEstimator):
    """How images are read, and made comparable: one shape, one orientation, one scale of brightness.

    An image is turned to `orientation`, resampled to `spacing`, cropped, brought to `shape`, scaled by
    `intensity` and split into `bilateral` views, in this order. Linear interpolation; where voxels become
    larger they are averaged (anti-aliased).

    Parameters
    ----------
    shape : tuple of int, default=None
        (H, W) or (X, Y, Z) of every image, before `bilateral` halves it. With `spacing`: a window of this
        shape around the image's centre, cut or filled with zeros. Without: the whole field of view is
        stretched to it. A volume with one slice is read as a 2-D picture where this has two numbers.
        None: images must have one shape already.
    spacing : float or tuple of float, default=None
        Size of a voxel in mm, along each axis after turning. None: as stored. Without `shape`, the images of
        a fit must have one field of view; those of a prediction are cut, or filled with zeros, to it.
    orientation : str or None, default="RAS"
        The axes' directions, for volumes with an affine (files and nibabel images): "RAS" runs to the
        right, to anterior, to superior. The closest of the 48 is taken, oblique scans are not rotated.
        None: as stored, and then all must agree.
    crop : tuple of (start, stop) pairs, "foreground" or callable, default=None
        A box in voxels (after `spacing`), the smallest box around the non-zero voxels (needs `shape`), or a
        function of the voxels (C, *S) that returns a box, or a list of boxes that become views.
    bilateral : int, default=None
        Axis across which an image is halved into two views: the right half, and the left half mirrored.
        0 in RAS.
    intensity : {"zscore", "minmax", "percentile"}, pair of float, callable or None, default="zscore"
        "zscore": less the mean, by the standard deviation, both over non-zero voxels (in a colour picture:
        over the pixels that are not black, all channels together). "minmax": to [0, 1]. A pair of
        percentiles, "percentile" being (1, 99): clipped to these percentiles of the non-zero voxels, then to
        [0, 1]; a mask, whose percentiles are one value, as by "minmax". Constant images give zeros. A
        callable takes and returns (C, *S), float32. None: as stored.
    channels : {"auto", "grey", "rgb"} or int, default="auto"
        "auto": as stored, grey or colour, transparency dropped. "grey": colour pictures by their luminance.
        "rgb": grey ones three times. A number: that many, or an error.
    root : path, default=None
        Folder where relative paths start; None: the working directory.
    missing : {"raise", "zeros"}, default="raise"
        What an absent path (None, NaN) means: an error, or an image of zeros and a flag for the table.
    memory : "auto" or int, default="auto"
        Bytes of decoded images that the process keeps; "auto": a quarter of the machine's memory, in worker
        processes divided by their number, or none with a `cache_dir`, from which images are mapped. 0: none.
    cache_dir : path, default=None
        Folder for decoded images, shared by processes and runs; made private to the user. None: no files.
        Images of callables that cannot be told apart (holding a lock, say) are not written, with a warning.
    max_voxels : int, default=134217728
        Larger images are refused, before anything is decoded.

    See Also
    --------
    skhyperfusion.images.register_reader : Read further formats.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion.images import ImageLoader
    >>> scans = pd.DataFrame({"scan": [np.ones((8, 10, 8)), np.eye(8)[:, None] * np.ones((8, 8, 8))]})
    >>> source = ImageLoader(shape=(4, 4, 4), intensity="minmax").open(scans)
    >>> source.spec.shape, source.spec.n_channels
    ((4, 4, 4), 1)
    >>> source.read([0, 1]).shape
    (2, 1, 1, 4, 4, 4)
    """

    def __init__(
        self,
        *,
        shape: Sequence[int] | None = None,
        spacing: float | Sequence[float] | None = None,
        orientation: str | None = "RAS",
        crop: Crop = None,
        bilateral: int | None = None,
        intensity: Intensity = "zscore",
        channels: Literal["auto", "grey", "rgb"] | int = "auto",
        root: PathLike | None = None,
        missing: Literal["raise", "zeros"] = "raise",
        memory: Literal["auto"] | int = "auto",
        cache_dir: PathLike | None = None,
        max_voxels: int = 512**3,
    ) -> None:
        self.shape = shape
        self.spacing = spacing
        self.orientation = orientation
        self.crop = crop
        self.bilateral = bilateral
        self.intensity = intensity
        self.channels = channels
        self.root = root
        self.missing = missing
        self.memory = memory
        self.cache_dir = cache_dir
        self.max_voxels = max_voxels

    def open(
        self, cells: pd.DataFrame, *, spec: ImageSpec | None = None, pixels: bool = False, verbose: int = 0
    ) -> ImageSource:
        """Check every image's header, and return the source of the images.

        Parameters
        ----------
        cells : DataFrame
            Its columns hold paths, arrays or nibabel images, several becoming channels; or, with `pixels`,
            the numeric pixels of one image. Its index names the rows in messages.
        spec : ImageSpec, default=None
            What a model was fitted on; other images are refused. None: whatever all images agree on.
        pixels : bool, default=False
            Whether the columns are the pixels of one image, row by row of the grid `shape`.
        verbose : int, default=0
            1 shows a progress bar on stderr.

        Returns
        -------
        ImageSource
        """
        self._check_parameters()
        # With `spacing` alone the first images decide the shape; later ones are cut or filled to it.
        window = spec.shape if spec is not None and self.spacing is not None and self.shape is None else None
        store = self._store(window)
        if pixels:
            rows = pixel_cells(cells, self.shape, self.channels, self.missing)
        else:
            rows = read_cells(cells, self.root)
        self._check_missing(rows)
        found = [cell for row in rows for cell in row if cell.value is not None]
        if not found and spec is None:
            raise ValueError(f"None of the {len(rows)} rows has an image, so their shape cannot be known.")
        plans = self._plan(store, found, spec is None, verbose)
        n_columns = len(rows[0]) if rows else 1
        fitted = spec is not None
        if spec is None:
            spec = most_common_spec(plans, n_columns, intensity_name(self.intensity))
        raise_bad(mismatches(found, plans, spec, n_columns, fitted=fitted))
        warn_of_cut(found, plans)
        return ImageSource(rows, spec, store, warn_empty=not pixels)

    def _plan(self, store, cells, decode, verbose):
        """Return what each image will be; those that this process has not planned before in threads."""
        plans = [store.known_plan(cell.value) for cell in cells]
        new = [cell for cell, plan in zip(cells, plans, strict=True) if plan is None]
        with threads(None, new, verbose=verbose, what="Opening images") as mapper:
            made, bad = collect_bad(lambda cell: store.plan(cell.value, decode=decode), new, mapper=mapper)
        raise_bad(bad)
        rest = iter(made)
        return [next(rest) if plan is None else plan for plan in plans]

    def _check_parameters(self):
        check_parameters(self, _RULES)
        check_intensity(self.intensity)
        code = self.orientation
        pairs = [set("RL"), set("AP"), set("SI")]
        if code is not None and (len(code) != 3 or any(len(pair & set(code)) != 1 for pair in pairs)):
            raise ValueError(
                "The 'orientation' parameter of ImageLoader must be three letters, one each of R/L, A/P "
                f"and S/I, such as 'RAS' or 'LPS', or None. Got {code!r} instead."
            )
        if self.crop == "foreground" and self.shape is None:
            raise ValueError(
                "ImageLoader(crop='foreground') cuts a box of its own out of each image, so that their "
                "shapes differ. Pass shape=... as well."
            )

    def _store(self, window):
        recipe = Recipe(
            shape=_as_plain(self.shape, int),
            spacing=_as_plain(self.spacing, float),
            orientation=self.orientation,
            crop=_as_plain(self.crop, int),
            bilateral=_as_plain(self.bilateral, int),
            intensity=_as_plain(self.intensity, float),
            channels=_as_plain(self.channels, int),
            max_voxels=int(self.max_voxels),
        )
        automatic = None if self.cache_dir is None else 0
        memory = automatic if isinstance(self.memory, str) else int(self.memory)
        disk = None if self.cache_dir is None else DiskCache(self.cache_dir)
        if disk is not None:
            disk.create()
        store = Store(recipe, self.root, memory, disk, window)
        if disk is not None and store.disk is None:
            warnings.warn(
                "The function given as ImageLoader(crop=...) or (intensity=...) holds something that cannot "
                "be pickled, so that it cannot be told from others: its images are not written to cache_dir, "
                "and decoded anew for each fit. Pass a function that holds nothing of this kind.",
                UserWarning,
                stacklevel=3,
            )
        return store

    def _check_missing(self, rows):
        if self.missing == "zeros":
            return
        absent = [cell for row in rows for cell in row if cell.value is None]
        if absent:
            columns = list(dict.fromkeys(cell.column for cell in absent))
            raise ValueError(
                f"No image in column{'s' * (len(columns) > 1)} {', '.join(map(repr, columns))} in "
                f"{listing([cell.row for cell in absent])}. Drop the rows, or pass "
                "ImageLoader(missing='zeros') for an image of zeros and a flag in the table."
            )


def _as_plain(value, kind):
    """Return numbers as Python's own and sequences as tuples, so that equal parameters are equal in keys."""
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(_as_plain(item, kind) for item in value)
    return kind(value) if isinstance(value, Real) else value
