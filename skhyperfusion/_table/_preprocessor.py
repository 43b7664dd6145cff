"""TabularPreprocessor: a table with gaps, categories and images as numbers beside untouched images."""

from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skhyperfusion._rules import check_parameters
from skhyperfusion._table._branches import encoded_names, make_branches
from skhyperfusion._table._cells import row_name
from skhyperfusion._table._columns import check_table, resolve_columns
from skhyperfusion._table._imputation import choose_imputer, refuse_gaps
from skhyperfusion._table._leaks import tell_ids, tell_leaks
from skhyperfusion._table._missing import check_missing_names
from skhyperfusion._table._odd import OddTeller
from skhyperfusion._table._output import as_asked, distinct
from skhyperfusion._table._preprocessor_rules import PARAMETER_RULES
from skhyperfusion._table._schema import TableSchema
from skhyperfusion._table._seen import SeenValues
from skhyperfusion._table._telling import nothing_left, telling_columns
from skhyperfusion._typing import (
    ArrayLike,
    Columns,
    Imputer,
    MissingValues,
    OnOdd,
    TableLike,
    Transformed,
    Transformer,
)


class TabularPreprocessor(TransformerMixin, BaseEstimator):
    """Turn a table with gaps and categories into finite numbers, and hand its images through.

    Numeric columns are imputed, standardised, and followed by a flag for each that had gaps; categorical
    columns become one column of 0 and 1 per category. Columns that say nothing, those without a value
    and those that are the same in every row, are dropped.

    Parameters
    ----------
    image_columns : "auto", str, int, list of these or None, default="auto"
        Columns that are handed through untouched, behind the others and under their own names. "auto": every
        column whose cells are all paths with a known suffix, arrays or nibabel images.
    images : {"passthrough", "drop"}, default="passthrough"
        "drop": leave the image columns out, so that a learner for tables can follow:
        ``make_pipeline(TabularPreprocessor(images="drop"), LogisticRegression())``.
    imputer : {"iterative", "median", "knn"}, transformer or None, default="iterative"
        Fills the gaps of numeric columns. "iterative": each column regressed on the others in turns, from
        the median start, by `sklearn.impute.IterativeImputer`; "knn": the mean of the 5 nearest rows (the
        fitted object then holds the training table); both in standard units and within the range seen in
        `fit`. A transformer is cloned and gets the columns as they are. None: a gap is an error.
    add_indicator : bool, default=True
        Add a column of 0 and 1 for each column that has gaps in `fit`.
    scaler : "standard", transformer or None, default="standard"
        Scales the numeric columns after imputation, but for flags and columns that hold only 0 and 1
        (booleans among them).
    max_categories : int or None, default=20
        Most columns that one categorical column may become: its rarest categories share the last.
    missing_values : sequence of str and float, or dict of str to such, default=()
        What else means "no value", besides what always does (see Notes): ``["not sent", -1]`` in every
        column, ``{"score": [9, 99]}`` in one.
    on_odd : {"warn", "ignore", "raise"} or dict of str to these, default="warn"
        What to do about what is odd; a dict says it for some kinds, and the others are warned of. "cells":
        text among numbers; "codes": numbers such as -999 that stand for none; "dates": numbers such as
        20200131; "ids": a column of text, or of whole numbers named as an id, that differs in every row or
        subject; "target": a column that equals or determines it, where an estimator knows it; "width": too
        many columns for the imputer; and in later tables "unseen": a category that is new; "range": a number
        outside that of the fit by three times its width; "rows": a row without any value.

    Attributes
    ----------
    image_columns_ : list of str
        Columns handed through; none with ``images="drop"``.
    numeric_columns_, categorical_columns_ : list of str
        Columns read as numbers and as categories.
    dropped_columns_ : list of str
        Columns without a value, constant columns, and images that are not handed through.
    imputer_ : str, transformer or None
        What fills the gaps: `imputer`, or "median" where more than 100 columns have gaps and each would be
        regressed on all others.
    column_transformer_ : ColumnTransformer or None
        What turns the numeric and categorical columns into numbers; None if there are none.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Their names, where all are strings.

    See Also
    --------
    HyperFusionClassifier : Uses one by itself; give it another by `tabular_preprocessor`.

    Notes
    -----
    Numbers may stand in columns of objects or text, in many notations: ``"<80"``, ``"89+"``, ``"70,5"``,
    ``"1,234.5"``, ``"45 %"``, ``"70 kg"``, ``"070Y"``. A column most of whose cells are numbers is one of
    numbers: "n.d.", ".", "unknown" and the like are gaps there; so are other words, which are told of, and
    refused in later tables unless `fit` has seen them. Dates are refused. The user guide says it all.

    Booleans are 0 and 1. A column of the pandas dtype ``category`` is categorical even if it holds numbers:
    so declare codes, as of an occupation. A gap in a categorical column is 0 in all its columns, and
    marked by the flag; so is a category that `fit` has not seen, but for the flag.

    `transform` returns a float64 array, or a DataFrame where there are image columns, unless `set_output`
    asks for something else.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame(
    ...     {
    ...         "t1w": ["a.nii.gz", "b.nii.gz", "c.nii.gz"],
    ...         "sex": ["F", "M", "F"],
    ...         "tau": ["<80", 160, None],
    ...     }
    ... )
    >>> TabularPreprocessor(imputer="median", scaler=None).fit_transform(X)
         tau  missingindicator_tau  sex_F  sex_M       t1w
    0   80.0                   0.0    1.0    0.0  a.nii.gz
    1  160.0                   0.0    0.0    1.0  b.nii.gz
    2  120.0                   1.0    1.0    0.0  c.nii.gz
    """

    def __init__(
        self,
        *,
        image_columns: Columns | None = "auto",
        images: Literal["passthrough", "drop"] = "passthrough",
        imputer: Imputer = "iterative",
        add_indicator: bool = True,
        scaler: Literal["standard"] | Transformer | None = "standard",
        max_categories: int | None = 20,
        missing_values: MissingValues = (),
        on_odd: OnOdd = "warn",
    ) -> None:
        self.image_columns = image_columns
        self.images = images
        self.imputer = imputer
        self.add_indicator = add_indicator
        self.scaler = scaler
        self.max_categories = max_categories
        self.missing_values = missing_values
        self.on_odd = on_odd

    def fit(self, X: TableLike, y: Any = None) -> Self:
        """Learn medians, categories and all else from the rows of X.

        Parameters
        ----------
        X : DataFrame, 2-D array or list of rows of shape (n_samples, n_features)
            The table.
        y : None
            Ignored.

        Returns
        -------
        self : TabularPreprocessor
        """
        check_parameters(self, PARAMETER_RULES)
        self._learn(check_table(self, X, reset=True), slice(None))
        return self

    def fit_rows(
        self, frame: pd.DataFrame, rows: np.ndarray, *, target: Any = None, groups: Any = None
    ) -> Transformed:
        """Fit on some rows of a table, as the estimators do, and encode all: what it reads, it reads once.

        What a column is, is settled from every row, so that it does not depend on which ones are held out;
        all else is learned from ``rows`` alone.

        Parameters
        ----------
        frame : DataFrame of shape (n_samples, n_features)
            A table that an estimator has checked.
        rows : array of int
            Positions of the rows to learn from.
        target : ndarray (n_samples, ...), default=None
            What is to be predicted, to tell of columns that give it away.
        groups : array (n_samples,), default=None
            Subjects, to tell of columns that are their ids.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features_out)
            As `transform` gives it.
        """
        check_parameters(self, PARAMETER_RULES)
        validate_data(self, frame, reset=True, skip_check_array=True)
        table = self._learn(frame, rows)
        if target is not None:
            tell_leaks(
                table[self._inputs].iloc[rows],
                self.categorical_columns_,
                target[rows],
                None if groups is None else groups[rows],
                OddTeller(self.on_odd),
            )
        return self._hand_out(self._encode(table[self._inputs]), frame)

    def transform_rows(self, frame: pd.DataFrame) -> Transformed:
        """Encode a table that an estimator has checked, as `transform` does.

        Parameters
        ----------
        frame : DataFrame of shape (n_samples, n_features)
            The columns that `fit` has seen, in their order.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features_out)
            As `transform` gives it.
        """
        teller = OddTeller(self.on_odd)
        table = self._schema.read(frame[self._inputs], teller)
        self._seen.tell(table, teller)
        return self._hand_out(self._encode(table), frame)

    def transform(self, X: TableLike) -> Transformed:
        """Encode the rows of X.

        Parameters
        ----------
        X : DataFrame, 2-D array or list of rows of shape (n_samples, n_features)
            The columns that `fit` has seen; named columns in any order.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features_out)
            Finite float64 numbers. A DataFrame, with the images last, where there are image columns.
        """
        check_is_fitted(self)
        return self.transform_rows(check_table(self, X, reset=False))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of X, for a table that had none in `fit`.

        Returns
        -------
        ndarray of str
            ``"age"``, ``"missingindicator_age"``, ``"sex_F"``; with ``"numeric__"``, ``"flag__"`` or
            ``"category__"`` before them where such a name would occur twice.
        """
        check_is_fitted(self)
        new_names = self._rename(input_features)
        names = self._tabular_names(new_names) + [new_names[name] for name in self.image_columns_]
        return np.array(names, dtype=object)

    # ---- What is learned

    def _learn(self, frame, rows):
        """Learn from the rows of a checked table, and return all of it as it was read."""
        roles = resolve_columns(
            frame,
            image_columns=self.image_columns,
            has_names=hasattr(self, "feature_names_in_"),
            estimator_name=type(self).__name__,
            on_no_image="ignore",
        )
        check_missing_names(self.missing_values, frame.columns)
        teller = OddTeller(self.on_odd)
        self._schema, table = TableSchema.learn(
            frame, roles, missing_values=self.missing_values, teller=teller
        )
        learned = table.iloc[rows]
        kept = telling_columns(learned, gaps_tell=self.add_indicator)
        self.image_columns_ = list(roles.image) if self.images == "passthrough" else []
        if not kept and not self.image_columns_:
            raise ValueError(nothing_left(learned, type(self).__name__))
        self.numeric_columns_ = [name for name in self._schema.columns("numbers") if name in kept]
        self.categorical_columns_ = [name for name in self._schema.columns("text") if name in kept]
        self.dropped_columns_ = [n for n in frame.columns if n not in kept and n not in self.image_columns_]
        tell_ids(learned, self.categorical_columns_, teller)
        self.column_transformer_ = None
        self._inputs = []
        self.imputer_ = self.imputer
        if kept:
            learned = self._select(learned)
            n_gappy = int(learned.iloc[:, : len(self.numeric_columns_)].isna().any().sum())
            self.imputer_ = choose_imputer(self.imputer, n_gappy, teller)
            with config_context(transform_output="default"):
                self.column_transformer_ = make_branches(
                    learned,
                    n_numeric=len(self.numeric_columns_),
                    n_scaled=self._n_scaled,
                    imputer=self.imputer_,
                    scaler=self.scaler,
                    add_indicator=self.add_indicator,
                    max_categories=self.max_categories,
                ).fit(learned)
        self._seen = SeenValues(
            table[self._inputs].iloc[rows], self.numeric_columns_, self.categorical_columns_
        )
        return table

    def _select(self, table):
        """Order the columns that are kept: numeric ones to scale, numeric ones of 0 and 1, categories."""
        binary = [n for n in self.numeric_columns_ if table[n].dropna().isin([0.0, 1.0]).all()]
        scaled = [n for n in self.numeric_columns_ if n not in binary]
        self._n_scaled = len(scaled)
        self._inputs = scaled + binary + self.categorical_columns_
        return self._labelled(table[self._inputs])

    def _labelled(self, table):
        """Give made-up names away: the transformers are to know none where X had none."""
        if self.imputer is None:
            refuse_gaps(table, self.numeric_columns_)
        return table if hasattr(self, "feature_names_in_") else table.set_axis(range(table.shape[1]), axis=1)

    # ---- What comes out

    def _encode(self, table):
        """Encode the kept columns, as the schema has read them: a finite float64 matrix."""
        if self.column_transformer_ is None:
            return np.empty((len(table), 0))
        with config_context(transform_output="default"):
            matrix = self.column_transformer_.transform(self._labelled(table))
        matrix = np.asarray(matrix, dtype=np.float64)
        bad = np.argwhere(~np.isfinite(matrix))
        if len(bad):
            row, column = bad[0]
            raise ValueError(
                f"The encoded table must be finite, but in {row_name(table, row)} column "
                f"{self._tabular_names()[column]!r} is {matrix[row, column]} ({len(bad)} such cells in all). "
                f"Check imputer={self.imputer!r} and scaler={self.scaler!r}."
            )
        return matrix

    def _rename(self, input_features):
        """Map the columns of X, by their names or made-up names, to names that the caller gives."""
        fitted = getattr(self, "feature_names_in_", None)
        own = [f"x{i}" for i in range(self.n_features_in_)] if fitted is None else list(fitted)
        if input_features is None:
            return dict(zip(own, own, strict=True))
        new_names = np.asarray(input_features, dtype=object)
        if fitted is not None and not np.array_equal(fitted, new_names):
            raise ValueError("input_features is not equal to feature_names_in_")
        if len(new_names) != self.n_features_in_:
            raise ValueError(
                "input_features should have length equal to number of features "
                f"({self.n_features_in_}), got {len(new_names)}"
            )
        return dict(zip(own, new_names, strict=True))

    def _tabular_names(self, new_names=None):
        """Names of the encoded columns, plain where they are unique, else with their branch before them."""
        if self.column_transformer_ is None:
            return []
        new_names = self._rename(None) if new_names is None else new_names
        inputs = [new_names[name] for name in self._inputs]
        own = None if hasattr(self, "feature_names_in_") else inputs
        plain, prefixed = encoded_names(self.column_transformer_, own)
        images = {new_names[name] for name in self.image_columns_}
        is_unique = len(images | set(plain)) == len(images) + len(plain)
        return plain if is_unique else distinct(prefixed, images)

    def _hand_out(self, matrix, frame):
        """Join the encoded table and the images, where there are any, in one DataFrame."""
        if not self.image_columns_:
            return matrix
        images = frame[self.image_columns_]
        table = pd.DataFrame(matrix, columns=self._tabular_names(), index=images.index)
        frame = pd.concat([table, images], axis=1)
        return as_asked(self, frame)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags
