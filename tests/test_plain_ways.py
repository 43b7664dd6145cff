"""Wherever speed bends torch, the figures are the plain way's: from sizes of one, on one thread and two."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from skhyperfusion._engine import _predict
from skhyperfusion._engine._allocator import freed_memory_kept
from skhyperfusion._engine._batches import FusionDataset
from skhyperfusion._engine._small_maps import SmallMapsInFloat32
from skhyperfusion.nn import ExternalConv, FusionNetwork, _external
from skhyperfusion.nn._dropout import Dropout
from skhyperfusion.nn._norm import BatchNorm, weighted_rows

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
SHAPES = [(1,), (2,), (5,), (1, 1), (1, 3), (2, 2), (4, 5), (1, 1, 1), (2, 1, 3), (4, 3, 5)]


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request):
    """As many threads of torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(before)


def _network(shape, backbone="resnet", **settings):
    network = FusionNetwork(
        spatial_shape=shape, backbone=backbone, in_channels=1, base_channels=2, n_tabular_features=3,
        n_outputs=2, dropout=0.0, **settings,
    )  # fmt: skip
    network.initialize(torch.randn(20, 3))
    return network


def _gradients(outputs, sources):
    direction = torch.linspace(-1, 1.1, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    return [outputs.detach(), *torch.autograd.grad(outputs, sources, direction)]


@pytest.mark.parametrize("shape", [(1, 1), (5, 4), (1, 1, 1), (9, 8, 8)], ids=str)
def test_gradients_are_the_same_bit_for_bit_where_freed_memory_is_kept(shape):
    network, image, table = _network(shape), torch.randn(3, 1, *shape), torch.randn(3, 3)
    parameters = list(network.parameters())
    plain = _gradients(network(image, table), parameters)
    with freed_memory_kept():
        for _ in range(3):  # the later ones in memory that was freed
            kept = _gradients(network(image, table), parameters)
    assert all(map(torch.equal, kept, plain))


@pytest.mark.parametrize("backbone", ["resnet", "vgg"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_predictions_of_rows_filled_up_are_those_of_each_row_in_float64(shape, backbone, monkeypatch):
    monkeypatch.setattr(_predict, "MAX_FLOAT64_VALUES", 0)
    network = _network(shape, backbone).eval()
    images, table = torch.randn(3, 1, 1, *shape), torch.randn(3, 3, dtype=torch.float64)
    exact = copy.deepcopy(network).double()
    with torch.no_grad():
        wanted = [exact(image.double(), row[None]).numpy() for image, row in zip(images, table, strict=True)]
    for n_rows, at_a_time in itertools.product((1, 2, 3), (1, 2)):
        monkeypatch.setattr(_predict, "ROWS_AT_A_TIME", (at_a_time, at_a_time))
        rows = FusionDataset(images=images[:n_rows], tabular=table[:n_rows], dtype=None)
        found = _predict.predict_outputs(network, rows, device=torch.device("cpu"), batch_size=1)
        np.testing.assert_allclose(found[:, 0], np.concatenate(wanted[:n_rows]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_in_bfloat16_are_near_those_in_float64(shape, stride, kernel):
    for n_channels, groups in itertools.product((1, 2, 8), (1, 3)):
        image = torch.randn(2, n_channels * groups, *shape).bfloat16()
        weight = torch.randn(2 * groups, n_channels, *(kernel,) * len(shape)).bfloat16()
        settings = {"stride": stride, "padding": kernel // 2, "groups": groups}
        sources = [part.double().requires_grad_() for part in (image, weight)]
        wanted = _gradients(CONV[len(shape)](*sources, **settings), sources)
        sources = [part.float().requires_grad_() for part in (image, weight)]
        with torch.autocast("cpu", torch.bfloat16), SmallMapsInFloat32():
            outputs = CONV[len(shape)](*sources, **settings)
        found = _gradients(outputs, sources)
        for one, other in zip(found, wanted, strict=True):
            assert (one.double() - other).abs().max() <= 0.03 * other.abs().max()


@pytest.mark.parametrize("n_rows", [1, 2, 3])
@pytest.mark.parametrize("shape", [(), *SHAPES], ids=str)
def test_batch_normalisation_is_torchs_and_weighs_a_row_as_so_many(shape, n_rows):
    values = torch.randn(n_rows, 2, *shape, dtype=torch.float64)
    repeats = torch.arange(n_rows) + 1
    for weight in (None, repeats):
        norm = BatchNorm(2).double()
        norm.weight.data, norm.bias.data = (
            torch.tensor([0.5, 2.0]).double(),
            torch.tensor([1.0, -1.0]).double(),
        )
        source = values.clone().requires_grad_()
        with weighted_rows(weight):
            found = norm(source)
        rows = torch.repeat_interleave(torch.arange(n_rows), repeats if weight is not None else 1)
        if values[:, 0].numel() == 1:  # no spread: by the running statistics, which stay
            torch.testing.assert_close(found, norm.eval()(values))
            continue
        repeated = values[rows].requires_grad_()
        mean, variance = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
        wanted = F.batch_norm(repeated, mean, variance, norm.weight, norm.bias, True, 1.0)
        torch.testing.assert_close(found[rows], wanted)
        count = repeated[:, 0].numel()
        torch.testing.assert_close(norm.running_mean, mean)
        torch.testing.assert_close(norm.running_var, variance * (count - 1) / count)
        found_parts = _gradients(found[rows], [source, norm.weight, norm.bias])
        wanted_parts = _gradients(wanted, [repeated, norm.weight, norm.bias])
        summed = torch.zeros_like(values).index_add_(0, rows, wanted_parts[1])
        torch.testing.assert_close(found_parts[1], summed)
        torch.testing.assert_close(found_parts[2:], wanted_parts[2:])


@pytest.mark.parametrize("call_bytes", [1, 1 << 23], ids=["streamed", "at once"])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_external_convolution_is_a_loop_over_the_samples(shape, kernel, stride, call_bytes, monkeypatch):
    monkeypatch.setattr(_external, "CALL_BYTES", call_bytes)
    convolve, settings = CONV[len(shape)], {"stride": stride, "padding": kernel // 2}
    external = ExternalConv(spatial_dims=len(shape), **settings)
    for n_rows, n_in, n_out in ((1, 1, 1), (1, 3, 2), (2, 1, 2), (5, 2, 1), (5, 4, 8)):
        parts = (
            torch.randn(n_rows, n_in, *shape),
            torch.randn(n_rows, n_out, n_in, *(kernel,) * len(shape)),
            torch.randn(n_rows, n_out),
        )
        sources = [part.double().requires_grad_() for part in parts]
        looped = [
            convolve(image[None], weight, bias, **settings)
            for image, weight, bias in zip(*sources, strict=True)
        ]
        wanted = _gradients(torch.cat(looped), sources)
        sources = [part.requires_grad_() for part in parts]
        found = _gradients(external(*sources), sources)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 1, 1, 1), (3, 2, 5), (1, 1, 1, 1, 1)], ids=str)
def test_dropout_drops_or_scales_each_value_and_its_gradient(shape):
    dropout, seen = Dropout(0.25), set()
    for _ in range(50):
        source = torch.randn(shape).requires_grad_()
        out = dropout(source)
        (factor,) = torch.autograd.grad(out.sum(), [source])
        torch.testing.assert_close(out.detach(), source.detach() * factor)
        seen |= set(factor.flatten().tolist())
    assert sorted(seen) == pytest.approx([0, 4 / 3])
