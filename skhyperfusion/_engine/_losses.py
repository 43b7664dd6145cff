"""The losses that a network can be trained by, one number for each row."""

import functools

import torch
from torch import nn
from torch.nn.functional import logsigmoid, softplus


class LogisticHazard(nn.Module):
    """Negative logarithm of the likelihood of a hazard in each of K intervals of time, by logits.

    Shapes
    ------
    - outputs : (B, K), logits of the hazards, or what is to be added to the target's
    - target : (B, 2 + K), intervals survived; whether the event fell into the next one; logits to which the
      outputs are added, or none: (B, 2)
    - output : (B,)

    References
    ----------
    Gensheimer, Narasimhan, "A scalable discrete-time survival model for neural networks", PeerJ 7, 2019.

    Examples
    --------
    >>> loss = LogisticHazard()
    >>> loss(torch.zeros(2, 3), torch.tensor([[1.0, 1.0], [3.0, 0.0]])) / torch.log(torch.tensor(2.0))
    tensor([2., 3.])
    """

    def forward(self, outputs, target):
        """Return the loss of each row."""
        survived, event = target[:, 0], target[:, 1]
        if target.shape[1] > 2:
            outputs = outputs + target[:, 2:]
        intervals = torch.arange(outputs.shape[1], device=outputs.device)
        at_risk = intervals < (survived + event)[:, None]
        fell = (intervals == survived[:, None]) & (event == 1)[:, None]
        return (softplus(outputs) * at_risk - outputs * fell).sum(dim=1)


class CoxLoss(nn.Module):
    """Cox's negative log partial likelihood, over the batch and the last risks of all other rows.

    A batch of few scans holds few events, and hardly anybody at risk beside them. So the last risk of every
    training row is remembered; what is remembered gets no gradient, and a row of the batch gets the one that
    it has in the likelihood of all.

    Shapes
    ------
    - outputs : (B, 1), logarithms of risks
    - target : (B, 3), rank of the time, event, number of the row
    - weight : (B,)
    - output : (B,), the rows' shares times their weights

    References
    ----------
    Cox, "Regression models and life-tables", Journal of the Royal Statistical Society B 34, 1972.
    Efron, "The efficiency of Cox's likelihood function for censored data", JASA 72, 1977.
    """

    takes_weight = True

    def __init__(self):
        super().__init__()
        self.forget()

    def forget(self):
        """Forget the rows."""
        self._rows = None

    def get_extra_state(self):
        """Return what is remembered, for the state dict: training goes on with it."""
        return self._rows

    def set_extra_state(self, state):
        """Take over what was remembered."""
        self._rows = state

    def forward(self, outputs, target, weight):
        """Return the loss of each row; in training also remember its risk."""
        current = torch.cat([outputs.detach().double(), target[:, :2].double(), weight.double()[:, None]], 1)
        rows = self._beside(target[:, 2].long())
        together = torch.cat([current, rows])
        log_risk = together[:, 0].clone().requires_grad_()
        with torch.enable_grad():
            shares = efron_shares(log_risk, *together[:, 1:].unbind(1))
            (slope,) = torch.autograd.grad(shares.sum(), log_risk)
        if self.training:
            self._remember(target[:, 2].long(), current)
        n = len(outputs)
        slope = slope[:n].to(outputs.dtype)
        log_risk = outputs[:, 0]
        # The value of the row's share, the gradient of the likelihood of all.
        return shares[:n].detach().to(outputs.dtype) + slope * (log_risk - log_risk.detach())

    def _beside(self, numbers):
        """Return what is remembered of all rows but these."""
        if self._rows is None:
            return torch.empty(0, 4, dtype=torch.float64, device=numbers.device)
        is_other = ~torch.isnan(self._rows[:, 0])
        is_other[numbers[numbers < len(is_other)]] = False
        return self._rows[is_other]

    def _remember(self, numbers, current):
        n_rows = int(numbers.max()) + 1
        if self._rows is None or n_rows > len(self._rows):
            rows = torch.full((n_rows, 4), torch.nan, dtype=torch.float64, device=current.device)
            if self._rows is not None:
                rows[: len(self._rows)] = self._rows
            self._rows = rows
        self._rows[numbers] = current


def log_survival(outputs, log_odds):
    """Return the logarithm of the survival at the ends of the intervals (..., K) that outputs (..., K) mean.

    `log_odds` (K,) are those that the outputs are differences from, as `SurvivalTarget` learns them.
    """
    # In logarithms: they do not underflow, and a product along an axis is no operation of ONNX's.
    return logsigmoid(-outputs - log_odds).cumsum(-1)


def efron_shares(log_risk, rank, event, weight):
    """Return each row's share in Cox's negative log partial likelihood, ties by Efron's rule (n,).

    Of ``d`` events at one time, the l-th (from 0) is compared with the risk of all that are left less l / d
    of the risk of the d; each counts by their mean weight.

    Parameters
    ----------
    log_risk, rank, event, weight : Tensor (n,)
        Logarithm of the risk, time or its rank, 1 for an event, weight of the row.

    Examples
    --------
    Two events in order, equal risks: log 2 + log 1.

    >>> efron_shares(torch.zeros(2), torch.tensor([1.0, 2.0]), torch.ones(2), torch.ones(2)).exp()
    tensor([2., 1.])
    """
    times, place = torch.unique(rank, return_inverse=True)
    shift = log_risk.detach().max()
    risk = weight * torch.exp(log_risk - shift)
    zeros = torch.zeros(len(times), dtype=risk.dtype, device=risk.device)
    left = zeros.index_add(0, place, risk).flip(0).cumsum(0).flip(0)
    seen = torch.nonzero(event == 1)[:, 0]
    seen = seen[torch.argsort(place[seen], stable=True)]
    at = place[seen]
    tied = zeros.index_add(0, at, risk[seen])
    count = zeros.index_add(0, at, torch.ones_like(risk[seen]))
    mean_weight = zeros.index_add(0, at, weight[seen]) / count.clamp(min=1)
    first = torch.searchsorted(at, at)
    order = torch.arange(len(at), device=at.device) - first
    denominator = torch.log(left[at] - order / count[at] * tied[at]) + shift
    shares = mean_weight[at] * denominator - weight[seen] * log_risk[seen]
    return torch.zeros_like(log_risk).index_put((seen,), shares)


# Name -> what makes ``(outputs (B, K), target (B, ...)) -> (B,) or (B, K)``; CoxLoss takes weights as well.
LOSSES = {
    "cross_entropy": functools.partial(nn.CrossEntropyLoss, reduction="none"),
    "squared_error": functools.partial(nn.MSELoss, reduction="none"),
    "logistic_hazard": LogisticHazard,
    "cox": CoxLoss,
}


def row_losses(criterion, outputs, target, weight):
    """Return the loss of each row times its weight (B,); that of several outputs is their mean."""
    if getattr(criterion, "takes_weight", False):
        return criterion(outputs, target, weight)
    losses = criterion(outputs, target)
    return (losses.mean(dim=1) if losses.ndim > 1 else losses) * weight
