"""Draw README's picture: the same heads, read with one pixel size after another.

    python docs/make_reading_picture.py

Two networks are fitted on 240 generated pictures (`make_head_pictures`). For three heads that neither has
seen, the size of a pixel in the table is varied and the picture kept: what the networks then say, beside the
truth, which is a line through the origin with the head's circumference in pixels as its slope.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from skhyperfusion import HyperFusionRegressor
from skhyperfusion.datasets import make_head_pictures
from skhyperfusion.inspection import conditioning_profile

TARGET = Path(__file__).parent / "_static" / "reading.png"
COLORS = ["#0072B2", "#E69F00", "#009E73"]  # Okabe and Ito's, told apart by everyone
TITLES = {"hyper": "the table generates weights", "concat": "the table is appended"}


def main():
    """Fit both networks, vary the column, draw."""
    cohort = make_head_pictures(240, random_state=0)
    unseen = make_head_pictures(60, noise=0.0, random_state=1)
    order = unseen.truth["half_axis_pixels"].argsort().to_numpy()
    heads = [order[3], order[30], order[-4]]
    grid = np.linspace(cohort.data["pixel_mm"].min(), cohort.data["pixel_mm"].max(), 25)

    figure = plt.figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 3.4])
    for axes, row, color in zip(left.subplots(3, 1), heads, COLORS, strict=True):
        axes.imshow(Image.open(unseen.data["picture"].iloc[row]), cmap="gray")
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(edgecolor=color, linewidth=3)
    for axes, fusion in zip(right.subplots(1, 2, sharey=True), ["hyper", "concat"], strict=True):
        model = HyperFusionRegressor(fusion=fusion, base_channels=4, max_epochs=20, random_state=0)
        model.fit(cohort.data, cohort.target)
        profile = conditioning_profile(model, unseen.data.iloc[heads], "pixel_mm", grid=grid)
        for k, (row, color) in enumerate(zip(heads, COLORS, strict=True)):
            axes.plot(
                grid, unseen.truth["circumference_pixels"].iloc[row] * grid, "--", color=color, linewidth=1
            )
            axes.plot(grid, np.squeeze(profile["values"][k]), color=color, linewidth=2.5)
        axes.set(title=f'fusion="{fusion}": {TITLES[fusion]}', xlabel="size of a pixel in the table, mm")
        axes.spines[["top", "right"]].set_visible(False)
    right.axes[0].set_ylabel("circumference, mm")
    right.axes[0].plot([], [], color="0.3", linewidth=2.5, label="the network")
    right.axes[0].plot([], [], "--", color="0.3", linewidth=1, label="the truth")
    right.axes[0].legend(frameon=False)
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=110, facecolor="white")


if __name__ == "__main__":
    main()
