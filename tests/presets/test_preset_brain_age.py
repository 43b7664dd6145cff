"""The paper's regressor of brain age, figure by figure, as a fit builds it."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from paper_study import begin, counts

from skhyperfusion import presets
from skhyperfusion.nn import PlainBackbone


@pytest.fixture(scope="module")
def brain_age():
    """The regressor at the paper's sizes, brought to its training on heads of 170 x 230 x 190 mm."""
    scan = nib.Nifti1Image(np.ones((34, 46, 38), np.float32), np.diag([5.0, 5.0, 5.0, 1.0]))
    X = pd.DataFrame({"t1w": [scan] * 18, "sex": ["F", "M"] * 9})
    with pytest.MonkeyPatch.context() as patch:
        calls = begin(patch, presets.brain_age_regressor(random_state=0), X, np.arange(18.0))
    return SimpleNamespace(module=calls[0][0], data=calls[0][1], settings=calls[0][2], calls=calls)


def test_brain_age_network_has_the_papers_parameters_layer_by_layer(brain_age):
    wanted = {
        "backbone.stage1.conv1": 1 * 16 * 27 + 16,  # in * out * 3^3 + bias
        "backbone.stage1.conv2": 16 * 16 * 27 + 16,
        "backbone.stage1.norm": 2 * 16,
        "backbone.stage2.conv1": 16 * 32 * 27 + 32,
        "backbone.stage2.conv2": 32 * 32 * 27 + 32,
        "backbone.stage2.norm": 2 * 32,
        "backbone.stage3.conv1": 32 * 64 * 27 + 64,
        "backbone.stage3.conv2": 64 * 64 * 27 + 64,
        "backbone.stage3.norm": 2 * 64,
        # Each of the four linear layers: (in * out + bias) for G and R, and again for c and d.
        "fusion.hypernetwork.generators.0": 2 * (39424 * 16 + 16),
        "fusion.hypernetwork.generators.1": 2 * (16 * 32 + 32),
        "fusion.hypernetwork.generators.2": 2 * (32 * 64 + 64),
        "fusion.hypernetwork.generators.3": 2 * (64 * 1 + 1),
    }
    for i in range(4):  # one-hot sex -> 1, batch normalisation, PReLU
        wanted[f"fusion.hypernetwork.embeddings.{i}.layers.0"] = 2 * 1
        wanted[f"fusion.hypernetwork.embeddings.{i}.layers.1"] = 2 * 1
        wanted[f"fusion.hypernetwork.embeddings.{i}.layers.2"] = 1
    assert counts(brain_age.module) == wanted
    assert sum(wanted.values()) == 1_482_214


def test_brain_age_network_has_the_papers_layers_in_their_order(brain_age):
    backbone, head = brain_age.module.backbone, brain_age.module.head
    stages = [backbone.stage1, backbone.stage2, backbone.stage3]
    order = ["conv1", "relu1", "conv2", "relu2", "pool", "norm"]
    assert all([name for name, _ in stage.named_children()] == order for stage in stages)
    convolutions = [conv for stage in stages for conv in (stage.conv1, stage.conv2)]
    assert [conv.out_channels for conv in convolutions] == [16, 16, 32, 32, 64, 64]
    assert {(conv.kernel_size, conv.padding) for conv in convolutions} == {((3, 3, 3), (0, 0, 0))}
    assert backbone.map_shape == (7, 11, 8)
    assert 7 * 11 * 8 * 64 == 39424
    assert (head.dropout_in.p, head.dropout_out.p) == (0.2, 0.0)
    assert head.flatten


def test_brain_age_hypernetwork_makes_all_linear_layers_from_an_embedding_each(brain_age):
    hypernetwork = brain_age.module.fusion.hypernetwork
    assert brain_age.module.external_layers == (
        "head.hidden1", "head.hidden2", "head.hidden3", "head.output",
    )  # fmt: skip
    shapes = [generator.weight_shape for generator in hypernetwork.generators]
    assert shapes == [(16, 39424), (32, 16), (64, 32), (1, 64)]
    assert all(generator.bias_basis is not None for generator in hypernetwork.generators)
    assert [embedding.embedding_dim for embedding in hypernetwork.embeddings] == [1, 1, 1, 1]


@pytest.mark.parametrize("shape", [(84, 116, 92), (91, 123, 99)])
def test_brain_age_features_are_the_papers_for_scans_of_this_size(shape):
    assert PlainBackbone(1, spatial_shape=shape).map_shape == (7, 11, 8)


def test_brain_age_training_has_the_papers_settings(brain_age):
    settings = brain_age.settings
    assert len(brain_age.calls) == 1  # nothing is pre-trained
    assert settings["loss"] == "squared_error"
    assert (settings["optimizer"], settings["lr"], settings["weight_decay"]) == ("adam", 1.5e-4, 0.05)
    assert (settings["batch_size"], settings["max_epochs"], settings["patience"]) == (64, 60, 60)
    assert settings["lr_schedule"] is None
    assert settings["augmentation"] is None
    assert settings["monitor"] is None  # the validation loss
    target = brain_age.data.target[brain_age.data.rows]
    assert (target.mean(), target.std(correction=0)) == pytest.approx((0, 1), abs=1e-6)
    assert (len(brain_age.data), len(settings["valid_set"])) == (16, 2)  # 80 : 10, the test tenth apart


def test_brain_age_scans_are_a_window_of_2_mm_voxels_around_the_centre(brain_age):
    assert brain_age.data.images.shape == (18, 1, 1, 84, 116, 92)
    assert brain_age.module.n_tabular_features == 2
    voxels = np.random.default_rng(0).uniform(1, 2, size=(20, 16, 24)).astype(np.float32)
    scan = nib.Nifti1Image(voxels, np.diag([5.0, 5.0, 5.0, 1.0]))  # 100 x 80 x 120 mm
    (image,) = presets.brain_age_regressor().image_loader.open(pd.DataFrame({"t1w": [scan]})).stack()[0, 0]
    background = image[0, 0, 0]
    filled = np.argwhere(image != background)
    assert filled.min(axis=0).tolist() == [(84 - 50) // 2, (116 - 40) // 2, (92 - 60) // 2]
    assert (filled.max(axis=0) - filled.min(axis=0) + 1).tolist() == [50, 40, 60]
    inside = image[image != background]
    assert (inside.mean(), inside.std()) == pytest.approx((0, 1), abs=1e-3)  # over the filled voxels
