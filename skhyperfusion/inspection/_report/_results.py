"""Sections on how good the predictions are: scores with intervals, calibration, curves by risk."""

import numpy as np
from scipy import stats
from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay

from skhyperfusion.inspection._answered import is_survival, make_scorer_of
from skhyperfusion.inspection._report._page import paragraph, side_by_side, table
from skhyperfusion.inspection._subjects import classes_to_keep

N_RESAMPLES = 200
CONFIDENCE = 0.95
_MOST_CLASSES = 6
_MOST_OUTPUTS = 4
_SAID = {
    "unseen": (
        "note",
        "According to the person who made this report, the model was fitted without these rows.",
    ),
    "training": (
        "warn",
        "The model was fitted on these rows: the numbers below tell how well it remembers them, not how well "
        "it predicts others. They are no test scores and must not be reported as such.",
    ),
    "unknown": (
        "warn",
        "It was not said whether the model was fitted on these rows. If it was, the numbers below are too "
        "good, and must not be reported as test scores.",
    ),
}


def said_of_rows(context):
    """Say what is known of whether the rows are new to the model."""
    kind, text = _SAID[context.rows]
    return paragraph(text, kind)


def scores(context):
    """Tell scores, with intervals over subjects drawn again."""
    y, estimator = context.y, context.estimator
    scorers = [make_scorer_of(estimator, one, "report") for one in _metrics(context)]
    classes = classes_to_keep(estimator, y)
    draws = [context.subjects.resample(context.random_state, classes) for _ in range(N_RESAMPLES)]
    everything = np.arange(len(y))
    rows = []
    for scorer, name in scorers:
        sign = -1 if name.startswith("neg_") else 1
        value = sign * scorer(context.answered, everything, y)
        with config_context(assume_finite=True, skip_parameter_validation=True):
            drawn = [sign * scorer(context.answered, draw, y[draw]) for draw in draws]
        low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        rows.append((name.removeprefix("neg_").replace("_", " "), f"{value:.3f}", f"{low:.3f} to {high:.3f}"))
    how = (
        f"Intervals of {CONFIDENCE:.0%} from {N_RESAMPLES} draws of the {len(context.subjects)} subjects "
        "with replacement: they tell how other subjects would score the same model, not what another "
        "training would give."
    )
    text = said_of_rows(context) + table(["score", "value", "interval"], rows, "scores")
    return text + paragraph(how, "faint")


def _metrics(context):
    if context.scoring is not None:
        return context.scoring if isinstance(context.scoring, list | tuple) else [context.scoring]
    if is_survival(context.estimator):
        return [None]
    if not is_classifier(context.estimator):
        return ["neg_mean_absolute_error", "neg_root_mean_squared_error", "r2"]
    known = set(np.unique(context.y)) == set(context.estimator.classes_)
    has_proba = hasattr(context.estimator, "predict_proba")
    auc = "roc_auc" if len(context.estimator.classes_) == 2 else "roc_auc_ovr"
    return ["accuracy", "balanced_accuracy", *([auc] if known and has_proba else [])]


def predictions(context):
    """Draw predictions against the truth: calibration, values, or survival by risk."""
    if is_survival(context.estimator):
        figures = [_survival(context)]
    elif is_classifier(context.estimator):
        figures = _classes(context)
    else:
        figures = _values(context)
    return said_of_rows(context) + side_by_side(figures)


def _classes(context):
    y, estimator, everything = context.y, context.estimator, np.arange(len(context.y))
    predicted = context.answered.predict(everything)
    right = np.mean(predicted == y)
    figures = [
        context.figures.draw(
            lambda f: ConfusionMatrixDisplay.from_predictions(
                y, predicted, ax=f.subplots(), colorbar=False, cmap="Blues"
            ),
            f"Confusion matrix: rows by true and predicted class; {right:.0%} are right.",
        )
    ]
    if not hasattr(estimator, "predict_proba"):
        return figures
    probabilities = context.answered.predict_proba(everything)
    classes = list(enumerate(estimator.classes_))
    classes = classes[1:] if len(classes) == 2 else classes[:_MOST_CLASSES]
    classes = [(k, name) for k, name in classes if 0 < np.count_nonzero(y == name) < len(y)]

    def draw(figure):
        ax = figure.subplots()
        for k, name in classes:
            CalibrationDisplay.from_predictions(
                y == name,
                probabilities[:, k],
                n_bins=int(np.clip(len(y) // 15, 2, 10)),
                strategy="quantile",
                name=str(name),
                ax=ax,
            )
        ax.set(xlabel="predicted probability, mean of the bin", ylabel="share of rows with the class")

    caption = (
        "Calibration: how often a class is there among rows to which it was given about the same "
        "probability; on the dotted diagonal where probabilities are right."
    )
    return figures + ([context.figures.draw(draw, caption)] if classes else [])


def _values(context):
    truth = context.y.reshape(len(context.y), -1).astype(float)
    predicted = context.answered.predict(np.arange(len(truth))).reshape(len(truth), -1)
    figures = []
    for k in range(min(truth.shape[1], _MOST_OUTPUTS)):
        own, said = truth[:, k], predicted[:, k]
        ends = [min(own.min(), said.min()), max(own.max(), said.max())]

        def draw(figure, own=own, said=said, ends=ends):
            ax = figure.subplots()
            ax.plot(ends, ends, ":", color="0.5")
            ax.plot(own, said, "o", color="C0", markersize=4, alpha=0.6)
            ax.set(xlabel="true value", ylabel="prediction")

        output = f" Output {k + 1} of {truth.shape[1]}." if truth.shape[1] > 1 else ""
        caption = (
            f"Predictions against true values, right on the dotted line; mean absolute error "
            f"{np.abs(own - said).mean():.3g}.{output}"
        )
        figures.append(context.figures.draw(draw, caption))
    return figures


def _survival(context):
    event, time = (context.y[field] for field in context.y.dtype.names)
    risk = context.answered.predict(np.arange(len(time)))
    names = ["low risk", "middle risk", "high risk"] if len(time) >= 30 else ["lower risk", "higher risk"]
    ranks = stats.rankdata(risk, method="ordinal") - 1
    group = (ranks * len(names) // len(time)).astype(int)

    def draw(figure):
        ax = figure.subplots()
        for k, name in enumerate(names):
            inside = group == k
            sample = stats.CensoredData.right_censored(time[inside], ~event[inside])
            curve = stats.ecdf(sample).sf  # Kaplan and Meier's
            ax.step(
                np.concatenate([[0.0], curve.quantiles]),
                np.concatenate([[1.0], curve.probabilities]),
                where="post",
                color=f"C{k}",
                label=f"{name} ({inside.sum()} rows, {event[inside].sum()} events)",
            )
        ax.set(xlabel="time", ylabel="share without the event", ylim=(-0.02, 1.02))
        ax.legend(fontsize=8)

    caption = (
        "Kaplan-Meier curves of equal parts of the rows by predicted risk: the further apart, the better the "
        "risks tell early events from late ones."
    )
    return context.figures.draw(draw, caption)
