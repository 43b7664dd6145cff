"""What a network has to beat: a linear model of the images' principal components and the table."""

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline

from skhyperfusion._table._preprocessor import TabularPreprocessor
from skhyperfusion._typing import Columns, FeatureMethod
from skhyperfusion.features._image_features import ImageFeatures
from skhyperfusion.images._loader import ImageLoader

_ALPHAS = np.logspace(-3, 5, 17)
_STRENGTHS = np.logspace(-4, 2, 7)
_LEAST_PROBABILITY = 1e-6  # of a class that the training part of an inner fold lacks


class LogisticSearch(GridSearchCV):
    """A logistic regression whose strength is chosen by the likelihood; its score is the accuracy."""

    def score(self, X, y=None, **params):
        """Return the accuracy, as every classifier does; a search by itself returns what it searched by."""
        return self.best_estimator_.score(X, y, **params)


def baseline_classifier(
    method: FeatureMethod = "pca",
    *,
    image_columns: Columns = "auto",
    image_loader: ImageLoader | None = None,
    n_components: int = 60,
) -> Pipeline:
    """Logistic regression on the image's principal components and the preprocessed table.

    A network that does not beat it in the same folds is not worth its time.

    Parameters
    ----------
    method : {"pca", "voxels"} or callable, default="pca"
        As in `ImageFeatures`, the pipeline's second step, as are the next three.
    image_columns : "auto", str, int or list of these, default="auto"
        Columns of images.
    image_loader : ImageLoader, default=None
        Reads them.
    n_components : int, default=60
        Features of "pca".

    Returns
    -------
    sklearn.pipeline.Pipeline
        ``tabularpreprocessor``, ``imagefeatures`` and ``logisticsearch``, whose logistic regression has the
        strength that predicts best in five inner folds (of rows: they know no groups), by the likelihood.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from skhyperfusion.datasets import make_brain_cohort
    >>> from skhyperfusion.features import baseline_classifier
    >>> cohort = make_brain_cohort(60, shape=(8, 8, 8), n_classes=2, random_state=0)
    >>> cross_val_score(baseline_classifier(n_components=5), cohort.data, cohort.target, cv=3).shape
    (3,)
    """
    search = LogisticSearch(
        LogisticRegression(max_iter=5000),
        {"C": _STRENGTHS},
        scoring=_log_likelihood,
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
    )
    return _baseline(method, image_columns, image_loader, n_components, search)


def baseline_regressor(
    method: FeatureMethod = "pca",
    *,
    image_columns: Columns = "auto",
    image_loader: ImageLoader | None = None,
    n_components: int = 60,
) -> Pipeline:
    """Ridge regression on the image's principal components and the preprocessed table.

    A network that does not beat it in the same folds is not worth its time.

    Parameters
    ----------
    method : {"pca", "voxels"} or callable, default="pca"
        As in `ImageFeatures`, the pipeline's second step, as are the next three.
    image_columns : "auto", str, int or list of these, default="auto"
        Columns of images.
    image_loader : ImageLoader, default=None
        Reads them.
    n_components : int, default=60
        Features of "pca".

    Returns
    -------
    sklearn.pipeline.Pipeline
        ``tabularpreprocessor``, ``imagefeatures`` and ``ridgecv``, whose strength is that with the least
        error of each training row left out.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skhyperfusion.datasets import make_brain_cohort
    >>> from skhyperfusion.features import baseline_regressor
    >>> cohort = make_brain_cohort(60, shape=(8, 8, 8), task="age", random_state=0)
    >>> search = GridSearchCV(baseline_regressor(), {"imagefeatures__n_components": [2, 5]}, cv=3)
    >>> search.fit(cohort.data, cohort.target).predict(cohort.data).shape
    (60,)
    """
    # Without a scoring, scikit-learn 1.9's RidgeCV asks itself without end where metadata routing is on, as
    # inside `compare_estimators`. This one chooses the same strength.
    ridge = RidgeCV(_ALPHAS, scoring="neg_mean_squared_error")
    return _baseline(method, image_columns, image_loader, n_components, ridge)


def _baseline(method, image_columns, image_loader, n_components, last):
    table = TabularPreprocessor(image_columns=image_columns)
    if image_columns != "auto":
        # The preprocessor hands images on as its last columns, in the order asked for.
        n_images = 1 if isinstance(image_columns, str | int) else len(image_columns)
        image_columns = list(range(-n_images, 0))
    images = ImageFeatures(
        method, image_columns=image_columns, image_loader=image_loader, n_components=n_components
    )
    # The table first: behind the images it would bring all components to one scale, the last with the first.
    return make_pipeline(table, images, last)


def _log_likelihood(model, X, y):
    """Mean logarithm of the probability of the true class; also where a small fold lacks a class."""
    probability = model.predict_proba(X)
    code = {label: k for k, label in enumerate(model.classes_)}
    true = [row[code[label]] if label in code else 0 for row, label in zip(probability, y, strict=True)]
    return float(np.log(np.maximum(true, _LEAST_PROBABILITY)).mean())
