"""Tell how long usual studies take: a fit, five folds, and a search.

    python benchmarks/usual_studies.py

Random images and five columns, `fusion="hyper"`, batches of 16, epochs by the rule of `max_epochs="auto"` for
the rows of a training fold. An epoch is the fastest of some, of 64 rows where a study has more, since epochs
grow with their rows; all else is multiplied from it: five folds are five fits one after the other, a search
is eight candidates in five folds and the best anew. Decoding, once for a study, comes on top: see
`first_epoch.py`.
"""

import math
from dataclasses import dataclass

import torch
from _speed import epoch_seconds, parser, save, show, threads

from skhyperfusion import HyperFusionRegressor
from skhyperfusion._engine._length import usual_epochs

N_FOLDS, N_CANDIDATES = 5, 8
MOST_ROWS = 64  # of a timed epoch
BATCH_SIZE = 16


@dataclass
class Study:
    """What decides how long a fit takes."""

    name: str
    n_rows: int
    shape: tuple[int, ...]  # of an image; () is a table alone
    base_channels: int


STUDIES = [
    Study("120 brains at 6 mm", 120, (28, 34, 28), 4),
    Study("120 brains at 3 mm", 120, (56, 68, 56), 4),
    Study("120 brains at 3 mm, default width", 120, (56, 68, 56), 16),
    Study("500 brains at 4 mm", 500, (42, 51, 42), 8),
    Study("600 photos of 64 x 64", 600, (64, 64), 8),
    Study("600 photos of 128 x 128, default width", 600, (128, 128), 16),
    Study("5,000 photos of 64 x 64", 5000, (64, 64), 8),
    Study("5,000 rows of a table alone", 5000, (), 16),
]
QUICK = [Study("40 pictures of 16 x 16", 40, (16, 16), 2), Study("40 rows of a table alone", 40, (), 2)]


def measure(study, arguments):
    """Return a row of the table; minutes on the clock but for the epoch."""
    n_train = study.n_rows * (N_FOLDS - 1) // N_FOLDS
    timed = min(n_train, MOST_ROWS)
    model = HyperFusionRegressor(
        fusion="hyper" if study.shape else "tabular",
        base_channels=study.base_channels,
        batch_size=BATCH_SIZE,
    )
    seconds = epoch_seconds(model, timed, study.shape, 1 + arguments.repeats, arguments.seed).min()
    epoch = seconds * n_train / timed
    n_epochs = usual_epochs(n_train, math.ceil(n_train / BATCH_SIZE))
    fit = epoch * n_epochs / 60
    return {
        "study": study.name,
        "epoch_s": epoch,
        "epochs": n_epochs,
        "fit_min": fit,
        "folds_min": N_FOLDS * fit,
        "search_min": (N_CANDIDATES * N_FOLDS + 1) * fit,
    }


def main():
    """Measure, print the table, save it."""
    arguments = parser(__doc__.splitlines()[0], repeats=3).parse_args()
    torch.manual_seed(arguments.seed)
    with threads(arguments.threads):
        rows = [measure(study, arguments) for study in (QUICK if arguments.quick else STUDIES)]
    show("How long usual studies take", rows)
    save(arguments, "usual_studies", rows)


if __name__ == "__main__":
    main()
