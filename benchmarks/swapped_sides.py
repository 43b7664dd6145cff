"""Count how often `check_images` tells of sides that are swapped, where none is and where one is.

    python benchmarks/swapped_sides.py

Generated cohorts, none of whose scans is swapped, are checked as they are. Of the brains of IXI, where they
are found, all are checked as they came, and with each turned in its turn; then draws of 40 and of 60 of them.
"""

import nibabel as nib
import numpy as np
from _report import DATA, parser, write

from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.images import check_images
from skhyperfusion.images._asymmetry import asymmetry, perhaps_swapped

# Subjects, voxels along each axis, cohorts.
COHORTS = ((40, 16, 100), (60, 16, 40), (120, 16, 30), (40, 24, 30))


def flagged_in_cohort(n_subjects, side, seed):
    """Return how many scans of a cohort are said to be swapped."""
    cohort = make_brain_cohort(n_subjects, shape=(side,) * 3, random_state=seed)
    kinds = check_images(cohort.data, image_columns="t1w")["kinds"]
    return sum(any("swapped" in kind for kind in of_image) for of_image in kinds)


def in_brains(asymmetries, every=1):
    """Return the share that is flagged as it came, and the share that is found when it is turned."""
    turned = range(0, len(asymmetries), every)
    found = [
        perhaps_swapped([-one if i == at else one for i, one in enumerate(asymmetries)])[at] for at in turned
    ]
    return perhaps_swapped(asymmetries).mean(), np.mean(found)


def main():
    """Check the cohorts and the brains, print and write the counts."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--cohorts", type=int, default=100, help="of each size, at most")
    arguments.add_argument("--draws", type=int, default=60, help="of the brains, for each size")
    read = arguments.parse_args()
    content, seed = {}, read.seed
    for n_subjects, side, most in COHORTS:
        n_cohorts = min(most, read.cohorts)
        flagged = [flagged_in_cohort(n_subjects, side, seed + i) for i in range(n_cohorts)]
        seed += n_cohorts
        name = f"{n_cohorts} cohorts of {n_subjects}, {side} voxels a side"
        content[name] = {"cohorts flagged": int(np.count_nonzero(flagged)), "images flagged": sum(flagged)}
        print(name, content[name], flush=True)
    paths = sorted((DATA / "ixi-t1-small" / "t1").glob("*.nii.gz"))
    scans = (nib.as_closest_canonical(nib.load(path)) for path in paths)
    brains = [asymmetry(np.asarray(scan.dataobj, dtype=np.float32)[None]) for scan in scans]
    rng = np.random.default_rng(read.seed)
    for size, n_draws in ((len(brains), 1), (40, read.draws), (60, read.draws)) if brains else ():
        drawn = [rng.permutation(len(brains))[:size] for _ in range(n_draws)]
        shares = [in_brains([brains[i] for i in rows], 1 if n_draws == 1 else 6) for rows in drawn]
        name = f"{size} brains of IXI"
        means = np.mean(shares, axis=0)
        content[name] = {"flagged as they came": means[0], "found when turned": means[1]}
        print(name, {told: round(float(share), 4) for told, share in content[name].items()}, flush=True)
    print(write(read.results, "swapped_sides", **content).name)


if __name__ == "__main__":
    main()
