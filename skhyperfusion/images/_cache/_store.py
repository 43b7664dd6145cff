"""Single images by way of the process's cache."""

from __future__ import annotations

import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import joblib
import numpy as np

from skhyperfusion.images._cache._disk import DiskCache
from skhyperfusion.images._cache._memory import CACHE, memory_share
from skhyperfusion.images._formats._content import NO_FILE, absent
from skhyperfusion.images._formats._dicom import read_dicom, series_files
from skhyperfusion.images._formats._raw import BadImage, RawHeader, in_millimetres
from skhyperfusion.images._formats._readers import find_reader
from skhyperfusion.images._voxels._placement import Placement, placements
from skhyperfusion.images._voxels._recipe import Decoded, Plan, Recipe

_State = tuple[str, int, int]  # name, size and time of change of a file
_PAIRED = (".hdr", ".img", ".img.gz", ".mat")


@dataclass(frozen=True)
class Original:
    """An image as stored: voxels (C, *S), their affine where known, and how each view is made of them."""

    voxels: np.ndarray
    affine: np.ndarray | None
    views: list[Placement]


class Store:
    """Reads single images by a `Recipe`, through the cache of the process. Small: holds no image.

    Parameters
    ----------
    recipe : Recipe
        What is done to an image.
    root : str or None
        Where relative paths start; only told in messages.
    memory : int or None
        Bytes that the process's cache may hold when this store adds to it; None: the share of whichever
        process reads, as a worker is sent its store by one that has the machine to itself.
    disk : DiskCache or None
        Where decoded images are kept for other processes and runs.
    window : tuple of int or None
        Shape that a model was fitted on; images that the recipe gives another one are cut or filled to it.
    """

    def __init__(
        self,
        recipe: Recipe,
        root: object,
        memory: int | None,
        disk: DiskCache | None = None,
        window: tuple[int, ...] | None = None,
    ) -> None:
        self.recipe = recipe
        self.root = root
        self._memory = memory
        self._share: tuple[int, int] | None = None  # with the process that it was counted in
        self._windowed = None if window is None else replace(recipe, window=window)
        # What cannot be told from others shares its images with none, and leaves none behind.
        self._own = uuid.uuid4().hex
        self._recipe_key = recipe.key() or self._own
        self.disk = disk if self._recipe_key != self._own else None

    @property
    def memory(self) -> int:
        """Bytes that this process's cache may hold when this store adds to it."""
        if self._memory is not None:
            return self._memory
        if self._share is None or self._share[0] != os.getpid():
            self._share = os.getpid(), memory_share()
        return self._share[1]

    def header(self, value: Any) -> RawHeader:
        """Return the stored header; a file whose reader has none is decoded, and kept."""
        if not isinstance(value, str):
            stored = self.recipe.stored_header(value)
            assert stored is not None  # only a file may have to be decoded for it
            return stored
        identity, token = self._identity(value), self._token(value)  # what is not there has no format
        stored = CACHE.header(f"{token} {identity}", lambda: self._first_header(value))
        return self.recipe.check_size(stored)  # a loader with a higher limit may have left it in the cache

    def known_plan(self, value: Any) -> Plan | None:
        """Return what the image will be where this process has planned the same file before."""
        if not isinstance(value, str):
            return None
        try:
            plan = CACHE.known_header(self._plan_key(value, self.recipe))
            windowed = None if plan is None else self._cutting(plan)
            if windowed is not None:
                plan = CACHE.known_header(self._plan_key(value, windowed))
        except BadImage:  # whoever plans it will say so
            return None
        return plan

    def plan(self, value: Any, *, decode: bool) -> Plan:
        """Return what the image will be; with `decode` its shape is known even if `crop` looks at voxels."""
        plan = self._plan_by(self.recipe, value, decode)
        windowed = self._cutting(plan)
        return plan if windowed is None else self._plan_by(windowed, value, decode, plan.shape)

    def _plan_by(
        self, recipe: Recipe, value: Any, decode: bool, uncut: tuple[int, ...] | None = None
    ) -> Plan:
        # The key before the header: a file that changes in between must not keep its former plan.
        key = self._plan_key(value, recipe) if isinstance(value, str) else None
        plan = replace(recipe.plan(self.header(value)), uncut=uncut)
        if plan.shape is None:
            if not decode:
                return plan
            shape = self._decode(value, recipe).image.shape
            plan = replace(plan, shape=shape[2:], n_views=shape[0])
        if key is not None:
            CACHE.put_header(key, plan)
        return plan

    def _cutting(self, plan: Plan) -> Recipe | None:
        """Return what cuts or fills an image to what a model was fitted on, or None."""
        if self._windowed is None or plan.shape is None:
            return self._windowed
        window = self._windowed.window
        assert window is not None
        return self._windowed if plan.shape != window and len(plan.shape) == len(window) else None

    def image(self, value: Any) -> Decoded:
        """Return one image (V, C, *S), not to be written to."""
        return self._decode(value, self._recipe_of(value))

    def original(self, value: Any) -> Original:
        """Return one image as it is stored, decoded anew, with the way from it to what `image` returns."""
        views, voxels, grid = placements(self._recipe_of(value), value)
        return Original(voxels, grid.affine, views)

    def cached(self, value: Any) -> Decoded | None:
        """Return the image if this process has it in memory already."""
        if not isinstance(value, str) or not self.memory:
            return None
        try:
            return CACHE.get(self._key(value, self._recipe_of(value)))
        except BadImage:  # the file has gone: whoever reads it will say so
            return None

    def image_key(self, value: Any) -> str | None:
        """Return what tells an image, read by this recipe, from every other; None where nothing can."""
        if value is None:
            return "none"
        if isinstance(value, str):
            if self._token(value) == self._own:
                return None
            return self._key(value, self._recipe_of(value))
        voxels = np.asanyarray(getattr(value, "dataobj", value))
        if voxels.dtype.hasobject:
            return None
        content = hashlib.sha256(np.ascontiguousarray(voxels).data).hexdigest()
        affine = in_millimetres(getattr(value, "affine", None), getattr(value, "header", None))
        place = None if affine is None else affine.tolist()
        window = self._recipe_of(value).window
        return f"{content} {voxels.shape} {voxels.dtype} {place} {window} {self._recipe_key}"

    def _recipe_of(self, value: Any) -> Recipe:
        if self._windowed is None:
            return self.recipe
        plan = self.known_plan(value) or self.plan(value, decode=False)
        return self.recipe if plan.shape == self._windowed.window and plan.uncut is None else self._windowed

    def _first_header(self, path: str) -> RawHeader:
        return self.recipe.stored_header(path) or self._decode(path, self.recipe).stored

    def _decode(self, value: Any, recipe: Recipe) -> Decoded:
        """Return the image from memory, else from disk, else from its file; whoever comes second waits."""
        if not isinstance(value, str):
            return recipe.image(value)
        key = self._key(value, recipe)
        with CACHE.claim(key):
            decoded = CACHE.get(key)
            if decoded is None:
                disk = None if self._token(value) == self._own else self.disk
                if disk is None:
                    decoded = self._decode_file(value, recipe)
                else:
                    decoded = self._by_way_of_disk(value, recipe, key, disk)
                CACHE.put(key, decoded, self.memory)
        return decoded

    def _by_way_of_disk(self, path: str, recipe: Recipe, key: str, disk: DiskCache) -> Decoded:
        decoded = disk.load(key)
        if decoded is None:
            with disk.claim(key):
                decoded = disk.load(key)  # another process may have been faster
                if decoded is None:
                    decoded = self._decode_file(path, recipe)
                    disk.save(key, decoded)
                    return decoded
        if decoded.image.nbytes > self.memory:
            return decoded
        # What stays in memory must not be a map of the file: its pages would count, and the file may go.
        return replace(decoded, image=np.array(decoded.image))

    def _decode_file(self, path: str, recipe: Recipe) -> Decoded:
        decoded = recipe.image(path)
        CACHE.count_decoded()
        return decoded

    def _token(self, path: str) -> str:
        return find_reader(path).token or self._own

    def _key(self, path: str, recipe: Recipe) -> str:
        identity, token = self._identity(path), self._token(path)
        text = f"{token} {identity} {recipe.window} {self._recipe_key}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def _plan_key(self, path: str, recipe: Recipe) -> str:
        # The limit is no part of the key: it decides what is refused, not what comes out.
        return f"{self._key(path, recipe)} {recipe.max_voxels}"

    def identity(self, value: Any) -> str:
        """Return what tells an image as stored from every other, without reading a file."""
        return self._identity(value) if isinstance(value, str) else joblib.hash(value)

    def _identity(self, path: str) -> str:
        """Return what tells this state of a file from every other: path, size and time of change."""
        try:
            found = os.stat(path)
            if stat.S_ISDIR(found.st_mode):
                # A user's reader of folders may read all that is in them.
                is_series = find_reader(path).read is read_dicom
                return f"{path} {[*(_states_of_series(path) if is_series else _states_below(path))]}"
            if not stat.S_ISREG(found.st_mode):
                raise BadImage(NO_FILE)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            if isinstance(error, BadImage):
                raise
            raise BadImage(absent(path, self.root, error)) from error
        return f"{path} {[_state(path, found), *_states_beside(path)]}"


def _states_of_series(folder: str) -> Iterator[_State]:
    return (_state(path, os.stat(path)) for path in series_files(folder))


def _states_below(folder: str) -> Iterator[_State]:
    for place, inner, names in os.walk(folder):
        inner.sort()
        for path in (os.path.join(place, name) for name in sorted(names)):
            with suppress(OSError):  # a link to nowhere: what it means, the reader will say
                _, size, changed = _state(path, os.stat(path))
                yield os.path.relpath(path, folder), size, changed


def _states_beside(path: str) -> Iterator[_State]:
    """Yield the states of the files that are read with this one: header and voxels, and SPM's matrix."""
    stem, suffix = os.path.splitext(path)
    if suffix.lower() not in _PAIRED:
        return
    for other in _PAIRED:
        for beside in {stem + other, stem + other.upper()} - {path}:
            with suppress(OSError):
                yield _state(beside, os.stat(beside))


def _state(path: str, found: os.stat_result) -> _State:
    return os.path.basename(path), found.st_size, found.st_mtime_ns
