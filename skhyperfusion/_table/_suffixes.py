"""The suffixes that image files have: what makes a cell of text a path to an image."""

import os

_registered: set[str] = set()


def register_image_suffix(suffix):
    """Take cells that end in `suffix` for paths of images; the readers of `skhyperfusion.images` do so.

    Parameters
    ----------
    suffix : str
        In lower case, with its dot.
    """
    _registered.add(suffix)


def known_image_suffixes():
    """Return the suffixes that a reader is registered for, sorted.

    Examples
    --------
    >>> ".nii.gz" in known_image_suffixes()
    True
    """
    return sorted(_registered)


def has_image_suffix(path):
    """Tell whether a path ends in a suffix that a reader is registered for.

    Examples
    --------
    >>> has_image_suffix("sub-01/anat/sub-01_T1w.nii.gz"), has_image_suffix("notes.txt")
    (True, False)
    """
    name = os.path.basename(os.fsdecode(path)).lower()
    dot = name.find(".", 1)
    while dot > 0:
        if name[dot:] in _registered:
            return True
        dot = name.find(".", dot + 1)
    return False
