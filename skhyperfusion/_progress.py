"""Bars that show on stderr how far long work is."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from tqdm import tqdm


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


def progress_bar(total: int, name: str, unit: str, *, verbose: int, n_done: int = 0) -> Bar:
    """Return a bar of `total` steps, to be used in ``with``; one that shows nothing where `verbose` is 0.

    The silent one is none of tqdm's: every bar of tqdm, a disabled one too, takes a lock that forked
    processes share when it is made. Who is killed with it in hand keeps it from all the others.

    Examples
    --------
    >>> with progress_bar(3, "Fits", "fit", verbose=0) as bar:
    ...     for fold in range(3):
    ...         bar.set_postfix_str(f"fold {fold}")
    ...         bar.update()
    """
    if verbose <= 0:
        return _Silent()
    return tqdm(total=total, initial=n_done, desc=name, unit=unit)
