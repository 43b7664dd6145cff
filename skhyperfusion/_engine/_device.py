"""Where a fit runs, in which precision, and with which random numbers."""

import contextlib
import multiprocessing
import os
import threading
import warnings

import torch

# A fit's images stay on a GPU if they take at most this part of its free memory: the network needs more for
# what it computes, and other fits of a search may share the GPU.
RESIDENT_SHARE = 1 / 4

# Dropout draws from torch's global generator, so two seeded fits in one process take turns.
_seeded_region = threading.RLock()
_has_computed = False  # whether a network may have run in this process, and torch's threads with it


def _begin_in_child():
    """Free, in a forked child, what a thread that fits in the parent holds there, and do without its threads.

    Torch's threads are not forked with the process that they belong to: an operation that hands them work in
    the child waits for them for ever.
    """
    global _seeded_region
    _seeded_region = threading.RLock()
    if _has_computed:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


@contextlib.contextmanager
def seeded(seed, device):
    """Seed torch inside the block, and leave its global random state as it was found."""
    with _seeded_region:
        cuda = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.default_generator.manual_seed(seed)
            if cuda:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            yield


def spread_device(device, *, fitted=False):
    """Resolve "auto", and spread the workers of a parallel search over the GPUs there are.

    A device that this machine lacks is refused for training. A fitted network, which may come from a machine
    with a GPU, runs on the CPU instead, and a warning says so.
    """
    global _has_computed
    _has_computed = True  # who asks is about to
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        digits = "".join(filter(str.isdigit, multiprocessing.current_process().name))
        return torch.device("cuda", (int(digits or 1) - 1) % torch.cuda.device_count())
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            "The 'device' parameter must be 'auto' or a device that torch knows, such as 'cpu', 'cuda' or "
            f"'cuda:1'. Got {device!r} instead."
        ) from error
    if _is_here(wanted):
        return wanted
    message = (
        f"The 'device' parameter is {str(device)!r}, but torch sees {torch.cuda.device_count()} "
        "CUDA device(s) on this machine"
    )
    if wanted.type != "cuda":
        message = f"The 'device' parameter is {str(device)!r}, which this machine does not have"
    if not fitted:
        raise ValueError(f"{message}. Pass device='auto', or 'cpu'.")
    warnings.warn(
        f"{message}; predicting on the CPU. set_params(device='auto') does so quietly.", stacklevel=2
    )
    return torch.device("cpu")


def _is_here(device):
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError):  # which of them depends on the device's type
        return False
    return True


def resolve_precision(precision, device):
    """Resolve "auto": bfloat16 on a CUDA device that has it (and does not emulate it), else float32."""
    if precision == "float64" and device.type == "mps":
        raise ValueError(
            f"precision='float64' cannot be had on device {str(device)!r}, which has no float64. "
            "Pass precision='float32', or device='cpu'."
        )
    if precision != "auto":
        return precision
    if device.type != "cuda":
        return "float32"
    with torch.cuda.device(device):
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if has_it else "float32"


def has_room(device, n_bytes):
    """Return whether rows of so many bytes should stay on the device during a fit: on a GPU, if they fit."""
    return device.type == "cuda" and n_bytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


def hold_where_it_fits(dataset, device, net_params):
    """Hold the rows on the device if they fit, unless the user asks for what loads them from a CPU."""
    on_cpu = any(name.endswith(("num_workers", "pin_memory")) and value for name, value in net_params.items())
    if dataset.reads or on_cpu or not has_room(device, dataset.nbytes):
        return dataset
    return dataset.to(device)
