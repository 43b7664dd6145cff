"""A small cohort for tests: a column of each kind, gaps, and labels that occur twice."""

import numpy as np
import pandas as pd

#: What pandas makes of text by itself: its own dtype from 3 on, objects before.
TEXT_DTYPE = pd.Series(["text"]).dtype


def make_table():
    rng = np.random.default_rng(0)
    n = 40
    age = rng.uniform(55, 90, n)
    tau = 3 * age + rng.normal(size=n)
    tau[::5] = np.nan
    return pd.DataFrame(
        {
            "t1w": [f"scans/p{i}.nii.gz" for i in range(n)],
            "age": age,
            "sex": rng.choice(["F", "M"], n),
            "tau": tau,
            "carrier": rng.integers(0, 2, n).astype(bool),
            "site": [["a", "b", "c", None][i % 4] for i in range(n)],
            "empty": np.nan,
            "cohort": "X",
        },
        index=[f"p{i % 30}" for i in range(n)],  # some labels occur twice
    )
