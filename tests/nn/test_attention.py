import pytest
import torch
from torch.nn import functional as F

from skhyperfusion.nn import TabAttention

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
SHAPES = [(), (4,), (4, 5), (4, 5, 2), (1, 1)]


def _double(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def _mlp(module, x):
    return module[2](torch.relu(module[0](x)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_attention_weights_channels_then_positions(shape):
    module = TabAttention(5, 6, map_shape=shape).double()
    h, tabular = _double(3, 6, *shape), _double(3, 5)
    out = module(h, tabular)
    for i in range(3):
        flat = h[i].reshape(6, -1)
        descriptors = [flat.mean(1), flat.max(1).values, _mlp(module.channel_embedding, tabular[i])]
        weighted = flat * torch.sigmoid(sum(_mlp(module.channel_mlp, d) for d in descriptors))[:, None]
        if shape:
            position = _mlp(module.position_embedding, tabular[i])
            stacked = torch.stack([weighted.mean(0), weighted.max(0).values, position]).reshape(1, 3, *shape)
            conv = module.position_conv
            made = CONV[len(shape)](stacked, conv.weight, conv.bias, padding=3)
            weighted = weighted * torch.sigmoid(made).reshape(1, -1)
        torch.testing.assert_close(out[i], weighted.reshape(6, *shape), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_attention_passes_gradcheck_and_trains_every_parameter(shape):
    module = TabAttention(5, 6, map_shape=shape).double()
    h, tabular = _double(3, 6, *shape).requires_grad_(), _double(3, 5).requires_grad_()
    assert torch.autograd.gradcheck(module, (h, tabular))
    module(h, tabular).square().sum().backward()
    assert [name for name, p in module.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_embeddings_start_at_the_variance_of_a_standardised_table():
    module = TabAttention(5, 40, map_shape=(4, 5), bottleneck=300)
    tabular = torch.randn(500, 5)
    for embedding in (module.channel_embedding, module.position_embedding):
        assert embedding(tabular).std().item() == pytest.approx(1, rel=0.15)


def test_where_to_look_depends_on_the_table():
    module = TabAttention(5, 6, map_shape=(4, 5)).double()
    torch.nn.init.normal_(module.position_conv.weight)
    h = torch.ones(2, 6, 4, 5, dtype=torch.float64)
    one, other = module(h, _double(2, 5))
    pattern = [(row / row.mean((1, 2), keepdim=True))[0] for row in (one, other)]
    assert (pattern[0] - pattern[1]).abs().max() > 0.05


def test_bottleneck_and_kernel_size_are_the_layers():
    module = TabAttention(5, 6, map_shape=(4, 5), bottleneck=3, kernel_size=5)
    mlps = [module.channel_embedding, module.channel_mlp, module.position_embedding]
    assert [(mlp[0].in_features, mlp[0].out_features, mlp[2].out_features) for mlp in mlps] == [
        (5, 3, 6), (6, 3, 6), (5, 3, 20)
    ]  # fmt: skip
    assert module.position_conv.kernel_size == (5, 5)
    assert TabAttention(5, 6, map_shape=(4, 5)).position_conv.kernel_size == (7, 7)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"kernel_size": 4}, "'kernel_size' must be odd. Got 4"),
        ({"map_shape": (2, 2, 2, 2)}, r"'map_shape' must have 3 axes at most\. Got \(2, 2, 2, 2\)"),
    ],
)
def test_attention_with_a_wrong_setting_raises(settings, match):
    with pytest.raises(ValueError, match=match):
        TabAttention(5, 6, **settings)


def test_attention_when_the_map_has_another_shape_raises_both():
    with pytest.raises(ValueError, match=r"h must have shape \(2, 6, 4, 5\)\. Got \(2, 6, 5, 4\)"):
        TabAttention(5, 6, map_shape=(4, 5))(torch.ones(2, 6, 5, 4), torch.ones(2, 5))
