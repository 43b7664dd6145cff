"""The ColumnTransformer of `TabularPreprocessor`: numbers, flags of their gaps, and categories."""

from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skhyperfusion._table._imputation import make_imputer


def make_branches(table, *, n_numeric, n_scaled, imputer, scaler, add_indicator, max_categories):
    """Make the ColumnTransformer of a table, not fitted.

    Parameters
    ----------
    table : DataFrame
        The rows that it will be fitted on: ``n_numeric`` columns of numbers, of which the first ``n_scaled``
        are to be scaled, then columns of text.
    n_numeric, n_scaled : int
        See above.
    imputer, scaler, add_indicator, max_categories
        As in `TabularPreprocessor`.
    """
    labels = list(table.columns)
    branches = []
    if n_numeric:
        branches.append(
            ("numeric", _numeric_pipeline(n_numeric, n_scaled, imputer, scaler), labels[:n_numeric])
        )
    gaps = table.isna().any()
    flagged = [label for label in labels if gaps[label]] if add_indicator else []
    if flagged:
        branches.append(("flag", MissingIndicator(features="all"), flagged))
    if labels[n_numeric:]:
        encoder = OneHotEncoder(
            # A gap is in none of the lists, so it is encoded as an unseen category is: by zeros.
            categories=[sorted(table[label].dropna().unique()) for label in labels[n_numeric:]],
            handle_unknown="ignore",
            max_categories=max_categories,
            sparse_output=False,
        )
        branches.append(("category", encoder, labels[n_numeric:]))
    return ColumnTransformer(branches, sparse_threshold=0)


def _numeric_pipeline(n_numeric, n_scaled, imputer, scaler):
    steps = []
    if isinstance(imputer, str):
        steps.append(("impute", make_imputer(imputer, n_numeric)))
    elif imputer is not None:
        steps.append(("impute", clone(imputer)))
    if scaler is not None and n_scaled:
        scale = ColumnTransformer(
            [
                (
                    "scale",
                    StandardScaler() if isinstance(scaler, str) else clone(scaler),
                    list(range(n_scaled)),
                )
            ],
            remainder="passthrough",  # 0 and 1, and flags of the imputer's own
            sparse_threshold=0,
            verbose_feature_names_out=False,
        )
        steps.append(("scale", scale))
    return Pipeline(steps) if steps else "passthrough"


def encoded_names(transformer, inputs=None):
    """Return the names of what a fitted ColumnTransformer gives: plain, and with their branch before them.

    Parameters
    ----------
    transformer : ColumnTransformer
        As `make_branches` makes it.
    inputs : list of str, default=None
        Names of its columns, where it was fitted on columns that have none.

    Returns
    -------
    plain, prefixed : list of str
    """
    plain, prefixed = [], []
    for branch, part, columns in transformer.transformers_:
        if part == "drop":
            continue
        indices = transformer.output_indices_[branch]
        names = list(columns) if inputs is None else [inputs[position] for position in columns]
        names = _output_names(part, names, indices.stop - indices.start)
        plain += names
        prefixed += [f"{branch}__{name}" for name in names]
    return plain, prefixed


def _output_names(transformer, names, n_columns):
    """Names of a fitted transformer's output; a third-party one need not tell."""
    try:
        return list(transformer.get_feature_names_out(names))
    except AttributeError:
        return names if len(names) == n_columns else [f"numeric{i}" for i in range(n_columns)]
