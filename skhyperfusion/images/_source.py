"""Opened image columns: what they hold, and their images row by row."""

from __future__ import annotations

import copy
import functools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import joblib
import numpy as np

from skhyperfusion._progress import progress_bar
from skhyperfusion._wording import listing
from skhyperfusion.images._cache._derived import derived
from skhyperfusion.images._cache._store import Original, Store
from skhyperfusion.images._formats._raw import BadImage
from skhyperfusion.images._image_cells import Cell, collect_bad, raise_bad
from skhyperfusion.images._spec import ImageSpec


class ImageSource:
    """The images of a table's rows; made by `ImageLoader.open`.

    Nothing is held but paths (or the arrays that the table itself holds), so that it can be sent to other
    processes; images come from the files or the process's cache when they are asked for.

    Attributes
    ----------
    spec : ImageSpec
        Shape, channels, views and more, the same for all rows.
    missing : ndarray of shape (n,), bool
        Rows that lack an image in one of the columns; it reads as zeros.
    """

    def __init__(
        self, rows: list[list[Cell]], spec: ImageSpec, store: Store, *, warn_empty: bool = True
    ) -> None:
        self._rows = rows
        self._store = store
        self._warn_empty = warn_empty
        self._told: set[Any] = set()  # rows of empty images; the views of some rows share it
        self.spec = spec
        self.missing = np.array([any(cell.value is None for cell in row) for row in rows], dtype=bool)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        spec = self.spec
        shape = (len(self), spec.n_views, spec.n_channels, *spec.shape)
        return f"<ImageSource {shape}, {self.nbytes / 2**20:.1f} MiB as float32>"

    @property
    def _image_shape(self) -> tuple[int, ...]:
        return (self.spec.n_views, self.spec.n_channels, *self.spec.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that all images take as float32."""
        return 4 * len(self) * math.prod(self._image_shape)

    @property
    def fits_in_memory(self) -> bool:
        """Whether all images together stay within the loader's `memory`."""
        return self.has_room(self._image_shape[1:])

    def has_room(self, shape: tuple[int, ...]) -> bool:
        """Tell whether float32 arrays of a shape, one for each view, stay within the loader's `memory`."""
        return 4 * len(self) * self.spec.n_views * math.prod(shape) <= self._store.memory

    def view(self, rows: Sequence[int] | np.ndarray) -> ImageSource:
        """Return the source of some rows, given by position or by a boolean mask."""
        rows = np.asarray(rows)
        rows = np.arange(len(self))[rows if rows.size else []]
        part = copy.copy(self)
        part._rows = [self._rows[i] for i in rows]
        part.missing = self.missing[rows]
        return part

    def read(self, indices: Sequence[int] | np.ndarray, *, n_threads: int | None = None) -> np.ndarray:
        """Return the images of some rows.

        Parameters
        ----------
        indices : sequence of int
            Positions of the rows.
        n_threads : int, default=None
            Threads that decode; None: one per core, but no more than 8.

        Returns
        -------
        ndarray of shape (len(indices), V, C, *S), float32
            A fresh array.
        """
        return self._read(indices, n_threads, 0)

    def stack(self, *, verbose: int = 0, n_threads: int | None = None) -> np.ndarray:
        """Return the images of all rows, (n, V, C, *S); with ``verbose`` a progress bar goes to stderr."""
        return self._read(range(len(self)), n_threads, verbose)

    def originals(self, row: int) -> dict[Any, Original | None]:
        """Return the images of one row as they are stored, by column; None where one is missing.

        Parameters
        ----------
        row : int
            Its position.
        """
        found, bad = collect_bad(
            lambda cell: None if cell.value is None else self._store.original(cell.value), self._rows[row]
        )
        raise_bad(bad)
        return {cell.column: image for cell, image in zip(self._rows[row], found, strict=True)}

    def digest(self) -> str:
        """Return a text that tells these images from others: files by their states, arrays by numbers."""
        names = [[self._store.identity(cell.value) for cell in row] for row in self._rows]
        return f"{len(names)} rows, {joblib.hash(names)[:16]}"

    def derive(self, make: Callable[[np.ndarray], np.ndarray], name: str | None) -> np.ndarray:
        """Return what a function makes of every row's images, kept beside the images and made once.

        Parameters
        ----------
        make : callable
            Takes the images of one row (V, C, *S), returns a float32 array of one shape for all rows.
        name : str or None
            Tells `make` from every other function; None: it cannot be told, and nothing is kept.

        Returns
        -------
        ndarray of shape (n, ...), float32
        """

        def made(row: int) -> np.ndarray:
            return make(self.read([row], n_threads=1)[0])

        return np.stack(
            [
                derived(self._store, [cell.value for cell in row], name, functools.partial(made, i))
                for i, row in enumerate(self._rows)
            ]
        )

    def _read(self, indices: Iterable[int], n_threads: int | None, verbose: int) -> np.ndarray:
        rows = [self._rows[int(i)] for i in indices]
        out = np.empty((len(rows), *self._image_shape), dtype=np.float32)
        cells, places, empty = [], [], []
        for image, row in zip(out, rows, strict=True):
            width = self.spec.n_channels // len(row)
            for column, cell in enumerate(row):
                place = image[:, column * width : (column + 1) * width]
                known = self._store.cached(cell.value)
                if cell.value is None:
                    place[...] = 0
                elif known is not None and known.image.shape == place.shape:
                    place[...] = known.image
                    empty += [cell] * known.is_empty
                else:
                    cells.append(cell)
                    places.append(place)
        with threads(n_threads, cells, verbose=verbose, what="Reading images") as mapper:
            found, bad = collect_bad(self._fill, cells, places, mapper=mapper)
        raise_bad(bad)
        self._tell_empty(empty + [cell for cell in found if cell is not None])
        return out

    def _fill(self, cell: Cell, place: np.ndarray) -> Cell | None:
        """Write one image into its place; return the cell if every voxel is 0."""
        decoded = self._store.image(cell.value)
        if decoded.image.shape[0] != place.shape[0]:
            raise BadImage(
                f"gives {_views(decoded.image)}, and the others give {_views(place)}. Let ImageLoader's crop "
                "return as many boxes for every image."
            )
        if decoded.image.shape != place.shape:
            raise BadImage(
                f"gives an image of shape {decoded.image.shape} (views, channels, axes), and the others give "
                f"{place.shape}. Pass ImageLoader(shape=...) to resample all images to one shape."
            )
        place[...] = decoded.image
        return cell if decoded.is_empty else None

    def _tell_empty(self, cells: Sequence[Cell]) -> None:
        """Warn of images without content, of each row once, whether they were decoded or kept."""
        rows = list(dict.fromkeys(cell.row for cell in cells if cell.row not in self._told))
        if rows and self._warn_empty:
            self._told.update(rows)
            warnings.warn(
                f"Every voxel is 0 in the images of {listing(rows)}. Look at the files; such images tell a "
                "network nothing.",
                UserWarning,
                stacklevel=4,
            )


def _views(image: np.ndarray) -> str:
    return f"{image.shape[0]} view{'s' * (image.shape[0] != 1)}"


@contextmanager
def threads(
    n_threads: int | None, cells: Sequence[Cell], *, verbose: int = 0, what: str = ""
) -> Iterator[Callable]:
    """Provide a `map` over cells that works in threads.

    Decoding gzip, JPEG and PNG leaves Python's lock alone; arrays are no work that threads would share. With
    `verbose` it shows a progress bar on stderr.
    """
    n_paths = sum(isinstance(cell.value, str) for cell in cells)
    n_threads = min(8, joblib.cpu_count(), n_paths) if n_threads is None else min(n_threads, n_paths)
    pool = None if n_threads <= 1 else ThreadPoolExecutor(n_threads)

    def watched(*args: Any) -> Iterator:
        results = map(*args) if pool is None else pool.map(*args)
        with progress_bar(len(cells), what, "image", verbose=verbose if cells else 0) as bar:
            for result in results:
                yield result
                bar.update()

    try:
        yield watched
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C the queue is not worked off
