"""What each parameter of FusionNetwork does; the sizes of the paper's two networks."""

import pytest
import torch
from torch import nn

from skhyperfusion.nn import FusionNetwork
from skhyperfusion.nn import _fusions as fusions
from skhyperfusion.nn._fusions import FUSIONS
from skhyperfusion.nn._primary import BACKBONES


@pytest.mark.parametrize("backbone", BACKBONES)
def test_base_channels_scale_the_backbone(make_fusion, backbone):
    narrow, _, _ = make_fusion("image", backbone, base_channels=2)
    wide, _, _ = make_fusion("image", backbone, base_channels=4)
    assert wide.backbone.n_channels == 2 * narrow.backbone.n_channels


@pytest.mark.parametrize(
    ("backbone", "wanted"),
    [
        ("resnet", [0.0] * 8 + [0.2, 0.2]),
        ("vgg", [0.2, 0.0]),
        ("own map", [0.2, 0.2]),
    ],
)
def test_dropout_reaches_every_place(make_fusion, backbone, wanted):
    net, _, _ = make_fusion("concat", backbone, dropout=0.2)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == pytest.approx(wanted)


def test_dropout_as_a_sequence_gives_each_place(make_fusion):
    net, _, _ = make_fusion("image", "resnet", dropout=(0.01, 0.02, 0.03, 0.04, 0.05, 0.06))
    rates = [m.p for m in net.modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.01, 0.01, 0.02, 0.02, 0.03, 0.03, 0.04, 0.04, 0.05, 0.06]
    assert make_fusion("tabular", dropout=(0.1, 0.7))[0].fusion.dropout.p == 0.7
    assert make_fusion("tabular", dropout=0.4)[0].fusion.dropout.p == 0.4


def test_hyper_parameters_reach_the_embedding_network(make_fusion):
    net, _, _ = make_fusion("hyper", hyper_depth=3, hyper_width=9, embedding_dim=6)
    (embedding,) = net.fusion.hypernetwork.embeddings
    assert (embedding.depth, embedding.layers[0].out_features, embedding.embedding_dim) == (3, 9, 6)


def test_tabular_baseline_is_not_narrowed_by_the_embedding(make_fusion):
    assert make_fusion("tabular", hyper_width=32, embedding_dim=1)[0].fusion.last.in_features == 32
    assert make_fusion("tabular", hyper_width=4, embedding_dim=6)[0].fusion.last.in_features == 6
    assert make_fusion("tabular", hyper_depth=0)[0].fusion.embedding.depth == 1
    assert make_fusion("tabular", hyper_depth=2)[0].fusion.embedding.depth == 2


def test_hyper_init_residual_starts_at_the_plain_network(make_fusion):
    plain, image, _ = make_fusion("image", "own map")
    net, _, tabular = make_fusion("hyper", "own map", hyper_init="residual", external_layers=["*"])
    hypernetwork = net.fusion.hypernetwork
    state = plain.state_dict()
    for name, generator in zip(hypernetwork.layer_names, hypernetwork.generators, strict=True):
        generator.weight_constant.data.copy_(state.pop(f"{name}.weight"))
        generator.bias_constant.data.copy_(state.pop(f"{name}.bias"))
        generator.weight_basis.data.zero_()
        generator.bias_basis.data.zero_()
    net.load_state_dict(state, strict=False)
    torch.testing.assert_close(net(image, tabular), plain(image, None), rtol=1e-10, atol=1e-10)
    fresh, _, _ = make_fusion("hyper", "own map", hyper_init="residual")
    assert fresh.fusion.hypernetwork.generators[0].weight_constant.abs().sum() > 0
    fresh, _, _ = make_fusion("hyper", "own map", hyper_init="principled")
    assert fresh.fusion.hypernetwork.generators[0].weight_constant.abs().sum() == 0


def test_concat_joins_the_table_where_the_paper_does(make_fusion):
    resnet, _, _ = make_fusion("concat", "resnet")
    assert resnet.head.hidden1.in_features == resnet.backbone.n_channels + 5
    vgg, _, _ = make_fusion("concat", "vgg")
    assert (vgg.head.hidden1.in_features, vgg.head.hidden2.in_features) == (8, 16 + 5)


@pytest.mark.parametrize("fusion", ["max", "multiply"])
def test_max_and_multiply_join_where_concat_does(make_fusion, fusion):
    resnet, image, tabular = make_fusion(fusion, "resnet-paper")
    assert resnet.head.projection.out_features == resnet.head.hidden1.out_features
    projections = resnet.head.hidden1(resnet.backbone(image).mean((2, 3))), resnet.head.projection(tabular)
    combine = {"max": torch.maximum, "multiply": torch.mul}[fusion]
    torch.testing.assert_close(resnet.features(image, tabular), torch.relu(combine(*projections)))
    vgg, _, _ = make_fusion(fusion, "vgg")
    assert vgg.head.projection.out_features == vgg.head.hidden2.out_features == 32


@pytest.mark.parametrize("fusion", ["film", "daft", "tabattention"])
def test_film_daft_and_tabattention_act_inside_the_last_block(make_fusion, fusion):
    net, image, tabular = make_fusion(fusion, "resnet", spatial_shape=(40, 33))
    seen = {}
    for name in ("norm2", "conv2"):
        part = getattr(net.backbone.block4, name)
        part.register_forward_hook(lambda m, args, out, name=name: seen.update({name: (args[0], out)}))
    net(image, tabular)
    wanted = torch.relu(net.fusion.condition(tabular)(seen["norm2"][1]))
    torch.testing.assert_close(seen["conv2"][0], wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("fusion", ["film", "daft"])
def test_film_and_daft_have_a_bottleneck_of_7(make_fusion, fusion):
    net, _, _ = make_fusion(fusion, "resnet")
    assert net.fusion.affine.squeeze.out_features == 7
    assert net.fusion.affine.n_channels == net.backbone.block4.norm2.num_features


@pytest.mark.parametrize(
    ("backbone", "shape"), [("resnet", (3, 2)), ("vgg", (1, 4)), ("own map", (19, 16)), ("own features", ())]
)
def test_tabattention_fits_the_backbones_map(make_fusion, backbone, shape):
    net, _, _ = make_fusion("tabattention", backbone, spatial_shape=(40, 33))
    assert net.fusion.attention.map_shape == shape
    assert hasattr(net.fusion.attention, "position_conv") == bool(shape)


def test_further_fusion_is_a_class_and_a_line(monkeypatch, make_fusion):
    class GateFusion(fusions.Fusion):
        def attach(self, parts):
            self.gate = nn.Linear(5, parts["head"].output.in_features)
            return ()

        def features(self, primary, image, tabular):
            return super().features(primary, image, tabular) * torch.sigmoid(self.gate(tabular))

    monkeypatch.setitem(FUSIONS, "gate", GateFusion)
    net, image, tabular = make_fusion("gate")
    rows = [net(image[i : i + 1], tabular[i : i + 1]) for i in range(len(image))]
    torch.testing.assert_close(net(image, tabular), torch.cat(rows), rtol=1e-10, atol=1e-10)
    assert not torch.equal(net(image, tabular), net(image, tabular + 1))


def test_alzheimer_network_of_the_paper_has_the_parameters_counted_by_hand():
    net = FusionNetwork(
        backbone="resnet-paper",
        n_tabular_features=17,
        n_outputs=3,
        in_channels=1,
        spatial_shape=(64, 96, 64),
        hyper_depth=1,
    )
    stem = 27 * 16 + 2 * 16
    blocks = 0
    for n_in, n_out in [(16, 32), (32, 64), (64, 128), (128, 256)]:
        blocks += 2 * n_in + 27 * n_in * n_out + 2 * n_out + 27 * n_out * n_out  # the residual branch
        blocks += n_in * n_out + 2 * n_out  # the shortcut
    blocks -= 128 * 256  # external
    head = 256 * 64 + 64 + 64 * 3 + 3
    generators = (8 + 1) * (128 * 256 + 256)  # of a 1x1x1 convolution and of its bias
    embedding = 17 * 8 + 2 * 8 + 1
    counted = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    assert counted == {"backbone": stem + blocks, "head": head, "fusion": generators + embedding}
    assert net.external_layers == ("backbone.block4.shortcut.conv",)


def test_brain_age_network_of_the_paper_has_the_parameters_counted_by_hand():
    net = FusionNetwork(
        backbone="vgg-paper", n_tabular_features=2, n_outputs=1, in_channels=1, spatial_shape=(84, 116, 92),
        hyper_depth=1, embedding_dim=1, shared_embedding=False,
    )  # fmt: skip
    convolutions = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
    backbone = sum(27 * n_in * n_out + n_out for n_in, n_out in convolutions) + 2 * (16 + 32 + 64)
    linear = [(39424, 16), (16, 32), (32, 64), (64, 1)]
    generators = sum((1 + 1) * (n_in * n_out + n_out) for n_in, n_out in linear)
    embeddings = 4 * (2 * 1 + 2 * 1 + 1)
    counted = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    assert counted == {"backbone": backbone, "head": 0, "fusion": generators + embeddings}
