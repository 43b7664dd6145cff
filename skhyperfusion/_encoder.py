"""From a table's rows to tensors: which image each row has, and its table as numbers."""

import numpy as np
import pandas as pd

from skhyperfusion._table._cells import clean_tabular
from skhyperfusion._wording import listing


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
        Encodes the tabular columns, fitted by `fit_table`; None takes them as they are.

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
        self._numeric = None  # columns that held numbers at the fit, and are read as numbers ever after

    def open_images(self, frame, *, verbose=0):
        """Open the rows' images, checked against those of the fit: an ImageSource, or None."""
        if not self.image_columns:
            return None
        cells = frame[list(self.image_columns)]
        source = self.image_loader.open(cells, spec=self.image_spec, pixels=self.pixels, verbose=verbose)
        if self.image_spec is None:
            self.image_spec = source.spec
        return source

    def fit_table(self, frame):
        """Fit the preprocessor on the rows of ``frame``, and on no others."""
        if self.tabular_columns:
            table = clean_tabular(frame[list(self.tabular_columns)])
            self._numeric = {name for name, column in table.items() if column.dtype == np.float64}
            if self.tabular_preprocessor is not None:
                self.tabular_preprocessor.fit(table)
        return self

    def encode_table(self, frame, source=None):
        """Encode the tabular columns: a finite float64 matrix (n, T), or None where there are none.

        With ``missing="zeros"`` the last column flags the rows of ``source`` that have no image.
        """
        if not self.tabular_columns:
            return None
        table = clean_tabular(frame[list(self.tabular_columns)], numeric=self._numeric)
        if self.tabular_preprocessor is not None:
            table = self.tabular_preprocessor.transform(table)
        matrix = _finite_matrix(table, frame.index)
        if source is not None and self.image_loader.missing == "zeros":
            matrix = np.column_stack([matrix, source.missing])
        return matrix


def _finite_matrix(table, index):
    """Float64 matrix of a transformer's output; text, gaps and infinities are named, never passed on."""
    if hasattr(table, "toarray"):
        table = table.toarray()
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
    return frame.to_numpy(dtype=np.float64, copy=True)  # pandas 3 gives a view that may not be written to
