"""The paper's classifier of Alzheimer's disease, figure by figure, as a fit builds it."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from paper_study import DIAGNOSES, TINY, TINY_ALZHEIMER, begin, clinical_table, counts
from torch import nn

from skhyperfusion import presets
from skhyperfusion.nn import BatchNorm


@pytest.fixture(scope="module")
def alzheimer():
    """The classifier at the paper's sizes, brought to its training on scans on the grid of MNI152."""
    scan = np.random.default_rng(0).integers(0, 255, size=(182, 218, 182), dtype=np.uint8)
    X = clinical_table(12).assign(t1w=[scan] * 12)
    with pytest.MonkeyPatch.context() as patch:
        calls = begin(patch, presets.alzheimer_classifier(random_state=0), X, DIAGNOSES[:12])
    return SimpleNamespace(pretrained=calls[0], module=calls[1][0], data=calls[1][1], settings=calls[1][2])


# The network


def test_alzheimer_network_has_the_papers_parameters_layer_by_layer(alzheimer):
    wanted = {
        "backbone.stem.conv": 1 * 16 * 27,  # in * out * 3^3; normalised behind, so without a bias
        "backbone.stem.norm": 2 * 16,
        "backbone.block1.norm1": 2 * 16,
        "backbone.block1.conv1": 16 * 32 * 27,
        "backbone.block1.norm2": 2 * 32,
        "backbone.block1.conv2": 32 * 32 * 27,
        "backbone.block1.shortcut.conv": 16 * 32 * 1,
        "backbone.block1.shortcut.norm": 2 * 32,
        "backbone.block2.norm1": 2 * 32,
        "backbone.block2.conv1": 32 * 64 * 27,
        "backbone.block2.norm2": 2 * 64,
        "backbone.block2.conv2": 64 * 64 * 27,
        "backbone.block2.shortcut.conv": 32 * 64 * 1,
        "backbone.block2.shortcut.norm": 2 * 64,
        "backbone.block3.norm1": 2 * 64,
        "backbone.block3.conv1": 64 * 128 * 27,
        "backbone.block3.norm2": 2 * 128,
        "backbone.block3.conv2": 128 * 128 * 27,
        "backbone.block3.shortcut.conv": 64 * 128 * 1,
        "backbone.block3.shortcut.norm": 2 * 128,
        "backbone.block4.norm1": 2 * 128,
        "backbone.block4.conv1": 128 * 256 * 27,
        "backbone.block4.norm2": 2 * 256,
        "backbone.block4.conv2": 256 * 256 * 27,  # its shortcut convolution is external: it holds nothing
        "backbone.block4.shortcut.norm": 2 * 256,
        "head.hidden1": 256 * 64 + 64,  # 16F -> 4F
        "head.output": 64 * 3 + 3,
        "fusion.hypernetwork.embeddings.0.layers.0": 17 * 8,  # 10 columns and 7 flags -> 8
        "fusion.hypernetwork.embeddings.0.layers.1": 2 * 8,
        "fusion.hypernetwork.embeddings.0.layers.2": 1,
        "fusion.hypernetwork.generators.0": (8 + 1) * (128 * 256 + 256),  # G and R; c and d
    }
    assert counts(alzheimer.module) == wanted
    assert sum(wanted.values()) == 3_852_748


def test_alzheimer_network_has_the_papers_layers_in_their_order(alzheimer):
    backbone, head = alzheimer.module.backbone, alzheimer.module.head
    assert [name for name, _ in backbone.stem.named_children()] == ["conv", "norm", "relu", "pool"]
    blocks = [backbone.block1, backbone.block2, backbone.block3, backbone.block4]
    assert [block.conv1.stride for block in blocks] == [(1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)]
    assert [block.shortcut.conv.stride for block in blocks[:3]] == [(1, 1, 1), (2, 2, 2), (2, 2, 2)]
    assert backbone.block4.shortcut.conv.layer.stride == (2, 2, 2)
    assert {conv.kernel_size for block in blocks for conv in (block.conv1, block.conv2)} == {(3, 3, 3)}
    assert [(block.dropout1.p, block.dropout2.p) for block in blocks] == [
        (p, p) for p in (0.1, 0.2, 0.2, 0.3)
    ]
    assert (head.dropout_in.p, head.dropout_out.p) == (0.6, 0.5)
    assert not head.flatten


def test_alzheimer_hypernetwork_makes_the_last_shortcut_and_nothing_else(alzheimer):
    assert alzheimer.module.external_layers == ("backbone.block4.shortcut.conv",)
    (generator,) = alzheimer.module.fusion.hypernetwork.generators
    assert generator.weight_shape == (256, 128, 1, 1, 1)
    assert generator.bias_basis.shape == (8, 256)
    (embedding,) = alzheimer.module.fusion.hypernetwork.embeddings
    assert [type(layer) for layer in embedding.layers] == [nn.Linear, BatchNorm, nn.PReLU]


def test_alzheimer_embedding_is_pretrained_as_a_classifier_of_the_table(alzheimer):
    network, data, settings = alzheimer.pretrained
    assert data.images is None
    assert settings["loss"] == "cross_entropy"
    assert settings["max_epochs"] == 20
    assert list(network.embeddings) == list(alzheimer.module.fusion.hypernetwork.embeddings)
    assert network.last.out_features == 3


# Data and training


def test_alzheimer_crops_are_64_by_96_by_64_on_both_sides(alzheimer):
    assert alzheimer.data.images.shape == (12, 2, 1, 64, 96, 64)
    box = alzheimer.data.images[0].flatten(1)
    assert (box.mean(1).abs() < 0.01).all()  # standardised
    assert box.std(1).allclose(torch.ones(2), atol=0.01)


def test_alzheimer_training_has_the_papers_settings(alzheimer):
    settings = alzheimer.settings
    assert settings["loss"] == "cross_entropy"
    assert (settings["optimizer"], settings["lr"], settings["weight_decay"]) == ("adam", 1e-4, 1e-5)
    assert (settings["batch_size"], settings["max_epochs"], settings["patience"]) == (32, 250, 250)
    assert settings["lr_schedule"] is None
    assert settings["augmentation"] is None
    assert settings["monitor"].name == "valid_balanced_accuracy"
    assert (len(alzheimer.data), len(settings["valid_set"])) == (9, 3)  # three folds of four, and one


def test_alzheimer_classes_weigh_equally_in_the_loss(alzheimer):
    data = alzheimer.data
    n_rows = data.target.bincount()  # AD, CN, MCI
    assert n_rows.tolist() == [2, 4, 6]
    weight = data.weight[data.rows] * n_rows[data.target[data.rows]]
    assert weight.allclose(weight[0].expand(len(weight)))


def test_alzheimer_epoch_is_the_first_of_the_best_balanced_accuracy(paper_study):
    X, y = paper_study
    model = presets.alzheimer_classifier(**{**TINY_ALZHEIMER, "max_epochs": 6, "lr": 0.02}).fit(X, y)
    scores = model.history_["valid_balanced_accuracy"]
    assert scores.nunique() > 1
    assert model.n_iter_ == 6
    assert model.best_epoch_ == scores.idxmax() + 1


# Where the hippocampi are


@pytest.mark.parametrize(
    ("shape", "affine", "right"),
    [
        ((182, 218, 182), [[-1, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72]], "low"),  # as FSL stores it
        ((193, 229, 193), [[1, 0, 0, -96], [0, 1, 0, -132], [0, 0, 1, -78]], "high"),
    ],
    ids=["6Asym", "2009cAsym"],
)
def test_mni152_hippocampi_show_a_spot_on_either_side_at_one_place(shape, affine, right):
    affine = np.vstack([affine, [0, 0, 0, 1]])
    voxels = np.zeros(shape, np.float32)
    for x, brightness in ((29, 1.0), (-29, 2.0)):
        voxels[tuple(np.rint(np.linalg.solve(affine, [x, -20, -10, 1]))[:3].astype(int))] = brightness
    assert (np.argwhere(voxels == 1)[0, 0] < shape[0] / 2) == (right == "low")
    loader = presets.alzheimer_classifier(image_loader__intensity=None).image_loader
    views = loader.open(pd.DataFrame({"t1w": [nib.Nifti1Image(voxels, affine)]})).stack()[0, :, 0]
    assert views.shape == (2, 64, 96, 64)
    for view, brightness in zip(views, (1.0, 2.0), strict=True):
        assert np.argwhere(view).tolist() == [[29, 48, 32]]  # mm from the midline; the middle of 96 and of 64
        assert view.max() == brightness


def test_mni152_hippocampi_when_scan_is_on_another_grid_says_what_to_do():
    X = clinical_table().assign(t1w=[np.ones((16, 16, 16), np.float32)] * 24)
    message = (
        r"Row 0, column 't1w'.*\(16, 16, 16\).*\(182, 218, 182\) or \(193, 229, 193\).*image_loader__crop="
    )
    with pytest.raises(ValueError, match=message):
        presets.alzheimer_classifier(**TINY).fit(X, DIAGNOSES)
