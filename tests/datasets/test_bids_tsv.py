"""Tables beside the images: encodings, tabs, ragged rows, names that collide, sessions that match nothing."""

import warnings

import pandas as pd
import pytest

from skhyperfusion.datasets import read_bids_table

TEXT = "participant_id\tage\tcity\nsub-01\t30\tKöln\nsub-02\tn/a\t\n"


def write(root, content, name="participants.tsv"):
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


@pytest.fixture
def study(tmp_path):
    """Two subjects with an image each, no table yet."""
    for name in ("01", "02"):
        (tmp_path / f"sub-{name}" / "anat").mkdir(parents=True)
        (tmp_path / f"sub-{name}" / "anat" / f"sub-{name}_T1w.nii.gz").touch()
    return tmp_path


@pytest.fixture
def visits(tmp_path):
    """One subject with two sessions."""
    for name in ("1", "2"):
        (tmp_path / "sub-01" / f"ses-{name}").mkdir(parents=True)
        (tmp_path / "sub-01" / f"ses-{name}" / f"sub-01_ses-{name}_T1w.nii.gz").touch()
    return tmp_path


# -- encodings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_table_when_in_any_unicode_reads_the_same(study, encoding, line_end):
    frame = read_bids_table(write(study, TEXT.replace("\n", line_end).encode(encoding)))
    assert frame["age"].iloc[0] == 30
    assert frame["city"].iloc[0] == "Köln"
    assert frame.loc["sub-02", ["age", "city"]].isna().all()


def test_table_when_big_endian_with_a_mark_is_read(study):
    frame = read_bids_table(write(study, b"\xfe\xff" + TEXT.encode("utf-16-be")))
    assert frame["city"].iloc[0] == "Köln"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_table_when_western_is_read_and_said(study, encoding):
    write(study, TEXT.encode(encoding))
    with pytest.warns(UserWarning, match=r"participants\.tsv' is not UTF-8 \(line 2: byte 0xf6\).*Save it"):
        frame = read_bids_table(study)
    assert frame["city"].iloc[0] == "Köln"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty\. Its first line must name the columns"),
        (b"\n \n", r"is empty"),
        (b"PK\x03\x04rest", r"is an Excel file.*separated by tabs"),
        (b"\x1f\x8b\x08rest", r"is compressed by gzip"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            r"is a pointer .*Git LFS.*git lfs pull",
        ),
        (b"/annex/objects/MD5E-s3--0.tsv\n", r"is a pointer .*git-annex.*datalad get"),
        (b"\xff\xfea\0b", r"cannot be read as utf-16"),
        (TEXT.encode() * 9 + b"\0" * 300, r"holds zero bytes and is no text"),
    ],
    ids=["empty", "blank", "xlsx", "gzip", "lfs", "annex", "half a letter", "zeros"],
)
def test_table_when_it_is_none_names_the_file(study, content, message):
    with pytest.raises(ValueError, match=rf"participants\.tsv' {message}"):
        read_bids_table(write(study, content))


def test_table_when_a_folder_has_its_name_says_so(study):
    (study / "participants.tsv").mkdir()
    with pytest.raises(FileNotFoundError, match=r"participants\.tsv' is a folder; a file is wanted"):
        read_bids_table(study)


def test_table_when_saved_as_another_kind_is_told(study):
    write(study, "participant_id,age\nsub-01,3\n", "participants.csv")
    write(study, "{}", "participants.json")
    with pytest.warns(UserWarning, match=r"no participants\.tsv, and 1 file: 'participants\.csv': not read"):
        assert read_bids_table(study).columns.tolist() == ["t1w"]


# -- cells -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "participant_id\tage\nsub-01\t30\t\nsub-02\t31\t\t\n",
        "participant_id\tage\t\nsub-01\t30\t\nsub-02\t31\n",
        "participant_id\tage\t\t\nsub-01\t30\t\t\nsub-02\t31\t\t\n\t\t\t\n",
        " participant_id \tage\n\nsub-01 \t 30\n\n\xa0sub-02\t31 \n\n",
        '"participant_id"\t"age"\n"sub-01"\t"30"\n"sub-02"\t31',
    ],
    ids=["tab", "tab in the header", "tabs everywhere", "spaces and blank lines", "quoted"],
)
def test_cells_when_padded_are_what_they_say(study, text):
    frame = read_bids_table(write(study, text))
    assert frame.columns.tolist() == ["t1w", "age"]
    assert frame["age"].tolist() == [30, 31]
    assert frame["age"].dtype == "int64"


@pytest.mark.parametrize(
    ("row", "n_cells"), [("sub-02\t31\tx\ty", 4), ("sub-02", 1), ("sub-02\t31", 2), ("1\tsub-02\t31\tx", 4)]
)
def test_row_when_ragged_is_named_by_its_line(study, row, n_cells):
    write(study, f"participant_id\tage\tsex\nsub-01\t30\tF\n\n{row}\n")
    message = rf"participants\.tsv': line 4 has {n_cells} cells where the header names 3 columns .*'n/a'"
    with pytest.raises(ValueError, match=message):
        read_bids_table(study)


def test_quote_when_it_stands_alone_swallows_no_row(study):
    frame = read_bids_table(write(study, 'participant_id\tnote\nsub-01\t"tall\nsub-02\t5\'10"\n'))
    assert frame["note"].tolist() == ['"tall', "5'10\""]


def test_quote_when_it_holds_a_tab_keeps_the_cell_whole(study):
    frame = read_bids_table(write(study, 'participant_id\tnote\nsub-01\t"a\tb"\nsub-02\tc\n'))
    assert frame["note"].tolist() == ["a\tb", "c"]


def test_columns_when_doubled_are_refused(study):
    write(study, "participant_id\tage\tage\nsub-01\t1\t2\nsub-02\t1\t2\n")
    with pytest.raises(ValueError, match=r"participants\.tsv' has more than one of 1 column: 'age'"):
        read_bids_table(study)


def test_column_when_it_has_no_name_is_left_out_and_said(study):
    write(study, "\tparticipant_id\tage\n0\tsub-01\t30\n1\tsub-02\t31\n")  # DataFrame.to_csv(sep="\t")
    with pytest.warns(UserWarning, match=r"participants\.tsv': column 1 has no name and is left out"):
        frame = read_bids_table(study)
    assert frame["age"].tolist() == [30, 31]
    assert frame.columns.tolist() == ["t1w", "age"]


def test_ids_when_spelt_otherwise_show_both(study):
    write(study, "Participant_ID\tage\nsub-01\t30\nsub-02\t31\n")
    with pytest.raises(ValueError, match=r"no column 'participant_id'.*did you mean 'Participant_ID'"):
        read_bids_table(study)
    write(study, "participant_id\tage\n1\t30\n2\t31\n")
    with pytest.raises(ValueError, match=r"2 participants: 'sub-01'.*which has 2 participants: 'sub-1', "):
        read_bids_table(study)


# -- names that collide ----------------------------------------------------------------------------------


@pytest.mark.parametrize("entity", ["run", "acq"])
def test_column_when_named_like_an_entity_is_refused_with_the_file(tmp_path, entity):
    (tmp_path / "sub-01").mkdir()
    (tmp_path / "sub-01" / "sub-01_acq-a_run-1_T1w.nii").touch()
    write(tmp_path, f"participant_id\t{entity}\nsub-01\t7\n")
    with pytest.raises(ValueError, match=rf"participants\.tsv' has 1 column: '{entity}', .*Rename it"):
        read_bids_table(tmp_path)


@pytest.mark.parametrize("column", ["t1w", "acq"])
def test_sessions_table_when_a_column_is_the_images_own_is_refused(tmp_path, column):
    (tmp_path / "sub-01").mkdir()
    (tmp_path / "sub-01" / "sub-01_ses-1_acq-a_T1w.nii").touch()
    write(tmp_path / "sub-01", f"session_id\t{column}\nses-1\tx\n", "sub-01_sessions.tsv")
    with pytest.raises(ValueError, match=rf"sub-01_sessions\.tsv' has 1 column: '{column}'"):
        read_bids_table(tmp_path)


def test_participants_when_they_name_sessions_are_joined_by_both(visits):
    write(visits, "participant_id\tsession_id\tage\nsub-01\tses-2\t31\nsub-01\t1\t30\n")
    frame = read_bids_table(visits, missing="raise")
    assert frame["age"].tolist() == [30, 31]
    assert frame["session_id"].tolist() == ["ses-1", "ses-2"]


def test_participants_when_a_session_has_no_image_is_kept_dropped_or_refused(visits):
    rows = "".join(f"sub-01\t{s}\t{s}\n" for s in (3, 2, 1))
    write(visits, f"participant_id\tsession_id\tage\n{rows}")
    frame = read_bids_table(visits)
    assert frame["session_id"].tolist() == ["ses-1", "ses-2", "ses-3"]
    assert frame["t1w"].isna().tolist() == [False, False, True]
    assert len(read_bids_table(visits, missing="drop")) == 2
    with pytest.raises(ValueError, match=r"1 participant: 'sub-01 ses-3' of .* without an image"):
        read_bids_table(visits, missing="raise")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("sub-01\t1\t30\nsub-01\tses-1\t31\n", r"'sub-01 ses-1' in .* more than once.*subject and session"),
        ("sub-01\t1\t30\nsub-01\tn/a\t31\n", r"participants\.tsv': no 'session_id' in 1 line: 3"),
    ],
)
def test_participants_when_their_sessions_do_not_tell_rows_apart_are_refused(visits, rows, message):
    write(visits, f"participant_id\tsession_id\tage\n{rows}")
    with pytest.raises(ValueError, match=message):
        read_bids_table(visits)


def test_participants_when_a_session_is_not_named_says_so(visits):
    write(visits, "participant_id\tsession_id\tage\nsub-01\t1\t30\n")
    with pytest.warns(
        UserWarning, match=r"1 session: 'sub-01 ses-2' .* without a row in '.*participants\.tsv"
    ):
        frame = read_bids_table(visits)
    assert frame["age"].isna().tolist() == [False, True]


# -- sessions --------------------------------------------------------------------------------------------


def sessions(root, text):
    return write(root / "sub-01", text, "sub-01_sessions.tsv").parent


def test_sessions_when_a_tab_ends_each_line_are_matched(visits):
    frame = read_bids_table(sessions(visits, "session_id\tscore\nses-1\t5\t\nses-2\t6\t\n"))
    assert frame["score"].tolist() == [5, 6]


@pytest.mark.parametrize(
    ("ids", "lost"), [(("ses-01", "ses-02"), 2), (("ses-1", "ses-02"), 1), (("1", "M2"), 1)]
)
def test_sessions_when_ids_match_nothing_are_said(visits, ids, lost):
    sessions(visits, f"session_id\tscore\n{ids[0]}\t5\n{ids[1]}\t6\n")
    message = rf"{lost} sessions?: 'sub-01 ses-.' ?.*without a row in the sessions\.tsv.*2 sessions: 'ses-"
    with pytest.warns(UserWarning, match=message) as caught:
        frame = read_bids_table(visits)
    assert len(caught) == 1
    assert frame["score"].isna().sum() == lost


def test_sessions_when_more_are_named_than_imaged_are_no_fault(visits):
    sessions(visits, "session_id\tscore\nses-1\t5\nses-2\t6\nses-clinic\t7\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_bids_table(visits)["score"].tolist() == [5, 6]


def test_sessions_when_types_differ_between_subjects_are_read_as_one_column(visits):
    (visits / "sub-02" / "ses-1").mkdir(parents=True)
    (visits / "sub-02" / "ses-1" / "sub-02_ses-1_T1w.nii.gz").touch()
    sessions(visits, "session_id\tscore\tcode\nses-1\t5\t01\nses-2\t6\t02\n")
    write(visits / "sub-02", "session_id\tscore\tcode\nses-1\tn/a\tx\n", "sub-02_sessions.tsv")
    frame = read_bids_table(visits)
    assert frame["code"].tolist() == ["01", "02", "x"]
    assert pd.api.types.is_numeric_dtype(frame["score"])


def test_sessions_when_the_table_is_broken_name_the_file(visits):
    for text in ("session_id\tscore\nses-1\t5\t6\n", "", "score\n5\n"):
        with pytest.raises(ValueError, match=r"sub-01_sessions\.tsv'"):
            read_bids_table(sessions(visits, text))
