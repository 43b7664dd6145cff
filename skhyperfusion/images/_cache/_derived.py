"""What a frozen network makes of images, kept beside them: once for all folds, candidates and epochs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skhyperfusion.images._cache._disk import DERIVED, DiskCache
from skhyperfusion.images._cache._memory import CACHE
from skhyperfusion.images._cache._store import Store
from skhyperfusion.images._formats._raw import RawHeader
from skhyperfusion.images._voxels._recipe import Decoded


def derived(
    store: Store, values: Sequence[Any], name: str | None, make: Callable[[], np.ndarray]
) -> np.ndarray:
    """Return what is made of one row's images, from memory, else from disk, else made anew.

    Parameters
    ----------
    store : Store
        Reads the images; its bound of memory and its folder hold what is made of them, too.
    values : sequence
        The row's images, one per column: paths, arrays, nibabel images, None where it is missing.
    name : str or None
        Tells what makes it from all else that makes something of images. None: it cannot be told, and
        nothing is kept.
    make : callable
        Makes it: a float32 array.
    """
    images = [store.image_key(value) for value in values]
    if name is None or None in images:
        return make()
    key = hashlib.sha256(repr((name, images)).encode()).hexdigest() + DERIVED
    with CACHE.claim(key):
        kept = CACHE.get(key)
        if kept is None:
            kept = _made(make) if store.disk is None else _by_way_of_disk(store.disk, key, make)
            CACHE.put(key, kept, store.memory)
    return kept.image


def _made(make: Callable[[], np.ndarray]) -> Decoded:
    array = make()
    return Decoded(array, RawHeader(array.shape, None, "array"), False)


def _by_way_of_disk(disk: DiskCache, key: str, make: Callable[[], np.ndarray]) -> Decoded:
    kept = disk.load(key)
    if kept is None:
        with disk.claim(key):  # while images are read, each under a claim of its own
            kept = disk.load(key)  # another process may have been faster
            if kept is None:
                kept = _made(make)
                disk.save(key, kept)
                return kept
    return replace(kept, image=np.array(kept.image))  # it is small, and its file may go
