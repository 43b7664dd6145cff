"""What the sections of a report are made from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from skhyperfusion._table._columns import is_image_cell, resolve_columns
from skhyperfusion.inspection._answered import Answered
from skhyperfusion.inspection._report._page import Figures
from skhyperfusion.inspection._subjects import Subjects


@dataclass
class Context:
    """A fitted model, rows, and how to draw.

    Attributes
    ----------
    X : DataFrame
        The rows; their names are not to be shown: a report holds no ids.
    y : ndarray
    networks : list of BaseHyperFusion
        Inside the model.
    images, tabular : list of str
        Columns of X.
    group : str or None
        The column of X with the subject's id.
    few : ndarray
        Places of rows for what costs many predictions a row.
    rows : {"unknown", "unseen", "training"}
        What the caller said of the rows.
    """

    estimator: Any
    X: pd.DataFrame
    y: np.ndarray
    networks: list
    subjects: Subjects
    answered: Answered
    images: list
    tabular: list
    group: str | None
    few: np.ndarray
    rows: str
    scoring: Any
    columns: Any
    n_attributions: int
    random_state: np.random.RandomState
    figures: Figures

    @property
    def pixels(self):
        """Whether the image columns are numbers, the pixels of one image."""
        return not any(is_image_cell(cell) for name in self.images[:1] for cell in self.X[name])

    def subject_numbers(self):
        """Return the number of each row's subject (n_rows,)."""
        numbers = np.empty(len(self.X), dtype=np.intp)
        for number, rows in enumerate(self.subjects.rows):
            numbers[rows] = number
        return numbers

    @property
    def is_pipeline(self):
        """Whether the columns that the network sees may have other names than the user's."""
        return isinstance(self.estimator, Pipeline)


def roles_of(network, X):
    """Return the columns of X: (images, table, the subject's id or None)."""
    group = network.group_column if isinstance(network.group_column, str) else None
    group = group if group in X.columns else None
    images = [name for name in network.image_columns_ if name in X.columns]
    if not images:
        images = list(resolve_columns(X, estimator_name="report", on_no_image="ignore").image)
    return images, [name for name in X.columns if name not in images and name != group], group
