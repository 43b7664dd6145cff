"""Sections on what went in, and on the network: data checks, columns, layers, training."""

from collections import Counter

import numpy as np
import pandas as pd

from skhyperfusion._table._cells import as_number
from skhyperfusion.images._report import check_images
from skhyperfusion.inspection._report._page import paragraph, side_by_side, table
from skhyperfusion.inspection._training_display import TrainingDisplay

_MOST_NETWORKS = 5
_MOST_LAYERS = 20
_MOST_COLUMNS = 60


def data_checks(context):
    """Count rows, subjects and targets, and tell what is odd about the images."""
    X, y = context.X, context.y
    twice = int(X[context.tabular].astype(str).duplicated().sum()) if context.tabular else 0
    rows = [("rows", len(X)), ("subjects", len(context.subjects)), *_target(y)]
    if context.tabular:
        rows.append(("rows whose table equals another's", twice))
    parts = [table(["", ""], rows, "rows and target")]
    if not context.images:
        return parts[0] + paragraph("The rows hold no images.")
    if context.pixels:
        return parts[0] + paragraph("The images are columns of numbers, which are not checked as images.")
    found = check_images(X, image_columns=context.images, image_loader=context.networks[0].image_loader)
    kinds = Counter(kind for kinds in found["kinds"] for kind in kinds)
    shapes = Counter(" x ".join(map(str, shape)) for shape in found["shape"] if shape is not None)
    rows = [("images", len(found)), ("not readable", int((~found["readable"]).sum()))]
    rows += [(f"shape {shape}", n) for shape, n in shapes.most_common(4)]
    rows += [(f"odd: {kind}", n) for kind, n in kinds.most_common()]
    parts.append(table(["images", "how many"], rows, "images"))
    if kinds:
        advice = "skhyperfusion.images.check_images tells which images are odd, and why."
        parts.append(paragraph(advice, "faint"))
    return "".join(parts)


def _target(y):
    if y.dtype.names:
        event, time = (y[field] for field in y.dtype.names)
        return [("events seen", int(event.sum())), ("median time", f"{np.median(time):.4g}")]
    if y.ndim == 1 and (y.dtype.kind not in "fc" and len(np.unique(y)) <= 20):
        return [(f"target {name}", n) for name, n in zip(*np.unique(y, return_counts=True), strict=True)]
    values = y.reshape(len(y), -1)
    several = values.shape[1] > 1
    return [
        (f"target{f' {k + 1}' if several else ''}", f"mean {v.mean():.4g}, standard deviation {v.std():.4g}")
        for k, v in enumerate(values.astype(float).T)
    ]


def columns(context):
    """List each column's part and its share of gaps; of numbers the quartiles, never single values."""
    parts = dict.fromkeys(context.images, "image") | dict.fromkeys(context.tabular, "table")
    if context.group is not None:
        parts[context.group] = "subject's id, no feature"
    rows = [
        (name, parts[name], f"{context.X[name].isna().mean():.1%}", _summary(context.X[name], parts[name]))
        for name in list(context.X.columns)[:_MOST_COLUMNS]
    ]
    text = table(["column", "part", "missing", "values"], rows, "columns")
    left = len(context.X.columns) - len(rows)
    return text + (paragraph(f"And {left} columns more.", "faint") if left else "")


def _summary(column, part):
    if part != "table" or column.notna().sum() == 0:
        return ""
    known = column.dropna()
    numbers = pd.Series([as_number(cell) for cell in known], dtype=float).dropna()  # "<80" is one
    if len(numbers) == len(known) and not pd.api.types.is_bool_dtype(column.dtype):
        low, middle, high = np.quantile(numbers, [0.25, 0.5, 0.75])
        return f"median {middle:.4g}, quartiles {low:.4g} to {high:.4g}"
    return f"{column.nunique()} different"


def network(context):
    """Describe the network, and its external layers."""
    first = context.networks[0]
    architecture = first.module_.architecture
    n_weights = sum(parameter.numel() for parameter in first.module_.parameters())
    backbone = architecture["backbone"]
    rows = [
        ("estimator", type(context.estimator).__name__),
        ("networks", len(context.networks)),
        ("fusion", architecture["fusion"]),
        ("backbone", backbone if isinstance(backbone, str) else "of the user's own"),
        ("learned numbers", f"{n_weights:,}"),
    ]
    spec = first.image_spec_
    if spec is not None:
        rows.append(("image as the network sees it", " x ".join(map(str, spec.shape))))
    parts = [table(["", ""], rows, "network")]
    layers = list(first.external_layers_)
    if layers:
        what = "External layers, whose weights the hypernetwork makes for each row: "
        shown = ", ".join(layers[:_MOST_LAYERS]) + (", ..." if len(layers) > _MOST_LAYERS else "")
        parts.append(paragraph(f"{what}{shown}."))
    else:
        parts.append(paragraph("No layer is external: no weights are generated from the table."))
    if len(context.networks) > 1:
        parts.append(paragraph("Of several networks, which are alike, the first is described.", "faint"))
    return "".join(parts)


def training(context):
    """Draw losses, scores and learning rates by epoch."""
    figures = []
    for number, model in enumerate(context.networks[:_MOST_NETWORKS]):
        display = TrainingDisplay(model.history_, model.best_epoch_)
        last = model.history_["train_loss"].iloc[-1]
        caption = (
            f"Network {number + 1} of {len(context.networks)}: losses and learning rate by epoch; training "
            f"loss {last:.3g} at the end, epoch {model.best_epoch_} kept."
        )
        figures.append(context.figures.draw(lambda f, d=display: d.plot(ax=f.subplots()), caption))
    left = len(context.networks) - len(figures)
    return side_by_side(figures) + (paragraph(f"And {left} networks more.", "faint") if left else "")
