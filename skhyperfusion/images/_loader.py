"""ImageLoader: from the cells of image columns to images of one shape."""

from __future__ import annotations

import os
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator

from skhyperfusion._rules import Callable, InstanceOf, Nothing, Number, OneOf, SequenceOf, check_parameters
from skhyperfusion._wording import listing
from skhyperfusion.images._agreement import agree, strangers
from skhyperfusion.images._cache._disk import DiskCache
from skhyperfusion.images._cache._memory import machine_memory
from skhyperfusion.images._cache._store import Store
from skhyperfusion.images._image_cells import Cell, attempt, pixel_cells, raise_bad, read_cells
from skhyperfusion.images._source import ImageSource, threads
from skhyperfusion.images._voxels._intensity import check_intensity, intensity_name
from skhyperfusion.images._voxels._recipe import Header, Recipe

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
        Size of a voxel in mm, along each axis after turning. None: as stored.
    orientation : str, default="RAS"
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
        [0, 1]. Constant images give zeros. A callable takes and returns (C, *S), float32. None: as stored.
    channels : {"auto", "grey", "rgb"} or int, default="auto"
        "auto": as stored, grey or colour, transparency dropped. "grey": colour pictures by their luminance.
        "rgb": grey ones three times. A number: that many, or an error.
    root : path, default=None
        Folder where relative paths start; None: the working directory.
    missing : {"raise", "zeros"}, default="raise"
        What an absent path (None, NaN) means: an error, or an image of zeros and a flag for the table.
    memory : "auto" or int, default="auto"
        Bytes of decoded images that the process keeps; "auto": a quarter of the machine's memory, or none
        with a `cache_dir`, from which images are mapped. 0: none.
    cache_dir : path, default=None
        Folder for decoded images, shared by processes and runs; made private to the user. None: no files.
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
        shape=None,
        spacing=None,
        orientation="RAS",
        crop=None,
        bilateral=None,
        intensity="zscore",
        channels="auto",
        root=None,
        missing="raise",
        memory="auto",
        cache_dir=None,
        max_voxels=512**3,
    ):
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

    def open(self, cells, *, spec=None, pixels=False, verbose=0):
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
        store = self._store()
        if pixels:
            rows = pixel_cells(cells, self.shape, self.channels, self.missing)
        else:
            rows = read_cells(cells, self.root)
        self._check_missing(rows)
        found = [cell for row in rows for cell in row if cell.value is not None]
        if not found and spec is None:
            raise ValueError(f"None of the {len(rows)} rows has an image, so their shape cannot be known.")

        def plan(cell: Cell) -> Header:
            return store.plan(cell.value, decode=spec is None)

        planned = [store.planned(cell.value) for cell in found]
        new = [cell for cell, header in zip(found, planned, strict=True) if header is None]
        with threads(None, new, verbose=verbose, what="Opening images") as mapper:
            headers, bad = attempt(plan, new, mapper=mapper)
        raise_bad(bad)
        rest = iter(headers)
        headers = [next(rest) if header is None else header for header in planned]
        n_columns = len(rows[0]) if rows else 1
        expected = agree(headers, n_columns, intensity_name(self.intensity)) if spec is None else spec
        raise_bad(strangers(found, headers, expected, n_columns, fitted=spec is not None))
        return ImageSource(rows, expected, store, warn_empty=not pixels)

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

    def _store(self):
        recipe = Recipe(
            shape=_plain(self.shape, int),
            spacing=_plain(self.spacing, float),
            orientation=self.orientation,
            crop=_plain(self.crop, int),
            bilateral=_plain(self.bilateral, int),
            intensity=_plain(self.intensity, float),
            channels=_plain(self.channels, int),
            max_voxels=int(self.max_voxels),
        )
        memory = self.memory
        if isinstance(memory, str):
            memory = machine_memory() // 4 if self.cache_dir is None else 0
        disk = None if self.cache_dir is None else DiskCache(self.cache_dir)
        if disk is not None:
            disk.create()
        return Store(recipe, self.root, int(memory), disk)

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


def _plain(value, kind):
    """Return numbers as Python's own and sequences as tuples, so that equal parameters are equal in keys."""
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(_plain(item, kind) for item in value)
    return kind(value) if isinstance(value, Real) else value
