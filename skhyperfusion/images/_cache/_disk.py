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
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from skhyperfusion._files import kept_from_children
from skhyperfusion.images._formats._raw import RawHeader
from skhyperfusion.images._voxels._recipe import Decoded

try:
    import fcntl
except ImportError:  # not on Windows: two processes may then decode the same image, and both are right
    fcntl = None  # type: ignore[assignment]

# Everything lies in a folder of this name inside `cache_dir`: nothing else is made private, or deleted.
FOLDER = "skhyperfusion-images-1"
_MAGIC = b"skhfimg1"
_TAIL = struct.Struct("<q8s")  # length of the JSON before it, and the magic: the last bytes to be written
_N_LOCKS = 256
DERIVED = "x"  # ends the keys of what is made of images; no letter of the others, which are hexadecimal
_STALE = 3600  # seconds after which an unfinished file belongs to a process that died
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_WAIT = 60  # seconds for which a process waits for another that decodes the same image, and may be stopped

_full: set[str] = set()  # folders that this process has given up writing to
_sound: set[str] = set()  # files whose check sum this process has found right
_lock = threading.Lock()


def _renew_lock() -> None:
    """Take a fresh lock in a forked child: a thread of the parent may have held the old one."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class DiskCache:
    """The folder of decoded images under `cache_dir`; small, so that it travels with an `ImageSource`.

    Each image is a .npy file followed by a line of JSON and a mark: a file without the mark at its end, of
    another length than its array needs, or whose check sum is another, is made anew. It is written under
    another name first, in ``tmp``, by whoever holds the claim on its key.
    """

    def __init__(self, cache_dir: str | os.PathLike) -> None:
        self.folder = os.path.join(os.path.abspath(os.path.expanduser(os.fspath(cache_dir))), FOLDER)

    def create(self) -> None:
        """Make the folder, readable by this user alone; sweep what died in the middle of a write."""
        try:
            self._make("tmp")
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._give_up(error)
                return
            raise ValueError(
                f"ImageLoader(cache_dir={os.path.dirname(self.folder)!r}) cannot be made a private folder: "
                f"{error}. Name a folder that you may write to, or None."
            ) from error
        self._sweep()

    def _make(self, inner: str) -> str:
        """Make a folder within the cache, and the cache itself, private to the user; return its path."""
        path = os.path.join(self.folder, inner)
        if os.path.isdir(path) and os.stat(self.folder).st_mode & 0o777 == 0o700:
            return path
        # makedirs gives mode to the last folder only; those above the cache are no secret.
        os.makedirs(os.path.dirname(self.folder), mode=0o700, exist_ok=True)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        os.chmod(self.folder, 0o700)
        os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    def load(self, key: str) -> Decoded | None:
        """Return the image of `key`, mapped; None where there is none, or a damaged one (it is removed)."""
        path = self._path(key)
        try:
            return _read(path)
        except OSError:  # absent; or sound, while this process has too many files open, say
            return None
        except Exception:  # arbitrary bytes can make NumPy's header parser raise nearly anything
            # Cut short by a crash or a full disk: made anew by the caller.
            with suppress(OSError):
                os.unlink(path)
            return None

    def save(self, key: str, decoded: Decoded) -> None:
        """Write an image; on a full disk warn once, and write no more in this process."""
        if self.folder in _full:
            return
        path, temporary = self._path(key), None
        try:
            self._make(key[:2])
            descriptor, temporary = tempfile.mkstemp(suffix=f"-{_lock_name(key)}.tmp", dir=self._make("tmp"))
            with os.fdopen(descriptor, "wb") as file:
                _write(file, decoded)
            os.replace(temporary, path)
        except FileNotFoundError:  # the folder was emptied meanwhile: who wants the image makes it anew
            return
        except OSError as error:
            if temporary is not None:
                with suppress(OSError):
                    os.unlink(temporary)
            self._give_up(error)

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Hold `key` against other processes while decoding; a process that dies lets go."""
        descriptor = None if self.folder in _full else self._open_lock(_lock_name(key))
        if descriptor is None:  # no locks here: two processes may decode the same image, and both are right
            yield
            return
        with kept_from_children(descriptor):
            _wait_for(descriptor, _WAIT)
            yield

    def _open_lock(self, name: str) -> int | None:
        if fcntl is None:
            return None
        try:
            return os.open(os.path.join(self._make("locks"), name), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError:  # saving will meet the same trouble, and tell
            return None

    def info(self) -> dict[str, int]:
        """Return the number of images on disk and their bytes."""
        sizes = [path.stat().st_size for path in Path(self.folder).glob("*/*.npy")]
        return {"disk_images": len(sizes), "disk_nbytes": sum(sizes)}

    def clear(self) -> None:
        """Delete the cached images, and what was left half-written."""
        for pattern in ("*/*.npy", "*/*.tmp"):
            for path in Path(self.folder).glob(pattern):
                path.unlink(missing_ok=True)
        with _lock:
            _full.discard(self.folder)

    def _path(self, key: str) -> str:
        return os.path.join(self.folder, key[:2], f"{key}.npy")

    def _sweep(self) -> None:
        """Remove half-written files whose writer has died: nobody holds the claim under which it wrote."""
        for path in Path(self.folder, "tmp").glob("*-[0-9][0-9][0-9].tmp"):
            descriptor = self._open_lock(path.stem[-3:])
            try:
                is_free = descriptor is not None and _wait_for(descriptor, 0)
                if is_free or time.time() - path.stat().st_mtime > _STALE:
                    path.unlink()
            except OSError:  # it has been renamed or removed meanwhile
                continue
            finally:
                if descriptor is not None:
                    os.close(descriptor)

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


def _lock_name(key: str) -> str:
    # What is made of images has locks of its own: its maker asks for those of the images meanwhile.
    return f"{int(key[:8], 16) % _N_LOCKS + _N_LOCKS * key.endswith(DERIVED):03d}"


def _wait_for(descriptor: int, seconds: float) -> bool:
    """Lock a file, or say after `seconds` that another process still holds it."""
    deadline, pause = time.monotonic() + seconds, 0.001
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        except OSError:  # a file system without locks
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _write(file, decoded: Decoded) -> None:
    image, stored = np.ascontiguousarray(decoded.image), decoded.stored
    np.lib.format.write_array(file, image, allow_pickle=False)
    affine = None if stored.affine is None else stored.affine.tolist()
    words = {"shape": stored.shape, "affine": affine, "kind": stored.kind, "is_empty": decoded.is_empty}
    text = json.dumps(words | {"crc32": zlib.crc32(image.data)}).encode()
    file.write(text + _TAIL.pack(len(text), _MAGIC))


def _read(path: str) -> Decoded:
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"array format {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if fortran or dtype != np.float32:
            raise ValueError(f"{dtype} array")
        start = file.tell()
        end = start + 4 * int(np.prod(shape, dtype=np.int64))
        size = file.seek(0, os.SEEK_END)
        if size < end + _TAIL.size:
            raise ValueError("cut short")
        file.seek(-_TAIL.size, os.SEEK_END)
        length, magic = _TAIL.unpack(file.read(_TAIL.size))
        if magic != _MAGIC or end + length + _TAIL.size != size:
            raise ValueError("cut short")
        file.seek(end)
        words = json.loads(file.read(length))
        image = np.memmap(file, dtype, "r", start, shape)
    if path not in _sound:  # once in a process: a machine that loses its power writes blocks in any order
        if zlib.crc32(np.ascontiguousarray(image).data) != words["crc32"]:
            raise ValueError("another check sum")
        _sound.add(path)
    affine = None if words["affine"] is None else np.array(words["affine"], dtype=float)
    return Decoded(image, RawHeader(tuple(words["shape"]), affine, words["kind"]), words["is_empty"])
