import pytest
import torch

from skhyperfusion.nn._dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
def test_dropout_meets_its_rate_and_keeps_the_mean(rate):
    dropped = Dropout(rate)(torch.ones(400_000, dtype=torch.float64))
    assert (dropped == 0).double().mean().item() == pytest.approx(rate, abs=0.004)
    assert dropped.max().item() == pytest.approx(1 / (1 - rate), rel=1e-4)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)


def test_dropout_draws_every_value_by_itself():
    dropped = Dropout(0.5)(torch.ones(100_000)).reshape(-1, 4) > 0
    patterns = (dropped * torch.tensor([1, 2, 4, 8])).sum(1).bincount(minlength=16) / len(dropped)
    torch.testing.assert_close(patterns, torch.full((16,), 1 / 16), atol=0.006, rtol=0)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3, 5), (0, 3)])
def test_dropout_takes_any_shape(shape):
    assert Dropout(0.3)(torch.ones(shape)).shape == shape


def test_dropout_keeps_the_memory_format_and_spares_the_input():
    image = torch.ones(2, 3, 4, 5, 6).contiguous(memory_format=torch.channels_last_3d)
    dropped = Dropout(0.5)(image)
    assert dropped.stride() == image.stride()
    assert (image == 1).all()
    part = torch.ones(4, 6)[:, ::2]  # not dense
    assert set(Dropout(0.5)(part).unique().tolist()) == {0.0, 2.0}


def test_gradient_of_dropout_is_that_of_what_was_kept():
    x = torch.ones(1000, requires_grad=True)
    dropped = Dropout(0.2)(x)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, dropped.detach())


def test_dropout_follows_the_seed():
    x = torch.ones(100)
    torch.manual_seed(3)
    first, second = Dropout(0.5)(x), Dropout(0.5)(x)
    torch.manual_seed(3)
    assert torch.equal(Dropout(0.5)(x), first)
    assert not torch.equal(first, second)


def test_dropout_changes_nothing_in_evaluation_or_at_rate_zero():
    x = torch.ones(100)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
