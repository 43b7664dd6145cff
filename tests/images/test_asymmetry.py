from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.images import check_images
from skhyperfusion.images._asymmetry import against_the_others, asymmetry

SWAPPED = "left and right perhaps swapped"
IXI = Path(__file__).parents[3] / "shared" / "data" / "ixi-t1-small" / "t1"


def head(rng):
    """Voxels (1, 24, 28, 20) in RAS of a head with a larger right frontal lobe, at a place of its own."""
    shape = (24, 28, 20)
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"), axis=-1)
    at = at - rng.normal(0, 0.05, 3)
    inside = (at**2).sum(-1) < 0.7
    lobe = np.exp(-((at - [0.4, 0.5, 0.1]) ** 2).sum(-1) / 0.05)
    return (inside * (1 + rng.normal(0.7, 0.1) * lobe + rng.normal(0, 0.1, shape)))[None]


@pytest.fixture(scope="module")
def heads():
    rng = np.random.default_rng(0)
    return [head(rng) for _ in range(40)]


@pytest.fixture
def as_study(save_nifti):
    """Write heads to files 'RAS'; those named as turned, mirrored under the same header."""

    def study(heads, turned=()):
        cells = [
            save_nifti(np.flip(voxels, 1)[0] if i in turned else voxels[0], f"{i}.nii")
            for i, voxels in enumerate(heads)
        ]
        return pd.DataFrame({"t1": cells, "age": np.arange(len(cells))})

    return study


def swapped(report):
    return [row for row, kinds in zip(report.index, report["kinds"], strict=True) if SWAPPED in kinds]


def test_report_when_scans_are_turned_names_them(heads, as_study):
    report = check_images(as_study(heads, turned=(3, 17)))
    assert swapped(report) == [3, 17]
    assert report.loc[3, "flags"] == (
        "asymmetric the other way round than most: left and right are perhaps swapped"
    )
    assert f"! {SWAPPED}: 2 images: 3, 17" in report.summary()


def test_report_when_nothing_is_turned_names_none(heads, as_study):
    assert swapped(check_images(as_study(heads))) == []


def test_report_when_many_are_asymmetric_the_other_way_takes_them_for_another_kind(heads, as_study):
    assert swapped(check_images(as_study(heads, turned=range(0, 40, 5)))) == []
    assert len(swapped(check_images(as_study(heads, turned=range(4))))) == 4


@pytest.mark.parametrize("shape", [(16, 16, 16), (24, 24, 24)])
def test_report_when_our_own_cohort_is_looked_at_raises_no_alarm(shape):
    cohort = make_brain_cohort(60, shape=shape, random_state=0)
    assert len(swapped(check_images(cohort.frame, image_columns="t1w"))) <= 1


@pytest.mark.parametrize("seed", [111, 116, 117])
def test_report_of_a_small_cohort_without_a_swap_raises_no_alarm(seed):
    cohort = make_brain_cohort(40, shape=(16, 16, 16), random_state=seed)
    assert swapped(check_images(cohort.frame, image_columns="t1w")) == []


def test_report_when_stored_from_left_to_right_goes_by_the_header(heads, as_study, save_nifti):
    study = as_study(heads)
    stored, left_first = np.flip(heads[0], 1)[0], np.diag([-1.0, 1, 1, 1])
    study.loc[0, "t1"] = save_nifti(stored, "right.nii", affine=left_first)
    study.loc[1, "t1"] = save_nifti(heads[1][0], "wrong.nii", affine=left_first)
    assert swapped(check_images(study)) == [1]


def test_report_when_not_decoding_or_without_affine_says_nothing_of_sides(heads, as_study):
    assert swapped(check_images(as_study(heads, turned=(3,)), decode=False)) == []
    arrays = [np.flip(voxels, 1)[0] if i == 3 else voxels[0] for i, voxels in enumerate(heads)]
    assert swapped(check_images(arrays)) == []


def test_report_when_columns_differ_judges_each_by_its_own(heads, as_study):
    study = as_study(heads, turned=(3,))
    other = [nib.Nifti1Image(np.flip(voxels, 1)[0].astype(np.float32), np.eye(4)) for voxels in heads]
    study["flair"] = pd.Series(other, dtype=object)
    report = check_images(study)
    assert swapped(report) == [3]
    assert report.loc[[SWAPPED in kinds for kinds in report["kinds"]], "column"].tolist() == ["t1"]


def test_against_the_others_when_a_fifth_is_turned_finds_them(heads):
    asymmetries = [asymmetry(voxels) * (-1 if i % 5 == 0 else 1) for i, voxels in enumerate(heads)]
    odd, usual = against_the_others(asymmetries)
    assert np.flatnonzero(odd).tolist() == list(range(0, 40, 5))
    assert usual > 0.1


def test_against_the_others_when_few_or_alike_in_nothing_tells_none(heads):
    few = [asymmetry(voxels) for voxels in heads[:39]]
    few[0] = -few[0]
    odd, usual = against_the_others(few)
    assert not odd.any()
    assert np.isnan(usual)
    rng = np.random.default_rng(1)
    noise = [asymmetry(rng.random((1, 16, 16, 16))) for _ in range(60)]
    odd, usual = against_the_others(noise)
    assert not odd.any()
    assert abs(usual) < 0.1


def test_asymmetry_when_size_place_and_brightness_change_stays(heads):
    voxels = heads[0]
    wide = np.zeros((1, 50, 45, 40))
    wide[:, 5:29, 10:38, 3:23] = 700 * voxels
    np.testing.assert_allclose(asymmetry(wide), asymmetry(voxels), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(asymmetry(voxels)), 1, atol=1e-6)
    np.testing.assert_allclose(asymmetry(np.flip(voxels, 1)), -asymmetry(voxels), atol=1e-5)


@pytest.mark.parametrize(
    "voxels",
    [np.ones((1, 8, 8, 8)), np.ones((3, 8, 8)), np.full((1, 8, 8, 8), np.nan), np.zeros((1, 1, 1, 1))],
    ids=["constant", "picture", "NaN", "one voxel"],
)
def test_asymmetry_when_there_is_none_is_none(voxels):
    assert asymmetry(voxels) is None


def test_asymmetry_when_symmetric_is_none():
    right = np.random.default_rng(0).random((1, 8, 16, 16))
    assert asymmetry(np.concatenate([np.flip(right, 1), right], axis=1)) is None


@pytest.mark.skipif(not IXI.is_dir(), reason="the IXI scans are not beside this project")
def test_report_when_brains_are_turned_finds_nearly_all(tmp_path):
    paths = sorted(map(str, IXI.glob("*.nii.gz")))
    turned = list(range(0, len(paths), 12))
    for i in turned:
        scan = nib.as_closest_canonical(nib.load(paths[i]))
        paths[i] = str(tmp_path / f"{i}.nii")
        nib.save(nib.Nifti1Image(np.flip(np.asarray(scan.dataobj), 0), scan.affine), paths[i])
    found = set(swapped(check_images(paths)))
    assert len(found & set(turned)) >= len(turned) - 2
    assert len(found - set(turned)) <= 3
