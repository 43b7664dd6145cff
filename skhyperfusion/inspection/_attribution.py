"""What each column of the table adds to a row's prediction, its image held fixed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skhyperfusion._rules import Number, RandomState, check_argument, private_random_state
from skhyperfusion._typing import Estimator, Seed
from skhyperfusion._wording import listing
from skhyperfusion.inspection._answers import Findings, answers_of, as_rows, check_column


def tabular_attribution(
    estimator: Estimator,
    X: pd.DataFrame,
    *,
    columns: Sequence[str] | None = None,
    background: pd.DataFrame | None = None,
    n_permutations: int = 20,
    random_state: Seed = None,
) -> Bunch:
    """Share a prediction out among the columns of the table: Shapley values, with the image held fixed.

    A column that is left out takes its value from a row of the background. Columns are put in, one after the
    other, in many random orders; what the prediction gains at each is the column's, on average over orders
    and background rows (Strumbelj and Kononenko 2014). Each order is also gone through backwards.

    Parameters
    ----------
    estimator : estimator
        Fitted: a classifier, regressor or survival model, an ensemble or a pipeline of them. It is not
        changed.
    X : DataFrame (n_samples, n_features)
        Rows to explain, as in the estimator's ``fit``. They are not changed.
    columns : list of str, default=None
        The user's own columns, not what they are encoded to. None: those that the estimator calls
        ``tabular_columns_``.
    background : DataFrame, default=None
        Rows that absent columns take their values from, best such as the model was trained on; None: X.
    n_permutations : int, default=20
        Orders, each with a background row drawn for it; each costs 2 x (columns + 1) predictions a row.
    random_state : int, RandomState or None, default=None
        Source of orders and background rows.

    Returns
    -------
    Bunch
        ``values`` (n_samples, n_columns, K): K being the number of classes, or 1; ``baseline`` and
        ``prediction`` (n_samples, K): with the row's image and the background's table, and of the row itself;
        the values of a row sum to their difference. ``names``: the columns; ``classes``: the classes, or
        None; ``data``: the columns of X.

    Raises
    ------
    TypeError
        If X or the background is no DataFrame.
    ValueError
        If a column is absent, or the estimator does not tell which columns are the table's.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    References
    ----------
    Strumbelj, Kononenko, "Explaining prediction models and individual predictions with feature
    contributions", Knowledge and Information Systems 41, 2014.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(30, 8, 8))), "weight": rng.normal(70, 8, 30)})
    >>> y = X["weight"] / 2 + rng.normal(size=len(X))
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=20, random_state=0).fit(X, y)
    >>> found = tabular_attribution(model, X.head(3), background=X, n_permutations=4, random_state=0)
    >>> found.values.shape, bool(np.allclose(found.baseline + found.values.sum(axis=1), found.prediction))
    ((3, 1, 1), True)
    """
    caller = "tabular_attribution"
    X = as_rows(X, caller)
    background = X if background is None else as_rows(background, caller)
    check_argument(caller, "n_permutations", n_permutations, [Number(int, 1)])
    check_argument(caller, "random_state", random_state, [RandomState()])
    answer, classes = answers_of(estimator)
    columns = table_columns(estimator, caller) if columns is None else list(columns)
    for column in columns:
        check_column(X, column, caller)
        check_column(background, column, caller)
    random_state = private_random_state(random_state)
    prediction = answer(X)
    values = np.zeros((len(X), len(columns), prediction.shape[1]))
    baseline = np.zeros_like(prediction)
    for _ in range(n_permutations):
        order = random_state.permutation(len(columns))
        drawn = background.iloc[random_state.randint(len(background), size=len(X))]
        for way in (order, order[::-1]):
            steps = _steps(answer, X, drawn, columns, way)
            baseline += steps[0]
            values[:, way] += np.diff(steps, axis=0).swapaxes(0, 1)
    n_ways = 2 * n_permutations
    return Findings(
        values=values / n_ways,
        baseline=baseline / n_ways,
        prediction=prediction,
        names=columns,
        classes=classes,
        data=X[columns],
    )


def _steps(answer, X, drawn, columns, order):
    """Predict with no column of the rows' own, with the first, the first two, ...: (n_columns + 1, n, K)."""
    frame = X.copy()
    for column in columns:
        frame[column] = drawn[column].array
    frames = [frame]
    for position in order:
        frame = frame.copy()
        frame[columns[position]] = X[columns[position]]
        frames.append(frame)
    predicted = answer(pd.concat(frames, ignore_index=True))
    return predicted.reshape(len(frames), len(X), -1)


def table_columns(estimator, caller):
    """Columns of the table, as the first estimator of ours inside tells them in the user's own names."""
    for found in _inside(estimator):
        if hasattr(found, "tabular_columns_"):
            if not found.tabular_columns_:
                raise ValueError(f"{caller}: the model reads no column of the table.")
            return list(found.tabular_columns_)
    raise ValueError(
        f"{caller}: {type(estimator).__name__} does not tell which columns are the table's. "
        f"Pass columns=[...] (X has {listing(getattr(estimator, 'feature_names_in_', []), noun='column')})."
    )


def _inside(estimator):
    """Yield an estimator and those that it hands its rows to as they are."""
    yield estimator
    for model in getattr(estimator, "estimators_", [])[:1]:
        yield from _inside(model)
    if hasattr(estimator, "regressor_"):
        yield from _inside(estimator.regressor_)
