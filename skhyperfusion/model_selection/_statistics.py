"""Tests and intervals for scores that come from overlapping training sets."""

import numpy as np
from scipy import stats


def corrected_standard_error(values, test_train_ratio):
    """Return the standard error of a mean over folds, corrected for rows that training sets share.

    Nadeau and Bengio (2003): the variance of the k values is multiplied by ``1 / k + n_test / n_train``
    in place of ``1 / k``.

    Examples
    --------
    >>> float(corrected_standard_error([1.0, 2.0, 3.0, 4.0], 1 / 3)) ** 2  # 5 / 3 * (1 / 4 + 1 / 3)
    0.972...
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return np.nan
    variance = 0.0 if np.ptp(values) == 0 else values.var(ddof=1)
    return np.sqrt(variance * (1 / len(values) + test_train_ratio))


def corrected_interval(values, test_train_ratio, confidence):
    """Confidence interval of the mean over folds: (low, high), NaN for fewer than two folds.

    Examples
    --------
    >>> low, high = corrected_interval([0.7, 0.8, 0.9], 1 / 2, 0.95)
    >>> f"{low:.3f} {high:.3f}"
    '0.407 1.193'
    """
    mean, error = np.mean(values), corrected_standard_error(values, test_train_ratio)
    half = stats.t.ppf((1 + confidence) / 2, max(len(values) - 1, 1)) * error
    return mean - half, mean + half


def corrected_t_test(difference, test_train_ratio):
    """Two-sided p-value of the corrected resampled t-test of Nadeau and Bengio (2003).

    Examples
    --------
    >>> f"{corrected_t_test([0.1, 0.2, 0.0, 0.1], 1 / 3):.4f}"
    '0.2071'
    """
    difference = np.asarray(difference, dtype=np.float64)
    error = corrected_standard_error(difference, test_train_ratio)
    if np.isnan(error) or np.isnan(difference).any():
        return np.nan
    if error == 0:  # the same difference in every fold
        return 1.0 if difference[0] == 0 else 0.0
    return float(2 * stats.t.sf(abs(difference.mean()) / error, len(difference) - 1))


def wilcoxon_test(difference):
    """Two-sided p-value of Wilcoxon's signed-rank test; 1 where every difference is zero."""
    difference = np.asarray(difference, dtype=np.float64)
    if len(difference) == 0 or np.isnan(difference).any():
        return np.nan
    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference).pvalue)


def mann_whitney_test(values, reference):
    """Two-sided p-value of the Mann-Whitney U test between two sets of scores."""
    if len(values) == 0 or np.isnan(values).any() or np.isnan(reference).any():
        return np.nan
    return float(stats.mannwhitneyu(values, reference).pvalue)


def without_rounding_noise(values, scale):
    """Make differences equal that are equal but for the last bits, so that ranks see the ties.

    Examples
    --------
    >>> (0.9 - 0.8) == (0.8 - 0.7)
    False
    >>> a, b = without_rounding_noise([0.9 - 0.8, 0.8 - 0.7], scale=0.9)
    >>> bool(a == b)
    True
    """
    grain = 1e-12 * scale
    values = np.asarray(values, dtype=np.float64)
    return np.round(values / grain) * grain if grain > 0 else values


def holm(p_values):
    """Adjust p-values for their number by Holm's step-down rule; NaN stays NaN and does not count.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    order = np.argsort(p_values)[: np.count_nonzero(~np.isnan(p_values))]  # NaN sorts last
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
