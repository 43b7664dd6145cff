"""Every fusion on every backbone, in two and three dimensions: rows, gradients, copies, start, layers."""

import copy
import itertools
import pickle

import pytest
import torch
from torch import nn

from skhyperfusion.nn import FusionNetwork
from skhyperfusion.nn._fusions import FUSIONS
from skhyperfusion.nn._norm import measure_statistics
from skhyperfusion.nn._primary import BACKBONES

# To register a fusion or a backbone is to test it; the table alone, which has neither, once.
EVERY = [*BACKBONES, "own map", "own features"]


def cases(*axes):
    """Every fusion with all that the axes hold, and what knows no image with their first values."""
    return [
        (fusion, *values)
        for fusion in FUSIONS
        for number, values in enumerate(itertools.product(*axes))
        if FUSIONS[fusion].uses_image or number == 0
    ]


matrix = pytest.mark.parametrize(("fusion", "backbone", "spatial_dims"), cases(EVERY, [2, 3]))
by_backbone = pytest.mark.parametrize(("fusion", "backbone"), cases(EVERY))
USES_IMAGE = [name for name in FUSIONS if FUSIONS[name].uses_image]
USES_TABLE = [name for name in FUSIONS if FUSIONS[name].uses_table]


def _away_from_the_start(net):
    """Move every parameter, so that near-identity starts cannot hide a mistake."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net


@matrix
def test_batch_equals_its_rows_one_by_one(make_fusion, fusion, backbone, spatial_dims):
    net, image, tabular = make_fusion(fusion, backbone, spatial_dims)
    _away_from_the_start(net)
    with torch.no_grad():
        rows = [net(image[i : i + 1], tabular[i : i + 1]) for i in range(len(image))]
        out = net(image, tabular)
    assert out.shape == (4, 3)
    assert out.std(0).min() > 1e-6
    torch.testing.assert_close(out, torch.cat(rows), rtol=1e-10, atol=1e-10)


@matrix
def test_prediction_changes_with_what_the_fusion_uses_and_nothing_else(
    make_fusion, fusion, backbone, spatial_dims
):
    net, image, tabular = make_fusion(fusion, backbone, spatial_dims)
    with torch.no_grad():
        out = net(image, tabular)
        by_image = (net(image.flip(0), tabular) - out).abs().max()
        by_table = (net(image, tabular.flip(0)) - out).abs().max()
    assert (by_image > 1e-6) == FUSIONS[fusion].uses_image
    assert (by_table > 1e-6) == FUSIONS[fusion].uses_table


@matrix
def test_gradients_reach_every_parameter(make_fusion, fusion, backbone, spatial_dims):
    net, image, tabular = make_fusion(fusion, backbone, spatial_dims, dropout=0.0, rows=8)
    image.requires_grad_(FUSIONS[fusion].uses_image)
    tabular.requires_grad_(FUSIONS[fusion].uses_table)
    net.train()(image, tabular).square().sum().backward()
    missing = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert missing == []
    for given in (image, tabular):
        assert not given.requires_grad or given.grad.abs().sum() > 0


@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradients_to_image_and_table_pass_gradcheck(make_fusion, fusion):
    net, image, tabular = make_fusion(fusion, "own map", rows=2, spatial_shape=(5, 4))
    image.requires_grad_(FUSIONS[fusion].uses_image)
    tabular.requires_grad_(FUSIONS[fusion].uses_table)
    assert torch.autograd.gradcheck(net, (image, tabular))


@matrix
def test_state_dict_and_copies_after_a_forward_give_the_same(make_fusion, fusion, backbone, spatial_dims):
    net, image, tabular = make_fusion(fusion, backbone, spatial_dims)
    out = net(image, tabular)
    out.sum().backward()
    fresh, _, _ = make_fusion(fusion, backbone, spatial_dims)
    assert not torch.equal(fresh(image, tabular), out)
    fresh.load_state_dict(net.state_dict())
    for twin in (fresh, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        torch.testing.assert_close(twin(image, tabular), out, rtol=0, atol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_features_are_what_the_last_layer_reads(make_fusion, fusion):
    net, image, tabular = make_fusion(fusion)
    with torch.no_grad(), net.fusion.supply(net, image, tabular):
        out = net.fusion.output(net, net.features(image, tabular))
        torch.testing.assert_close(out, net(image, tabular), rtol=0, atol=0)


@matrix
def test_training_on_one_row_works_but_for_the_users_own_batch_norm(
    make_fusion, fusion, backbone, spatial_dims
):
    net, image, tabular = make_fusion(fusion, backbone, spatial_dims, rows=1)
    out = net.train()(image, tabular)
    out.sum().backward()
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("hyper_depth", [0, 1, 2])
@pytest.mark.parametrize("shared_embedding", [True, False])
@pytest.mark.parametrize("backbone", EVERY)
def test_generated_weights_change_with_the_table(make_fusion, backbone, hyper_depth, shared_embedding):
    net, _, tabular = make_fusion(
        "hyper", backbone, hyper_depth=hyper_depth, shared_embedding=shared_embedding
    )
    generated = net.fusion.hypernetwork(tabular)
    assert tuple(generated) == net.external_layers
    for weight, _ in generated.values():
        assert (weight[0] - weight[1]).abs().max() > 1e-3


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (1, 1, 1), (40, 3)], ids=str)
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("fusion", USES_IMAGE)
def test_small_images_train_and_predict(make_fusion, fusion, backbone, shape):
    net, image, tabular = make_fusion(fusion, backbone, spatial_shape=shape)
    net.train()(image, tabular).sum().backward()
    assert torch.isfinite(net.eval()(image, tabular)).all()


@pytest.mark.parametrize(
    ("backbone", "names"),
    [
        ("resnet", ("backbone.block4.shortcut.conv",)),
        ("vgg", ("head.hidden1", "head.hidden2", "head.hidden3", "head.output")),
        ("own map", ("head.hidden1", "head.output")),
        ("own features", ("head.hidden1", "head.output")),
    ],
)
def test_default_external_layers_are_the_backbones(make_fusion, backbone, names):
    net, _, _ = make_fusion("hyper", backbone)
    assert net.external_layers == names
    assert make_fusion("concat", backbone)[0].external_layers == ()


@pytest.mark.parametrize(
    ("backbone", "patterns", "names"),
    [
        ("resnet", "backbone.block4.shortcut*", ("backbone.block4.shortcut.conv",)),
        ("resnet", ["head.*", "backbone.stem.conv"], ("backbone.stem.conv", "head.hidden1", "head.output")),
        ("own map", ["backbone.twice"], ("backbone.twice",)),
        ("own features", ["backbone.*"], ("backbone.1",)),
    ],
)
def test_external_layers_by_pattern_give_row_wise_predictions(make_fusion, backbone, patterns, names):
    net, image, tabular = make_fusion("hyper", backbone, external_layers=patterns)
    assert net.external_layers == names
    with torch.no_grad():
        rows = [net(image[i : i + 1], tabular[i : i + 1]) for i in range(len(image))]
        torch.testing.assert_close(net(image, tabular), torch.cat(rows), rtol=1e-10, atol=1e-10)


def test_backbone_of_a_single_layer_can_be_external_itself(make_fusion):
    net, image, tabular = make_fusion(
        "hyper",
        spatial_shape=(4, 4),
        external_layers="backbone",
        **{"backbone": lambda c, d: nn.Conv2d(c, 3, 1)},
    )
    assert net.external_layers == ("backbone",)
    assert net(image, tabular).shape == (4, 3)


def test_external_conv_in_the_resnet_equals_torchs_with_the_generated_weights(make_fusion):
    net, image, tabular = make_fusion("hyper", "resnet")
    layer = net.backbone.block4.shortcut.conv
    seen = {}
    handle = layer.register_forward_hook(lambda module, args, out: seen.update(input=args[0], output=out))
    net(image, tabular)
    handle.remove()
    weight, bias = net.fusion.hypernetwork(tabular)["backbone.block4.shortcut.conv"]
    wanted = [
        nn.functional.conv2d(seen["input"][i : i + 1], weight[i], bias[i], stride=2)
        for i in range(len(image))
    ]
    torch.testing.assert_close(seen["output"], torch.cat(wanted), rtol=1e-10, atol=1e-10)


def test_principled_init_knows_which_layers_a_relu_follows(make_fusion):
    net, _, _ = make_fusion("hyper", "resnet", external_layers=["*"])
    hypernetwork = net.fusion.hypernetwork
    follows = {
        n: g.relu_follows for n, g in zip(hypernetwork.layer_names, hypernetwork.generators, strict=True)
    }
    blocks = range(1, 5)
    assert follows == {
        "backbone.stem.conv": True,
        **{f"backbone.block{i}.conv1": True for i in blocks},
        **{f"backbone.block{i}.conv2": False for i in blocks},
        **{f"backbone.block{i}.shortcut.conv": False for i in blocks},
        "head.hidden1": True,
        "head.output": False,
    }
    plain, _, _ = make_fusion("hyper", "vgg", external_layers=["*"])
    hypernetwork = plain.fusion.hypernetwork
    not_followed = [
        n
        for n, g in zip(hypernetwork.layer_names, hypernetwork.generators, strict=True)
        if not g.relu_follows
    ]
    assert not_followed == ["head.output"]


@by_backbone
def test_output_at_the_start_has_a_sane_variance(make_fusion, fusion, backbone):
    net, image, tabular = make_fusion(fusion, backbone, rows=64, spatial_shape=(16, 16), dropout=0.0)
    measure_statistics(net, image, tabular)
    with torch.no_grad():
        assert 1e-3 < net(image, tabular).std() < 10


def test_initialize_gives_the_generators_the_variance_for_this_table(make_fusion):
    net, _, _ = make_fusion("hyper", "vgg", hyper_depth=0, base_channels=8)
    net.initialize(5 * torch.randn(4000, 5, dtype=torch.float64))
    generator = net.fusion.hypernetwork.generators[0]
    fan_in = net.backbone.n_channels * 1 * 1
    assert generator.weight_basis.var().item() == pytest.approx(2 / (2 * fan_in * 5 * 25), rel=0.1)
    assert generator.relu_follows


def test_initialize_when_the_table_has_nan_raises_the_rows(make_fusion):
    net, _, tabular = make_fusion("hyper")
    tabular[2, 1] = torch.nan
    with pytest.raises(ValueError, match=r"1 rows with NaN or infinity \(first: \[2\]\); impute it first"):
        net.initialize(tabular)


def test_initialize_of_the_image_network_needs_no_table(make_fusion):
    net, image, _ = make_fusion("image")
    before = net(image, None)
    net.initialize(None)
    torch.testing.assert_close(net(image, None), before, rtol=0, atol=0)


@pytest.mark.parametrize("fusion", ["hyper", "tabular", "late"])
@pytest.mark.parametrize("shared_embedding", [True, False])
def test_tabular_network_shares_the_embedding_and_nothing_else(make_fusion, fusion, shared_embedding):
    net, _, tabular = make_fusion(fusion, "vgg", shared_embedding=shared_embedding)
    tabular_network = net.tabular_network(6)
    assert tabular_network(tabular).shape == (4, 6)
    shared = {id(p) for p in net.parameters()} & {id(p) for p in tabular_network.parameters()}
    assert shared == {id(p) for e in net.fusion.embedding_networks() for p in e.parameters()}
    assert len(net.fusion.embedding_networks()) == (1 if shared_embedding or fusion != "hyper" else 4)
    own = [p for p in tabular_network.parameters() if id(p) not in shared]
    assert [tuple(p.shape) for p in own] == [(6, tabular_network.last.in_features), (6,)]


WITHOUT_EMBEDDING = ["concat", "max", "multiply", "film", "daft", "tabattention", "reverse", "image"]


@pytest.mark.parametrize("fusion", WITHOUT_EMBEDDING)
def test_tabular_network_without_an_embedding_raises(make_fusion, fusion):
    net, _, _ = make_fusion(fusion)
    assert not net.has_embedding
    with pytest.raises(ValueError, match=r"no embedding of the table .*'hyper', 'late' and 'tabular'"):
        net.tabular_network(2)
    assert make_fusion("hyper")[0].has_embedding


@pytest.mark.parametrize(("fusion", "backbone"), cases(BACKBONES))
def test_training_step_with_weights_equals_repeated_rows(make_fusion, fusion, backbone):
    net, image, tabular = make_fusion(fusion, backbone, dropout=0.0)
    twin = copy.deepcopy(net).train()
    weight = torch.tensor([1, 3, 0, 2])
    repeat = torch.arange(4).repeat_interleave(weight)
    out = net.train()(image, tabular, sample_weight=weight)
    torch.testing.assert_close(out[repeat], twin(image[repeat], tabular[repeat]), rtol=1e-8, atol=1e-8)
    for name, value in net.named_buffers():
        if "num_batches" not in name:
            torch.testing.assert_close(value, twin.get_buffer(name), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_prediction_in_float64_behind_a_float32_backbone(make_fusion, fusion):
    net, image, tabular = make_fusion(fusion, "resnet")
    wanted = net(image, tabular)
    if net.backbone is not None:
        net.backbone.float()
    out = net(image.float(), tabular)
    assert out.dtype == torch.float64
    torch.testing.assert_close(out, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_autocast_trains(make_fusion, fusion):
    net, image, tabular = make_fusion(fusion, "vgg")
    net.float().train()
    with torch.autocast("cpu", torch.bfloat16):
        out = net(image.float(), tabular.float())
    out.float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    assert next(net.parameters()).dtype == torch.float32


@pytest.mark.slow
@by_backbone
def test_compiled_network_gives_the_same_in_one_graph(make_fusion, fusion, backbone):
    torch._dynamo.reset()
    net, image, tabular = make_fusion(fusion, backbone, dropout=0.0)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(image, tabular), net(image, tabular), rtol=1e-10, atol=1e-10)


def test_channels_last_gives_the_same(make_fusion):
    for fusion, backbone in itertools.product(USES_IMAGE, BACKBONES):
        net, image, tabular = make_fusion(fusion, backbone, spatial_dims=3)
        wanted = net(image, tabular)
        net = net.to(memory_format=torch.channels_last_3d)
        out = net(image.contiguous(memory_format=torch.channels_last_3d), tabular)
        torch.testing.assert_close(out, wanted, rtol=1e-10, atol=1e-10)


def test_generator_matrices_are_named_with_the_numbers_that_they_read():
    settings = {"n_tabular_features": 5, "n_outputs": 2, "in_channels": 1, "spatial_shape": (8, 8)}
    net = FusionNetwork(**settings, external_layers=["head.*"], hyper_depth=1, embedding_dim=3)
    matrices = net.generator_matrices()
    assert set(matrices.values()) == {3}
    assert set(matrices) == {name for name, _ in net.named_parameters() if name.endswith("weight_basis")}
    assert len(matrices) == 2
    assert set(FusionNetwork(**settings, hyper_depth=0).generator_matrices().values()) == {5}
    assert FusionNetwork(**settings, fusion="concat").generator_matrices() == {}
