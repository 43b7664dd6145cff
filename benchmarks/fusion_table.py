"""The paper's table on our own data: a row for each method, four scores, and how sure the differences are.

    python benchmarks/fusion_table.py
    python benchmarks/fusion_table.py --variants
    python benchmarks/fusion_table.py --data pad

Each seed draws a cohort of its own, or splits the real data anew: a fifth of the rows is the test part, and
the rest is split in four folds; one model is fitted per fold, on the three others. Its scores on the fold
that it did not see are compared over folds and seeds (corrected resampled t-test; Mann-Whitney U, as in the
paper). The correction takes all folds for folds of the same rows; of several cohorts, which share none, it
asks too much. The four models together, weighted by inverse entropy (for the age: their mean), are scored on
the test part, beside the mean of the four alone. All methods have the same width, epochs and learning rate,
and no early stopping: the last epoch counts.

The settings of the cohort and of IXI are the estimators' defaults but for width and epochs, those of the
photos are ``pad_cancer.py``'s, where learning rate and epochs were chosen by looking at other folds of the
same rows.

``--candidates N``: each method has the same first N settings of one list (learning rate and weight decay,
for the boosting its L2 penalty). Within each fold's training rows, a fourth is held out and tells which is
best (macro AUC or mean absolute error); with it the model is fitted on all of them. The rows that are
scored have no part in it. With 1, the default, nobody is tuned.

Every finished fit is kept at once in a file beside the report, with its predictions, under all its
settings, the bytes of the images among them: run again, and it goes on where it stopped; ``--finished``
reports what is there without a fit. The file does not ask whether the package has changed since: the report
tells whether the fits come from one state of its source, and if they do not, remove the file.
"""

import dataclasses

import pandas as pd
from _fusion_fits import CANDIDATES, plan, run
from _fusion_report import write_report
from _fusion_scores import compare, compare_ensembles, gains
from _fusion_studies import cohort, ixi, pad
from _report import parser, workers

from skhyperfusion._parameters import FUSIONS

STUDIES = {"cohort": cohort, "pad": pad, "ixi": ixi}
DEFAULTS = {
    "cohort": {"subjects": 750, "side": 24, "epochs": 40, "base_channels": 4, "classes": 3, "lr": 3e-3},
    "pad": {"side": 64, "epochs": 20, "base_channels": 8, "lr": 1e-3},
    "ixi": {"epochs": 60, "base_channels": 4, "lr": 3e-3},
}
QUICK = {"subjects": 60, "epochs": 2, "seeds": 1}
QUICK_SIDE = {"cohort": 12, "pad": 16}
SETTINGS = ["seed", "seeds", "side", "epochs", "lr", "base_channels", "candidates"]


def read_arguments(given=None):
    """Read the command line; what is not given is the study's own."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--data", choices=list(STUDIES), default="cohort")
    arguments.add_argument("--fusions", nargs="+", choices=FUSIONS, default=FUSIONS)
    arguments.add_argument(
        "--variants", action="store_true", help="hyper with pre-training, bilateral views, another start"
    )
    arguments.add_argument("--seeds", type=int, help="cohorts, or splits of real data (3)")
    arguments.add_argument("--subjects", type=int, help="of the cohort (750), or the first of the others")
    arguments.add_argument("--side", type=int, help="of a scan (cohort: 24 voxels) or photo (pad: 64 pixels)")
    arguments.add_argument("--epochs", type=int)
    arguments.add_argument("--lr", type=float, help="of the networks, the first candidate")
    arguments.add_argument("--base-channels", type=int)
    arguments.add_argument("--classes", type=int, choices=(2, 3), help="of the cohort (3)")
    arguments.add_argument("--candidates", type=int, choices=range(1, len(CANDIDATES) + 1), default=1)
    arguments.add_argument("--finished", action="store_true", help="fit nothing, report what is there")
    arguments.add_argument("--quick", action="store_true", help="60 subjects, tiny images, 2 epochs, 1 seed")
    read = arguments.parse_args(given)
    defaults = {"subjects": None, "seeds": 3, **DEFAULTS[read.data]}
    if read.quick:
        defaults |= QUICK | ({"side": QUICK_SIDE[read.data]} if read.data in QUICK_SIDE else {})
    for name in ("side", "classes"):
        if name not in defaults and getattr(read, name) is not None:
            arguments.error(f"--{name} says nothing to --data {read.data}; leave it out")
    for name, value in defaults.items():
        if getattr(read, name) is None:
            setattr(read, name, value)
    if "hyper" not in read.fusions:
        arguments.error("the others are compared with hyper; name it among the --fusions")
    return read


def main():
    """Fit what is missing, and write the report."""
    arguments = read_arguments()
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    studies = {seed: STUDIES[arguments.data](arguments, seed) for seed in seeds}
    # What the report tells of all: the best reachable scores of several cohorts are averaged.
    best = pd.DataFrame([study.best for study in studies.values()]).mean().to_dict()
    study = dataclasses.replace(studies[arguments.seed], best=best)
    planned = plan(studies, arguments.fusions, arguments.variants, arguments.lr, arguments.candidates)
    name = f"fusion_table_{study.name}"
    with workers(arguments.n_jobs):
        fits, results = run(planned, arguments.results / f"{name}.fits.jsonl", arguments.finished)
    if not any(fit.method == "hyper" for fit in fits):
        raise SystemExit(f"No fit of hyper with these settings is finished in {name}.fits.jsonl.")
    comparison, on_test = compare(fits, results), compare_ensembles(fits, results)
    settings = {option: getattr(arguments, option) for option in SETTINGS if hasattr(arguments, option)}
    settings |= {"finished fits": f"{len(fits)} of {len(planned)}"}
    found = gains(comparison.scores, on_test)
    report = f"{name}_quick" if arguments.quick else name
    print(write_report(arguments.results, report, study, settings, comparison, on_test, found, results))
    print(f"Written: {report}.md, .png and .json in {arguments.results.name}/")


if __name__ == "__main__":
    main()
