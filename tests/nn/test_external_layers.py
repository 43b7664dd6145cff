import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skhyperfusion.nn import AffineGenerator, ExternalConv, ExternalLinear, _external
from skhyperfusion.nn._external import Subsample

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
SIZES = {1: (11,), 2: (11, 8), 3: (6, 7, 8)}
SETTINGS = [
    {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    for kernel, stride, padding, dilation, groups in itertools.product(
        [1, 2, 3], [1, 2], [0, 1, "same", "valid"], [1, 2], [1, 2]
    )
    if not (padding == "same" and stride > 1)
]
MODES = [
    {"kernel_size": 3, "padding": padding, "padding_mode": mode}
    for padding, mode in itertools.product([1, "same"], ["reflect", "replicate", "circular"])
]


def _double(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def _torch_row_by_row(layer, image, weight, bias):
    rows = []
    for i in range(len(image)):
        parameters = {"weight": weight[i]} | ({} if bias is None else {"bias": bias[i]})
        rows.append(torch.func.functional_call(layer, parameters, (image[i : i + 1],)))
    return torch.cat(rows)


@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_external_conv_equals_torch_conv_of_each_sample(spatial_dims, bias):
    for settings in SETTINGS + MODES:
        layer = CONV[spatial_dims](4, 6, bias=bias, **settings).double()
        names = ("stride", "padding", "dilation", "groups", "padding_mode")
        external = ExternalConv(spatial_dims=spatial_dims, **{n: settings[n] for n in names if n in settings})
        image = _double(3, 4, *SIZES[spatial_dims])
        weight = _double(3, *layer.weight.shape)
        shift = _double(3, 6) if bias else None
        wanted = _torch_row_by_row(layer, image, weight, shift)
        torch.testing.assert_close(
            external(image, weight, shift),
            wanted,
            rtol=1e-10,
            atol=1e-10,
            msg=lambda m, s=settings: f"{s}: {m}",
        )


def test_external_conv_with_a_number_per_axis_equals_torch():
    settings = {"stride": (1, 2, 3), "padding": (2, 0, 1), "dilation": (1, 2, 1)}
    layer = nn.Conv3d(2, 3, (3, 1, 2), **settings).double()
    image, weight, bias = _double(2, 2, 6, 7, 8), _double(2, *layer.weight.shape), _double(2, 3)
    out = ExternalConv(spatial_dims=3, **settings)(image, weight, bias)
    torch.testing.assert_close(out, _torch_row_by_row(layer, image, weight, bias), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_external_conv_on_channels_last_images_gives_the_same(spatial_dims):
    memory_format = {2: torch.channels_last, 3: torch.channels_last_3d}[spatial_dims]
    image = _double(3, 4, *SIZES[spatial_dims])
    for kernel, stride in [(1, 2), (3, 1)]:
        external = ExternalConv(spatial_dims=spatial_dims, stride=stride)
        weight = _double(3, 5, 4, *[kernel] * spatial_dims)
        out = external(image.contiguous(memory_format=memory_format), weight)
        torch.testing.assert_close(out, external(image, weight), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("middle", [(), (4,), (2, 3)])
def test_external_linear_equals_torch_linear_of_each_sample(middle):
    image, weight, bias = _double(3, *middle, 7), _double(3, 5, 7), _double(3, 5)
    for shift in (bias, None):
        wanted = [
            F.linear(row, w, None if shift is None else shift[i])
            for i, (row, w) in enumerate(zip(image, weight, strict=True))
        ]
        out = ExternalLinear()(image, weight, shift)
        torch.testing.assert_close(out, torch.stack(wanted), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("layer", "input_shape", "weight_shape"),
    [
        (ExternalConv(spatial_dims=1, padding="same"), (4, 9), (6, 4, 2)),
        (ExternalConv(spatial_dims=2, padding=1, groups=2, dilation=2), (4, 9, 8), (6, 2, 3, 3)),
        (ExternalConv(spatial_dims=3, padding=1, stride=2), (2, 6, 4, 5), (3, 2, 3, 3, 3)),
    ],
    ids=str,
)
def test_conv_in_several_calls_equals_conv_in_one_with_gradients(
    layer, input_shape, weight_shape, bias, dtype, tolerance, monkeypatch
):
    sources = [
        torch.randn(5, *shape, dtype=dtype, requires_grad=True) for shape in (input_shape, weight_shape)
    ]
    if bias:
        sources.append(torch.randn(5, weight_shape[0], dtype=dtype, requires_grad=True))
    at_once = layer(*sources)
    monkeypatch.setattr(_external, "CALL_BYTES", 1)
    assert layer._samples_per_call(*sources[:2]) == [3, 2]
    in_parts = layer(*sources)
    torch.testing.assert_close(in_parts, at_once, rtol=tolerance, atol=tolerance)
    direction = torch.randn_like(at_once)
    for one, other in zip(
        torch.autograd.grad(in_parts, sources, direction), torch.autograd.grad(at_once, sources, direction),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(one, other, rtol=tolerance, atol=10 * tolerance)


def test_conv_divides_the_batch_evenly_and_leaves_no_sample_alone(monkeypatch):
    conv, weight = ExternalConv(spatial_dims=2, stride=2, padding=1), torch.ones(7, 4, 4, 3, 3)
    image = torch.ones(7, 4, 8, 8)
    n_bytes = 4 * (4 * 64 + 4 * 4 * 9 + 4 * 16)  # of a sample: image, weight, output
    for n_at_a_time, wanted in [(7, [7]), (6, [4, 3]), (4, [4, 3]), (3, [3, 2, 2]), (1, [3, 2, 2])]:
        monkeypatch.setattr(_external, "CALL_BYTES", n_at_a_time * n_bytes)
        assert conv._samples_per_call(image, weight) == wanted
    assert conv._samples_per_call(image[:1], weight[:1]) == [1]
    assert conv._samples_per_call(image.to("meta"), weight.to("meta")) == [7]


def test_subsampling_passes_gradcheck_and_keeps_every_other_position():
    image = _double(2, 3, 5, 4).requires_grad_()
    torch.testing.assert_close(Subsample.apply(image, (2, 3)), image[:, :, ::2, ::3])
    assert torch.autograd.gradcheck(lambda image: Subsample.apply(image, (2, 3)), (image,))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("layer", "input_shape", "weight_shape"),
    [
        (ExternalLinear(), (7,), (5, 7)),
        (ExternalLinear(), (2, 7), (5, 7)),
        (ExternalConv(spatial_dims=1, padding="same"), (4, 9), (6, 4, 2)),
        (ExternalConv(spatial_dims=2, stride=2, groups=2), (4, 9, 8), (6, 2, 1, 1)),
        (ExternalConv(spatial_dims=2, padding=1, groups=2, dilation=2), (4, 9, 8), (6, 2, 3, 3)),
        (ExternalConv(spatial_dims=3, padding=1, padding_mode="circular"), (2, 4, 3, 5), (3, 2, 3, 3, 3)),
    ],
    ids=str,
)
def test_basis_way_equals_materialised_way_with_gradients(layer, input_shape, weight_shape, bias):
    generator = AffineGenerator(4, weight_shape, bias=bias).double()
    nn.init.normal_(generator.weight_constant)
    input = _double(3, *input_shape).requires_grad_()
    embedding = _double(3, 4).requires_grad_()
    materialised = layer(input, *generator(embedding))
    basis = layer.from_basis(
        input, embedding, generator.weight_basis, generator.weight_constant, generator.bias(embedding)
    )
    torch.testing.assert_close(basis, materialised, rtol=1e-10, atol=1e-10)
    sources = [input, embedding, *generator.parameters()]
    direction = torch.randn_like(basis)
    for one, other in zip(
        torch.autograd.grad(basis, sources, direction), torch.autograd.grad(materialised, sources, direction),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("layer", "input_shape", "weight_shape"),
    [
        (ExternalLinear(), (3,), (2, 3)),
        (ExternalConv(spatial_dims=1, stride=2), (2, 5), (2, 2, 1)),
        (ExternalConv(spatial_dims=2, padding=1), (2, 3, 3), (2, 2, 2, 2)),
        (ExternalConv(spatial_dims=3, groups=2), (2, 2, 2, 2), (2, 1, 2, 1, 2)),
    ],
    ids=str,
)
def test_gradients_of_external_layers_pass_gradcheck(layer, input_shape, weight_shape):
    generator = AffineGenerator(2, weight_shape).double()
    nn.init.normal_(generator.weight_constant)
    input, embedding = _double(2, *input_shape).requires_grad_(), _double(2, 2).requires_grad_()
    names, values = zip(*generator.named_parameters(), strict=True)

    def materialised(input, embedding, *values):
        weight, bias = torch.func.functional_call(generator, dict(zip(names, values, strict=True)), embedding)
        return layer(input, weight, bias)

    def basis(input, embedding, weight_basis, weight_constant):
        return layer.from_basis(input, embedding, weight_basis, weight_constant)

    assert torch.autograd.gradcheck(materialised, (input, embedding, *values))
    assert torch.autograd.gradcheck(basis, (input, embedding, values[0], values[1]))


def test_linear_prefers_basis_only_for_one_vector_a_sample_and_few_components():
    linear = ExternalLinear()
    assert linear.prefers_basis(torch.ones(2, 100), 8)
    assert not linear.prefers_basis(torch.ones(2, 100), 100)
    assert not linear.prefers_basis(torch.ones(2, 5, 100), 8)


def test_conv_prefers_basis_only_for_one_position_and_few_components():
    conv = ExternalConv(spatial_dims=2)
    assert conv.prefers_basis(torch.ones(2, 100, 1, 1), 8)
    assert not conv.prefers_basis(torch.ones(2, 100, 1, 1), 17)
    assert not conv.prefers_basis(torch.ones(2, 100, 2, 1), 8)


def test_external_layers_with_too_few_weights_raise_both_shapes():
    with pytest.raises(
        ValueError, match=r"weights of its own\. Got input of shape \(3, 2\), weight \(2, 4, 2\)"
    ):
        ExternalLinear()(torch.ones(3, 2), torch.ones(2, 4, 2))
    with pytest.raises(ValueError, match=r"\(3, 1, 4\), weight \(3, 2, 1, 3\) and bias \(1, 2\)"):
        ExternalConv(spatial_dims=1)(torch.ones(3, 1, 4), torch.ones(3, 2, 1, 3), torch.ones(1, 2))


def test_external_layers_with_wrong_channels_raise_both_shapes():
    with pytest.raises(ValueError, match=r"must share I\. Got \(3, 2\) and \(3, 4, 5\)"):
        ExternalLinear()(torch.ones(3, 2), torch.ones(3, 4, 5))
    with pytest.raises(ValueError, match=r"groups=2: image .* Got \(3, 2, 4\) and \(3, 2, 2, 3\)"):
        ExternalConv(spatial_dims=1, groups=2)(torch.ones(3, 2, 4), torch.ones(3, 2, 2, 3))
    with pytest.raises(ValueError, match=r"spatial_dims=2 .* Got \(3, 2, 4\) and \(3, 2, 2, 3\)"):
        ExternalConv(spatial_dims=2)(torch.ones(3, 2, 4), torch.ones(3, 2, 2, 3))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"spatial_dims": 4}, "'spatial_dims' must be 1, 2 or 3. Got 4"),
        ({"spatial_dims": 2, "padding_mode": "mirror"}, "'padding_mode' must be one of .* Got 'mirror'"),
        ({"spatial_dims": 2, "padding": "full"}, "'padding' must be numbers, 'same' or 'valid'. Got 'full'"),
        ({"spatial_dims": 2, "padding": "same", "stride": 2}, "padding='same' needs stride=1"),
        ({"spatial_dims": 2, "stride": (1, 2, 3)}, r"'stride' must have one number per axis \(2\)"),
        ({"spatial_dims": 2, "dilation": (1,)}, r"'dilation' must have one number per axis \(2\)"),
        ({"spatial_dims": 2, "padding": (1,)}, r"'padding' must have one number per axis \(2\)"),
    ],
)
def test_external_conv_with_wrong_settings_raises(settings, match):
    with pytest.raises(ValueError, match=match):
        ExternalConv(**settings)
