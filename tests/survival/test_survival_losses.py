"""The two losses against likelihoods written out by hand."""

import itertools
import math

import numpy as np
import pytest
import torch

from skhyperfusion._engine._losses import CoxLoss, LogisticHazard, efron_shares
from skhyperfusion._survival import SurvivalTarget, survival_target


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_discrete_likelihood_when_written_out_is_that_of_the_loss():
    """Events in the first and last interval, censoring in the first, at an end, and behind the last."""
    logits = torch.tensor([[0.3, -1.2, 0.7]] * 5, dtype=torch.float64, requires_grad=True)
    target = SurvivalTarget("Test", n_intervals=3)
    y = survival_target([1, 1, 0, 0, 0], [1.0, 3.0, 0.5, 2.0, 9.0])
    values = target.learn(y, range(5))
    target.times = np.array([1.0, 2.0, 3.0])
    coded = torch.from_numpy(target.encode(values))
    h = [sigmoid(x) for x in (0.3, -1.2, 0.7)]
    log_survival = [math.log(1 - x) for x in h]
    expected = [
        -math.log(h[0]),
        -(log_survival[0] + log_survival[1] + math.log(h[2])),
        0.0,
        -(log_survival[0] + log_survival[1]),
        -sum(log_survival),
    ]
    losses = LogisticHazard()(logits, coded)
    np.testing.assert_allclose(losses.detach(), expected, rtol=1e-10)
    losses.sum().backward()
    np.testing.assert_allclose(logits.grad[1], [h[0], h[1], h[2] - 1], rtol=1e-10)
    np.testing.assert_allclose(logits.grad[2], [0, 0, 0], atol=1e-10)


def test_outputs_when_they_are_zero_are_the_hazards_of_the_training_rows_together():
    target = SurvivalTarget("Test", n_intervals=2)
    y = survival_target([1, 1, 0, 1, 0], [1.0, 2.0, 1.5, 3.0, 3.5])
    values, weight = target.learn(y, range(5)), np.array([1.0, 1.0, 2.0, 1.0, 3.0])
    target.fit(values, weight)
    np.testing.assert_array_equal(target.times, [2.0, 3.0])
    little = 1e-3 * weight.sum()
    # First interval: the rows of 1 and 2 fell of all but the one that left at 1.5; second: that of 3.
    np.testing.assert_allclose(
        target.log_odds, np.log([(2 + little) / (4 + little), (1 + little) / (3 + little)])
    )
    coded = torch.from_numpy(target.encode(values))
    logits = torch.tensor(target.log_odds).expand(5, 2)
    np.testing.assert_allclose(
        LogisticHazard()(torch.zeros(5, 2), coded), LogisticHazard()(logits, coded[:, :2]), rtol=1e-12
    )
    survival = target.survival(np.zeros((1, 1, 2)))[0]
    np.testing.assert_allclose(survival, np.cumprod(1 - 1 / (1 + np.exp(-target.log_odds))))


def efron_by_hand(risk, time, event, weight):
    """Efron's log partial likelihood as in the textbook, one time after the other."""
    total = 0.0
    for t in sorted({t for t, e in zip(time, event, strict=True) if e}):
        tied = [i for i in range(len(time)) if time[i] == t and event[i]]
        left = sum(weight[i] * math.exp(risk[i]) for i in range(len(time)) if time[i] >= t)
        own = sum(weight[i] * math.exp(risk[i]) for i in tied)
        mean = sum(weight[i] for i in tied) / len(tied)
        total += sum(weight[i] * risk[i] for i in tied)
        total -= mean * sum(math.log(left - l / len(tied) * own) for l in range(len(tied)))  # noqa: E741
    return total


RISK = [0.4, -0.3, 1.1, 0.2, -0.9, 0.6]
TIME = [1.0, 2.0, 2.0, 2.0, 3.0, 4.0]
EVENT = [1, 1, 1, 0, 0, 1]
WEIGHT = [1.0, 2.0, 0.5, 1.0, 1.5, 1.0]


def as_tensors(*columns):
    return [torch.tensor(column, dtype=torch.float64) for column in columns]


def test_cox_likelihood_with_ties_and_weights_is_that_of_the_textbook():
    risk, *rest = as_tensors(RISK, TIME, EVENT, WEIGHT)
    risk.requires_grad_()
    loss = efron_shares(risk, *rest).sum()
    assert loss.item() == pytest.approx(-efron_by_hand(RISK, TIME, EVENT, WEIGHT), rel=1e-10)
    loss.backward()
    step = 1e-5
    for i in range(len(RISK)):
        up, down = list(RISK), list(RISK)
        up[i] += step
        down[i] -= step
        rise = efron_by_hand(up, TIME, EVENT, WEIGHT) - efron_by_hand(down, TIME, EVENT, WEIGHT)
        assert float(risk.grad[i]) == pytest.approx(-rise / (2 * step), abs=1e-8)


def test_cox_gradient_by_batches_is_that_of_all_rows_once_all_are_remembered():
    risk, time, event, weight = as_tensors(RISK, TIME, EVENT, WEIGHT)
    target = torch.stack([time, event, torch.arange(6, dtype=torch.float64)], 1)
    whole = risk.clone().requires_grad_()
    efron_shares(whole, time, event, weight).sum().backward()
    loss = CoxLoss()
    for rows in ([0, 1], [2, 3], [4, 5]):
        loss(risk[rows, None], target[rows], weight[rows])
    for rows in itertools.combinations(range(6), 2):
        part = risk[list(rows), None].clone().requires_grad_()
        loss(part, target[list(rows)], weight[list(rows)]).sum().backward()
        np.testing.assert_allclose(part.grad[:, 0], whole.grad[list(rows)], rtol=1e-10, atol=1e-12)


def test_cox_loss_in_evaluation_remembers_nothing_and_knows_the_training_rows():
    risk, time, event, weight = as_tensors(RISK, TIME, EVENT, WEIGHT)
    target = torch.stack([time, event, torch.arange(6, dtype=torch.float64)], 1)
    loss = CoxLoss()
    loss(risk[:5, None], target[:5], weight[:5])
    loss.eval()
    first = loss(risk[5:, None], target[5:], weight[5:])
    again = loss(risk[5:, None], target[5:], weight[5:])
    assert float(first) == float(again) == pytest.approx(0.0)  # the last event has nobody beside it
    assert len(loss._rows) == 5
    loss.forget()
    assert loss._rows is None
