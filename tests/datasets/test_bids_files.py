"""Trees in the manner of bids-examples, and what disks, clouds and people add to them."""

import os
from pathlib import Path

import pytest

from skhyperfusion.datasets import read_bids_table


def build(root, *files, participants=None, **texts):
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    if participants is not None:
        (root / "participants.tsv").write_text(participants)
    return root


def people(*names):
    return "participant_id\tage\n" + "".join(f"sub-{name}\t{30 + i}\n" for i, name in enumerate(names))


def listed(root, **parameters):
    """Paths as read from the folder, from its root on."""
    return [Path(path).as_posix() for path in read_bids_table(root, absolute=False, **parameters).iloc[:, 0]]


# -- trees -----------------------------------------------------------------------------------------------

TREES = {
    "anat and func (ds001)": (
        [
            *(f"sub-{s}/anat/sub-{s}_{x}.nii.gz" for s in ("01", "02") for x in ("T1w", "inplaneT2")),
            "sub-01/func/sub-01_task-balloon_run-01_bold.nii.gz",
            "sub-01/func/sub-01_task-balloon_run-01_events.tsv",
            "dataset_description.json",
            "README",
            "CHANGES",
            "task-balloon_bold.json",
        ],
        {"participants": people("01", "02")},
        ["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"],
    ),
    "sessions, some without the modality (7t_trt)": (
        [
            "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
            "sub-01/ses-2/fmap/sub-01_ses-2_run-1_phasediff.nii.gz",
            "sub-02/ses-1/anat/sub-02_ses-1_T1map.nii.gz",
            "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz",
            "sub-01/sub-01_scans.tsv",
        ],
        {"participants": people("01", "02")},
        ["sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"],
    ),
    "derivatives, sourcedata and code beside the subjects": (
        [
            "sub-01/anat/sub-01_T1w.nii.gz",
            "derivatives/fmriprep/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
            "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
            "code/sub-01_T1w.nii.gz",
            "stimuli/face.png",
        ],
        {"participants": people("01")},
        ["sub-01/anat/sub-01_T1w.nii.gz"],
    ),
    "fmriprep's reports beside the folders (ds000001-fmriprep)": (
        [
            "sub-10.html",
            "sub-10/anat/sub-10_desc-preproc_T1w.nii.gz",
            "sub-10/anat/sub-10_space-MNI152NLin2009cAsym_desc-preproc_T1w.nii.gz",
            "sub-10/anat/sub-10_desc-brain_mask.nii.gz",
            "sub-10/figures/sub-10_desc-about_T1w.html",
            "logs/CITATION.md",
            ".bidsignore",
        ],
        {},
        [
            "sub-10/anat/sub-10_desc-preproc_T1w.nii.gz",
            "sub-10/anat/sub-10_space-MNI152NLin2009cAsym_desc-preproc_T1w.nii.gz",
        ],
    ),
    "split by acquisition and run (qmri)": (
        [
            "sub-01/anat/sub-01_acq-head_run-2_T1w.nii.gz",
            "sub-01/anat/sub-01_acq-head_run-1_T1w.nii.gz",
            "sub-01/anat/sub-01_acq-body_run-1_T1w.json",
            "sub-01/anat/sub-01_inv-1_part-mag_MP2RAGE.nii.gz",
        ],
        {},
        ["sub-01/anat/sub-01_acq-head_run-1_T1w.nii.gz", "sub-01/anat/sub-01_acq-head_run-2_T1w.nii.gz"],
    ),
    "phenotype": (
        ["sub-01/anat/sub-01_T1w.nii.gz", "phenotype/mmse.tsv", "phenotype/mmse.json"],
        {"participants": people("01")},
        ["sub-01/anat/sub-01_T1w.nii.gz"],
    ),
    "datalad": (
        [
            "sub-01/anat/sub-01_T1w.nii.gz",
            ".datalad/config",
            ".git/annex/objects/sub-01/sub-01_T1w.nii.gz",
            "sub-01/.git/sub-01_T1w.nii.gz",
            ".gitattributes",
        ],
        {"participants": people("01")},
        ["sub-01/anat/sub-01_T1w.nii.gz"],
    ),
    "what macOS and Windows leave": (
        [
            "sub-01/anat/sub-01_T1w.nii.gz",
            "sub-01/anat/._sub-01_T1w.nii.gz",
            "sub-01/anat/.DS_Store",
            "sub-01/anat/desktop.ini",
            "._sub-01/anat/sub-01_T1w.nii.gz",
            "._participants.tsv",
            "__MACOSX/sub-01/anat/._sub-01_T1w.nii.gz",
        ],
        {"participants": people("01")},
        ["sub-01/anat/sub-01_T1w.nii.gz"],
    ),
    "labels with letters (pet, micr)": (
        ["sub-ABC9001/ses-baseline/anat/sub-ABC9001_ses-baseline_T1w.nii.gz"],
        {"participants": people("ABC9001")},
        ["sub-ABC9001/ses-baseline/anat/sub-ABC9001_ses-baseline_T1w.nii.gz"],
    ),
    "other kinds of data (eeg, meg) beside images": (
        [
            "sub-01/anat/sub-01_T1w.nii.gz",
            "sub-01/eeg/sub-01_task-rest_eeg.vhdr",
            "sub-01/meg/sub-01_task-rest_meg.ds/sub-01_T1w.txt",
            "sub-emptyroom/meg/sub-emptyroom_task-noise_meg.fif",
        ],
        {"participants": people("01", "emptyroom")},
        ["sub-01/anat/sub-01_T1w.nii.gz"],
    ),
}


@pytest.mark.parametrize("tree", TREES)
def test_tree_when_read_lists_its_images(tmp_path, tree):
    files, tables, expected = TREES[tree]
    assert listed(build(tmp_path, *files, **tables), missing="drop") == expected


def test_runs_when_split_by_acquisition_are_integers(tmp_path):
    files, _, _ = TREES["split by acquisition and run (qmri)"]
    frame = read_bids_table(build(tmp_path, *files))
    assert frame["run"].tolist() == [1, 2]
    assert frame["acq"].tolist() == ["head", "head"]


def test_run_when_it_is_no_number_stays_text(tmp_path):
    files = [f"sub-01/anat/sub-01_run-{run}_T1w.nii" for run in ("a", "1")]
    assert read_bids_table(build(tmp_path, *files))["run"].tolist() == ["1", "a"]


def test_run_when_a_participant_has_no_image_stays_integer(tmp_path):
    build(tmp_path, "sub-01/anat/sub-01_run-1_T1w.nii", participants=people("01", "02"))
    run = read_bids_table(tmp_path)["run"]
    assert run.dtype == "Int64"
    assert run.isna().tolist() == [False, True]


# -- links -----------------------------------------------------------------------------------------------


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("this system makes no links")


def test_folders_when_linked_are_looked_into(tmp_path):
    store = build(tmp_path / "store", "s1/anat/sub-01_T1w.nii.gz", "anat/sub-02_T1w.nii.gz")
    root = tmp_path / "study"
    link(root / "sub-01", store / "s1")
    link(root / "sub-02" / "anat", store / "anat")
    assert listed(root) == ["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"]


def test_links_when_they_lead_upwards_or_nowhere_do_no_harm(tmp_path):
    build(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz")
    link(tmp_path / "sub-01" / "anat" / "all", tmp_path / "sub-01")
    link(tmp_path / "sub-02" / "anat" / "sub-02_T1w.nii.gz", "../.git/annex/objects/none")
    link(tmp_path / "sub-03", tmp_path / "nowhere")
    # An image that was not fetched is an image: who reads it says so, with row and path.
    assert listed(tmp_path) == ["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"]


def test_participants_when_a_link_was_not_fetched_says_so(tmp_path):
    build(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz")
    link(tmp_path / "participants.tsv", ".git/annex/objects/none")
    with pytest.raises(FileNotFoundError, match=r"participants\.tsv' is a link to a file.*datalad get"):
        read_bids_table(tmp_path)


def test_folder_when_named_as_an_image_is_one_row(tmp_path):
    build(tmp_path, "sub-01/anat/sub-01_T1w.nii/slice_T1w.nii", "sub-02/anat/sub-02_T1w.nii")
    assert listed(tmp_path) == ["sub-01/anat/sub-01_T1w.nii", "sub-02/anat/sub-02_T1w.nii"]


# -- .bidsignore -----------------------------------------------------------------------------------------

IMAGES = [
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/backup/sub-01_T1w.nii.gz",
    "sub-02/anat/sub-02_T1w.nii.gz",
]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("# backup/\n\n", [0, 1, 2]),
        ("backup/", [0, 2]),
        ("**/backup/**", [0, 2]),
        ("/backup/", [0, 1, 2]),
        ("sub-01/backup\n", [0, 2]),
        ("sub-01/*/sub-01_T1w.nii.gz", [2]),
        ("sub-01/*.gz", [0, 1, 2]),
        ("sub-0[1]/", [2]),
        ("sub-0?_T1w.nii.gz\n!sub-02_*", [2]),
        ("*_T1w.nii.gz", [0, 1, 2]),  # all: then the user asks for what BIDS does not know
    ],
)
def test_bidsignore_when_it_names_some_images_leaves_them_out(tmp_path, rules, kept):
    build(tmp_path, *IMAGES)
    (tmp_path / ".bidsignore").write_text(rules)
    assert sorted(listed(tmp_path)) == [IMAGES[i] for i in kept]


# -- names and folders that disagree -----------------------------------------------------------------------


def test_session_when_the_folder_alone_tells_is_that_of_the_folder(tmp_path):
    frame = read_bids_table(build(tmp_path, "sub-01/ses-b/anat/sub-01_T1w.nii.gz"))
    assert frame["session_id"].tolist() == ["ses-b"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sub-01/ses-1/anat/sub-01_ses-2_T1w.nii.gz", r"in the folder of 'ses-1' but its name"),
        ("sub-01/anat/sub-02_T1w.nii.gz", r"in the folder of 'sub-01' but its name"),
        ("sub-01/anat/T1w/x_T1w.nii.gz", r"in the folder of 'sub-01' but its name"),
        ("sub-01/anat/sub-01_acq-a_acq-b_T1w.nii.gz", r"an entity twice in its name"),
    ],
)
def test_image_when_its_name_disagrees_is_named(tmp_path, path, message):
    with pytest.raises(ValueError, match=rf"{path.split('/')[-1]}' .*{message}"):
        read_bids_table(build(tmp_path, path))


def test_image_column_when_an_entity_has_its_name_is_refused(tmp_path):
    build(tmp_path, "sub-01/anat/sub-01_acq-a_T1w.nii.gz")
    with pytest.raises(ValueError, match=r"'acq' in its name.*Pass image_column="):
        read_bids_table(tmp_path, image_column="acq")


def test_images_when_the_subjects_lie_deeper_says_where(tmp_path):
    build(tmp_path, "rawdata/sub-01/anat/sub-01_T1w.nii", "derivatives/prep/sub-01/anat/sub-01_T1w.nii")
    with pytest.raises(ValueError, match=r"Folders of subjects lie in 2 folders: .*prep'.*rawdata'"):
        read_bids_table(tmp_path)


def test_root_when_it_begins_at_home_is_found(tmp_path, monkeypatch):
    build(tmp_path / "study", "sub-01/anat/sub-01_T1w.nii.gz", participants=people("01"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    frame = read_bids_table("~/study", participants="~/study/participants.tsv")
    assert frame["t1w"].tolist() == [os.path.join(tmp_path, "study", "sub-01", "anat", "sub-01_T1w.nii.gz")]
