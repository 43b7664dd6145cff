"""How the C library keeps memory while a network runs on the CPU."""

import contextlib
import ctypes
import os
import sys
import threading

import torch

# Of glibc's malloc.h; and what its own adjustment of thresholds arrives at in a process of large tensors.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1}
_USUAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}
SWITCH = "SKHYPERFUSION_KEEP_MEMORY"
_SET_BY_USER = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")

_lock = threading.Lock()
_users = 0


def _renew_lock():
    """Take a fresh lock in a forked child: a thread of the parent may have held the old one."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextlib.contextmanager
def freed_memory_kept(device="cpu"):
    """Keep freed memory in the process inside the block, and hand it back at the end; on a CPU.

    By default glibc returns every large tensor to the system when it is freed, and asks for fresh pages for
    the next one, which the system has to fill with zeros: in the training of volumes a third of the time.
    Blocks may be nested, and run in several threads; the last one to end hands back.

    These are settings of the whole process, which may be another program's: nothing happens with
    ``SKHYPERFUSION_KEEP_MEMORY=0`` in the environment, where malloc is told anything there, or where the C
    library is another one.

    Raises
    ------
    ValueError
        If the variable is neither 0 nor 1.
    """
    global _users
    library = _glibc() if torch.device(device).type == "cpu" else None
    if library is None:
        yield
        return
    with _lock:
        _users += 1
        if _users == 1:
            _set(library, _KEEP)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _set(library, _USUAL)
                library.malloc_trim(0)


def _glibc():
    if not _may_keep():
        return None
    if not sys.platform.startswith("linux"):
        return None
    if any(name in os.environ for name in _SET_BY_USER) or "malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version") else None


def _may_keep():
    value = os.environ.get(SWITCH, "1").strip()
    if value not in ("0", "1"):
        raise ValueError(f"The environment variable {SWITCH} must be 0 or 1. Got {value!r} instead.")
    return value == "1"


def _set(library, options):
    for name, value in options.items():
        library.mallopt(name, value)


@contextlib.contextmanager
def told_where_too_large(**sizes):
    """Raise MemoryError in words that name the sizes where torch cannot allocate a network.

    Parameters
    ----------
    **sizes : int
        Parameters that decide how large it is.
    """
    try:
        yield
    except RuntimeError as error:
        # torch's words for memory that there is not, and for sizes beyond any address.
        if not any(words in str(error) for words in ("allocate memory", "overflow", "Invalid shape")):
            raise
        shown = ", ".join(f"{name}={size}" for name, size in sizes.items())
        raise MemoryError(
            f"A network of {shown} does not fit into this machine's memory. Lower them."
        ) from error
