"""A fitted network as ONNX, and beside it how its inputs are made, for programs without Python."""

import copy
import hashlib
import json
import os
import warnings

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skhyperfusion._base import BaseHyperFusion
from skhyperfusion._engine._losses import log_survival
from skhyperfusion._files import write_whole
from skhyperfusion._optional import import_optional
from skhyperfusion._survival import SurvivalTarget
from skhyperfusion._target import LabelTarget
from skhyperfusion._typing import PathLike
from skhyperfusion.persistence._card import versions
from skhyperfusion.persistence._onnx_image import describe_images
from skhyperfusion.persistence._onnx_table import describe_table

FORMAT = 1
_TOLERANCE = 1e-4  # of what onnxruntime says against torch; float32 alone gives some 1e-6
_N_TRIED = 3  # rows that are tried; export takes 0 and 1 for numbers that never change


def export_onnx(estimator: BaseHyperFusion, path: PathLike) -> None:
    """Write a fitted network to an ONNX file, and beside it, as JSON, how its inputs are made.

    The network has the inputs ``image`` (B, V, C, X, Y, Z) or (B, V, C, H, W), with V views, and ``tabular``
    (B, T), both float32 and for any number of rows B, and one output in float64: ``probabilities``
    (B, n_classes) of a classifier; ``values``, of the shape and in the unit of y, of a regressor; of
    `HyperFusionSurvival` with ``loss="discrete"`` the ``survival`` (B, n_times) at the times that the JSON
    gives, with "cox" the ``risk`` (B,), the logarithm that `predict` returns. A network that reads one side
    has that input alone.

    Parameters
    ----------
    estimator : HyperFusionClassifier, HyperFusionRegressor or HyperFusionSurvival
        Fitted. Of an ensemble, export each of its ``estimators_``; of a pipeline, the last step.
    path : path
        The file to write, which ends in ``.onnx``; the JSON has the same name and ends in ``.json``. Each is
        written whole or not at all, and the JSON holds the SHA-256 sum of the network that it belongs to.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is none of the three.
    ImportError
        If onnx, onnxscript or onnxruntime is absent, or older than torch needs.
    ValueError
        If the table or the images pass a transformer or function of the user's, or an imputer that keeps the
        training table (``"knn"``): these cannot be told as plain data. If torch cannot export the network,
        as of a backbone of the user's, or what it has exported gives other results.

    See Also
    --------
    save_model : For use in Python.

    Notes
    -----
    The guide "Predictions without Python" says what each entry of the JSON means. Neither file holds a path,
    an id or a row of the training table. Needs the extra ``onnx``.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> from skhyperfusion.persistence import export_onnx
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"weight": rng.normal(70, 8, 20), "height": rng.normal(170, 8, 20)})
    >>> y = X["weight"] - X["height"] / 2 + rng.normal(size=20)
    >>> model = HyperFusionRegressor(fusion="tabular", max_epochs=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(model, os.path.join(folder, "model.onnx"))
    ...     sorted(os.listdir(folder))
    ['model.json', 'model.onnx']
    """
    if not isinstance(estimator, BaseHyperFusion):
        raise TypeError(
            "export_onnx takes a HyperFusionClassifier, HyperFusionRegressor or HyperFusionSurvival, not a "
            f"{type(estimator).__name__}. Of an ensemble, export each of its estimators_ and combine their "
            "answers; of a pipeline, its last step."
        )
    check_is_fitted(estimator)
    path = os.fspath(path)
    if not path.endswith(".onnx"):
        raise ValueError(f"The path of an ONNX file ends in '.onnx'. Got {path!r}.")
    for module in ("onnx", "onnxscript", "onnxruntime"):
        import_optional(module, "export_onnx", extra="onnx")
    encoder = estimator._encoder
    images, table = describe_images(encoder), describe_table(encoder)
    answer, output = _answer(estimator)
    network = _Answering(copy.deepcopy(estimator.module_).float(), answer).eval()
    inputs = _tried_inputs(encoder, estimator.module_)
    data = _export(network, inputs, output["name"])
    _check(data, network, inputs)
    description = {
        "format": FORMAT,
        "estimator": type(estimator).__name__,
        "written_by": versions(),
        "network": {
            "file": os.path.basename(path),
            "sha256": hashlib.sha256(data).hexdigest(),
            "inputs": {name: ["rows", *value.shape[1:]] for name, value in inputs.items()},
            "output": output,
        },
        "images": images,
        "table": table,
    }
    text = json.dumps(description, indent=1, allow_nan=False, ensure_ascii=False).encode()
    write_whole(path, lambda file: file.write(data))
    write_whole(f"{path.removesuffix('.onnx')}.json", lambda file: file.write(text))


class _Answering(nn.Module):
    """A network whose output is what the estimator answers.

    Shapes
    ------
    - image : (B, V, C, *S);  tabular : (B, T)
    """

    def __init__(self, network, answer):
        super().__init__()
        self.network = network
        self.answer = answer

    def forward(self, image=None, tabular=None):
        views = [None] if image is None else image.unbind(1)
        outputs = torch.stack([self.network(view, tabular) for view in views], dim=1)  # (B, V, K)
        return self.answer(outputs.double())


class _Probabilities(nn.Module):
    def forward(self, outputs):
        return outputs.softmax(2).mean(1)


class _Values(nn.Module):
    def __init__(self, mean, scale, is_1d):
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float64))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float64))
        self.is_1d = is_1d

    def forward(self, outputs):
        values = outputs.mean(1) * self.scale + self.mean
        return values[:, 0] if self.is_1d else values


class _Survival(nn.Module):
    def __init__(self, log_odds):
        super().__init__()
        self.register_buffer("log_odds", torch.as_tensor(log_odds, dtype=torch.float64))

    def forward(self, outputs):
        return log_survival(outputs, self.log_odds).exp().mean(1)


class _Risk(nn.Module):
    def forward(self, outputs):
        return outputs.mean(1)[:, 0]


def _answer(estimator):
    """Return the module that makes the answer of the outputs (B, V, K), and what the JSON says of it."""
    target = estimator._target
    if isinstance(target, LabelTarget):
        classes = target.classes.tolist()
        if not all(isinstance(label, str | int | float | bool) for label in classes):
            raise ValueError(f"export_onnx writes classes that are text or numbers. Got {classes!r}.")
        return _Probabilities(), {"name": "probabilities", "classes": classes}
    if isinstance(target, SurvivalTarget):
        times = target.times.tolist()
        if target.loss == "cox":
            return _Risk(), {"name": "risk", "times": times, "baseline": target.baseline.tolist()}
        return _Survival(target.log_odds), {"name": "survival", "times": times}
    return _Values(target.mean, target.scale, target.is_1d), {"name": "values", "n_outputs": target.n_outputs}


def _tried_inputs(encoder, module):
    """Return inputs of a few rows, drawn at random in the units that the network is given."""
    rng, spec = np.random.default_rng(0), encoder.image_spec
    inputs = {}
    if module.backbone is not None:
        inputs["image"] = rng.normal(size=(_N_TRIED, spec.n_views, spec.n_channels, *spec.shape))
    if module.n_tabular_features:
        inputs["tabular"] = rng.normal(size=(_N_TRIED, module.n_tabular_features))
    return {name: value.astype(np.float32) for name, value in inputs.items()}


def _export(network, inputs, output_name):
    """Return the bytes of the ONNX file: one file, without the names of places where the code stood."""
    rows = torch.export.Dim("rows")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of its own ways
            program = torch.onnx.export(
                network,
                kwargs={name: torch.from_numpy(value) for name, value in inputs.items()},
                dynamo=True,
                input_names=list(inputs),
                output_names=[output_name],
                dynamic_shapes={name: {0: rows} for name in inputs},
                external_data=False,
                verbose=False,
            )
            model = program.model_proto
    except ImportError as error:  # each torch asks for parts that an onnxscript older than itself lacks
        raise ImportError(
            f"export_onnx needs a newer onnxscript beside torch {torch.__version__} ({error}). "
            "Run: pip install --upgrade onnxscript.",
            name="onnxscript",
        ) from error
    except Exception as error:  # the exporter, and whatever stands in a user's backbone, raise what they like
        raise ValueError(
            f"torch cannot export this network to ONNX ({type(error).__name__}): its backbone does what ONNX "
            "has no word for, or what depends on the number of rows. Train with another backbone, or hand "
            "the model on by save_model."
        ) from error
    for message in _messages(model):
        message.ClearField("metadata_props")
        message.ClearField("doc_string")
    return model.SerializeToString(deterministic=True)


def _messages(model):
    """Yield what of an ONNX model may tell of the code that it comes from."""
    yield model
    for graph in (model.graph, *model.functions):
        yield graph
        yield from graph.node
        yield from graph.value_info
    yield from (*model.graph.input, *model.graph.output, *model.graph.initializer)


def _check(data, network, inputs):
    """Refuse an export that does not answer as the network does, also for one row alone."""
    onnxruntime = import_optional("onnxruntime", "export_onnx", extra="onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    for n_rows in (_N_TRIED, 1):
        part = {name: value[:n_rows] for name, value in inputs.items()}
        with torch.no_grad():
            wanted = network(**{name: torch.from_numpy(value) for name, value in part.items()}).numpy()
        found = session.run(None, part)[0]
        if not np.allclose(found, wanted, rtol=_TOLERANCE, atol=_TOLERANCE):
            raise ValueError(
                "The exported network gives other results than the fitted one (by "
                f"{abs(found - wanted).max():.2g} for rows drawn at random), and was not written. Hand the "
                "model on by save_model."
            )
