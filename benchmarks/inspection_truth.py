"""Does inspection find the truth of generated cohorts? Shares of attribution by structure, effects, errors.

    python benchmarks/inspection_truth.py --subjects 300 --epochs 25

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
from skhyperfusion.images import ImageLoader
from skhyperfusion.inspection import conditioning_profile, image_attribution, weight_modulation

TABLE = ["t1w", "age", "sex", "education", "apoe4"]
SHAPE = (32, 32, 32)
BOX = ((8, 24), (7, 24), (10, 25))  # what the network sees: the middle of the brain


def phantom(**changed):
    """Draw the average head without noise."""
    anatomy = {
        "size": np.ones(3), "rotation": np.zeros(3), "shift": np.zeros(3), "ventricles": 1.0,
        "hippocampi": 1.0, "sylvian": 1.0, "thickness": 3.4, "sulci": 1.3, "white": WHITE,
        "folds": draw_folds(np.random.default_rng(4)), "bias": np.zeros(6), "gain": 1.0, "noise": 0.0,
    }  # fmt: skip
    volume = render(Anatomy(**anatomy | changed), SHAPE, grid_of(SHAPE), np.random.default_rng(0))
    return volume.astype(float)


def structures():
    """Where the picture changes with each of the two, one voxel wider: masks of hippocampi and ventricles."""

    def where(change):
        moved = np.abs(phantom(**change(1.0)) - phantom(**change(-1.0)))
        return binary_dilation(moved > 20)

    hippocampi = where(lambda z: {"hippocampi": np.exp(-0.28 * z), "sylvian": np.exp(0.25 * z)})
    return hippocampi, where(lambda z: {"ventricles": np.exp(0.28 * z)}) & ~hippocampi


def fit_brains(n_subjects, epochs):
    """Return data, target, the best accuracy there is, and a model of the first subjects' diagnosis."""
    cohort = make_brain_cohort(
        n_subjects + 100, shape=SHAPE, n_classes=2, missing_rate=None, image_noise=0.01,
        anatomy_variation=0.3, random_state=0,
    )  # fmt: skip
    X, y = cohort.data[TABLE], cohort.target
    model = HyperFusionClassifier(
        image_loader=ImageLoader(crop=BOX), base_channels=4, max_epochs=epochs, augmentation=None,
        random_state=0,
    )  # fmt: skip
    return X, y, cohort.best_score["accuracy"], model.fit(X[:n_subjects], y[:n_subjects])


def mean_map(model, rows, reference, against=None):
    """Mean absolute value of the maps of some rows, against the mean scan of others."""
    found = image_attribution(model, rows, target="AD", baseline=reference, against=against)
    return np.mean([np.abs(one.get_fdata()) for one in found.values["t1w"]], axis=0)


def brains(n_subjects, epochs):
    """Fit the diagnosis, and print where the attribution lies."""
    X, y, best, model = fit_brains(n_subjects, epochs)
    test = X[n_subjects:]
    print(f"brains: accuracy {model.score(test, y[n_subjects:]):.2f}, best {best:.2f}")
    hippocampi, ventricles = structures()
    both = hippocampi | ventricles
    head, seen = binary_dilation(phantom() > 60), np.zeros(SHAPE, dtype=bool)
    seen[tuple(slice(*pair) for pair in BOX)] = True
    print(f"  the structures have {both.sum() / head.sum():.2f} of the head's voxels,", end=" ")
    print(f"and {(both & seen).sum() / seen.sum():.2f} of those that the network sees")
    rows = test.iloc[:40]
    women, carriers = rows[rows["sex"] == "F"], rows[rows["apoe4"] > 0]
    for chosen, against in ((rows, None), (women, {"sex": "M"}), (carriers, {"apoe4": 0})):
        map = mean_map(model, chosen, X[:n_subjects], against)
        print(
            f"  against {against}: {map[both].sum() / map.sum():.2f} of the mass in the structures "
            f"({map[hippocampi].sum() / map.sum():.2f} hippocampi, {map[ventricles].sum() / map.sum():.2f} "
            "ventricles)"
        )
    modulation = weight_modulation(model, test, random_state=0)
    print("  interaction by column:", modulation.interaction.iloc[0].round(2).to_dict())


def fit_heads(n_pictures, epochs):
    """Return the cohort, and a model of the first pictures' circumference."""
    cohort = make_head_pictures(n_pictures + 50, shape=(24, 32), random_state=0)
    model = HyperFusionRegressor(base_channels=8, max_epochs=epochs, random_state=0)
    return cohort, model.fit(cohort.data[:n_pictures], cohort.target[:n_pictures])


def on_outline(model, rows, reference):
    """Share of the attribution's mass on the outline, and share of the pixels that it has."""
    found = image_attribution(model, rows, baseline=reference)
    shares, sizes = [], []
    for path, map in zip(rows["picture"], found.values["picture"], strict=True):
        voxels = np.asarray(Image.open(path)).astype(float)
        outline = binary_dilation(voxels > 0.7 * np.quantile(voxels, 0.99))
        shares.append(np.abs(map[outline]).sum() / np.abs(map).sum())
        sizes.append(outline.mean())
    return np.mean(shares), np.mean(sizes)


def error_of_profiles(model, cohort, rows):
    """Mean absolute error of single rows' profiles of the pixel size, as a part of the circumference."""
    sizes = cohort.data["pixel_mm"]
    grid = np.linspace(*sizes.quantile([0.1, 0.9]), 5)
    profile = conditioning_profile(model, cohort.data[rows], "pixel_mm", grid=grid)
    truth = cohort.truth["circumference_pixels"].to_numpy()[rows, None] * grid
    return np.abs(profile.values[:, :, 0] - truth).mean() / truth.mean()


def heads(n_pictures, epochs):
    """Fit the circumference, and print where the attribution lies, and how the profiles err."""
    cohort, model = fit_heads(n_pictures, epochs)
    test = slice(n_pictures, None)
    print(f"heads: r2 {model.score(cohort.data[test], cohort.target[test]):.3f}")
    share, size = on_outline(model, cohort.data[test], cohort.data[:n_pictures])
    print(f"  {share:.2f} of the mass on the outline, which has {size:.2f} of the pixels")
    print(f"  profiles of single rows err by {error_of_profiles(model, cohort, test):.1%}")
    modulation = weight_modulation(model, cohort.data[test], random_state=0)
    print("  interaction by column:", modulation.interaction.iloc[0].round(2).to_dict())


def main():
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=25)
    arguments = parser.parse_args()
    heads(arguments.subjects, arguments.epochs)
    brains(arguments.subjects, arguments.epochs)


if __name__ == "__main__":
    main()
