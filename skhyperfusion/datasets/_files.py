"""The folder of a generated cohort: where it lies, its scans and its tables, as BIDS has them."""

import atexit
import json
import os
import shutil
import tempfile
from pathlib import Path

import nibabel as nib

from skhyperfusion.datasets._phantom import affine_of, grid_of, render

MAKER = "make_brain_cohort"


def place(directory, maker=MAKER, files="sub-*"):
    """Make the folder of what `maker` writes; None: a temporary one, removed when the interpreter ends.

    `files` is the pattern of what an earlier call wrote, which goes.
    """
    if directory is None:
        folder = Path(tempfile.mkdtemp(prefix=f"{maker.removeprefix('make_')}_"))
        atexit.register(_remove, folder, os.getpid())
        return folder
    folder = Path(directory).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        if not _is_ours(folder, maker):
            raise FileExistsError(
                f"directory={str(folder)!r} holds files that {maker} did not write. "
                f"Pass a new or an empty folder."
            )
        for old in folder.glob(files):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    return folder


def write_tables(folder, frame):
    """Write ``participants.tsv`` and the description by which we know the folder again."""
    frame.drop(columns="t1w").to_csv(folder / "participants.tsv", sep="\t", na_rep="n/a")
    describe(folder, "Generated brain cohort", MAKER)


def describe(folder, name, maker):
    """Write the description by which `place` knows the folder again."""
    description = {
        "Name": name,
        "BIDSVersion": "1.9.0",
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": _mark(maker)}],
    }
    (folder / "dataset_description.json").write_text(json.dumps(description, indent=2) + "\n")


def write_scans(folder, names, shape, anatomies, rngs):
    """Render and write one scan per subject; return the paths as str."""
    grid, affine = grid_of(shape), affine_of(shape)
    paths = []
    for name, anatomy, rng in zip(names, anatomies, rngs, strict=True):
        volume = render(anatomy, shape, grid, rng)
        target = folder / name / "anat"
        target.mkdir(parents=True)
        image = nib.Nifti1Image(volume, affine)
        image.header.set_xyzt_units("mm")
        path = str(target / f"{name}_T1w.nii.gz")
        image.to_filename(path)
        paths.append(path)
    return paths


def _mark(maker):
    return f"skhyperfusion.datasets.{maker}"


def _is_ours(folder, maker):
    try:
        description = json.loads((folder / "dataset_description.json").read_text())
    except (OSError, ValueError):
        return False
    made_by = description.get("GeneratedBy", []) if isinstance(description, dict) else []
    return any(isinstance(tool, dict) and tool.get("Name") == _mark(maker) for tool in made_by)


def _remove(folder, pid):
    # A forked worker inherits the registration, not the folder.
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
