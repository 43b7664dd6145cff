import pytest
import torch
from torch import nn

from skhyperfusion.nn import FusionNetwork


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        (
            {"fusion": "hyperr"},
            ValueError,
            r"'fusion' must be one of 'hyper', 'concat'.*did you mean 'hyper'\?",
        ),
        ({"fusion": "tabatention"}, ValueError, r"did you mean 'tabattention'\?"),
        ({"task": "clasification"}, ValueError, r"'task' must be .*did you mean 'classification'\?"),
        ({"task": "classification"}, ValueError, r"one output for each class\. Got n_outputs=1"),
        (
            {"backbone": "resnett"},
            ValueError,
            r"'resnet', 'vgg', .*'vgg-paper' or a callable.*did you mean 'resnet'\?",
        ),
        ({"backbone": 3}, ValueError, "or a callable .* Got 3 instead"),
        ({"backbone": nn.Linear(2, 2)}, TypeError, "is a Linear object, which every fit would train on"),
        (
            {"backbone": lambda c, d: None},
            TypeError,
            r"must return a torch\.nn\.Module\. It returned NoneType",
        ),
        (
            {"backbone": lambda c, d: nn.Conv3d(c, 2, 3)},
            ValueError,
            r"The backbone Conv3d failed on images of shape \(2, 2, 9, 8\)",
        ),
        (
            {"backbone": lambda c, d: nn.Flatten(2)},
            ValueError,
            r"must return features \(B, C\) or a map .* of 2 spatial axes\. .* returned \(2, 2, 72\)",
        ),
        ({"hyper_init": "residul"}, ValueError, r"'hyper_init' must be .*did you mean 'residual'\?"),
        (
            {"external_layers": "backbone.blck4.*"},
            ValueError,
            r"no layer matches 'backbone\.blck4\.\*'; did you",
        ),
        (
            {"external_layers": ["backbone.stem.norm"]},
            ValueError,
            "'backbone.stem.norm' is a BatchNorm; only Lin",
        ),
        ({"external_layers": []}, ValueError, "'external_layers' is empty"),
        ({"n_tabular_features": 0}, ValueError, r"'hyper' needs tabular features.*fusion='image' needs none"),
        ({"spatial_shape": None}, ValueError, r"'hyper' needs images: give .*fusion='tabular' needs none"),
        ({"in_channels": None}, ValueError, r"'hyper' needs images"),
        ({"in_channels": 0, "spatial_shape": ()}, ValueError, r"'hyper' needs images"),
        ({"spatial_shape": (8, 8, 8, 8)}, ValueError, r"'spatial_dims' must be 1, 2 or 3"),
        ({"dropout": [0.1]}, ValueError, r"'dropout' must be a number or 6"),
    ],
)
def test_fusion_network_with_a_wrong_setting_raises(settings, error, match):
    settings = {
        "n_tabular_features": 5, "n_outputs": 1, "in_channels": 2, "spatial_shape": (9, 8),
        "base_channels": 2, **settings,
    }  # fmt: skip
    with pytest.raises(error, match=match):
        FusionNetwork(**settings)


@pytest.mark.parametrize("method", ["forward", "features"])
def test_wrong_shapes_raise_both(make_fusion, method):
    net, image, tabular = make_fusion("hyper")
    call = getattr(net, method)
    with pytest.raises(ValueError, match=r"image must have shape \(B, 2, 9, 8\)\. Got \(4, 2, 9, 7\)"):
        call(image[..., :-1], tabular)
    with pytest.raises(ValueError, match=r"image must have shape \(B, 2, 9, 8\)\. Got None"):
        call(None, tabular)
    with pytest.raises(ValueError, match=r"table must have shape \(B, 5\)\. Got \(4, 4\)"):
        call(image, tabular[:, :-1])
    with pytest.raises(ValueError, match=r"table must have shape \(B, 5\)\. Got None"):
        call(image, None)
    with pytest.raises(ValueError, match=r"as many rows\. Got \(4, 2, 9, 8\) and \(3, 5\)"):
        call(image, tabular[:-1])


def test_initialize_with_a_wrong_table_raises_both(make_fusion):
    net, _, _ = make_fusion("hyper")
    with pytest.raises(ValueError, match=r"table must have shape \(B, 5\)\. Got \(7, 3\)"):
        net.initialize(torch.ones(7, 3))


def test_own_backbone_is_measured_without_a_trace(make_fusion):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.frozen = nn.BatchNorm2d(2), nn.BatchNorm2d(2).eval()

        def forward(self, image):
            return self.frozen(self.norm(image))

    made = []

    def make(in_channels, spatial_dims):
        made.append((in_channels, spatial_dims))
        return Counting()

    net = FusionNetwork(backbone=make, fusion="image", n_outputs=1, in_channels=2, spatial_shape=(3, 3))
    assert made == [(2, 2)]
    assert net.backbone.norm.training
    assert not net.backbone.frozen.training
    assert net.backbone.norm.num_batches_tracked == 0
