"""The cells of image columns: which image each one names, and how messages call it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skhyperfusion._table._cells import is_missing
from skhyperfusion._wording import listing
from skhyperfusion.images._formats._raw import BadImage, is_nibabel


@dataclass(frozen=True)
class Cell:
    """One image of the table: an absolute path, an array, a nibabel image, or None where it is missing."""

    value: Any
    shown: str
    row: Any
    column: Any

    def __str__(self) -> str:
        return f"Row {self.row!r}, column {self.column!r}: {self.shown}"


@dataclass(frozen=True)
class Bad:
    """An image that cannot be used: what is wrong with it, and the error that told."""

    cell: Cell
    what: str
    cause: BaseException | None = None


def read_cells(frame: pd.DataFrame, root: str | os.PathLike | None) -> list[list[Cell]]:
    """Return the cells of each row; relative paths start at `root`."""
    rows = frame.index.tolist()
    columns = [(name, frame.iloc[:, j].tolist()) for j, name in enumerate(frame.columns)]
    return [[_cell(values[i], row, name, root) for name, values in columns] for i, row in enumerate(rows)]


def _cell(value: Any, row: Any, column: Any, root: str | os.PathLike | None) -> Cell:
    if isinstance(value, str | os.PathLike):
        path = os.path.expanduser(os.fspath(value))
        if root is not None:
            path = os.path.join(os.path.expanduser(os.fspath(root)), path)
        return Cell(os.path.abspath(path), repr(os.fspath(value)), row, column)
    if isinstance(value, np.ndarray):
        return Cell(value, f"an array of shape {value.shape}", row, column)
    if is_nibabel(value):
        return Cell(value, f"a {type(value).__name__} of shape {tuple(value.shape)}", row, column)
    if is_missing(value):
        return Cell(None, "no image", row, column)
    return Cell(_Stranger(value), f"{value!r}", row, column)


@dataclass(frozen=True)
class _Stranger:
    """Anything that is no image; refused when it is read, together with the other bad cells."""

    value: Any


def check_cell(value: Any) -> None:
    """Refuse a cell that can be no image."""
    if isinstance(value, _Stranger):
        raise BadImage(
            f"is of type {type(value.value).__name__}, which is no image. A cell holds a path, an array of "
            "two or more axes, or a nibabel image; leave the column out of image_columns if it holds "
            "something else."
        )


def pixel_cells(
    frame: pd.DataFrame, shape: Sequence[int] | None, channels: str | int, missing: str
) -> list[list[Cell]]:
    """Return one cell per row, an array made of the row's numbers; a row without any number is missing."""
    if shape is None:
        raise ValueError(
            f"The {frame.shape[1]} pixel columns need the shape of their grid: pass ImageLoader(shape=(H, "
            "W))."
        )
    n_channels = {"rgb": 3}.get(channels, 1) if isinstance(channels, str) else int(channels)
    grid = (*shape, n_channels) if n_channels > 1 else tuple(shape)
    if math.prod(grid) != frame.shape[1]:
        raise ValueError(
            f"ImageLoader(shape={tuple(shape)}, channels={channels!r}) makes {math.prod(grid)} pixels, but "
            f"there are {frame.shape[1]} pixel columns. Their numbers must agree."
        )
    pixels = _numbers(frame)
    absent = np.isnan(pixels).all(axis=1) & (missing == "zeros")
    bad = ~np.isfinite(pixels) & ~absent[:, None]
    if bad.any():
        i, j = (int(k) for k in np.argwhere(bad)[0])
        raise ValueError(
            f"Row {frame.index[i]!r}, column {frame.columns[j]!r}: a pixel must be a finite number, not "
            f"{pixels[i, j]} (NaN or infinity in {listing(frame.index[bad.any(axis=1)])}). Impute it, or "
            "drop the row."
        )
    shown = f"pixels of shape {tuple(shape)}"
    return [
        [Cell(None if lost else row.reshape(grid), shown, label, "pixels")]
        for row, lost, label in zip(pixels, absent, frame.index.tolist(), strict=True)
    ]


def _numbers(frame: pd.DataFrame) -> np.ndarray:
    """Return a float32 matrix; text is named, not guessed at."""
    pixels = np.empty(frame.shape, dtype=np.float32)
    for j in range(frame.shape[1]):
        column = frame.iloc[:, j]
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        text = np.isnan(numbers) & ~column.isna().to_numpy()
        if text.any():
            i = int(text.argmax())
            raise ValueError(
                f"Row {frame.index[i]!r}, column {frame.columns[j]!r}: a pixel must be a number, not "
                f"{column.iloc[i]!r}. Correct it, drop the row, or leave the column out of image_columns."
            )
        pixels[:, j] = numbers
    return pixels


def raise_bad(bad: Sequence[Bad], limit: int = 5) -> None:
    """Raise one error for all bad images: how many, and the first few."""
    if not bad:
        return
    if len(bad) == 1:
        raise ValueError(f"{bad[0].cell} {bad[0].what}") from bad[0].cause
    lines = [f"{one.cell} {one.what}" for one in bad[:limit]]
    more = [f"... and {len(bad) - limit} more."] if len(bad) > limit else []
    text = "\n  ".join([f"{len(bad)} images cannot be used; the first {len(lines)}:", *lines, *more])
    raise ValueError(text) from bad[0].cause


def collect_bad(
    function: Callable[..., Any], cells: Sequence[Cell], *others: Sequence[Any], mapper: Callable = map
) -> tuple[list[Any], list[Bad]]:
    """Call ``function(cell, *other)`` for every cell; return the results, and the bad cells apart."""

    def one(cell: Cell, *other: Any) -> tuple[Any, Bad | None]:
        try:
            check_cell(cell.value)
            return function(cell, *other), None
        except BadImage as error:
            return None, Bad(cell, str(error), error.__cause__)

    results, bad = [], []
    for result, problem in mapper(one, cells, *others):
        if problem is None:
            results.append(result)
        else:
            bad.append(problem)
    return results, bad
