"""Several classifiers, combined by how sure each is of a row."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.ensemble import VotingClassifier
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skhyperfusion._rules import OneOf, check_parameters
from skhyperfusion._sklearn_private import constraints_without
from skhyperfusion._typing import ArrayLike, TableLike, Transformed, Voting
from skhyperfusion._wording import listing
from skhyperfusion.ensemble._rules import VOTING, combine


def _gives_probabilities(ensemble):
    if ensemble.voting == "hard":
        raise AttributeError("predict_proba is not available when voting='hard'")
    return True


class ConfidenceVotingClassifier(VotingClassifier):
    """Combine classifiers, listening most to those that are sure of the row at hand.

    A `sklearn.ensemble.VotingClassifier` with three further rules. The default is the one with which
    HyperFusion combines the models of its folds.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Classifiers by name; "drop" in the place of one leaves it out.
    voting : {"confidence", "confidence_hard", "most_confident", "soft", "hard"}, default="confidence"
        - "soft": mean of the probabilities.
        - "hard": majority of the predicted classes.
        - "confidence": mean of the probabilities, each weighted by the inverse of its entropy in the row.
        - "confidence_hard": majority, each classifier's vote (for its likeliest class) weighted so.
        - "most_confident": the classifier of least entropy alone, or the mean of those that share it.

        Among classes that come out equal, the first in ``classes_`` is predicted. A classifier that gives
        probabilities of 0 and 1 has entropy 0: where there are such, they alone count, and equally.
    weights : array (n_estimators,), default=None
        Further weights, which multiply the inverse entropies; None: equal.
    n_jobs : int, default=None
        Fits in parallel, by joblib.
    flatten_transform : bool, default=True
        `transform` returns (n_samples, n_estimators * n_classes) and not (n_estimators, n_samples,
        n_classes).
    verbose : bool, default=False
        Print the time of each fit.

    Attributes
    ----------
    estimators_ : list of estimator
        Fitted classifiers.
    named_estimators_ : Bunch
        The same by name.
    classes_ : ndarray (n_classes,)
        Class labels, sorted.
    le_ : LabelEncoder
        Turns labels into the numbers that the classifiers are fitted on.
    n_features_in_, feature_names_in_
        Those of the first classifier, if it has them.

    See Also
    --------
    FoldEnsembleClassifier : One classifier, fitted once per fold.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_iris(return_X_y=True)
    >>> members = [("logistic", LogisticRegression(max_iter=500)), ("bayes", GaussianNB())]
    >>> ensemble = ConfidenceVotingClassifier(members).fit(X, y)
    >>> bool(ensemble.score(X, y) > 0.95)
    True
    """

    # scikit-learn's own check of the parameters knows two rules only; `fit` checks this one.
    _parameter_constraints: ClassVar = constraints_without(VotingClassifier, "voting")

    def __init__(
        self,
        estimators: Sequence[tuple[str, Any]],
        *,
        voting: Voting = "confidence",
        weights: ArrayLike | None = None,
        n_jobs: int | None = None,
        flatten_transform: bool = True,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            estimators,
            voting=voting,
            weights=weights,
            n_jobs=n_jobs,
            flatten_transform=flatten_transform,
            verbose=verbose,
        )

    def fit(self, X: TableLike, y: ArrayLike, **fit_params: Any) -> Self:
        """Fit the classifiers.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            What the classifiers take; each gets all of it.
        y : array (n_samples,)
            Class labels.
        **fit_params : dict
            ``sample_weight``, for all of them; other names with metadata routing only.

        Returns
        -------
        ConfidenceVotingClassifier
            This estimator, fitted.
        """
        check_parameters(self, {"voting": [OneOf(*VOTING)]})
        if self.voting != "hard":
            silent = [
                name
                for name, estimator in self.estimators
                if estimator != "drop" and not hasattr(estimator, "predict_proba")
            ]
            if silent:
                raise ValueError(
                    f"voting={self.voting!r} needs predict_proba, which is missing in "
                    f"{listing(silent, noun='estimator')}. Wrap them in CalibratedClassifierCV, or pass "
                    "voting='hard'."
                )
        return super().fit(X, y, **fit_params)

    def predict(self, X: TableLike) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.

        Returns
        -------
        ndarray (n_samples,)
            The class with the greatest probability or share of the votes.
        """
        check_is_fitted(self)
        if self.voting == "hard":
            return super().predict(X)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    @available_if(_gives_probabilities)
    def predict_proba(self, X: TableLike) -> np.ndarray:
        """Combine the probabilities by the rule; not there with ``voting="hard"``.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.

        Returns
        -------
        ndarray (n_samples, n_classes)
            Probabilities in the order of ``classes_``; with ``voting="confidence_hard"`` shares of the votes.
        """
        check_is_fitted(self)
        return combine(self._collect_probas(X), self.voting, self._weights_not_none)

    def transform(self, X: TableLike) -> Transformed:
        """Return what the classifiers say one by one.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.

        Returns
        -------
        ndarray
            Probabilities: (n_samples, n_estimators * n_classes), or (n_estimators, n_samples, n_classes) with
            ``flatten_transform=False``; with ``voting="hard"`` numbers of the classes (n_samples,
            n_estimators).
        """
        check_is_fitted(self)
        if self.voting == "hard":
            return super().transform(X)
        probabilities = self._collect_probas(X)
        return np.hstack(probabilities) if self.flatten_transform else probabilities

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Name the columns of `transform`.

        Parameters
        ----------
        input_features : array of str, default=None
            Not used.

        Returns
        -------
        ndarray of str
            The name of the class, of the classifier, and the number of the label.
        """
        check_is_fitted(self)
        if self.voting != "hard" and not self.flatten_transform:
            raise ValueError(
                "get_feature_names_out needs flatten_transform=True: transform returns no table."
            )
        return super().get_feature_names_out(input_features)
