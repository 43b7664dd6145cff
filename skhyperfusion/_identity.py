"""What a fit is, in words that are equal in every process: its parameters, its data, what it runs on."""

import hashlib
import json
import os
from importlib.metadata import version

import numpy as np
import torch

from skhyperfusion._engine._checkpoint import Checkpoint
from skhyperfusion.images._fingerprint import fingerprint

# Parameters that change nothing of the result, at the end of their names.
_WITHOUT_EFFECT = ("checkpoint_dir", "verbose", "root", "memory", "cache_dir", "max_voxels")


def make_checkpoint(estimator, module, dataset, rows, settings):
    """Return the folder in which a fit, and no other, keeps its epochs, or None where none is asked for.

    Parameters
    ----------
    estimator, module, dataset, rows, settings
        As in `fit_identity`.

    Raises
    ------
    ValueError
        If a fit like this one could not be told, or not be repeated.
    """
    if estimator.checkpoint_dir is None:
        return None
    if estimator.random_state is None:
        raise ValueError(
            f"checkpoint_dir of {type(estimator).__name__} needs a random_state: a fit that goes on must "
            "draw the same numbers again. Pass an int."
        )
    identity = fit_identity(estimator, module, dataset, rows, settings)
    # "{fit}" stands for a name of its own.
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = os.path.expanduser(os.fspath(estimator.checkpoint_dir)).replace("{fit}", name)
    return Checkpoint(os.path.abspath(folder), identity)


def fit_identity(estimator, module, dataset, rows, settings):
    """Return all that the result of a fit depends on: part -> name -> text.

    Parameters
    ----------
    estimator : BaseHyperFusion
        With the parameters of the fit.
    module : FusionNetwork
        As it starts.
    dataset : FusionDataset
        All rows, encoded. Images that are read batch by batch count by path, size and time of change.
    rows : FitRows
        Which of them are trained on.
    settings : TrainingSettings

    Raises
    ------
    ValueError
        If a parameter cannot be told from others in another process.
    """
    parameters = {}
    for name, value in sorted(estimator.get_params(deep=True).items()):
        if name.rpartition("__")[2] not in _WITHOUT_EFFECT:
            # What is nested has entries of its own.
            parameters[name] = _kind(value) if hasattr(value, "get_params") else _text(value, name)
    images = dataset.images
    data = {
        "rows": _digest([rows.train] if rows.valid is None else [rows.train, rows.valid]),
        "table": "none" if dataset.tabular is None else _digest([dataset.tabular]),
        "target": _digest([dataset.target]),
        "weights": _digest([dataset.weight]),
        "images": "none" if images is None else images.digest() if dataset.reads else _digest([images]),
        "random_state": f"draws {settings.seed}",
        "network": _digest(module.state_dict().values()),
    }
    versions = {
        **{name: version(name) for name in ("skhyperfusion", "torch")},
        "device": settings.device.type,
    }
    return {"parameters": parameters, "data": data, "versions": versions}


def backbone_code(architecture):
    """Return a text that tells a backbone's code from every other's; None where nothing can.

    Parameters
    ----------
    architecture : dict
        What a `FusionNetwork` was made with.
    """
    backbone = architecture["backbone"]
    return (
        f"{backbone} {architecture['base_channels']}" if isinstance(backbone, str) else fingerprint(backbone)
    )


def _kind(value):
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _text(value, name):
    """Return a value in words; a function by its code."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str | torch.device):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.random.RandomState):  # its draws are told among the data
        return "RandomState"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(item, name) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_text(item, name)}' for key, item in value.items())}}}"
    if hasattr(value, "get_params") and not isinstance(value, type):
        inner = value.get_params(deep=False)
        return f"{_kind(value)}({', '.join(f'{key}={_text(item, name)}' for key, item in inner.items())})"
    code = fingerprint(value)
    if code is None:
        raise ValueError(
            f"checkpoint_dir: the parameter {name!r} holds {value!r}, which cannot be told from others in "
            "another process, so that a fit would not know its checkpoint again. Pass a function that holds "
            "nothing of this kind (a lock, an open file), or checkpoint_dir=None."
        )
    return f"{getattr(value, '__qualname__', _kind(value))} ({code[:12]})"


def _digest(values):
    """Return shape and SHA-256 of arrays and tensors, one after the other."""
    digest, shapes = hashlib.sha256(), []
    for value in values:
        value = torch.as_tensor(value).detach().cpu().contiguous()
        shapes.append(" x ".join(map(str, value.shape)))
        digest.update(f"{tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    shown = f"{shapes[0]}, " if len(shapes) == 1 else f"{' and '.join(shapes)}, " if len(shapes) == 2 else ""
    return f"{shown}{digest.hexdigest()[:16]}"
