"""Generated pictures of heads whose size in mm stands half in the picture and half in the table."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import ellipe
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.utils import check_random_state

from skhyperfusion._typing import PathLike, Seed
from skhyperfusion.datasets._bunch import Cohort
from skhyperfusion.datasets._files import describe, place

NAME = "make_head_pictures"
# Half the long axis, as a part of the shorter side of the picture; the short axis, as a part of the long one.
HALF_AXIS, CEPHALIC_INDEX = (0.2, 0.42), (0.7, 0.9)
# mm a pixel in a picture whose shorter side has 40 pixels: circumferences of some 55 to 340 mm.
PIXEL_MM, REFERENCE_SIDE = (1.2, 3.6), 40
SKULL, BRAIN, OUTSIDE = 0.85, 0.4, 0.15
SKULL_PIXELS = 1.2


def make_head_pictures(
    n_pictures: int = 200,
    *,
    shape: Sequence[int] = (40, 54),
    noise: float = 2.0,
    image_noise: float = 0.25,
    random_state: Seed = None,
    directory: PathLike | None = None,
) -> Cohort:
    """Generate ultrasound-like pictures of heads, and a table that holds the size of their pixels.

    The circumference of a head in mm is what the picture shows times the size of a pixel, which stands in
    the table: the same picture means another length in another row. That is the structure of the HC18
    data, and the plainest case in which a table changes what an image means.

    Parameters
    ----------
    n_pictures : int, default=200
        Number of pictures.
    shape : tuple of two int, default=(40, 54)
        Pixels along y and x, at least 16 each.
    noise : float, default=2.0
        Standard deviation of the measured circumference about the true one, in mm.
    image_noise : float, default=0.25
        Standard deviation of the speckle, as a part of the signal.
    random_state : int, RandomState instance or None, default=None
        Same int, same files. None: NumPy's global state.
    directory : str, path-like or None, default=None
        Folder to write to; new, empty, or of an earlier call, which is replaced. None: a temporary folder
        that is removed when the interpreter ends.

    Returns
    -------
    cohort : Cohort
        A Bunch with

        - frame : DataFrame, `data` and the target; index `picture_id`.
        - data : DataFrame, the column "picture" of paths of PNG files (str); `pixel_mm`, the size of a pixel;
          `gain` and `operator`, which tell nothing of the head.
        - target : Series, the measured head circumference in mm.
        - truth : DataFrame, `circumference_mm`, `circumference_pixels`, `half_axis_pixels` (the longer one).
        - best_score : dict, mean_absolute_error and r2 of the true circumference.
        - directory : str.
        - DESCR : str.

    Raises
    ------
    ValueError
        If a parameter is not as stated.
    FileExistsError
        If `directory` holds files that this function did not write.

    References
    ----------
    T. L. A. van den Heuvel et al., "Automated measurement of fetal head circumference using 2D ultrasound
    images", PLoS ONE 13(8), 2018: the data whose structure this has.

    Examples
    --------
    >>> from skhyperfusion.datasets import make_head_pictures
    >>> cohort = make_head_pictures(5, random_state=0)
    >>> cohort.data.columns.tolist()
    ['picture', 'pixel_mm', 'gain', 'operator']
    >>> round(cohort.target.iloc[0]), round(cohort.truth["circumference_mm"].iloc[0])
    (213, 212)
    """
    _check(n_pictures, shape, noise, image_noise)
    rng = check_random_state(random_state)
    side = min(shape)
    half = rng.uniform(*HALF_AXIS, n_pictures) * side
    short = half * rng.uniform(*CEPHALIC_INDEX, n_pictures)
    pixel = np.exp(rng.uniform(*np.log(PIXEL_MM), n_pictures)) * REFERENCE_SIDE / side
    angle = rng.uniform(-0.5, 0.5, n_pictures)
    centre = np.asarray(shape) / 2 + rng.uniform(-0.05, 0.05, (n_pictures, 2)) * side
    gain = rng.uniform(0.7, 1.1, n_pictures)
    in_pixels = 4 * half * ellipe(1 - (short / half) ** 2)
    truth = in_pixels * pixel

    width = max(3, len(str(n_pictures)))
    index = pd.Index([f"pic-{i + 1:0{width}d}" for i in range(n_pictures)], name="picture_id")
    data = pd.DataFrame(
        {"pixel_mm": pixel, "gain": gain, "operator": rng.choice(["ann", "bo", "cem"], n_pictures)}, index
    )
    target = pd.Series(truth + noise * rng.standard_normal(n_pictures), index, name="head_circumference")
    pictures = [
        _draw(shape, *parameters, image_noise, rng)
        for parameters in zip(centre, half, short, angle, gain, strict=True)
    ]
    folder = place(directory, NAME, "pic-*")
    data.insert(0, "picture", _write(folder, index, pictures))
    describe(folder, "Generated pictures of heads", NAME)
    frame = data.assign(**{target.name: target})
    frame.drop(columns="picture").to_csv(folder / "pictures.csv")
    score = {"mean_absolute_error": float(mean_absolute_error(target, truth))}
    if n_pictures > 1:
        score["r2"] = float(r2_score(target, truth))
    return Cohort(
        frame=frame,
        data=data,
        target=target,
        truth=pd.DataFrame(
            {"circumference_mm": truth, "circumference_pixels": in_pixels, "half_axis_pixels": half}, index
        ),
        best_score=score,
        directory=str(folder),
        DESCR=make_head_pictures.__doc__,
    )


def _check(n_pictures, shape, noise, image_noise):
    if not isinstance(n_pictures, Integral) or isinstance(n_pictures, bool) or n_pictures < 1:
        raise ValueError(_text("n_pictures", "an integer of at least 1", n_pictures))
    if not (
        np.iterable(shape) and len(shape) == 2 and all(isinstance(s, Integral) and s >= 16 for s in shape)
    ):
        raise ValueError(_text("shape", "two integers of at least 16", shape))
    for name, value in {"noise": noise, "image_noise": image_noise}.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < np.inf:
            raise ValueError(_text(name, "a number of at least 0", value))


def _text(name, wanted, got):
    return f"The {name!r} parameter of {NAME} must be {wanted}. Got {got!r} instead."


def _draw(shape, centre, half, short, angle, gain, image_noise, rng):
    """Draw a bright ellipse around a grey inside, under speckle: uint8 of `shape`."""
    y, x = np.indices(shape) + 0.5 - centre[:, None, None]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    # Of the ellipse's own scale: 1 on the outline; times the mean half axis, near it, about a distance.
    distance = (np.hypot(along / half, across / short) - 1) * np.sqrt(half * short)
    inside = 1 / (1 + np.exp(np.clip(distance / 0.5, -50, 50)))
    skull = np.exp(-((distance / SKULL_PIXELS) ** 2))
    signal = OUTSIDE + (BRAIN - OUTSIDE) * inside + (SKULL - BRAIN) * skull
    signal = signal * gain * (1 + image_noise * rng.standard_normal(shape))
    return np.clip(255 * signal, 0, 255).astype(np.uint8)


def _write(folder, names, pictures):
    paths = [str(folder / f"{name}.png") for name in names]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    return paths
