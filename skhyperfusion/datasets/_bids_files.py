"""The images of a BIDS folder: which files they are, and what their names say."""

import os
import re
from pathlib import Path, PurePosixPath

from skhyperfusion._wording import listing


def find_images(root, suffix, datatype, extensions):
    """Return a dict per image: ``participant_id``, ``path`` (from `root`), and the entities of its name."""
    found = {}
    for path in _subject_files(root, suffix, extensions):
        extension = _extension(path.name, suffix, extensions)
        if extension is None or (datatype is not None and path.parent.name != datatype):
            continue
        key = (path.parent, path.name[: -len(extension)])
        if key not in found or extensions.index(extension) < extensions.index(found[key][1]):
            found[key] = (path, extension)
    if not found:
        raise ValueError(_no_image_message(root, suffix, datatype, extensions))
    ignored = _ignore_rules(root)
    kept = {key: value for key, value in found.items() if not ignored(value[0])}
    # A study whose images of this kind are all in .bidsignore has a kind that BIDS does not know, such as CT.
    return [_described(path, stem, root) for (_, stem), (path, _) in (kept or found).items()]


def _extension(name, suffix, extensions):
    return next((e for e in extensions if name.endswith(f"_{suffix}{e}")), None)


def _subject_files(root, suffix, extensions):
    """Yield the paths below ``sub-*``, from `root` on, but for what is hidden (macOS's "._*" as well)."""
    for entry in _visible(root):
        if entry.name.startswith("sub-") and entry.is_dir():
            yield from _files_below(entry, PurePosixPath(entry.name), (), suffix, extensions)


def _files_below(folder, name, above, suffix, extensions):
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that it lies in
        return
    for entry in _visible(folder):
        inner = name / entry.name
        # A folder named as an image is one to the caller: the loader knows series of slices.
        if entry.is_dir() and _extension(entry.name, suffix, extensions) is None:
            yield from _files_below(entry, inner, (*above, real), suffix, extensions)
        else:
            yield inner


def _visible(folder):
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def _described(path, stem, root):
    shown = str(root / path)
    pairs = [part.split("-", 1) for part in stem.split("_")[:-1] if "-" in part]
    entities = dict(pairs)
    if len(entities) < len(pairs):
        raise ValueError(f"{shown!r} has an entity twice in its name. Rename the file.")
    row = {"participant_id": path.parts[0], "path": path}
    if f"sub-{entities.pop('sub', '')}" != path.parts[0]:
        raise ValueError(f"{shown!r} lies in the folder of {path.parts[0]!r} but its name says otherwise.")
    folder = path.parts[1] if path.parts[1].startswith("ses-") else None
    session = f"ses-{entities.pop('ses')}" if "ses" in entities else folder
    if folder not in (None, session):
        raise ValueError(f"{shown!r} lies in the folder of {folder!r} but its name says otherwise.")
    return row | ({} if session is None else {"session_id": session}) | entities


def _no_image_message(root, suffix, datatype, extensions):
    where = f"sub-*/**/{datatype}" if datatype is not None else "sub-*"
    inner = {
        path.parent for pattern in ("*/sub-*", "derivatives/*/sub-*") for path in Path(root).glob(pattern)
    }
    inner = sorted(str(path) for path in inner if not path.name.startswith((".", "sub-")))
    hint = f" Folders of subjects lie in {listing(inner, noun='folder')}." if inner else ""
    return (
        f"No image *_{suffix} with an extension of {extensions!r} under {str(root / where)!r}. "
        f"Check suffix={suffix!r} and datatype={datatype!r}.{hint}"
    )


def _ignore_rules(root):
    """Return a function that tells whether ``.bidsignore``, written as .gitignore is, names a path."""
    try:
        lines = (root / ".bidsignore").read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:  # none, or none that can be read: nothing is ignored then
        return lambda path: False
    rules = [_rule(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#")]

    def ignored(path):
        named = False
        for names, pattern in rules:
            if pattern.fullmatch(str(path)):
                named = names
        return named

    return ignored


def _rule(line):
    names = not line.startswith("!")
    line = line.removeprefix("!")
    folder, inner = line.endswith("/"), line.strip("/")
    anchored = "/" in line.rstrip("/")
    parts = re.split(r"(\*\*/|/\*\*$|\*|\?|\[[^\]]+\])", inner)
    regex = "".join(_WILD.get(part, part if part.startswith("[") else re.escape(part)) for part in parts)
    return names, re.compile(("" if anchored else "(?:.*/)?") + regex + ("/.*" if folder else "(?:/.*)?"))


_WILD = {"**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}
