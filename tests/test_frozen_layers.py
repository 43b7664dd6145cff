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


class Log(list):
    """A list that grows without changing what its reader is known by: as `pickle` sees it, it is empty."""

    def __reduce_ex__(self, protocol):
        return Log, ()


RUNS = Log()  # images that the backbone was run on


class Counted(nn.Module):
    """A pretrained network, as it were: normalisation, dropout, and a parameter of its own."""

    def __init__(self, in_channels, spatial_dims):
        super().__init__()
        conv, norm = {2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}[spatial_dims]
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
