"""From a table's rows to tensors: which image each row has, and its table as numbers."""

import numpy as np
import pandas as pd
from sklearn.base import clone

from skhyperfusion._table._preprocessor import TabularPreprocessor
from skhyperfusion._table._schema import TableSchema
from skhyperfusion._wording import kind_of, listing


def make_preprocessor(tabular_preprocessor):
    """Return what an estimator's `tabular_preprocessor` stands for, unfitted; None where it is nothing."""
    if isinstance(tabular_preprocessor, str):
        is_default = tabular_preprocessor == "default"
        return TabularPreprocessor(image_columns=None) if is_default else None
    return clone(tabular_preprocessor)


# Numbers of an encoded table are of the order of one. Squares of those that are beyond this, summed over the
# rows and columns of a batch, come near the end of float32.
_LARGEST_ENCODED = 1e15


class RowEncoder:
    """The way from a table's rows to tensors, learned on the rows that a network trains on.

    Parameters
    ----------
    image_columns, tabular_columns : sequence of str
        Columns to read images and ordinary values from; empty: that side is not used.
    pixels : bool
        Whether the image columns are the pixels of one image.
    image_loader : ImageLoader
        Reads the images.
    tabular_preprocessor : transformer or None
        Encodes the tabular columns, fitted by `fit_table`. A `TabularPreprocessor` reads them itself; another
        transformer gets them as the user's table has them, dtypes included; None: they are numbers already.

    Attributes
    ----------
    image_spec : ImageSpec or None
        What the images were at `open_images` of the fit; later ones must agree.
    """

    def __init__(self, *, image_columns, tabular_columns, pixels, image_loader, tabular_preprocessor):
        self.image_columns = tuple(image_columns)
        self.tabular_columns = tuple(tabular_columns)
        self.pixels = pixels
        self.image_loader = image_loader
        self.tabular_preprocessor = tabular_preprocessor
        self.image_spec = None
        self._schema = None  # where no preprocessor holds one

    def open_images(self, frame, *, verbose=0):
        """Open the rows' images, checked against those of the fit: an ImageSource, or None."""
        if not self.image_columns:
            return None
        cells = frame[list(self.image_columns)]
        source = self.image_loader.open(cells, spec=self.image_spec, pixels=self.pixels, verbose=verbose)
        if self.image_spec is None:
            self.image_spec = source.spec
        return source

    def fit_table(self, frame, rows, source=None, *, target=None, groups=None):
        """Fit the preprocessor on the rows at the positions ``rows``, and encode all rows.

        What a column is (numbers, text, empty) is settled from all rows of ``frame``, whichever are held out;
        everything else is learned from ``rows`` alone. With the ``target`` and ``groups`` of all rows a
        `TabularPreprocessor` tells of columns that give the target away, and of forgotten ids.

        Returns
        -------
        ndarray of shape (n, T) or None
            As `encode_table` gives it.
        """
        if not self.tabular_columns:
            return None
        table = frame[list(self.tabular_columns)]
        if self._is_own():
            encoded = self.tabular_preprocessor.fit_rows(table, rows, target=target, groups=groups)
        elif self.tabular_preprocessor is None:
            self._schema, encoded = TableSchema.learn(table)
        else:
            encoded = self.tabular_preprocessor.fit(table.iloc[rows]).transform(table)
        return self._as_matrix(encoded, frame, source)

    def encode_table(self, frame, source=None):
        """Encode the tabular columns: a finite float64 matrix (n, T), or None where there are none.

        With ``missing="zeros"`` the last column flags the rows of ``source`` that have no image.
        """
        if not self.tabular_columns:
            return None
        table = frame[list(self.tabular_columns)]
        if self._is_own():
            encoded = self.tabular_preprocessor.transform_rows(table)
        elif self.tabular_preprocessor is None:
            encoded = self._schema.read(table)
        else:
            encoded = self.tabular_preprocessor.transform(table)
        return self._as_matrix(encoded, frame, source)

    def _is_own(self):
        # A subclass may have a `fit` of its own.
        return type(self.tabular_preprocessor) is TabularPreprocessor

    def _as_matrix(self, encoded, frame, source):
        matrix = _finite_matrix(encoded, frame.index)
        if source is not None and self.image_loader.missing == "zeros":
            matrix = np.column_stack([matrix, source.missing])
        return matrix


def _finite_matrix(table, index):
    """Float64 matrix of a transformer's output; text, gaps and infinities are named, never passed on."""
    if hasattr(table, "toarray"):
        table = table.toarray()
    shape = np.shape(table)
    if len(shape) != 2 or shape[0] != len(index):
        raise ValueError(
            f"The tabular_preprocessor must turn {len(index)} rows into a table of as many. It gave "
            f"{kind_of(table)}."
        )
    frame = pd.DataFrame(table)
    for name, column in frame.items():
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            rows = listing([index[i] for i in bad])
            raise ValueError(
                f"Column {name!r} of the encoded table must hold finite numbers, but does not in {rows} "
                f"(the first holds {column.iloc[bad[0]]!r}). Use tabular_preprocessor='default', or one "
                "that imputes and encodes such values."
            )
        large = np.flatnonzero(np.abs(values) > _LARGEST_ENCODED)
        if large.size:
            raise ValueError(
                f"Column {name!r} of the encoded table holds numbers that no network computes with, beyond "
                f"{_LARGEST_ENCODED:g}, in {listing([index[i] for i in large])} (the first is "
                f"{values[large[0]]:.3g}). Correct them, or scale the column: tabular_preprocessor='default'."
            )
    return frame.to_numpy(dtype=np.float64, copy=True)  # pandas 3 gives a view that may not be written to
