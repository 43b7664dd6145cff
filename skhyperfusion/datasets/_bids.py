"""A BIDS folder as a table with one row per image."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from skhyperfusion._typing import PathLike
from skhyperfusion._wording import listing
from skhyperfusion.datasets._bids_files import find_images
from skhyperfusion.datasets._tsv import read_tsv, typed

_MISSING = ("keep", "drop", "raise")


def read_bids_table(
    root: PathLike,
    *,
    suffix: str = "T1w",
    datatype: str | None = None,
    extensions: Sequence[str] = (".nii.gz", ".nii"),
    image_column: str | None = None,
    participants: PathLike | None = None,
    absolute: bool = True,
    missing: Literal["keep", "drop", "raise"] = "keep",
) -> pd.DataFrame:
    """Read a BIDS folder: ``participants.tsv`` joined to the paths of the images.

    Parameters
    ----------
    root : str or path-like
        Folder with the subjects' folders ``sub-*``; a derivatives folder as well.
    suffix : str, default="T1w"
        Which images: the last part of the file's name, as in ``sub-01_T1w.nii.gz``.
    datatype : str or None, default=None
        Folder that the images lie in, such as ``"anat"``; None: any.
    extensions : sequence of str, default=(".nii.gz", ".nii")
        Of an image that is there with several extensions, the first of these is taken.
    image_column : str or None, default=None
        Name of the column of paths; None: `suffix` in lower case.
    participants : str, path-like or None, default=None
        The table of the subjects; None: ``participants.tsv`` in `root`, if there is one (it is optional).
    absolute : bool, default=True
        Whether the paths are absolute, or relative to `root` (for ``ImageLoader(root=...)``).
    missing : {"keep", "drop", "raise"}, default="keep"
        What becomes of a participant without an image: a row whose path is missing, no row, an error.

    Returns
    -------
    frame : DataFrame
        One row per image, sorted by subject, session, run and path. The index is `participant_id`; it repeats
        where a subject has several images, and ``groups=frame.index`` keeps them together in a
        cross-validation. Columns: the path as str; `session_id` and, under their short names, the other
        entities that the file names hold (``run``, ``acq``, ...), where they occur; those of the
        participants' table and of the subjects' ``*_sessions.tsv``, which has the last word. ``n/a``
        is a missing value.

    Raises
    ------
    FileNotFoundError
        The folder does not exist, or the participants' table that is named, or a table was not fetched.
    ValueError
        A table that is no text, or whose rows have more or fewer cells than its header; subjects that are
        doubled, or have an image but no row; columns called as what the file names hold; no image with this
        suffix.

    Warns
    -----
    UserWarning
        A table that is not UTF-8; sessions that their table does not name, whose values are then missing.

    Notes
    -----
    Hidden files are left out, linked folders are looked into. Images that ``.bidsignore`` names are left out
    unless it names all of this suffix, as it does for kinds that BIDS does not know. A participants' table
    with a column `session_id` is joined by subject and session where the images have sessions.

    Examples
    --------
    >>> from skhyperfusion.datasets import make_brain_cohort, read_bids_table
    >>> cohort = make_brain_cohort(6, shape=(8, 8, 8), random_state=0)
    >>> read_bids_table(cohort.directory).equals(cohort.frame)
    True
    """
    if missing not in _MISSING:
        raise ValueError(
            f"The 'missing' parameter of read_bids_table must be one of 'keep', 'drop' or 'raise'. "
            f"Got {missing!r} instead."
        )
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"No BIDS folder: {str(root)!r} does not exist or is not a folder.")
    extensions = (extensions,) if isinstance(extensions, str) else tuple(extensions)
    column = image_column or suffix.lower()
    images = _images(find_images(root, suffix, datatype, extensions), root, column, absolute)
    source, table = _participants(participants, root)
    if table is None:
        return _sorted(_join_sessions(images, images, root), images)
    keys = _keys(table, images, source)
    _check_subjects(images, table, source)
    if column in table:
        raise ValueError(
            f"{str(source)!r} already has a column {column!r}. "
            f"Pass image_column=... to name the paths otherwise."
        )
    _check_names(table, images, keys, source)
    without = _rows(table, keys) - _rows(images, keys)
    if without and missing == "raise":
        raise ValueError(
            f"{listing(map(' '.join, sorted(without)), noun='participant')} of {str(source)!r} without an "
            f"image *_{suffix} in {str(root)!r}. Pass missing='drop' to leave them out, or missing='keep'."
        )
    table = typed(table, *keys)
    frame = images.merge(table, on=keys, how="left" if missing == "drop" else "outer", sort=False)
    return _sorted(_join_sessions(frame, images, root), images)


def _sorted(frame, images):
    """Return the rows by subject and session, otherwise as the images are sorted; counts stay integers."""
    if "run" in images and pd.api.types.is_integer_dtype(images["run"]) and frame["run"].isna().any():
        frame["run"] = frame["run"].astype("Int64")
    keys = [key for key in ("participant_id", "session_id") if key in images]
    return frame.sort_values(keys, kind="stable").set_index("participant_id")


def _images(found, root, column, absolute):
    """One row per image: path and entities, sorted."""
    rows = []
    for entities in found:
        path = entities.pop("path")
        if column in entities:
            raise ValueError(
                f"{str(root / path)!r} has {column!r} in its name, which is a column of its own. Pass "
                "image_column=... to name the paths otherwise."
            )
        subject = entities.pop("participant_id")
        place = str(root.absolute() / path if absolute else Path(path))
        rows.append({"participant_id": subject, column: place, **entities})
    images = pd.DataFrame(rows)
    if "session_id" in images:  # after the path, whichever image had one first
        images.insert(2, "session_id", images.pop("session_id"))
    if "run" in images and images["run"].dropna().str.fullmatch("[0-9]+").all():
        run = pd.to_numeric(images["run"])
        images["run"] = run.astype("Int64" if run.isna().any() else "int64")
    order = [key for key in ("participant_id", "session_id", "run") if key in images]
    return images.sort_values([*order, column], ignore_index=True)


def _participants(path, root):
    """Return the path of the subjects' table, and the table; None where there is none."""
    source = root / "participants.tsv" if path is None else Path(path).expanduser()
    if path is None and not os.path.lexists(source):
        others = [p.name for p in sorted(root.glob("participants.*")) if p.suffix not in (".json", ".tsv")]
        if others:
            warnings.warn(
                f"{str(root)!r} has no participants.tsv, and {listing(others, noun='file')}: not read. Save "
                "the table separated by tabs, and pass participants=...",
                UserWarning,
                stacklevel=3,
            )
        return source, None
    table = read_tsv(source, "participant_id")
    table["participant_id"] = [_with_prefix(name, "sub-") for name in table["participant_id"]]
    return source, table


def _keys(table, images, source):
    """Return what tells the rows of the subjects' table apart: the subject, or subject and session."""
    keys = ["participant_id"]
    if "session_id" in table and "session_id" in images:
        keys.append("session_id")
        gaps = table.index[table["session_id"].isna()].tolist()
        if gaps:
            raise ValueError(
                f"{str(source)!r}: no 'session_id' in {listing(gaps, noun='line')}, while the images have "
                "sessions. Fill it in, or pass participants=... a copy without this column."
            )
        table["session_id"] = [_with_prefix(name, "ses-") for name in table["session_id"]]
    doubled = table.duplicated(keys)
    if doubled.any():
        names = map(" ".join, table.loc[doubled, keys].to_numpy())
        raise ValueError(
            f"{listing(names, noun='participant')} in {str(source)!r} more than once. Keep one row per "
            f"{'subject' if len(keys) == 1 else 'subject and session'}."
        )
    if len(keys) == 2:
        _warn_unmatched(images, table, repr(str(source)))
    return keys


def _rows(table, keys):
    return set(table[keys].fillna("").itertuples(index=False, name=None))


def _check_subjects(images, table, source):
    missing = sorted(set(images["participant_id"]) - set(table["participant_id"]))
    if missing:
        raise ValueError(
            f"{listing(missing, noun='participant')} with an image but without a row in {str(source)!r}, "
            f"which has {listing(dict.fromkeys(table['participant_id']), noun='participant')}. Add the rows, "
            "or move the images away."
        )


def _check_names(table, images, keys, source):
    """Refuse columns of a table that are called as what the file names of the images hold."""
    shared = [name for name in table.columns if name in images.columns and name not in keys]
    if shared:
        raise ValueError(
            f"{str(source)!r} has {listing(shared, noun='column')}, and the file names of the images hold "
            "the same. Rename it in the table."
        )


def _join_sessions(frame, images, root):
    """Fill in what changes from visit to visit."""
    keys = ["participant_id", "session_id"]
    if "session_id" not in images:
        return frame
    tables = []
    for subject in images["participant_id"].unique():
        path = root / subject / f"{subject}_sessions.tsv"
        if os.path.lexists(path):
            visits = read_tsv(path, "session_id").drop(columns="participant_id", errors="ignore")
            visits["session_id"] = [_with_prefix(name, "ses-") for name in visits["session_id"]]
            _check_names(visits, images, keys, path)
            doubled = visits["session_id"][visits["session_id"].duplicated()].tolist()
            if doubled:
                raise ValueError(
                    f"{listing(doubled, noun='session')} in {str(path)!r} more than once. Keep one row per "
                    "session."
                )
            tables.append(visits.assign(participant_id=subject))
    if not tables:
        return frame
    visits = typed(pd.concat(tables, ignore_index=True), *keys)
    _warn_unmatched(images, visits, "the sessions.tsv of the subject")
    joined = frame.merge(visits, on=keys, how="left", suffixes=("", "\0visit"))
    for name in [c for c in joined.columns if c.endswith("\0visit")]:
        plain = name.removesuffix("\0visit")
        joined[plain] = joined[name].where(joined[name].notna(), joined[plain])
        joined = joined.drop(columns=name)
    return joined


def _warn_unmatched(images, table, where):
    """Say which images have a session that the table of their subject does not name."""
    keys = ["participant_id", "session_id"]
    with_session = images[
        images["participant_id"].isin(table["participant_id"]) & images["session_id"].notna()
    ]
    unmatched = sorted(_rows(with_session, keys) - _rows(table, keys))
    if not unmatched:
        return
    theirs = table.loc[table["participant_id"] == unmatched[0][0], "session_id"]
    warnings.warn(
        f"{listing(map(' '.join, unmatched), noun='session')} with an image but without a row in {where}, "
        f"which has {listing(theirs, noun='session')} for {unmatched[0][0]!r}: their values are missing. "
        "Write the sessions there as the file names of the images do.",
        UserWarning,
        stacklevel=4,
    )


def _with_prefix(name, prefix):
    return name if str(name).startswith(prefix) else f"{prefix}{name}"
