"""Decoded images in a folder, shared by processes and runs: plain arrays, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import struct
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skhyperfusion.images._formats._raw import RawHeader

try:
    import fcntl
except ImportError:  # not on Windows: two processes may then decode the same image, and both are right
    fcntl = None

# Everything lies in a folder of this name inside `cache_dir`: nothing else is made private, or deleted.
FOLDER = "skhyperfusion-images-1"
_MAGIC = b"skhfimg1"
_TAIL = struct.Struct("<q8s")  # length of the JSON before it, and the magic: the last bytes to be written
_N_LOCKS = 256
_STALE = 3600  # seconds after which an unfinished file belongs to a process that died
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)

_full: set[str] = set()  # folders that this process has given up writing to
_lock = threading.Lock()


@dataclass(frozen=True)
class Entry:
    """A cached image (V, C, *S), mapped from its file, and the header of the file that it was made from."""

    image: np.ndarray
    stored: RawHeader


class DiskCache:
    """The folder of decoded images under `cache_dir`; small, so that it travels with an `ImageSource`.

    Each image is a .npy file followed by a line of JSON and a mark: a file without the mark at its end, or
    of another length than its array needs, was cut short and is made anew.
    """

    def __init__(self, cache_dir: str | os.PathLike) -> None:
        self.folder = os.path.join(os.path.abspath(os.path.expanduser(os.fspath(cache_dir))), FOLDER)

    def create(self) -> None:
        """Make the folder, readable by this user alone; sweep what died in the middle of a write."""
        if os.path.isdir(self.folder) and os.stat(self.folder).st_mode & 0o777 == 0o700:
            return
        try:
            # makedirs gives mode to the last folder only; those above it are no secret.
            os.makedirs(os.path.dirname(self.folder), mode=0o700, exist_ok=True)
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            os.chmod(self.folder, 0o700)
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._give_up(error)
                return
            raise ValueError(
                f"ImageLoader(cache_dir={os.path.dirname(self.folder)!r}) cannot be made a private folder: "
                f"{error}. Name a folder that you may write to, or None."
            ) from error
        self._sweep(_STALE)

    def load(self, key: str) -> Entry | None:
        """Return the image of `key`; None where there is none, or a damaged one (which is removed)."""
        path = self._path(key)
        try:
            return _read(path)
        except FileNotFoundError:
            return None
        except Exception:  # arbitrary bytes can make NumPy's header parser raise nearly anything
            # Cut short by a crash or a full disk: made anew by the caller.
            with suppress(OSError):
                os.unlink(path)
            return None

    def save(self, key: str, image: np.ndarray, stored: RawHeader) -> None:
        """Write an image; on a full disk warn once, and write no more in this process."""
        if self.folder in _full:
            return
        path, temporary = self._path(key), None
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(suffix=".tmp", dir=os.path.dirname(path))
            with os.fdopen(descriptor, "wb") as file:
                _write(file, image, stored)
            os.replace(temporary, path)
        except OSError as error:
            if temporary is not None:
                with suppress(OSError):
                    os.unlink(temporary)
            self._give_up(error)

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Hold `key` against other processes while decoding; a process that dies lets go."""
        if fcntl is None or self.folder in _full:
            yield
            return
        folder = os.path.join(self.folder, "locks")
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            descriptor = os.open(
                os.path.join(folder, f"{int(key[:8], 16) % _N_LOCKS:03d}"), os.O_CREAT | os.O_RDWR, 0o600
            )
        except OSError:  # saving will meet the same trouble, and tell
            yield
            return
        try:
            with suppress(OSError):  # a file system without locks: two may decode, and both are right
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def info(self) -> dict[str, int]:
        """Return the number of images on disk and their bytes."""
        sizes = [path.stat().st_size for path in Path(self.folder).glob("*/*.npy")]
        return {"disk_images": len(sizes), "disk_nbytes": sum(sizes)}

    def clear(self) -> None:
        """Delete the cached images, and what was left half-written."""
        for path in Path(self.folder).glob("*/*.npy"):
            path.unlink(missing_ok=True)
        self._sweep(0)
        with _lock:
            _full.discard(self.folder)

    def _path(self, key: str) -> str:
        return os.path.join(self.folder, key[:2], f"{key}.npy")

    def _sweep(self, age: float) -> None:
        for path in Path(self.folder).glob("*/*.tmp"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime >= age:
                    path.unlink()

    def _give_up(self, error: OSError) -> None:
        with _lock:
            first = self.folder not in _full
            _full.add(self.folder)
        if first:
            warnings.warn(
                f"Decoded images cannot be written to {self.folder!r} ({error}); they are decoded anew "
                "instead. Make room there, or name another cache_dir.",
                UserWarning,
                stacklevel=2,
            )


def _write(file, image: np.ndarray, stored: RawHeader) -> None:
    np.lib.format.write_array(file, np.ascontiguousarray(image), allow_pickle=False)
    affine = None if stored.affine is None else stored.affine.tolist()
    text = json.dumps({"shape": stored.shape, "affine": affine, "kind": stored.kind}).encode()
    file.write(text + _TAIL.pack(len(text), _MAGIC))


def _read(path: str) -> Entry:
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"array format {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if fortran or dtype != np.float32:
            raise ValueError(f"{dtype} array")
        start = file.tell()
        end = start + 4 * int(np.prod(shape, dtype=np.int64))
        size = file.seek(-_TAIL.size, os.SEEK_END) + _TAIL.size
        length, magic = _TAIL.unpack(file.read(_TAIL.size))
        if magic != _MAGIC or end + length + _TAIL.size != size:
            raise ValueError("cut short")
        file.seek(end)
        words = json.loads(file.read(length))
        image = np.memmap(file, dtype, "r", start, shape)
    affine = None if words["affine"] is None else np.array(words["affine"], dtype=float)
    return Entry(image, RawHeader(tuple(words["shape"]), affine, words["kind"]))
