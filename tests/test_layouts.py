"""Images and kernels are laid out plainly, but where another way is right and pays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from skhyperfusion._engine._batches import FusionDataset
from skhyperfusion._engine._predict import predict_outputs
from skhyperfusion._engine._train import TrainingSettings, train
from skhyperfusion.nn import ExternalConv, FusionNetwork, _external
from skhyperfusion.nn._backbones import ResidualBackbone
from skhyperfusion.nn._layout import lay_out, lay_out_images, suits_channels_last

HERE = Path(__file__).parent
LARGE = (27, 26, 25)
SMALL = (25, 26, 25)
# Kernels for AVX2 alone are where torch was wrong. A processor with more runs them when it is told to.
OLDER = {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_WAIT_POLICY": "passive"}

FITS = """
import sys, numpy as np, pandas as pd, torch
from skhyperfusion import HyperFusionClassifier
torch.set_num_threads(int(sys.argv[1]))
rng = np.random.default_rng(0)
X = pd.DataFrame({"picture": list(rng.normal(size=(32, 16, 16))), "age": rng.normal(size=32)})
y = np.arange(32) % 2
for width in (1, 2, 3):
    model = HyperFusionClassifier(base_channels=width, max_epochs=2, random_state=0, device="cpu")
    first, again = (model.fit(X, y).predict_proba(X) for _ in range(2))
    assert (first == again).all(), f"base_channels={width}: two fits of one random_state differ"
"""
SEARCH = """
import numpy as np, pandas as pd
from sklearn.model_selection import cross_val_score
from skhyperfusion import HyperFusionClassifier
rng = np.random.default_rng(0)
X = pd.DataFrame({"picture": list(rng.normal(size=(48, 16, 16))), "age": rng.normal(size=48)})
model = HyperFusionClassifier(base_channels=2, max_epochs=2, random_state=0, device="cpu")
scores = [cross_val_score(model, X, np.arange(48) % 2, cv=2, n_jobs=n_jobs) for n_jobs in (2, None)]
assert (scores[0] == scores[1]).all(), scores
"""


def _run(*arguments):
    environment = {**os.environ, **OLDER, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])}
    command = [sys.executable, "-W", "ignore", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("n_threads", [1, 2])
def test_gradients_of_narrow_networks_are_those_of_the_plain_layout(n_threads):
    _run(HERE / "layout_grid.py", n_threads, 1, 2, 3)


@pytest.mark.slow
@pytest.mark.parametrize("n_threads", [1, 2])
def test_gradients_of_wider_networks_are_those_of_the_plain_layout(n_threads):
    _run(HERE / "layout_grid.py", n_threads, 4, 5, 6, 7, 8)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_two_fits_of_narrow_networks_are_the_same_bit_for_bit(n_threads):
    _run("-c", FITS, n_threads)


@pytest.mark.slow
def test_narrow_networks_fitted_in_parallel_processes_score_as_in_one():
    _run("-c", SEARCH)


def _network(shape=LARGE, width=8, backbone="resnet", **settings):
    sizes = {"n_tabular_features": 2, "n_outputs": 2, "in_channels": 1, "spatial_shape": shape}
    return FusionNetwork(base_channels=width, backbone=backbone, **(sizes | settings))


def _own(in_channels, spatial_dims):
    return ResidualBackbone(in_channels, spatial_dims=spatial_dims, base_channels=8)


@pytest.mark.parametrize(
    ("settings", "suited"),
    [
        ({}, True),
        ({"backbone": "vgg"}, True),
        ({"in_channels": 3}, True),
        ({"fusion": "image"}, True),
        ({"shape": SMALL}, False),
        ({"width": 7}, False),
        ({"shape": (256, 256)}, False),
        ({"shape": (65536,)}, False),
        ({"backbone": _own}, False),
        ({"fusion": "tabular"}, False),
    ],
)
def test_channels_come_last_for_large_volumes_of_wide_named_backbones(settings, suited):
    assert suits_channels_last(_network(**settings)) == suited


def test_channels_never_come_last_in_float64_nor_without_an_image():
    network = _network()
    assert not suits_channels_last(network.double())
    assert not suits_channels_last(_network(hyper_depth=1).tabular_network(2))


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("shape", [(9,), (9, 8), (7, 6, 5), (1, 1), (1, 1, 1), (1, 4, 1)], ids=str)
@pytest.mark.parametrize("last", [False, True])
def test_strides_say_what_is_meant_whatever_the_images_came_with(n_channels, shape, last):
    plain = torch.randn(4, n_channels, *shape)
    channels_last = plain.movedim(1, -1).contiguous().movedim(-1, 1)
    wanted = torch.empty(4, *shape, n_channels).movedim(-1, 1) if last else torch.empty(plain.shape)
    for images in (plain, channels_last, plain.flip(0), plain[:, :, :1].expand(plain.shape)):
        laid_out = lay_out_images(images, last=last)
        assert torch.equal(laid_out, images)
        assert laid_out.stride() == wanted.stride()


@pytest.mark.parametrize("backbone", ["resnet", "vgg"])
def test_layout_of_kernels_follows_the_type_back_and_forth(backbone):
    network = _network(backbone=backbone)
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv3d)]
    assert convolutions
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    assert lay_out(network)
    assert all(layer.weight.stride(1) == 1 for layer in convolutions)
    assert not lay_out(network.double())
    assert all(layer.weight.stride() == torch.empty(layer.weight.shape).stride() for layer in convolutions)
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name].to(value.dtype))


class Watching(torch.nn.Module):
    """A user's backbone: keeps the strides of what it is given, and lays its kernel out as it likes."""

    def __init__(self, in_channels, spatial_dims):
        super().__init__()
        self.conv = (torch.nn.Conv2d if spatial_dims == 2 else torch.nn.Conv3d)(in_channels, 8, 3)
        last = torch.channels_last if spatial_dims == 2 else torch.channels_last_3d
        self.conv.to(memory_format=last)
        self.seen = set()

    def forward(self, image):
        self.seen.add((tuple(image.shape[1:]), image.stride()[1:]))
        return self.conv(image)


SETTINGS = TrainingSettings(
    loss="cross_entropy",
    n_classes=2,
    max_epochs=1,
    batch_size=16,
    lr=3e-3,
    lr_scales={},
    optimizer="adamw",
    weight_decay=1e-2,
    lr_schedule="cosine",
    patience=15,
    callbacks=(),
    net_params={},
    augmentation=None,
    device=torch.device("cpu"),
    precision="float32",
    compile=False,
    seed=0,
    verbose=0,
    stage="epoch",
    epochs_from="max_epochs",
    root_scale=None,
    checkpoint=None,
)


def _rows(images, n_rows):
    return FusionDataset(
        images=images,
        tabular=torch.randn(n_rows, 2),
        target=torch.arange(n_rows) % 2,
        weight=torch.ones(n_rows),
    )


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("shape", [(6, 5), LARGE], ids=str)
def test_backbone_of_a_user_gets_plain_images_and_keeps_its_kernels(n_channels, shape):
    network = _network(shape, backbone=Watching, in_channels=n_channels)
    kernel = network.backbone.conv.weight.stride()
    network.backbone.seen.clear()
    images = torch.randn(4, 1, *shape, n_channels).movedim(-1, 2)  # as pictures are read
    trained = train(network, _rows(images, 4), SETTINGS, valid_set=_rows(images, 4))
    module = trained.net.module_
    predict_outputs(module, _rows(images, 4), device=torch.device("cpu"), batch_size=2)
    assert module.backbone.seen == {((n_channels, *shape), torch.empty(n_channels, *shape).stride())}
    assert module.backbone.conv.weight.stride() == kernel


@pytest.mark.parametrize(("shape", "last"), [(LARGE, True), (SMALL, False), ((18, 17), False)], ids=str)
def test_training_and_prediction_lay_images_out_by_one_rule(shape, last, monkeypatch):
    seen, forward = set(), ResidualBackbone.forward

    def look(self, image, *args):
        seen.add((torch.is_grad_enabled(), image.stride(1) == 1))
        return forward(self, image, *args)

    monkeypatch.setattr(ResidualBackbone, "forward", look)
    images = torch.randn(4, 1, 1, *shape)
    trained = train(_network(shape), _rows(images, 4), SETTINGS)
    predict_outputs(trained.net.module_, _rows(images, 4), device=torch.device("cpu"), batch_size=2)
    assert seen == {(True, last), (False, last)}
    kernel = trained.net.module_.backbone.block4.conv2.weight
    assert (kernel.stride(1) == 1) == last


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("way", ["weights", "basis"])
def test_external_convolution_is_plain_whatever_comes(spatial_dims, rows, way, monkeypatch):
    seen, external = [], ExternalConv(spatial_dims=spatial_dims, padding=1)
    name = f"conv{spatial_dims}d"
    convolve = getattr(torch.nn.functional, name)

    def look(image, weight, *args, **kwargs):
        seen.extend([image, weight])
        return convolve(image, weight, *args, **kwargs)

    monkeypatch.setitem(_external._CONV, spatial_dims, look)
    image = lay_out_images(torch.randn(rows, 3, *(4,) * spatial_dims), last=True)
    if way == "weights":
        external(image, torch.randn(rows, 2, 3, *(3,) * spatial_dims))
    else:
        constant = lay_out_images(torch.randn(2, 3, *(3,) * spatial_dims), last=True)
        external.from_basis(image, torch.randn(rows, 1), torch.randn(1, *constant.shape), constant)
    assert seen
    assert all(part.stride() == torch.empty(part.shape).stride() for part in seen)
