"""How much the loss depends on each layer: the paper's way to choose external layers."""

import copy
import fnmatch
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import differential_entropy
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skhyperfusion._base import BaseHyperFusion
from skhyperfusion._engine._device import spread_device
from skhyperfusion._rules import (
    Boolean,
    InstanceOf,
    Nothing,
    Number,
    RandomState,
    SequenceOf,
    check_argument,
    private_random_state,
)
from skhyperfusion._typing import ArrayLike, Names, Seed, TableLike
from skhyperfusion._wording import show
from skhyperfusion.inspection._probe import Probe, probe_losses
from skhyperfusion.inspection._rows import ScoredRows
from skhyperfusion.nn._externalize import ExternalLayer, obstacle, resolve_layers

NAME = "layer_sensitivity"
MIN_REPEATS = 5  # of fewer losses the entropy cannot be estimated


def layer_sensitivity(
    estimator: BaseHyperFusion,
    X: TableLike,
    y: ArrayLike,
    *,
    n_repeats: int = 400,
    layers: Names = None,
    sample_weight: ArrayLike | None = None,
    random_state: Seed = None,
    verbose: int = 0,
) -> Bunch:
    """Score the layers of a fitted network by how much the loss depends on each.

    The way in which the authors of HyperFusion chose the external layers: a trained network *without* a
    hypernetwork (``fusion="image"``), of which one layer is re-initialised at random many times; the entropy
    of the losses' distribution is the layer's score. The layers of the highest scores are candidates for
    ``external_layers``, among which a cross-validation decides.

    Parameters
    ----------
    estimator : HyperFusionClassifier, HyperFusionRegressor or HyperFusionSurvival
        Fitted, the last with ``loss="discrete"``. It is not changed.
    X : DataFrame or array (n_samples, n_features)
        Rows to take the loss of, as in the estimator's ``fit``: best such as it was not trained on, but not
        those that the final model is tested on.
    y : array (n_samples,) or (n_samples, n_outputs), or as the estimator's ``fit`` takes it
        Their target.
    n_repeats : int, default=400
        How often each layer is re-initialised, at least 5.
    layers : str or sequence of str, default=None
        Names or `fnmatch` patterns of layers, as in ``external_layers``; None: every linear and
        convolutional layer of backbone and head.
    sample_weight : array (n_samples,), default=None
        Weights of the rows in the loss.
    random_state : int, RandomState or None, default=None
        Source of the random weights. Each layer has a stream of its own: its losses do not depend on which
        other layers are scored, and the first ones not on `n_repeats`. torch's and NumPy's global states are
        neither read nor changed.
    verbose : int, default=0
        Above 0, a progress bar on stderr, one step per forward pass of a batch.

    Returns
    -------
    Bunch
        - table : DataFrame, one row per layer, highest score first: index ``layer`` (its name), ``kind``,
          ``n_parameters``, ``score`` (entropy in nats), ``mean_loss``, ``sd_loss``.
        - losses : DataFrame (n_repeats, n_layers), a column per layer, in the order of `table`.
        - loss : float, the loss of the network as it was fitted.
        - skipped : dict of str to str, why a layer among those asked for could not be scored. That of an
          external layer: its weights are generated from the table, so it has none to re-initialise.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is none of the three, or not an object of its class.
    ValueError
        If the network reads no image or was trained by Cox's loss, which no row has by itself, if a pattern
        finds no layer or none but external ones, if a class label was unknown at the fit, or a parameter is
        not as it should be.

    See Also
    --------
    LayerSensitivityDisplay : Draws it.
    skhyperfusion.HyperFusionClassifier : Its parameter ``external_layers``.

    Notes
    -----
    The loss is the one that the network was trained with: cross-entropy (in nats, with the estimator's
    ``class_weight``), the mean squared error of the standardised target, or the negative log-likelihood of
    the hazards, averaged over the rows; in eval mode, of outputs that are averaged over the views of an
    image.

    A layer is re-initialised by its own ``reset_parameters``: torch's rule of one scale for all, uniform in
    ``±1 / sqrt(fan-in)``, whatever the start of the training was.

    The source names the entropy and no estimate of it. Here it is the differential entropy of the losses'
    density, of which Ebrahimi's estimate is taken (Ebrahimi, Pflughoeft, Soofi 1994) ::

        score = 1 / n * sum_i log( n / (c_i m) * (L_(i+m) - L_(i-m)) ),   m = floor(sqrt(n) + 1/2)

    with L_(1) <= ... <= L_(n) the sorted losses, indices clipped to 1 ... n, c_i = 2 but for the m smallest
    and m largest, where it falls to 1. Loss and unit are the same for all layers, so that scores can be
    compared as they are: a layer whose losses spread e times as wide scores higher by 1. A histogram would
    not do as well: with common bins one layer of huge losses puts all others into one bin, with bins of its
    own each layer loses its scale. Scores may be negative. Minus infinity: the loss does not depend on the
    layer. NaN: a loss is not finite.

    Of every batch, what precedes a layer is computed once and not for each repeat.

    References
    ----------
    Duenias, Nichyporuk, Arbel, Riklin Raviv, "HyperFusion: A hypernetwork approach to multimodal
    integration of tabular and medical imaging data for predictive modeling", Medical Image Analysis, 2025,
    arXiv 2403.13319.

    Ebrahimi, Pflughoeft, Soofi, "Two measures of sample entropy", Statistics & Probability Letters 20, 1994.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(30, 8, 8)))})
    >>> y = np.array([scan.mean() for scan in X["scan"]])
    >>> network = HyperFusionRegressor(fusion="image", base_channels=2, max_epochs=5, random_state=0)
    >>> result = layer_sensitivity(network.fit(X, y), X, y, n_repeats=20, layers="head.*", random_state=0)
    >>> sorted(result.table.index)
    ['head.hidden1', 'head.output']
    >>> result.losses.shape
    (20, 2)
    """
    _check_arguments(estimator, n_repeats, layers, random_state, verbose)
    device = spread_device(estimator.device, fitted=True)
    network: Any = copy.deepcopy(estimator.module_).eval().to(device)
    parts = nn.ModuleDict({"backbone": network.backbone, "head": network.head})
    names, skipped = _choose(parts, layers)
    every = resolve_layers(parts, "*", NAME)
    rows = ScoredRows(estimator, X, y, sample_weight, caller=NAME, dtype=next(network.parameters()).dtype)
    entropy = private_random_state(random_state).randint(2**31)
    probes = [
        Probe(parts.get_submodule(name), _seeds(entropy, every.index(name), n_repeats)) for name in names
    ]
    loss, losses = probe_losses(
        network, probes, rows, batch_size=estimator.batch_size, device=device, verbose=verbose
    )
    return _summary(names, probes, loss, losses, skipped)


def _check_arguments(estimator, n_repeats, layers, random_state, verbose):
    if not isinstance(estimator, BaseHyperFusion):
        raise TypeError(
            f"{NAME} needs a fitted HyperFusionClassifier, HyperFusionRegressor or HyperFusionSurvival. Got "
            f"{show(estimator)} instead; of a pipeline or a search, pass the fitted step or best_estimator_."
        )
    rules = {
        "n_repeats": (n_repeats, [Number(int, MIN_REPEATS)]),
        "layers": (layers, [Nothing(), InstanceOf(str), SequenceOf(InstanceOf(str))]),
        "random_state": (random_state, [RandomState()]),
        "verbose": (verbose, [Number(int, 0), Boolean()]),
    }
    for parameter, (value, choices) in rules.items():
        check_argument(NAME, parameter, value, choices)
    check_is_fitted(estimator)
    if not estimator.module_.fusion.uses_image:
        raise ValueError(
            f"{NAME} scores layers of the network that reads the image, and this one reads none "
            f"(fusion={estimator.fusion!r}). Fit with images and fusion='image'."
        )


def _choose(parts, layers):
    """Names of the layers to score, and why others that were asked for cannot be: (names, skipped)."""
    patterns = ["*"] if layers is None else [layers] if isinstance(layers, str) else list(layers)
    kinds = (ExternalLayer, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    skipped = {
        name: obstacle(layer)
        for name, layer in parts.named_modules()
        if isinstance(layer, kinds)
        and obstacle(layer)
        and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
    try:
        return resolve_layers(parts, patterns, "layers"), skipped
    except ValueError as error:
        if not any(isinstance(parts.get_submodule(name), ExternalLayer) for name in skipped):
            raise
        raise ValueError(
            f"{error} An external layer has no weights to re-initialise: to score it, fit the same network "
            "with fusion='image'."
        ) from None


def _seeds(entropy, position, n_repeats):
    return np.random.SeedSequence(entropy, spawn_key=(position,)).generate_state(n_repeats).tolist()


def _summary(names, probes, loss, losses, skipped):
    table = pd.DataFrame(
        {
            "kind": [type(probe.layer).__name__ for probe in probes],
            "n_parameters": [sum(p.numel() for p in probe.layer.parameters()) for probe in probes],
            "score": [_entropy(row) for row in losses],
            "mean_loss": losses.mean(axis=1),
            "sd_loss": losses.std(axis=1, ddof=1),
        },
        index=pd.Index(names, name="layer"),
    ).sort_values("score", ascending=False, kind="stable")
    losses = pd.DataFrame(losses.T, columns=pd.Index(names, name="layer"))[table.index]
    return Bunch(table=table, losses=losses, loss=loss, skipped=skipped)


def _entropy(losses):
    """Differential entropy in nats; minus infinity where losses are equal, NaN where one is not finite."""
    if not np.isfinite(losses).all():
        return np.nan
    with np.errstate(divide="ignore"):  # the logarithm of no distance is what it should be
        return float(differential_entropy(losses, method="ebrahimi"))
