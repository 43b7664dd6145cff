import ctypes
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from forks import run_forking

from skhyperfusion import HyperFusionRegressor, ImageLoader
from skhyperfusion._engine import _allocator, _predict
from skhyperfusion._engine._allocator import freed_memory_kept

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="the C library is not glibc",
)
N_BYTES = 64 << 20  # above glibc's largest threshold: never kept by itself

# In a process of its own: in one that has run for long, freed memory may lie where it is kept anyway.
SCRIPT = f"""
import json, resource, threading
import torch
from skhyperfusion._engine._allocator import freed_memory_kept

def new_pages(n_bytes={N_BYTES}):
    "How many pages the system has to provide for a large tensor, behind some that were freed."
    for _ in range(3):
        torch.ones(n_bytes, dtype=torch.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(n_bytes, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def open_and_close():
    with freed_memory_kept():
        pass

seen = {{"before": new_pages()}}
with freed_memory_kept():
    seen["inside"] = new_pages()
    open_and_close()
    seen["behind an inner block"] = new_pages()
    thread = threading.Thread(target=open_and_close)
    thread.start()
    thread.join()
    seen["behind another thread's block"] = new_pages()
    seen["resident inside"] = resident()
seen["resident after"] = resident()
# More than the gap that the block may leave in the heap: a tensor that fits into it would use it again.
seen["after"] = new_pages({4 * N_BYTES})
with freed_memory_kept("cuda"):
    seen["inside for a GPU"] = new_pages({4 * N_BYTES})
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen():
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name.upper()}
    environment.pop("GLIBC_TUNABLES", None)
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(told.stdout)


@pytest.fixture(autouse=True)
def environment_without_settings_of_malloc(monkeypatch):
    for name in (*_allocator._SET_BY_USER, _allocator.SWITCH, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("where", ["inside", "behind an inner block", "behind another thread's block"])
def test_freed_memory_serves_the_next_tensor_inside_the_block(seen, where):
    assert seen[where] < 10


@pytest.mark.parametrize("where", ["before", "after", "inside for a GPU"])
def test_freed_memory_is_handed_back_at_once_outside_of_the_block(seen, where):
    assert seen[where] > 20  # huge pages are few


def test_end_of_the_block_hands_memory_back(seen):
    assert seen["resident inside"] - seen["resident after"] > N_BYTES / 2


def test_settings_of_the_environment_are_left_alone(monkeypatch):
    for name in _allocator._SET_BY_USER:
        with monkeypatch.context() as patch, freed_memory_kept():
            patch.setenv(name, "1")
            assert _allocator._glibc() is None
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    assert _allocator._glibc() is None


def test_switch_leaves_the_processs_settings_alone(monkeypatch):
    with freed_memory_kept():
        assert _allocator._users == 1
    monkeypatch.setenv("SKHYPERFUSION_KEEP_MEMORY", "0")
    monkeypatch.setattr(_allocator, "_set", lambda *_: pytest.fail("malloc was told something"))
    with freed_memory_kept():
        assert _allocator._users == 0


@pytest.mark.slow
def test_block_when_forked_while_a_thread_enters_one_is_free_in_the_child():
    before = "from skhyperfusion._engine import _allocator; _allocator._lock.acquire()"
    assert run_forking(before, "os._exit(0 if _allocator._lock.acquire(timeout=2) else 1)").returncode == 0


def test_switch_of_another_value_is_refused(monkeypatch):
    monkeypatch.setenv("SKHYPERFUSION_KEEP_MEMORY", "no")
    with (
        pytest.raises(ValueError, match=r"SKHYPERFUSION_KEEP_MEMORY must be 0 or 1\. Got 'no'"),
        freed_memory_kept(),
    ):
        pass


@pytest.fixture
def watched():
    """A model whose network notes whether memory is kept while it runs, its table, and what it noted."""
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
        fusion="concat", max_epochs=1, batch_size=2,
    )  # fmt: skip
    model.fit(X, X[:, 0])
    assert (True, 1) in seen
    seen.clear()
    return model, X, seen


def test_prediction_of_several_passes_over_much_keeps_freed_memory(watched, monkeypatch):
    model, X, seen = watched
    monkeypatch.setattr(_predict, "VALUES_WORTH_KEEPING", 8 * 16)
    model.predict(X)
    assert seen == {(False, 1)}
    assert _allocator._users == 0


def test_prediction_of_one_row_or_little_leaves_malloc_alone(watched, monkeypatch):
    model, X, seen = watched
    monkeypatch.setattr(_allocator, "_set", lambda *_: pytest.fail("malloc was told something"))
    model.predict(X)
    monkeypatch.setattr(_predict, "VALUES_WORTH_KEEPING", 1)
    model.predict(X[:1])
    model.predict(X[:2])
    assert seen == {(False, 0)}
