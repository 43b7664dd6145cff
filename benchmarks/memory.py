"""Does memory grow with the number of scans? Peak memory of fits, with and without a cache on disk.

    python benchmarks/memory.py

Each fit runs in a process of its own, on generated scans and on four times as many: once with `cache_dir`,
and once, to compare, with the images kept in memory. The peak after the imports alone is printed beside it.
"""

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path

import pandas as pd
from _report import parser, told_by_process, write

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion.datasets import make_brain_cohort

GROWTH = 4


def peak_megabytes():
    """Largest resident memory that this process has had, in MB.

    Not by `getrusage` where Linux tells more: there a new process starts at the peak of the one that
    started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def fit(table, cache_dir):
    """Fit one epoch to the scans of a pickled table, and print the process's peaks before and after."""
    X = pd.read_pickle(table)
    y = X.pop("diagnosis")
    before = peak_megabytes()
    loader = ImageLoader(cache_dir=cache_dir)
    HyperFusionClassifier(image_loader=loader, base_channels=2, max_epochs=1, random_state=0).fit(X, y)
    print(json.dumps({"imports": before, "fit": peak_megabytes()}))


def measure(cohort, n_subjects, folder, *, on_disk):
    """Peak memory of a fit to the first subjects, in a fresh process."""
    table = folder / "table.pkl"
    cohort.data.assign(diagnosis=cohort.target).head(n_subjects).to_pickle(table)
    cache = ["--cache-dir", folder / f"cache{n_subjects}"] if on_disk else []
    return told_by_process(__file__, "--fit", table, *cache)


def main():
    """Measure a few and four times as many scans, on disk and in memory."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--subjects", type=int, default=30, help="the smaller number of scans")
    arguments.add_argument("--side", type=int, default=64, help="voxels of a scan's side")
    arguments.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--cache-dir", type=Path, help=argparse.SUPPRESS)
    arguments = arguments.parse_args()
    if arguments.fit:
        fit(arguments.fit, arguments.cache_dir)
        return
    few, many = arguments.subjects, GROWTH * arguments.subjects
    with tempfile.TemporaryDirectory() as folder:
        cohort = make_brain_cohort(
            many, shape=(arguments.side,) * 3, random_state=arguments.seed, directory=Path(folder, "scans")
        )
        rows = {
            (place, n): measure(cohort, n, Path(folder), on_disk=place == "cache_dir")
            for place in ("cache_dir", "memory")
            for n in (few, many)
        }
    table = pd.DataFrame(rows).T.rename_axis(["images in", "scans"])
    print(f"Peak resident memory in MB, scans of {arguments.side}^3 voxels\n{table.round(0).to_string()}")
    for place in ("cache_dir", "memory"):
        ratio = rows[place, many]["fit"] / rows[place, few]["fit"]
        print(f"{place}: {GROWTH} times as many scans, {ratio:.2f} times the memory")
    write(arguments.results, "memory", rows=table.reset_index().to_dict("records"))


if __name__ == "__main__":
    main()
