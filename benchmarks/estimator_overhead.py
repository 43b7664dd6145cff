"""Time `fit` against a bare loop in torch with the same network, order of rows and epochs.

    python benchmarks/estimator_overhead.py

Images in memory, no augmentation, no validation split. The loop gets finished tensors; the estimator gets a
DataFrame, checks it, encodes it and writes a history. Both sides take turns; medians.
"""

import numpy as np
import pandas as pd
import torch
from _speed import parser, ratios, save, show, take_turns, threads

from skhyperfusion import HyperFusionClassifier
from skhyperfusion._engine._callbacks import cosine_with_warm_up
from skhyperfusion.nn import FusionNetwork
from skhyperfusion.nn._layout import lay_out, lay_out_images

# name: shape, base_channels, rows, epochs; a step of about 3, 8, 30 and 60 ms on two cores.
CASES = {
    "tiny step": ((8, 8), 2, 320, 12),
    "small volumes": ((16, 16, 16), 4, 160, 30),
    "volumes": ((24, 24, 24), 6, 96, 30),
    "larger volumes": ((32, 32, 32), 8, 96, 10),
}
BATCH = 16


def make_rows(shape, n_rows, seed):
    """Return a table of random images with five columns, and random classes."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n_rows, 5)), columns=list("abcde"))
    table.insert(0, "scan", list(rng.normal(size=(n_rows, *shape)).astype(np.float32)))
    return table, rng.integers(0, 2, size=n_rows)


def bare_loop(images, table, target, base_channels, epochs):
    """Train the same network as the estimator does, by hand."""
    network = FusionNetwork(
        n_tabular_features=table.shape[1],
        n_outputs=2,
        in_channels=1,
        spatial_shape=images.shape[2:],
        base_channels=base_channels,
        hyper_depth=0,
    )
    network.initialize(table)
    last = lay_out(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2, fused=True)
    n_steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine_with_warm_up(step, n_steps))
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH):
            image = lay_out_images(images[rows], last=last)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(image, table[rows]), target[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
            loss.item()


def measure(case, repeats, seed, quick):
    """Time both sides of one case."""
    shape, base_channels, n_rows, epochs = CASES[case]
    epochs = epochs // 5 if quick and len(shape) == 3 else epochs
    X, y = make_rows(shape, n_rows, seed)
    images = torch.from_numpy(np.stack(X["scan"])[:, None])
    table = torch.from_numpy(X[list("abcde")].to_numpy(dtype=np.float32, copy=True))
    target = torch.from_numpy(y)
    model = HyperFusionClassifier(
        base_channels=base_channels, max_epochs=epochs, batch_size=BATCH, augmentation=None,
        early_stopping=False, random_state=seed,
    )  # fmt: skip
    sides = {
        "loop": lambda: bare_loop(images, table, target, base_channels, epochs),
        "fit": lambda: model.fit(X, y),
    }
    medians = take_turns(sides, repeats)
    n_steps = epochs * (n_rows // BATCH)
    return {
        "case": case,
        "steps": n_steps,
        "loop_step_ms": 1e3 * medians["loop"][0] / n_steps,
        "fit_step_ms": 1e3 * medians["fit"][0] / n_steps,
        **ratios(medians["fit"], medians["loop"]),
    }


def main():
    """Time all cases, print the table and save it."""
    arguments = parser(__doc__.splitlines()[0]).parse_args()
    torch.manual_seed(arguments.seed)
    with threads(arguments.threads):
        repeats = 2 if arguments.quick else arguments.repeats
        rows = [measure(case, repeats, arguments.seed, arguments.quick) for case in CASES]
    show("Estimator against a bare loop", rows)
    save(arguments, "estimator_overhead", rows)


if __name__ == "__main__":
    main()
