import pytest
import torch
from torch import nn

from skhyperfusion.nn import BatchNorm, EmbeddingNetwork
from skhyperfusion.nn._norm import measure_statistics, weighted_rows


def _double(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_embedding_network_has_the_layers_of_the_paper(depth):
    net = EmbeddingNetwork(5, depth=depth, width=16, embedding_dim=4)
    assert [type(layer) for layer in net.layers] == [nn.Linear, BatchNorm, nn.PReLU] * depth
    linear = [layer for layer in net.layers if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linear] == [5] + [16] * (depth - 1)
    assert [layer.out_features for layer in linear] == [16] * (depth - 1) + [4]
    assert net.embedding_dim == 4


def test_embedding_network_of_depth_0_is_the_table():
    net = EmbeddingNetwork(5, depth=0)
    tabular = _double(3, 5)
    assert net(tabular) is tabular or torch.equal(net(tabular), tabular)
    assert net.embedding_dim == 5
    assert list(net.parameters()) == []


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_normalized_embedding_has_mean_square_1_over_a_batch(depth):
    plain, normalized = (EmbeddingNetwork(5, depth=depth, normalize=n).double() for n in (False, True))
    tabular = 3 + 4 * _double(30, 5)
    out = normalized(tabular)
    torch.testing.assert_close(out.square().mean(0), torch.ones_like(out[0]), rtol=1e-3, atol=0)
    torch.testing.assert_close(out.mean(0), torch.zeros_like(out[0]))
    assert len(normalized.layers) == len(plain.layers) + 1


def test_embedding_of_a_row_does_not_depend_on_the_batch_when_evaluating():
    net = EmbeddingNetwork(5, depth=2).double()
    net(_double(20, 5))  # moves the running statistics
    net.eval()
    tabular = _double(7, 5)
    torch.testing.assert_close(net(tabular)[2:3], net(tabular[2:3]), rtol=1e-12, atol=1e-12)


def test_embedding_when_training_on_one_row_uses_and_keeps_the_running_statistics():
    net = EmbeddingNetwork(5, depth=2).double().train()
    net(_double(20, 5))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    row = _double(1, 5)
    out = net(row)
    torch.testing.assert_close(out, net.eval()(row), rtol=0, atol=0)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    out.sum().backward()
    assert net.layers[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"n_tabular_features": 5, "depth": -1}, "'depth' must be 0 or more. Got -1"),
        ({"n_tabular_features": 0}, "'n_tabular_features' must be 1 or more. Got 0"),
    ],
)
def test_embedding_network_with_wrong_sizes_raises(settings, match):
    with pytest.raises(ValueError, match=match):
        EmbeddingNetwork(**settings)


def test_embedding_network_when_the_table_has_another_width_raises_both():
    with pytest.raises(ValueError, match=r"must have shape \(B, 5\)\. Got \(2, 4\)"):
        EmbeddingNetwork(5)(torch.ones(2, 4))


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4), (6, 3, 4, 2), (2, 3, 2, 2, 2)])
def test_batch_norm_equals_torchs_but_for_the_population_variance(shape):
    ours = BatchNorm(3).double()
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)]
    theirs = kind(3, momentum=1.0).double()  # the first batch stands for all so far
    input = _double(*shape)
    torch.testing.assert_close(ours(input), theirs(input), rtol=1e-12, atol=1e-12)
    count = input.numel() // 3
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var * (count - 1) / count)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours.eval()(input), theirs.eval()(input), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5, 2)])
def test_batch_norm_when_rows_are_weighted_equals_repeated_rows(shape):
    weight = torch.tensor([1.0, 3.0, 2.0, 0.0])
    repeated = torch.repeat_interleave(torch.arange(4), weight.long())
    one, other = BatchNorm(3).double(), BatchNorm(3).double()
    input = _double(*shape)
    with weighted_rows(weight):
        weighted = one(input)
    torch.testing.assert_close(weighted[repeated], other(input[repeated]), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(one.running_mean, other.running_mean, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(one.running_var, other.running_var, rtol=1e-10, atol=1e-10)
    # Only inside the block, and never when evaluating.
    with weighted_rows(weight):
        torch.testing.assert_close(one.eval()(input), one(input), rtol=0, atol=0)
    torch.testing.assert_close(one.train()(input), BatchNorm(3).double()(input), rtol=1e-10, atol=1e-10)


def test_batch_norm_when_no_row_has_weight_uses_and_keeps_the_running_statistics():
    norm = BatchNorm(3).double()
    norm(_double(9, 3))
    before = norm.running_mean.clone(), norm.running_var.clone()
    input = _double(4, 3)
    with weighted_rows(torch.zeros(4)):
        out = norm(input)
    torch.testing.assert_close((norm.running_mean, norm.running_var), before, rtol=0, atol=0)
    torch.testing.assert_close(out, norm.eval()(input), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "settings", [{"track_running_stats": False}, {"momentum": None}, {"affine": False, "momentum": None}]
)
@pytest.mark.parametrize("weight", [None, [1.0, 3.0, 2.0, 0.0]], ids=["rows alike", "rows weighted"])
def test_batch_norm_takes_the_settings_of_torchs(settings, weight):
    ours, theirs = BatchNorm(3, **settings).double(), nn.BatchNorm1d(3, **settings).double()
    weight = None if weight is None else torch.tensor(weight)
    rows = torch.arange(4) if weight is None else torch.repeat_interleave(torch.arange(4), weight.long())
    for _ in range(3):
        input = _double(4, 3)
        with weighted_rows(weight):
            out = ours(input)
        torch.testing.assert_close(out[rows], theirs(input[rows]), rtol=1e-10, atol=1e-10)
    if ours.running_mean is not None:
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        theirs.running_var.copy_(ours.running_var)  # the population's
    torch.testing.assert_close(ours.eval()(input), theirs.eval()(input))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_batch_norm_without_momentum_averages_the_variances_of_all_batches():
    norm, batches = BatchNorm(3, momentum=None), [torch.randn(5, 3) for _ in range(3)]
    for batch in batches:
        norm(batch)
    wanted = torch.stack([batch.var(0, correction=0) for batch in batches]).mean(0)
    torch.testing.assert_close(norm.running_var, wanted)


def test_batch_norm_averages_the_first_batches_and_forgets_by_its_momentum_from_there():
    norm, batches = BatchNorm(3, momentum=0.25).double(), _double(6, 5, 3)
    for batch in batches:
        norm(batch)
    mean = batches[:4].mean((0, 1))
    for batch in batches[4:]:
        mean = 0.75 * mean + 0.25 * batch.mean(0)
    torch.testing.assert_close(norm.running_mean, mean)


@pytest.mark.parametrize("value", [0.0, 3.0, -0.1])
@pytest.mark.parametrize("shape", [(8, 2), (8, 2, 5, 3)])
def test_batch_norm_gives_the_bias_for_a_channel_that_was_constant_in_training(shape, value):
    norm, input = BatchNorm(2), torch.randn(shape)
    norm.bias.data = torch.tensor([0.5, -2.0])
    for step in range(3):
        input[:, 0] = value + 0.1 * step  # the weights before it move: so the running mean misses the last
        in_training = norm(input)
    in_evaluation = norm.eval()(input)
    torch.testing.assert_close(in_training[:, 0], torch.full_like(input[:, 0], 0.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(in_evaluation[:, 0], torch.full_like(input[:, 0], 0.5), atol=0, rtol=0)
    assert in_evaluation[:, 1].std() > 0.5
    assert norm(torch.randn(shape))[:, 0].unique().tolist() == [0.5]  # whatever a later image shows there


def test_batch_norm_keeps_what_varies_a_little():
    norm = BatchNorm(1).double()
    input = 1e-4 * _double(50, 1)
    torch.testing.assert_close(norm(input), norm.eval()(input), rtol=1e-6, atol=0)


def test_batch_norm_without_running_statistics_says_what_one_value_lacks():
    norm = BatchNorm(3, track_running_stats=False)
    with pytest.raises(ValueError, match=r"track_running_stats=False.*\(1, 3\).*at least 2"):
        norm(torch.ones(1, 3))
    with pytest.raises(ValueError, match="at least 2"):
        norm.eval()(torch.ones(1, 3))


def test_batch_norm_without_running_statistics_counts_weightless_rows_alike():
    norm, input = BatchNorm(3, track_running_stats=False).double(), _double(4, 3)
    plain = norm(input)
    with weighted_rows(torch.zeros(4)):
        torch.testing.assert_close(norm(input), plain)


def test_batch_norm_when_the_channels_differ_raises_both_shapes():
    with pytest.raises(ValueError, match=r"\(B, 3, \*S\)\. Got \(2, 4, 5\)"):
        BatchNorm(3)(torch.ones(2, 4, 5))


def test_measure_statistics_replaces_the_running_statistics_by_the_tables():
    net = EmbeddingNetwork(5, depth=1).double().eval()
    net(_double(9, 5))
    tabular = 3 + 2 * _double(50, 5)
    measure_statistics(net, tabular)
    first = net.layers[0](tabular)
    torch.testing.assert_close(net.layers[1].running_mean, first.mean(0))
    torch.testing.assert_close(net.layers[1].running_var, first.var(0, correction=0))
    assert not net.training
    assert net.layers[1].momentum == 0.1


def test_measure_statistics_with_weights_equals_repeated_rows():
    nets = [EmbeddingNetwork(5, depth=2).double() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    tabular, weight = _double(6, 5), torch.tensor([0, 1, 2, 3, 1, 1])
    measure_statistics(nets[0], tabular, sample_weight=weight)
    measure_statistics(nets[1], tabular.repeat_interleave(weight, 0))
    for name, value in nets[0].named_buffers():
        torch.testing.assert_close(value, nets[1].get_buffer(name), rtol=1e-10, atol=1e-10)
