"""Generated pictures of heads: the truth is in the files, and every parameter tells."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skhyperfusion.datasets import make_brain_cohort, make_head_pictures


def pictures(cohort):
    return np.stack([np.asarray(Image.open(path)) for path in cohort.data["picture"]])


def test_circumference_when_measured_in_the_picture_is_the_true_one():
    cohort = make_head_pictures(6, shape=(120, 160), image_noise=0.0, random_state=0)
    y, x = np.indices((120, 160)) + 0.5
    for picture, pixels, half in zip(
        pictures(cohort), cohort.truth["circumference_pixels"], cohort.truth["half_axis_pixels"], strict=True
    ):
        skull = picture > 0.8 * picture.max()
        points = np.c_[x[skull], y[skull]]
        points = points - points.mean(axis=0)
        # For points along an ellipse the mean squares along its axes are about half their squares.
        axes = np.sqrt(2 * np.linalg.eigvalsh(np.cov(points.T)))
        assert axes[1] == pytest.approx(half, rel=0.08)
        assert 2 * np.pi * np.sqrt((axes**2).mean()) == pytest.approx(pixels, rel=0.08)


def test_target_is_pixels_times_their_size_and_noise():
    cohort = make_head_pictures(400, noise=3.0, random_state=0)
    product = cohort.truth["circumference_pixels"] * cohort.data["pixel_mm"]
    np.testing.assert_allclose(product, cohort.truth["circumference_mm"])
    assert (cohort.target - product).std() == pytest.approx(3, rel=0.1)
    assert cohort.best_score["mean_absolute_error"] == pytest.approx(3 * np.sqrt(2 / np.pi), rel=0.1)
    assert cohort.target.between(40, 360).all()


def test_same_seed_writes_the_same_files():
    one, two = (make_head_pictures(3, random_state=4) for _ in range(2))
    assert (pictures(one) == pictures(two)).all()
    assert one.target.equals(two.target)
    assert not (pictures(one) == pictures(make_head_pictures(3, random_state=5))).all()


def test_parameters_of_the_picture_tell():
    plain = make_head_pictures(3, image_noise=0.0, random_state=0)
    noisy = make_head_pictures(3, image_noise=0.5, random_state=0)
    assert pictures(noisy).std() > 1.2 * pictures(plain).std()
    assert pictures(make_head_pictures(2, shape=(20, 32), random_state=0)).shape == (2, 20, 32)


def test_directory_when_of_an_earlier_call_is_replaced(tmp_path):
    make_head_pictures(5, directory=tmp_path, random_state=0)
    cohort = make_head_pictures(2, directory=tmp_path, random_state=0)
    assert len(list(tmp_path.glob("pic-*"))) == 2
    assert all(Path(path).is_relative_to(tmp_path) for path in cohort.data["picture"])
    with pytest.raises(FileExistsError, match="make_brain_cohort did not write"):
        make_brain_cohort(3, shape=(8, 8, 8), directory=tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_pictures": 0}, "'n_pictures' .* an integer of at least 1. Got 0"),
        ({"shape": (8, 30)}, r"'shape' .* two integers of at least 16. Got \(8, 30\)"),
        ({"noise": -1}, "'noise' .* a number of at least 0. Got -1"),
        ({"image_noise": "much"}, "'image_noise' .* Got 'much'"),
    ],
)
def test_parameter_when_wrong_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        make_head_pictures(**wrong)


def test_representation_fits_on_a_screen(tmp_path):
    text = repr(make_brain_cohort(4, shape=(8, 8, 8), directory=tmp_path))
    assert len(text) < 1500
    assert "data: DataFrame (4, " in text
    assert "DESCR: str, " in text
