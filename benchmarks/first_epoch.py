"""Time the first reading of 1 mm scans against decoding and resampling alone, and data in later epochs.

    python benchmarks/first_epoch.py

"bare": nibabel decodes each scan and scipy resamples it, on all cores by threads; nothing is turned, scaled,
checked or kept. "ours": `ImageLoader` opens, checks, turns, resamples, standardises, and writes its cache.
Both sides take turns, each time into a fresh cache. Then a fit on the kept scans, and the part of an epoch
that goes into data.
"""

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from _speed import parser, ratios, save, show, take_turns, threads
from scipy import ndimage

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion._engine._batches import FusionDataset


def write_scans(folder, n, shape, seed):
    """Write scans of whole numbers at 1 mm, as compressible as a head in air is."""
    rng = np.random.default_rng(seed)
    at = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij", sparse=True)
    inside = sum(axis**2 for axis in at) < 0.7
    paths = []
    for i in range(n):
        voxels = (inside * rng.normal(600, 120, shape)).clip(0).astype(np.int16)
        paths.append(str(folder / f"{i}.nii.gz"))
        nib.save(nib.Nifti1Image(voxels, np.diag([-1.0, 1, 1, 1])), paths[-1])
    return paths


def decode_and_resample(paths, shape):
    """Read and shrink every scan, and do nothing else."""

    def one(path):
        voxels = np.asarray(nib.load(path).dataobj, dtype=np.float32)
        return ndimage.zoom(voxels, np.divide(shape, voxels.shape), order=1, prefilter=False)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(pool.map(one, paths)))


def read(table, shape, folder):
    """Read every scan into a fresh cache."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        ImageLoader(shape=shape, cache_dir=cache).open(table).stack()


def share_of_data(table, shape, folder, seed):
    """Return the part of an epoch that gathering batches takes, once the scans are kept."""
    loader = ImageLoader(shape=shape, cache_dir=folder / "kept")
    y = np.arange(len(table)) % 2
    model = HyperFusionClassifier(
        image_loader=loader, fusion="image", base_channels=8, max_epochs=3, random_state=seed
    ).fit(table, y)
    epoch = model.history_["seconds"].iloc[1:].mean()
    data = FusionDataset(images=loader.open(table))
    order = np.random.default_rng(seed).permutation(len(table))
    start = time.perf_counter()
    for i in range(0, len(order), model.batch_size):
        data.__getitems__(order[i : i + model.batch_size])
    return (time.perf_counter() - start) / epoch


def main():
    """Time both sides, print the table and save it."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--scans", type=int, default=500)
    arguments.add_argument("--shape", type=int, nargs=3, default=(182, 218, 182), help="voxels of a scan")
    arguments.add_argument(
        "--target", type=int, nargs=3, default=(60, 72, 60), help="voxels after resampling"
    )
    arguments = arguments.parse_args()
    n = 16 if arguments.quick else arguments.scans
    shape, target = tuple(arguments.shape), tuple(arguments.target)
    with tempfile.TemporaryDirectory() as folder, threads(arguments.threads):
        folder = Path(folder)
        paths = write_scans(folder, n, shape, arguments.seed)
        table = pd.DataFrame({"scan": paths})
        sides = {
            "bare": lambda: decode_and_resample(paths, target),
            "ours": lambda: read(table, target, folder),
        }
        medians = take_turns(sides, 2 if arguments.quick else arguments.repeats)
        row = {
            "scans": n,
            "bare_ms": 1e3 * medians["bare"][0] / n,
            "ours_ms": 1e3 * medians["ours"][0] / n,
            **ratios(medians["ours"], medians["bare"]),
            "data_share_of_epoch": share_of_data(table, target, folder, arguments.seed),
        }
    show(f"First reading, {shape} to {target}, milliseconds a scan", [row])
    save(arguments, "first_epoch", [row])


if __name__ == "__main__":
    main()
