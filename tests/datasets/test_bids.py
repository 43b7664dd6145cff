from pathlib import Path

import pandas as pd
import pytest

from skhyperfusion.datasets import read_bids_table

PARTICIPANTS = "participant_id\tage\tsex\tsite\nsub-01\t30\tF\tNA\nsub-02\tn/a\tM\tx\nsub-03\t50.5\tn/a\t\n"


def build(root, *images, participants=PARTICIPANTS):
    for image in images:
        path = root / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    if participants is not None:
        (root / "participants.tsv").write_text(participants)
    return root


def simple(name, suffix="T1w"):
    return f"sub-{name}/anat/sub-{name}_{suffix}.nii.gz"


@pytest.fixture
def three(tmp_path):
    return build(tmp_path, *map(simple, ("03", "01", "02")))


def test_table_when_simple_has_a_row_per_subject(three):
    frame = read_bids_table(three)
    assert frame.index.tolist() == ["sub-01", "sub-02", "sub-03"]
    assert frame.index.name == "participant_id"
    assert frame.columns.tolist() == ["t1w", "age", "sex", "site"]
    assert frame.loc["sub-03", "t1w"] == str(three / "sub-03" / "anat" / "sub-03_T1w.nii.gz")
    assert all(type(path) is str for path in frame["t1w"])


def test_missing_values_when_read_are_na_and_empty_cells_alone(three):
    frame = read_bids_table(str(three))
    assert frame["age"].dtype == "float64"
    assert frame["age"].isna().tolist() == [False, True, False]
    assert frame["sex"].isna().tolist() == [False, False, True]
    assert frame["site"].iloc[:2].tolist() == ["NA", "x"]
    assert frame["site"].isna().iloc[2]


def test_sessions_and_runs_when_present_are_rows(tmp_path):
    names = [
        f"sub-01/ses-{s}/anat/sub-01_ses-{s}_run-{r}_T1w.nii.gz" for s, r in [("b", 1), ("a", 2), ("a", 1)]
    ]
    frame = read_bids_table(build(tmp_path, *names, simple("02")), missing="drop")
    assert frame.index.tolist() == ["sub-01"] * 3 + ["sub-02"]
    assert frame["session_id"].iloc[:3].tolist() == ["ses-a", "ses-a", "ses-b"]
    assert frame["run"].iloc[:3].tolist() == [1, 2, 1]
    assert frame[["session_id", "run"]].iloc[3].isna().all()
    assert frame["age"].iloc[:3].tolist() == [30, 30, 30]


def test_runs_when_all_have_one_are_integers_in_their_order(tmp_path):
    names = [f"sub-01/anat/sub-01_run-{run}_T1w.nii" for run in (10, 2, 1)]
    frame = read_bids_table(build(tmp_path, *names), missing="drop")
    assert frame["run"].tolist() == [1, 2, 10]
    assert frame["run"].dtype == "int64"


def test_other_entities_when_present_are_columns(tmp_path):
    names = [f"sub-01/anat/sub-01_acq-{acq}_T1w.nii.gz" for acq in ("low", "high")]
    frame = read_bids_table(build(tmp_path, *names), missing="drop")
    assert frame["acq"].tolist() == ["high", "low"]


def test_sessions_table_when_present_has_the_last_word(tmp_path):
    names = [f"sub-01/ses-{s}/anat/sub-01_ses-{s}_T1w.nii.gz" for s in ("1", "2")]
    build(tmp_path, *names, simple("02"))
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").write_text(
        "session_id\tage\tmmse\nses-1\t30.5\t29\n2\tn/a\t27\n"
    )
    frame = read_bids_table(tmp_path)
    assert frame["age"].iloc[:2].tolist() == [30.5, 30]
    assert frame["mmse"].iloc[:2].tolist() == [29, 27]
    assert frame["mmse"].iloc[2:].isna().all()
    assert frame.columns.tolist() == ["t1w", "session_id", "age", "sex", "site", "mmse"]


def test_sessions_table_when_doubled_is_refused(tmp_path):
    build(tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz")
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\tage\nses-1\t30\nses-1\t31\n")
    with pytest.raises(ValueError, match=r"1 session: 'ses-1' in '.*sub-01_sessions.tsv' more than once"):
        read_bids_table(tmp_path)


def test_sessions_table_when_it_names_no_session_is_refused(tmp_path):
    build(tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz")
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").write_text("session\tage\nses-1\t30\n")
    with pytest.raises(ValueError, match=r"_sessions.tsv' has no column 'session_id'.*'session', 'age'"):
        read_bids_table(tmp_path)


def test_suffix_when_given_selects_images_and_names_the_column(three):
    build(three, simple("01", "FLAIR"), participants=None)
    frame = read_bids_table(three, suffix="FLAIR", missing="drop")
    assert frame.columns[0] == "flair"
    assert [Path(p).name for p in frame["flair"]] == ["sub-01_FLAIR.nii.gz"]
    assert read_bids_table(three)["t1w"].str.contains("T1w").all()


def test_datatype_when_given_leaves_other_folders_out(three):
    build(three, "sub-01/extra/sub-01_T1w.nii.gz", participants=None)
    assert len(read_bids_table(three)) == 4
    assert len(read_bids_table(three, datatype="anat")) == 3


def test_extensions_when_two_files_fit_take_the_first(three):
    build(three, "sub-01/anat/sub-01_T1w.nii", "sub-01/anat/sub-01_T1w.json", participants=None)
    assert read_bids_table(three)["t1w"].str.endswith(".nii.gz").all()
    frame = read_bids_table(three, extensions=(".nii", ".nii.gz"))
    assert [Path(p).suffix for p in frame["t1w"]] == [".nii", ".gz", ".gz"]
    assert len(read_bids_table(three, extensions=".nii", missing="drop")) == 1


def test_image_column_when_given_names_the_paths(three):
    assert read_bids_table(three, image_column="scan").columns[0] == "scan"


def test_image_column_when_taken_is_refused(three):
    with pytest.raises(ValueError, match=r"already has a column 'age'\. Pass image_column="):
        read_bids_table(three, image_column="age")


def test_paths_when_not_absolute_start_at_the_root(three):
    frame = read_bids_table(three, absolute=False)
    assert frame["t1w"].iloc[0] == str(Path("sub-01", "anat", "sub-01_T1w.nii.gz"))


def test_paths_when_the_root_is_relative_are_absolute(three, monkeypatch):
    monkeypatch.chdir(three.parent)
    assert Path(read_bids_table(three.name)["t1w"].iloc[0]).is_absolute()


def test_participants_when_elsewhere_are_read_from_there(tmp_path):
    derived = build(tmp_path / "derivatives", simple("01"), participants=None)
    table = tmp_path / "people.tsv"
    table.write_text("participant_id\tage\nsub-01\t4\n", encoding="utf-8-sig")
    assert read_bids_table(derived, participants=table)["age"].tolist() == [4]


def test_participants_when_ids_lack_the_prefix_are_matched(tmp_path):
    build(tmp_path, simple("01"), participants="participant_id\tage\n01\t4\n")
    assert read_bids_table(tmp_path).index.tolist() == ["sub-01"]


def test_participant_when_without_an_image_is_kept_dropped_or_refused(tmp_path):
    build(tmp_path, simple("01"), simple("03"))
    kept = read_bids_table(tmp_path)
    assert kept["t1w"].isna().tolist() == [False, True, False]
    assert kept.loc["sub-02", "sex"] == "M"
    assert read_bids_table(tmp_path, missing="drop").index.tolist() == ["sub-01", "sub-03"]
    with pytest.raises(ValueError, match=r"1 participant: 'sub-02' of .*' without an image"):
        read_bids_table(tmp_path, missing="raise")


def test_missing_when_unknown_is_refused(three):
    with pytest.raises(ValueError, match=r"'missing' .* one of 'keep', 'drop' or 'raise'\. Got 'skip'"):
        read_bids_table(three, missing="skip")


def test_image_when_without_a_participant_is_refused(three):
    build(three, *(simple(f"1{k}") for k in range(7)), participants=None)
    with pytest.raises(ValueError, match=r"7 participants: 'sub-10', .*'sub-14', \.\.\. with an image"):
        read_bids_table(three)


def test_participants_when_doubled_are_refused(three):
    build(three, participants=PARTICIPANTS + "sub-01\t31\tF\tx\n")
    with pytest.raises(ValueError, match=r"1 participant: 'sub-01' in .*participants.tsv' more than once"):
        read_bids_table(three)


def test_participants_when_an_id_is_missing_are_refused(three):
    build(three, participants=PARTICIPANTS + "n/a\t31\tF\tx\n")
    with pytest.raises(ValueError, match=r"participants.tsv': row 4 .* no 'participant_id'"):
        read_bids_table(three)


def test_participants_when_separated_by_commas_are_refused(three):
    build(three, participants=PARTICIPANTS.replace("\t", ","))
    with pytest.raises(ValueError, match=r"no column 'participant_id'; .*must be separated by tabs"):
        read_bids_table(three)


def test_participants_when_absent_are_done_without_unless_named(tmp_path):
    build(tmp_path, simple("01"), participants=None)
    frame = read_bids_table(tmp_path, missing="raise")
    assert frame.index.tolist() == ["sub-01"]
    assert frame.columns.tolist() == ["t1w"]
    with pytest.raises(FileNotFoundError, match=r"people.tsv' does not exist"):
        read_bids_table(tmp_path, participants=tmp_path / "people.tsv")


def test_root_when_absent_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere' does not exist or is not a folder"):
        read_bids_table(tmp_path / "nowhere")


def test_images_when_none_fits_are_asked_for(three):
    with pytest.raises(ValueError, match=r"No image \*_bold .*Check suffix='bold' and datatype='func'"):
        read_bids_table(three, suffix="bold", datatype="func")


def test_image_when_in_another_subjects_folder_is_refused(three):
    build(three, "sub-01/anat/sub-02_T1w.nii.gz", participants=None)
    with pytest.raises(ValueError, match=r"sub-02_T1w.nii.gz' lies in the folder of 'sub-01'"):
        read_bids_table(three)


def test_frame_when_written_and_read_keeps_the_order_of_rows_and_types(three):
    frame = read_bids_table(three)
    pd.testing.assert_frame_equal(frame, read_bids_table(three))
    assert frame.index.is_monotonic_increasing
