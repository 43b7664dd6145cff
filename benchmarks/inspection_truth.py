"""Does inspection find the truth of generated cohorts? Shares of attribution by structure, effects, errors.

    python benchmarks/inspection_truth.py --subjects 400 --size 24 --epochs 40

The brains' diagnosis depends on hippocampi and ventricles alone; with ``interaction=1`` a small hippocampus
tells of the disease in carriers of an APOE4 allele alone, and large ventricles in women alone. The heads'
circumference is that of the outline in pixels times the size of a pixel, which stands in the table.
"""

import argparse

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion.datasets import make_brain_cohort, make_head_pictures
from skhyperfusion.datasets._phantom import WHITE, Anatomy, draw_folds, grid_of, render
from skhyperfusion.inspection import conditioning_profile, image_attribution, weight_modulation

TABLE = ["t1w", "age", "sex", "education", "apoe4", "handedness", "scanner"]
N_EXPLAINED = 24


def phantom(shape, **changed):
    """Draw the average head without noise."""
    anatomy = {
        "size": np.ones(3), "rotation": np.zeros(3), "shift": np.zeros(3), "ventricles": 1.0,
        "hippocampi": 1.0, "sylvian": 1.0, "thickness": 3.4, "sulci": 1.3, "white": WHITE,
        "folds": draw_folds(np.random.default_rng(4)), "bias": np.zeros(6), "gain": 1.0, "noise": 0.0,
    }  # fmt: skip
    volume = render(Anatomy(**anatomy | changed), shape, grid_of(shape), np.random.default_rng(0))
    return volume.astype(float)


def structures(shape):
    """Where the picture changes with each of the two, one voxel wider, and where the head is: masks."""

    def where(change):
        moved = np.abs(phantom(shape, **change(1.0)) - phantom(shape, **change(-1.0)))
        return binary_dilation(moved > 20)

    hippocampi = where(lambda z: {"hippocampi": np.exp(-0.28 * z), "sylvian": np.exp(0.25 * z)})
    ventricles = where(lambda z: {"ventricles": np.exp(0.28 * z)})
    return hippocampi, ventricles & ~hippocampi, binary_dilation(phantom(shape) > 60)


def density(map, mask, head):
    """Mean absolute value in a structure, in those of the rest of the head."""
    return map[mask].mean() / map[head & ~mask].mean()


def brains(n_subjects, size, epochs, base_channels):
    """Fit the diagnosis, and print where the attribution lies."""
    shape = (size,) * 3
    cohort = make_brain_cohort(
        n_subjects + 100, shape=shape, n_classes=2, missing_rate=None, image_noise=0.01,
        anatomy_variation=0.3, random_state=0,
    )  # fmt: skip
    X, y = cohort.data[TABLE], cohort.target
    train, test = slice(n_subjects), slice(n_subjects, None)
    model = HyperFusionClassifier(base_channels=base_channels, max_epochs=epochs, random_state=0)
    model.fit(X[train], y[train])
    print(f"brains: accuracy {model.score(X[test], y[test]):.2f}, best {cohort.best_score['accuracy']:.2f}")
    hippocampi, ventricles, head = structures(shape)
    both = hippocampi | ventricles
    print(f"  the structures have {both.sum() / head.sum():.2f} of the head's voxels")
    rows = X[test].iloc[:N_EXPLAINED]
    for against in (None, {"sex": "M"}, {"apoe4": 0}):
        chosen = rows
        if against == {"sex": "M"}:
            chosen = rows[rows["sex"] == "F"]
        elif against == {"apoe4": 0}:
            chosen = rows[rows["apoe4"] > 0]
        found = image_attribution(model, chosen, target="AD", baseline=X[train], against=against)
        map = np.mean([np.abs(one.get_fdata()) for one in found.values["t1w"]], axis=0)
        print(
            f"  against {against}: {map[both].sum() / map[head].sum():.2f} of the mass in the structures; "
            f"density against the rest: hippocampi {density(map, hippocampi, head):.1f}, "
            f"ventricles {density(map, ventricles, head):.1f}"
        )
    modulation = weight_modulation(model, X[test], random_state=0)
    print("  interaction by column:", modulation.interaction.iloc[0].round(2).to_dict())


def heads(n_pictures, epochs):
    """Fit the circumference, and print where the attribution lies, and how the profile errs."""
    cohort = make_head_pictures(n_pictures + 50, shape=(24, 32), random_state=0)
    X, y = cohort.data, cohort.target
    train, test = slice(n_pictures), slice(n_pictures, None)
    model = HyperFusionRegressor(base_channels=8, max_epochs=epochs, random_state=0).fit(X[train], y[train])
    print(f"heads: r2 {model.score(X[test], y[test]):.3f}")
    found = image_attribution(model, X[test], baseline=X[train])
    shares, sizes = [], []
    for path, map in zip(X["picture"][test], found.values["picture"], strict=True):
        voxels = np.asarray(Image.open(path)).astype(float)
        outline = binary_dilation(voxels > 0.7 * np.quantile(voxels, 0.99))
        shares.append(np.abs(map[outline]).sum() / np.abs(map).sum())
        sizes.append(outline.mean())
    print(f"  {np.mean(shares):.2f} of the mass on the outline, which has {np.mean(sizes):.2f} of the pixels")
    low, high = X["pixel_mm"].quantile([0.1, 0.9])
    profile = conditioning_profile(model, X[test], "pixel_mm", grid=np.linspace(low, high, 5))
    truth = cohort.truth["circumference_pixels"].to_numpy()[test, None] * np.array(profile.grid)
    error = np.abs(profile.values[:, :, 0] - truth).mean() / truth.mean()
    print(f"  profiles of single rows err by {error:.1%} of the circumference")
    modulation = weight_modulation(model, X[test], random_state=0)
    print("  interaction by column:", modulation.interaction.iloc[0].round(2).to_dict())


def main():
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=400)
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--base-channels", type=int, default=4)
    arguments = parser.parse_args()
    heads(arguments.subjects, arguments.epochs)
    brains(arguments.subjects, arguments.size, arguments.epochs, arguments.base_channels)


if __name__ == "__main__":
    main()
