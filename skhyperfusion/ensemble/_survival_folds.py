"""One survival model per fold of the training rows, whose curves are averaged."""

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skhyperfusion._curves import mean_time
from skhyperfusion._meta import row_names
from skhyperfusion._survival import check_survival, survival_target
from skhyperfusion._survival_mixin import SurvivalMixin
from skhyperfusion._typing import ArrayLike, Estimator, Folds, Scorer, TableLike
from skhyperfusion.ensemble._fold_base import BaseFoldEnsemble


class FoldEnsembleSurvival(SurvivalMixin, BaseFoldEnsemble):
    """Fit a survival model once per fold, and average the curves that the models give.

    Curves of survival are averaged, not risks: those of different models have no common scale.

    Parameters
    ----------
    estimator : survival estimator
        Cloned for each fold, such as `HyperFusionSurvival`: with ``predict_survival_function``.
    cv : int, splitter or iterable of (train, test), default=5
        Folds. A number: in each its share of rows that had the event; of whole groups if `fit` gets groups.
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
    estimators_ : list of survival estimator
        Fitted models, in the order of the folds.
    unique_times_ : ndarray (n_times,)
        Times of all models, up to the earliest of their last ones.
    fold_scores_ : ndarray (n_folds,)
        Score of each fold's model in its fold, kept or not; only with `n_best` or `scoring`.
    n_features_in_, feature_names_in_
        Those of the models, if they have them.

    See Also
    --------
    FoldEnsembleRegressor : The same for a continuous target.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyperfusion import HyperFusionSurvival, survival_target
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 2))
    >>> y = survival_target(rng.random(40) < 0.7, rng.exponential(np.exp(-X[:, 0])))
    >>> model = HyperFusionSurvival(fusion="tabular", max_epochs=5, random_state=0)
    >>> ensemble = FoldEnsembleSurvival(model, cv=3).fit(X, y)
    >>> float(ensemble.predict_survival_function(X[:2])[0](0.0))
    1.0
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
        y : structured array (n_samples,) or DataFrame (n_samples, 2)
            First whether the event was seen (bool), second the time.
        sample_weight : array (n_samples,), default=None
            Weights of the rows, for the estimator's ``fit``.
        groups : array (n_samples,), default=None
            Subjects, for the splitter, and for the estimator's ``fit`` if it takes groups.
        **params : dict
            With metadata routing, what estimator, splitter and scorer request.

        Returns
        -------
        FoldEnsembleSurvival
            This estimator, fitted.
        """
        self._fit(X, y, sample_weight, groups, params)
        grid = np.unique(np.concatenate([model.unique_times_ for model in self.estimators_]))
        self.unique_times_ = grid[grid <= min(model.unique_times_[-1] for model in self.estimators_)]
        return self

    def predict(self, X: TableLike) -> np.ndarray:
        """Predict the risk: minus the mean time without the event up to the last of ``unique_times_``.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.

        Returns
        -------
        ndarray (n_samples,)
            In the unit of y; the higher, the sooner.
        """
        curves, rule = self._survival(X)
        return -mean_time(self.unique_times_, curves, rule)

    def _check_target(self, X, y):
        values = check_survival(y, row_names(X), name=type(self).__name__)
        return survival_target(values[:, 0].astype(bool), values[:, 1])

    def _survival(self, X):
        check_is_fitted(self)
        functions = [model.predict_survival_function(X) for model in self.estimators_]
        survival = np.mean([[curve(self.unique_times_) for curve in rows] for rows in functions], axis=0)
        return survival, getattr(functions[0][0], "interpolation", "step")
