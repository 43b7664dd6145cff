"""How the reading of the same images changes with one column of the table."""

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skhyperfusion._rules import Number, check_argument
from skhyperfusion._table._cells import holds_numbers
from skhyperfusion._typing import ArrayLike, Estimator
from skhyperfusion.inspection._answers import Findings, answers_of, as_rows, check_column


def conditioning_profile(
    estimator: Estimator, X: pd.DataFrame, column: str, *, grid: ArrayLike | None = None, n_grid: int = 20
) -> Bunch:
    """Predict the same rows, images and all, with one column set to each of some values.

    Individual conditional expectation (Goldstein et al. 2015), where the curves of rows differ as their
    images do: whether the table changes what an image means shows in curves that are not parallel.

    Parameters
    ----------
    estimator : estimator
        Fitted: a classifier, regressor or survival model, an ensemble or a pipeline of them. It is not
        changed.
    X : DataFrame (n_samples, n_features)
        Rows, as in the estimator's ``fit``. They are not changed.
    column : str
        The column to vary.
    grid : sequence, default=None
        Values to give it, in its own unit. None: of numbers `n_grid` quantiles between the 5th and 95th
        percentile of X, of other columns each value that X holds.
    n_grid : int, default=20
        How many quantiles, at most.

    Returns
    -------
    Bunch
        ``column``; ``grid``: the values (n_grid,); ``values``: predictions (n_samples, n_grid, K), K
        being the number of classes, or 1; ``mean``: their mean over rows (n_grid, K); ``names``: the classes,
        or None;
        ``is_numeric``: whether the grid is one of numbers.

    Raises
    ------
    TypeError
        If X is no DataFrame.
    ValueError
        If there is no such column, it holds no value, or the grid is empty.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    ConditioningDisplay : Draws it.

    References
    ----------
    Goldstein, Kapelner, Bleich, Pitkin, "Peeking inside the black box", Journal of Computational and
    Graphical Statistics 24, 2015.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(30, 8, 8))), "weight": rng.normal(70, 8, 30)})
    >>> y = X["weight"] / 2 + rng.normal(size=len(X))
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=30, random_state=0).fit(X, y)
    >>> profile = conditioning_profile(model, X, "weight", grid=[60, 80])
    >>> profile.values.shape, bool(profile.mean[1, 0] > profile.mean[0, 0])
    ((30, 2, 1), True)
    """
    caller = "conditioning_profile"
    X = as_rows(X, caller)
    check_column(X, column, caller)
    check_argument(caller, "n_grid", n_grid, [Number(int, 2)])
    answer, names = answers_of(estimator)
    is_numeric = holds_numbers(X[column].dtype) and not pd.api.types.is_bool_dtype(X[column].dtype)
    grid = _values_of(X[column], is_numeric, n_grid, caller) if grid is None else list(grid)
    if not grid:
        raise ValueError(f"{caller}: the grid of column {column!r} holds no value.")
    varied = pd.concat([X] * len(grid), ignore_index=True)
    dtype = _dtype_of(grid, X[column].dtype, is_numeric)
    varied[column] = pd.Series(np.repeat(np.array(grid, dtype=object), len(X))).astype(dtype)
    predicted = answer(varied)
    values = predicted.reshape(len(grid), len(X), -1).swapaxes(0, 1)
    return Findings(
        column=column, grid=grid, values=values, mean=values.mean(axis=0), names=names, is_numeric=is_numeric
    )


def _dtype_of(grid, dtype, is_numeric):
    """Return the dtype for the grid's values: the column's own, unless it would make others of them."""
    if is_numeric:
        return float
    if isinstance(dtype, pd.CategoricalDtype):  # what is no category would be a gap
        new = [value for value in grid if not pd.isna(value) and value not in dtype.categories]
        return pd.CategoricalDtype([*dtype.categories, *dict.fromkeys(new)], dtype.ordered)
    # In NumPy's true and false a gap would be False, and the word "no" True.
    changes = isinstance(dtype, np.dtype) and dtype.kind == "b"
    return object if changes and not all(pd.api.types.is_bool(value) for value in grid) else dtype


def _values_of(column, is_numeric, n_grid, caller):
    values = column.dropna()
    if values.empty:
        raise ValueError(f"{caller}: column {column.name!r} of X holds no value; pass grid=[...].")
    if is_numeric:
        numbers = values.astype(float)
        distinct = np.unique(numbers)
        if len(distinct) <= n_grid:
            return distinct.tolist()
        return np.unique(np.quantile(numbers, np.linspace(0.05, 0.95, n_grid))).tolist()
    return sorted(values.unique().tolist(), key=str)
