"""The losses that a network can be trained by, one number for each row."""

import functools

from torch import nn

# Name -> what makes ``(outputs (B, K), target (B, ...)) -> (B,) or (B, K)``.
LOSSES = {
    "cross_entropy": functools.partial(nn.CrossEntropyLoss, reduction="none"),
    "squared_error": functools.partial(nn.MSELoss, reduction="none"),
}


def row_losses(criterion, outputs, target):
    """Return the loss of each row (B,); that of several outputs is their mean."""
    losses = criterion(outputs, target)
    return losses.mean(dim=1) if losses.ndim > 1 else losses
