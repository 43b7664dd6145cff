"""Batch normalisation that takes a batch of one row, and weighted rows."""

import math
import threading

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

# Running variance, as a share of eps, up to which a channel counts as constant: in training its spread comes
# out of the normalisation a thousandth as large as that of any other.
CONSTANT = 1e-6


class _Given(threading.local):
    # Thread-local rather than a ContextVar: torch.compile traces it without a graph break. Set in each
    # thread from the start, since the compiler guards on whether the attribute is there.
    def __init__(self):
        self.sample_weight = None


_given = _Given()


class weighted_rows:
    """Let every `BatchNorm` inside the block weight the rows of its batch.

    Parameters
    ----------
    sample_weight : Tensor of shape (B,) or None
        None changes nothing.
    """

    def __init__(self, sample_weight):
        self.sample_weight = sample_weight

    def __enter__(self):
        self.previous = _given.sample_weight
        _given.sample_weight = self.sample_weight
        return self

    def __exit__(self, *error):
        _given.sample_weight = self.previous


class BatchNorm(_BatchNorm):
    """Batch normalisation over rows and spatial axes, for any number of those.

    It differs from torch's own in five points, of which the first four concern training mode:

    - One value per channel (a last batch of one row) has no spread. Such a batch is normalised by
      the running statistics, and does not update them; torch raises.
    - The running variance is the population's (as in TensorFlow). Torch's unbiased estimate is twice
      the variance that the batch was normalised with when the batch has two values.
    - The running statistics start as plain averages of the batches seen, and forget from the batch on in
      which `momentum` is more than one over their number. Torch's keep a rest of the start at 0 and 1.
    - Inside `weighted_rows` the statistics are weighted, so that a row of weight 2 counts as two rows.
    - By running statistics, a channel that was constant over the training rows gives its bias, as it does in
      training. Torch multiplies what the running mean misses, were it a rounding error, by ``1/sqrt(eps)``,
      in every layer anew.

    In evaluation mode each row is normalised by itself. The parameters are torch's. Without running
    statistics (``track_running_stats=False``) every batch is normalised by its own, in evaluation mode too.

    Raises
    ------
    ValueError
        If the channels are others than were stated, or if there are neither running statistics nor two values
        per channel.

    Shapes
    ------
    - input, output : (B, C) or (B, C, *S)

    Examples
    --------
    >>> norm = BatchNorm(3)
    >>> norm(torch.ones(1, 3)).shape
    torch.Size([1, 3])
    """

    def _check_input_dim(self, input):
        if input.ndim < 2 or input.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm expects input of shape (B, {self.num_features}, *S). "
                f"Got {tuple(input.shape)} instead."
            )

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise `input`."""
        self._check_input_dim(input)
        weight = _given.sample_weight if self.training else None
        is_single = input.numel() <= input.shape[1]
        if self.running_mean is not None and (is_single or not self.training):
            return self._by_running_statistics(input)
        if is_single:
            raise ValueError(
                f"BatchNorm with track_running_stats=False got input of shape {tuple(input.shape)}: one "
                "value per channel has no spread. Give it at least 2, or let it keep running statistics."
            )
        if weight is not None:
            return self._weighted(input, weight)
        return self._unweighted(input)

    def _by_running_statistics(self, input):
        is_constant = self.running_var <= CONSTANT * self.eps
        variance = self.running_var.masked_fill(is_constant, math.inf)
        return F.batch_norm(input, self.running_mean, variance, self.weight, self.bias, False, 0.0, self.eps)

    def _unweighted(self, input):
        if self.running_mean is None:
            return F.batch_norm(input, None, None, self.weight, self.bias, True, 0.0, self.eps)
        mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        # Momentum 1 writes the batch's own statistics into the two fresh tensors, at no extra pass.
        out = F.batch_norm(input, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
        count = input.numel() // input.shape[1]
        self._update(mean, variance * ((count - 1) / count))
        return out

    def _weighted(self, input, sample_weight):
        shape = (-1,) + (1,) * (input.ndim - 1)
        weight = sample_weight.to(input).reshape(shape)
        if self.running_mean is None:  # nothing else to go by: weightless rows count alike
            weight = torch.where(weight.sum() > 0, weight, torch.ones_like(weight))
        total = weight.sum()
        share = weight / (total.clamp_min(torch.finfo(total.dtype).tiny) * input[0, 0].numel())
        axes = (0, *range(2, input.ndim))
        mean = (input * share).sum(axes, keepdim=True)
        variance = ((input - mean).square() * share).sum(axes, keepdim=True)
        channels = (1, -1) + (1,) * (input.ndim - 2)
        if self.running_mean is not None:
            mean, variance = self._tracked(mean, variance, total, channels)
        out = (input - mean) * (variance + self.eps).rsqrt()
        if self.weight is None:
            return out
        return out * self.weight.reshape(channels) + self.bias.reshape(channels)

    def _tracked(self, mean, variance, total, channels):
        # A batch of weightless rows has no statistics of its own, as a batch of one row has none.
        mean = torch.where(total > 0, mean, self.running_mean.reshape(channels).to(mean))
        variance = torch.where(total > 0, variance, self.running_var.reshape(channels).to(variance))
        self._update(mean.detach().flatten(), variance.detach().flatten())
        return mean, variance

    @torch.no_grad()
    def _update(self, mean, variance):
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked.to(self.running_mean)
        if self.momentum is not None:  # None: the average of all batches, as torch has it
            share = share.clamp_min(self.momentum)
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)


def measure_statistics(module: nn.Module, *inputs, sample_weight=None):
    """Run `module` once in training mode so that its batch normalisation holds these rows' statistics.

    The running statistics are replaced, not averaged into: the result depends on the rows alone.
    Returns what the module returned. Nothing else about the module changes.
    """
    norms = [m for m in module.modules() if isinstance(m, BatchNorm)]
    before = {m: m.training for m in module.modules()}
    momenta = [m.momentum for m in norms]
    try:
        module.train()
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad(), weighted_rows(sample_weight):
            return module(*inputs)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for m, training in before.items():
            m.training = training
