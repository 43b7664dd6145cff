"""Where the rows of a fit are held, and how they get to a GPU, as far as one can tell without one."""

import contextlib
import multiprocessing
import os
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from forks import run_forking
from sklearn.base import clone
from torch.utils._python_dispatch import TorchDispatchMode

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion._engine import _device
from skhyperfusion._engine import _predict as _inference
from skhyperfusion._engine._batches import FusionDataset, ReadAhead
from skhyperfusion._engine._net import FusionNet
from skhyperfusion.nn import FusionNetwork

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


@pytest.mark.parametrize(
    "setting", [{}, {"prefetch_factor": 4}, {"persistent_workers": True}, {"timeout": 10}]
)
def test_settings_of_loader_processes_are_left_out_where_a_process_may_have_none(setting, monkeypatch):
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: multiprocessing.current_process())
    settings = {f"iterator_train__{name}": value for name, value in ({"num_workers": 1} | setting).items()}
    loader = _batches("cpu", _rows(), **settings)
    assert loader.num_workers == 0
    assert sum(len(target) for _, (target, _) in loader) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_network_runs_in_a_child_that_was_forked_after_several_threads_ran_one():
    done = run_forking(
        """
        import signal, torch
        from skhyperfusion._engine._device import spread_device
        spread_device('cpu')
        numbers = torch.ones(1 << 22)
        assert numbers.sum() == 1 << 22
        """,
        """
        signal.alarm(30)
        os._exit(0 if numbers.sum() == 1 << 22 else 1)
        """,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_seeded_when_forked_while_a_thread_fits_is_free_in_the_child():
    done = run_forking(
        """
        import threading, torch
        from skhyperfusion._engine import _device
        begun, ended = threading.Event(), threading.Event()
        def fit():
            with _device.seeded(0, torch.device('cpu')):
                begun.set(); ended.wait()
        thread = threading.Thread(target=fit); thread.start(); begun.wait()
        """,
        "os._exit(0 if _device._seeded_region.acquire(timeout=2) else 1)",
        "ended.set(); thread.join()",
    )
    assert done.returncode == 0


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_chosen_where_the_asked_gpu_has_it_and_does_not_emulate_it(native, monkeypatch):
    asked = []

    @contextlib.contextmanager
    def current(device):
        asked.append(device)
        yield

    monkeypatch.setattr(torch.cuda, "device", current)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native
    )
    device = torch.device("cuda", 1)
    assert _device.resolve_precision("auto", device) == ("bfloat16" if native else "float32")
    assert asked == [device]
    assert _device.resolve_precision("auto", torch.device("mps")) == "float32"


def test_float64_on_a_device_without_it_is_refused_with_the_way_out():
    with pytest.raises(
        ValueError, match=r"'mps', which has no float64.*precision='float32', or device='cpu'"
    ):
        _device.resolve_precision("float64", torch.device("mps"))


class _Float64(TorchDispatchMode):
    """Collects the operations that put out float64."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.dtype == torch.float64:
            self.seen.add(func.overloadpacket)
        return out


@pytest.mark.parametrize("fusion", ["hyper", "daft", "tabattention", "late", "reverse", "image", "tabular"])
@pytest.mark.parametrize("trained", [torch.float32, torch.float64])
def test_network_computes_nothing_in_float64_where_the_device_has_none(fusion, trained, monkeypatch):
    monkeypatch.delitem(_inference.VALUES_AT_A_TIME, "cpu")  # the CPU as a device that is not known
    network = FusionNetwork(
        fusion=fusion, n_tabular_features=2, n_outputs=2, in_channels=1, spatial_shape=(5, 4), base_channels=2
    ).to(trained)
    images, table = torch.randn(3, 1, 1, 5, 4), torch.randn(3, 2, dtype=torch.float64)
    rows = FusionDataset(
        images=None if fusion == "tabular" else images,
        tabular=None if fusion == "image" else table,
        dtype=None,
    )
    with _Float64() as watched:
        found = _inference.predict_outputs(network, rows, device=torch.device("cpu"), batch_size=2)
    aten = torch.ops.aten
    # Copies of weights and table before the move to the device, and of what came back from it.
    host = {aten.clone, aten._to_copy, aten.index, aten.cat, aten.view, aten.alias, aten.detach, aten.split}
    assert watched.seen <= host | {
        aten.new_empty,
        aten.empty,
        aten.set_,
        aten.empty_like,
        aten.empty_strided,
        aten.copy_,
    }
    assert found.dtype == np.float64
    with torch.no_grad():
        wanted = network.eval().double()(images[:, 0].double(), table).numpy()
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")], ids=repr)
def test_device_is_taken_as_a_name_or_as_torchs_object(device):
    X = pd.DataFrame(
        {"picture": list(np.random.default_rng(0).normal(size=(8, 4, 4))), "age": np.arange(8.0)}
    )
    model = clone(HyperFusionClassifier(base_channels=1, max_epochs=1, device=device)).fit(
        X, np.arange(8) % 2
    )
    assert pickle.loads(pickle.dumps(model)).device == device
    with pytest.raises(
        ValueError, match="'device' parameter of HyperFusionClassifier must be a str or a device"
    ):
        model.set_params(device=0).fit(X, np.arange(8) % 2)
