"""The files that a table's cells name, and the state that each of them is in."""

import os
import stat

import pandas as pd

from skhyperfusion._table._frames import as_frame

# A volume in two files, of which a cell names one.
_PAIRS = {".hdr": ".img", ".img": ".hdr", ".HDR": ".IMG", ".IMG": ".HDR"}


def texts_of(X):
    """Return the different texts and paths among the cells of a table, sorted.

    Examples
    --------
    >>> texts_of(pd.DataFrame({"age": [70, 71, 72], "scan": ["b.nii", "a.nii", None]}))
    ['a.nii', 'b.nii']
    """
    try:
        frame = as_frame(X)
    except (TypeError, ValueError):  # no table: sparse numbers, a list of texts; the methods know what it is
        frame = pd.DataFrame({"item": list(X) if isinstance(X, list | pd.Series) else []})
    found = set()
    for _, column in frame.items():
        if not pd.api.types.is_numeric_dtype(column):
            found |= {os.fspath(cell) for cell in column if isinstance(cell, str | os.PathLike)}
    return sorted(found)


def roots_of(estimator):
    """Return the folders at which relative paths may start: every parameter ``root``, and the current one."""
    params = estimator.get_params(deep=True).items()
    roots = {os.fspath(v) for name, v in params if _is_root(name) and isinstance(v, str | os.PathLike)}
    return sorted({os.curdir} | roots)


def _is_root(name):
    return name == "root" or name.endswith("__root")


def states_of_files(texts, root):
    """Describe the file or folder that each text names: its size and time of change, and those of its parts.

    Parameters
    ----------
    texts : list of str
        Of which some are paths.
    root : str
        Where the relative ones start.

    Returns
    -------
    list
        An item for each text that names something: the path, and a triple for each file.
    """
    found = []
    for text in texts:
        path = os.path.join(root, os.path.expanduser(text))
        try:
            state = os.stat(path)
        except (OSError, ValueError):  # no path: an id, a category, an image that is not there
            continue
        if stat.S_ISDIR(state.st_mode):
            with os.scandir(path) as entries:
                parts = sorted(_state(entry.name, entry.stat()) for entry in entries if entry.is_file())
        else:
            parts = [_state(os.path.basename(path), state), *_other_half(path)]
        found.append((path, parts))
    return found


def _other_half(path):
    stem, suffix = os.path.splitext(path)
    other = stem + _PAIRS[suffix] if suffix in _PAIRS else None
    return [_state(os.path.basename(other), os.stat(other))] if other and os.path.exists(other) else []


def _state(name, found):
    return name, found.st_size, found.st_mtime_ns
