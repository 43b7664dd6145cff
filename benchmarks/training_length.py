"""How many epochs does a study of so many rows need? The curve behind ``max_epochs="auto"``.

    python benchmarks/training_length.py

Fits over numbers of training rows and of epochs on the generated data of `training_health.py`. Every fit has
a schedule of its own, since the cosine ends with the last epoch. What counts is the score on 400 fresh rows
(skill of a length, ROC AUC of a class, see there), as a share of the best reachable one. Each fit is added to
a file of lines as it ends, and one that stands there is not run again.
"""

import json
import math
import time

import joblib
import pandas as pd
from _report import parser, workers, write
from matplotlib.figure import Figure
from training_health import ALL_TASKS, fit

from skhyperfusion._engine._length import usual_epochs

EPOCHS = {60: (10, 20, 40, 80, 160), 200: (5, 10, 20, 40, 80), 600: (5, 10, 20, 40), 2000: (3, 5, 10, 20)}
N_TEST = 400
LR, WIDTH, BATCH = 3e-3, 4, 16
KEY = ["task", "fusion", "seed", "rows", "epochs"]


def run(task, fusion, seed, n_rows, n_epochs, log):
    """Fit once and add a line to the file: a row of the table."""
    settings = {"max_epochs": n_epochs, "batch_size": BATCH}
    row = fit(task, fusion, LR, WIDTH, seed, n_rows, N_TEST, settings)
    row |= {"rows": n_rows, "epochs": n_epochs}
    with log.open("a") as file:
        file.write(json.dumps(row, default=float) + "\n")
    return row


def summarise(rows):
    """Share of the best reachable score, by rows (down) and epochs (across), and the spread of one fit."""
    table = pd.DataFrame(rows)
    table["share"] = table["score"] / table["best"]
    # Differences between the tasks and fusions are no spread of the number of epochs.
    within = table["share"] - table.groupby(["task", "fusion", "rows"])["share"].transform("mean")
    cells = table.assign(within=within).groupby(["rows", "epochs"])
    return cells.agg(share=("share", "mean"), sd=("within", "std"), fits=("share", "size")).reset_index()


def draw(cells):
    """Draw the score over the epochs, a line for each number of rows, dotted at the epochs of "auto"."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for n_rows, line in cells.groupby("rows"):
        drawn = axes.plot(line["epochs"], line["share"], "o-", label=f"{n_rows} rows")[0]
        usual = usual_epochs(n_rows, math.ceil(n_rows / BATCH))
        axes.axvline(usual, color=drawn.get_color(), linestyle=":", linewidth=1)
    axes.set(
        xscale="log", xlabel="epochs (dotted: max_epochs='auto')", ylabel="score / best reachable score",
        ylim=(max(0, cells["share"].min() - 0.02), 1),
    )  # fmt: skip
    ticks = sorted(set(cells["epochs"]))
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.legend()
    return figure


def main():
    """Fit what is not in the file yet, print the table and draw the curve."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--tasks", nargs="+", choices=ALL_TASKS, default=list(ALL_TASKS[:2]))
    arguments.add_argument("--fusions", nargs="+", default=["hyper", "concat"])
    arguments.add_argument("--rows", type=int, nargs="+", choices=EPOCHS, default=list(EPOCHS))
    arguments.add_argument("--seeds", type=int, default=2, help="number of seeds, from --seed on")
    arguments = arguments.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    log = arguments.results / "training_length.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {tuple(row[name] for name in KEY) for row in rows}
    wanted = [
        (task, fusion, seed, n_rows, n_epochs)
        for seed in range(arguments.seed, arguments.seed + arguments.seeds)
        for n_rows in arguments.rows
        for task in arguments.tasks
        for fusion in arguments.fusions
        for n_epochs in EPOCHS[n_rows]
    ]
    start = time.perf_counter()
    with workers(arguments.n_jobs):
        jobs = (joblib.delayed(run)(*point, log) for point in wanted if point not in done)
        rows += joblib.Parallel()(jobs)
    rows = [row for row in rows if tuple(row[name] for name in KEY) in set(wanted)]
    cells = summarise(rows)
    print(cells.pivot(index="rows", columns="epochs", values="share").round(3).to_string(na_rep=""))
    spread = (cells["sd"] / cells["fits"] ** 0.5).mean()
    seconds = time.perf_counter() - start
    print(f"\n{len(rows)} fits; standard error of a cell about {spread:.3f}; {seconds:.0f} s")
    print(
        {n_rows: usual_epochs(n_rows, math.ceil(n_rows / BATCH)) for n_rows in arguments.rows},
        "epochs by max_epochs='auto'",
    )
    settings = {"lr": LR, "base_channels": WIDTH, "batch_size": BATCH}
    path = write(arguments.results, "training_length", settings=settings, rows=rows)
    draw(cells).savefig(path.with_suffix(".png"), dpi=110)
    print(f"Every fit: {path.name}, drawn: {path.with_suffix('.png').name}, in {arguments.results.name}/")


if __name__ == "__main__":
    main()
