import pytest
import torch

from skhyperfusion.nn import DAFT, FiLM


def _double(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def _with_large_effect(module):
    module = module.double()
    torch.nn.init.normal_(module.excite.weight)
    return module


@pytest.mark.parametrize("shape", [(3, 6), (3, 6, 4), (3, 6, 4, 5), (3, 6, 4, 5, 2)])
@pytest.mark.parametrize("kind", [FiLM, DAFT])
def test_scale_and_shift_act_on_the_channels(kind, shape):
    module = _with_large_effect(kind(5, 6))
    h, tabular = _double(*shape), _double(3, 5)
    inputs = tabular if kind is FiLM else torch.cat([h.reshape(3, 6, -1).mean(2), tabular], 1)
    made = module.excite(torch.relu(module.squeeze(inputs)))
    channels = (3, 6) + (1,) * (len(shape) - 2)
    scale, shift = 1 + made[:, :6].reshape(channels), made[:, 6:].reshape(channels)
    torch.testing.assert_close(module(h, tabular), scale * h + shift, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", [FiLM, DAFT])
def test_conditioning_starts_near_the_identity_and_reads_the_table(kind):
    module = kind(5, 6).double()
    h, tabular = _double(3, 6, 4, 4), _double(3, 5)
    torch.testing.assert_close(module(h, tabular), h, rtol=0.3, atol=0.3)
    assert not torch.equal(module(h, tabular), module(h, tabular + 1))
    module(h, tabular).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())


def test_daft_scale_depends_on_the_map_and_films_does_not():
    h, tabular = _double(2, 6, 4), _double(2, 5)
    h[1] = 2 * h[0]
    tabular[1] = tabular[0]
    film, daft = _with_large_effect(FiLM(5, 6)), _with_large_effect(DAFT(5, 6))
    zero = torch.zeros_like(h)
    linear = film(h, tabular) - film(zero, tabular)  # scale * h
    torch.testing.assert_close(linear[1], 2 * linear[0])
    made = daft(h, tabular)
    slope = made[:, :, 1:] - made[:, :, :-1]  # scale * differences of h
    assert not torch.allclose(slope[1], 2 * slope[0])


@pytest.mark.parametrize("kind", [FiLM, DAFT])
def test_bottleneck_is_the_hidden_layers_width(kind):
    assert kind(5, 6).squeeze.out_features == 7
    assert kind(5, 6, bottleneck=3).squeeze.out_features == 3
