"""Rows as a fitted estimator's network saw them in training: encoded inputs, targets, weights."""

import numpy as np
import torch
from sklearn.utils.validation import _check_sample_weight
from torch.nn import functional as F

from skhyperfusion._table._columns import check_table
from skhyperfusion._target import check_labels, check_values
from skhyperfusion._wording import listing


class ScoredRows:
    """Rows that a fitted network can be scored on, by the loss that it was trained with.

    The estimator is read and not changed. Rows of weight zero are left out.

    Parameters
    ----------
    estimator : HyperFusionClassifier or HyperFusionRegressor
        Fitted.
    X, y, sample_weight
        As in its ``fit``.
    caller : str
        Function that the messages name.
    dtype : torch.dtype
        Type of the inputs.

    Attributes
    ----------
    dataset : FusionDataset
        Encoded by what the estimator learned at its fit.
    target : Tensor (n,) of codes or (n, K) of values, scaled as in training
    weight : Tensor (n,), with a mean of one
    """

    def __init__(self, estimator, X, y, sample_weight, *, caller, dtype):
        frame = check_table(estimator, X, reset=False)
        weight = _check_sample_weight(sample_weight, np.empty((len(frame), 1)), ensure_non_negative=True)
        kept = np.flatnonzero(weight)
        if not len(kept):
            raise ValueError(f"{caller} needs a row of positive weight; all {len(frame)} weigh zero.")
        if estimator._task == "classification":
            target = _codes(estimator, check_labels(y, frame.index, name=caller))
        else:
            target = _scaled(estimator, check_values(y, frame.index, name=caller))
        weight = estimator._row_weights(target[kept], weight[kept])
        self.dataset = estimator._encode_rows(frame.iloc[kept], dtype)
        self.target = torch.from_numpy(target[kept])
        self.weight = torch.from_numpy(weight / weight.mean())

    def __len__(self):
        return len(self.weight)

    def losses(self, outputs, rows):
        """Losses of rows: outputs (..., B, K) -> (..., B), in float64."""
        outputs, target = outputs.double().cpu(), self.target[rows]
        if target.ndim == 1:
            target = target.expand(outputs.shape[:-1])
            return F.cross_entropy(outputs.flatten(0, -2), target.flatten(), reduction="none").view_as(target)
        return (outputs - target).square().mean(-1)


def _codes(classifier, labels):
    known = np.isin(labels, classifier.classes_)
    if not known.all():
        strange = np.unique(labels[~known])
        raise ValueError(
            f"y holds {listing(strange, noun='label')}, which {type(classifier).__name__} was not fitted on. "
            f"It knows {listing(classifier.classes_, noun='label')}."
        )
    return np.searchsorted(classifier.classes_, labels)


def _scaled(regressor, values):
    target = (values - regressor.target_mean_) / regressor.target_scale_
    return target.reshape(len(target), -1)
