"""From X to its columns: which hold images, which the subject's id, which ordinary values."""

import os
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils.validation import validate_data

from skhyperfusion._table._cells import (
    as_number,
    cells_of,
    holds_numbers,
    is_missing,
    row_name,
)
from skhyperfusion._table._frames import as_frame, refuse_strange_cells
from skhyperfusion._table._missing import MissingValues
from skhyperfusion._table._numbers import learn_numbers
from skhyperfusion._table._odd import OddTeller
from skhyperfusion._table._suffixes import has_image_suffix, known_image_suffixes
from skhyperfusion._wording import did_you_mean, listing, show


def is_image_cell(value):
    """Tell whether a cell is an image: a path with a known suffix, a 2-D or larger array, a nibabel image.

    Examples
    --------
    >>> is_image_cell("scan.NII.GZ"), is_image_cell(np.zeros((8, 8))), is_image_cell("F"), is_image_cell(None)
    (True, True, False, False)
    """
    if isinstance(value, str | os.PathLike):
        return has_image_suffix(value)
    if isinstance(value, np.ndarray):
        return value.ndim >= 2
    return hasattr(value, "get_fdata") and hasattr(value, "affine")


def check_table(estimator, X, *, reset):
    """Turn X into a DataFrame whose columns are those that the estimator was, or is being, fitted on.

    Parameters
    ----------
    estimator : estimator
        Gets `n_features_in_`, and `feature_names_in_` where all names are strings, if ``reset``;
        otherwise X is checked against them.
    X : DataFrame, 2-D array or list of rows
        See `as_frame`. It is not changed.
    reset : bool
        True in `fit`, False everywhere else.

    Returns
    -------
    DataFrame of shape (n_samples, n_features)
        In the order of the fit, under the names of the fit; ``"x0"``, ``"x1"``, ... where there were none.
        Labels that are numbers or tuples count for the order alone, where both tables are DataFrames.
        The index of X is kept.
    """
    name = type(estimator).__name__
    frame = as_frame(X)
    for axis, unit in enumerate(("sample", "feature")):
        if frame.shape[axis] == 0:
            raise ValueError(
                f"Found array with 0 {unit}(s) (shape={frame.shape}) while a minimum of 1 is required "
                f"by {name}."
            )
    _refuse_strange_names(frame)
    fitted = getattr(estimator, "feature_names_in_", None)
    if not reset and fitted is not None and all(isinstance(column, str) for column in frame.columns):
        frame = _match_columns(frame, list(fitted))
    labels = _numeric_labels(X)
    if reset:
        estimator._labels_in = labels
    elif _differ_in_order(labels, getattr(estimator, "_labels_in", None)):
        places = {label: place for place, label in enumerate(labels)}
        frame = frame.iloc[:, [places[label] for label in estimator._labels_in]]
    validate_data(estimator, frame, reset=reset, skip_check_array=True)
    fitted = getattr(estimator, "feature_names_in_", None)
    frame.columns = [f"x{i}" for i in range(frame.shape[1])] if fitted is None else list(fitted)
    refuse_strange_cells(frame)
    # What an array of objects puts together, such as a ColumnTransformer's, has no dtypes of its own.
    return frame.infer_objects() if fitted is None else frame


def _refuse_strange_names(frame):
    twice = frame.columns[frame.columns.duplicated()].unique()
    if len(twice):
        raise ValueError(
            f"The column names of X must differ, but some occur more than once ({listing(twice, noun='name')}"
            "). Rename the columns, or drop those that repeat another."
        )
    # NumPy drops those at the end of a text, and takes two such names for one.
    cut = [name for name in frame.columns if isinstance(name, str) and "\0" in name]
    if cut:
        raise ValueError(
            f"The names of columns of X hold NUL characters ({listing(cut, noun='name')}), as they do where "
            "a file of UTF-16 was read in another encoding. Read it with encoding='utf-16', or rename them."
        )


def _numeric_labels(X):
    """Return the labels of a DataFrame's columns where they are whole numbers, or tuples of these and words.

    An array has none: its columns are told by their places.
    """
    labels = X.columns.tolist() if isinstance(X, pd.DataFrame) else []
    parts = [part for label in labels for part in (label if isinstance(label, tuple) else (label,))]
    has_names = all(isinstance(label, str) for label in labels)
    return None if has_names or not all(isinstance(part, str | int) for part in parts) else labels


def _differ_in_order(labels, fitted):
    return labels is not None and fitted is not None and labels != fitted and set(labels) == set(fitted)


def _match_columns(frame, fitted):
    """Reorder the columns by name; raise in scikit-learn's words where they are not those of the fit."""
    present = list(frame.columns)
    unseen, missing = sorted(set(present) - set(fitted)), sorted(set(fitted) - set(present))
    if not unseen and not missing:
        return frame[fitted]
    message = "The feature names should match those that were passed during fit.\n"
    if unseen:
        message += "Feature names unseen at fit time:\n" + _bullets(unseen)
    if missing:
        message += "Feature names seen at fit time, yet now missing:\n" + _bullets(missing)
        message += f"X lacks column {missing[0]!r}{did_you_mean(missing[0], present) or '.'}"
    else:
        message += "Drop what the model was not fitted on."
    raise ValueError(message)


def _bullets(names):
    return "".join(f"- {name}\n" for name in [*names[:5], *["..."] * (len(names) > 5)])


@dataclass(frozen=True)
class ColumnRoles:
    """Which column of a table plays which part.

    Attributes
    ----------
    image : tuple of str
        Columns that images are read from; with ``pixels``, the pixels of one image.
    tabular : tuple of str
        Columns of ordinary values.
    group : str or None
        Column with the subject's id.
    dropped : tuple of str
        Columns of images that nobody asked for.
    pixels : bool
        Whether the image columns hold numbers.
    """

    image: tuple[str, ...]
    tabular: tuple[str, ...]
    group: str | None
    dropped: tuple[str, ...]
    pixels: bool


def resolve_columns(
    frame,
    *,
    image_columns="auto",
    group_column=None,
    has_names=True,
    estimator_name="The estimator",
    on_no_image="tabular",
):
    """Settle which columns hold images, which the subject's id, and which ordinary values.

    Parameters
    ----------
    frame : DataFrame
        As `check_table` returns it.
    image_columns : "auto", None, str, int, or list of str and int, default="auto"
        "auto": every column whose cells, but for gaps, are all images. None: no column. Otherwise names or
        positions. A name is found also where a `ColumnTransformer` has prefixed it; numeric columns
        are the pixels of one image.
    group_column : str, int or None, default=None
        The column with the subject's id.
    has_names : bool, default=True
        Whether X had column names, or `check_table` made them up.
    estimator_name : str
        For the messages.
    on_no_image : {"tabular", "ignore", "error"}, default="tabular"
        What to do where "auto" finds no image column. "tabular": warn if all columns are numeric, raise an
        error if there is text; "error": always raise one; "ignore": neither.

    Returns
    -------
    ColumnRoles

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"t1w": ["a.nii.gz", "b.nii.gz"], "age": [70, 81]})
    >>> resolve_columns(table)
    ColumnRoles(image=('t1w',), tabular=('age',), group=None, dropped=(), pixels=False)
    """
    find = _Finder(frame, has_names, estimator_name)
    group = None if group_column is None else find("group_column", group_column)
    others = [name for name in frame.columns if name != group]
    pixels, dropped = False, ()
    if isinstance(image_columns, str) and image_columns == "auto":
        image = tuple(name for name in others if _all_images(frame, name))
        if not image and on_no_image != "ignore":
            _tell_no_image(frame[others], estimator_name, may_warn=on_no_image == "tabular")
    else:
        image = _requested(find, image_columns)
        if group in image:
            raise ValueError(f"Column {group!r} is given both as image_columns and as group_column.")
        asked = set(image)
        dropped = tuple(name for name in others if name not in asked and find.is_image(name))
        pixels = bool(image) and _are_pixels(frame, image, dropped)
        if dropped:
            warnings.warn(
                f"Columns of images that image_columns={show(image_columns)} does not name are dropped "
                f"({listing(dropped, noun='column')}).",
                UserWarning,
                stacklevel=2,
            )
    taken = {*image, *dropped}
    tabular = tuple(name for name in others if name not in taken)
    return ColumnRoles(image, tabular, group, dropped, pixels)


def _requested(find, image_columns):
    if image_columns is None:
        return ()
    if isinstance(image_columns, str) or not np.iterable(image_columns):
        image_columns = [image_columns]
    names = [find("image_columns", request, alone=len(image_columns) == 1) for request in image_columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"image_columns={show(image_columns)} gives column {twice!r} more than once.")
    return tuple(names)


class _Finder:
    """Finds the column that a user means by a name or a position."""

    def __init__(self, frame, has_names, estimator_name):
        self.frame, self.has_names, self.estimator_name = frame, has_names, estimator_name
        self.columns = list(frame.columns)

    def __call__(self, parameter, request, *, alone=False):
        columns = self.columns
        if not isinstance(request, str):
            if not -len(columns) <= request < len(columns):
                raise ValueError(
                    f"{parameter}: position {show(request)} is out of range, X has {len(columns)} columns "
                    f"({listing(columns, noun='column')})."
                )
            return columns[request]
        if not self.has_names:
            return self._find_nameless(parameter, request, alone)
        if request in self.frame.columns:
            return request
        # ColumnTransformer and FeatureUnion put their names before, or behind, a double underscore.
        found = [name for name in columns if f"__{request}__" in f"__{name}__"]
        if len(found) > 1:
            raise ValueError(
                f"{parameter}: the name {request!r} fits {listing(found, noun='column')}. "
                "Give the whole name."
            )
        if not found:
            raise ValueError(
                f"{parameter} names {request!r}, which is not a column of X"
                f"{did_you_mean(request, columns) or '.'} X has {listing(columns, noun='column')}."
            )
        return found[0]

    def _find_nameless(self, parameter, request, alone):
        found = [name for name in self.columns if self.is_image(name)] if alone else []
        if len(found) != 1:
            raise ValueError(
                f"{parameter} names {request!r}, but {self.estimator_name} received an array, which has no "
                "column names. Call .set_output(transform='pandas') on the step before it, pass a "
                "DataFrame, or give the column's position."
            )
        return found[0]

    def is_image(self, name):
        """Whether every cell of the column, but for gaps, is an image."""
        n_images, others = _count_images(self.frame[name])
        return n_images > 0 and not others


def _count_images(column):
    """Count the cells that are images, and find those that are neither images nor gaps."""
    if holds_numbers(column.dtype):
        return 0, []
    others, n_images = [], 0
    for position, cell in enumerate(cells_of(column)):
        if is_image_cell(cell):
            n_images += 1
        elif not is_missing(cell):
            others.append(position)
    return n_images, others


def _all_images(frame, name):
    """Whether a column holds images, alone but for gaps; a column that mostly does is an error."""
    n_images, others = _count_images(frame[name])
    if n_images > len(others) > 0:
        cells = cells_of(frame[name])
        shown = "; ".join(f"{row_name(frame, i)}: {show(cells[i])}" for i in others[:5])
        raise ValueError(
            f"Column {name!r} holds {n_images} images, but {len(others)} of its cells are none: {shown}. "
            f"Known suffixes are {', '.join(known_image_suffixes())}. Correct them, or give image_columns."
        )
    return n_images > 0 and not others


def _are_pixels(frame, image, dropped):
    """Whether the requested columns are the pixels of one image: numbers, not paths or arrays."""
    numeric = [name for name in image if _is_numeric(frame[name])]
    if len(numeric) < len(image):
        empty = [name for name in image if all(is_missing(cell) for cell in cells_of(frame[name]))]
        if empty:
            raise ValueError(
                f"Column {empty[0]!r} of image_columns holds no image: all its cells are missing."
            )
        if numeric:
            other = next(name for name in image if name not in numeric)
            raise ValueError(
                f"image_columns mixes columns of numbers ({numeric[0]!r}) with columns of images ({other!r})."
            )
        return False
    if dropped:
        raise ValueError(
            f"image_columns leads to column {image[0]!r}, which holds numbers, while column "
            f"{dropped[0]!r} holds images. A ColumnTransformer moves columns: call "
            ".set_output(transform='pandas') on it and give the name."
        )
    return True


def _is_numeric(column):
    """Whether most cells are numbers, be it in a column of objects, and there is one at all."""
    if holds_numbers(column.dtype):
        return bool(column.notna().any())
    read = [as_number(cell) for cell in cells_of(column) if not is_missing(cell)]
    n_numbers = sum(number is not None and number == number for number in read)
    return 2 * n_numbers > len(read)


def _tell_no_image(frame, estimator_name, *, may_warn):
    texts = {name: _first_texts(frame, name) for name in frame.columns}
    texts = {name: cells for name, cells in texts.items() if cells}
    if not texts and may_warn:
        warnings.warn(
            f"{estimator_name} found no image column in X, every column is numeric: the tabular network "
            "alone is fitted. Give image_columns if there are images, or fusion='tabular' if there are none.",
            UserWarning,
            stacklevel=2,
        )
        return
    shown = "; ".join(f"{name!r}: {', '.join(map(show, cells))}" for name, cells in list(texts.items())[:5])
    raise ValueError(
        f"{estimator_name} found no image column in X. "
        + (f"The columns of text start with {shown}. " if texts else "Every column is numeric. ")
        + "An image column holds arrays, nibabel images, or paths that end in "
        f"{', '.join(known_image_suffixes())}. Name it in image_columns"
        + (", or pass fusion='tabular' to do without images." if may_warn else ".")
    )


def _first_texts(frame, name):
    """Return the first cells of a column of text, and nothing if it is read as numbers."""
    cells = [] if holds_numbers(frame[name].dtype) else cells_of(frame[name])
    text = [cell for cell in cells if isinstance(cell, str | os.PathLike) and as_number(cell) is None]
    if text and learn_numbers(frame, name, cells, MissingValues(), OddTeller("ignore")) is not None:
        return []
    return [str(cell) for cell in text[:3]]
