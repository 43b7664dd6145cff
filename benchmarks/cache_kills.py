"""Kill processes at random while they fill one image cache, and count what goes wrong.

    python benchmarks/cache_kills.py

Eight processes open and read the same files by way of one `cache_dir` that is kept cold (each also deletes
cached images at random), and compare every image with what it must be. One of them after another is killed
(SIGKILL) at a random moment, and another started in its place. In the end none may be stuck, no image may
have been read wrongly, and the next run leaves no half-written file.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from skhyperfusion.images import ImageLoader

SHAPE = (48, 48, 24)


def write_images(folder, n_images):
    """Write arrays; return the table of their paths, and the images as they must be read."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(n_images):
        paths.append(str(folder / f"{i}.npy"))
        np.save(paths[-1], rng.random(SHAPE, dtype=np.float32))
    table = pd.DataFrame({"scan": paths})
    return table, ImageLoader(memory=0).open(table).stack()


def work(table, expected, cache_dir, seed, stop, n_read, n_damaged):
    """Read images at random until `stop`, and delete some of those cached."""
    draw = random.Random(seed)
    source = ImageLoader(cache_dir=cache_dir).open(table)
    while not stop.value:
        i = draw.randrange(len(table))
        if not np.array_equal(source.read([i])[0], expected[i]):
            n_damaged[seed] += 1
        n_read[seed] += 1
        if draw.random() < 0.3:
            for path in Path(cache_dir).glob(f"*/{draw.randrange(16):x}?/*.npy"):
                path.unlink(missing_ok=True)


def run(n_processes, n_kills, n_images, patience):
    """Return the counts of one trial."""
    context = multiprocessing.get_context("fork")  # the children need not import anything again
    # Without locks, those of an Event included: who is killed while it holds one keeps it from all others.
    stop = context.RawValue("b", 0)
    n_read, n_damaged = (context.RawArray("l", n_processes + n_kills) for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        table, expected = write_images(folder, n_images)
        cache_dir = folder / "cache"
        started = []

        def start():
            arguments = (table, expected, cache_dir, len(started), stop, n_read, n_damaged)
            started.append(context.Process(target=work, args=arguments))
            started[-1].start()
            return started[-1]

        alive = [start() for _ in range(n_processes)]
        draw, half_written = random.Random(0), set()
        for _ in range(n_kills):
            time.sleep(draw.uniform(0.005, 0.15))
            victim = draw.randrange(n_processes)
            os.kill(alive[victim].pid, signal.SIGKILL)
            alive[victim].join()
            half_written |= set(cache_dir.rglob("*.tmp"))
            alive[victim] = start()
        time.sleep(0.5)
        stop.value = 1
        deadline = time.monotonic() + patience
        for process in alive:
            process.join(max(0, deadline - time.monotonic()))
        stuck = [process for process in alive if process.exitcode is None]
        failed = [process for process in alive if process.exitcode not in (0, None)]
        for process in stuck:
            process.kill()
            process.join()
        last = ImageLoader(cache_dir=cache_dir).open(table).stack()  # the next run
        return {
            "images read": sum(n_read),
            "processes killed": n_kills,
            "half-written files seen": len(half_written),
            "read wrongly": sum(n_damaged) + int((last != expected).any()),
            "stuck": len(stuck),
            "failed": len(failed),
            "orphaned files": len(list(cache_dir.rglob("*.tmp"))),
        }


def main():
    """Run one trial and print the counts; the exit status is 1 where something went wrong."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--processes", type=int, default=8)
    arguments.add_argument("--kills", type=int, default=100)
    arguments.add_argument("--images", type=int, default=40)
    arguments.add_argument("--patience", type=float, default=120, help="seconds after which one is stuck")
    given = arguments.parse_args()
    counts = run(given.processes, given.kills, given.images, given.patience)
    for name, count in counts.items():
        print(f"{name:<25}{count:>8}")
    sys.exit(any(counts[name] for name in ("read wrongly", "stuck", "failed", "orphaned files")))


if __name__ == "__main__":
    main()
