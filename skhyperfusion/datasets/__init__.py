"""Data sets: generated cohorts whose truth is known, and BIDS folders as tables."""

from skhyperfusion.datasets._bids import read_bids_table
from skhyperfusion.datasets._cohort import make_brain_cohort

__all__ = ["make_brain_cohort", "read_bids_table"]
