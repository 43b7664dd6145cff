"""Save a fitted estimator to one file that others can open without trusting it, and load it."""

import datetime
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import safetensors.numpy
from safetensors import SafetensorError
from sklearn.utils.validation import check_is_fitted

from skhyperfusion._encoder import RowEncoder
from skhyperfusion._typing import Estimator, PathLike
from skhyperfusion._wording import listing, show
from skhyperfusion.images._loader import ImageLoader
from skhyperfusion.persistence._archive import Archive, DamagedFileError, write_archive
from skhyperfusion.persistence._card import model_card, versions
from skhyperfusion.persistence._codec import Decoder, Encoder, UntrustedTypesError
from skhyperfusion.persistence._registry import MissingParameterError, name_of, without_folders

#: Of the files that are written. A file of an older one is read as long as `_MIGRATIONS` leads up to this.
#: What a name in a file means belongs to the format: who changes a named network or an attribute raises the
#: number.
FORMAT = 1
# Format -> what turns its JSON into that of the next one, in place.
_MIGRATIONS: dict[int, Callable[[dict], None]] = {}


def save_model(estimator: Estimator, path: PathLike, *, card: str | None = None) -> None:
    """Save a fitted estimator to one file, which opens elsewhere without running code from it.

    The file is a zip: parameters and what was learned as JSON, weights as safetensors, fitted transformers of
    scikit-learn by skops (extra ``safe``), and a `model_card`. It is written whole or not at all.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of this package, an ensemble or a pipeline of them.
    path : path
        The file to write; one that is there is replaced. No suffix is asked for or added.
    card : str, default=None
        A `model_card`, filled in; None: what can be said without the training rows.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    TypeError
        If a part of it cannot be held by a file; the message names the part.

    See Also
    --------
    load_model : Reads the file.

    Notes
    -----
    The file holds no row of the training table, no path and no id, but for what a transformer of the user's
    own choice keeps: ``imputer="knn"`` keeps the table that it imputes from. Folders (``root``,
    ``cache_dir``) are of the machine that trained and left out. A function or class among the parameters
    (a backbone, an augmentation) is noted by its name, and given again at `load_model`.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionClassifier
    >>> from skhyperfusion.persistence import load_model, save_model
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(20, 8, 8))), "age": rng.normal(70, 8, 20)})
    >>> y = np.where(X["age"] > 70, "old", "young")
    >>> model = HyperFusionClassifier(base_channels=2, max_epochs=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, os.path.join(folder, "model.skhf"))
    ...     loaded = load_model(os.path.join(folder, "model.skhf"))
    >>> bool((loaded.predict_proba(X) == model.predict_proba(X)).all())
    True
    """
    check_is_fitted(estimator)
    if name_of(type(estimator)) is None:
        raise TypeError(
            f"save_model takes the estimators of skhyperfusion, and pipelines and votes of them, not a "
            f"{type(estimator).__name__}. Of a search, save its best_estimator_; others go by joblib or "
            "skops."
        )
    encoder = Encoder()
    model = {
        "format": FORMAT,
        "versions": versions(),
        "saved": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "repr": repr(without_folders(estimator)),
        "model": encoder.encode(estimator, type(estimator).__name__),
    }
    members = {
        "model.json": json.dumps(model, indent=1, allow_nan=False).encode(),
        "card.md": (model_card(estimator) if card is None else card).encode(),
        "arrays.safetensors": safetensors.numpy.save(encoder.arrays),
        **encoder.members,
    }
    write_archive(path, members)


def load_model(
    path: PathLike,
    *,
    image_root: PathLike | None = None,
    trusted: Sequence[str] = (),
    max_bytes: int = 8 << 30,
    **parameters: Any,
) -> Any:
    """Load an estimator that `save_model` wrote.

    Nothing of the file is run: it chooses among the types that are listed in this package, its sizes and
    sums are checked before anything is unpacked, and its weights must fit the network that it describes.

    Parameters
    ----------
    path : path
        The file.
    image_root : path, default=None
        Folder where relative paths of images start on this machine, since the file does not tell that of the
        machine that trained: the ``root`` of every `ImageLoader` in the model, for predictions and for a
        later `fit` alike. None: the working directory.
    trusted : sequence of str, default=()
        Full names of types, beyond those of scikit-learn and this package, that the file may hold: of a
        ``tabular_preprocessor`` of your own. Name only what you know; the error lists what is wanted.
    max_bytes : int, default=8 GiB
        Unpacked size above which the file is refused.
    **parameters : dict
        What no file can hold, functions and classes, given again by the name of the parameter, as
        ``backbone=make_backbone``. What only training uses may be left out; `fit` then asks for it.

    Returns
    -------
    estimator
        Fitted as it was, on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged (`DamagedFileError`), of a newer format, holds types that are not trusted, or
        lacks a backbone that must be given again.
    TypeError
        If a parameter is given for which the file has no use: ``image_root`` of a model without images, too.
    NotADirectoryError
        If ``image_root`` is no folder.

    Examples
    --------
    A model is trained on scans below one folder, and used on those below another.

    >>> import os, tempfile
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionClassifier, ImageLoader
    >>> folder, rng = tempfile.TemporaryDirectory(), np.random.default_rng(0)
    >>> for i in range(20):
    ...     np.save(os.path.join(folder.name, f"{i}.npy"), rng.normal(size=(8, 8)))
    >>> X = pd.DataFrame({"scan": [f"{i}.npy" for i in range(20)], "age": rng.normal(70, 8, 20)})
    >>> loader = ImageLoader(root=folder.name)
    >>> model = HyperFusionClassifier(image_loader=loader, base_channels=2, max_epochs=2)
    >>> path = os.path.join(folder.name, "model.skhf")
    >>> model.fit(X, np.where(X["age"] > 70, "old", "young")).save(path)
    >>> loaded = load_model(path, image_root=folder.name)
    >>> bool((loaded.predict_proba(X) == model.predict_proba(X)).all())
    True
    >>> folder.cleanup()
    """
    if image_root is not None:
        _check_root(image_root)
    with Archive(path, max_bytes) as archive:
        model = _read_json(archive)
        _check_format(model, archive.path)
        try:
            arrays = safetensors.numpy.load(archive.read("arrays.safetensors"))
            decoder = Decoder(archive, arrays, trusted, parameters)
            estimator = decoder.decode(model["model"])
            if name_of(type(estimator)) is None:
                raise DamagedFileError(f"{archive.path!r} holds {show(estimator)}, which is no estimator.")
        except (DamagedFileError, MissingParameterError, UntrustedTypesError, ImportError):
            raise
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, SafetensorError) as error:
            raise DamagedFileError(
                f"{archive.path!r}: what the file says of the model does not hold together "
                f"({type(error).__name__}: {error}). It was changed, or not written by save_model."
            ) from error
    unused = sorted(set(parameters) - decoder.used)
    if unused:
        raise TypeError(
            f"load_model got {listing(unused, noun='parameter')}, but the file holds all of that itself, or "
            "knows no such parameter. Use set_params on the loaded estimator to change it."
        )
    if image_root is not None:
        _look_for_images_in(image_root, decoder.made)
    return estimator


def _check_root(image_root):
    if not isinstance(image_root, str | os.PathLike):
        raise TypeError(f"load_model(image_root=...) must be the path of a folder. Got {show(image_root)}.")
    if not os.path.isdir(os.path.expanduser(image_root)):
        raise NotADirectoryError(
            f"load_model(image_root={os.fspath(image_root)!r}): there is no such folder. Give the one where "
            "relative paths of images start, or leave image_root out."
        )


def _look_for_images_in(image_root, made):
    """Let the loaders among the objects of a model start relative paths at `image_root`."""
    readers = [part.image_loader for part in made if isinstance(part, RowEncoder) and part.image_columns]
    if not all(hasattr(loader, "root") for loader in readers) or not readers:
        found = f"a {type(readers[0]).__name__}, which has no root" if readers else "nothing, as it has none"
        raise TypeError(
            f"load_model got image_root, but the model of the file reads its images by {found}. Leave it out."
        )
    for part in made:
        loader = getattr(part, "image_loader", part)
        if loader is None:  # left at its default; a fit to come is to read where predictions do
            part.image_loader = ImageLoader(root=image_root)
        elif hasattr(loader, "root"):
            loader.root = image_root


def _read_json(archive):
    try:
        return json.loads(archive.read("model.json"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DamagedFileError):
            raise
        raise DamagedFileError(f"{archive.path!r}: model.json is no JSON ({error}).") from error


def _check_format(model, path):
    """Bring the JSON of an older format up to this one, in place; refuse what cannot be."""
    number = model.get("format") if isinstance(model, dict) else None
    if type(number) is not int or number < 1 or "model" not in model:
        raise DamagedFileError(f"{path!r} names no format that save_model writes: {show(number)}.")
    if number > FORMAT:
        versions = model.get("versions")
        version = versions.get("skhyperfusion") if isinstance(versions, dict) else versions
        raise DamagedFileError(
            f"{path!r} is of format {number}, and this version of skhyperfusion reads up to {FORMAT}. "
            f"It was saved by version {show(version)}: install that one."
        )
    while number < FORMAT:
        _MIGRATIONS[number](model)
        number += 1
