"""Parameters that were set and do nothing beside the others: told once a fit."""

import inspect
import warnings

from skhyperfusion._wording import show

# From which `hyper_depth` on there is something that they shape; and where there always is.
_USED_FROM = {"embedding_dim": 1, "shared_embedding": 1, "pretrain_embedding": 1, "hyper_width": 2}
_EMBEDDED_ANYWAY = {
    "hyper": (),
    "reverse": ("hyper_width", "pretrain_embedding"),
    "late": tuple(_USED_FROM),
    "tabular": tuple(_USED_FROM),
}
_WITH_EXTERNAL_LAYERS = ("hyper", "reverse")


def warn_of_unused_parameters(estimator, fusion, *, holds_out, architecture=None):
    """Warn where a parameter that was changed does nothing; one warning for all of them.

    The hypernetwork's parameters may stand beside a `fusion` that has no hypernetwork: they wait there for
    the other candidates of a search over `fusion`. With one that has, their depth must have a use for them.

    Parameters
    ----------
    estimator : estimator
        A value counts as changed where it is not the default of the constructor.
    fusion : str
        The fusion of this fit: 'tabular' where no column holds images.
    holds_out : bool
        Whether rows are held out to choose the best epoch.
    architecture : dict or None
        What the network of the previous fit was built with, where `warm_start` goes on with it.
    """
    changed = _changed(estimator)
    notes = [
        note
        for note in (
            _beside_depth(changed, fusion, estimator.hyper_depth),
            _beside_fusion(changed, fusion),
            _beside_loss(changed),
            _without_rows_held_out(changed, holds_out, estimator.early_stopping),
            _built_otherwise(estimator.get_params(deep=False) | {"fusion": fusion}, architecture or {}),
        )
        if note
    ]
    if notes:
        warnings.warn(f"{type(estimator).__name__}: {' '.join(notes)}", UserWarning, stacklevel=2)


def _changed(estimator):
    """Return the parameters that are not at their defaults: name -> value."""
    signature = inspect.signature(type(estimator).__init__).parameters
    params = estimator.get_params(deep=False)
    return {name: value for name, value in params.items() if not _equal(value, signature[name].default)}


def _equal(value, other):
    # Of other types == may give an array, or say nothing of what the object does.
    return value is other or (isinstance(other, bool | int | float | str | tuple) and bool(value == other))


def _beside_depth(changed, fusion, depth):
    always = _EMBEDDED_ANYWAY.get(fusion, tuple(_USED_FROM))
    idle = {
        name: first
        for name, first in _USED_FROM.items()
        if name in changed and depth < first and name not in always
    }
    if not idle:
        return ""
    return (
        f"{_values(changed, idle)} no effect at hyper_depth={depth}: "
        + ", ".join(f"{name} is used from hyper_depth={first}" for name, first in idle.items())
        + ". Raise hyper_depth, or leave what has no effect at its default."
    )


def _beside_fusion(changed, fusion):
    idle = []
    if "external_layers" in changed and fusion not in _WITH_EXTERNAL_LAYERS:
        idle.append("external_layers")
    rates = _comparable(changed.get("dropout", 0.0))
    if fusion == "tabular" and isinstance(rates, tuple) and len(set(rates)) > 1:
        idle.append("dropout")
    if not idle:
        return ""
    why = {
        "external_layers": "only 'hyper' and 'reverse' have external layers",
        "dropout": "of several rates only the last is used by the network that reads the table",
    }
    return (
        f"{_values(changed, idle)} no effect with fusion={fusion!r}: {', '.join(why[name] for name in idle)}."
    )


def _beside_loss(changed):
    if "n_intervals" not in changed or changed.get("loss") != "cox":
        return ""
    return (
        f"{_values(changed, ['n_intervals'])} no effect with loss='cox': only 'discrete' cuts time into "
        "intervals."
    )


def _without_rows_held_out(changed, holds_out, early_stopping):
    # Who turns early stopping off, of a preset say, knows that nothing is monitored.
    if holds_out or early_stopping != "auto" or "monitor" not in changed:
        return ""
    return (
        f"{_values(changed, ['monitor'])} no effect with early_stopping={show(early_stopping)} here: no rows "
        "are held out, and the last epoch counts. Pass early_stopping=True."
    )


def _built_otherwise(params, architecture):
    """Tell of what the network of a warm start was built without; an own backbone cannot be compared."""
    idle = [
        name
        for name, built in architecture.items()
        if name in params and not (callable(built) or _equal(_comparable(params[name]), _comparable(built)))
    ]
    if not idle:
        return ""
    built = ", ".join(f"{name}={show(architecture[name])}" for name in idle)
    return (
        f"{_values(params, idle)} no effect with warm_start=True: the network of the previous fit goes on, "
        f"and was built with {built}. Pass warm_start=False for a new one."
    )


def _comparable(value):
    is_sequence = not isinstance(value, str) and not callable(value) and hasattr(value, "__iter__")
    return tuple(value) if is_sequence else value


def _values(changed, names):
    said = ", ".join(f"{name}={show(changed[name])}" for name in names)
    return f"{said} {'has' if len(names) == 1 else 'have'}"
