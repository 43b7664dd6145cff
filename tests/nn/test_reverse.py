"""The hypernetwork the other way round: the image makes weights of the network that reads the table."""

import pytest
import torch
from torch import nn

from skhyperfusion.nn import BatchNorm

DEFAULT = ("head.hidden1",)


def _generated(net, image):
    map = net.backbone(image)
    return net.fusion.hypernetwork(map.flatten(2).mean(2) if map.ndim > 2 else map)


@pytest.mark.parametrize("backbone", ["resnet", "vgg", "own map", "own features"])
def test_hidden_layer_reads_the_table_with_the_weights_of_the_image(make_fusion, backbone):
    net, image, tabular = make_fusion("reverse", backbone, hyper_width=7)
    assert net.external_layers == DEFAULT
    weight, bias = _generated(net, image)["head.hidden1"]
    assert weight.shape == (4, 7, 5)
    assert (weight[0] - weight[1]).abs().max() > 1e-3
    wanted = torch.relu(torch.einsum("boi,bi->bo", weight, tabular) + bias)
    torch.testing.assert_close(net.features(image, tabular), wanted, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(net(image, tabular), net.head.output(wanted), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("hyper_init", ["principled", "residual"])
@pytest.mark.parametrize("shared_embedding", [True, False])
@pytest.mark.parametrize("hyper_depth", [0, 1, 2])
def test_every_setting_of_the_hypernetwork_gives_row_wise_predictions(
    make_fusion, hyper_depth, shared_embedding, hyper_init
):
    net, image, tabular = make_fusion(
        "reverse", "own map", external_layers="head.*", hyper_width=6, embedding_dim=3,
        hyper_depth=hyper_depth, shared_embedding=shared_embedding, hyper_init=hyper_init,
    )  # fmt: skip
    hypernetwork = net.fusion.hypernetwork
    assert net.external_layers == hypernetwork.layer_names == ("head.hidden1", "head.output")
    assert len(hypernetwork.embeddings) == (1 if shared_embedding else 2)
    assert (hypernetwork.generators[0].weight_constant.abs().sum() > 0) == (hyper_init == "residual")
    for embedding in hypernetwork.embeddings:
        assert (embedding.n_tabular_features, embedding.depth) == (12, hyper_depth)
        assert embedding.embedding_dim == (3 if hyper_depth else 12)
    if hyper_depth == 2:
        assert hypernetwork.embeddings[0].layers[0].out_features == 6
    rows = [net(image[i : i + 1], tabular[i : i + 1]) for i in range(len(image))]
    torch.testing.assert_close(net(image, tabular), torch.cat(rows), rtol=1e-10, atol=1e-10)


def test_hyper_width_and_dropout_are_those_of_the_network_that_reads_the_table(make_fusion):
    net, _, _ = make_fusion("reverse", hyper_width=9, dropout=(0.1, 0.1, 0.1, 0.1, 0.3, 0.4))
    assert net.head.output.in_features == 9
    assert (net.head.dropout_in.p, net.head.dropout_out.p) == (0.0, 0.4)


@pytest.mark.parametrize("hyper_depth", [0, 1, 2])
def test_embedding_of_the_images_has_the_mean_square_that_the_generators_are_drawn_for(
    make_fusion, hyper_depth
):
    net, _, _ = make_fusion("reverse", base_channels=4, hyper_depth=hyper_depth, hyper_width=500)
    images = 3 + 5 * torch.randn(32, 2, 9, 8, dtype=torch.float64)
    features = net.train().backbone(images).mean((2, 3))
    (embedding,) = net.fusion.hypernetwork.embed(features)
    assert isinstance(net.fusion.hypernetwork.embeddings[0].layers[-1], BatchNorm)
    assert embedding.square().mean().item() == pytest.approx(1, abs=0.01)
    (generator,) = net.fusion.hypernetwork.generators
    assert generator.relu_follows
    wanted = 2 / (2 * 5 * generator.embedding_dim * 1)  # r / (2 d_j d_k v) with v = 1
    assert generator.weight_basis.var().item() == pytest.approx(wanted, rel=0.1)
    variance = generator(embedding)[0].var().item()
    assert variance == pytest.approx(2 / (2 * 5), rel=0.1)  # half of what a layer's own would be: the bias


def test_initialize_leaves_it_as_it_is(make_fusion):
    net, image, tabular = make_fusion("reverse")
    before = net(image, tabular)
    net.initialize(100 * torch.randn(50, 5, dtype=torch.float64))
    torch.testing.assert_close(net(image, tabular), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("patterns", "match"),
    [
        ("backbone.block4.*", r"no layer matches 'backbone\.block4\.\*'.*'head\.hidden1', 'head\.output'"),
        ("head.hiden1", r"did you mean 'head\.hidden1'\?"),
    ],
)
def test_only_layers_that_read_the_table_can_be_external(make_fusion, patterns, match):
    with pytest.raises(ValueError, match=match):
        make_fusion("reverse", external_layers=patterns)


def test_backbone_of_one_layer_trains_on_a_last_batch_of_one_row(make_fusion):
    net, image, tabular = make_fusion("reverse", rows=1, **{"backbone": lambda c, d: nn.Conv2d(c, 3, 1)})
    net.train()(image, tabular).sum().backward()
    assert net.backbone.weight.grad.abs().sum() > 0
