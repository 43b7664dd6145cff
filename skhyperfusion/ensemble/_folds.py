"""One model per fold of the training rows, whose predictions are combined."""

from typing import Any, ClassVar, Literal, Self, overload

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, column_or_1d

from skhyperfusion._meta import row_names
from skhyperfusion._rules import OneOf
from skhyperfusion._target_checks import check_labels, check_values
from skhyperfusion._typing import ArrayLike, Estimator, Folds, Scorer, TableLike, Voting
from skhyperfusion.ensemble._fold_base import BaseFoldEnsemble
from skhyperfusion.ensemble._rules import VOTING, combine


class FoldEnsembleClassifier(ClassifierMixin, BaseFoldEnsemble):
    """Fit a classifier once per fold, and combine what the models say.

    Each model is trained on all folds but one, as in a cross-validation; none is thrown away. This is how
    HyperFusion's models of the diagnosis are used.

    Parameters
    ----------
    estimator : classifier
        Cloned for each fold.
    cv : int, splitter or iterable of (train, test), default=5
        Folds. A number: stratified by class, of whole groups if `fit` gets groups
        (:ref:`in the guide <number-of-folds>`).
    voting : {"confidence", "confidence_hard", "most_confident", "soft", "hard"}, default="confidence"
        How the models are combined, as in `ConfidenceVotingClassifier`.
    n_best : int, default=None
        Keep so many models, those that score best in the fold that they were not trained on; None: all.
    scoring : str or callable, default=None
        What they are scored by; None: the estimator's own ``score``, if `n_best` is given.
    n_jobs : int, default=None
        Fits in parallel, by joblib.
    verbose : int, default=0
        Above 0, a progress bar on stderr.

    Attributes
    ----------
    estimators_ : list of classifier
        Fitted models, in the order of the folds.
    classes_ : ndarray (n_classes,)
        Class labels, sorted.
    fold_scores_ : ndarray (n_folds,)
        Score of each fold's model in its fold, kept or not; only with `n_best` or `scoring`.
    n_features_in_, feature_names_in_
        Those of the models, if they have them.

    See Also
    --------
    FoldEnsembleRegressor : The same for a continuous target.
    ConfidenceVotingClassifier : Different classifiers, each fitted on all rows.

    Notes
    -----
    A model knows nothing of the fold that it is not trained on, but for `n_best`: what the estimator does
    with validation rows (early stopping) it does with rows of its own.

    Examples
    --------
    The protocol of HyperFusion's study: a part that nothing sees, and four folds of the rest.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_iris(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)
    >>> ensemble = FoldEnsembleClassifier(GaussianNB(), cv=4).fit(X_train, y_train)
    >>> f"{ensemble.score(X_test, y_test):.2f}"
    '0.97'
    """

    _own_rules: ClassVar = {"voting": [OneOf(*VOTING)]}

    def __init__(
        self,
        estimator: Estimator,
        *,
        cv: Folds = 5,
        voting: Voting = "confidence",
        n_best: int | None = None,
        scoring: Scorer | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(estimator, cv=cv, n_best=n_best, scoring=scoring, n_jobs=n_jobs, verbose=verbose)
        self.voting = voting

    def fit(
        self,
        X: TableLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Fit one model per fold.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            What the estimator takes.
        y : array (n_samples,)
            Class labels.
        sample_weight : array (n_samples,), default=None
            Weights of the rows, for the estimator's ``fit``.
        groups : array (n_samples,), default=None
            Subjects, for the splitter, and for the estimator's ``fit`` if it takes groups.
        **params : dict
            With metadata routing, what estimator, splitter and scorer request.

        Returns
        -------
        FoldEnsembleClassifier
            This estimator, fitted.
        """
        return self._fit(X, y, sample_weight, groups, params)

    def predict(self, X: TableLike) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.

        Returns
        -------
        ndarray (n_samples,)
            The class with the greatest probability or share of the votes; of equal ones the first.
        """
        check_is_fitted(self)
        return self.classes_[combine(self._members(X), self.voting).argmax(axis=1)]

    @available_if(lambda self: self.voting != "hard")
    def predict_proba(
        self, X: TableLike, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict class probabilities; not there with ``voting="hard"``.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.
        return_std : bool, default=False
            Whether to return also how far the models differ.

        Returns
        -------
        probabilities : ndarray (n_samples, n_classes)
            Combined by the rule, in the order of ``classes_``; with ``voting="confidence_hard"`` shares of
            the votes.
        std : ndarray (n_samples, n_classes)
            Only with `return_std`: standard deviation of the models' own probabilities, whatever the rule.
            A row on which they differ is one to look at; but they share most of their training rows, and so
            their faults: where they agree, they may be wrong together.

        Raises
        ------
        ValueError
            With `return_std`, if there is one model only.
        """
        check_is_fitted(self)
        members = self._members(X)
        combined = combine(members, self.voting)
        return (combined, self._spread(members)) if return_std else combined

    @available_if(lambda self: self.voting != "hard")
    def predict_log_proba(self, X: TableLike) -> np.ndarray:
        """Predict logarithms of class probabilities; not there with ``voting="hard"``.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.

        Returns
        -------
        ndarray (n_samples, n_classes)
            Logarithms of what `predict_proba` returns; minus infinity where that is zero.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _check_parameters(self):
        super()._check_parameters()
        if self.voting != "hard" and not hasattr(self.estimator, "predict_proba"):
            raise ValueError(
                f"voting={self.voting!r} needs predict_proba, which {type(self.estimator).__name__} has not. "
                "Wrap it in CalibratedClassifierCV, or pass voting='hard'."
            )

    def _check_target(self, X, y):
        y = check_labels(y, row_names(X), name=type(self).__name__)
        self.classes_ = np.unique(y)
        return y

    def _members(self, X):
        return [self._probabilities(estimator, X) for estimator in self.estimators_]

    def _probabilities(self, estimator, X):
        """Probabilities of one model for all classes, also those that its folds had no row of."""
        if self.voting == "hard":
            codes = np.searchsorted(self.classes_, estimator.predict(X))
            return np.eye(len(self.classes_))[codes]
        own = estimator.predict_proba(X)
        probabilities = np.zeros((len(own), len(self.classes_)))
        probabilities[:, np.searchsorted(self.classes_, estimator.classes_)] = own
        return probabilities


class FoldEnsembleRegressor(RegressorMixin, BaseFoldEnsemble):
    """Fit a regressor once per fold, and average what the models say.

    Each model is trained on all folds but one, as in a cross-validation. HyperFusion's brain age is the mean
    of the best five of such models.

    Parameters
    ----------
    estimator : regressor
        Cloned for each fold.
    cv : int, splitter or iterable of (train, test), default=5
        Folds. A number: folds balanced in the target, of whole groups if `fit` gets groups
        (:ref:`in the guide <number-of-folds>`).
    n_best : int, default=None
        Average so many models, those that score best in the fold that they were not trained on; None: all.
    scoring : str or callable, default=None
        What they are scored by; None: the estimator's own ``score``, if `n_best` is given.
    n_jobs : int, default=None
        Fits in parallel, by joblib.
    verbose : int, default=0
        Above 0, a progress bar on stderr.

    Attributes
    ----------
    estimators_ : list of regressor
        Fitted models, in the order of the folds.
    fold_scores_ : ndarray (n_folds,)
        Score of each fold's model in its fold, kept or not; only with `n_best` or `scoring`.
    n_features_in_, feature_names_in_
        Those of the models, if they have them.

    See Also
    --------
    FoldEnsembleClassifier : The same for classes.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> ensemble = FoldEnsembleRegressor(Ridge(), cv=10, n_best=5, scoring="neg_mean_absolute_error")
    >>> len(ensemble.fit(X, y).estimators_), ensemble.fold_scores_.shape
    (5, (10,))

    How far do the models differ?

    >>> values, std = ensemble.predict(X[:2], return_std=True)
    >>> values.round().tolist(), std.round(1).tolist()
    ([181.0, 93.0], [0.9, 1.3])
    """

    def __init__(
        self,
        estimator: Estimator,
        *,
        cv: Folds = 5,
        n_best: int | None = None,
        scoring: Scorer | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(estimator, cv=cv, n_best=n_best, scoring=scoring, n_jobs=n_jobs, verbose=verbose)

    def fit(
        self,
        X: TableLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Fit one model per fold.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            What the estimator takes.
        y : array (n_samples,) or (n_samples, n_outputs)
            Values to predict; several outputs if the estimator can.
        sample_weight : array (n_samples,), default=None
            Weights of the rows, for the estimator's ``fit``.
        groups : array (n_samples,), default=None
            Subjects, for the splitter, and for the estimator's ``fit`` if it takes groups.
        **params : dict
            With metadata routing, what estimator, splitter and scorer request.

        Returns
        -------
        FoldEnsembleRegressor
            This estimator, fitted.
        """
        return self._fit(X, y, sample_weight, groups, params)

    @overload
    def predict(self, X: TableLike, return_std: Literal[False] = False) -> np.ndarray: ...

    @overload
    def predict(self, X: TableLike, return_std: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...

    def predict(self, X: TableLike, return_std: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict values.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.
        return_std : bool, default=False
            Whether to return also how far the models differ.

        Returns
        -------
        values : ndarray (n_samples,) or (n_samples, n_outputs)
            Mean of the models' predictions.
        std : ndarray (n_samples,) or (n_samples, n_outputs)
            Only with `return_std`: standard deviation of the models' predictions, in the unit of the target.
            It tells rows on which the models differ from others; it is no interval that holds the true value
            with some probability, since noise of the target is not in it, and the models share most of their
            training rows.

        Raises
        ------
        ValueError
            With `return_std`, if there is one model only.
        """
        check_is_fitted(self)
        predicted = [estimator.predict(X) for estimator in self.estimators_]
        values = np.mean(predicted, axis=0)
        return (values, self._spread(predicted)) if return_std else values

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = get_tags(self.estimator).target_tags.multi_output
        return tags

    def _check_target(self, X, y):
        y = check_values(y, row_names(X), name=type(self).__name__)
        return y if get_tags(self.estimator).target_tags.multi_output else column_or_1d(y, warn=True)
