import math

import pytest
import torch

from skhyperfusion.nn import AffineGenerator


def test_generated_weights_are_affine_in_the_embedding():
    generator = AffineGenerator(3, (4, 2, 5)).double()
    embedding = torch.randn(6, 3, dtype=torch.float64)
    weight, bias = generator(embedding)
    G, c = generator.weight_basis, generator.weight_constant
    torch.testing.assert_close(
        weight, torch.einsum("be,eoik->boik", embedding, G) + c, rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(bias, embedding @ generator.bias_basis + generator.bias_constant)


@pytest.mark.parametrize("relu_follows", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mean_square", [0.3, 4.0])
def test_principled_generators_have_the_papers_variance(relu_follows, bias, mean_square):
    fan_in, dim, n_out = 6 * 3 * 3, 8, 200
    generator = AffineGenerator(dim, (n_out, 6, 3, 3), bias=bias, relu_follows=relu_follows)
    generator.initialize(mean_square)
    r = 2 if relu_follows else 1
    wanted = r / ((2 if bias else 1) * fan_in * dim * mean_square)
    # The variance of n uniform draws has a relative standard error of sqrt(0.8 / n).
    G = generator.weight_basis
    assert G.var().item() == pytest.approx(wanted, rel=4 * math.sqrt(0.8 / G.numel()))
    assert G.abs().max().item() <= math.sqrt(3 * wanted)
    assert not generator.weight_constant.any()
    if bias:
        R = generator.bias_basis
        wanted = r / (2 * dim * mean_square)
        assert R.var().item() == pytest.approx(wanted, rel=4 * math.sqrt(0.8 / R.numel()))
        assert R.abs().max().item() <= math.sqrt(3 * wanted)
        assert not generator.bias_constant.any()
    else:
        assert generator.bias_basis is None


def test_principled_output_has_unit_variance_before_no_relu():
    generator = AffineGenerator(16, (64, 300)).double()
    generator.initialize(0.25)
    embedding = 0.5 * torch.randn(500, 16, dtype=torch.float64)
    weight, bias = generator(embedding)
    output = torch.einsum("boi,bi->bo", weight, torch.randn(500, 300, dtype=torch.float64)) + bias
    assert output.var().item() == pytest.approx(1.0, rel=0.1)


def test_residual_generator_starts_near_the_replaced_layer():
    layer = torch.nn.Linear(30, 20)
    principled = AffineGenerator(8, (20, 30)).variances()
    generator = AffineGenerator(8, (20, 30), init="residual", constant=(layer.weight, layer.bias))
    torch.testing.assert_close(generator.weight_constant, layer.weight, rtol=0, atol=0)
    torch.testing.assert_close(generator.bias_constant, layer.bias, rtol=0, atol=0)
    assert generator.weight_basis.std().item() == pytest.approx(0.1 * math.sqrt(principled[0]), rel=0.05)
    assert 0 < generator.bias_basis.abs().max().item() <= 0.1 * math.sqrt(3 * principled[1])
    generator.initialize(2.0)
    torch.testing.assert_close(generator.weight_constant, layer.weight, rtol=0, atol=0)


@pytest.mark.parametrize("mean_square", [0.0, 1e-40])
def test_initialize_when_the_embedding_is_zero_reads_its_scale_as_one(mean_square):
    generator = AffineGenerator(4, (3, 2))
    assert generator.variances(mean_square) == generator.variances(1.0)
    generator.initialize(mean_square)
    assert torch.isfinite(generator.weight_basis).all()


@pytest.mark.parametrize("mean_square", [math.nan, math.inf, -1.0])
def test_initialize_when_the_mean_square_is_no_number_raises(mean_square):
    with pytest.raises(ValueError, match=f"mean square of the embedding must be finite. Got {mean_square}"):
        AffineGenerator(4, (3, 2)).initialize(mean_square)


def test_generator_with_unknown_init_or_no_constant_raises():
    with pytest.raises(ValueError, match=r"'init' must be one of .*'principled', 'residual'.* Got 'random'"):
        AffineGenerator(4, (3, 2), init="random")
    with pytest.raises(ValueError, match="init='residual' needs 'constant'"):
        AffineGenerator(4, (3, 2), init="residual")
