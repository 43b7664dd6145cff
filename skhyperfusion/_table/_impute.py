"""Any imputer of scikit-learn, on the numbers of a table whose other columns are left alone."""

from sklearn.compose import ColumnTransformer, make_column_transformer

from skhyperfusion._rules import HasMethods, check_argument
from skhyperfusion._table._frames import as_frame
from skhyperfusion._typing import Transformer


def impute_table(imputer: Transformer) -> ColumnTransformer:
    """Make a transformer that fills the gaps of a table's numbers, and leaves images and text alone.

    An imputer alone refuses a table with paths or text in it. The estimators impute by themselves; this is
    for an imputer of your own choice, in front of them or of anything else that takes the other columns.

    Parameters
    ----------
    imputer : transformer
        Such as `sklearn.impute.KNNImputer` or `sklearn.impute.SimpleImputer`. It gets the columns of numeric
        dtypes; numbers that stand as text, such as ``"<80"``, are left to the estimator.

    Returns
    -------
    ColumnTransformer
        Gives a DataFrame: the imputed columns first, then the others as they were, all under their own names.
        Its parameters can be searched, as ``columntransformer__knnimputer__n_neighbors`` in a pipeline.

    Raises
    ------
    InvalidParameterError
        If `imputer` is no transformer.

    See Also
    --------
    TabularPreprocessor : Imputes, encodes categories and scales.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.impute import SimpleImputer
    >>> X = pd.DataFrame(
    ...     {"t1w": ["a.nii.gz", "b.nii.gz", "c.nii.gz"], "tau": [80, None, 120], "sex": ["F", "M", None]}
    ... )
    >>> impute_table(SimpleImputer()).fit_transform(X)
         tau       t1w  sex
    0   80.0  a.nii.gz    F
    1  100.0  b.nii.gz    M
    2  120.0  c.nii.gz  ...
    """
    check_argument("impute_table", "imputer", imputer, [HasMethods("fit", "transform", noun="a transformer")])
    transformer = make_column_transformer(
        (imputer, numeric_columns),
        remainder="passthrough",
        # Not False: until 1.9 scikit-learn refuses an array, since both of its parts count from x0 on.
        verbose_feature_names_out="{feature_name}",
    )
    return transformer.set_output(transform="pandas")


def numeric_columns(X):
    """Return the positions of the numeric columns; of an array of objects, the cells decide."""
    frame = as_frame(X)
    kinds = frame.infer_objects().dtypes
    return [i for i, kind in enumerate(kinds) if getattr(kind, "kind", "O") in "iuf"]
