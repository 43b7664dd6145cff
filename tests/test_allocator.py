import ctypes
import sys
import threading

import numpy as np
import pytest
import torch

from skhyperfusion import HyperFusionRegressor, ImageLoader, _allocator
from skhyperfusion._allocator import freed_memory_kept

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="the C library is not glibc",
)
N_BYTES = 64 << 20  # above glibc's largest threshold: never kept by itself


@pytest.fixture(autouse=True)
def environment_without_settings_of_malloc(monkeypatch):
    for name in (*_allocator._SET_BY_USER, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)


def _new_pages():
    """Return how many pages the system had to provide for a large tensor, behind some that were freed."""
    resource = pytest.importorskip("resource")
    for _ in range(3):
        torch.ones(N_BYTES, dtype=torch.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(N_BYTES, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_freed_memory_serves_the_next_tensor_inside_the_block_only():
    with freed_memory_kept():
        assert _new_pages() < 100
    assert _new_pages() > 100


def test_inner_block_leaves_the_outer_one_in_force():
    with freed_memory_kept():
        with freed_memory_kept():
            pass
        assert _new_pages() < 100


def test_block_that_ends_in_another_thread_leaves_ours_in_force():
    def other():
        with freed_memory_kept():
            pass

    with freed_memory_kept():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert _new_pages() < 100


def test_block_for_another_device_changes_nothing():
    with freed_memory_kept("cuda"):
        assert _new_pages() > 100


def test_end_of_the_block_hands_memory_back():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    with freed_memory_kept():
        torch.ones(N_BYTES, dtype=torch.uint8)
        kept = resident()
    assert kept - resident() > N_BYTES / 2


def test_settings_of_the_environment_are_left_alone(monkeypatch):
    for name in _allocator._SET_BY_USER:
        with monkeypatch.context() as patch, freed_memory_kept():
            patch.setenv(name, "1")
            assert _allocator._glibc() is None
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    assert _allocator._glibc() is None


def test_fit_and_predict_on_a_cpu_keep_freed_memory():
    seen = set()

    class Watched(torch.nn.Linear):
        def __init__(self, in_channels, spatial_dims):
            super().__init__(16, 4)

        def forward(self, image):
            seen.add((self.training, _allocator._users))
            return super().forward(image.flatten(1))

    X = np.random.default_rng(0).normal(size=(8, 18))
    model = HyperFusionRegressor(
        image_columns=list(range(16)), image_loader=ImageLoader(shape=(4, 4)), backbone=Watched,
        fusion="concat", max_epochs=1,
    )  # fmt: skip
    model.fit(X, X[:, 0])
    assert (True, 1) in seen
    seen.clear()
    model.predict(X)
    assert seen == {(False, 1)}
    assert _allocator._users == 0
