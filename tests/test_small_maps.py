"""bfloat16 on a CPU: no gradient holds what lay in the memory."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from skhyperfusion import HyperFusionClassifier
from skhyperfusion._engine._small_maps import SmallMapsInFloat32

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _leave_nan_in_freed_memory():
    for size in (1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16):
        _ = [torch.full((size,), torch.nan) for _ in range(8)]


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(
    ("shape", "width", "stride"),
    [
        ((1,), 3, 2), ((1, 1), 3, 2), ((1, 4), 3, 1), ((2, 2, 2), 3, 1), ((1, 3, 2), 3, 2),
        ((1, 1), 1, 2), ((2,), 2, 3), ((5, 2), 2, 3), ((3, 1, 1), 1, 3),
    ],
    ids=str,
)  # fmt: skip
def test_gradients_of_small_maps_are_those_of_float32(shape, width, stride, groups):
    conv = CONV[len(shape)]
    for _ in range(5):
        image = torch.randn(8, 16 * groups, *shape, requires_grad=True)
        weight = torch.randn(32 * groups, 16, *(width,) * len(shape), requires_grad=True)
        settings = {"stride": stride, "padding": width // 2, "groups": groups}
        wanted = conv(image, weight, **settings)
        direction = torch.randn_like(wanted)
        expected = torch.autograd.grad(wanted, [image, weight], direction)
        _leave_nan_in_freed_memory()
        with torch.autocast("cpu", torch.bfloat16), SmallMapsInFloat32():
            found = conv(image, weight, **settings)
        for one, other in zip(torch.autograd.grad(found, [image, weight], direction), expected, strict=True):
            torch.testing.assert_close(one, other)


def test_larger_maps_stay_in_bfloat16():
    image, weight = torch.randn(2, 4, 3, 5), torch.randn(4, 4, 3, 3)
    with torch.autocast("cpu", torch.bfloat16), SmallMapsInFloat32():
        assert F.conv2d(image, weight, padding=1).dtype == torch.bfloat16
        assert F.conv2d(image[..., :2], weight, padding=1).dtype == torch.float32
        assert F.conv2d(input=image[..., :2], weight=weight.bfloat16(), padding=1).dtype == torch.float32
        assert F.conv2d(image[0, ..., :2], weight, padding=1).dtype == torch.float32  # without a batch
        assert F.conv2d(image, weight, None, (3, 5), 1).dtype == torch.bfloat16
        for stride in (4, [4], (4, 1)):
            assert F.conv2d(image, weight, None, stride, 1).dtype == torch.float32
            assert F.conv2d(image, weight, stride=stride, padding="valid").dtype == torch.float32


def test_fit_in_bfloat16_on_a_cpu_is_near_that_in_float32(arrays):
    X, y, _ = arrays  # of 8 x 8 pixels: the last block reads maps of one
    settings = {"base_channels": 2, "max_epochs": 2, "dropout": 0.0, "random_state": 0, "device": "cpu"}
    for backbone in ("resnet", "vgg"):
        _leave_nan_in_freed_memory()
        halved = HyperFusionClassifier(precision="bfloat16", backbone=backbone, **settings).fit(X, y)
        whole = HyperFusionClassifier(precision="float32", backbone=backbone, **settings).fit(X, y)
        np.testing.assert_allclose(halved.history_["train_loss"], whole.history_["train_loss"], rtol=0.05)
        np.testing.assert_allclose(halved.predict_proba(X), whole.predict_proba(X), atol=0.1)
