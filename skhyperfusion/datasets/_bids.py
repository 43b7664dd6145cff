"""A BIDS folder as a table with one row per image."""

from pathlib import Path

import pandas as pd

_MISSING = ("keep", "drop", "raise")


def read_bids_table(
    root,
    *,
    suffix="T1w",
    datatype=None,
    extensions=(".nii.gz", ".nii"),
    image_column=None,
    participants=None,
    absolute=True,
    missing="keep",
):
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
        The table of the subjects; None: ``participants.tsv`` in `root`.
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
        The folder or the participants' table does not exist.
    ValueError
        Subjects that are doubled, or in only one of table and folder; no image with this suffix.

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
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"No BIDS folder: {str(root)!r} does not exist or is not a folder.")
    source = Path(participants) if participants is not None else root / "participants.tsv"
    table = _participants(source)
    if isinstance(extensions, str):
        extensions = (extensions,)
    column = image_column or suffix.lower()
    images = _images(root, suffix, datatype, tuple(extensions), column, absolute)
    _check_subjects(images, table, source)
    if column in table.columns:
        raise ValueError(
            f"{str(source)!r} already has a column {column!r}. "
            f"Pass image_column=... to name the paths otherwise."
        )
    without = table.index.difference(images.index).tolist()
    if without and missing == "raise":
        raise ValueError(
            f"{_listing(without)} of {str(source)!r} without an image *_{suffix} in {str(root)!r}. "
            f"Pass missing='drop' to leave them out, or missing='keep'."
        )
    frame = images.join(table, how="left" if missing == "drop" else "outer", sort=False)
    frame = _join_sessions(frame, root)
    frame.index.name = "participant_id"
    return frame.iloc[frame.index.argsort(kind="stable")]


def _participants(path):
    if not path.is_file():
        raise FileNotFoundError(
            f"{str(path)!r} does not exist. A BIDS folder lists its subjects there; pass participants=... "
            f"if the table is elsewhere."
        )
    table = _read_tsv(path)
    _check_ids(table, "participant_id", path)
    table["participant_id"] = [_with_prefix(name, "sub-") for name in table["participant_id"]]
    doubled = table["participant_id"][table["participant_id"].duplicated()].tolist()
    if doubled:
        raise ValueError(f"{_listing(doubled)} in {str(path)!r} more than once. Keep one row per subject.")
    return table.set_index("participant_id")


def _check_ids(table, column, path):
    if column not in table.columns:
        raise ValueError(
            f"{str(path)!r} has no column {column!r}; its columns are {list(table.columns)[:5]!r}. "
            f"The file must be separated by tabs."
        )
    empty = (table[column].isna().to_numpy().nonzero()[0] + 1).tolist()
    if empty:
        raise ValueError(
            f"{str(path)!r}: row {', '.join(map(str, empty[:5]))} (of {len(empty)} such) has no {column!r}. "
            f"Fill it in or delete the row."
        )


def _read_tsv(path):
    # Only 'n/a' and an empty cell are missing in BIDS: 'NA' or 'None' may be a category.
    return pd.read_csv(
        path,
        sep="\t",
        na_values=["n/a", ""],
        keep_default_na=False,
        encoding="utf-8-sig",
        dtype={"participant_id": str, "session_id": str},
    )


def _images(root, suffix, datatype, extensions, column, absolute):
    """One row per image: path and entities, indexed by subject."""
    best = {}
    for path in root.glob("sub-*/**/*"):
        extension = next((e for e in extensions if path.name.endswith(f"_{suffix}{e}")), None)
        if extension is None or (datatype is not None and path.parent.name != datatype):
            continue
        stem = path.name[: -len(extension)]
        key = (path.parent, stem)
        if key not in best or extensions.index(extension) < extensions.index(best[key][1]):
            best[key] = (path, extension)
    if not best:
        where = f"sub-*/**/{datatype}" if datatype is not None else "sub-*"
        raise ValueError(
            f"No image *_{suffix} with an extension of {extensions!r} under {str(root / where)!r}. "
            f"Check suffix={suffix!r} and datatype={datatype!r}."
        )
    rows = []
    for (_, stem), (path, _) in best.items():
        inner = path.relative_to(root)
        entities = dict(part.split("-", 1) for part in stem.split("_")[:-1] if "-" in part)
        if f"sub-{entities.pop('sub', '')}" != inner.parts[0]:
            raise ValueError(
                f"{str(path)!r} lies in the folder of {inner.parts[0]!r} but its name says otherwise."
            )
        session = entities.pop("ses", None)
        row = {"participant_id": inner.parts[0], column: str(root.absolute() / inner if absolute else inner)}
        row |= {"session_id": f"ses-{session}"} if session is not None else {}
        rows.append(row | entities)
    images = pd.DataFrame(rows)
    if "run" in images:
        run = pd.to_numeric(images["run"])
        images["run"] = run.astype("Int64" if run.isna().any() else "int64")
    order = [key for key in ("participant_id", "session_id", "run") if key in images]
    return images.sort_values([*order, column]).set_index("participant_id")


def _check_subjects(images, table, source):
    strangers = images.index.unique().difference(table.index).tolist()
    if strangers:
        raise ValueError(
            f"{_listing(strangers)} with an image but without a row in {str(source)!r}. "
            f"Add the rows, or move the images away."
        )


def _join_sessions(frame, root):
    """Fill in what changes from visit to visit."""
    if "session_id" not in frame:
        return frame
    tables = []
    for subject in frame.index.unique():
        path = root / subject / f"{subject}_sessions.tsv"
        if path.is_file():
            visits = _read_tsv(path)
            _check_ids(visits, "session_id", path)
            tables.append(visits.assign(participant_id=subject))
    if not tables:
        return frame
    visits = pd.concat(tables)
    visits["session_id"] = [_with_prefix(name, "ses-") for name in visits["session_id"]]
    keys = ["participant_id", "session_id"]
    doubled = [" ".join(key) for key in visits.loc[visits.duplicated(keys), keys].to_numpy()]
    if doubled:
        raise ValueError(f"{_listing(doubled)} in a sessions.tsv more than once. Keep one row per session.")
    frame = frame.rename_axis("participant_id").reset_index()
    joined = frame.merge(visits, on=keys, how="left", suffixes=("", "\0visit"))
    for name in [c for c in joined.columns if c.endswith("\0visit")]:
        plain = name.removesuffix("\0visit")
        joined[plain] = joined[name].where(joined[name].notna(), joined[plain])
        joined = joined.drop(columns=name)
    return joined.set_index("participant_id")


def _with_prefix(name, prefix):
    return name if str(name).startswith(prefix) else f"{prefix}{name}"


def _listing(names, limit=5):
    shown = ", ".join(map(repr, names[:limit])) + (", ..." if len(names) > limit else "")
    return f"{len(names)} participant{'s' if len(names) > 1 else ''} ({shown})"
