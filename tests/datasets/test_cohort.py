import numpy as np

from skhyperfusion.datasets import make_brain_cohort, read_bids_table


def test_cohort_when_read_as_bids_gives_the_same_frame():
    cohort = make_brain_cohort(8, shape=(8, 8, 8), random_state=1)
    assert read_bids_table(cohort.directory).equals(cohort.frame)


def test_cohort_when_made_leaves_the_global_random_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_brain_cohort(4, shape=(8, 8, 8), random_state=None)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
