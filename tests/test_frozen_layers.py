"""frozen_layers and backbone_lr_scale: what is trained, and that a frozen backbone is run once per image."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from torch import nn

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, ImageLoader
from skhyperfusion.images import clear_cache
from skhyperfusion.inspection import layer_sensitivity
from skhyperfusion.persistence import load_model, save_model


class Log(list):
    """A list that grows without changing what its reader is known by: as `pickle` sees it, it is empty."""

    def __reduce_ex__(self, protocol):
        return Log, ()


RUNS = Log()  # images that the backbone was run on


LAYERS = {2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d), 3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d)}


class Counted(nn.Module):
    """A pretrained network, as it were: normalisation, dropout, and a parameter of its own."""

    def __init__(self, in_channels, spatial_dims):
        super().__init__()
        conv, norm, _ = LAYERS[spatial_dims]
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.first = conv(in_channels, 4, 3, padding=1)
            self.second = conv(4, 6, 3, padding=1)
        self.norm = norm(4)
        self.drop = nn.Dropout(0.5)
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, image):
        if image.any():
            RUNS.extend([None] * len(image))
        h = self.drop(torch.relu(self.norm(self.first(image)))) + self.shift
        return torch.relu(self.second(h))


@pytest.fixture(autouse=True)
def runs():
    clear_cache()
    RUNS.clear()
    yield RUNS
    clear_cache()


FROZEN = {
    "backbone": Counted,
    "frozen_layers": "backbone.*",
    "augmentation": None,
    "max_epochs": 3,
    "random_state": 0,
}


def sequence(in_channels, spatial_dims):
    """A backbone of which it is known what it runs after what: a sequence, and one inside it."""
    conv, norm, pool = LAYERS[spatial_dims]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        inner = nn.Sequential(conv(6, 6, 3, padding=1), norm(6), pool(2))
        return nn.Sequential(
            Counted(in_channels, spatial_dims), nn.ReLU(), inner, nn.Dropout(0.5), conv(6, 5, 3)
        )


class Opaque(nn.Module):
    """The same layers, but it is not known what it does between them: it adds the image's mean."""

    def __init__(self, in_channels, spatial_dims):
        super().__init__()
        self.parts = sequence(in_channels, spatial_dims)

    def forward(self, image):
        return self.parts(image) + image.mean((1, 2, 3), keepdim=True)


BEGINNING = FROZEN | {"backbone": sequence, "frozen_layers": ["backbone.0", "backbone.2.*"]}


def state(estimator, part):
    return {k: v.clone() for k, v in estimator.module_.state_dict().items() if k.startswith(part)}


def fresh(in_channels=1, spatial_dims=2):
    return {f"backbone.{k}": v for k, v in Counted(in_channels, spatial_dims).state_dict().items()}


@pytest.mark.parametrize("fusion", ["hyper", "concat", "film", "image", "reverse", "late"])
def test_frozen_backbone_keeps_weights_and_statistics_in_every_fusion(fusion, arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(**FROZEN, fusion=fusion).fit(X, values)
    for name, value in state(model, "backbone.").items():
        torch.testing.assert_close(value, fresh()[name], rtol=0, atol=0)
    assert model.module_.has_constant_backbone
    assert np.ptp(model.predict(X)) > 0


def test_frozen_backbone_is_run_once_per_image_of_a_search(study, runs):
    X, labels, _ = study
    search = GridSearchCV(
        HyperFusionClassifier(**FROZEN), {"lr": [1e-3, 1e-2]}, cv=KFold(3), error_score="raise"
    )
    search.fit(X, labels).predict(X)
    assert len(runs) == len(X)


def test_frozen_backbone_is_run_once_per_image_of_all_processes_by_a_folder(study, runs, tmp_path):
    X, labels, _ = study
    model = HyperFusionClassifier(**FROZEN, image_loader=ImageLoader(cache_dir=tmp_path)).fit(X, labels)
    expected = model.predict_proba(X)
    clear_cache()
    np.testing.assert_array_equal(clone(model).fit(X, labels).predict_proba(X), expected)
    assert len(runs) == len(X)


def test_stored_maps_give_what_the_whole_network_gives(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(**FROZEN).fit(X, values)
    module = model.module_.eval()
    source = model._encoder.open_images(X)
    table = torch.from_numpy(model._encoder.encode_table(X)).float()
    with torch.no_grad():
        outputs = module(torch.from_numpy(source.stack()[:, 0]), table).numpy()
    np.testing.assert_allclose(model._outputs(X)[:, 0], outputs, rtol=1e-4, atol=1e-5)


def test_views_of_an_image_are_kept_apart(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(**FROZEN, image_loader=ImageLoader(bilateral=1)).fit(X, values)
    assert model._outputs(X).shape[:2] == (len(X), 2)


def test_rows_are_their_own_and_pickles_say_the_same(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(**FROZEN).fit(X, values)
    expected = model.predict(X)
    np.testing.assert_allclose(model.predict(X.iloc[[7]]), expected[[7]], rtol=1e-9)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), expected)
    assert copy.module_.has_constant_backbone


def test_augmentation_of_a_frozen_backbone_is_refused(arrays):
    X, _, values = arrays
    with pytest.raises(ValueError, match="once per image: augmentation='shift' cannot change it"):
        HyperFusionRegressor(**FROZEN | {"augmentation": "shift"}).fit(X, values)


def test_part_of_a_backbone_can_be_frozen(arrays, runs):
    X, _, values = arrays
    patterns = ["backbone.first", "backbone.norm"]
    settings = FROZEN | {"frozen_layers": patterns, "augmentation": "shift"}
    model = HyperFusionRegressor(**settings, fusion="image").fit(X, values)
    assert not model.module_.has_constant_backbone
    after = state(model, "backbone.")
    changed = {name for name in after if not torch.equal(after[name], fresh()[name])}
    assert changed == {"backbone.second.weight", "backbone.second.bias", "backbone.shift"}
    assert len(runs) > len(X)


def test_frozen_layers_stay_in_evaluation_mode(arrays):
    X, _, values = arrays
    module = HyperFusionRegressor(**FROZEN | {"frozen_layers": "backbone"}).fit(X, values).module_.train()
    assert module.training
    assert module.head.training
    assert not any(layer.training for layer in module.backbone.modules())


def test_frozen_and_external_layer_keeps_its_weights_and_learns_what_the_table_adds(arrays):
    X, _, values = arrays
    settings = FROZEN | {"external_layers": "backbone.second", "augmentation": "shift"}
    model = HyperFusionRegressor(**settings, hyper_init="residual").fit(X, values)
    (generator,) = model.module_.fusion.hypernetwork.generators
    torch.testing.assert_close(generator.weight_constant, fresh()["backbone.second.weight"], rtol=0, atol=0)
    torch.testing.assert_close(generator.bias_constant, fresh()["backbone.second.bias"], rtol=0, atol=0)
    once = clone(model).set_params(max_epochs=1).fit(X, values)
    (other,) = once.module_.fusion.hypernetwork.generators
    assert not torch.equal(generator.weight_basis, other.weight_basis)
    assert not model.module_.has_constant_backbone
    with pytest.raises(ValueError, match=r"'backbone\.second' is both frozen and external"):
        HyperFusionRegressor(**settings).fit(X, values)


def test_unknown_names_and_nothing_to_train_are_refused(arrays):
    X, _, values = arrays
    with pytest.raises(ValueError, match=r"frozen_layers: nothing matches 'backbone\.frist'; did you mean"):
        HyperFusionRegressor(**FROZEN | {"frozen_layers": "backbone.frist"}).fit(X, values)
    with pytest.raises(ValueError, match="leaves nothing to train"):
        HyperFusionRegressor(**FROZEN | {"frozen_layers": "*"}, fusion="image").fit(X, values)


def test_fusion_without_image_takes_no_notice(arrays):
    X, _, values = arrays
    assert HyperFusionRegressor(**FROZEN, fusion="tabular").fit(X, values).module_.backbone is None


def test_warm_start_thaws_what_is_no_longer_frozen(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(**FROZEN, warm_start=True).fit(X, values)
    model.set_params(frozen_layers=None).fit(X, values)
    assert not torch.equal(state(model, "backbone.second.weight")["backbone.second.weight"],
                           fresh()["backbone.second.weight"])  # fmt: skip


# A beginning of a backbone


def as_a_whole(monkeypatch):
    """Let fits run the whole backbone in every step, as if no part of it were known to be constant."""
    monkeypatch.setattr("skhyperfusion._base.keeps_maps", lambda *_: False)


def test_frozen_beginning_is_run_once_per_image_of_a_search(study, runs):
    X, labels, _ = study
    search = GridSearchCV(
        HyperFusionClassifier(**BEGINNING), {"lr": [1e-3, 1e-2]}, cv=KFold(3), error_score="raise"
    )
    search.fit(X, labels).predict(X)
    assert len(runs) == len(X)
    assert search.best_estimator_.module_.n_constant == 5  # the first two, and three of the inner sequence


@pytest.mark.parametrize("fusion", ["hyper", "concat", "film", "image", "reverse", "late"])
def test_stored_beginning_trains_and_predicts_as_the_whole_backbone(fusion, arrays, monkeypatch):
    X, _, values = arrays
    model = HyperFusionRegressor(**BEGINNING, fusion=fusion, precision="float64").fit(X, values)
    assert model._keeps_maps
    as_a_whole(monkeypatch)
    whole = clone(model).fit(X, values)
    assert not whole._keeps_maps
    # Maps are made of one image at a time and kept in float32, where a batch is rounded otherwise.
    np.testing.assert_allclose(model.history_["train_loss"], whole.history_["train_loss"], rtol=1e-5)
    np.testing.assert_allclose(model.predict(X), whole.predict(X), rtol=1e-4, atol=1e-5)
    trained = state(model, "backbone.4.weight")["backbone.4.weight"]
    assert not torch.equal(trained.float(), sequence(1, 2).state_dict()["4.weight"])


@pytest.mark.parametrize("fusion", ["hyper", "film"])
@pytest.mark.parametrize(
    ("named", "patterns", "n_constant"),
    [
        ("resnet", ["backbone.stem*", "backbone.block1*"], 2),
        ("resnet", ["backbone.block1*"], 0),
        ("vgg", ["backbone.stage1*", "backbone.stage2*"], 2),
        ("vgg", ["backbone.stage?.conv*"], 0),  # the normalisation in between learns
    ],
)
def test_beginning_of_a_named_backbone_is_stored(named, patterns, n_constant, fusion, arrays, monkeypatch):
    X, _, values = arrays
    settings = FROZEN | {"backbone": named, "base_channels": 2, "frozen_layers": patterns}
    model = HyperFusionRegressor(**settings, fusion=fusion, precision="float64").fit(X, values)
    assert model.module_.n_constant == n_constant
    assert model._keeps_maps == (n_constant > 0)
    as_a_whole(monkeypatch)
    whole = clone(model).fit(X, values)
    np.testing.assert_allclose(model.history_["train_loss"], whole.history_["train_loss"], rtol=1e-5)
    np.testing.assert_allclose(model.predict(X), whole.predict(X), rtol=1e-4, atol=1e-5)


def test_named_backbone_stores_what_comes_before_the_table(arrays, monkeypatch):
    X, _, values = arrays
    settings = FROZEN | {"backbone": "resnet", "base_channels": 2, "fusion": "film"}
    model = HyperFusionRegressor(**settings).fit(X, values)
    assert model.module_.n_constant == 4  # the table changes what the last block does
    as_a_whole(monkeypatch)
    np.testing.assert_allclose(model.predict(X), clone(model).fit(X, values).predict(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "changed",
    [
        {"augmentation": "shift"},
        {"backbone": Opaque, "frozen_layers": ["backbone.parts.0"]},
        {"external_layers": "backbone.0.first", "hyper_init": "residual"},
        {"image_loader": ImageLoader(memory=1)},
    ],
    ids=["augmented", "order not known", "external inside", "maps beyond the memory"],
)
def test_beginning_is_run_in_every_step_where_its_output_may_not_be_kept(changed, arrays, runs):
    X, _, values = arrays
    model = HyperFusionRegressor(**BEGINNING | changed).fit(X, values)
    assert not model._keeps_maps
    assert len(runs) > len(X)


def test_hook_on_a_sequence_sees_every_run(arrays):
    seen = []

    def hooked(in_channels, spatial_dims):
        network = sequence(in_channels, spatial_dims)
        network.register_forward_hook(lambda *_: seen.append(None))
        return network

    X, _, values = arrays
    model = HyperFusionRegressor(**BEGINNING | {"backbone": hooked}).fit(X, values)
    assert not model._keeps_maps
    assert len(seen) > model.n_iter_


def test_weights_of_a_beginning_are_told_apart_in_the_cache(arrays, runs):
    X, _, values = arrays
    longer = BEGINNING | {"frozen_layers": ["backbone.0", "backbone.2.*", "backbone.3", "backbone.4"]}
    for settings, n_constant in ((BEGINNING, 5), (longer, 7)):
        assert HyperFusionRegressor(**settings).fit(X, values).module_.n_constant == n_constant
    assert len(runs) == 2 * len(X)  # what seven parts make of an image is not what five do


def test_layers_of_a_model_with_stored_maps_are_scored_on_the_images(arrays):
    X, _, values = arrays
    model = HyperFusionRegressor(**FROZEN | {"fusion": "image"}).fit(X, values)
    result = layer_sensitivity(model, X, values, n_repeats=10, layers="backbone.second", random_state=0)
    assert result.losses["backbone.second"].std() > 0


@pytest.mark.parametrize("frozen", ["backbone.*", ["backbone.0", "backbone.2"]], ids=["whole", "beginning"])
def test_loaded_model_knows_what_is_frozen(frozen, arrays, tmp_path):
    X, _, values = arrays
    settings = FROZEN | {"backbone": plain_sequence, "frozen_layers": frozen}
    model = HyperFusionRegressor(**settings).fit(X, values)
    save_model(model, tmp_path / "model.skhf")
    loaded = load_model(tmp_path / "model.skhf", backbone=plain_sequence)
    assert loaded._keeps_maps
    assert loaded.module_.n_constant == model.module_.n_constant > 0
    trainable = {name for name, p in loaded.module_.named_parameters() if p.requires_grad}
    assert trainable == {name for name, p in model.module_.named_parameters() if p.requires_grad}
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def plain_sequence(in_channels, spatial_dims):
    return nn.Sequential(
        nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)),
        nn.Conv2d(4, 5, 3),
    )  # fmt: skip


@pytest.mark.parametrize("named", ["resnet", "vgg"])
def test_named_backbones_can_be_frozen(named, arrays):
    X, _, values = arrays
    settings = FROZEN | {"backbone": named, "base_channels": 2}
    model = HyperFusionRegressor(**settings, fusion="concat").fit(X, values)
    assert model.module_.has_constant_backbone
    conditioned = HyperFusionRegressor(**settings, fusion="film").fit(X, values)
    assert not conditioned.module_.has_constant_backbone  # the table changes what the last block does


def test_backbone_lr_scale_slows_the_backbone_alone(arrays):
    X, _, values = arrays
    settings = {"backbone": Counted, "fusion": "image", "augmentation": None, "max_epochs": 2}
    moved = {}
    for scale in (1.0, 1e-6):
        model = HyperFusionRegressor(**settings, backbone_lr_scale=scale, random_state=0).fit(X, values)
        weight = state(model, "backbone.")["backbone.second.weight"]
        head = state(model, "head.")["head.output.weight"]
        moved[scale] = (weight - fresh()["backbone.second.weight"]).abs().max(), head
    assert moved[1e-6][0] < 1e-6 < moved[1.0][0]
    assert not torch.equal(moved[1.0][1], moved[1e-6][1])
