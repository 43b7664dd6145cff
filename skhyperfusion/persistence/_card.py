"""A model card: what a fitted model is, in Markdown, with blanks for what only people can say."""

import importlib.metadata
import platform
from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

import skhyperfusion
from skhyperfusion._base import BaseHyperFusion
from skhyperfusion._typing import ArrayLike, Estimator
from skhyperfusion._wording import show
from skhyperfusion.persistence._registry import without_folders

_BLANK = "*To be filled in.*"
_MOST_ROWS = 20  # of a table in the card


def model_card(
    estimator: Estimator,
    X: pd.DataFrame | None = None,
    y: ArrayLike | None = None,
    *,
    scores: Mapping[str, float | str] | None = None,
) -> str:
    """Describe a fitted model in Markdown, in the sections of the cards of skops and Hugging Face.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of this package, or an ensemble or pipeline with one inside.
    X : DataFrame (n_samples, n_features), default=None
        The training rows: the card then tells their number and each column's share of gaps.
    y : array (n_samples,), default=None
        Their targets: the card then tells how often each class occurs, or the range of the values.
    scores : dict of str to float or str, default=None
        Scores to state, by what they are, such as ``{"balanced accuracy, 5 folds": "0.71 (sd 0.04)"}``. The
        card computes none: a score on training rows says nothing.

    Returns
    -------
    str
        Markdown. Intended use, limits, authors and contact are blanks.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    save_model : Puts a card into the file.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(20, 8, 8))), "weight": rng.normal(70, 8, 20)})
    >>> y = X["weight"] / 2 + rng.normal(size=len(X))
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=2).fit(X, y)
    >>> for line in model_card(model, X).splitlines()[:5]:
    ...     print(line)
    # HyperFusionRegressor
    <BLANKLINE>
    ## Model description
    <BLANKLINE>
    A regressor that reads images and a table; `fusion='hyper'`.
    """
    check_is_fitted(estimator)
    inner = list(_networks_of(estimator))
    sections = [
        ("Model description", _description(estimator, inner)),
        ("Intended uses", _BLANK),
        ("Limitations", _BLANK),
        ("Data", _data(inner, X, y)),
        ("Network", "\n\n".join(_network(model, number, len(inner)) for number, model in enumerate(inner))),
        ("Training", "\n\n".join(_training(model, number, len(inner)) for number, model in enumerate(inner))),
        ("Scores", _scores(scores)),
        ("Parameters", _parameters(estimator)),
        ("Versions", _table(["package", "version"], versions().items())),
        ("How to use", _use()),
        ("Authors and contact", _BLANK),
        ("Citation", _CITATION),
    ]
    title = f"# {type(estimator).__name__}\n"
    return title + "".join(f"\n## {name}\n\n{text}\n" for name, text in sections)


def versions():
    """Return the versions that a model depends on: name -> version."""
    packages = ("torch", "skorch", "scikit-learn", "pandas", "numpy")
    return {
        "skhyperfusion": skhyperfusion.__version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


_CITATION = (
    'Duenias, Nichyporuk, Arbel, Riklin Raviv, "HyperFusion: A hypernetwork approach to multimodal '
    'integration of tabular and medical imaging data for predictive modeling", Medical Image Analysis, 2025, '
    "arXiv 2403.13319."
)


# Attributes in which an estimator of estimators keeps those that it has fitted.
_HOLDERS = ("estimators_", "steps", "regressor_", "calibrated_classifiers_", "estimator", "best_estimator_")


def _networks_of(value, depth=0):
    """Yield the fitted estimators of ours inside a value, each once, in order."""
    if isinstance(value, BaseHyperFusion):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _networks_of(item, depth)
    elif depth < 4 and hasattr(value, "get_params"):
        for name in _HOLDERS:
            if hasattr(value, name):
                yield from _networks_of(getattr(value, name), depth + 1)
                return


def _description(estimator, inner):
    is_survival = hasattr(estimator, "predict_survival_function")
    kind = "classifier" if is_classifier(estimator) else "survival model" if is_survival else "regressor"
    text = f"A {kind}"
    if not inner:
        return f"{text} of the kind {type(estimator).__name__}."
    first = inner[0]
    there = {"images": first.image_columns_, "a table": first.tabular_columns_}
    sides = [side for side, columns in there.items() if columns]
    text += f" that reads {' and '.join(sides)}; `fusion={first.module_.architecture['fusion']!r}`."
    if len(inner) > 1:
        text += f" {len(inner)} networks, whose predictions are combined by {type(estimator).__name__}."
    if hasattr(estimator, "classes_"):
        text += f" Classes: {', '.join(map(show, estimator.classes_.tolist()))}."
    return text


def _data(inner, X, y):
    parts = []
    if X is not None:
        parts.append(f"{len(X)} rows{_of_subjects(inner, X)}.")
    if inner:
        model = inner[0]
        frame = X if isinstance(X, pd.DataFrame) else None
        roles = [
            *((name, "image") for name in model.image_columns_),
            *((name, "table") for name in model.tabular_columns_),
            *((name, "subject's id, not a feature") for name in _group_of(model)),
        ]
        rows = [(name, role, _share_missing(frame, name)) for name, role in roles[:_MOST_ROWS]]
        parts.append(_table(["column", "role", "missing"], rows))
        if len(roles) > _MOST_ROWS:
            parts.append(f"And {len(roles) - _MOST_ROWS} columns more.")
        parts.append(_images(model))
    if y is not None:
        parts.append(_target(np.asarray(y)))
    return "\n\n".join(part for part in parts if part) or _BLANK


def _group_of(model):
    return [] if model.group_column is None else [model.group_column]


def _of_subjects(inner, X):
    """Say how many subjects the rows are of, where a column tells."""
    known = [name for model in inner[:1] for name in _group_of(model) if isinstance(X, pd.DataFrame)]
    return "".join(f" of {X[name].nunique()} subjects" for name in known if name in X.columns)


def _share_missing(frame, name):
    if frame is None or name not in frame.columns:
        return "not known"
    return f"{frame[name].isna().mean():.1%}"


def _images(model):
    spec = model.image_spec_
    if spec is None:
        return ""
    spacing = "differs or unknown"
    if spec.spacing is not None:
        spacing = " x ".join(f"{size:g}" for size in spec.spacing)
    policy = {"raise": "refused", "zeros": "read as zeros, flagged in the table"}
    rows = [
        ("shape", " x ".join(map(str, spec.shape))),
        ("channels", spec.n_channels),
        ("views per image", spec.n_views),
        ("spacing (mm)", spacing),
        ("orientation", spec.orientation or "as stored"),
        ("intensity", spec.intensity),
        ("missing images", policy[model._encoder.image_loader.missing]),
    ]
    return _table(["images", ""], rows)


def _target(y):
    if y.dtype.names is not None:
        event, time = (y[name] for name in y.dtype.names)
        return (
            f"Target: {int(event.sum())} events in {len(y)} rows, times from {time.min():.4g} to "
            f"{time.max():.4g}."
        )
    if y.dtype.kind == "f" and y.ndim == 1:
        return f"Target: {y.min():.4g} to {y.max():.4g}, mean {y.mean():.4g}, sd {y.std():.4g}."
    if y.ndim > 1:
        return f"Target: {y.shape[1]} values a row."
    names, counts = np.unique(y, return_counts=True)
    if len(names) > _MOST_ROWS:
        return f"Target: {len(names)} different values, {show(names[0])} to {show(names[-1])}."
    return _table(["target", "rows"], zip(names.tolist(), counts.tolist(), strict=True))


def _network(model, number, n_models):
    architecture = model.module_.architecture
    backbone = architecture["backbone"]
    n_weights = sum(parameter.numel() for parameter in model.module_.parameters())
    rows = [
        ("backbone", backbone if isinstance(backbone, str) else "of the user's own"),
        ("fusion", architecture["fusion"]),
        ("learned numbers", f"{n_weights:,}"),
        ("external layers", ", ".join(f"`{name}`" for name in model.external_layers_) or "none"),
    ]
    return _heading(number, n_models) + _table(["network", ""], rows)


def _training(model, number, n_models):
    history = model.history_
    kept = history.iloc[model.best_epoch_ - 1]
    rows = [("epochs", len(history)), ("epoch kept", model.best_epoch_)]
    rows += [(f"{name}, epoch kept", f"{kept[name]:.4g}") for name in history.columns if "loss" in name]
    rows += [("seconds", f"{history['seconds'].sum():.0f}"), ("random_state", show(model.random_state))]
    shown = history.iloc[np.unique(np.linspace(0, len(history) - 1, 10).astype(int))]
    curve = _table(shown.columns, ([_short(value) for value in row] for row in shown.itertuples(index=False)))
    return f"{_heading(number, n_models)}{_table(['training', ''], rows)}\n\n{curve}"


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def _heading(number, n_models):
    return f"### Network {number + 1} of {n_models}\n\n" if n_models > 1 else ""


def _scores(scores):
    return _BLANK if not scores else _table(["score", "value"], scores.items())


def _parameters(estimator):
    defaults = type(estimator)().get_params(deep=False) if isinstance(estimator, BaseHyperFusion) else {}
    defaults = {name: show(value) for name, value in defaults.items()}
    rows = []
    for name, value in without_folders(estimator).get_params(deep=False).items():
        rows.append((f"`{name}`", f"`{show(value)}`", "yes" if defaults.get(name) == show(value) else ""))
    return _table(["parameter", "value", "default"], rows)


def _use():
    return (
        "```python\nfrom skhyperfusion.persistence import load_model\n\n"
        'model = load_model("model.skhf")\nmodel.predict(X)  # a DataFrame with the columns above\n```'
    )


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(cell):
    return str(cell).replace("|", "\\|").replace("\n", " ")
