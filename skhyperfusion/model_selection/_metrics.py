"""Which metrics are errors, and how a metric is shown: errors without their minus sign."""

from collections.abc import Mapping

from skhyperfusion._rules import Nothing, OneOf, SequenceOf, check_argument
from skhyperfusion._sklearn_private import is_loss


def errors_in(scoring):
    """Return the metrics of a dict of metrics that are errors with a minus sign; None where names tell.

    Examples
    --------
    >>> errors_in({"MAE": "neg_mean_absolute_error", "R2": "r2"})
    ['MAE']
    """
    if not isinstance(scoring, Mapping):
        return None
    return [name for name, metric in scoring.items() if _is_error(name) or _is_error(metric)]


def _is_error(metric):
    return str(metric).startswith("neg_") if isinstance(metric, str) else is_loss(metric)


def check_errors(owner, errors, metrics):
    """Return the metrics that are errors with a minus sign; None: those whose names say so."""
    if errors is None:
        return [metric for metric in metrics if _is_error(metric)]
    check_argument(owner, "errors", errors, [Nothing(), SequenceOf(OneOf(*metrics), empty=True)])
    return list(errors)


def title_of(metric, errors):
    """Say what a metric's numbers are, and which of them are good if these are the small ones.

    Examples
    --------
    >>> title_of("neg_mean_absolute_error", ["neg_mean_absolute_error"])
    'mean absolute error (less is better)'
    >>> title_of("balanced_accuracy", [])
    'balanced accuracy'
    """
    name = metric.removeprefix("neg_") if metric in errors else metric
    return name.replace("_", " ") + (" (less is better)" if metric in errors else "")
