"""Which voxels of a scan speak for a prediction, given the row's table, on the grid of the scan as stored."""

from collections.abc import Mapping, Sequence
from typing import Literal

import nibabel
import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skhyperfusion._optional import import_optional
from skhyperfusion._rules import DictOf, InstanceOf, Nothing, Number, SequenceOf, check_argument
from skhyperfusion._typing import Estimator, TableLike
from skhyperfusion._wording import check_choice
from skhyperfusion.images._voxels._placement import put_back
from skhyperfusion.inspection._answers import Findings, as_rows, check_column
from skhyperfusion.inspection._captum_maps import METHODS, Mapper
from skhyperfusion.inspection._members import Answer, choose_answer, encoded, members_of

NAME = "image_attribution"
_BASELINES = ("blur", "zero")
# Which method reads which parameter; the others refuse it.
_USED_BY = {
    "baseline": ("integrated_gradients", "occlusion"),
    "tolerance": ("integrated_gradients",),
    "window": ("occlusion",),
    "layer": ("gradcam",),
}
_LEVELS = ("occlusion", "gradcam")  # no shares: averaged on the way back, not added up


def image_attribution(
    estimator: Estimator,
    X: TableLike,
    target: object = None,
    method: Literal["integrated_gradients", "saliency", "occlusion", "gradcam"] = "integrated_gradients",
    *,
    against: Mapping[str, object] | None = None,
    baseline: Literal["blur", "zero"] | pd.DataFrame | None = None,
    tolerance: float | None = None,
    window: int | Sequence[int] | None = None,
    layer: str | None = None,
) -> Bunch:
    """Map what each voxel of a scan adds to the prediction, given the table of its row.

    The maps lie on the grid of the image as it is stored, not as the network sees it, so that any viewer
    shows them over the scan.

    Parameters
    ----------
    estimator : estimator
        Fitted: a classifier, regressor or survival model of this package, a fold ensemble of them (the maps
        of its models are averaged), a search over them, or a pipeline that ends in one. It is not changed.
    X : DataFrame or array (n_samples, n_features)
        Rows to explain, as in the estimator's ``fit``.
    target : object, default=None
        Class that the maps speak of; None: the last one. Of a regressor with several outputs, the number of
        one.
    method : {"integrated_gradients", "saliency", "occlusion", "gradcam"}, default="integrated_gradients"
        How, see Notes.
    against : dict, default=None
        Values of columns of the table, as ``{"sex": "M"}``: the maps tell how the reading of the same scan
        changes, from one with these values to one with the row's own.
    baseline : {"blur", "zero"}, DataFrame or None, default=None
        Image that the scan is compared with, by integrated gradients and occlusion. "blur" (None): the scan
        itself, blurred until no structure is left; "zero": voxels of the value 0 behind the loader's
        ``intensity``; rows as X: the mean of their images.
    tolerance : float, default=None
        Of integrated gradients: how far the sum of a map may be from what the prediction gains over the
        baseline's, as a part of the sum of its absolute values; None: 0.01.
    window : int or sequence of int, default=None
        Of occlusion: the window's size in voxels of the image as the network sees it; None: a quarter of it.
    layer : str, default=None
        Of GradCAM: name of the layer whose map is read, as in ``module_.named_modules()``; None: the
        backbone's deepest convolution with at least four positions along each axis.

    Returns
    -------
    Bunch
        ``values``: a DataFrame with the rows of X and its image columns, each cell a map: a
        ``nibabel.Nifti1Image`` with the scan's affine, or where there is none, as of pictures and arrays, an
        array of the image's shape; None where the image is missing. ``scans``: the images themselves,
        likewise, channels averaged. ``prediction`` (n_samples,): what is explained, in ``unit``; ``baseline``
        (n_samples,): the same of the baseline, or None; with `against` both are differences. ``error``
        (n_samples,): what the sum of integrated gradients over the image as the network sees it has too much
        for ``prediction - baseline``, or None. ``names``: the image columns; ``target``, ``method``,
        ``against``: as they were used.

    Raises
    ------
    ImportError
        If captum is not installed (extra ``explain``).
    TypeError
        If the estimator is none of this package's, or `against` is asked for and X is no DataFrame.
    ValueError
        If the network reads no image, or a parameter is not as it should be or is not used by the method.

    Warns
    -----
    UserWarning
        If integrated gradients are not within the tolerance after 1024 steps.

    See Also
    --------
    AttributionDisplay : Draws it.
    tabular_attribution : The share of the table's columns.

    Notes
    -----
    What is explained is, of a classifier, the log-odds of the class, which do not flatten out where the model
    is sure; of a regressor its value, in the unit of y; of a survival model the risk. Of an ensemble it is
    the mean over its models.

    - "integrated_gradients" (Sundararajan and others 2017): the values of a map sum to what the prediction
      gains over the baseline's.
    - "saliency": the absolute derivative with respect to each stored voxel.
    - "occlusion": what the prediction loses where a window takes the baseline's voxels.
    - "gradcam" (Selvaraju and others 2017): where a layer's map speaks for the class; coarse.

    On the way back each voxel that the network sees gives its share to the stored voxels that it was made of
    (the transpose of turning, resampling, cropping and filling): sums are kept, but for what lies in filling
    beyond the stored image. Occlusion and GradCAM, which are levels and no shares, are averaged in its place.
    The loader's ``intensity`` is taken as a fixed scale.

    With `against` and integrated gradients, the map sums to how far the scan's contribution depends on these
    columns: nothing, where a model only adds the two.

    References
    ----------
    Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks", ICML 2017. Selvaraju and others,
    "Grad-CAM", ICCV 2017. Zeiler, Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(30, 8, 8))), "weight": rng.normal(70, 8, 30)})
    >>> y = X["weight"] / 2 + rng.normal(size=len(X))
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=3, random_state=0).fit(X, y)
    >>> found = image_attribution(model, X.head(2))
    >>> found.values["scan"].iloc[0].shape
    (8, 8)
    """
    import_optional("captum.attr", NAME, extra="explain")
    settings = {"baseline": baseline, "tolerance": tolerance, "window": window, "layer": layer}
    _check_arguments(method, against, settings)
    if against is not None:
        as_rows(X, f"{NAME} with against=")
    members = _members(estimator, X)
    answers = [Answer(member.estimator) for member in members]
    columns, target = choose_answer(answers, target, NAME)
    references = _references(estimator, baseline, len(answers))
    mappers = [
        Mapper(answer, column, method, settings | {"baseline": reference})
        for answer, column, reference in zip(answers, columns, references, strict=True)
    ]
    rows = _explain(mappers, members)
    if against is not None:
        other = _members(estimator, _with_values(X, against, members))
        rows = [_difference(*pair) for pair in zip(rows, _explain(mappers, other), strict=True)]
    names, index = _image_names(members[0].estimator), members[0].frame.index
    numbers = np.array([row["numbers"] for row in rows], dtype=float).reshape(len(rows), 3)
    return Findings(
        values=_table([row["maps"] for row in rows], index, names),
        scans=_table([row["scans"] for row in rows], index, names),
        prediction=numbers[:, 0],
        baseline=numbers[:, 1] if method in _USED_BY["baseline"] else None,
        error=numbers[:, 2] if method in _USED_BY["tolerance"] else None,
        names=names,
        target=target,
        unit=answers[0].unit(target),
        method=method,
        against=against,
    )


def _check_arguments(method, against, settings):
    check_choice("method", method, METHODS, "method")
    rules = {
        "tolerance": [Nothing(), Number(float, 0, closed="neither")],
        "window": [Nothing(), Number(int, 1), SequenceOf(Number(int, 1), lengths=(2, 3))],
        "layer": [Nothing(), InstanceOf(str)],
    }
    for name, choices in rules.items():
        check_argument(NAME, name, settings[name], choices)
    check_argument(NAME, "against", against, [Nothing(), DictOf(InstanceOf(object))])
    if isinstance(settings["baseline"], str):
        check_choice("baseline", settings["baseline"], _BASELINES, "baseline")
    for name, methods in _USED_BY.items():
        if settings[name] is not None and method not in methods:
            raise ValueError(
                f"{NAME}: {name}= is used by method={' and '.join(map(repr, methods))} alone. "
                f"Got method={method!r}; leave it out."
            )


def _members(estimator, X):
    """Return the fitted estimators that are explained with their rows; all must read an image."""
    members = members_of(estimator, X, NAME)
    blind = [member for member in members if not member.estimator.module_.fusion.uses_image]
    if blind:
        raise ValueError(
            f"{NAME} maps what a network sees in an image, and this one reads none "
            f"(fusion={blind[0].estimator.fusion!r}); tabular_attribution explains it."
        )
    return members


def _image_names(estimator):
    return ["pixels"] if estimator._encoder.pixels else list(estimator.image_columns_)


def _references(estimator, baseline, n_members):
    """Return the baseline of each member: a name, or the mean image (1, V, C, *S) of some rows."""
    if baseline is None or isinstance(baseline, str):
        return [baseline or "blur"] * n_members
    sources = [encoded(member)[0] for member in _members(estimator, baseline)]
    return [source.stack().mean(axis=0, keepdims=True, dtype=np.float64) for source in sources]


def _with_values(X, against, members):
    """Return the rows with other values in some columns of the table."""
    X = X.copy()
    for column, value in against.items():
        check_column(X, column, NAME)
        if any(column in _image_names(member.estimator) for member in members):
            raise ValueError(
                f"{NAME}: against= changes the table and leaves the image, but {column!r} holds the images."
            )
        X[column] = pd.Series([value] * len(X), index=X.index)
    return X


def _explain(mappers, members):
    """Explain each row by each member, and average over these: a list of dicts."""
    inputs = [encoded(member) for member in members]
    return [
        _mean(
            [
                _explain_row(mapper, row, source, table)
                for mapper, (source, table) in zip(mappers, inputs, strict=True)
            ]
        )
        for row in range(len(members[0].frame))
    ]


def _explain_row(mapper, row, source, table):
    originals = source.originals(row)
    seen, numbers = mapper.explain(
        source.read([row]), None if table is None else table[[row]], n_columns=len(originals)
    )
    maps, scans = {}, {}
    for (name, original), views in zip(originals.items(), seen, strict=True):
        if original is None:
            maps[name] = scans[name] = None
            continue
        stored = put_back(original.views, views, level=mapper.method in _LEVELS)
        maps[name] = np.abs(stored) if mapper.method == "saliency" else stored, original.affine
        scans[name] = original.voxels.mean(axis=0), original.affine
    return {"maps": maps, "scans": scans, "numbers": numbers}


def _mean(found):
    first = found[0]
    maps = {
        name: None if kept is None else (np.mean([one["maps"][name][0] for one in found], axis=0), kept[1])
        for name, kept in first["maps"].items()
    }
    return first | {"maps": maps, "numbers": np.mean([one["numbers"] for one in found], axis=0)}


def _difference(own, other):
    maps = {
        name: None if kept is None else (kept[0] - other["maps"][name][0], kept[1])
        for name, kept in own["maps"].items()
    }
    return own | {"maps": maps, "numbers": own["numbers"] - other["numbers"]}


def _table(rows, index, names):
    """Return a DataFrame of images: with the affine where there is one, else plain arrays."""
    table = pd.DataFrame(index=index, columns=names, dtype=object)
    for position, row in enumerate(rows):
        for column, image in enumerate(row.values()):
            table.iat[position, column] = None if image is None else _as_image(*image)
    return table


def _as_image(voxels, affine):
    voxels = voxels.astype(np.float32)
    return voxels if affine is None else nibabel.Nifti1Image(voxels, affine)
