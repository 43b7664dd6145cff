"""How a fitted encoder turns a file into the network's image, as plain data for readers in any language."""

import numpy as np

from skhyperfusion._wording import show
from skhyperfusion.images._voxels._intensity import PERCENTILES
from skhyperfusion.images._voxels._recipe import LUMINANCE
from skhyperfusion.presets import MNI152_ORIGINS, mni152_hippocampi


def describe_images(encoder):
    """Return the reading of a fitted `RowEncoder`'s images, step by step, or None where it reads none.

    Raises
    ------
    ValueError
        If a step is a function of the user's.
    """
    if not encoder.image_columns:
        return None
    loader, spec = encoder.image_loader, encoder.image_spec
    return {
        "columns": list(encoder.image_columns),
        "pixels": encoder.pixels,
        "missing": "refused" if loader.missing == "raise" else "zeros",
        "shape": list(spec.shape),
        "n_channels": spec.n_channels,
        "n_views": spec.n_views,
        "spacing_mm": _as_json(spec.spacing),
        "orientation": spec.orientation,
        "largest_n_voxels": int(loader.max_voxels),
        "steps": [step for step in _steps(loader, spec) if step is not None],
    }


def _steps(loader, spec):
    """Yield the steps in their order, None for those that do nothing."""
    yield {"do": "channels", "rule": loader.channels, "luminance": LUMINANCE.astype(float).round(6).tolist()}
    yield None if loader.orientation is None else {"do": "turn", "to": loader.orientation}
    yield {"do": "flatten"} if loader.shape is not None and len(loader.shape) == 2 else None
    yield None if loader.spacing is None else {"do": "resample", "spacing_mm": _as_json(loader.spacing)}
    yield _crop(loader.crop)
    if loader.shape is not None:
        yield {"do": "window" if loader.spacing is not None else "stretch", "shape": _as_json(loader.shape)}
    elif loader.spacing is not None:
        # The images of the fit decide: those of a later table are cut or filled to the same.
        yield {"do": "window", "shape": list(spec.shape), "halved_along": loader.bilateral}
    yield _intensity(loader.intensity)
    yield None if loader.bilateral is None else {"do": "halve", "axis": int(loader.bilateral)}


def _crop(crop):
    if crop is None:
        return None
    if crop is mni152_hippocampi:
        boxes = [
            {"of_shape": list(shape), "box": _as_json(crop(np.broadcast_to(np.uint8(0), (1, *shape))))}
            for shape in MNI152_ORIGINS
        ]
        return {"do": "crop", "boxes": boxes}
    if callable(crop):
        raise ValueError(_own("crop", crop, "a box of (start, stop) pairs, or 'foreground'"))
    return (
        {"do": "crop", "foreground": True} if isinstance(crop, str) else {"do": "crop", "box": _as_json(crop)}
    )


def _intensity(rule):
    if rule is None:
        return None
    if callable(rule):
        raise ValueError(_own("intensity", rule, "one of the rules that have a name"))
    if rule in ("zscore", "minmax"):
        return {"do": "intensity", "rule": rule}
    low, high = PERCENTILES if isinstance(rule, str) else rule
    return {"do": "intensity", "rule": "percentiles", "percentiles": [float(low), float(high)]}


def _own(parameter, function, instead):
    return (
        f"export_onnx cannot describe ImageLoader({parameter}={show(function)}) as plain data, a function of "
        f"your own: fit with {instead}."
    )


def _as_json(value):
    """Return numbers as Python's own and sequences of them as lists."""
    if value is None:
        return None
    return np.asarray(value).tolist()
