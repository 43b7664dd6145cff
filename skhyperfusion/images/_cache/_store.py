"""Single images by way of the process's cache."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from typing import Any

import numpy as np

from skhyperfusion.images._cache._disk import DiskCache
from skhyperfusion.images._cache._memory import CACHE
from skhyperfusion.images._formats._content import absent
from skhyperfusion.images._formats._dicom import series_files
from skhyperfusion.images._formats._raw import BadImage, RawHeader
from skhyperfusion.images._formats._readers import find_reader
from skhyperfusion.images._voxels._recipe import Header, Recipe


class Store:
    """Reads single images by a `Recipe`, through the cache of the process. Small: holds no image.

    Parameters
    ----------
    recipe : Recipe
        What is done to an image.
    root : str or None
        Where relative paths start; only told in messages.
    memory : int
        Bytes that the process's cache may hold when this store adds to it.
    disk : DiskCache or None
        Where decoded images are kept for other processes and runs.
    """

    def __init__(self, recipe: Recipe, root: object, memory: int, disk: DiskCache | None = None) -> None:
        self.recipe = recipe
        self.root = root
        self.memory = memory
        self.disk = disk
        self._recipe_key = recipe.key()

    def header(self, value: Any) -> RawHeader:
        """Return the stored header; a file whose reader has none is decoded, and kept."""
        if not isinstance(value, str):
            return self.recipe.stored_header(value)
        identity, token = self._identity(value), find_reader(value).token  # what is not there has no format
        stored = CACHE.header(f"{token} {identity}", lambda: self._first_header(value))
        return self.recipe.check_size(stored)  # a loader with a higher limit may have left it in the cache

    def planned(self, value: Any) -> Header | None:
        """Return what the image will be where this process has planned the same file before."""
        if not isinstance(value, str):
            return None
        try:
            return CACHE.known_header(self._plan_key(value))
        except BadImage:  # whoever plans it will say so
            return None

    def plan(self, value: Any, *, decode: bool) -> Header:
        """Return what the image will be; with `decode` its shape is known even if `crop` looks at voxels."""
        # The key before the header: a file that changes in between must not keep its former plan.
        key = self._plan_key(value) if isinstance(value, str) else None
        header = self.recipe.plan(self.header(value))
        if header.shape is None:
            if not decode:
                return header
            shape = self.image(value)[0].shape
            header = replace(header, shape=shape[2:], n_views=shape[0])
        if key is not None:
            CACHE.put_header(key, header)
        return header

    def image(self, value: Any) -> tuple[np.ndarray, bool]:
        """Return one image (V, C, *S), not to be written to, and whether it was decoded and is empty."""
        if not isinstance(value, str):
            image, _, is_empty = self.recipe.image(value)
            return image, is_empty
        image, _, is_empty = self._decode(value)
        return image, is_empty

    def cached(self, value: Any) -> np.ndarray | None:
        """Return the image if this process has it in memory already."""
        if not isinstance(value, str) or not self.memory:
            return None
        try:
            return CACHE.get(self._key(value))
        except BadImage:  # the file has gone: whoever reads it will say so
            return None

    def image_key(self, value: Any) -> str | None:
        """Return what tells an image, read by this recipe, from every other; None where nothing can."""
        if value is None:
            return "none"
        if isinstance(value, str):
            return self._key(value)
        voxels = np.asanyarray(getattr(value, "dataobj", value))
        if voxels.dtype.hasobject:
            return None
        content = hashlib.sha256(np.ascontiguousarray(voxels).data).hexdigest()
        affine = np.asarray(getattr(value, "affine", ()), dtype=float).tolist()
        return f"{content} {voxels.shape} {voxels.dtype} {affine} {self._recipe_key}"

    def _first_header(self, path: str) -> RawHeader:
        return self.recipe.stored_header(path) or self._decode(path)[1] or self.recipe.image(path)[1]

    def _decode(self, path: str) -> tuple[np.ndarray, RawHeader | None, bool]:
        """Return the image from memory, else from disk, else from its file; whoever comes second waits."""
        key = self._key(path)
        with CACHE.claim(key):
            image = CACHE.get(key)
            if image is not None:
                return image, None, False
            if self.disk is None:
                image, stored, is_empty = self._decode_file(path)
            else:
                image, stored, is_empty = self._by_way_of_disk(path, key, self.disk)
            CACHE.put(key, image, self.memory)
            return image, stored, is_empty

    def _by_way_of_disk(self, path: str, key: str, disk: DiskCache) -> tuple[np.ndarray, RawHeader, bool]:
        entry = disk.load(key)
        if entry is None:
            with disk.claim(key):
                entry = disk.load(key)  # another process may have been faster
                if entry is None:
                    image, stored, is_empty = self._decode_file(path)
                    disk.save(key, image, stored)
                    return image, stored, is_empty
        # What stays in memory must not be a map of the file: its pages would count, and the file may go.
        image = np.array(entry.image) if entry.image.nbytes <= self.memory else entry.image
        return image, entry.stored, False

    def _decode_file(self, path: str) -> tuple[np.ndarray, RawHeader, bool]:
        result = self.recipe.image(path)
        CACHE.count_decoded()
        return result

    def _key(self, path: str) -> str:
        identity, token = self._identity(path), find_reader(path).token
        text = f"{token} {identity} {self._recipe_key}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def _plan_key(self, path: str) -> str:
        # The limit is no part of the key: it decides what is refused, not what comes out.
        return f"{self._key(path)} {self.recipe.max_voxels}"

    def _identity(self, path: str) -> str:
        """Return what tells this state of a file from every other: path, size and time of change."""
        try:
            found = os.stat(path)
            if stat.S_ISDIR(found.st_mode):
                return f"{path} {[_state(file, os.stat(file)) for file in series_files(path)]}"
            return f"{path} {_state(path, found)}"
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            if isinstance(error, BadImage):
                raise
            raise BadImage(absent(path, self.root, error)) from error


def _state(path: str, found: os.stat_result) -> tuple[str, int, int]:
    return os.path.basename(path), found.st_size, found.st_mtime_ns
