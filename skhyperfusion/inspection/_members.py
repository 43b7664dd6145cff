"""The networks inside a fitted estimator, and what each of them is given of a table's rows."""

import copy
from typing import NamedTuple

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional as F

from skhyperfusion._base import BaseHyperFusion
from skhyperfusion._engine._device import spread_device
from skhyperfusion._engine._losses import log_survival
from skhyperfusion._engine._predict import MAX_FLOAT64_VALUES
from skhyperfusion._table._columns import check_table
from skhyperfusion._wording import check_choice
from skhyperfusion.ensemble._fold_base import BaseFoldEnsemble
from skhyperfusion.nn._layout import lay_out_images

# Values of the images that a network is given at a time.
VALUES_AT_A_TIME = 1 << 20


class Member(NamedTuple):
    """A fitted estimator of ours, and the rows as they reach it."""

    estimator: BaseHyperFusion
    frame: object


def members_of(estimator, X, caller):
    """Return the fitted estimators of ours whose predictions are averaged, with the rows that each is given.

    Parameters
    ----------
    estimator : estimator
        One of ours, a fold ensemble of them, a search over them, or a pipeline that ends in any of these.
    X : DataFrame or array (n_samples, n_features)
        Rows as the outermost takes them.
    caller : str
        Function that the messages name.

    Raises
    ------
    TypeError
        If the estimator is something else.
    """
    check_is_fitted(estimator)
    if isinstance(estimator, BaseHyperFusion):
        return [Member(estimator, check_table(estimator, X, reset=False))]
    if isinstance(estimator, Pipeline):
        return members_of(estimator[-1], estimator[:-1].transform(X) if len(estimator) > 1 else X, caller)
    if isinstance(estimator, BaseFoldEnsemble):
        return [member for one in estimator.estimators_ for member in members_of(one, X, caller)]
    if hasattr(estimator, "best_estimator_"):
        return members_of(estimator.best_estimator_, X, caller)
    raise TypeError(
        f"{caller} looks into the network, and {type(estimator).__name__} is none of this package's "
        "estimators, nor a fold ensemble, a search or a pipeline that ends in one; pass its members singly."
    )


def encoded(member):
    """Return the images of a member's rows, an ImageSource, and their table, (n, T) or None."""
    encoder = member.estimator._encoder
    source = encoder.open_images(member.frame)
    return source, encoder.encode_table(member.frame, source)


class Answer(nn.Module):
    """What a fitted estimator answers, as a function of tensors that gradients go through.

    Of a classifier the log-odds of each class, ``log(p / (1 - p))``, with p averaged over the views of an
    image as in ``predict_proba``: unlike p they do not flatten out where the network is sure. Of a regressor
    its values, in the unit of y. Of a survival model the risk that ``predict`` gives.

    Parameters
    ----------
    estimator : BaseHyperFusion
        Fitted; its network is copied and never changed.

    Attributes
    ----------
    names : list or None
        Classes; None for one value, and for a regressor of several the numbers of its outputs.
    device : torch.device
        Where the copy is.
    dtype : torch.dtype
        Of the copy: double for images of up to so many voxels as predictions are computed in double.

    Shapes
    ------
    - image : (B, V, C, *S);  tabular : (B, T), or None with ``fusion='image'``
    - output : (B, K)
    """

    def __init__(self, estimator):
        super().__init__()
        self.device = spread_device(estimator.device, fitted=True)
        network = copy.deepcopy(estimator.module_)
        for part in network.modules():
            if getattr(part, "inplace", False):
                part.inplace = False  # what a hook has seen would be written over
        n_values = int(np.prod(network.image_shape))
        if n_values <= MAX_FLOAT64_VALUES and self.device.type in ("cpu", "cuda"):
            network.double()
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.dtype = next(network.parameters()).dtype
        self.target = estimator._target
        self.names, self.kind = _names_and_kind(estimator)

    def forward(self, image, tabular):
        """Return the answers."""
        views = [lay_out_images(view) for view in image.unbind(1)]
        return self.decode(torch.stack([self.network(view, tabular) for view in views], dim=1))

    def decode(self, outputs):
        """Return the answers that outputs (B, V, K) mean: (B, K), or (B, 1) of a survival model."""
        outputs = outputs.double()
        if self.kind == "classes":
            log_p = F.log_softmax(outputs, dim=2).logsumexp(1) - np.log(outputs.shape[1])
            return torch.stack([log_p[:, k] - _others(log_p, k) for k in range(log_p.shape[1])], dim=1)
        if self.kind == "values":
            scale, mean = (
                torch.as_tensor(part, device=outputs.device) for part in (self.target.scale, self.target.mean)
            )
            return outputs.mean(1) * scale + mean
        if self.kind == "log risk":
            return outputs.mean(1)
        return -self._mean_time(outputs)

    def _mean_time(self, outputs):
        """Return what `skhyperfusion._survival.mean_time` does of constant hazards, from their logits."""
        log_odds = torch.as_tensor(self.target.log_odds, device=outputs.device)
        curve = log_survival(outputs, log_odds).logsumexp(1) - np.log(outputs.shape[1])
        before = F.pad(curve[:, :-1], (1, 0))  # the logarithm of one
        fall = before - curve
        falls = fall > 1e-8
        mean_part = torch.where(falls, -torch.expm1(-fall) / torch.where(falls, fall, 1.0), 1.0)
        lengths = torch.as_tensor(np.diff(self.target.times, prepend=0.0), device=outputs.device)
        return (before.exp() * mean_part * lengths).sum(1, keepdim=True)

    def unit(self, target):
        """Return what the answer is, in words."""
        if self.kind == "classes":
            return f"log-odds of {target!r}"
        return {"values": "prediction", "risk": "risk", "log risk": "logarithm of the risk"}[self.kind]

    def rows_at_a_time(self):
        """Return how many images of this network's size are given to it at a time."""
        return int(np.clip(VALUES_AT_A_TIME // max(1, np.prod(self.network.image_shape)), 1, 64))


def _others(log_p, k):
    """Logarithm of the probability of all classes but k, exact where that of k is near one."""
    return torch.cat([log_p[:, :k], log_p[:, k + 1 :]], dim=1).logsumexp(1)


def _names_and_kind(estimator):
    if hasattr(estimator, "classes_"):
        return estimator.classes_.tolist(), "classes"
    target = estimator._target
    if target.task == "regression" and hasattr(target, "scale"):
        return (None if target.n_outputs == 1 else list(range(target.n_outputs))), "values"
    return None, "log risk" if target.loss == "cox" else "risk"


def choose_answer(answers, target, caller):
    """Return which of the answers is meant, and its name: (position for each member, name or None).

    Parameters
    ----------
    answers : list of Answer
        Of the members of one estimator.
    target : object
        A class, the number of an output, or None: the last class; the only value.
    caller : str
        Function that the messages name.

    Raises
    ------
    ValueError
        If there is no such class or output, a member of an ensemble does not know it, or it must be named.
    """
    first = max(answers, key=lambda answer: len(answer.names or ()))
    if first.names is None:
        if target is not None:
            raise ValueError(f"{caller}: target={target!r} names a class or output, and there is one value.")
        return [0] * len(answers), None
    if target is None and first.kind == "values":
        raise ValueError(f"{caller}: there are {len(first.names)} outputs; pass target=0 or another of them.")
    target = check_choice(
        "target",
        first.names[-1] if target is None else target,
        first.names,
        "label" if first.kind == "classes" else "output",
    )
    lacking = sum(target not in answer.names for answer in answers)
    if lacking:
        raise ValueError(
            f"{caller}: {lacking} of {len(answers)} models have seen no row of class {target!r}, so that "
            "they have no log-odds of it. Choose another target, or pass the models one by one."
        )
    return [answer.names.index(target) for answer in answers], target
