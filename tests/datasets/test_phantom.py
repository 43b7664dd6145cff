from dataclasses import replace

import numpy as np
import pytest

from skhyperfusion.datasets._phantom import (
    CENTRE,
    WHITE,
    Anatomy,
    affine_of,
    draw_folds,
    grid_of,
    render,
    voxel_size,
)

SHAPE = (24, 24, 24)


@pytest.fixture
def average():
    """The average head, without noise."""
    return Anatomy(
        size=np.ones(3),
        rotation=np.zeros(3),
        shift=np.zeros(3),
        ventricles=1.0,
        hippocampi=1.0,
        sylvian=1.0,
        thickness=3.4,
        sulci=1.3,
        white=WHITE,
        folds=draw_folds(np.random.default_rng(4)),
        bias=np.zeros(6),
        gain=1.0,
        noise=0.0,
    )


def draw(anatomy, shape=SHAPE, seed=0):
    return render(anatomy, shape, grid_of(shape), np.random.default_rng(seed)).astype(float)


def in_ball(centre, radius, shape=SHAPE):
    distance = np.linalg.norm(grid_of(shape) - np.array(centre, dtype=float)[:, None], axis=0)
    return (distance < radius).reshape(shape)


def centre_of_mass(volume):
    grid = grid_of(volume.shape)
    return (grid * volume.ravel()).sum(axis=1) / volume.sum()


def test_head_when_drawn_is_as_large_as_a_head(average):
    head = draw(average, (40, 40, 40)) > 200
    extent = [np.ptp(np.flatnonzero(head.any(axis=axes))) for axes in ((1, 2), (0, 2))]
    width, length = (np.array(extent) + 1) * voxel_size((40, 40, 40))
    assert 140 < width < 165
    assert 175 < length < 200


@pytest.mark.parametrize("shape", [(32, 32, 32), (16, 20, 24), (40, 24, 30)])
def test_affine_when_shape_varies_keeps_the_head_in_the_middle(average, shape):
    affine = affine_of(shape)
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    np.testing.assert_allclose(middle, CENTRE)
    volume = draw(average, shape)
    assert volume.shape == shape
    assert np.all(np.abs(centre_of_mass(volume) - [0, 0, -8]) < 14)
    assert volume[0].max() < 400  # air at the sides


def test_tissues_when_drawn_have_the_contrast_of_t1(average):
    volume = draw(average, (48, 48, 48))
    value = {
        name: volume[in_ball(where, 5, volume.shape)].mean()
        for name, where in {
            "white": (30, -10, 30),
            "thalamus": (11, -14, 4),
            "ventricle": (9, 10, 12),
            "air": (75, 85, 70),
        }.items()
    }
    assert value["white"] > value["thalamus"] > value["ventricle"] > value["air"]


def test_shift_when_given_moves_the_picture_by_as_much(average):
    moved = draw(replace(average, shift=np.array([4.0, -3.0, 0.0])))
    np.testing.assert_allclose((centre_of_mass(moved) - centre_of_mass(draw(average)))[:2], [4, -3], atol=0.8)


def test_rotation_when_given_turns_front_to_the_right(average):
    turned = draw(replace(average, rotation=np.array([0, 0, -np.pi / 2])), (40, 40, 40)) > 200
    wide, long = (np.ptp(np.flatnonzero(turned.any(axis=axes))) for axes in ((1, 2), (0, 2)))
    assert wide > long


def test_size_when_larger_makes_a_larger_head(average):
    assert (draw(replace(average, size=np.full(3, 1.1))) > 200).sum() > 1.08 * (draw(average) > 200).sum()


def test_ventricles_when_larger_darken_their_place(average):
    place = in_ball((10, 0, 15), 18)
    values = [draw(replace(average, ventricles=r))[place].mean() for r in (0.6, 1.0, 1.01, 1.6)]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 80
    assert 0 < values[1] - values[2] < 5  # a hundredth shows, as a little


@pytest.mark.parametrize("side", [-1, 1])
def test_hippocampi_when_smaller_leave_fluid(average, side):
    place = in_ball((side * 28, -16, -15), 14)
    values = [draw(replace(average, hippocampi=r))[place].mean() for r in (0.6, 1.0, 1.5)]
    assert values == sorted(values)
    assert values[-1] - values[0] > 60


def test_lateral_fissure_when_wider_darkens_the_side(average):
    place = in_ball((56, 0, -5), 14)
    assert draw(replace(average, sylvian=1.8))[place].mean() < draw(average)[place].mean() - 20


def test_cortex_when_thicker_is_greyer(average):
    place = in_ball((0, 0, 10), 75)
    assert draw(replace(average, thickness=5.0))[place].mean() < draw(average)[place].mean() - 10


def test_sulci_when_wider_are_darker(average):
    place = in_ball((0, 0, 10), 75)
    assert draw(replace(average, sulci=3.0))[place].mean() < draw(average)[place].mean() - 10


def test_white_matter_when_darker_is_darker(average):
    place = in_ball((30, -10, 30), 8)
    ratio = draw(replace(average, white=0.8 * WHITE))[place].mean() / draw(average)[place].mean()
    assert 0.79 < ratio < 0.86


def test_folds_when_drawn_anew_change_the_surface_alone(average):
    other = draw(replace(average, folds=draw_folds(np.random.default_rng(5))))
    difference = np.abs(other - draw(average))
    assert difference.max() > 100
    assert difference[in_ball((10, 0, 12), 12)].max() < 1


def test_bias_when_sloping_brightens_one_side(average):
    plain = draw(average)
    sloped = draw(replace(average, bias=np.array([0.3, 0, 0, 0, 0, 0])))
    right = grid_of(SHAPE)[0].reshape(SHAPE) > 0
    assert sloped[right].sum() > 1.05 * plain[right].sum()
    assert sloped[~right].sum() < 0.95 * plain[~right].sum()


def test_gain_when_doubled_doubles_the_values(average):
    np.testing.assert_allclose(draw(replace(average, gain=2.0)), 2 * draw(average), atol=1.5)


def test_noise_when_given_is_that_of_a_magnitude(average):
    noisy = draw(replace(average, noise=0.05))
    corner = noisy[:, -3:, :4]
    assert 0.8 < corner[corner < 200].mean() / (700 * 0.05 * np.sqrt(np.pi / 2)) < 1.2
    assert noisy.min() >= 0
