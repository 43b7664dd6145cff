"""Forward passes that leave out what cannot change: all that comes before a layer's first use."""

import contextlib
import functools
from collections import Counter

import torch


def outputs_before(network, layer, run):
    """Make one pass, and keep the outputs of what is finished before `layer` is first called.

    Nothing that is computed before a layer's first call depends on that layer.

    Parameters
    ----------
    network : nn.Module
        In eval mode.
    layer : nn.Module
        Part of it.
    run : callable
        Makes a forward pass of `network`.

    Returns
    -------
    dict of nn.Module to Tensor
        Of modules that are nested the outermost. None that is called several times in a pass, or returns
        anything but one tensor.
    """
    outputs, calls, reached = {}, Counter(), []

    def note(module, args, output):
        calls[module] += 1
        if not reached and isinstance(output, torch.Tensor):
            outputs[module] = output.clone()  # what comes next may write into it

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    hooks.append(layer.register_forward_pre_hook(lambda *_: reached.append(True)))
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    kept = {}
    for name, module in network.named_modules():
        inside = any(outer == "" or name.startswith(f"{outer}.") for outer in kept)
        if not inside and module in outputs and calls[module] == 1:
            kept[name] = module
    return {module: outputs[module] for module in kept.values()}


@contextlib.contextmanager
def fixed_outputs(outputs):
    """Let modules return known outputs inside the block, in place of computing them."""
    own = {module: vars(module).get("forward") for module in outputs}
    try:
        for module, output in outputs.items():
            module.forward = functools.partial(_return_copy, output)
        yield
    finally:
        for module, forward in own.items():
            if forward is not None:
                module.forward = forward
            elif "forward" in vars(module):
                del module.forward


def _return_copy(output, *args, **kwargs):
    return output.clone()  # what comes next may write into it
