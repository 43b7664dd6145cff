"""How long a network is trained where nobody says: the rule behind ``max_epochs="auto"``."""

import math

# Steps for each square root of a training row. Measured in benchmarks/training_length.py on 60 to 2000 rows.
STEPS = 40
FEWEST_ROWS = 60  # with fewer, as many steps as with these: a network needs some to get anywhere


def usual_epochs(n_rows, n_batches):
    """Return the number of epochs that ``max_epochs="auto"`` stands for.

    Parameters
    ----------
    n_rows : int
        Rows that the network trains on.
    n_batches : int
        Batches, and so steps, of an epoch.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> [usual_epochs(n_rows, math.ceil(n_rows / 16)) for n_rows in (60, 200, 600, 2000)]
    [77, 44, 26, 14]
    """
    return max(1, round(STEPS * math.sqrt(max(n_rows, FEWEST_ROWS)) / n_batches))
