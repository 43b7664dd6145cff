import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from skhyperfusion.datasets import make_brain_cohort, read_bids_table
from skhyperfusion.datasets._diagnosis import CLASSES

TINY = (6, 6, 6)


def cohort_of(n=30, **settings):
    return make_brain_cohort(n, **{"shape": TINY, "random_state": 0} | settings)


def pixels(cohort):
    return np.stack([np.asarray(nib.load(path).dataobj) for path in cohort.data["t1w"]]).astype(float)


@pytest.mark.parametrize("task", ["diagnosis", "age"])
def test_bunch_when_returned_holds_what_is_documented(task):
    cohort = cohort_of(task=task)
    assert cohort.frame.index.name == "participant_id"
    assert cohort.frame.index[0] == "sub-001"
    assert cohort.data.columns[0] == "t1w"
    assert all(type(path) is str for path in cohort.data["t1w"])
    assert cohort.target.name == task
    pd.testing.assert_frame_equal(cohort.frame.drop(columns=task), cohort.data)
    pd.testing.assert_series_equal(cohort.frame[task], cohort.target)
    for part in (cohort.truth, cohort.complete):
        assert part.index.equals(cohort.frame.index)
        assert part.notna().all(axis=None)
    assert "Notes" in cohort.DESCR
    assert cohort.data.drop(columns="t1w").isna().any(axis=None)
    assert {"sex", "handedness", "scanner"} <= set(cohort.data.select_dtypes(exclude="number"))


def test_bunch_of_survival_when_returned_holds_what_is_documented():
    cohort = cohort_of(task="survival")
    assert cohort.target.dtype.names == ("event", "time")
    assert cohort.target["event"].dtype == bool
    for field in cohort.target.dtype.names:
        np.testing.assert_array_equal(cohort.frame[field], cohort.target[field])
    pd.testing.assert_frame_equal(cohort.frame.drop(columns=["event", "time"]), cohort.data)
    assert set(cohort.complete) == {"age", "sex", "education", "apoe4", "handedness", "scanner"}
    curves = cohort.true_curves
    assert curves.index.equals(cohort.frame.index)
    assert curves.columns[0] == 0
    assert curves.columns[-1] == 8
    assert (curves[0.0] == 1).all()
    assert (curves.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)
    assert (curves >= 0).all(axis=None)
    assert cohort.truth.index.equals(cohort.frame.index)
    assert cohort.truth.notna().all(axis=None)
    assert set(cohort.best_score) == {"concordance"}
    assert "Survival" in cohort.DESCR


@pytest.mark.parametrize("task", ["diagnosis", "age", "survival"])
def test_cohort_when_read_as_bids_gives_the_same_frame(task):
    cohort = cohort_of(60, task=task)
    pd.testing.assert_frame_equal(read_bids_table(cohort.directory), cohort.frame)


@pytest.mark.parametrize("shape", [(8, 8, 8), [6, 8, 10]])
def test_shape_when_given_is_that_of_the_files(shape):
    image = nib.load(cohort_of(3, shape=shape).data["t1w"].iloc[0])
    assert image.shape == tuple(shape)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.get_data_dtype() == np.int16
    assert image.header.get_xyzt_units()[0] == "mm"
    assert len(set(image.header.get_zooms())) == 1


@pytest.fixture
def without_scans(monkeypatch):
    """Write no scans: for tests of many subjects' tables."""
    monkeypatch.setattr("skhyperfusion.datasets._cohort.write_scans", lambda _, names, *rest: list(names))


@pytest.mark.usefixtures("without_scans")
def test_n_subjects_when_above_999_widens_the_names():
    assert cohort_of(1001).frame.index[0] == "sub-0001"


@pytest.mark.parametrize(
    "seed",
    [
        lambda: 3,
        lambda: np.random.RandomState(3),
        lambda: np.random.default_rng(3),
        lambda: np.random.SeedSequence(3),
    ],
    ids=["int", "RandomState", "Generator", "SeedSequence"],
)
def test_random_state_when_repeated_gives_the_same_bytes(seed):
    first, second, other = cohort_of(5, random_state=seed()), cohort_of(5, random_state=seed()), cohort_of(5)
    assert first.data.drop(columns="t1w").equals(second.data.drop(columns="t1w"))
    for a, b in zip(first.data["t1w"], second.data["t1w"], strict=True):
        assert Path(a).read_bytes() == Path(b).read_bytes()
    assert first.truth.equals(second.truth)
    assert not first.truth.equals(other.truth)


def test_random_state_when_a_seed_sequence_was_spawned_from_gives_the_same():
    seed = np.random.SeedSequence(3)
    first = cohort_of(5, random_state=seed)
    seed.spawn(4)
    assert cohort_of(5, random_state=seed).truth.equals(first.truth)


def test_random_state_when_none_is_fresh_and_leaves_the_global_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (cohort_of(4, random_state=None) for _ in range(2))
    assert not first.truth.equals(second.truth)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("task", ["diagnosis", "age", "survival"])
@pytest.mark.parametrize("change", [{"shape": (4, 4, 8)}, {"missing_rate": 0.5}, {"image_noise": 0.2}])
def test_target_when_an_unrelated_setting_changes_stays(task, change):
    first, second = cohort_of(task=task), cohort_of(task=task, **change)
    np.testing.assert_array_equal(first.target, second.target)
    assert first.complete.equals(second.complete)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_when_shares_are_given_are_met_exactly(n_classes):
    shares = (0.6, 0.4) if n_classes == 2 else (0.5, 0.3, 0.2)
    cohort = cohort_of(40, n_classes=n_classes, class_shares=shares)
    counts = cohort.target.value_counts()[list(CLASSES[n_classes])]
    assert counts.tolist() == [round(40 * share) for share in shares]
    assert [c for c in cohort.truth if c.startswith("p_")] == [f"p_{c}" for c in CLASSES[n_classes]]


@pytest.mark.usefixtures("without_scans")
def test_classes_when_no_shares_are_given_are_those_of_the_paper():
    assert cohort_of(212).target.value_counts()[["CN", "MCI", "AD"]].tolist() == [74, 101, 37]


@pytest.mark.usefixtures("without_scans")
def test_classes_when_subjects_are_few_are_none_of_them_empty():
    assert sorted(cohort_of(3).target) == ["AD", "CN", "MCI"]


@pytest.mark.parametrize("rate", [0.0, None])
def test_missing_rate_when_none_leaves_no_gap(rate):
    assert cohort_of(50, missing_rate=rate).data.notna().all(axis=None)


@pytest.mark.usefixtures("without_scans")
@pytest.mark.parametrize("task", ["diagnosis", "age"])
def test_missing_rate_when_a_number_is_that_of_every_column_but_two(task):
    rates = cohort_of(300, task=task, missing_rate=0.3).data.isna().mean()
    complete = ["t1w", "sex", "scanner"]
    assert rates[complete].eq(0).all()
    assert rates.drop(complete).between(0.2, 0.4).all()


@pytest.mark.usefixtures("without_scans")
def test_missing_rate_when_of_the_paper_is_that_of_its_table():
    cohort = cohort_of(400, missing_rate="paper")
    gaps = cohort.data.isna()
    wanted = {"age": 0.002, "apoe4": 0.087, "csf_abeta": 0.515, "fdg": 0.381, "av45": 0.528, "education": 0}
    for column, rate in wanted.items():
        assert abs(gaps[column].mean() - rate) < 0.07, column
    assert gaps["csf_abeta"].equals(gaps["csf_ptau"])
    assert gaps["csf_abeta"].equals(gaps["csf_ttau"])
    assert cohort_of(9, task="age", missing_rate="paper").data.notna().all(axis=None)


@pytest.mark.usefixtures("without_scans")
def test_markers_when_beyond_the_limits_of_detection_are_text():
    cohort = cohort_of(400, missing_rate=None)
    limits = {"csf_abeta": (200, 1700), "csf_ttau": (80, 1300), "csf_ptau": (8, 120)}
    seen = 0
    for column, (low, high) in limits.items():
        shown, true = cohort.data[column].astype(str), cohort.complete[column]
        np.testing.assert_array_equal(shown.eq(f"<{low}"), true < low)
        np.testing.assert_array_equal(shown.eq(f">{high}"), true > high)
        seen += shown.str.contains("[<>]").sum()
    assert seen > 5


@pytest.mark.usefixtures("without_scans")
def test_table_informative_when_false_is_independent_of_target_and_picture():
    cohort = cohort_of(300, table_informative=False, missing_rate=None)
    severity, numbers = cohort.truth["severity"], cohort.complete.select_dtypes("number")
    assert numbers.corrwith(severity).abs().max() < 0.2
    informed = cohort_of(300, missing_rate=None)
    assert informed.complete.select_dtypes("number").corrwith(informed.truth["severity"]).abs().max() > 0.25
    again = cohort_of(300, table_informative=False, missing_rate=None, interaction=0)
    assert again.target.equals(cohort.target)


@pytest.mark.parametrize("task", ["diagnosis", "age"])
def test_table_informative_when_false_head_size_ignores_sex(task):
    def gap(informative):
        cohort = cohort_of(
            80, task=task, shape=(12, 12, 12), table_informative=informative, anatomy_variation=0.2
        )
        head = (pixels(cohort) > 150).sum(axis=(1, 2, 3))
        man = cohort.data["sex"].eq("M").to_numpy()
        return head[man].mean() / head[~man].mean() - 1

    assert gap(True) > 0.05
    assert abs(gap(False)) < 0.03


@pytest.mark.usefixtures("without_scans")
def test_interaction_when_it_changes_changes_the_target_and_not_the_subjects():
    first, second = cohort_of(100), cohort_of(100, interaction=0)
    causes = ["age", "sex", "education", "apoe4"]
    assert first.complete[causes].equals(second.complete[causes])
    assert not first.target.equals(second.target)
    old, young = cohort_of(task="age", interaction=1), cohort_of(task="age", interaction=0)
    assert old.target.equals(young.target)
    assert not np.allclose(old.truth["cortical_atrophy"], young.truth["cortical_atrophy"])


@pytest.mark.usefixtures("without_scans")
@pytest.mark.parametrize(("task", "score"), [("diagnosis", "accuracy"), ("age", "r2")])
def test_noise_when_it_grows_lowers_the_best_score(task, score):
    settings = {"n": 150, "task": task, "missing_rate": None}
    none, much = (cohort_of(**settings, noise=noise).best_score[score] for noise in (0, 4))
    assert none > 0.99
    assert much < none - 0.1


def test_image_noise_when_zero_leaves_the_air_black():
    corner = np.s_[:, :2, -2:, -2:]
    assert pixels(cohort_of(4, shape=(12, 12, 12), image_noise=0))[corner].max() == 0
    assert pixels(cohort_of(4, shape=(12, 12, 12), image_noise=0.1))[corner].mean() > 30


def test_anatomy_variation_when_zero_makes_heads_alike():
    def spread(variation):
        return np.std(
            pixels(cohort_of(8, shape=(12, 12, 12), anatomy_variation=variation)) > 100, axis=0
        ).mean()

    assert spread(0) < 0.7 * spread(1)
    assert spread(1) < 0.9 * spread(3)


def test_scanner_when_it_differs_changes_the_brightness():
    cohort = cohort_of(30, shape=(8, 8, 8))
    brightness = (
        pd.Series(pixels(cohort).mean(axis=(1, 2, 3))).groupby(cohort.data["scanner"].to_numpy()).mean()
    )
    assert brightness["B"] > 1.2 * brightness["A"] > 1.5 * brightness["C"]


def test_directory_when_given_is_written_to(tmp_path):
    cohort = cohort_of(4, directory=tmp_path / "new" / "cohort")
    assert Path(cohort.directory) == tmp_path / "new" / "cohort"
    wanted = tmp_path / "new" / "cohort" / "sub-002" / "anat" / "sub-002_T1w.nii.gz"
    assert cohort.data["t1w"].iloc[1] == str(wanted)
    assert wanted.is_file()


def test_directory_when_it_holds_an_earlier_cohort_is_replaced(tmp_path):
    cohort_of(6, directory=tmp_path)
    second = cohort_of(4, directory=str(tmp_path), random_state=1)
    pd.testing.assert_frame_equal(read_bids_table(tmp_path), second.frame)


@pytest.mark.parametrize("content", ["{}", "[]", "no json", '{"GeneratedBy": [{"Name": "other"}]}'])
def test_directory_when_it_holds_other_files_is_refused(tmp_path, content):
    (tmp_path / "dataset_description.json").write_text(content)
    (tmp_path / "sub-001").mkdir()
    with pytest.raises(FileExistsError, match=r"did not write\. Pass a new or an empty folder"):
        cohort_of(4, directory=tmp_path)
    assert (tmp_path / "sub-001").is_dir()


@pytest.mark.slow
def test_directory_when_none_lives_until_the_interpreter_ends():
    code = (
        "import gc, os; from skhyperfusion.datasets import make_brain_cohort\n"
        "paths = make_brain_cohort(3).data['t1w']; gc.collect()\n"
        "child = os.fork()\n"
        "if child == 0: raise SystemExit  # a child's end is not the end\n"
        "os.waitpid(child, 0); assert all(map(os.path.exists, paths)); print(paths.iloc[0])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    path = Path(run.stdout.strip())
    assert path.name == "sub-001_T1w.nii.gz"
    assert not path.parents[2].exists()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"task": "diagnos"},
            r"'task' .* one of 'diagnosis', 'age' or 'survival'\. Got 'diagnos' .*mean 'diagnosis'\?",
        ),
        ({"task": 3}, r"'task' .* Got 3 instead\.$"),
        ({"n_subjects": 2}, r"'n_subjects' .* an integer of at least 3\. Got 2"),
        ({"n_subjects": 0, "task": "age"}, r"'n_subjects' .* an integer of at least 1\. Got 0"),
        ({"n_subjects": 10.0}, r"'n_subjects' .* Got 10\.0"),
        ({"n_subjects": True}, r"'n_subjects' .* Got True"),
        ({"shape": 32}, r"'shape' .* three integers of at least 4\. Got 32"),
        ({"shape": (32, 32)}, r"'shape' .* Got \(32, 32\)"),
        ({"shape": (32, 32, 3)}, r"'shape' .* at least 4"),
        ({"shape": (32, 32, 32.0)}, r"'shape' .* integers"),
        ({"n_classes": 4}, r"'n_classes' .* 2 \(CN, AD\) or 3 \(CN, MCI, AD\)\. Got 4"),
        ({"class_shares": (0.5, 0.5)}, r"'class_shares' .* None or 3 positive numbers"),
        ({"class_shares": (0.5, 0.5, 0)}, r"'class_shares' .* positive"),
        ({"class_shares": (0.5, 0.5, np.nan)}, r"'class_shares' .* positive"),
        ({"missing_rate": 1.0}, r"'missing_rate' .* None, 'paper' or a number in \[0, 1\)\. Got 1\.0"),
        ({"missing_rate": "none"}, r"'missing_rate' .* Got 'none'"),
        ({"interaction": 1.6}, r"'interaction' .* a number in \[0, 1\.5\]\. Got 1\.6"),
        ({"interaction": np.nan}, r"'interaction' .* Got nan"),
        ({"noise": -1}, r"'noise' .* a number of at least 0\. Got -1"),
        ({"image_noise": np.inf}, r"'image_noise' .* at least 0\. Got inf"),
        ({"anatomy_variation": "1"}, r"'anatomy_variation' .* Got '1'"),
        ({"table_informative": None}, r"'table_informative' .* True or False\. Got None"),
        ({"random_state": -1}, r"'random_state' .* Got -1"),
        ({"random_state": "seed"}, r"'random_state' .* Got 'seed'"),
    ],
)
def test_parameter_when_wrong_is_named_with_what_is_right(parameters, message):
    given = {"n_subjects": 5, "shape": TINY} | parameters
    with pytest.raises(ValueError, match=message):
        make_brain_cohort(given.pop("n_subjects"), **given)


@pytest.mark.slow
def test_cohort_when_large_takes_seconds():
    start = time.process_time()
    make_brain_cohort(200, random_state=0)
    assert time.process_time() - start < 6
