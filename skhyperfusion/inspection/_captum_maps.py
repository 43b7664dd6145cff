"""Maps over the image as a network sees it, by Captum."""

import warnings

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.nn import functional as F

from skhyperfusion._optional import import_optional
from skhyperfusion._wording import did_you_mean, listing
from skhyperfusion.nn._externalize import ExternalLayer

METHODS = ("integrated_gradients", "saliency", "occlusion", "gradcam")
FIRST_STEPS, MOST_STEPS = 32, 1024
MIN_POSITIONS = 4  # along each axis, of a map that tells places apart
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, ExternalLayer)


class Mapper:
    """Maps of what one fitted network answers.

    Parameters
    ----------
    answer : Answer
    column : int
        Which of its answers is explained.
    method : str
        One of `METHODS`.
    settings : dict
        ``baseline``: "blur", "zero" or an image (1, V, C, *S); ``tolerance``, ``window``, ``layer``: as in
        `image_attribution`.
    """

    def __init__(self, answer, column, method, settings):
        self.captum = import_optional("captum.attr", "image_attribution", extra="explain")
        self.answer = answer
        self.one = _OneAnswer(answer, column)
        self.method = method
        self.baseline = settings["baseline"]
        self.tolerance = 0.01 if settings["tolerance"] is None else settings["tolerance"]
        self.window = _window(settings["window"], answer.network.image_shape[1:])
        self.layer = _find_layer(answer, settings["layer"]) if method == "gradcam" else None

    def explain(self, voxels, table, n_columns):
        """Explain one row.

        Parameters
        ----------
        voxels : ndarray (1, V, C, *S)
        table : ndarray (1, T) or None
        n_columns : int
            Image columns, that the channels are of.

        Returns
        -------
        maps : ndarray (n_columns, V, *S)
        numbers : ndarray (3,)
            The answer, that of the baseline, and what the sum of the map lacks to their difference.
        """
        like = {"dtype": self.answer.dtype, "device": self.answer.device}
        image = torch.as_tensor(voxels, **like)
        tabular = None if table is None else torch.as_tensor(table, **like)
        baseline = torch.as_tensor(self._baseline(voxels), **like)
        with torch.no_grad():
            answers = [float(self.one(image, tabular)), float(self.one(baseline, tabular))]
        with torch.enable_grad():
            map = getattr(self, f"_{self.method}")(image, tabular, baseline, n_columns)
        map = map.detach().double().cpu().numpy()  # (V, C or n_columns, *S)
        lacking = map.sum() - (answers[0] - answers[1])
        if self.method == "integrated_gradients":
            self._warn_if(abs(lacking) > self.tolerance * np.abs(map).sum())
        maps = map.reshape(map.shape[0], n_columns, -1, *map.shape[2:])
        maps = maps.mean(axis=2) if self.method == "occlusion" else maps.sum(axis=2)
        return maps.swapaxes(0, 1), np.array([*answers, lacking])

    def _baseline(self, voxels):
        if not isinstance(self.baseline, str):
            return self.baseline
        if self.baseline == "zero":
            return np.zeros_like(voxels)
        widths = (0, 0, 0, *(size / 8 for size in voxels.shape[3:]))
        return gaussian_filter(voxels, widths, mode="nearest")

    def _integrated_gradients(self, image, tabular, baseline, n_columns):
        """Double the steps until the sum is right within the tolerance."""
        del n_columns
        method = self.captum.IntegratedGradients(self.one)
        steps = FIRST_STEPS
        while True:
            map, lacking = method.attribute(
                image,
                baselines=baseline,
                additional_forward_args=(tabular,),
                n_steps=steps,
                method="riemann_middle",  # as good as any where gradients jump, and places cost nothing
                internal_batch_size=self.answer.rows_at_a_time(),
                return_convergence_delta=True,
            )
            if steps >= MOST_STEPS or abs(float(lacking)) <= self.tolerance * float(map.abs().sum()):
                return map[0]
            steps *= 2

    def _warn_if(self, is_off):
        if is_off:
            warnings.warn(
                "Integrated gradients do not sum to what the prediction gains over the baseline's, within "
                f"tolerance={self.tolerance}, after {MOST_STEPS} steps; `error` tells what is lacking.",
                UserWarning,
                stacklevel=6,
            )

    def _saliency(self, image, tabular, baseline, n_columns):
        del baseline, n_columns
        image = image.requires_grad_()  # or captum warns that it asks for gradients itself
        map = self.captum.Saliency(self.one).attribute(image, abs=False, additional_forward_args=(tabular,))
        return map[0]

    def _occlusion(self, image, tabular, baseline, n_columns):
        """Cover one view of one image column at a time; windows overlap by half."""
        channels = image.shape[2] // n_columns
        map = self.captum.Occlusion(self.one).attribute(
            image,
            baselines=baseline,
            additional_forward_args=(tabular,),
            sliding_window_shapes=(1, channels, *self.window),
            strides=(1, channels, *(max(1, size // 2) for size in self.window)),
            perturbations_per_eval=self.answer.rows_at_a_time(),
        )
        return map[0]

    def _gradcam(self, image, tabular, baseline, n_columns):
        """Read the map of each view by itself; every image column has the same."""
        del baseline
        method = self.captum.LayerGradCam(_OneView(self.answer, self.one.column), self.layer)
        mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[image.ndim - 3]
        views = []
        for view in image.unbind(1):
            map = method.attribute(
                view.contiguous(), additional_forward_args=(tabular,), relu_attributions=True
            )
            map = F.interpolate(map.detach(), size=tuple(view.shape[2:]), mode=mode)
            views.append(map[0].expand(n_columns, *view.shape[2:]))
        return torch.stack(views)


class _OneAnswer(nn.Module):
    """One column of what an `Answer` gives: (B,)."""

    def __init__(self, answer, column):
        super().__init__()
        self.answer = answer
        self.column = column

    def forward(self, image, tabular=None):
        return self.answer(image, tabular)[:, self.column]


class _OneView(_OneAnswer):
    """The same of images (B, C, *S) that have a single view."""

    def forward(self, image, tabular=None):
        return super().forward(image[:, None], tabular)


def _window(window, shape):
    if window is None:
        return tuple(max(1, size // 4) for size in shape)
    if np.ndim(window) == 0:
        window = (window,) * len(shape)
    if len(window) != len(shape) or any(w > size for w, size in zip(window, shape, strict=False)):
        raise ValueError(
            f"image_attribution: window={window} must have a number for each axis of what the network sees, "
            f"{tuple(shape)}, and none larger."
        )
    return tuple(int(size) for size in window)


def _find_layer(answer, name):
    """Return the layer whose map GradCAM reads: by name, or the deepest that still tells places apart.

    Raises
    ------
    ValueError
        If there is no layer of that name, or none whose output is a map of the image.
    """
    network = answer.network
    shapes = _map_shapes(answer)
    modules = dict(network.named_modules())
    if name is not None:
        if name not in modules:
            raise ValueError(
                f"image_attribution: the network has no layer {name!r}{did_you_mean(name, modules) or '.'} "
                f"Its convolutions: {listing(shapes, noun='layer')}."
            )
        if name not in _map_shapes(answer, {name: modules[name]}):
            raise ValueError(
                f"image_attribution: the layer {name!r} gives no map (B, C, *S) of the image. These do: "
                f"{listing(shapes, noun='layer')}."
            )
        return modules[name]
    if not shapes:
        raise ValueError(
            "image_attribution: method='gradcam' reads the map of a convolution, and this backbone has none; "
            "pass layer=... or another method."
        )
    fine = [name for name, shape in shapes.items() if min(shape) >= MIN_POSITIONS]
    return modules[fine[-1] if fine else next(iter(shapes))]


def _map_shapes(answer, layers=None):
    """Return the layers that give maps, in the order of their calls: name -> spatial shape."""
    network = answer.network
    if layers is None:
        layers = {
            name: layer
            for name, layer in network.named_modules()
            if name.startswith("backbone") and isinstance(layer, _CONVOLUTIONS)
        }
    n_axes, shapes = len(network.image_shape) - 1, {}

    def note(name):
        def hook(layer, args, output):
            if isinstance(output, torch.Tensor) and output.ndim == n_axes + 2:
                shapes[name] = tuple(output.shape[2:])

        return hook

    hooks = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    image = torch.zeros(1, *network.image_shape, dtype=answer.dtype, device=answer.device)
    n_tabular = network.n_tabular_features if network.fusion.uses_table else 0
    tabular = torch.zeros(1, n_tabular, dtype=answer.dtype, device=answer.device) if n_tabular else None
    try:
        with torch.no_grad():
            network(image, tabular)
    finally:
        for hook in hooks:
            hook.remove()
    return shapes
