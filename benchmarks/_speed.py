"""What the benchmarks of speed share: alternating repeats, a table on the screen, and a JSON file."""

import argparse
import contextlib
import os
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _report import RESULTS, write


def parser(description, repeats=5):
    """Arguments that every benchmark of speed has."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--quick", action="store_true", help="few repeats and small sizes")
    arguments.add_argument("--repeats", type=int, default=repeats, help="turns of each side")
    arguments.add_argument("--threads", type=int, default=os.cpu_count(), help="torch's threads")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--results", type=Path, default=RESULTS, help="folder of what is written")
    return arguments


@contextlib.contextmanager
def threads(n):
    """Let torch use `n` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def clock(function):
    """Call a function; return the seconds on the clock, and of the processor (all threads together)."""
    wall, processor = time.perf_counter(), time.process_time()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - processor


def fastest(function, repeats=20):
    """Return the seconds on the clock of the fastest call."""
    return min(clock(function)[0] for _ in range(repeats))


def epoch_seconds(estimator, n_rows, shape, n_epochs, seed=0):
    """Return the seconds of each epoch but the first of a fit on random rows: Series (n_epochs - 1,).

    The rows hold five columns, and an image of `shape` unless that is empty; the target is 0 and 1 in turns.
    """
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n_rows, 5)), columns=list("abcde"))
    if shape:
        X.insert(0, "scan", list(rng.normal(size=(n_rows, *shape)).astype(np.float32)))
    estimator.set_params(max_epochs=n_epochs, early_stopping=False, random_state=seed)
    return estimator.fit(X, np.arange(n_rows) % 2).history_["seconds"].iloc[1:]


def take_turns(functions, repeats, warm_up=1, least=0.0):
    """Time functions in turns: name -> (seconds on the clock, seconds of the processor) of a call, medians.

    In turns, since a machine is not equally fast at all times; a turn lasts `least` seconds, or one call,
    so that a short function is not timed on the caches as the one before it left them. On one thread the
    processor's seconds say the same as the clock where the machine is idle, and more where others work on it.
    """
    taken = {name: [] for name in functions}
    for i in range(warm_up + repeats):
        for name, function in functions.items():
            calls = [clock(function)]
            while sum(wall for wall, _ in calls) < least:
                calls.append(clock(function))
            if i >= warm_up:
                taken[name].append(tuple(map(statistics.fmean, zip(*calls, strict=True))))
    return {name: tuple(map(statistics.median, zip(*every, strict=True))) for name, every in taken.items()}


def ratios(seconds, other):
    """Compare two pairs of `take_turns`: the columns "times" and "times_processor" of a table."""
    return {"times": seconds[0] / other[0], "times_processor": seconds[1] / other[1]}


def show(title, rows):
    """Print rows of figures as a table."""
    print(
        f"\n{title}\n{pd.DataFrame(rows).to_string(index=False, float_format=lambda v: f'{v:.3g}')}",
        flush=True,
    )


def save(arguments, name, rows, **more):
    """Write rows of figures, and what they were measured with."""
    given = {key: value for key, value in vars(arguments).items() if key != "results"}
    path = write(arguments.results, name, arguments=given, rows=rows, **more)
    print(f"Written: {path.name} in {path.parent.name}/")
