"""Put the estimators under load, and see whether memory, file handles, threads or files are left behind.

    python benchmarks/load.py

Three loads: one table of many rows; a cold, then a warm cache of many volumes; many fits in one process. The
memory of the process is noted after each fit: from the tenth on it must be flat, that is rise by less than
`--slope` kB a fit (least squares). The exit status is 1 where something is left behind.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from skhyperfusion import HyperFusionClassifier
from skhyperfusion.images import ImageLoader


def resident():
    """Return the kB of memory that the process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def state():
    """Count what a fit might leave behind."""
    return {
        "file handles": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),  # those of torch and BLAS, too
        "temporary files": sum(len(files) for _, _, files in os.walk(tempfile.gettempdir())),
    }


def write_images(folder, n, shape):
    """Write images that differ in their first voxel, and return a table of their paths."""
    folder.mkdir()
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    paths = [str(folder / f"{i}.npy") for i in range(n)]
    for i, path in enumerate(paths):
        image.flat[0] = i
        np.save(path, image)
    return pd.DataFrame({"scan": paths})


def make_table(n_rows, images, seed=0):
    """Return rows with gaps and categories, and labels that depend on them."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({f"number{i}": rng.normal(size=n_rows) for i in range(3)})
    X[rng.random(X.shape) < 0.1] = np.nan
    X["site"] = rng.choice(["Ulm", "Bonn", "Kiel"], n_rows)
    if images is not None:
        X["scan"] = [images["scan"].iloc[i % len(images)] for i in range(n_rows)]
    return X, np.where(X["number0"].fillna(0) + rng.normal(size=n_rows) > 0, "ill", "well")


def many_rows(n_rows):
    """Fit and predict a table of many rows, without images: (seconds, MB)."""
    X, y = make_table(n_rows, None)
    before, start = resident(), time.perf_counter()
    model = HyperFusionClassifier(fusion="tabular", max_epochs=2, batch_size=1024, random_state=0).fit(X, y)
    assert len(model.predict(X)) == n_rows
    return time.perf_counter() - start, (resident() - before) / 1024


def many_volumes(folder, n_volumes, shape):
    """Read many volumes by way of a cache, cold and warm: seconds of each."""
    table = write_images(folder / "scans", n_volumes, shape)
    seconds = []
    for _ in ("cold", "warm"):
        start = time.perf_counter()
        stack = ImageLoader(intensity=None, cache_dir=folder / "cache", memory=0).open(table).stack()
        assert (stack[:, 0, 0, 0, 0, 0] == np.arange(n_volumes)).all()
        seconds.append(time.perf_counter() - start)
    assert not list((folder / "cache").rglob("*.tmp"))
    return seconds


def many_fits(folder, n_fits):
    """Fit again and again: the kB held after each, and what is left behind from the tenth on."""
    X, y = make_table(24, write_images(folder / "few", 24, (6, 6)))
    held, at_tenth = [], None
    for i in range(n_fits):
        model = HyperFusionClassifier(base_channels=2, max_epochs=1, random_state=i).fit(X, y)
        model.predict(X)
        gc.collect()
        held.append(resident())
        if i == min(9, n_fits // 2):
            at_tenth = state()
    left = {name: count - at_tenth[name] for name, count in state().items()}
    return np.array(held), left


def main():
    """Print the figures; the exit status is 1 where something is left behind."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, default=100_000)
    arguments.add_argument("--volumes", type=int, default=10_000)
    arguments.add_argument("--fits", type=int, default=200)
    arguments.add_argument("--slope", type=float, default=20.0, help="kB a fit that count as flat")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        os.environ["TMPDIR"] = str(folder / "temporary")
        (folder / "temporary").mkdir()
        tempfile.tempdir = None  # asked for again
        held, left = many_fits(folder, given.fits)
        flat = held[min(9, given.fits // 2) :]
        slope = np.polyfit(np.arange(len(flat)), flat, 1)[0]
        print(f"fits                     {given.fits:>10}")
        print(f"MB after the tenth       {flat[0] / 1024:>10.1f}")
        print(f"MB after the last        {flat[-1] / 1024:>10.1f}")
        print(f"kB a fit                 {slope:>10.2f}")
        for name, count in left.items():
            print(f"{name + ' left':<25}{count:>10}")
        seconds, megabytes = many_rows(given.rows)
        print(f"rows                     {given.rows:>10}")
        print(f"seconds                  {seconds:>10.1f}")
        print(f"MB more                  {megabytes:>10.1f}")
        cold, warm = many_volumes(folder, given.volumes, (8, 8, 8))
        print(f"volumes                  {given.volumes:>10}")
        print(f"seconds, cold cache      {cold:>10.1f}")
        print(f"seconds, warm cache      {warm:>10.1f}")
    sys.exit(int(slope > given.slope or any(count > 0 for count in left.values())))


if __name__ == "__main__":
    main()
