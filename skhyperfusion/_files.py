"""Files that are written whole or not at all, and locks of files that a fork does not hand on."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

_held: set[int] = set()  # descriptors of the locks that this process holds


def _forget_locks() -> None:
    """Close, in a forked child, its copies of the locks that its parent goes on holding."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


@contextmanager
def kept_from_children(descriptor: int) -> Iterator[None]:
    """Unlock and close a file, kept open for its lock, at the end of the block; in a forked child at once."""
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:  # not in a child that was forked here
            _held.discard(descriptor)
            if fcntl is not None:
                with suppress(OSError):
                    # Not by closing alone: a process that was forked by other means has a copy.
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def write_whole(path, write, *, mode=0o666):
    """Write a file so that a crash at any moment leaves what stood at `path` before.

    Parameters
    ----------
    path : path
        The file to make or to replace.
    write : callable
        ``file -> None``; is given the new file, open for bytes.
    mode : int, default=0o666
        Of the new file, less the process's mask.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder, "a"), lambda file: file.write(b"all of it"))
    ...     Path(folder, "a").read_text()
    'all of it'
    """
    path = os.path.abspath(os.fspath(path))
    descriptor, temporary = _open_new(os.path.dirname(path), mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _open_new(folder, mode):
    """Open a file of a fresh name for writing: (descriptor, path)."""
    while True:
        path = os.path.join(folder, f".{secrets.token_hex(8)}.tmp")
        with suppress(FileExistsError):
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), path
