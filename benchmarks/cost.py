"""Measure what an epoch costs by rows, voxels, channels and external layers, and draw it.

    python benchmarks/cost.py

Random images and five columns, the estimator's defaults but for what is varied. Seconds are those of
`history_`, the fastest of some epochs, divided by the rows where these are not what is varied. The lines are
proportional to rows and to voxels; for the channels, to their square.
"""

import pandas as pd
import torch
from _speed import epoch_seconds, parser, save, show, threads
from matplotlib.figure import Figure

from skhyperfusion import HyperFusionClassifier

N_ROWS = 32  # where they are not varied
ROWS = (64, 128, 256, 512, 1024)
SIDES = (16, 24, 32, 48, 64)
CHANNELS = (2, 4, 8, 16)
LAYERS = {
    "none (image)": None,
    "head.*": "head.*",
    "block4 shortcut (default)": "backbone.block4.shortcut.conv",
    "block4.*": "backbone.block4.*",
    "block1.*": "backbone.block1.*",
    "all": "*",
}


def fastest_epoch(
    arguments, *, rows=N_ROWS, side=24, base_channels=4, layers="backbone.block4.shortcut.conv"
):
    """Return the seconds of the fastest epoch of a fit."""
    model = HyperFusionClassifier(
        fusion="image" if layers is None else "hyper", external_layers=layers, base_channels=base_channels
    )
    return epoch_seconds(model, rows, (side,) * 3, 1 + arguments.repeats, arguments.seed).min()


def measure(arguments):
    """Vary one thing after the other: rows of figures."""
    quick = slice(None, 3) if arguments.quick else slice(None)
    varied = {
        "rows": [({"rows": n, "side": 16}, n) for n in ROWS[quick]],
        "side": [({"side": side}, side) for side in SIDES[quick]],
        "base_channels": [({"base_channels": n}, n) for n in CHANNELS[quick]],
        "external_layers": [({"layers": layers}, name) for name, layers in LAYERS.items()],
    }
    rows = []
    for name, points in varied.items():
        for settings, value in points:
            seconds = fastest_epoch(arguments, **settings)
            per_row = 1e3 * seconds / settings.get("rows", N_ROWS)
            rows.append({"varied": name, "value": value, "epoch_s": seconds, "ms_per_row": per_row})
    return rows


def draw(rows):
    """Draw the four panels."""
    table = pd.DataFrame(rows)
    figure = Figure(figsize=(10, 7), layout="constrained")
    (by_rows, by_side), (by_channels, by_layers) = figure.subplots(2, 2)
    _curve(by_rows, table, "rows", "epoch_s", 1, "rows of 16 x 16 x 16 voxels", "seconds per epoch")
    _curve(
        by_side, table, "side", "ms_per_row", 3, "voxels of a scan's side", "milliseconds per row and epoch"
    )
    _curve(
        by_channels,
        table,
        "base_channels",
        "ms_per_row",
        2,
        "base_channels",
        "milliseconds per row and epoch",
    )
    layers = table[table["varied"] == "external_layers"]
    times = layers["epoch_s"] / layers["epoch_s"].iloc[0]
    by_layers.barh(layers["value"], times, color="0.6")
    by_layers.bar_label(by_layers.containers[0], [f" {value:.2f}" for value in times])
    by_layers.invert_yaxis()
    by_layers.margins(x=0.15)
    by_layers.set(xlabel="times the epoch without external layers")
    return figure


def _curve(ax, table, varied, measured, power, xlabel, ylabel):
    points = table[table["varied"] == varied]
    x, y = points["value"].astype(float).to_numpy(), points[measured].to_numpy()
    ax.loglog(x, y[-1] * (x / x[-1]) ** power, color="0.7", label=f"power {power}")
    ax.loglog(x, y, "o", label="measured")
    ax.set(xlabel=xlabel, ylabel=ylabel, xticks=x, xticklabels=[f"{value:g}" for value in x])
    ax.minorticks_off()
    ax.legend()


def main():
    """Measure, print the table, save it and the figure."""
    arguments = parser(__doc__.splitlines()[0], repeats=3).parse_args()
    torch.manual_seed(arguments.seed)
    with threads(arguments.threads):
        rows = measure(arguments)
    show("What an epoch costs", rows)
    save(arguments, "cost", rows)
    draw(rows).savefig(arguments.results / "cost.png", dpi=110)
    print("Drawn: cost.png")


if __name__ == "__main__":
    main()
