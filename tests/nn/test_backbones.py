import pytest
import torch
from torch import nn

from skhyperfusion.nn import BatchNorm, Head, PlainBackbone, ResidualBackbone
from skhyperfusion.nn._backbones import MaxPool, ResidualBlock, spread_dropout

SMALL = [(1, 1), (8, 8), (5, 7), (1, 9), (1, 1, 1), (8, 8, 8), (5, 7, 3), (2, 40, 1), (4,)]


def test_residual_backbone_on_the_papers_crop_has_the_papers_shapes():
    net = ResidualBackbone(1, spatial_dims=3, base_channels=1, paper=True).eval()
    h = torch.zeros(1, 1, 64, 96, 64)
    shapes = []
    with torch.no_grad():
        for part in net.children():
            h = part(h)
            shapes.append(tuple(h.shape[1:]))
    assert shapes == [(1, 32, 48, 32), (2, 32, 48, 32), (4, 16, 24, 16), (8, 8, 12, 8), (16, 4, 6, 4)]


def test_residual_block_is_the_papers():
    block = ResidualBlock(2, 4, spatial_dims=2, stride=2, dropout=0.3).double()
    block(torch.randn(9, 2, 6, 6, dtype=torch.float64))
    block.eval()
    h = torch.randn(3, 2, 6, 6, dtype=torch.float64)
    wanted = block.conv1(torch.relu(block.norm1(h)))
    wanted = block.conv2(torch.relu(block.norm2(wanted))) + block.shortcut.norm(block.shortcut.conv(h))
    torch.testing.assert_close(block(h), wanted)
    assert block.conv1.stride == block.shortcut.conv.stride == (2, 2)
    assert block.dropout1.p == block.dropout2.p == 0.3
    doubled = block(h, lambda residual: 2 * residual) - block(h, lambda residual: 0 * residual)
    assert doubled.abs().max() > 0


def test_plain_backbone_on_the_papers_scan_has_39424_features():
    net = PlainBackbone(1, spatial_shape=(84, 116, 92), paper=True)
    assert net.map_shape == (7, 11, 8)
    assert net.make_head(1, dropout=(0.2,)).hidden1.in_features == 39424
    small = PlainBackbone(1, spatial_shape=(84, 116, 92), base_channels=1).eval()
    with torch.no_grad():
        assert small(torch.zeros(1, 1, 84, 116, 92)).shape == (1, 4, 7, 11, 8)


def test_plain_backbone_pads_only_an_axis_that_would_vanish():
    net = PlainBackbone(1, spatial_shape=(36, 35), base_channels=2).eval()
    assert net.stage1.conv1.padding == net.stage3.conv2.padding == (0, 1)
    assert net.map_shape == (1, 4)
    assert net(torch.zeros(1, 1, 36, 35)).shape == (1, 8, 1, 4)


def test_plain_backbone_stage_is_the_papers():
    net = PlainBackbone(1, spatial_shape=(40, 40), base_channels=3)
    kinds = [nn.Conv2d, nn.ReLU, nn.Conv2d, nn.ReLU, MaxPool, BatchNorm]
    for stage, channels in zip(net.children(), (3, 6, 12), strict=True):
        assert [type(layer) for layer in stage] == kinds
        assert stage.conv2.out_channels == channels


@pytest.mark.parametrize("shape", SMALL, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_backbones_take_small_images_and_one_row(shape, training):
    image = torch.randn(1, 2, *shape)
    plain = PlainBackbone(2, spatial_shape=shape, base_channels=2).train(training)
    out = plain(image)
    assert out.shape == (1, 8, *plain.map_shape)
    residual = ResidualBackbone(2, spatial_dims=len(shape), base_channels=2).train(training)
    assert residual(image).shape[:2] == (1, 32)
    assert torch.isfinite(out).all()
    assert torch.isfinite(residual(image)).all()


def test_max_pool_leaves_an_axis_of_one_alone():
    image = torch.arange(6.0).reshape(1, 1, 1, 6)
    assert MaxPool(2)(image).tolist() == [[[[1.0, 3.0, 5.0]]]]


@pytest.mark.parametrize("make", [lambda d: ResidualBackbone(1, spatial_dims=d)])
def test_backbone_with_wrong_dimensions_raises(make):
    with pytest.raises(ValueError, match=r"'spatial_dims' must be 1, 2 or 3\. Got 4"):
        make(4)
    with pytest.raises(ValueError, match=r"'spatial_dims' must be 1, 2 or 3\. Got 4"):
        PlainBackbone(1, spatial_shape=(8, 8, 8, 8))


def test_convolutions_start_with_the_variance_that_relu_needs():
    net = ResidualBackbone(1, spatial_dims=2, base_channels=16)
    weight = net.block4.conv2.weight
    assert weight.var().item() == pytest.approx(2 / (256 * 9), rel=0.02)


def test_dropout_from_one_number_is_that_of_the_head():
    assert spread_dropout(0.2, *ResidualBackbone.dropout_places) == (0, 0, 0, 0, 0.2, 0.2)
    assert spread_dropout(0.2, *PlainBackbone.dropout_places) == (0.2,)
    assert spread_dropout([0.3], *PlainBackbone.dropout_places) == (0.3,)


@pytest.mark.parametrize(
    ("dropout", "match"),
    [
        ([0.1, 0.2], r"'dropout' must be a number or 6 of them.* Got 2: \(0\.1, 0\.2\)"),
        (1.0, r"'dropout' must lie in \[0, 1\)\. Got 1\.0"),
        ([0.1, 0.1, 0.1, 0.1, 0.1, -0.1], r"must lie in \[0, 1\)"),
    ],
)
def test_dropout_out_of_range_or_of_wrong_length_raises(dropout, match):
    with pytest.raises(ValueError, match=match):
        spread_dropout(dropout, *ResidualBackbone.dropout_places)


@pytest.mark.parametrize(("join_at", "widths"), [(0, (11, 4, 5)), (1, (8, 7, 5))])
def test_head_joins_the_table_where_it_is_told(join_at, widths):
    head = Head(8, 2, hidden_sizes=(4, 5), n_joined=3, join_at=join_at).double().eval()
    assert (head.hidden1.in_features, head.hidden2.in_features, head.output.in_features) == widths
    map, joined = torch.randn(6, 8, 3, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    assert not torch.equal(head(map, joined), head(map, 2 * joined))
    torch.testing.assert_close(head(map, joined), head.output(head.features(map, joined)))


@pytest.mark.parametrize(("join", "combine"), [("max", torch.maximum), ("multiply", torch.mul)])
def test_head_joins_two_projections_of_the_layers_width(join, combine):
    head = Head(8, 2, hidden_sizes=(4, 5), n_joined=3, join_at=1, join=join).double()
    assert (head.hidden1.in_features, head.hidden2.in_features, head.projection.out_features) == (8, 4, 5)
    map, joined = torch.randn(6, 8, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    by_image = head.hidden2(torch.relu(head.hidden1(map)))
    wanted = torch.relu(combine(by_image, head.projection(joined)))
    torch.testing.assert_close(head.features(map, joined), wanted)


def test_head_projects_a_standardised_table_to_unit_variance():
    head = Head(8, 2, hidden_sizes=(400,), n_joined=6, join="multiply")
    assert head.projection(torch.randn(500, 6)).std().item() == pytest.approx(1, rel=0.1)


def test_head_when_the_join_is_misspelt_names_the_nearest():
    with pytest.raises(ValueError, match=r"'concat', 'max', 'multiply'\. Got 'multply' .*mean 'multiply'\?"):
        Head(8, 2, hidden_sizes=(4,), n_joined=3, join="multply")


def test_head_pools_or_flattens():
    map = torch.randn(2, 3, 4, 5)
    pooled, flat = Head(3, 1, hidden_sizes=(2,)), Head(60, 1, hidden_sizes=(2,), flatten=True)
    wanted = pooled.output(torch.relu(pooled.hidden1(map.mean((2, 3)))))
    torch.testing.assert_close(pooled(map), wanted)
    torch.testing.assert_close(flat(map), flat.output(torch.relu(flat.hidden1(map.reshape(2, 60)))))


def test_head_drops_out_at_both_places():
    head = Head(3, 1, hidden_sizes=(2,), dropout=(0.4, 0.3))
    assert (head.dropout_in.p, head.dropout_out.p) == (0.4, 0.3)
    sure = Head(50, 1, hidden_sizes=(2,), dropout=(0.9, 0.0)).train()
    assert not torch.equal(sure(torch.ones(1, 50)), sure.eval()(torch.ones(1, 50)))


def test_residual_backbone_ends_in_normalisation_and_relu():
    net = ResidualBackbone(1, spatial_dims=2, base_channels=2)
    out = net(torch.randn(40, 1, 16, 16))
    assert (out >= 0).all()
    torch.testing.assert_close(
        out.mean((0, 2, 3)), torch.full((32,), 0.4), atol=0.1, rtol=0
    )  # of a rectified N(0, 1)
    net.eval()
    wanted = net.tail.norm(net.block4(net.block3(net.block2(net.block1(net.stem(torch.ones(1, 1, 16, 16)))))))
    torch.testing.assert_close(net(torch.ones(1, 1, 16, 16)), torch.relu(wanted))


@pytest.mark.parametrize("flatten", [False, True])
def test_output_layer_reads_channels_and_joined_table_directly(flatten):
    n_features = 8 * 9 if flatten else 8
    settings = {"hidden_sizes": (4,), "flatten": flatten, "n_joined": 3}
    head = Head(n_features, 2, n_direct=8, **settings).eval()
    plain = Head(n_features, 2, **settings).eval()
    plain.hidden1.load_state_dict(head.hidden1.state_dict())
    map, joined = torch.randn(6, 8, 3, 3), torch.randn(6, 3)
    wanted = torch.cat([plain.features(map, joined), map.mean((2, 3)), joined], 1)
    torch.testing.assert_close(head.features(map, joined), wanted)
    assert head.output.in_features == 4 + 8 + 3
    by_product = Head(n_features, 2, n_direct=8, join="multiply", **settings)
    assert by_product.output.in_features == 4 + 8  # an unmultiplied table would be a concatenation


def test_normalizing_head_does_not_see_what_all_features_have_in_common():
    head = Head(16, 2, hidden_sizes=(16, 16), n_joined=3, normalize=True).double()
    map, joined = torch.rand(6, 16, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    offset = torch.arange(6.0, dtype=torch.float64)[:, None]
    torch.testing.assert_close(head(map + offset, joined), head(map, joined))
    assert not torch.allclose(head(map, joined + offset), head(map, joined))
    few, map = Head(3, 2, hidden_sizes=(16,), normalize=True), torch.tensor([[1.0, 0.0, 0.0]])
    assert not torch.allclose(few(map + 1), few(map))  # of three features the mean is one to be seen


def test_normalizing_head_rectifies_units_of_mean_0_and_variance_1_of_each_row():
    head = Head(16, 2, hidden_sizes=(16,), normalize=True).double()
    map = torch.rand(6, 16, dtype=torch.float64)
    units = head.hidden1(map - map.mean(1, keepdim=True))
    spread = units.std(1, unbiased=False, keepdim=True)
    wanted = torch.relu((units - units.mean(1, keepdim=True)) / spread)
    torch.testing.assert_close(head.features(map), wanted, rtol=1e-3, atol=1e-3)


def test_no_unit_of_a_new_normalizing_head_is_shut_for_all_rows():
    map = torch.relu(torch.randn(64, 64)) * 0.2 + 0.4  # an offset larger than the spread
    shut = {
        normalize: sum(
            int((Head(64, 1, hidden_sizes=(16,), normalize=normalize).features(map) <= 0).all(0).sum())
            for _ in range(20)
        )
        for normalize in (False, True)
    }
    assert shut[True] == 0 < shut[False]
