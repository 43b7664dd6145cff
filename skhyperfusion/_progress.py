"""Bars that show on stderr how far long work is."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Protocol

from tqdm.std import TqdmDefaultWriteLock, tqdm


class Bar(Protocol):
    """What work may say to its bar."""

    def __enter__(self) -> Bar: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def update(self, n: int = 1) -> object:
        """Count `n` more steps as done."""

    def set_postfix_str(self, s: str, refresh: bool = True) -> None:
        """Show some words behind the bar."""


class _Silent:
    """A bar that shows nothing."""

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        pass

    def update(self, n: int = 1) -> None:
        pass

    def set_postfix_str(self, s: str, refresh: bool = True) -> None:
        pass


class _Shown(tqdm):
    """A bar whose lock no other process shares.

    One part of tqdm's lock is shared by forked processes: who is killed with it in hand keeps it from all the
    others. The part among threads is taken, as users' bars do, so that none is drawn into another; a forked
    child takes a new one, for a thread of its parent may have held that.
    """

    _lock = TqdmDefaultWriteLock.th_lock
    monitor_interval = 0  # no thread that watches the bars, and that a fork would leave without its lock


def _take_new_lock() -> None:
    _Shown._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_take_new_lock)


def progress_bar(total: int, name: str, unit: str, *, verbose: int, n_done: int = 0) -> Bar:
    """Return a bar of `total` steps, to be used in ``with``; one that shows nothing where `verbose` is 0.

    The silent one is none of tqdm's: every bar of tqdm, a disabled one too, takes a lock when it is made.

    Examples
    --------
    >>> with progress_bar(3, "Fits", "fit", verbose=0) as bar:
    ...     for fold in range(3):
    ...         bar.set_postfix_str(f"fold {fold}")
    ...         bar.update()
    """
    if verbose <= 0:
        return _Silent()
    # Each step is looked at: without a watcher, a bar that began fast would not show that it has become slow.
    return _Shown(total=total, initial=n_done, desc=name, unit=unit, miniters=1)
