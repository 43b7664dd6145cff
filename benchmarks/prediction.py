"""Time `predict` on kept scans against a bare loop of forward passes, and its memory against the rows.

    python benchmarks/prediction.py

The loop has the finished tensors, and gives the network 16 at a time in float32. `predict` checks its
rows, encodes the table, and computes so that a row's prediction does not depend on the other rows. The
peak memory is that of processes of their own, on some scans and on four times as many, with a cache on
disk.
"""

import argparse
import json
import tempfile
from pathlib import Path

import joblib
import pandas as pd
import torch
from _report import told_by_process
from _speed import parser, ratios, save, show, take_turns, threads
from memory import peak_megabytes

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.nn._layout import lay_out_images, suits_channels_last

GROWTH = 4
BATCH = 16


def forward_loop(model, images, table):
    """Predict by hand, from tensors."""
    module = model.module_.eval()
    last = suits_channels_last(module)
    with torch.no_grad():
        parts = [
            module(lay_out_images(image, last=last), row)
            for image, row in zip(images.split(BATCH), table.split(BATCH), strict=True)
        ]
    return torch.cat(parts).argmax(1)


def predict_alone(model, table):
    """Predict in this process, and print its peak memory."""
    joblib.load(model).predict(pd.read_pickle(table))
    print(json.dumps(peak_megabytes()))


def peak(model, table, folder):
    """Peak memory in MB of a process that predicts the rows of a table."""
    path = folder / "rows.pkl"
    table.to_pickle(path)
    return told_by_process(__file__, "--model", folder / model, "--rows", path)


def measure(n, side, repeats, seed, folder):
    """Time both ways on scans of one size; return a row of figures."""
    cohort = make_brain_cohort(n, shape=(side,) * 3, random_state=seed, directory=folder / "scans")
    X, y = cohort.data, cohort.target
    model = HyperFusionClassifier(base_channels=8, max_epochs=1, random_state=seed).fit(X, y)
    inputs, _ = model._encode_rows(X, torch.float32).__getitems__(range(n))
    images, table = inputs["image"][:, 0], inputs["tabular"]
    found = model.classes_[forward_loop(model, images, table)]
    assert (found == model.predict(X)).all()
    ways = {"loop": lambda: forward_loop(model, images, table), "predict": lambda: model.predict(X)}
    medians = take_turns(ways, repeats)
    few = n // GROWTH
    model.set_params(image_loader=ImageLoader(cache_dir=folder / "cache")).fit(X, y)
    joblib.dump(model, folder / "model")
    return {
        "scans": n,
        "side": side,
        "loop_ms": 1e3 * medians["loop"][0] / n,
        "predict_ms": 1e3 * medians["predict"][0] / n,
        **ratios(medians["predict"], medians["loop"]),
        f"mb_of_{few}": peak("model", X.head(few), folder),
        f"mb_of_{n}": peak("model", X, folder),
    }


def main():
    """Time both sides, measure the memory, print the table and save it."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--scans", type=int, default=1000)
    arguments.add_argument(
        "--sides", type=int, nargs="+", default=[32, 64], help="voxels of the scans' sides"
    )
    arguments.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    arguments = arguments.parse_args()
    if arguments.model:
        predict_alone(arguments.model, arguments.rows)
        return
    n = 80 if arguments.quick else arguments.scans
    repeats = 2 if arguments.quick else arguments.repeats
    rows = []
    for side in arguments.sides:
        with tempfile.TemporaryDirectory() as folder, threads(arguments.threads):
            rows.append(measure(n, side, repeats, arguments.seed, Path(folder)))
        show("Prediction of kept scans, milliseconds a scan", rows)
    save(arguments, "prediction", rows)


if __name__ == "__main__":
    main()
