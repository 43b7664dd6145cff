"""How long a training will take, from its first steps, and what makes it shorter."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

import torch

#: Seconds; a training that takes longer says so.
LONG = 60.0
# Steps at the start that hold what happens once: the compiler, cuDNN's choice of kernels, memory.
_WARM_UP_STEPS = 2
# An estimate waits for as many steps and seconds after those: one step that was held up decides nothing.
_LEAST_STEPS, _LEAST_SECONDS = 3, 3.0
# A step of validation is a forward pass alone; one of training is about three of them.
_VALIDATION = 1 / 3
# An estimate that is nearer to one that was told than by this factor is no news.
_NEWS = 1.5
# Programs that want a core, for each core, from which on torch's threads wait for each other.
_CROWDED = 1.5

_told: list[float] = []  # estimates of this process, in seconds


class Pace:
    """What a training has taken so far, and what it will take in all.

    Parameters
    ----------
    n_steps, n_valid_steps : int
        Steps of an epoch: of training, and of validation after them.
    clock : callable, default=time.monotonic
        Gives seconds.

    Examples
    --------
    >>> now = iter([0.0, 30.0, 31.0, 33.0, 35.0, 37.0])  # the first step compiles
    >>> pace = Pace(10, 0, clock=lambda: next(now))
    >>> [pace.step(training=True, epochs_left=5) for _ in range(5)]
    [None, None, None, None, 127.0]
    """

    def __init__(self, n_steps: int, n_valid_steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._work_of_epoch = n_steps + _VALIDATION * n_valid_steps
        self._clock = clock
        self._start = clock()
        self._n_seen = 0
        self._work = 0.0
        self._warm: tuple[float, float] | None = None  # when the warm-up was over, and the work until then

    def step(self, *, training: bool, epochs_left: int) -> float | None:
        """Note the end of a step; return the seconds of the whole training once they can be told.

        Parameters
        ----------
        training : bool
            Or a step of validation.
        epochs_left : int
            Epochs that there were still to be at the start, this one counted.
        """
        now = self._clock()
        self._work += 1 if training else _VALIDATION
        self._n_seen += 1
        if self._n_seen == _WARM_UP_STEPS:
            self._warm = now, self._work
        if self._warm is None or self._n_seen < _WARM_UP_STEPS + _LEAST_STEPS:
            return None
        since, work = self._warm
        if now - since < _LEAST_SECONDS:
            return None
        rest = epochs_left * self._work_of_epoch - self._work
        return now - self._start + max(0.0, rest) * (now - since) / (self._work - work)


def is_news(seconds: float) -> bool:
    """Tell whether this process has not told of about as long a training yet, and note that it has now."""
    if any(max(seconds, told) < _NEWS * min(seconds, told) for told in _told):
        return False
    _told.append(seconds)
    return True


def in_words(seconds: float) -> str:
    """Return a duration in the unit that suits it.

    Examples
    --------
    >>> [in_words(s) for s in (0.514, 17.2, 95, 1740, 9000)]
    ['0.51 s', '17 s', '95 s', '29 min', '2 h 30 min']
    """
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def announcement(seconds: float, n_epochs: int, *, stops_early: bool) -> str:
    """Say how long a training will take.

    Examples
    --------
    >>> announcement(1740, 100, stops_early=True)
    'Training will take about 29 min: 100 epochs of about 17 s, fewer where it stops early.'
    """
    fewer = ", fewer where it stops early" if stops_early else ""
    epochs = f"{n_epochs} epoch{'' if n_epochs == 1 else 's'} of about {in_words(seconds / n_epochs)}"
    return f"Training will take about {in_words(seconds)}: {epochs}{fewer}."


def what_shortens(
    *,
    image_shape: tuple[int, ...] | None,
    n_rows: int,
    n_epochs: int,
    epochs_from: str,
    device: torch.device,
) -> str:
    """Say what makes a training shorter, and what each such thing is now.

    Parameters
    ----------
    image_shape : tuple of int or None
        Axes of the images that are read; None where none are.
    n_rows, n_epochs : int
        Of the training.
    epochs_from : str
        Parameter that the number of epochs comes from.
    device : torch.device
        Where it runs.

    Examples
    --------
    >>> print(what_shortens(image_shape=None, n_rows=97, n_epochs=100, epochs_from="max_epochs",
    ...                     device=torch.device("cuda")))
    That is one fit; cross-validation and searches make many. What shortens it: fewer epochs (max_epochs, now
    100). Try it on some of the rows first (now 97).
    """
    ways = []
    if image_shape is not None:
        part = {2: "a quarter", 3: "an eighth"}.get(len(image_shape), "a part")
        pixels = " x ".join(map(str, image_shape))
        ways.append(
            "smaller images (image_loader=ImageLoader(shape=...) or spacing=..., now "
            f"{pixels}; half of each axis is {part} of the work)"
        )
        ways.append("a smaller network (base_channels)")
    ways.append(f"fewer epochs ({epochs_from}, now {n_epochs})")
    if device.type == "cpu":
        here = "device='cuda'" if torch.cuda.is_available() else "a machine with a GPU"
        ways.append(f"{here} (now the CPU)")
    return (
        f"That is one fit; cross-validation and searches make many. What shortens it: {'; '.join(ways)}. "
        f"Try it on some of the rows first (now {n_rows}).{_in_a_crowd(device)}"
    )


def _in_a_crowd(device):
    """Advise on threads where other programs want the processor, too."""
    if device.type != "cpu" or torch.get_num_threads() == 1:
        return ""
    try:
        load, n_cores = os.getloadavg()[0], os.cpu_count() or 1
    except (AttributeError, OSError):  # Windows has no such number, some containers cannot tell it
        return ""
    if load < _CROWDED * n_cores:
        return ""
    return (
        f" Other programs want the processor, too (a load of {load:.1f} on {n_cores} cores), and torch's "
        "threads spin while they wait for each other: start Python with OMP_NUM_THREADS=1 in its environment."
    )


def time_to_go(seconds: float, first: float, n_done: int, n_left: int) -> str:
    """Say how long the epochs that are left will take, and all together.

    Parameters
    ----------
    seconds : float
        Taken so far.
    first : float
        Of them, those of the first epoch, which is slower than the others.
    n_done, n_left : int
        Epochs.

    Examples
    --------
    >>> time_to_go(21.0, first=5.0, n_done=5, n_left=95)
    '6 min to go of 7 min'
    >>> time_to_go(400.0, first=5.0, n_done=100, n_left=0)
    '7 min in all'
    """
    if not n_left:
        return f"{in_words(seconds)} in all"
    each = first if n_done == 1 else (seconds - first) / (n_done - 1)
    rest = each * n_left
    return f"{in_words(rest)} to go of {in_words(seconds + rest)}"


def root_in_unit(loss: float, scale: float) -> float:
    """Return the root of a mean squared error of values that were divided by `scale`, in their own unit."""
    return math.sqrt(loss) * scale
