"""Where the rows of a fit are held, and how they get to a GPU, as far as one can tell without one."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion._engine import _device
from skhyperfusion._engine import _predict as _inference
from skhyperfusion._engine._batches import FusionDataset, ReadAhead
from skhyperfusion._engine._net import FusionNet

GPU = torch.device("cuda", 0)


def _rows():
    return FusionDataset(tabular=torch.zeros(8, 2), target=torch.zeros(8), weight=torch.ones(8))


def test_rows_have_room_on_a_gpu_up_to_a_share_of_its_free_memory(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: asked.append(device) or (1000, 4000))
    assert _device.has_room(GPU, 250)
    assert not _device.has_room(GPU, 251)
    assert asked == [GPU, GPU]
    assert not _device.has_room(torch.device("cpu"), 1)


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator")
@pytest.mark.parametrize(
    ("settings", "has_room", "n_moves"),
    [
        ({}, True, 1),
        ({}, False, 0),
        ({"image_loader": ImageLoader(memory=0)}, True, 0),
        ({"net_params": {"iterator_train__num_workers": 1}}, True, 0),
        ({"net_params": {"iterator_train__num_workers": 0}}, True, 1),
        ({"net_params": {"iterator_valid__pin_memory": True}}, True, 0),
        ({"pretrain_embedding": 1, "hyper_depth": 1}, True, 2),  # the table alone, then all
    ],
    ids=[
        "fits",
        "does not fit",
        "images are read",
        "processes load",
        "no process loads",
        "pinned",
        "pre-training",
    ],
)
def test_rows_move_to_the_device_once_where_they_fit(monkeypatch, settings, has_room, n_moves):
    moved, sizes = [], []
    monkeypatch.setattr(_device, "has_room", lambda device, n_bytes: sizes.append(n_bytes) or has_room)
    monkeypatch.setattr(FusionDataset, "to", lambda self, device: moved.append(device) or self)
    images = list(np.random.default_rng(0).normal(size=(40, 8, 8)).astype(np.float32))
    X = pd.DataFrame({"picture": images, "age": np.arange(40.0)})
    HyperFusionClassifier(
        base_channels=2, max_epochs=1, random_state=0, early_stopping=True, device="cpu", **settings
    ).fit(X, np.arange(40) % 2)
    assert moved == [torch.device("cpu")] * n_moves
    if n_moves:
        assert sizes[-1] == 40 * (8 * 8 * 4 + 8 + 8 + 4)  # image, encoded age, target, weight


def _batches(device, dataset, **settings):
    net = FusionNet(torch.nn.Identity, criterion=torch.nn.MSELoss, device=device, **settings)
    net.order_generator_ = torch.Generator()
    return net.get_iterator(dataset, training=True)


def test_rows_that_a_gpu_does_not_hold_are_read_ahead_into_pinned_memory():
    ahead = _batches("cuda", _rows())
    assert isinstance(ahead, ReadAhead)
    assert ahead.batches.pin_memory
    assert not _batches("cuda", _rows(), iterator_train__pin_memory=False).batches.pin_memory


@pytest.mark.parametrize(("device", "holds"), [("cpu", "cpu"), ("cuda", "meta")])
def test_rows_that_the_device_holds_are_gathered_when_they_are_asked_for(device, holds):
    loader = _batches(device, _rows().to(holds))
    assert isinstance(loader, torch.utils.data.DataLoader)
    assert not loader.pin_memory


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_rows_to_predict_are_read_ahead_for_a_gpu(device):
    blocks = _inference._blocks(_rows(), 3, torch.device(device))
    assert isinstance(blocks, ReadAhead) == (device == "cuda")
    assert [len(block["tabular"]) for block in blocks] == [3, 3, 2]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_seeded_when_forked_while_a_thread_fits_is_free_in_the_child():
    code = (
        "import os, threading, torch\n"
        "from skhyperfusion._engine import _device\n"
        "begun, ended = threading.Event(), threading.Event()\n"
        "def fit():\n"
        "    with _device.seeded(0, torch.device('cpu')):\n"
        "        begun.set(); ended.wait()\n"
        "thread = threading.Thread(target=fit); thread.start(); begun.wait()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(0 if _device._seeded_region.acquire(timeout=2) else 1)\n"
        "status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "ended.set(); thread.join()\n"
        "raise SystemExit(status)\n"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0
