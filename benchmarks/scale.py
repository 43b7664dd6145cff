"""See how time grows with the rows of a table, and what an import costs.

    python benchmarks/scale.py

Rows of 8 x 8 images and five columns, one epoch with large batches, so that columns, splits and history weigh
as much as they can. Seconds are the processor's. The exponent is the slope of log seconds by log rows: 1 is
linear. The import is compared with the import of what it stands on.
"""

import math
import statistics
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import torch
from _speed import parser, save, show, threads

from skhyperfusion import HyperFusionClassifier

GROUND = "import skorch, sklearn, pandas, nibabel"


def fit_seconds(n_rows, seed):
    """Time one epoch, with everything before and after it."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n_rows, 5 + 64)), columns=[f"c{i}" for i in range(69)])
    y = rng.integers(0, 2, size=n_rows)
    model = _model(seed)
    start = time.process_time()
    model.fit(X, y)
    return time.process_time() - start


def _model(seed):
    model = HyperFusionClassifier(
        image_columns=[f"c{i}" for i in range(5, 69)], base_channels=2, max_epochs=1, batch_size=256,
        random_state=seed,
    )  # fmt: skip
    return model.set_params(image_loader__shape=(8, 8))


def import_seconds(statement):
    """Time a statement in a fresh interpreter, in seconds of the processor."""
    code = f"import time\n{statement}\nprint(time.process_time())"
    return float(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    )


def main():
    """Measure, print the tables and save them."""
    arguments = parser(__doc__.splitlines()[0]).parse_args()
    sizes = (500, 1000, 2000) if arguments.quick else (1000, 10_000, 100_000)
    repeats = 1 if arguments.quick else arguments.repeats
    torch.manual_seed(arguments.seed)
    with threads(arguments.threads):
        fit_seconds(100, arguments.seed)
        taken = {n: min(fit_seconds(n, arguments.seed) for _ in range(repeats)) for n in sizes}
    rows = [{"rows": n, "seconds": s, "ms_per_row": 1e3 * s / n} for n, s in taken.items()]
    first, last = sizes[-2:]
    exponent = math.log(taken[last] / taken[first]) / math.log(last / first)
    show("One epoch", rows)
    print(f"exponent between the last two: {exponent:.2f}")
    pairs = [(import_seconds(GROUND), import_seconds("import skhyperfusion")) for _ in range(repeats)]
    ratio = statistics.median(own / ground for ground, own in pairs)
    print(f"import: {ratio:.2f} times {GROUND!r}")
    save(arguments, "scale", rows, exponent=exponent, import_ratio=ratio)


if __name__ == "__main__":
    main()
