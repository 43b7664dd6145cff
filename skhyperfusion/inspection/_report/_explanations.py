"""Sections on what the model attends to: profiles, maps, contributions, modulation."""

import importlib.util

import numpy as np
import pandas as pd

from skhyperfusion._table._cells import holds_numbers
from skhyperfusion.inspection._attribution_display import AttributionDisplay
from skhyperfusion.inspection._contribution import modality_contribution
from skhyperfusion.inspection._contribution_display import ContributionDisplay
from skhyperfusion.inspection._image_attribution import image_attribution
from skhyperfusion.inspection._modulation import weight_modulation
from skhyperfusion.inspection._modulation_display import ModulationDisplay
from skhyperfusion.inspection._profile import conditioning_profile
from skhyperfusion.inspection._profile_display import ConditioningDisplay
from skhyperfusion.inspection._report._page import paragraph, side_by_side
from skhyperfusion.inspection._report._results import said_of_rows

_MOST_PROFILES = 6
_MOST_CATEGORIES = 12
_N_GRID = 8
_N_SLICES = 8
_N_PAIRS = 30


def profiles(context):
    """Draw what predictions become where one column is varied."""
    X = context.X.iloc[context.few]
    asked = context.columns is not None
    names = context.columns if asked else [name for name in context.tabular if _can_vary(X[name])]
    if not names:
        return paragraph("No column of the table can be varied.")
    found = [conditioning_profile(context.estimator, X, name, n_grid=_N_GRID) for name in names]
    if not asked:
        found = sorted(found, key=lambda one: -np.ptp(_drawn(one)))[:_MOST_PROFILES]
    figures = []
    for profile in found:
        low, high = _drawn(profile).min(), _drawn(profile).max()
        what = "prediction" if profile.names is None else f"probability of {profile.names[-1]}"
        what += " of the first output" if _has_outputs(context) else ""
        caption = (
            f"Column {profile.column} varied, everything else as it is: the mean {what} goes from {low:.3g} "
            f"to {high:.3g}; a thin line for each of {len(X)} rows."
        )
        display = ConditioningDisplay(profile)
        figures.append(context.figures.draw(lambda f, d=display: d.plot(ax=f.subplots()), caption))
    text = ""
    if len(found) < len(names):
        text = paragraph(
            f"The {len(found)} of {len(names)} columns that move the mean prediction most.", "faint"
        )
    return text + side_by_side(figures)


def _drawn(profile):
    """Return the curve of means that `ConditioningDisplay` draws: of the last class, or the first output."""
    return profile.mean[:, 0 if profile.names is None else -1]


def _has_outputs(context):
    """Whether the model gives several values a row."""
    return context.y.ndim == 2 and context.y.shape[1] > 1


def _can_vary(column):
    """Whether a column has two values, and not so many names that they may be ids."""
    numbers = holds_numbers(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    return column.nunique() >= 2 and (numbers or column.nunique() <= _MOST_CATEGORIES)


def maps(context):
    """Draw what each voxel adds to the prediction, for a few rows."""
    if not context.n_attributions:
        return paragraph("Left out, as n_attributions=0 asks.")
    if importlib.util.find_spec("captum") is None:
        return paragraph('Left out: captum is not installed. Run: pip install "skhyperfusion[explain]".')
    if not context.images or context.networks[0].image_spec_ is None:
        return paragraph("Left out: the network reads no image.")
    if context.pixels:
        return paragraph("Left out: the images are columns of numbers.")
    answers = _last_answers(context)
    there = np.flatnonzero(context.X[context.images].notna().all(axis=1).to_numpy())
    order = there[np.argsort(answers[there], kind="stable")]
    chosen = order[
        np.linspace(0, len(order) - 1, min(context.n_attributions, len(order))).round().astype(int)
    ]
    rows, target = context.X.iloc[chosen].reset_index(drop=True), 0 if _has_outputs(context) else None
    found = image_attribution(context.estimator, rows, target)
    unit = found.unit + (" of the first output" if _has_outputs(context) else "")
    display = AttributionDisplay(found)
    is_volume = len(found.scans.iloc[0, 0].shape) == 3
    figures = []
    for row, place in enumerate(chosen):
        caption = (
            f"What each {'voxel' if is_volume else 'pixel'} of one scan adds to the {unit}, by "
            f"integrated gradients; the model's answer for this row is {answers[place]:.3g}."
        )

        def draw(figure, row=row):
            display.plot(row=row, ax=figure.subplots(), smooth=1.0, mosaic=_N_SLICES if is_volume else None)

        figures.append(context.figures.draw(draw, caption, size=(5.6, 3.1) if is_volume else (4.7, 3.1)))
    text = "Rows from the lowest to the highest answer. A map tells what this model reads, not what is ill."
    return paragraph(text, "faint") + side_by_side(figures)


def _last_answers(context):
    everything = np.arange(len(context.X))
    if hasattr(context.estimator, "predict_proba"):
        return context.answered.predict_proba(everything)[:, -1]
    return context.answered.predict(everything).reshape(len(everything), -1)[:, 0]


def contribution(context):
    """Draw what the score loses when images or table are exchanged among subjects."""
    if not context.images:
        return paragraph("Left out: the rows hold no images.")
    scoring = context.scoring[0] if isinstance(context.scoring, list | tuple) else context.scoring
    found = modality_contribution(
        context.estimator,
        context.X,
        context.y,
        scoring,
        groups=context.subject_numbers(),
        image_columns=context.images,
        n_repeats=5,
        n_resamples=100,
        random_state=context.random_state,
    )
    name = found.scoring.removeprefix("neg_").replace("_", " ")
    told = ", ".join(
        f"{part} {value:.3g} ({low:.3g} to {high:.3g})"
        for part, value, (low, high) in zip(found.names, found.values, found.interval, strict=True)
    )
    caption = f"What {name} loses when subjects get the images or table rows of others: {told}."
    figure = context.figures.draw(
        lambda f: ContributionDisplay(found).plot(ax=f.subplots()), caption, size=(5.2, 2.2)
    )
    text = (
        "The interaction is above zero where images are of use only with the table, and below where both "
        "tell the same."
    )
    return said_of_rows(context) + figure + paragraph(text, "faint")


def modulation(context):
    """Draw how far the generated weights move the output, by layer and column."""
    if context.networks[0].module_.architecture["fusion"] != "hyper":
        return paragraph("Left out: this network generates no weights from the table.")
    X = context.X.iloc[context.few]
    columns = context.tabular if context.is_pipeline else None
    found = weight_modulation(
        context.estimator,
        X,
        columns=columns,
        n_pairs=_N_PAIRS,
        n_images=min(16, len(X)),
        random_state=context.random_state,
    )
    strongest = found.values.max(axis=0).idxmax()
    caption = (
        f"What the generated weights do to the output, by column and external layer: {strongest} moves it "
        "most. The narrow bar is the part that differs between images."
    )
    size = (5.2, 1.4 + 0.35 * found.values.shape[1])
    return context.figures.draw(lambda f: ModulationDisplay(found).plot(ax=f.subplots()), caption, size=size)
