"""Decoded images kept for the whole process, so that folds, candidates and epochs share the work."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib

from skhyperfusion.images._cache._disk import DiskCache
from skhyperfusion.images._voxels._recipe import Decoded

_MAX_HEADERS = 200_000


class ImageCache:
    """Images and headers by key, least recently used out first; safe to use from many threads.

    The bound is the loader's that stores an image: those kept under its bound, or under a smaller one, take
    no more than it together. So a loader with a small bound makes room among its own and leaves alone what
    others keep.
    """

    def __init__(self) -> None:
        self._images: dict[int, OrderedDict[str, Decoded]] = {}  # by bound, then by key
        self._bounds: dict[str, int] = {}  # by key
        self._nbytes: dict[int, int] = {}  # by bound
        self._headers: OrderedDict[str, Any] = OrderedDict()
        self._reset_locks()
        self.hits = self.decoded = 0

    def _reset_locks(self) -> None:
        self._lock = threading.Lock()
        self._busy: dict[str, list] = {}

    def _begin_in_child(self) -> None:
        """Take fresh locks after a fork, and forget what a thread of the parent was about to change."""
        is_torn = self._lock.locked()
        self._reset_locks()
        if is_torn:
            self.clear()

    def get(self, key: str) -> Decoded | None:
        """Return the image of `key`, or None."""
        with self._lock:
            bound = self._bounds.get(key)
            if bound is None:
                return None
            images = self._images[bound]
            images.move_to_end(key)
            self.hits += 1
            return images[key]

    def put(self, key: str, decoded: Decoded, bound: int) -> None:
        """Keep an image if it fits into `bound` bytes, after older ones have gone."""
        nbytes = decoded.image.nbytes
        if nbytes > bound:
            return
        decoded.image.flags.writeable = False
        with self._lock:
            self._drop(key)
            for limit in sorted(other for other in {bound, *self._images} if other >= bound):
                while self._within(limit) + nbytes > limit:
                    fullest = max(other for other in self._images if other <= limit)
                    self._drop(next(iter(self._images[fullest])))
            self._images.setdefault(bound, OrderedDict())[key] = decoded
            self._bounds[key] = bound
            self._nbytes[bound] = self._nbytes.get(bound, 0) + nbytes

    def _within(self, limit: int) -> int:
        return sum(nbytes for bound, nbytes in self._nbytes.items() if bound <= limit)

    def _drop(self, key: str) -> None:
        bound = self._bounds.pop(key, None)
        if bound is None:
            return
        self._nbytes[bound] -= self._images[bound].pop(key).image.nbytes
        if not self._images[bound]:
            del self._images[bound], self._nbytes[bound]

    @property
    def nbytes(self) -> int:
        """Bytes of all images kept."""
        return sum(self._nbytes.values())

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
                "images": len(self._bounds),
                "nbytes": self.nbytes,
                "hits": self.hits,
                "decoded": self.decoded,
            }

    def clear(self) -> None:
        """Forget every image and header, and start counting anew."""
        with self._lock:
            for kept in (self._images, self._bounds, self._nbytes, self._headers):
                kept.clear()
            self.hits = self.decoded = 0


CACHE = ImageCache()

if hasattr(os, "register_at_fork"):
    # A lock that another thread held at the fork would never be released in the child.
    os.register_at_fork(after_in_child=CACHE._begin_in_child)


def clear_cache(cache_dir: str | os.PathLike | None = None) -> None:
    """Forget the decoded images of this process, and delete those under `cache_dir` if one is given.

    Parameters
    ----------
    cache_dir : str or path-like, default=None
        Folder that loaders keep images in; None: memory alone.

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

    Parameters
    ----------
    cache_dir : str or path-like, default=None
        Folder that loaders keep images in, to be looked into as well.

    Returns
    -------
    dict
        ``images`` and ``nbytes`` in memory; ``hits``: images served from memory; ``decoded``: files decoded,
        both since the process began or `clear_cache`. With `cache_dir` also ``disk_images`` and
        ``disk_nbytes``. What frozen networks have made of images counts as images.
    """
    info = CACHE.info()
    return info if cache_dir is None else {**info, **DiskCache(cache_dir).info()}


def memory_share() -> int:
    """Return a quarter of the machine's memory; in a worker process, divided by the number of workers."""
    return machine_memory() // 4 // n_workers()


def machine_memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or its control group's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 << 30
    for path in ("/sys/fs/cgroup/memory/memory.limit_in_bytes", *_group_limits()):
        try:
            limit = Path(path).read_text().strip()
        except OSError:  # no such control group: the machine's memory it is
            continue
        if limit.isdigit():
            total = min(total, int(limit))
    return total


def _group_limits() -> Iterator[str]:
    """Yield the files with the limits of this process's control group (a Slurm job, say) and those above."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::")), "")
    parts = group.split("/") if group else []
    for n in range(len(parts) + 1):
        yield "/".join(["/sys/fs/cgroup", *parts[:n], "memory.max"])


def n_workers() -> int:
    """Return how many worker processes share this machine with this one; 1 where it is no worker.

    Under Linux the other children of the process that started this one are counted; elsewhere there are as
    many as the cores hold with the threads that each worker has.
    """
    if multiprocessing.parent_process() is None:
        return 1
    try:
        found = [
            child
            for task in Path(f"/proc/{os.getppid()}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        # Processes that track resources (two of them, under joblib) hold no images.
        return max(1, sum(b"_tracker" not in Path(f"/proc/{n}/cmdline").read_bytes() for n in found))
    except OSError:  # no Linux, or a worker has ended in between
        threads = os.environ.get("OMP_NUM_THREADS", "1")
        return max(1, joblib.cpu_count() // max(1, int(threads) if threads.isdigit() else 1))
