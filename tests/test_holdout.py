"""The internal validation split."""

import numpy as np
import pytest

from skhyperfusion._engine._holdout import split_holdout


def split(n_rows=40, fraction=0.2, seed=0, **kwargs):
    return split_holdout(n_rows, fraction, random_state=np.random.RandomState(seed), **kwargs)


def test_split_covers_all_rows_once():
    train, valid = split()
    assert np.array_equal(np.sort(np.concatenate([train, valid])), np.arange(40))
    assert len(valid) == 8


def test_split_follows_fraction_and_seed():
    assert len(split(fraction=0.5)[1]) == 20
    assert np.array_equal(split(seed=1)[1], split(seed=1)[1])
    assert not np.array_equal(split(seed=1)[1], split(seed=2)[1])


def test_split_with_labels_keeps_class_shares():
    labels = np.repeat([0, 1], [30, 10])
    _, valid = split(labels=labels)
    assert np.bincount(labels[valid]).tolist() == [6, 2]


def test_split_with_groups_keeps_a_subject_on_one_side():
    groups = np.arange(40) // 4
    train, valid = split(groups=groups)
    assert not set(groups[train]) & set(groups[valid])


def test_split_with_labels_and_groups_respects_both():
    groups = np.arange(120) // 3
    labels = (groups % 4 == 0).astype(int)
    train, valid = split(120, labels=labels, groups=groups)
    assert not set(groups[train]) & set(groups[valid])
    assert abs(labels[valid].mean() - labels.mean()) < 0.1


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.25, 0.4, 0.6, 0.75, 0.9])
@pytest.mark.parametrize("kind", ["values", "classes", "rare class"])
def test_split_with_groups_holds_out_the_fraction_that_it_says(kind, fraction):
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 300)
    share = {"values": 0.0, "classes": 0.3, "rare class": 0.02}[kind]
    labels = None if kind == "values" else (rng.random(300) < share).astype(int)
    for seed in range(5):
        train, valid = split(300, fraction, seed, labels=labels, groups=groups)
        assert len(valid) == pytest.approx(300 * fraction, abs=3)
        assert np.array_equal(np.sort([*train, *valid]), np.arange(300))
        assert not set(groups[train]) & set(groups[valid])
        if labels is not None:
            assert labels[valid].sum() == pytest.approx(fraction * labels.sum(), abs=3)


def test_split_of_unequal_groups_comes_as_near_as_they_allow():
    groups = np.repeat(np.arange(6), [100, 5, 5, 5, 5, 5])
    assert len(split(125, 0.1, groups=groups)[1]) in (10, 15)
    assert len(split(125, 0.8, groups=groups)[1]) == 100
    assert len(split(125, 0.83, groups=groups)[1]) == 105
    assert not np.array_equal(split(125, 0.1, 0, groups=groups)[1], split(125, 0.1, 1, groups=groups)[1])


def test_split_of_groups_larger_than_the_fraction_holds_out_the_smallest():
    groups = np.repeat([0, 1, 2], [20, 12, 8])
    for seed in range(5):
        assert split(40, 0.05, seed, groups=groups)[1].tolist() == list(range(32, 40))


def test_split_of_groups_that_hold_a_class_each_is_refused():
    groups = np.repeat([0, 1], 20)
    with pytest.raises(ValueError, match=r"lose a class, by whole groups.*early_stopping=False"):
        split(labels=groups, groups=groups)


@pytest.mark.parametrize("groups", [None, np.arange(12)])
def test_split_with_a_class_of_one_row_leaves_it_to_training(groups):
    labels = np.array([0] * 11 + [1])
    for seed in range(10):
        train, valid = split(12, 0.3, seed, labels=labels, groups=groups)
        assert 1 in labels[train]
        assert len(train) + len(valid) == 12


def test_split_of_one_group_is_refused():
    with pytest.raises(ValueError, match=r"all rows belong to one.*early_stopping=False"):
        split(groups=np.zeros(40))


def test_split_that_leaves_a_side_empty_is_refused():
    with pytest.raises(ValueError, match="one part would be empty"):
        split(2, 0.4, labels=np.array([0, 1]))
