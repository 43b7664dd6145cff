"""The report of the table of fusions: Markdown, a picture, and the figures as JSON."""

from collections import Counter

import numpy as np
from _fusion_fits import N_FOLDS
from _fusion_scores import ALONE, ENSEMBLE
from _report import made_by, write
from matplotlib.figure import Figure

RULES = (
    "The last column decides for the class whose probability is largest in relation to its share of the "
    "training rows, as the best reachable score does, the others for the likeliest class. Precision and "
    "F1 are means over the classes, and so is the AUC, of one against the rest."
)
PROTOCOL = (
    "For each seed (there are {seeds}{drawn}) a fifth of the rows{whole} is set apart as the test part, "
    f"and the rest is split in {N_FOLDS} folds. Each model is fitted on {N_FOLDS - 1} of them, without "
    f"early stopping, and scored on the one left out; the {N_FOLDS} together, {{joined}}, are scored on "
    "the test part. All networks have the same width, epochs, rows and image settings, but for what the "
    "name of a row tells."
)
AGAINST = (
    "Mean difference to hyper in the same folds with its 95 % interval, p by the corrected resampled "
    "t-test, the same after Holm for all rivals, and p by the Mann-Whitney U test, as in the paper, "
    "which knows nothing of the rows that the training sets share."
)
GAINS = (
    "Mean difference with its 95 % interval and p by the corrected resampled t-test: over the folds of "
    "all seeds, or, of the ensemble of hyper to its models alone, over the test parts. Helps, harms: p "
    "below .05."
)


def write_report(folder, name, study, settings, comparison, on_test, gains, results):
    """Write ``name.md``, ``name.png`` and ``name.json``; return the text of the first."""
    write(
        folder,
        name,
        settings=settings,
        best=study.best,
        scores=comparison.scores.to_dict("records"),
        test_part=on_test.to_dict("records"),
        gains=gains.to_dict("records"),
    )
    text = markdown(name, study, settings, comparison, on_test, gains, results)
    (folder / f"{name}.md").write_text(text)
    picture(study, comparison).savefig(folder / f"{name}.png", dpi=150)
    return text


def markdown(name, study, settings, comparison, on_test, gains, results):
    """Word the report."""
    versions = ", ".join(f"{library} {version}" for library, version in made_by()["versions"].items())
    told = ", ".join(f"{option.replace('_', '-')} {value}" for option, value in settings.items())
    parts = [
        f"# {study.title}",
        _protocol(study, settings),
        f"{len(study.y)} rows. Settings: {told}; {_tuning(results, settings)} Made with {versions}; "
        f"{_packages(results)}",
        f"![Scores of the folds, means and 95 % intervals]({name}.png)",
        "## Each model on the fold that it did not see",
        "Mean ± standard deviation over the folds of all seeds; in brackets p against hyper by the corrected "
        f"resampled t-test. {'Less is better.' if study.regression else RULES}",
        _means(study, comparison),
        "## Against hyper",
        AGAINST,
        *(f"**{metric}**\n\n{_differences(comparison, metric)}" for metric in comparison.metrics),
    ]
    if len(on_test):
        parts += [
            "## The test part",
            f"The {N_FOLDS} models of a seed together, mean ± standard deviation over the seeds; in brackets "
            f"the mean of the {N_FOLDS} alone. {_often_better(study, on_test)}",
            _test_part(on_test),
        ]
    if len(gains):
        parts += [
            "## What each addition gives",
            GAINS,
            _gains(study, gains),
        ]
    return "\n\n".join(parts) + "\n"


def picture(study, comparison):
    """Draw each metric: a dot per fold, mean, interval, and the best reachable score where it is known."""
    n_columns = min(len(comparison.metrics), 2)
    n_rows = -(-len(comparison.metrics) // n_columns)
    size = (6.5 * n_columns, (1.2 + 0.4 * len(comparison.methods)) * n_rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax, metric in zip(axes, comparison.metrics, strict=False):
        comparison.plot(metric, ax=ax)
        if metric in study.best:
            ax.axvline(study.best[metric], color="0.3", linewidth=0.8, zorder=0)
            ax.set_title(f"line: best reachable, {study.best[metric]:.3f}", fontsize="small")
    for ax in axes[len(comparison.metrics) :]:
        ax.remove()
    figure.suptitle(study.title)
    return figure


def _protocol(study, settings):
    whole = " (patients kept whole)" if study.groups is not None else ""
    joined = "by their mean" if study.regression else "weighted by inverse entropy"
    drawn = ", each with a cohort of its own" if study.drawn else ""
    return PROTOCOL.format(seeds=settings["seeds"], drawn=drawn, whole=whole, joined=joined)


def _tuning(results, settings):
    if settings["candidates"] == 1:
        return "nobody is tuned."
    chosen = {}
    for result in results:
        rate = "{:g}/{:g}".format(*result["candidate"])
        chosen.setdefault(result["method"], Counter())[rate] += 1
    listed = "; ".join(
        f"{method}: " + ", ".join(f"{rate} ({n})" for rate, n in found.items())
        for method, found in chosen.items()
    )
    return (
        f"each method had {settings['candidates']} settings of learning rate and penalty, chosen in each "
        f"fold by a fourth of its training rows. Chosen (number of fits): {listed}."
    )


def _packages(results):
    """Tell which states of the package made the fits, whose file knows nothing of what changed."""
    counts = Counter(result.get("package", "not recorded") for result in results)
    listed = ", ".join(f"{state} ({n})" for state, n in counts.items())
    if len(counts) == 1:
        return f"package's source and number of fits: {listed}."
    return (
        f"**the fits come from several states of the package's source: {listed}.** Remove the file of fits."
    )


def _means(study, comparison):
    tables = {metric: comparison.table(metric) for metric in comparison.metrics}
    seconds = next(iter(tables.values()))["fit_seconds"]
    rows = []
    if study.best:
        best = [number(study.best[m]) if m in study.best else "" for m in comparison.metrics]
        rows.append(["best reachable", *best, ""])
    for method in comparison.methods:
        cells = []
        for table in tables.values():
            row = table.loc[method]
            p = "" if np.isnan(row["p_corrected_t"]) else f" (p {p_value(row['p_corrected_t'])})"
            cells.append(_spread(row["mean"], row["sd"]) + p)
        rows.append([method, *cells, f"{seconds[method]:.1f}"])
    return _table(["method", *tables, "seconds per fit"], rows)


def _differences(comparison, metric):
    rows = []
    for method, row in comparison.table(metric).drop(index=comparison.reference).iterrows():
        p_values = [row[f"p_{test}"] for test in ("corrected_t", "corrected_t_holm", "mann_whitney")]
        rows.append([method, int(row["folds"]), _interval(row), *map(p_value, p_values)])
    return _table(["method", "folds", "difference", "p", "p, Holm", "p, Mann-Whitney"], rows)


def _test_part(on_test):
    metrics = list(dict.fromkeys(on_test["metric"]))
    rows = []
    for method, found in on_test.groupby("method", sort=False):
        cells = []
        for metric in metrics:
            scores = found[found["metric"] == metric].groupby("kind")["score"]
            mean, sd = scores.mean(), scores.std()
            cells.append(f"{_spread(mean[ENSEMBLE], sd[ENSEMBLE])} ({number(mean[ALONE])})")
        rows.append([method, found["fold"].nunique(), *cells])
    return _table(["method", "seeds", *metrics], rows)


def _often_better(study, on_test):
    """Count the methods and seeds in which the ensemble is better than its models."""
    counts = []
    for metric, found in on_test.groupby("metric", sort=False):
        wide = found.pivot(index=["method", "fold"], columns="kind", values="score")
        better = (wide[ENSEMBLE] - wide[ALONE]) * (-1 if study.regression else 1) > 0
        counts.append(f"{metric} {better.sum()} of {len(wide)}")
    return f"Pairs of method and seed in which they are better together: {', '.join(counts)}."


def _gains(study, gains):
    rows = []
    for row in gains.to_dict("records"):
        verdict = _verdict(row["difference"] * (-1 if study.regression else 1), row["p_corrected_t"])
        pairs, p = int(row["folds"]), p_value(row["p_corrected_t"])
        rows.append([row["addition"], row["metric"], pairs, _interval(row), p, verdict])
    return _table(["addition", "metric", "pairs", "difference", "p", ""], rows)


def _verdict(gain, p):
    if not p < 0.05:
        return "no gain shown"
    return "helps" if gain > 0 else "harms"


def _spread(mean, sd):
    return number(mean) if np.isnan(sd) else f"{number(mean)} ± {number(sd)}"


def _interval(row):
    low, high = number(row["difference_low"], sign="+"), number(row["difference_high"], sign="+")
    return f"{number(row['difference'], sign='+')} [{low}, {high}]"


def _table(heads, rows):
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def number(value, sign=""):
    """Word a score as the paper does: three decimals, no zero before the point.

    Examples
    --------
    >>> number(0.6731), number(-0.0104, sign="+"), number(8.456), number(float("nan"))
    ('.673', '-.010', '8.456', '-')
    """
    if np.isnan(value):
        return "-"
    return f"{value:{sign}.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:{sign}.3f}"


def p_value(p):
    """Word a p-value.

    Examples
    --------
    >>> p_value(0.0312), p_value(0.0002), p_value(float("nan"))
    ('.031', '<.001', '-')
    """
    return "<.001" if p < 0.001 else number(p)
