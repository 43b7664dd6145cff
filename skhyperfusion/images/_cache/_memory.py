"""Decoded images kept for the whole process, so that folds, candidates and epochs share the work."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from skhyperfusion.images._cache._disk import DiskCache

_MAX_HEADERS = 200_000


class ImageCache:
    """Images and headers by key, least recently used out first; safe to use from many threads.

    The bound is the caller's: an image is stored only after older ones have made room for it within the
    bound of the loader that stores it.
    """

    def __init__(self) -> None:
        self._images: OrderedDict[str, np.ndarray] = OrderedDict()
        self._headers: OrderedDict[str, Any] = OrderedDict()
        self._reset_locks()
        self.nbytes = self.hits = self.decoded = 0

    def _reset_locks(self) -> None:
        self._lock = threading.Lock()
        self._busy: dict[str, list] = {}

    def get(self, key: str) -> np.ndarray | None:
        """Return the image of `key`, or None."""
        with self._lock:
            image = self._images.get(key)
            if image is not None:
                self._images.move_to_end(key)
                self.hits += 1
            return image

    def put(self, key: str, image: np.ndarray, bound: int) -> None:
        """Keep `image` if it fits into `bound` bytes, after older ones have gone."""
        if image.nbytes > bound:
            return
        image.flags.writeable = False
        with self._lock:
            self._drop(key)
            while self._images and self.nbytes + image.nbytes > bound:
                self._drop(next(iter(self._images)))
            self._images[key] = image
            self.nbytes += image.nbytes

    def _drop(self, key: str) -> None:
        image = self._images.pop(key, None)
        if image is not None:
            self.nbytes -= image.nbytes

    def known_header(self, key: str) -> Any:
        """Return the header kept under `key`, or None."""
        with self._lock:
            header = self._headers.get(key)
            if header is not None:
                self._headers.move_to_end(key)
            return header

    def header(self, key: str, make: Callable[[], Any]) -> Any:
        """Return the header kept under `key`, made by `make` the first time."""
        header = self.known_header(key)
        if header is None:
            header = make()
            self.put_header(key, header)
        return header

    def put_header(self, key: str, header: Any) -> None:
        """Keep a header."""
        with self._lock:
            self._headers[key] = header
            while len(self._headers) > _MAX_HEADERS:
                self._headers.popitem(last=False)

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Hold `key` while decoding it: another thread that wants the same image waits for it."""
        with self._lock:
            entry = self._busy.setdefault(key, [threading.Lock(), 0])
            entry[1] += 1
        try:
            with entry[0]:
                yield
        finally:
            with self._lock:
                entry[1] -= 1
                if not entry[1]:
                    self._busy.pop(key, None)

    def count_decoded(self) -> None:
        """Note that one image was decoded."""
        with self._lock:
            self.decoded += 1

    def info(self) -> dict[str, int]:
        """Return the number of images and bytes kept, and how often the cache was of use."""
        with self._lock:
            return {
                "images": len(self._images),
                "nbytes": self.nbytes,
                "hits": self.hits,
                "decoded": self.decoded,
            }

    def clear(self) -> None:
        """Forget every image and header, and start counting anew."""
        with self._lock:
            self._images.clear()
            self._headers.clear()
            self.nbytes = self.hits = self.decoded = 0


CACHE = ImageCache()

if hasattr(os, "register_at_fork"):
    # A lock that another thread held at the fork would never be released in the child.
    os.register_at_fork(after_in_child=CACHE._reset_locks)


def clear_cache(cache_dir: str | os.PathLike | None = None) -> None:
    """Forget the decoded images of this process, and delete those under `cache_dir` if one is given.

    Examples
    --------
    >>> from skhyperfusion.images import cache_info, clear_cache
    >>> clear_cache()
    >>> cache_info()
    {'images': 0, 'nbytes': 0, 'hits': 0, 'decoded': 0}
    """
    CACHE.clear()
    if cache_dir is not None:
        DiskCache(cache_dir).clear()


def cache_info(cache_dir: str | os.PathLike | None = None) -> dict[str, int]:
    """Tell how many decoded images this process keeps, and of what use that was.

    Returns
    -------
    dict
        ``images`` and ``nbytes`` in memory; ``hits``: images served from memory; ``decoded``: files decoded,
        both since the process began or `clear_cache`. With `cache_dir` also ``disk_images`` and
        ``disk_nbytes``. What frozen networks have made of images counts as images.
    """
    info = CACHE.info()
    return info if cache_dir is None else {**info, **DiskCache(cache_dir).info()}


def machine_memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or its container's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 << 30
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                limit = file.read().strip()
        except OSError:  # no such control group: the machine's memory it is
            continue
        if limit.isdigit():
            total = min(total, int(limit))
    return total
