"""The paragraph for a paper's methods, with versions and parameters."""

import re

from sklearn.base import is_classifier

from skhyperfusion._wording import show
from skhyperfusion.inspection._answered import is_survival
from skhyperfusion.inspection._report._page import paragraph, table
from skhyperfusion.persistence._card import versions
from skhyperfusion.persistence._registry import without_folders

_SOURCE = (
    "Duenias, Nichyporuk, Arbel, Riklin Raviv, HyperFusion: A hypernetwork approach to multimodal "
    "integration of tabular and medical imaging data for predictive modeling, Medical Image "
    "Analysis, 2025 (arXiv 2403.13319)"
)
_FUSIONS = {
    "hyper": "a hypernetwork read the table and generated weights of the network that read the image",
    "image": "a network read the image alone",
    "tabular": "a network read the table alone",
}


def methods(context):
    """Write a paragraph ready for a paper, and the parameters and versions behind it."""
    first = context.networks[0]
    found = versions()
    text = paragraph(" ".join(_sentences(context, first, found)), "note")
    text += table(["parameter", "value"], parameters(first), "parameters other than the defaults")
    return text + table(["package", "version"], found.items(), "versions")


def _sentences(context, first, found):
    kind = "times to an event" if is_survival(context.estimator) else "values"
    kind = "classes" if is_classifier(context.estimator) else kind
    architecture = first.module_.architecture
    fusion = architecture["fusion"]
    how = _FUSIONS.get(fusion, f"images and table were joined by the fusion {fusion!r}")
    yield (
        f"We predicted {kind} with {type(first).__name__} of skhyperfusion {found['skhyperfusion']} (PyTorch "
        f"{found['torch']}, scikit-learn {found['scikit-learn']}): {how}"
        + (f" ({_SOURCE})." if fusion == "hyper" else ".")
    )
    spec = first.image_spec_
    if spec is not None:
        backbone = architecture["backbone"]
        name = f"the {backbone} backbone" if isinstance(backbone, str) else "a backbone of our own"
        size = " x ".join(map(str, spec.shape))
        unit = "voxels" if len(spec.shape) == 3 else "pixels"
        yield f"Images were brought to {size} {unit} and read by {name}."
    if len(context.networks) > 1:
        yield f"{len(context.networks)} such networks were combined by {type(context.estimator).__name__}."
    n_weights = sum(parameter.numel() for parameter in first.module_.parameters())
    yield (
        f"The network has {n_weights:,} learned numbers; it was trained for {len(first.history_)} epochs "
        f"with {first.optimizer} (learning rate {first.lr:g}, weight decay {first.weight_decay:g}, batches "
        f"of {first.batch_size}), and epoch {first.best_epoch_} was kept."
    )
    n_rows = {
        "unseen": "were not used to fit it",
        "training": "are those that it was fitted on",
        "unknown": "[state whether the model was fitted on them]",
    }[context.rows]
    yield (
        f"Scores are of {len(context.X)} rows of {len(context.subjects)} subjects, which {n_rows}; intervals "
        "are percentiles over subjects drawn again with replacement."
    )


def parameters(model):
    """Return the parameters other than the defaults, without folders: (name, value as text)."""
    default = {name: show(value) for name, value in type(model)().get_params(deep=False).items()}
    own = without_folders(model).get_params(deep=False)
    changed = [(name, value) for name, value in own.items() if show(value) != default[name]]
    return [(name, _without_paths(value)) for name, value in changed] or [("all", "as by default")]


def _without_paths(value):
    text = re.sub(r" at 0x[0-9a-f]+", "", show(value))  # of a function
    return text if not {"/", "\\"} & set(text) else f"a {type(value).__name__}"
