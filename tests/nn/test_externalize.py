import copy
import gc
import pickle
import threading
import weakref

import pytest
import torch
from torch import nn

from skhyperfusion.nn import ExternalConv, ExternalLinear, externalize
from skhyperfusion.nn._externalize import ExternalLayer, resolve_layers


class Network(nn.Module):
    """A user's network: normalisation, a layer in two places, one with groups and stride."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.conv = nn.Conv2d(4, 6, 3, stride=2, groups=2, padding_mode="circular", padding=1)
        self.mix = nn.Linear(6, 6)
        self.again = self.mix
        self.fc = nn.Linear(6, 3)

    def forward(self, image):
        h = torch.relu(self.conv(self.stem(image))).mean((2, 3))
        return self.fc(self.again(torch.relu(self.mix(h))))


@pytest.fixture
def network():
    net = Network().double()
    net(torch.randn(8, 2, 6, 6, dtype=torch.float64))
    return net.eval()


@pytest.fixture
def image():
    return torch.randn(3, 2, 6, 6, dtype=torch.float64)


@pytest.fixture
def tabular():
    return torch.randn(3, 5, dtype=torch.float64)


def _row_by_row(network, hypernetwork, image, tabular):
    rows, generated = [], hypernetwork(tabular)
    for i in range(len(image)):
        parameters = {}
        for name, (weight, bias) in generated.items():
            parameters[f"{name}.weight"] = weight[i]
            if bias is not None:
                parameters[f"{name}.bias"] = bias[i]
        rows.append(torch.func.functional_call(network, parameters, (image[i : i + 1],)))
    return torch.cat(rows)


@pytest.mark.parametrize("shared_embedding", [True, False])
@pytest.mark.parametrize("init", ["principled", "residual"])
@pytest.mark.parametrize("patterns", ["fc", ["stem.*"], ["conv", "mix"], "*"])
def test_externalized_network_equals_the_network_with_each_samples_weights(
    network, image, tabular, patterns, init, shared_embedding
):
    plain = copy.deepcopy(network)
    hypernetwork = externalize(
        network, patterns, n_tabular_features=5, init=init, shared_embedding=shared_embedding
    ).eval()
    with hypernetwork.supply(tabular):
        out = network(image)
    torch.testing.assert_close(out, _row_by_row(plain, hypernetwork, image, tabular), rtol=1e-10, atol=1e-10)
    assert len(hypernetwork.embeddings) == (1 if shared_embedding else len(hypernetwork.generators))


def test_externalize_replaces_the_layers_and_returns_their_names(network):
    hypernetwork = externalize(network, ["fc", "conv"], n_tabular_features=5)
    assert hypernetwork.layer_names == ("conv", "fc")
    assert isinstance(network.conv, ExternalLayer)
    assert isinstance(network.conv.layer, ExternalConv)
    assert isinstance(network.fc.layer, ExternalLinear)
    assert not any(name.startswith(("conv", "fc")) for name, _ in network.named_parameters())


def test_externalize_when_a_layer_is_used_twice_makes_it_once(network):
    hypernetwork = externalize(network, "again", n_tabular_features=5)
    assert hypernetwork.layer_names == ("mix",)
    assert network.again is network.mix


@pytest.mark.parametrize(
    ("name", "value", "attribute"),
    [("depth", 3, "depth"), ("embedding_dim", 2, "embedding_dim")],
)
def test_externalize_passes_on_the_embedding_settings(network, name, value, attribute):
    hypernetwork = externalize(network, "fc", n_tabular_features=5, **{name: value})
    assert getattr(hypernetwork.embeddings[0], attribute) == value


def test_externalize_with_width_makes_hidden_layers_that_wide(network):
    hypernetwork = externalize(network, "fc", n_tabular_features=5, depth=2, width=9)
    assert hypernetwork.embeddings[0].layers[0].out_features == 9


def test_residual_init_without_the_generated_part_is_the_pretrained_network(network, image, tabular):
    wanted = network(image)
    hypernetwork = externalize(network, "*", n_tabular_features=5, init="residual").eval()
    hypernetwork.initialize(tabular)
    with hypernetwork.supply(tabular):
        near = network(image)
    for generator in hypernetwork.generators:
        nn.init.zeros_(generator.weight_basis)
        if generator.bias_basis is not None:
            nn.init.zeros_(generator.bias_basis)
    with hypernetwork.supply(tabular):
        torch.testing.assert_close(network(image), wanted, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(near, wanted)


def test_initialize_measures_the_embedding_on_the_training_table(network):
    hypernetwork = externalize(network, ["conv", "fc"], n_tabular_features=5, depth=0, shared_embedding=False)
    tabular = 10 * torch.randn(1000, 5, dtype=torch.float64)
    hypernetwork.initialize(tabular)
    for generator in hypernetwork.generators:
        wanted = generator.variances(100.0)[0]
        assert generator.weight_basis.var().item() == pytest.approx(wanted, rel=0.3)
    weight = torch.cat([torch.zeros(500), torch.ones(500)])
    tabular[:500] *= 1000
    hypernetwork.initialize(tabular, sample_weight=weight)
    bound = (3 * hypernetwork.generators[0].variances(100.0)[0]) ** 0.5
    assert hypernetwork.generators[0].weight_basis.abs().max().item() == pytest.approx(bound, rel=0.2)


def test_initialize_is_deterministic_and_keeps_the_mode(network):
    hypernetwork = externalize(network, "fc", n_tabular_features=5, depth=2)
    tabular = torch.randn(30, 5, dtype=torch.float64)
    states = []
    for _ in range(2):
        hypernetwork.train()(tabular)  # moves the running statistics, differently each time
        torch.manual_seed(3)
        hypernetwork.initialize(tabular)
        states.append({name: value.clone() for name, value in hypernetwork.state_dict().items()})
    assert hypernetwork.training
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]) or name.endswith("num_batches_tracked"), name


def test_initialize_when_the_embedding_is_zero_stays_finite(network):
    hypernetwork = externalize(network, "fc", n_tabular_features=5, depth=0)
    hypernetwork.initialize(torch.zeros(10, 5))
    assert torch.isfinite(hypernetwork.generators[0].weight_basis).all()


def test_rectifier_is_seen_in_sequences_and_where_the_parent_says_so():
    class Parent(nn.Module):
        relu_follows = ("told",)

        def __init__(self):
            super().__init__()
            self.told, self.untold = nn.Linear(2, 2), nn.Linear(2, 2)

    net = nn.Sequential(
        nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(), nn.LeakyReLU(),
        nn.Linear(2, 2), nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2), Parent(),
    )  # fmt: skip
    hypernetwork = externalize(net, "*", n_tabular_features=5)
    seen = {
        slot.name: g.relu_follows for slot, g in zip(hypernetwork.slots, hypernetwork.generators, strict=True)
    }
    assert seen == {"0": True, "4": False, "5": False, "7": False, "8.told": True, "8.untold": False}


def test_externalized_network_outside_of_supply_raises(network, image, tabular):
    hypernetwork = externalize(network, "fc", n_tabular_features=5)
    with pytest.raises(RuntimeError, match=r"'fc' has no weights of its own: call the network inside"):
        network(image)

    def fail():
        with hypernetwork.supply(tabular):
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        fail()
    with pytest.raises(RuntimeError, match=r"'fc' has no weights of its own"):
        network(image)


def test_supply_lets_go_of_the_embeddings_at_its_end(network, image, tabular):
    hypernetwork = externalize(network, "fc", n_tabular_features=5).eval()
    context = hypernetwork.supply(tabular)
    (embedding, _), kept = next(iter(context.by_slot.values())), []
    reference = weakref.ref(embedding)
    del embedding
    with context, torch.no_grad():
        kept.append(network(image).detach())
    gc.collect()
    assert reference() is None


def test_supply_from_two_hypernetworks_serves_both(network, image, tabular):
    plain = copy.deepcopy(network)
    first = externalize(network, "fc", n_tabular_features=5).eval()
    second = externalize(network, "conv", n_tabular_features=2).eval()
    with first.supply(tabular), second.supply(tabular[:, :2]):
        out = network(image)
    parameters = {}
    for generated in (first(tabular[:1]), second(tabular[:1, :2])):
        for name, (weight, bias) in generated.items():
            parameters |= {f"{name}.weight": weight[0], f"{name}.bias": bias[0]}
    wanted = torch.func.functional_call(plain, parameters, (image[:1],))
    torch.testing.assert_close(out[:1], wanted, rtol=1e-10, atol=1e-10)


def test_supply_in_two_threads_keeps_their_tables_apart(network, image, tabular):
    hypernetwork = externalize(network, "fc", n_tabular_features=5).eval()
    tables, barrier, results = [tabular, -tabular], threading.Barrier(2), [None, None]

    def work(i):
        with hypernetwork.supply(tables[i]):
            barrier.wait(10)
            results[i] = network(image)
            barrier.wait(10)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for table, result in zip(tables, results, strict=True):
        with hypernetwork.supply(table):
            torch.testing.assert_close(result, network(image), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(*results)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_externalized_network_is_copied_after_a_forward_with_gradients(network, image, tabular, copied):
    hypernetwork = externalize(network, ["conv", "fc"], n_tabular_features=5).eval()
    with hypernetwork.supply(tabular):
        out = network(image)
    out.sum().backward()
    twin, twin_hypernetwork = copied((network, hypernetwork))
    with twin_hypernetwork.supply(tabular):
        torch.testing.assert_close(twin(image), out, rtol=0, atol=0)


def test_externalized_layer_when_rows_differ_from_the_table_raises_both(network, image, tabular):
    hypernetwork = externalize(network, "conv", n_tabular_features=5)
    match = r"'conv' received input of shape \(3, 4, 6, 6\) for a table of 2 rows"
    with pytest.raises(ValueError, match=match), hypernetwork.supply(tabular[:2]):
        network(image)


def test_external_layer_when_its_weight_is_read_says_why_there_is_none(network):
    externalize(network, "fc", n_tabular_features=5)
    with pytest.raises(AttributeError, match=r"'fc' has no 'weight': it is made for each sample"):
        _ = network.fc.weight
    with pytest.raises(AttributeError, match="in_features"):
        _ = network.fc.in_features


def test_resolve_layers_when_a_name_is_misspelt_names_the_nearest_and_all(network):
    there = r"Layers that can be external: 'stem.0', 'conv', 'mix', 'again', 'fc'\."
    with pytest.raises(ValueError, match=rf"no layer matches 'convv'; did you mean 'conv'\? {there}"):
        resolve_layers(network, ["fc", "convv"])
    with pytest.raises(ValueError, match=rf"no layer matches 'zzz'\. {there}"):
        resolve_layers(network, "zzz")


def test_resolve_layers_with_very_many_layers_lists_the_first_twelve():
    net = nn.Sequential(*(nn.Linear(1, 1) for _ in range(15)))
    with pytest.raises(ValueError, match=r"external: '0', '1', .* '11' and 3 more\."):
        resolve_layers(net, "nothing")


def test_resolve_layers_when_a_pattern_finds_other_layers_only_says_which(network):
    with pytest.raises(
        ValueError, match=r"'stem.1' matches nothing .* \('stem.1' is a BatchNorm2d; only Linear"
    ):
        resolve_layers(network, "stem.1")


def test_resolve_layers_when_a_name_is_a_container_says_how_to_write_it(network):
    with pytest.raises(
        ValueError, match=r"'stem' is a Sequential, not a layer; write 'stem\.\*' for the 1 in it"
    ):
        resolve_layers(network, "stem")


def test_resolve_layers_when_there_is_no_pattern_or_no_layer_raises():
    with pytest.raises(ValueError, match="'external_layers' is empty"):
        resolve_layers(nn.Linear(2, 2), [])
    with pytest.raises(ValueError, match="No layer here can be external"):
        resolve_layers(nn.Sequential(nn.ReLU()), "*")


def test_resolve_layers_when_a_layer_is_no_plain_one_says_why():
    net = nn.ModuleDict(
        {
            "attention": nn.MultiheadAttention(4, 1),
            "normed": nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
            "lazy": nn.LazyLinear(2),
            "plain": nn.Linear(2, 2),
        }
    )
    with pytest.raises(ValueError, match=r"NonDynamicallyQuantizableLinear, which does more than a Linear"):
        resolve_layers(net, "attention.out_proj")
    with pytest.raises(ValueError, match=r"'normed' is parametrised .*remove the parametrisation first"):
        resolve_layers(net, "normed")
    with pytest.raises(ValueError, match=r"'lazy' is a LazyLinear without a size yet"):
        resolve_layers(net, "lazy")
    assert resolve_layers(net, "*") == ("plain",)


@pytest.mark.parametrize("init", ["principled", "residual"])
def test_bias_is_generated_for_a_layer_that_has_none(init):
    net = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.BatchNorm2d(4))
    hypernetwork = externalize(net, "0", n_tabular_features=3, init=init)
    _, bias = hypernetwork(torch.eye(3))["0"]
    assert bias.shape == (3, 4)
    assert not torch.equal(bias[0], bias[1])
