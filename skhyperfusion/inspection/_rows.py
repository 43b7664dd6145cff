"""Rows as a fitted estimator's network saw them in training: encoded inputs, targets, weights."""

import numpy as np
import torch

from skhyperfusion._engine._losses import LOSSES, row_losses
from skhyperfusion._rules import check_sample_weight
from skhyperfusion._table._columns import check_table


class ScoredRows:
    """Rows that a fitted network can be scored on, by the loss that it was trained with.

    The estimator is read and not changed. Rows of weight zero are left out.

    Parameters
    ----------
    estimator : HyperFusionClassifier, HyperFusionRegressor or HyperFusionSurvival
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
    target : Tensor (n, ...), encoded as in training
    weight : Tensor (n,), with a mean of one
    """

    def __init__(self, estimator, X, y, sample_weight, *, caller, dtype):
        frame = check_table(estimator, X, reset=False)
        weight = check_sample_weight(sample_weight, frame.index)
        kept = np.flatnonzero(weight)
        target = estimator._target
        values = target.read(y, frame.index, caller)[kept]
        weight = target.row_weights(values, weight[kept])
        self.dataset = estimator._encode_rows(frame.iloc[kept], dtype)
        self.target = torch.from_numpy(target.encode(values))
        self._criterion = LOSSES[target.loss]()
        if getattr(self._criterion, "takes_weight", False):
            raise ValueError(
                f"{caller} asks for the loss of each row by itself, and loss={estimator.loss!r} has none: a "
                "row's depends on all others. Fit with loss='discrete'."
            )
        self.weight = torch.from_numpy(weight / weight.mean())

    def __len__(self):
        return len(self.weight)

    def losses(self, outputs, rows):
        """Losses of rows: outputs (..., B, K) -> (..., B), in float64."""
        outputs, target = outputs.double().cpu(), self.target[rows]
        draws = outputs.reshape(-1, *outputs.shape[-2:])
        losses = [row_losses(self._criterion, draw, target, 1) for draw in draws]
        return torch.stack(losses).reshape(outputs.shape[:-1])
