"""Layer sensitivity: losses against plain computations, entropy by hand, nothing changed, errors, plots."""

import copy
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, ImageLoader
from skhyperfusion.inspection import LayerSensitivityDisplay, _probe, layer_sensitivity
from skhyperfusion.inspection._layer_sensitivity import _entropy
from skhyperfusion.inspection._reuse import fixed_outputs, outputs_before
from skhyperfusion.nn._fusions import FUSIONS

TINY = {"base_channels": 2, "max_epochs": 2, "random_state": 0}
OTHER_FUSIONS = [fusion for fusion in FUSIONS if fusion not in ("hyper", "image", "tabular")]
RESNET_LAYERS = 15  # stem; two convolutions and a shortcut in each of four blocks; two of the head


def make_rows(n_rows=30):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(n_rows, 8, 8)).astype(np.float32)
    X = pd.DataFrame({"scan": list(images), "dose": rng.normal(size=n_rows)})
    return X, images[:, 2:5, 2:5].mean(axis=(1, 2)) * 3 + X["dose"].to_numpy()


@pytest.fixture(scope="module")
def rows():
    return make_rows()


@pytest.fixture(scope="module")
def image_network(rows):
    return HyperFusionRegressor(fusion="image", **TINY).fit(*rows)


class Calls(nn.Identity):
    """Counts how often it is called."""

    n = 0

    def forward(self, input):
        Calls.n += 1
        return super().forward(input)


class Reader(nn.Module):
    """Uses another module's weights without calling it."""

    def __init__(self, other):
        super().__init__()
        self.others = [other]  # in a list: not registered here

    def forward(self, image):
        return image * self.others[0].weight.mean()


class Awkward(nn.Module):
    """A branch that does nothing, weights that are read from outside, and sums written in place."""

    def __init__(self, in_channels):
        super().__init__()
        self.calls = Calls()
        self.first = nn.Conv2d(in_channels, 3, 3, padding=1)
        self.dead = nn.Conv2d(3, 3, 1)
        self.main = nn.Conv2d(3, 3, 3, padding=1)
        self.reader = Reader(self.main)
        self.shortcut = nn.Conv2d(3, 3, 1)

    def forward(self, image):
        h = self.reader(self.first(self.calls(image)))
        out = self.main(h)
        out += 0 * self.dead(h)
        out += self.shortcut(h)
        return torch.relu_(out)


def awkward(in_channels, spatial_dims):
    return Awkward(in_channels)


@pytest.mark.parametrize(
    ("settings", "n_views"),
    [({}, 1), ({"scale_target": False}, 1), ({"image_loader": ImageLoader(bilateral=1)}, 2)],
)
def test_loss_of_the_intact_network_is_that_of_its_predictions(rows, settings, n_views):
    X, y = rows
    network = HyperFusionRegressor(fusion="image", **TINY, **settings).fit(X, y)
    assert network.image_spec_.n_views == n_views
    result = layer_sensitivity(network, X, y, n_repeats=5, layers="head.output")
    expected = mean_squared_error(y / network.target_scale_, network.predict(X) / network.target_scale_)
    assert result.loss == pytest.approx(expected, rel=1e-5)


def test_loss_of_a_classifier_is_the_weighted_cross_entropy(rows):
    X, y = rows
    labels = np.where(y > np.quantile(y, 0.7), "high", "low")
    network = HyperFusionClassifier(fusion="image", class_weight="balanced", **TINY).fit(X, labels)
    given_weight = np.arange(len(y)) % 3  # some rows weigh nothing
    weight = compute_sample_weight("balanced", labels[given_weight > 0]) * given_weight[given_weight > 0]
    result = layer_sensitivity(
        network, X, labels, n_repeats=5, layers="head.output", sample_weight=given_weight
    )
    kept = X[given_weight > 0]
    expected = log_loss(labels[given_weight > 0], network.predict_proba(kept), sample_weight=weight)
    assert result.loss == pytest.approx(expected, rel=1e-5)


def test_losses_of_the_output_layer_are_those_of_fresh_linear_layers(rows, image_network):
    X, y = rows
    result = layer_sensitivity(image_network, X, y, n_repeats=6, layers="head.output", random_state=3)
    features = torch.from_numpy(image_network.embed(X))
    target = torch.from_numpy((y - image_network.target_mean_) / image_network.target_scale_)
    entropy = np.random.RandomState(3).randint(2**31)
    seeds = np.random.SeedSequence(entropy, spawn_key=(RESNET_LAYERS - 1,)).generate_state(6)
    for loss, seed in zip(result.losses["head.output"], seeds.tolist(), strict=True):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            fresh = nn.Linear(features.shape[1], 1).double().requires_grad_(False)
        expected = (fresh(features)[:, 0] - target).square().mean()
        assert loss == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("fusion", "backbone"),
    [
        ("image", "resnet"),
        ("image", awkward),
        ("hyper", "vgg"),
        *((fusion, "vgg") for fusion in OTHER_FUSIONS),
    ],
)
def test_losses_are_those_of_whole_passes(rows, fusion, backbone, monkeypatch):
    X, y = rows
    network = HyperFusionRegressor(fusion=fusion, backbone=backbone, **TINY).fit(X, y)
    settings = {"n_repeats": 5, "random_state": 0}
    reused = layer_sensitivity(network, X, y, **settings)
    monkeypatch.setattr(_probe, "outputs_before", lambda *_: {})
    whole = layer_sensitivity(network, X, y, **settings)
    np.testing.assert_allclose(reused.losses[whole.losses.columns], whole.losses, rtol=1e-5)
    assert (whole.losses.std() > 0).any()


def test_what_precedes_a_layer_is_computed_once_a_batch(rows):
    X, y = rows
    network = HyperFusionRegressor(fusion="image", backbone=awkward, **TINY).fit(X, y)
    Calls.n = 0
    layer_sensitivity(network, X, y, n_repeats=50, layers="head.*")
    # Two batches, each as it is, and for each of two layers: to note what precedes it, and to compare.
    assert Calls.n == 2 * (1 + 2 * 2)


def test_layer_without_influence_comes_last_with_minus_infinity(rows):
    X, y = rows
    network = HyperFusionRegressor(fusion="image", backbone=awkward, **TINY).fit(X, y)
    table = layer_sensitivity(network, X, y, n_repeats=20, random_state=0).table
    assert table.index[-1] == "backbone.dead"
    assert table.loc["backbone.dead", "score"] == -np.inf
    assert table.loc["backbone.dead", "sd_loss"] == pytest.approx(0, abs=1e-7)
    assert table["score"].is_monotonic_decreasing
    assert np.isfinite(table["score"][:-1]).all()


def test_table_says_of_each_layer_what_it_is_and_what_its_losses_were(rows, image_network):
    result = layer_sensitivity(image_network, *rows, n_repeats=7, random_state=0)
    assert len(result.table) == RESNET_LAYERS
    assert list(result.losses.columns) == list(result.table.index)
    assert result.skipped == {}
    layer = image_network.module_.backbone.block1.conv1
    row = result.table.loc["backbone.block1.conv1"]
    assert (row["kind"], row["n_parameters"]) == ("Conv2d", layer.weight.numel())
    losses = result.losses["backbone.block1.conv1"]
    assert (len(losses), losses.nunique()) == (7, 7)
    assert row["mean_loss"] == pytest.approx(losses.mean())
    assert row["sd_loss"] == pytest.approx(losses.std())
    assert row["score"] == pytest.approx(_entropy(losses.to_numpy()))


def test_entropy_is_ebrahimis_estimate():
    values = np.array([0.3, 2.0, 0.7, 1.1, 5.0, 0.2, 0.9])
    ordered, n, m = np.sort(values), 7, 3  # m = floor(sqrt(7) + 1/2)
    total = 0.0
    for i in range(n):
        near_an_end = min(i, n - 1 - i)
        c = 2 if near_an_end >= m else 1 + near_an_end / m
        total += np.log(n / (c * m) * (ordered[min(i + m, n - 1)] - ordered[max(i - m, 0)]))
    assert _entropy(values) == pytest.approx(total / n)
    assert _entropy(np.e * values + 3) == pytest.approx(total / n + 1)
    assert _entropy(np.ones(8)) == -np.inf
    assert np.isnan(_entropy(np.array([1.0, np.inf, 2.0, 3.0, 4.0])))


def test_estimator_and_global_random_states_stay_as_they_are(rows, image_network):
    before = pickle.dumps(image_network)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    layer_sensitivity(image_network, *rows, n_repeats=5)
    assert pickle.dumps(image_network) == before
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_random_state_settles_all_and_layers_have_streams_of_their_own(rows, image_network):
    first = layer_sensitivity(image_network, *rows, n_repeats=6, random_state=0).losses
    again = layer_sensitivity(image_network, *rows, n_repeats=6, random_state=0).losses
    pd.testing.assert_frame_equal(first, again)
    few = layer_sensitivity(image_network, *rows, n_repeats=5, layers=["head.*"], random_state=0).losses
    assert set(few.columns) == {"head.hidden1", "head.output"}
    pd.testing.assert_frame_equal(few, first.iloc[:5][few.columns])
    other = layer_sensitivity(image_network, *rows, n_repeats=6, random_state=1).losses
    assert not np.isclose(other[first.columns], first).any()


def test_batches_do_not_matter(rows, image_network):
    small = copy.deepcopy(image_network).set_params(batch_size=7)
    settings = {"n_repeats": 5, "layers": "*conv2", "random_state": 0}
    losses = layer_sensitivity(image_network, *rows, **settings).losses
    np.testing.assert_allclose(
        layer_sensitivity(small, *rows, **settings).losses[losses.columns], losses, rtol=1e-5
    )


def test_rows_of_weight_two_count_as_two_rows(rows, image_network):
    X, y = rows
    settings = {"n_repeats": 5, "layers": "head.*", "random_state": 0}
    weight = np.arange(len(y)) % 3
    weighted = layer_sensitivity(image_network, X, y, sample_weight=weight, **settings)
    repeated = np.repeat(np.arange(len(y)), weight)
    plain = layer_sensitivity(image_network, X.iloc[repeated], y[repeated], **settings)
    assert weighted.loss == pytest.approx(plain.loss, rel=1e-5)
    np.testing.assert_allclose(weighted.losses[plain.losses.columns], plain.losses, rtol=1e-5)


def test_external_layers_are_skipped_and_refused_by_name(rows):
    X, y = rows
    network = HyperFusionRegressor(**TINY).fit(X, y)
    result = layer_sensitivity(network, X, y, n_repeats=5, layers=["*shortcut.conv", "head.output"])
    external = "backbone.block4.shortcut.conv"
    assert network.external_layers_ == (external,)
    assert list(result.skipped) == [external]
    assert "generated from the table" in result.skipped[external]
    assert set(result.table.index) == {f"backbone.block{i}.shortcut.conv" for i in (1, 2, 3)} | {
        "head.output"
    }
    with pytest.raises(
        ValueError, match=r"layers: 'backbone.block4.shortcut.conv' .*external already.*'image'"
    ):
        layer_sensitivity(network, X, y, layers=external)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"n_repeats": 4},
            ValueError,
            "'n_repeats' parameter of layer_sensitivity must be an integer >= 5. Got 4",
        ),
        ({"layers": 3}, TypeError, "'layers' parameter of layer_sensitivity must be None"),
        ({"layers": "head.hiden1"}, ValueError, "layers: no layer matches.*did you mean 'head.hidden1'"),
        ({"random_state": "x"}, ValueError, "'random_state' parameter"),
        ({"verbose": -1}, ValueError, "'verbose' parameter"),
        ({"sample_weight": np.zeros(30)}, ValueError, "non-zero|positive weight"),
    ],
)
def test_wrong_arguments_are_named(rows, image_network, arguments, error, message):
    with pytest.raises(error, match=message):
        layer_sensitivity(image_network, *rows, **arguments)


def test_estimators_that_cannot_be_scored_are_refused(rows, image_network):
    X, y = rows
    with pytest.raises(TypeError, match=r"HyperFusionSurvival\. Got .*pass the fitted step"):
        layer_sensitivity(make_pipeline(image_network), X, y)
    with pytest.raises(NotFittedError):
        layer_sensitivity(HyperFusionRegressor(), X, y)
    tabular = HyperFusionRegressor(fusion="tabular", max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match=r"reads none \(fusion='tabular'\). Fit with images"):
        layer_sensitivity(tabular, X, y)
    labels = np.where(y > 0, "high", "low")
    classifier = HyperFusionClassifier(fusion="image", **TINY).fit(X, labels)
    with pytest.raises(ValueError, match="1 label: 'middle', which HyperFusionClassifier was not fitted on"):
        layer_sensitivity(classifier, X, np.where(y > 1, "middle", labels))


def test_progress_is_silent_at_zero_and_counts_passes_above(rows, image_network, capsys):
    settings = {"n_repeats": 5, "layers": "head.*"}
    layer_sensitivity(image_network, *rows, **settings)
    assert capsys.readouterr() == ("", "")
    layer_sensitivity(image_network, *rows, verbose=1, **settings)
    assert "20/20" in capsys.readouterr().err  # two batches, two layers


def test_display_draws_the_highest_score_on_top(rows, image_network):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    settings = {"n_repeats": 6, "layers": ["head.*", "*shortcut.conv"], "random_state": 0}
    weight = np.arange(len(rows[1])) % 2
    display = LayerSensitivityDisplay.from_estimator(image_network, *rows, sample_weight=weight, **settings)
    expected = layer_sensitivity(image_network, *rows, sample_weight=weight, **settings)
    pd.testing.assert_frame_equal(display.sensitivity.table, expected.table)
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    top = expected.table.iloc[0]
    assert labels[0] == f"{top.name}  {top['score']:.2f}"
    assert len(labels) == 6
    assert display.ax_.yaxis_inverted()
    figure, ax = pyplot.subplots()
    assert LayerSensitivityDisplay(expected).plot(ax=ax).ax_ is ax
    assert LayerSensitivityDisplay.from_estimator(image_network, *rows, ax=ax, **settings).figure_ is figure
    pyplot.close("all")


def test_display_without_matplotlib_says_what_to_install_before_it_computes(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(
        ImportError, match=r'LayerSensitivityDisplay needs matplotlib.*pip install "skhyperfusion\[plot\]"'
    ):
        LayerSensitivityDisplay.from_estimator(None, None, None)


def test_outputs_before_keeps_the_outermost_modules_and_gives_them_back():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True)), nn.Linear(2, 2), nn.Tanh())
    shared = network[1]
    network.append(shared)  # called twice: what it returns is not one thing
    image = torch.ones(1, 2)
    run = lambda: network(image)  # noqa: E731
    plain = run()
    known = outputs_before(network, network[2], run)
    assert list(known) == [network[0]]
    with fixed_outputs(known):
        assert torch.equal(run(), plain)
        image = torch.zeros(1, 2)
        assert torch.equal(run(), plain)
    assert not torch.equal(run(), plain)
    assert "forward" not in vars(network[0])
