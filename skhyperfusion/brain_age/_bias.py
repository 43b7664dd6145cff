"""The bias of predicted ages towards the mean, and the gap that is left without it."""

import numbers
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from skhyperfusion._rules import check_sample_weight
from skhyperfusion._typing import ArrayLike
from skhyperfusion._wording import show


class AgeBias(NamedTuple):
    """A line through predicted ages against true ages: ``predicted = slope * true + intercept``.

    Predictions of age are drawn to the mean: slopes are below 1, the young come out too old and the old too
    young.

    Parameters
    ----------
    slope : float
        Years predicted per year of age.
    intercept : float
        Years predicted at age 0.

    See Also
    --------
    fit_age_bias : Fits it.

    Examples
    --------
    >>> AgeBias(slope=0.8, intercept=10.0).correct([26.0, 50.0, 74.0]).tolist()
    [20.0, 50.0, 80.0]
    """

    slope: float
    intercept: float

    def correct(self, y_pred: ArrayLike) -> np.ndarray:
        """Take the bias out of predicted ages, without knowing the true ones.

        ``(predicted - intercept) / slope``: the age at which the line gives that prediction (Cole et al.
        2018). Errors that are not bias grow by ``1 / slope``.

        Parameters
        ----------
        y_pred : array (n_samples,)
            Predicted ages in years, of rows that the line was not fitted on.

        Returns
        -------
        ndarray (n_samples,)
            Corrected ages in years.

        Raises
        ------
        ValueError
            If the slope is not positive: the predictions do not rise with age.
        """
        y_pred = _ages(y_pred, "y_pred")
        if self.slope <= 0:
            raise ValueError(
                f"Predictions that do not rise with age (slope {self.slope:.3g}) cannot be corrected. Look "
                "at the regressor before its bias."
            )
        return (y_pred - self.intercept) / self.slope


def fit_age_bias(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> AgeBias:
    """Fit the line that predicted ages follow, by least squares of predicted on true age.

    Parameters
    ----------
    y_true : array (n_samples,)
        True ages in years.
    y_pred : array (n_samples,)
        Ages that were predicted by models which had not seen these rows; on its own training rows a model
        seems to have no bias. And not the rows that the correction is meant for: that would use their ages.
    sample_weight : array (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    AgeBias
        Slope and intercept.

    Raises
    ------
    ValueError
        If lengths differ, an age is not finite, or all true ages are the same.

    See Also
    --------
    AgeBiasCorrector : Makes such predictions itself, of its training rows.

    Examples
    --------
    >>> fit_age_bias([20, 50, 80], [26, 50, 74])
    AgeBias(slope=0.8, intercept=10.0)
    """
    y_true, y_pred = _pair(y_true, y_pred)
    weight = check_sample_weight(sample_weight, range(len(y_true)))
    if len(np.unique(y_true[weight > 0])) < 2:
        raise ValueError(
            f"A bias with age needs two different ages, but all of {len(y_true)} rows are "
            f"{show(y_true[0])} years."
        )
    mean, mean_pred = np.average(y_true, weights=weight), np.average(y_pred, weights=weight)
    centred = y_true - mean
    slope = np.sum(weight * centred * (y_pred - mean_pred)) / np.sum(weight * centred**2)
    return AgeBias(float(slope), float(mean_pred - slope * mean))


def brain_age_gap(
    y_true: ArrayLike, y_pred: ArrayLike, *, correction: AgeBias | tuple[float, float] | None = None
) -> np.ndarray:
    """Compute by how many years a brain looks older than it is.

    Parameters
    ----------
    y_true : array (n_samples,)
        True ages in years.
    y_pred : array (n_samples,)
        Predicted ages in years, *as the regressor gave them*: of an `AgeBiasCorrector` that is
        ``corrector.regressor_.predict(X)``, not its own ``predict``.
    correction : AgeBias or (slope, intercept), default=None
        Line fitted on training rows, such as ``corrector.bias_`` or what `fit_age_bias` returned. None: the
        plain difference.

    Returns
    -------
    ndarray (n_samples,)
        ``predicted - true``, or with a correction ``predicted - (slope * true + intercept)``: by how much
        the prediction exceeds that of others of the same age.

    Raises
    ------
    ValueError
        If lengths differ, or an age is not finite.
    TypeError
        If `correction` is no pair of finite numbers.

    See Also
    --------
    AgeBiasCorrector : Fits the line inside of training rows.

    Notes
    -----
    The plain gap falls with age, because predictions are drawn to the mean. Whatever else depends on age then
    seems to depend on the gap. The corrected one is the gap less ``(slope - 1) * true + intercept``, which
    Beheshti et al. (2019) fit as a line through the gaps; de Lange et al. (2019) add the same to the
    prediction: ``predicted + true - (slope * true + intercept)``. The gap of predictions that are corrected
    as Cole et al. (2018) do, `AgeBias.correct`, is this one divided by the slope.

    This correction uses the true age. So a "corrected predicted age", true age plus corrected gap, is no
    prediction, and its error and R2 are excellent even if the model knows nothing (Butler et al. 2021, de
    Lange et al. 2022). Report those of ``y_pred``.

    References
    ----------
    Cole et al., "Brain age predicts mortality", Molecular Psychiatry 23, 2018.

    Beheshti, Nugent, Potvin, Duchesne, "Bias-adjustment in neuroimaging-based brain age frameworks: A robust
    scheme", NeuroImage: Clinical 24, 102063, 2019.

    de Lange et al., "Population-based neuroimaging reveals traces of childbirth in the maternal brain", PNAS
    116, 2019; de Lange, Cole, "Commentary: Correction procedures in brain-age prediction", NeuroImage:
    Clinical 26, 102229, 2020.

    Butler et al., "Pitfalls in brain age analyses", Human Brain Mapping 42, 2021; de Lange et al., "Mind the
    gap: Performance metric evaluation in brain-age prediction", Human Brain Mapping 43, 2022.

    Examples
    --------
    >>> age, predicted = [30, 70], [36, 66]
    >>> brain_age_gap(age, predicted).tolist()
    [6.0, -4.0]
    >>> brain_age_gap(age, predicted, correction=(0.8, 10.0)).tolist()
    [2.0, 0.0]
    """
    y_true, y_pred = _pair(y_true, y_pred)
    if correction is None:
        return y_pred - y_true
    slope, intercept = _line(correction)
    return y_pred - (slope * y_true + intercept)


def _line(correction):
    numbers_only = isinstance(correction, tuple | list | np.ndarray) and len(correction) == 2
    if not numbers_only or not all(isinstance(n, numbers.Real) and np.isfinite(n) for n in correction):
        hint = " Pass its bias_." if hasattr(correction, "bias_") else ""
        raise TypeError(
            f"correction must be None, an AgeBias or a pair (slope, intercept) of numbers. "
            f"Got {show(correction)} instead.{hint}"
        )
    return correction


def _pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y_true, y_pred = _ages(y_true, "y_true"), _ages(y_pred, "y_pred")
    check_consistent_length(y_true, y_pred)
    return y_true, y_pred


def _ages(y: ArrayLike, name: str) -> np.ndarray:
    return column_or_1d(check_array(y, ensure_2d=False, dtype=np.float64, input_name=name))
