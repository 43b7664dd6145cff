"""Data sets: generated cohorts whose truth is known, and BIDS folders as tables."""

from skhyperfusion.datasets._bids import read_bids_table
from skhyperfusion.datasets._cohort import make_brain_cohort
from skhyperfusion.datasets._pictures import make_head_pictures

__all__ = ["make_brain_cohort", "make_head_pictures", "read_bids_table"]
