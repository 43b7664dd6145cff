"""Files that are written whole or not at all."""

import os
import secrets
from contextlib import suppress


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
