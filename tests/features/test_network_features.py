"""Frozen networks as features: what they give, and that each image is embedded once."""

import os
import pickle
from functools import partial

import frozen_networks
import numpy as np
import pytest
import torch
from frozen_networks import Counting, Wider, flat_features
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from skhyperfusion import ImageLoader, TabularPreprocessor
from skhyperfusion.features import ImageFeatures
from skhyperfusion.images import clear_cache


@pytest.fixture(autouse=True)
def embedded():
    """Shapes of the images that were embedded since the test began."""
    clear_cache()
    frozen_networks.EMBEDDED.clear()
    yield frozen_networks.EMBEDDED
    clear_cache()


def features_of(transformer, X):
    return transformer.transform(X).filter(like="_net").to_numpy()


def test_features_are_the_map_averaged_over_positions(arrays):
    X, _, _ = arrays
    transformer = ImageFeatures(Counting, image_loader=ImageLoader(intensity=None)).fit(X)
    assert transformer.get_feature_names_out()[2:].tolist() == [f"picture_net{i}" for i in range(4)]
    images = torch.from_numpy(np.stack(X["picture"]))[:, None]
    with torch.no_grad():
        expected = transformer.module_(images).mean((2, 3)).numpy()
    np.testing.assert_allclose(features_of(transformer, X), expected, rtol=1e-5, atol=1e-6)
    assert transformer.mask_ is None
    assert not transformer.module_.training
    assert transformer.module_.norm.num_batches_tracked == 0


def test_features_of_a_vector_are_taken_as_they_are(arrays):
    X, _, _ = arrays
    transformer = ImageFeatures(flat_features).fit(X)
    assert features_of(transformer, X).shape == (len(X), 4 * 64)


def test_views_of_an_image_are_averaged(arrays):
    X, _, _ = arrays
    loader = ImageLoader(intensity=None)
    halves = ImageFeatures(Counting, image_loader=clone(loader).set_params(bilateral=1)).fit(X)
    assert halves.image_spec_.n_views == 2
    with torch.no_grad():
        views = torch.stack(
            [torch.from_numpy(halves._encoder.open_images(X).read([0])[0, view])[None] for view in range(2)]
        )
        expected = halves.module_(views[:, 0]).mean((2, 3)).mean(0)
    np.testing.assert_allclose(features_of(halves, X)[0], expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("image_loader", [ImageLoader(), ImageLoader(shape=(4, 4, 4))])
def test_search_embeds_each_image_once(image_loader, study, embedded):
    X, labels, _ = study
    model = make_pipeline(
        ImageFeatures(Counting, image_loader=image_loader),
        TabularPreprocessor(imputer="median"),
        LogisticRegression(),
    )
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1.0, 10.0]}, cv=KFold(3))
    search.fit(X, labels).predict(X)
    assert len(embedded) == len(X)


def test_arrays_are_known_by_their_content(arrays, embedded):
    X, _, _ = arrays
    ImageFeatures(Counting).fit(X).transform(X)
    assert len(embedded) == len(X)
    X = X.assign(picture=[*X["picture"][:-1], X["picture"].iloc[-1] + np.eye(8, dtype=np.float32)])
    ImageFeatures(Counting).fit(X)
    assert len(embedded) == len(X) + 1


def test_folder_keeps_features_for_other_processes(study, embedded, tmp_path):
    X, _, _ = study
    transformer = ImageFeatures(Counting, image_loader=ImageLoader(cache_dir=tmp_path))
    expected = transformer.fit_transform(X)
    assert len(embedded) == len(X)
    clear_cache()  # as a new process finds it
    np.testing.assert_array_equal(
        clone(transformer).fit_transform(X).filter(like="_net"), expected.filter(like="_net")
    )
    assert len(embedded) == len(X)
    clear_cache(tmp_path)
    clone(transformer).fit(X)
    assert len(embedded) == 2 * len(X)


def test_nothing_is_kept_where_the_loader_keeps_nothing(study, embedded):
    X, _, _ = study
    transformer = ImageFeatures(Counting, image_loader=ImageLoader(memory=0)).fit(X.head(6))
    transformer.transform(X.head(6))
    assert len(embedded) == 12


@pytest.mark.parametrize(
    "other",
    [
        {"method": Wider(scale=2.0)},
        {"method": Wider(n_features=5)},
        {"method": partial(Counting, n_features=4)},
        {"image_loader": ImageLoader(shape=(4, 4, 4))},
        {"image_loader": ImageLoader(intensity="minmax")},
    ],
    ids=["weights", "width", "code", "shape", "intensity"],
)
def test_other_networks_and_images_do_not_share_features(other, study, embedded):
    X, _, _ = study
    transformer = ImageFeatures(Wider()).fit(X)
    clone(transformer).set_params(**other).fit(X)
    assert len(embedded) == 2 * len(X)
    clone(transformer).fit(X)
    assert len(embedded) == 2 * len(X)


def test_changed_image_is_embedded_anew(study, embedded, tmp_path):
    X, _, _ = study
    images = np.random.default_rng(0).normal(size=(4, 6, 6)).astype(np.float32)
    paths = [str(tmp_path / f"{i}.npy") for i in range(4)]
    for path, image in zip(paths, images, strict=True):
        np.save(path, image)
    X = X.head(4).assign(scan=paths)
    loader = ImageLoader(intensity=None)
    before = features_of(ImageFeatures(Counting, image_loader=loader).fit(X), X)
    np.save(paths[0], np.tile(images[0], (1, 1)) * 100)
    os.utime(paths[0], ns=(1, 1))
    after = features_of(ImageFeatures(Counting, image_loader=loader).fit(X), X)
    assert len(embedded) == 5
    assert not np.allclose(after[0], before[0])
    np.testing.assert_array_equal(after[1:], before[1:])


def test_network_is_the_same_in_every_fit_and_leaves_the_random_state_alone(study):
    X, _, _ = study
    state = torch.get_rng_state()
    first, second = (features_of(ImageFeatures(Counting).fit(X), X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_pickle_holds_the_network_and_no_path(study):
    X, _, _ = study
    transformer = ImageFeatures(Wider()).fit(X)
    payload = pickle.dumps(transformer)
    assert not [path for path in X["scan"] if path.encode() in payload]
    np.testing.assert_array_equal(features_of(pickle.loads(payload), X), features_of(transformer, X))


def test_missing_images_get_the_mean_of_the_features(study):
    X, _, _ = study
    X = X.assign(scan=X["scan"].where(np.arange(len(X)) != 2))
    transformer = ImageFeatures(Counting, image_loader=ImageLoader(missing="zeros")).fit(X)
    features = features_of(transformer, X)
    np.testing.assert_allclose(features[2], np.delete(features, 2, axis=0).mean(axis=0))
    assert transformer.transform(X)["missingindicator_scan"].tolist() == [float(i == 2) for i in range(40)]
    alone = transformer.transform(X.iloc[[2]]).filter(like="_net")
    np.testing.assert_array_equal(alone.to_numpy()[0], features[2])


def test_device_is_used_and_unknown_ones_are_refused(study):
    X, _, _ = study
    with pytest.raises(ValueError, match="nowhere"):
        ImageFeatures(Counting, device="nowhere").fit(X)
    meta = ImageFeatures(Counting, device="cpu").fit(X)
    assert next(meta.module_.parameters()).device.type == "cpu"


def test_attributes_of_another_method_are_named(study):
    with pytest.raises(AttributeError, match=r"ImageFeatures\(method='pca'\) has no module_"):
        _ = ImageFeatures(n_components=2).fit(study[0]).module_


def test_network_that_cannot_read_the_images_is_named(study):
    with pytest.raises(ValueError, match="The backbone Conv2d failed on images of shape"):
        ImageFeatures(lambda channels, dims: torch.nn.Conv2d(7, 3, 1)).fit(study[0])
