"""What a survival estimator answers besides `predict`, from the survival that it predicts."""

from abc import ABC, abstractmethod

import numpy as np

from skhyperfusion._curves import SurvivalCurve, concordance_index
from skhyperfusion._meta import row_names
from skhyperfusion._survival import check_survival
from skhyperfusion._typing import ArrayLike, TableLike


class SurvivalMixin(ABC):
    """Curves and concordance of an estimator that knows survival at its ``unique_times_``."""

    @abstractmethod
    def predict(self, X: TableLike) -> np.ndarray:
        """Return the risk of each row."""

    @abstractmethod
    def _survival(self, X):
        """Return the survival at ``unique_times_`` (n, n_times), and how it goes on between them."""

    def predict_survival_function(self, X: TableLike, return_array: bool = False) -> np.ndarray:
        """Predict the probability to have had no event, over time.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.
        return_array : bool, default=False
            Return a matrix in place of functions.

        Returns
        -------
        ndarray (n_samples,) of SurvivalCurve, or ndarray (n_samples, n_times)
            Functions of time, known from 0 to the last of ``unique_times_``: with ``loss="discrete"`` the
            hazard is constant between the times, with "cox" the curve is a step function. Or their values at
            ``unique_times_``.
        """
        survival, rule = self._survival(X)
        return survival if return_array else self._curves(survival, 1.0, rule)

    def predict_cumulative_hazard_function(self, X: TableLike, return_array: bool = False) -> np.ndarray:
        """Predict the cumulative hazard over time, minus the logarithm of the survival.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.
        return_array : bool, default=False
            Return a matrix in place of functions.

        Returns
        -------
        ndarray (n_samples,) of SurvivalCurve, or ndarray (n_samples, n_times)
            As of `predict_survival_function`.
        """
        survival, rule = self._survival(X)
        hazard = -np.log(survival)
        return hazard if return_array else self._curves(hazard, 0.0, rule)

    def score(self, X: TableLike, y: ArrayLike) -> float:
        """Return Harrell's concordance of the predicted risks.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.
        y : structured array (n_samples,) or DataFrame (n_samples, 2)
            As in `fit`.

        Returns
        -------
        float
            .5 by chance, 1 if risks are in the order of the times.

        Raises
        ------
        ValueError
            If no pair of rows is known in its order: all are censored, or before the first event.
        """
        values = check_survival(y, row_names(X), name=f"{type(self).__name__}.score")
        return concordance_index(values[:, 0], values[:, 1], self.predict(X))

    def _curves(self, values, start, rule):
        functions = np.empty(len(values), dtype=object)
        functions[:] = [SurvivalCurve(self.unique_times_, row, start, rule) for row in values]
        return functions
