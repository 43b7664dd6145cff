"""One page that tells of a fitted model: data, network, scores, what it attends to, methods."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skhyperfusion._optional import import_pyplot
from skhyperfusion._rules import (
    InstanceOf,
    Nothing,
    Number,
    OneOf,
    RandomState,
    check_argument,
    private_random_state,
)
from skhyperfusion._typing import ArrayLike, Estimator, PathLike, Scorer, Seed
from skhyperfusion.inspection._answered import Answered, as_truth
from skhyperfusion.inspection._answers import as_rows, check_column
from skhyperfusion.inspection._contribution import groups_of
from skhyperfusion.inspection._members import members_of
from skhyperfusion.inspection._report import _data, _explanations, _methods, _results
from skhyperfusion.inspection._report._context import Context, roles_of
from skhyperfusion.inspection._report._page import Figures, page, paragraph
from skhyperfusion.inspection._subjects import Subjects

SECTIONS = {
    "Data checks": _data.data_checks,
    "Columns": _data.columns,
    "Network": _data.network,
    "Training": _data.training,
    "Scores": _results.scores,
    "Predictions and truth": _results.predictions,
    "What images and table contribute": _explanations.contribution,
    "What each column does": _explanations.profiles,
    "Where in the images": _explanations.maps,
    "What the generated weights do": _explanations.modulation,
    "Methods, for a paper": _methods.methods,
}


def report(
    estimator: Estimator,
    X: pd.DataFrame,
    y: ArrayLike,
    path: PathLike = "report.html",
    *,
    rows: Literal["unknown", "unseen", "training"] = "unknown",
    scoring: Scorer | Sequence[Scorer] | None = None,
    groups: ArrayLike | None = None,
    columns: Sequence[str] | None = None,
    max_rows: int = 100,
    n_attributions: int = 3,
    title: str | None = None,
    random_state: Seed = None,
) -> Path:
    """Write a page that tells of a fitted model, for people who do not run code.

    One HTML file without scripts, which needs no network: data checks, columns and their gaps, the network
    and its external layers, training curves, scores with intervals, predictions against the truth
    (calibration, values, or survival by risk), contributions of images and table, profiles of columns, maps
    of images, what the generated weights do, and a paragraph for a paper's methods. It holds no id and no
    path; names of columns and categories are in it, and pictures of some images.

    Parameters
    ----------
    estimator : estimator
        A fitted `HyperFusionClassifier`, `HyperFusionRegressor` or `HyperFusionSurvival`, a fold ensemble of
        them, a search over them, or a pipeline that ends in one. It is not changed.
    X : DataFrame (n_samples, n_features)
        Rows to report on, as in the estimator's ``fit``. They are not changed.
    y : array (n_samples,), or as the estimator's ``fit`` takes it
        Their target.
    path : str or path-like, default="report.html"
        The file; one that is there is replaced.
    rows : {"unknown", "unseen", "training"}, default="unknown"
        Whether the estimator was fitted on these rows: the page says so beside every score, and warns unless
        they are "unseen".
    scoring : str, callable or list of them, default=None
        Scores, as in `modality_contribution`, which takes the first. None: accuracy, balanced accuracy and
        ROC AUC; mean absolute error, root mean squared error and R2; Harrell's concordance.
    groups : array (n_samples,), default=None
        Subject of each row, for the intervals. None: the estimator's ``group_column``, if it has one by name;
        otherwise each row is a subject.
    columns : list of str, default=None
        Columns to draw profiles of. None: the six that move the mean prediction most.
    max_rows : int, default=100
        Rows, drawn at random, that profiles and the part on generated weights look at.
    n_attributions : int, default=3
        Images to map, from the lowest to the highest prediction; 0: none. They need the extra ``explain``.
    title : str, default=None
        Of the page; None: the estimator's name.
    random_state : int, RandomState or None, default=None
        Source of draws and permutations.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ImportError
        If matplotlib is not installed (extra ``plot``).
    FileNotFoundError
        If the folder is absent; before anything is computed.
    TypeError
        If X is no DataFrame, or the estimator is none of this package's.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    skhyperfusion.persistence.model_card : A description in Markdown, without data.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(40, 8, 8))), "weight": rng.normal(70, 8, 40)})
    >>> y = X["weight"] / 2 + rng.normal(size=len(X))
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=2, random_state=0).fit(X[:30], y[:30])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "report.html")
    ...     file = report(model, X[30:], y[30:], path, rows="unseen", n_attributions=0)
    ...     "without these rows" in file.read_text(encoding="utf-8")
    True
    """
    caller = "report"
    import_pyplot(caller)
    check_is_fitted(estimator)
    X = as_rows(X, caller)
    check_argument(caller, "rows", rows, [OneOf("unknown", "unseen", "training")])
    check_argument(caller, "max_rows", max_rows, [Number(int, 2)])
    check_argument(caller, "n_attributions", n_attributions, [Number(int, 0)])
    check_argument(caller, "title", title, [Nothing(), InstanceOf(str)])
    check_argument(caller, "random_state", random_state, [RandomState()])
    for column in columns or []:
        check_column(X, column, caller)
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{caller}: there is no folder {str(path.parent)!r} to write to. Make it first."
        )
    members = members_of(estimator, X, caller)
    y = as_truth(estimator, X, y, caller)
    subjects = Subjects(groups_of(estimator, X) if groups is None else groups, len(X), caller)
    random_state = private_random_state(random_state)
    networks = [member.estimator for member in members]
    images, tabular, group = roles_of(networks[0], X)
    context = Context(
        estimator=estimator,
        X=X,
        y=y,
        networks=networks,
        subjects=subjects,
        answered=Answered(estimator, X),
        images=images,
        tabular=tabular,
        group=group,
        few=np.sort(random_state.permutation(len(X))[:max_rows]),
        rows=rows,
        scoring=scoring,
        columns=columns,
        n_attributions=n_attributions,
        random_state=random_state,
        figures=Figures(),
    )
    sections = {heading: section(context) for heading, section in SECTIONS.items()}
    title = type(estimator).__name__ if title is None else title
    path.write_text(page(title, _lead(context), sections), encoding="utf-8")
    return path


def _lead(context):
    made = f"{type(context.estimator).__name__}, {len(context.X)} rows, {datetime.date.today().isoformat()}"
    return paragraph(made, "faint") + _results.said_of_rows(context)
