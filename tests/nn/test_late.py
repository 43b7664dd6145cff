"""Late fusion: the two networks never meet, and their predictions are averaged."""

import itertools

import pytest
import torch


def _twins(make_fusion, task, **settings):
    """Return a late fusion, its inputs, and the two single networks with the same weights."""
    late, image, tabular = make_fusion("late", task=task, **settings)
    by_image, by_table = (make_fusion(kind, task=task, **settings)[0] for kind in ("image", "tabular"))
    by_image.backbone.load_state_dict(late.backbone.state_dict())
    by_image.head.load_state_dict(late.head.state_dict())
    by_table.fusion.load_state_dict(late.fusion.state_dict())
    return late, image, tabular, by_image, by_table


def test_late_classification_averages_the_probabilities_of_the_single_networks(make_fusion):
    late, image, tabular, by_image, by_table = _twins(make_fusion, "classification")
    out = late(image, tabular)
    wanted = (by_image(image).softmax(1) + by_table(None, tabular).softmax(1)) / 2
    torch.testing.assert_close(out.softmax(1), wanted, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(out.exp(), wanted, rtol=1e-10, atol=1e-10)


def test_late_regression_averages_the_values_of_the_single_networks(make_fusion):
    late, image, tabular, by_image, by_table = _twins(make_fusion, "regression")
    wanted = (by_image(image) + by_table(None, tabular)) / 2
    torch.testing.assert_close(late(image, tabular), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backbone", ["resnet", "vgg", "own map", "own features"])
def test_late_features_are_those_of_both(make_fusion, backbone):
    late, image, tabular, by_image, by_table = _twins(make_fusion, "regression", backbone=backbone)
    wanted = torch.cat([by_image.features(image, None), by_table.features(None, tabular)], 1)
    torch.testing.assert_close(late.features(image, tabular), wanted, rtol=1e-10, atol=1e-10)


def test_late_probabilities_have_no_interaction(make_fusion):
    late, image, tabular = make_fusion("late", task="classification")
    p = {
        (i, j): late(image[i : i + 1], tabular[j : j + 1]).softmax(1)
        for i, j in itertools.product(range(2), repeat=2)
    }
    torch.testing.assert_close(p[0, 0] + p[1, 1], p[0, 1] + p[1, 0], rtol=1e-10, atol=1e-10)


def test_late_when_both_networks_are_certain_and_wrong_stays_finite(make_fusion):
    late, image, tabular = make_fusion("late", task="classification")
    late.float()
    with torch.no_grad():
        late.head.output.bias.copy_(torch.tensor([1e4, 0.0, -1e4]))
        late.fusion.last.bias.copy_(torch.tensor([0.0, 1e4, -1e4]))
    out = late(image.float(), tabular.float())
    torch.testing.assert_close(out.softmax(1)[:, :2], torch.full((4, 2), 0.5))
    torch.nn.functional.cross_entropy(out, torch.full((4,), 2)).backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in late.parameters())


@pytest.mark.parametrize("fusion", ["hyper", "tabular"])
def test_task_changes_nothing_else(make_fusion, fusion):
    net, image, tabular = make_fusion(fusion, task="classification")
    other, _, _ = make_fusion(fusion, task="regression")
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(net(image, tabular), other(image, tabular), rtol=0, atol=0)
