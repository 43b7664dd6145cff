"""What y is to a network: checked, coded for its loss, and told again in the words of whoever gave it."""

import numbers
import warnings
from abc import ABC, abstractmethod

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils.class_weight import compute_sample_weight

from skhyperfusion._target_checks import check_labels, check_values
from skhyperfusion._wording import did_you_mean, listing, show


class Target(ABC):
    """A kind of y. One is made for each fit, and is never changed after it.

    `learn` takes y in and returns its values, one row for each row of y; `fit` learns what only the training
    rows may tell. All other methods take such values, of any rows.

    Parameters
    ----------
    owner : str
        Name of the estimator, for the messages.

    Attributes
    ----------
    task : str
        What `nn.FusionNetwork` is told.
    loss : str
        Name of the loss among those of `skhyperfusion._engine._losses`.
    n_outputs : int
        Outputs of the network; known once `fit` has run.
    n_classes : int or None
        Number of classes; None where the outputs are none.
    """

    task: str
    loss: str
    n_outputs: int
    n_classes = None
    root_scale = None  # what the root of the loss is multiplied by, so that it is an error in y's own unit
    needs_outputs = False  # whether it has a `finish`, told what the trained network says of its rows

    def __init__(self, owner):
        self.owner = owner

    @abstractmethod
    def learn(self, y, index, previous=None):
        """Check y, learn what it is, and return its values.

        Parameters
        ----------
        y : array-like
            As it was given to ``fit`` of the estimator.
        index : Index (n,)
            Names of the rows, for the messages.
        previous : Target, optional
            What the fit before has learned, where a warm start goes on with its network: y must agree with
            it, and `fit` learns nothing more.

        Raises
        ------
        ValueError
            If y cannot be what it should, or disagrees with `previous`.
        """

    @abstractmethod
    def read(self, y, index, caller):
        """Return the values of rows that come after the fit; `caller` is who asks, for the messages."""

    @abstractmethod
    def fit(self, values, weight):
        """Learn from the values and weights of the training rows, and of no others."""

    @abstractmethod
    def encode(self, values):
        """Return what the loss is given: integers (n,), or floats (n, ...)."""

    @abstractmethod
    def original(self, values):
        """Return the values as y gave them."""

    @abstractmethod
    def predictions(self, outputs):
        """Return what answers a scorer for rows of known outputs (n, n_outputs)."""

    @abstractmethod
    def attributes(self):
        """Return the fitted attributes of the estimator that tell of y: name -> value."""

    def row_weights(self, values, sample_weight):
        """Return the weights of the rows in the loss: float64 (n,)."""
        return sample_weight.astype(np.float64)

    def strata(self, values):
        """Return the labels (n,) whose shares the rows held out are to keep, or None."""
        return None

    def lacking(self, values):
        """Return what the rows held out should have and lack, for the warning: the labels of classes."""
        return []

    def scorer(self, monitor):
        """Return the scorer ``(predictions, None, y) -> float`` that `monitor` means."""
        if not isinstance(monitor, str):
            return monitor
        names = get_scorer_names()
        if monitor not in names:
            raise ValueError(
                f"The 'monitor' parameter of {self.owner} must be 'loss', the name of a scorer of "
                f"scikit-learn, or a scorer. Got {monitor!r} instead{did_you_mean(monitor, names) or '.'}"
            )
        return get_scorer(monitor)


class LabelTarget(Target):
    """Class labels of any type. Their values are codes, 0 to K - 1, in the sorted order of the labels.

    Parameters
    ----------
    owner : str
        Name of the estimator.
    class_weight : "balanced", dict or None
        Weights of the classes in the loss.

    Attributes
    ----------
    classes : ndarray (K,)
        Labels, sorted.
    """

    task = "classification"
    loss = "cross_entropy"

    def __init__(self, owner, *, class_weight=None):
        super().__init__(owner)
        self.class_weight = class_weight

    @property
    def n_outputs(self):
        """One for each class."""
        return len(self.classes)

    @property
    def n_classes(self):
        """All of them, also those that the training rows lack."""
        return len(self.classes)

    def learn(self, y, index, previous=None):
        """Check the labels, learn the classes, and return their codes (n,)."""
        labels = check_labels(y, index, name=self.owner)
        self.classes, codes = np.unique(labels, return_inverse=True)
        if previous is not None and not np.array_equal(self.classes, previous.classes):
            raise ValueError(
                f"warm_start=True goes on with the classes {previous.classes.tolist()}, but y holds "
                f"{self.classes.tolist()}. Fit a clone, or set warm_start=False."
            )
        return codes

    def read(self, y, index, caller):
        """Return the codes (n,) of labels that are all known."""
        labels = check_labels(y, index, name=caller)
        is_class = np.isin(labels, self.classes)
        if not is_class.all():
            strange = np.unique(labels[~is_class])
            raise ValueError(
                f"y holds {listing(strange, noun='label')}, which {self.owner} was not fitted on. "
                f"It knows {listing(self.classes, noun='label')}."
            )
        return np.searchsorted(self.classes, labels)

    def fit(self, values, weight):
        """Learn nothing: a code is a code in whatever rows."""

    def encode(self, values):
        """Return the codes (n,)."""
        return values.astype(np.int64)

    def original(self, values):
        """Return the labels (n,)."""
        return self.classes[values]

    def predictions(self, outputs):
        """Return what answers `predict`, `predict_proba` and `decision_function`."""
        return ClassifierPredictions(outputs, self.classes)

    def attributes(self):
        """Return ``classes_``."""
        return {"classes_": self.classes}

    def lacking(self, values):
        """Return the classes that none of the rows has."""
        return self.classes[np.setdiff1d(np.arange(len(self.classes)), values)].tolist()

    def row_weights(self, values, sample_weight):
        """Return the weights of the rows (n,) times those of their classes."""
        weight = super().row_weights(values, sample_weight)
        if self.class_weight is None:
            return weight
        if isinstance(self.class_weight, dict):
            for label, of_class in self.class_weight.items():
                if not isinstance(of_class, numbers.Real) or not 0 <= of_class < np.inf:
                    raise ValueError(
                        f"class_weight of {self.owner} gives class {show(label)} the weight {show(of_class)}."
                        " A weight is a number >= 0; give a rare class more, and one that shall not count 0."
                    )
            known = self.classes.tolist()
            strange = [label for label in self.class_weight if label not in known]
            if strange and not set(known) <= set(self.class_weight):
                raise ValueError(
                    f"class_weight of {self.owner} names {listing(strange, noun='label')}, but y holds "
                    f"{listing(known, noun='label')}{did_you_mean(strange[0], known) or '.'}"
                )
        return weight * compute_sample_weight(self.class_weight, self.classes[values])

    def strata(self, values):
        """Return the codes."""
        return values


class ValueTarget(Target):
    """One number for each row, or several. Their values are floats (n, K).

    Parameters
    ----------
    owner : str
        Name of the estimator.
    standardize : bool
        Whether the loss is given values of mean 0 and standard deviation 1.

    Attributes
    ----------
    is_1d : bool
        Whether y was of shape (n,).
    mean, scale : ndarray (K,)
        Of the training rows; 0 and 1 where they are not standardised. The scale of a constant is 0.
    """

    task = "regression"
    loss = "squared_error"

    def __init__(self, owner, *, standardize=True):
        super().__init__(owner)
        self.standardize = standardize

    def learn(self, y, index, previous=None):
        """Check the values, learn their shape, and return them (n, K)."""
        values = check_values(y, index, name=self.owner)
        self.is_1d = values.ndim == 1
        values = values.reshape(len(values), -1)
        self.n_outputs = values.shape[1]
        self._continues = previous is not None
        if self._continues:
            if self.n_outputs != previous.n_outputs:
                raise ValueError(
                    f"warm_start=True goes on with {previous.n_outputs} output(s), but y has "
                    f"{self.n_outputs}. Fit a clone, or set warm_start=False."
                )
            # Where y was constant the network has learned nothing, and a scale of 0 would silence it.
            varies = (previous.scale == 0) & (np.ptp(values, axis=0) > 0)
            self.mean, self.scale = previous.mean, np.where(varies, 1.0, previous.scale)
        return values

    @property
    def root_scale(self):
        """The scale of y, where it is one number that varies; the mean over outputs has no unit."""
        return float(self.scale[0]) if len(self.scale) == 1 and self.scale[0] > 0 else None

    def read(self, y, index, caller):
        """Return the values (n, K)."""
        values = check_values(y, index, name=caller)
        values = values.reshape(len(values), -1)
        if values.shape[1] != self.n_outputs:
            raise ValueError(
                f"{self.owner} was fitted on {self.n_outputs} output(s), but y has {values.shape[1]}."
            )
        return values

    def fit(self, values, weight):
        """Learn mean and standard deviation, but for a warm start, which keeps those of before."""
        if self._continues:
            return
        self.mean, self.scale = np.zeros(self.n_outputs), np.ones(self.n_outputs)
        if self.standardize:
            self.mean = np.average(values, axis=0, weights=weight)
            self.scale = np.sqrt(np.average((values - self.mean) ** 2, axis=0, weights=weight))
            constant = np.ptp(values, axis=0) == 0
            # A mean is rounded: a constant would come out with a spread, and not as itself.
            self.mean = np.where(constant, values[0], self.mean)
            self.scale = np.where(constant, 0.0, self.scale)
            self._tell_constant(values, constant)

    def _tell_constant(self, values, constant):
        if constant.any():
            what = "y" if self.is_1d else listing(np.flatnonzero(constant), noun="output") + " of y"
            warnings.warn(
                f"{what} is {show(values[0, constant][0])} in all {len(values)} rows that {self.owner} "
                "trains on: there is nothing to learn, and it predicts that number for every row.",
                UserWarning,
                stacklevel=2,
            )

    def encode(self, values):
        """Return the values in units of the standard deviation, from the mean: (n, K)."""
        return (values - self.mean) / np.where(self.scale == 0, 1.0, self.scale)

    def original(self, values):
        """Return the values in the shape of y."""
        return values[:, 0] if self.is_1d else values

    def decode(self, outputs):
        """Return the outputs (n, K) in the unit and the shape of y."""
        return self.original(outputs * self.scale + self.mean)

    def predictions(self, outputs):
        """Return what answers `predict`."""
        return RegressorPredictions(self.decode(outputs))

    def attributes(self):
        """Return ``target_mean_`` and ``target_scale_``: numbers where y was of shape (n,)."""
        mean, scale = (self.mean[0], self.scale[0]) if self.is_1d else (self.mean, self.scale)
        return {"target_mean_": mean, "target_scale_": scale}


class ClassifierPredictions(ClassifierMixin, BaseEstimator):
    """What a classifier would answer for rows whose outputs are known; a scorer may ask it."""

    def __init__(self, outputs, classes):
        self.classes_ = classes
        self.proba_ = softmax(outputs, axis=1)

    def predict(self, X):
        """Return the likeliest classes."""
        return self.classes_[self.proba_.argmax(axis=1)]

    def predict_proba(self, X):
        """Return the probabilities."""
        return self.proba_

    def decision_function(self, X):
        """Return logarithms of probabilities; of two classes, their difference."""
        log_proba = np.log(self.proba_)
        return log_proba[:, 1] - log_proba[:, 0] if len(self.classes_) == 2 else log_proba


class RegressorPredictions(RegressorMixin, BaseEstimator):
    """What a regressor would answer for rows whose values are known; a scorer may ask it."""

    def __init__(self, values):
        self.values_ = values

    def predict(self, X):
        """Return the values."""
        return self.values_
