"""What images and table each add to a score, and what only both together do."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skhyperfusion._rules import Number, RandomState, check_argument, private_random_state
from skhyperfusion._table._columns import resolve_columns
from skhyperfusion._typing import ArrayLike, Estimator, Scorer, Seed
from skhyperfusion._wording import show
from skhyperfusion.inspection._answered import Answered, as_truth, make_scorer_of
from skhyperfusion.inspection._answers import Findings, as_rows, check_column
from skhyperfusion.inspection._subjects import Subjects, classes_to_keep

NAMES = ["images", "table", "both", "interaction"]


def modality_contribution(
    estimator: Estimator,
    X: pd.DataFrame,
    y: ArrayLike,
    scoring: Scorer | None = None,
    *,
    groups: ArrayLike | None = None,
    image_columns: Sequence[str] | None = None,
    n_repeats: int = 10,
    n_resamples: int = 200,
    confidence: float = 0.95,
    random_state: Seed = None,
) -> Bunch:
    """Tell what a score loses when subjects get the images, the table rows, or both, of others.

    The images are exchanged among the subjects, the table staying where it is; then the table; then both, so
    that each subject is predicted as another. The intervals come from subjects drawn again with replacement:
    other permutations of the same subjects would hardly differ, and an interval of those alone misses zero
    for a table of noise.

    Parameters
    ----------
    estimator : estimator
        Fitted: a classifier, regressor or survival model, an ensemble or a pipeline of them. It is not
        changed.
    X : DataFrame (n_samples, n_features)
        Rows that the estimator was not fitted on: of those that it was, it remembers even noise. They are not
        changed.
    y : array (n_samples,), or as the estimator's ``fit`` takes it
        Their target.
    scoring : str or callable, default=None
        The score; greater is better. A callable must use the estimator's answers and y alone. None: accuracy
        of a classifier, R2 of a regressor, Harrell's concordance of a survival model.
    groups : array (n_samples,), default=None
        Subject of each row: all its rows get images, or table rows, of the same other subject, and are drawn
        together. None: the estimator's ``group_column``, if it has one by name; otherwise each row is a
        subject.
    image_columns : list of str, default=None
        Columns that hold images; the others are the table. None: those whose cells are images.
    n_repeats : int, default=10
        How often subjects are exchanged; each costs two predictions of every row.
    n_resamples : int, default=200
        How often subjects are drawn again.
    confidence : float, default=0.95
        Coverage of the intervals.
    random_state : int, RandomState or None, default=None
        Source of exchanges and draws.

    Returns
    -------
    Bunch
        ``names``: "images", "table", "both", "interaction"; ``values`` (4,): what the score loses, on average
        over the repeats, and for the interaction: losses of images and table less that of both;
        ``interval`` (4, 2): percentiles over the draws; ``score``: of the rows as they are; ``repeats``
        (n_repeats, 4) and ``resamples`` (n_resamples, 4): the losses of each; ``scoring``: the score's name;
        ``confidence``; ``n_subjects``.

    Raises
    ------
    TypeError
        If X is no DataFrame.
    ValueError
        If there is no image column, only one subject, or a score is not finite.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    ContributionDisplay : Draws it.

    Notes
    -----
    The interaction is zero where images and table add up (for a squared error), positive where the one is of
    use only with the other, as where the table tells how the image is to be read, and negative where
    they tell the same, so that either replaces the other.

    References
    ----------
    Fisher, Rudin, Dominici, "All models are wrong, but many are useful", Journal of Machine Learning Research
    20, 2019: a loss under permutation ("model reliance"), and its spread over samples of rows.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(60, 8, 8))), "weight": rng.normal(70, 8, 60)})
    >>> y = X["weight"] / 2 + rng.normal(size=len(X))
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=30, random_state=0).fit(X[:40], y[:40])
    >>> found = modality_contribution(model, X[40:], y[40:], n_repeats=3, n_resamples=50, random_state=0)
    >>> found.scoring, bool(found.values[1] > found.values[0])  # the weight counts, the scan does not
    ('r2', True)
    """
    caller = "modality_contribution"
    check_is_fitted(estimator)
    X = as_rows(X, caller)
    for name, value, low in (("n_repeats", n_repeats, 1), ("n_resamples", n_resamples, 2)):
        check_argument(caller, name, value, [Number(int, low)])
    check_argument(caller, "confidence", confidence, [Number(float, 0, 1, closed="neither")])
    check_argument(caller, "random_state", random_state, [RandomState()])
    y = as_truth(estimator, X, y, caller)
    scorer, name = make_scorer_of(estimator, scoring, caller)
    images = _image_columns(X, image_columns, caller)
    subjects = Subjects(groups_of(estimator, X) if groups is None else groups, len(X), caller)
    random_state = private_random_state(random_state)
    sources = [subjects.exchange(random_state) for _ in range(n_repeats)]
    scores = _Scores(scorer, name, y, estimator, X, images, sources)
    whole, repeats = scores.losses(np.arange(len(X)))
    classes = classes_to_keep(estimator, y)
    draws = (subjects.resample(random_state, classes) for _ in range(n_resamples))
    with config_context(assume_finite=True, skip_parameter_validation=True):  # thousands of small calls
        resamples = np.array([scores.losses(rows)[1].mean(axis=0) for rows in draws])
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return Findings(
        names=list(NAMES),
        values=repeats.mean(axis=0),
        interval=np.quantile(resamples, tails, axis=0).T,
        score=whole,
        repeats=repeats,
        resamples=resamples,
        scoring=name,
        confidence=confidence,
        n_subjects=len(subjects),
    )


class _Scores:
    """Scores of rows as they are, and with the images or table rows of others."""

    def __init__(self, scorer, name, y, estimator, X, images, sources):
        self.scorer, self.name, self.y, self.sources = scorer, name, y, sources
        table = [column for column in X.columns if column not in images]
        self.own = Answered(estimator, X)
        self.with_images = [Answered(estimator, _exchanged(X, images, source)) for source in sources]
        self.with_table = [Answered(estimator, _exchanged(X, table, source)) for source in sources]

    def losses(self, rows):
        """Return the score of some rows, and what each repeat loses of it (n_repeats, 4)."""
        own = self._score(self.own, rows, rows)
        lost = np.empty((len(self.sources), 4))
        for repeat, source in enumerate(self.sources):
            lost[repeat, :3] = [
                own - self._score(self.with_images[repeat], rows, rows),
                own - self._score(self.with_table[repeat], rows, rows),
                own - self._score(self.own, source[rows], rows),  # predicted as another subject
            ]
        lost[:, 3] = lost[:, 0] + lost[:, 1] - lost[:, 2]
        return own, lost

    def _score(self, answered, places, rows):
        score = self.scorer(answered, places, self.y[rows])
        if not np.isfinite(score):
            raise ValueError(
                f"modality_contribution: {self.name} is {show(score)} for a sample of the {len(self.y)} "
                "rows. Pass more rows, or a score that is defined for each of their samples."
            )
        return score


def _exchanged(X, columns, source):
    """Return the rows with some columns taken from other rows, in the types that they have."""
    frame = X.copy(deep=False)
    for column in columns:
        frame[column] = X[column].array.take(source)
    return frame


def _image_columns(X, image_columns, caller):
    if image_columns is None:
        found = list(resolve_columns(X, estimator_name=caller, on_no_image="ignore").image)
    else:
        found = [image_columns] if isinstance(image_columns, str) else list(image_columns)
        for column in found:
            check_column(X, column, caller)
    if not found:
        raise ValueError(
            f"{caller} found no column of images in X. Pass image_columns=[...], also where these are the "
            "pixels; for a table alone there is sklearn.inspection.permutation_importance."
        )
    return found


def groups_of(estimator, X):
    """Return the subject of each row by the group_column that the estimator was given, or None."""
    for name, value in estimator.get_params().items():
        if name.rpartition("__")[2] == "group_column" and isinstance(value, str) and value in X.columns:
            return X[value].to_numpy()
    return None
