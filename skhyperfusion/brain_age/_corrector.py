"""A regressor whose predicted ages are freed from their bias towards the mean."""

import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin
from sklearn.utils import indexable
from sklearn.utils.validation import (
    check_is_fitted,
    column_or_1d,
)

from skhyperfusion._meta import (
    fit_rows,
    make_folds,
    make_router,
    route_fit,
    row_names,
    run_fits,
    take_over_tags,
)
from skhyperfusion._rules import Boolean, HasMethods, Number, Rule, check_parameters, check_sample_weight
from skhyperfusion._sklearn_private import take_rows
from skhyperfusion._target_checks import check_values
from skhyperfusion._typing import ArrayLike, Estimator, Folds, TableLike
from skhyperfusion.brain_age._bias import fit_age_bias


class AgeBiasCorrector(RegressorMixin, MetaEstimatorMixin, BaseEstimator):
    """Correct the bias of a regressor's predicted ages, by a line fitted on its training rows alone.

    Predictions of age are drawn to the mean of the training rows: the young come out too old, the old too
    young. How much is learned from predictions of rows of the training set by models that were trained on the
    others; then the regressor is fitted on all training rows.

    Parameters
    ----------
    regressor : regressor
        Predicts the age; cloned for each fit.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the training rows. A number: folds balanced in age, of whole groups if `fit` gets groups
        (:ref:`in the guide <number-of-folds>`).
    n_jobs : int, default=None
        Fits in parallel, by joblib.
    verbose : int, default=0
        Above 0, a progress bar on stderr, one step per fit.

    Attributes
    ----------
    bias_ : AgeBias
        Slope and intercept of predicted on true age, in rows that the predicting model had not seen.
    regressor_ : regressor
        Fitted on all training rows; its own predictions are not corrected.
    n_features_in_, feature_names_in_
        Those of the regressor, if it has them.

    See Also
    --------
    brain_age_gap : With ``correction=corrector.bias_``, the gap corrected by the true age.

    Notes
    -----
    With ``predicted = slope * true + intercept`` fitted by least squares, `predict` returns
    ``(predicted - intercept) / slope`` (Cole et al. 2018). That needs no true age, so it may stand inside a
    cross-validation, whose scores then tell whether it helped: errors that are not bias grow by
    ``1 / slope``, and often the mean absolute error grows with them. What it serves is the comparison of
    people of different ages. The corrections of Beheshti et al. (2019) and of de Lange et al. (2019) use
    the true age; they are for the gap, and in `brain_age_gap`.

    The models that make the line are trained on fewer rows than ``regressor_``, so its bias may be a little
    smaller than the line says; more folds make the difference smaller.

    Weights count in the regressor's fits and in the line.

    References
    ----------
    Cole et al., "Brain age predicts mortality", Molecular Psychiatry 23, 2018.

    de Lange, Cole, "Commentary: Correction procedures in brain-age prediction", NeuroImage: Clinical 26,
    102229, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from skhyperfusion.brain_age import AgeBiasCorrector, brain_age_gap
    >>> rng = np.random.default_rng(0)
    >>> age = rng.uniform(20, 80, size=200)
    >>> X = age[:, None] + rng.normal(scale=20, size=(200, 1))
    >>> corrector = AgeBiasCorrector(Ridge()).fit(X, age)
    >>> f"{corrector.bias_.slope:.1f}"
    '0.4'
    >>> gap = brain_age_gap(age, corrector.regressor_.predict(X), correction=corrector.bias_)
    >>> bool(abs(np.corrcoef(gap, age)[0, 1]) < 0.05)
    True
    """

    def __init__(
        self, regressor: Estimator, *, cv: Folds = 5, n_jobs: int | None = None, verbose: int = 0
    ) -> None:
        self.regressor = regressor
        self.cv = cv
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(
        self,
        X: TableLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit the line on out-of-fold predictions, and the regressor on all rows.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            What the regressor takes.
        y : array (n_samples,)
            Ages in years.
        sample_weight : array (n_samples,), default=None
            Weights of the rows, for the regressor's ``fit`` and for the line.
        groups : array (n_samples,), default=None
            Subjects, for the splitter, and for the regressor's ``fit`` if it takes groups.

        Returns
        -------
        AgeBiasCorrector
            This estimator, fitted.

        Raises
        ------
        ValueError
            If y has gaps, several columns, or no two different ages.
        TypeError
            If there are weights, and the regressor takes none.

        Warns
        -----
        UserWarning
            If predictions do not rise with age; then they are not corrected.
        """
        rules: dict[str, list[Rule]] = {
            "regressor": [HasMethods("fit", "predict", "get_params", noun="a regressor")],
            "verbose": [Number(int, 0), Boolean()],
        }
        check_parameters(self, rules)
        rows = row_names(X)
        y = column_or_1d(check_values(y, rows, name=type(self).__name__), warn=True)
        X, y, groups = indexable(X, y, groups)
        weight = check_sample_weight(sample_weight, rows)
        routed = route_fit(
            self.get_metadata_routing(),
            self.regressor,
            sample_weight=None if sample_weight is None else weight,
            groups=groups,
        )
        splits = make_folds(self.cv, X, y, classifier=False, **routed.split)
        parts = {f"fold {fold} of the training rows": split for fold, split in enumerate(splits)}
        parts["the fit on all rows"] = np.arange(len(y)), None
        tasks = {which: (self.regressor, X, y, *part, routed.fit) for which, part in parts.items()}
        name = type(self).__name__
        found = dict(run_fits(_fit_and_predict, tasks, name=name, n_jobs=self.n_jobs, verbose=self.verbose))
        *predicted, regressor = (found[which] for which in tasks)
        seen = np.concatenate([test for _, test in splits])
        self.bias_ = fit_age_bias(y[seen], np.concatenate(predicted), sample_weight=weight[seen])
        self.regressor_ = regressor
        if self.bias_.slope <= 0:
            warnings.warn(
                f"Predictions of {type(self.regressor).__name__} do not rise with age in rows that it was "
                f"not fitted on (slope {self.bias_.slope:.3g}), so they are left as they are.",
                UserWarning,
                stacklevel=2,
            )
        return self

    def predict(self, X: TableLike) -> np.ndarray:
        """Predict ages, corrected.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.

        Returns
        -------
        ndarray (n_samples,)
            Ages in years.
        """
        check_is_fitted(self)
        predicted = self.regressor_.predict(X)
        return predicted if self.bias_.slope <= 0 else self.bias_.correct(predicted)

    def get_metadata_routing(self) -> Any:
        """Tell who gets which parameter of `fit`.

        Returns
        -------
        MetadataRouter
            From ``fit`` to the regressor's ``fit`` and the splitter's ``split``.
        """
        return make_router(type(self).__name__, self.regressor, self.cv)

    @property
    def n_features_in_(self) -> int:
        """Number of columns seen in `fit`, if the regressor knows it."""
        return self._fitted_regressor("n_features_in_").n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Their names, if the regressor knows them."""
        return self._fitted_regressor("feature_names_in_").feature_names_in_

    def _fitted_regressor(self, attribute):
        if not hasattr(self, "regressor_"):
            raise AttributeError(f"{type(self).__name__} has no {attribute} before fit.")
        return self.regressor_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "bias_")

    def __sklearn_tags__(self):
        return take_over_tags(super().__sklearn_tags__(), self.regressor)


def _fit_and_predict(regressor, X, y, train, test, params):
    """Return the predictions for the rows left out, or without such the fitted regressor."""
    fitted = fit_rows(regressor, X, y, train, params)
    return fitted if test is None else fitted.predict(take_rows(fitted, X, None, test, train)[0])
