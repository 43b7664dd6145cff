"""Layers that are not trained: which ones, and what follows from it."""

import fnmatch

from skhyperfusion._wording import did_you_mean, quoted
from skhyperfusion.nn._externalize import ExternalLayer


def freeze(network, patterns):
    """Freeze the layers of a `FusionNetwork` that patterns choose; train all others.

    Parameters
    ----------
    network : FusionNetwork
    patterns : str, sequence of str or None
        Names of modules or parameters, or `fnmatch` patterns of them. A module is frozen with all that is in
        it. Of an external layer the generators' constant part is frozen.

    Returns
    -------
    tuple of str
        Names of the modules that stay in evaluation mode: those that hold frozen parameters alone.

    Raises
    ------
    ValueError
        Where a pattern finds nothing, where nothing is left to train, or where a frozen external layer has no
        constant part of its own.
    """
    patterns = [patterns] if isinstance(patterns, str) else list(patterns or ())
    modules = {name: module for name, module in network.named_modules() if name}
    parameters = dict(network.named_parameters())
    chosen = set()
    for pattern in patterns:
        found = {name for name in [*modules, *parameters] if fnmatch.fnmatchcase(name, pattern)}
        if not found:
            raise ValueError(
                f"frozen_layers: nothing matches {pattern!r}{did_you_mean(pattern, list(modules)) or '.'} "
                f"There are {quoted([name for name, _ in network.named_children()])}, and what is in them."
            )
        chosen |= found
    for name in network.frozen_parameters:  # of a fit that this one goes on from
        parameters[name].requires_grad_(True)
    frozen = {name for name in parameters if not chosen.isdisjoint(with_owners(name))}
    frozen = {name for name in frozen if parameters[name].requires_grad}  # others the user froze
    external = {
        name
        for name, module in modules.items()
        if isinstance(module, ExternalLayer) and not chosen.isdisjoint(with_owners(name))
    }
    frozen |= _constants(network, external)
    for name in frozen:
        parameters[name].requires_grad_(False)
    network.frozen_parameters = tuple(frozen)
    if patterns and not any(parameter.requires_grad for parameter in parameters.values()):
        raise ValueError(f"frozen_layers={patterns} leaves nothing to train: freeze less.")
    return tuple(
        name
        for name, module in modules.items()
        if not chosen.isdisjoint(with_owners(name)) or (chosen and _is_frozen(module))
    )


def with_owners(name):
    """Names of a module or parameter and of all that it is in: "a.b" -> ["a", "a.b"]."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _is_frozen(module):
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def _constants(network, names):
    """Names of the constant parts of the generators of some external layers."""
    hypernetwork = getattr(network.fusion, "hypernetwork", None)
    found = set()
    for i, slot in enumerate(() if hypernetwork is None else hypernetwork.slots):
        if slot.name not in names:
            continue
        generator = hypernetwork.generators[i]
        if generator.init != "residual":
            raise ValueError(
                f"The layer {slot.name!r} is both frozen and external: its weights are then the frozen ones "
                "plus a part that the table makes, which needs hyper_init='residual'. Pass it, or leave the "
                "layer out of frozen_layers or external_layers."
            )
        kept = ["weight_constant"] + ["bias_constant"] * (generator.bias_constant is not None)
        found |= {f"fusion.hypernetwork.generators.{i}.{name}" for name in kept}
    return found
