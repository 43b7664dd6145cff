import pickle
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skhyperfusion.images import ImageLoader
from skhyperfusion.images._cache._memory import CACHE
from skhyperfusion.images._spec import ImageSpec

RAW = {"intensity": None}


def test_spec_when_opened_describes_the_images(save_nifti, as_column, volume):
    affine = np.diag([-1.0, 2, 3, 1])
    paths = [save_nifti(volume + i, f"{i}.nii", affine) for i in range(3)]
    source = ImageLoader().open(as_column(*paths))
    expected = ImageSpec((6, 8, 10), 1, 1, (1.0, 2.0, 3.0), "RAS", "zscore")
    assert source.spec == expected
    assert (len(source), source.spec.spatial_dims, source.nbytes) == (3, 3, 3 * 480 * 4)
    assert not source.missing.any()


def test_spec_when_only_shape_is_given_has_no_spacing(save_nifti, as_column, volume):
    source = ImageLoader(shape=(4, 4, 4)).open(as_column(save_nifti(volume)))
    assert source.spec.spacing is None
    spaced = ImageLoader(shape=(4, 4, 4), spacing=2).open(as_column(save_nifti(volume)))
    assert spaced.spec.spacing == (2.0, 2.0, 2.0)


def test_read_when_rows_are_picked_gives_them_in_order(save_nifti, as_column, volume):
    source = ImageLoader(**RAW).open(as_column(*[save_nifti(volume + i, f"{i}.nii") for i in range(4)]))
    picked = source.read(np.array([2, 0, 2]))
    assert picked.shape == (3, 1, 1, 6, 8, 10)
    assert picked.dtype == np.float32
    np.testing.assert_array_equal(picked[:, 0, 0, 0, 0, 0], [3, 1, 3])
    assert picked.flags.writeable


def test_read_when_threads_differ_gives_the_same(save_nifti, as_column, volume):
    source = ImageLoader(memory=0).open(as_column(*[save_nifti(volume + i, f"{i}.nii") for i in range(9)]))
    np.testing.assert_array_equal(source.stack(n_threads=1), source.stack(n_threads=4))


def test_view_when_taken_shows_some_rows(save_nifti, as_column, volume):
    frame = as_column(*[save_nifti(volume + i, f"{i}.nii") for i in range(4)], None)
    source = ImageLoader(missing="zeros", **RAW).open(frame)
    part = source.view([4, 1])
    assert part.missing.tolist() == [True, False]
    np.testing.assert_array_equal(part.stack(), source.read([4, 1]))
    assert not part.stack()[0].any()
    assert len(source.view(np.array([True, False, True, False, False]))) == 2
    assert source.view([]).stack().shape == (0, 1, 1, 6, 8, 10)
    assert len(source) == 5


def test_source_when_pickled_is_small_and_reads_the_same(save_nifti, as_column, volume):
    source = ImageLoader().open(as_column(*[save_nifti(volume + i, f"{i}.nii") for i in range(3)]))
    stack = source.stack()
    packed = pickle.dumps(source)
    assert len(packed) < 4000
    np.testing.assert_array_equal(pickle.loads(packed).stack(), stack)


def test_loader_when_cloned_and_pickled_keeps_its_parameters():
    loader = ImageLoader(shape=(3, 4), intensity=(1, 99), missing="zeros")
    assert clone(loader).get_params() == loader.get_params()
    assert pickle.loads(pickle.dumps(loader)).get_params() == loader.get_params()
    assert repr(loader) == "ImageLoader(intensity=(1, 99), missing='zeros', shape=(3, 4))"
    assert loader.set_params(shape=None).shape is None


def test_open_when_all_images_are_known_shows_no_empty_bar(save_nifti, as_column, volume, capsys):
    cells = as_column(save_nifti(volume))
    loader = ImageLoader()
    loader.open(cells).stack()
    capsys.readouterr()
    loader.open(cells, verbose=1)
    assert capsys.readouterr().err == ""


def test_stack_when_verbose_shows_progress(save_nifti, as_column, volume, capsys):
    source = ImageLoader(memory=0).open(as_column(save_nifti(volume)))
    source.stack()
    assert capsys.readouterr() == ("", "")
    source.stack(verbose=1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "1/1" in shown.err
    ImageLoader().open(as_column(save_nifti(volume)), verbose=1)
    assert "Opening images: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("shape", 32),
        ("shape", (32,)),
        ("shape", (32, 0)),
        ("shape", (8.0, 8.0)),
        ("spacing", 0),
        ("spacing", (1, 1, -1)),
        ("spacing", float("nan")),
        ("orientation", 3),
        ("crop", "front"),
        ("crop", ((0, 1), 2)),
        ("bilateral", 3),
        ("channels", "colour"),
        ("channels", 0),
        ("root", 3),
        ("missing", "drop"),
        ("memory", "all"),
        ("memory", -1),
        ("cache_dir", 5),
        ("max_voxels", 0),
    ],
)
def test_parameter_when_wrong_is_refused_by_name(as_column, parameter, value):
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of ImageLoader must be .*Got"):
        ImageLoader(**{parameter: value}).open(as_column(np.eye(4)))


@pytest.mark.parametrize("code", ["RA", "RRS", "RAX", "ras"])
def test_orientation_when_no_axis_code_is_refused(as_column, code):
    with pytest.raises(ValueError, match="'orientation' parameter of ImageLoader must be three letters"):
        ImageLoader(orientation=code).open(as_column(np.eye(4)))


# -- cells ---------------------------------------------------------------------------------------------


def test_root_when_given_is_where_relative_paths_start(save_nifti, as_column, volume, tmp_path):
    save_nifti(volume, "sub/a.nii")
    loaded = ImageLoader(root=tmp_path, **RAW).open(as_column("sub/a.nii")).stack()
    np.testing.assert_array_equal(loaded[0, 0, 0], volume)


def test_path_when_relative_starts_at_the_working_directory(save_nifti, load, volume, tmp_path, monkeypatch):
    save_nifti(volume, "a.nii")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(load("a.nii", **RAW)[0, 0, 0], volume)


def test_path_when_absent_names_row_column_path_and_root(as_column):
    message = (
        "Row 'p1', column 'scan': 'no/p07.nii' does not exist. Relative paths start at root=None; pass "
        "ImageLoader(root=...), or drop the row."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        ImageLoader().open(as_column(np.ones((4, 4, 4)), "no/p07.nii"))


def test_paths_when_many_are_absent_counts_them_and_shows_five(as_column):
    with pytest.raises(ValueError, match="7 images cannot be used; the first 5:") as caught:
        ImageLoader().open(as_column(*[f"no/{i}.nii" for i in range(7)]))
    lines = str(caught.value).splitlines()
    assert [line.split(",")[0].strip() for line in lines[1:6]] == [f"Row 'p{i}'" for i in range(5)]
    assert lines[6].strip() == "... and 2 more."


def test_scans_when_several_are_damaged_are_named_together(save_nifti, as_column, volume, tmp_path):
    paths = [save_nifti(volume, f"{i}.nii.gz") for i in range(4)]
    for i in (1, 3):
        with open(paths[i], "r+b") as file:
            file.truncate(600)
    with pytest.raises(ValueError, match="2 images cannot be used") as caught:
        ImageLoader().open(as_column(*paths)).stack()
    assert "Row 'p1'" in str(caught.value)
    assert "Row 'p3'" in str(caught.value)


@pytest.mark.parametrize("cell", [3.5, b"a.nii", {"a": 1}])
def test_cell_when_no_image_is_refused_with_its_type(as_column, cell):
    message = rf"Row 'p0', column 'scan': .*type {type(cell).__name__}, which is no image.*image_columns"
    with pytest.raises(ValueError, match=message):
        ImageLoader().open(as_column(cell))


def test_row_label_when_number_reads_plainly():
    frame = pd.DataFrame({"scan": ["no.nii"]}, index=[17])
    with pytest.raises(ValueError, match=r"Row 17, column 'scan': 'no\.nii'"):
        ImageLoader().open(frame)


@pytest.mark.parametrize("dtype", ["str", "object", "category", "string"])
def test_column_when_of_any_text_type_is_read(save_nifti, volume, dtype):
    frame = pd.DataFrame({"scan": pd.Series([save_nifti(volume)], dtype=dtype)})
    np.testing.assert_array_equal(ImageLoader(**RAW).open(frame).stack()[0, 0, 0], volume)


def test_cells_when_arrays_and_nibabel_images_load_alike(load, volume, save_nifti):
    image = nib.Nifti1Image(volume, np.eye(4))
    loaded = load(volume, image, nib.load(save_nifti(volume)), volume.astype(np.float64), **RAW)
    np.testing.assert_array_equal(loaded[:, 0, 0], [volume] * 4)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_when_raise_names_every_row(as_column, volume, missing):
    message = r"No image in column 'scan' in 2 rows: 'p0', 'p2'\. Drop .* ImageLoader\(missing='zeros'\)"
    with pytest.raises(ValueError, match=message):
        ImageLoader().open(as_column(missing, volume, missing))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_when_zeros_gives_zeros_and_a_flag(as_column, volume, missing):
    source = ImageLoader(missing="zeros").open(as_column(missing, volume))
    assert source.missing.tolist() == [True, False]
    stack = source.stack()
    assert not stack[0].any()
    assert stack[1].any()


def test_missing_when_no_row_has_an_image_needs_a_spec(as_column):
    loader = ImageLoader(missing="zeros")
    with pytest.raises(ValueError, match="None of the 2 rows has an image"):
        loader.open(as_column(None, None))
    source = loader.open(as_column(None, None), spec=ImageSpec((4, 4, 4), n_channels=2))
    assert source.stack().shape == (2, 1, 2, 4, 4, 4)


# -- channels ------------------------------------------------------------------------------------------


def test_columns_when_several_become_channels(volume):
    frame = pd.DataFrame({"t1": [volume, volume + 1], "flair": [-volume, -volume - 1]}, dtype=object)
    source = ImageLoader(**RAW).open(frame)
    assert source.spec.n_channels == 2
    np.testing.assert_array_equal(source.stack()[:, 0], [[volume, -volume], [volume + 1, -volume - 1]])


def test_columns_when_one_is_missing_flags_the_row(volume):
    frame = pd.DataFrame({"t1": [volume, volume], "flair": [None, -volume]}, dtype=object)
    source = ImageLoader(missing="zeros", **RAW).open(frame)
    assert source.missing.tolist() == [True, False]
    np.testing.assert_array_equal(source.read([0])[0, 0], [volume, 0 * volume])


def test_columns_when_shapes_differ_names_the_column(volume):
    frame = pd.DataFrame(
        {"t1": [volume, volume], "flair": [volume, volume[:5]]}, index=["a", "b"], dtype=object
    )
    message = r"Row 'b', column 'flair': .* has shape \(5, 8, 10\); most .* \(6, 8, 10\).*ImageLoader\(shape="
    with pytest.raises(ValueError, match=message):
        ImageLoader().open(frame)


GREY = np.arange(30, dtype=np.uint8).reshape(5, 6)
RGB = np.random.default_rng(0).integers(0, 255, (5, 6, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("cell", "parameters", "shape"),
    [
        (GREY, {}, (1, 5, 6)),
        (RGB, {}, (3, 5, 6)),
        (RGB, {"channels": "grey"}, (1, 5, 6)),
        (GREY, {"channels": "rgb"}, (3, 5, 6)),
        (RGB, {"channels": 3}, (3, 5, 6)),
        (np.dstack([RGB, GREY]), {"channels": "rgb"}, (3, 5, 6)),
        (np.dstack([RGB, GREY]), {}, (4, 5, 6)),
        (np.dstack([GREY, GREY]), {"channels": 2}, (2, 5, 6)),
        (np.dstack([GREY, GREY]), {"shape": (5, 6)}, (2, 5, 6)),
        (RGB, {"shape": (5, 6, 3)}, (1, 5, 6, 3)),
        (np.ones((5, 6, 7)), {}, (1, 5, 6, 7)),
        (np.ones((5, 6, 7)), {"channels": 7}, (7, 5, 6)),
        (np.ones((5, 6, 7, 2)), {}, (2, 5, 6, 7)),
        (np.ones((5, 6, 7, 2)), {"channels": 2}, (2, 5, 6, 7)),
        (np.ones((5, 6, 7)), {"channels": "rgb", "shape": (5, 6, 7)}, (3, 5, 6, 7)),
    ],
    ids=lambda value: str(getattr(value, "shape", value)),
)
def test_array_when_loaded_has_its_channels_first(load, cell, parameters, shape):
    assert load(cell, **parameters, **RAW).shape == (1, 1, *shape)


def test_grey_when_picture_is_coloured_is_its_luminance(load):
    loaded = load(RGB, channels="grey", **RAW)[0, 0, 0]
    np.testing.assert_allclose(loaded, RGB @ np.array([0.299, 0.587, 0.114]), rtol=1e-5)


@pytest.mark.parametrize(
    ("cell", "channels", "found"),
    [(RGB, 1, 3), (np.ones((5, 6, 7, 2)), "grey", 2), (np.ones((5, 6, 7, 2)), "rgb", 2)],
)
def test_channels_when_others_are_found_says_both(as_column, cell, channels, found):
    loader = ImageLoader(channels=channels, shape=cell.shape[:2] if cell.ndim == 3 else None)
    with pytest.raises(ValueError, match=rf"Row 'p0'.*has {found} channels, and channels={channels!r}"):
        loader.open(as_column(cell))


def test_channels_when_first_is_refused(as_column):
    with pytest.raises(ValueError, match=r"array of shape \(3, 16, 16\).*Move the channels last"):
        ImageLoader(shape=(8, 8)).open(as_column(np.ones((3, 16, 16))))


@pytest.mark.parametrize("shape", [(5,), (0, 4), (4, 4, 0)])
def test_array_when_it_has_no_pixels_is_refused(as_column, shape):
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*two or three axes, none of them empty"):
        ImageLoader().open(as_column(np.ones(shape)))


# -- odd voxels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_when_not_finite_are_counted(as_column, save_nifti, volume, value):
    volume[1, 2, 3:5] = value
    source = ImageLoader().open(as_column(save_nifti(volume)))
    with pytest.raises(
        ValueError, match=r"Row 'p0', .*scan\.nii\.gz' has 2 NaN or infinite voxels of 480.*nan_to_num"
    ):
        source.stack()


def test_voxels_when_beyond_float32_are_refused(load, volume):
    with pytest.raises(ValueError, match="NaN or infinite voxels"):
        load(volume.astype(np.float64) * 1e300)


def test_image_when_empty_warns_with_its_row(as_column, save_nifti, volume):
    source = ImageLoader().open(as_column(save_nifti(volume, "a.nii"), save_nifti(0 * volume, "b.nii")))
    with pytest.warns(UserWarning, match="Every voxel is 0 in the images of 1 row: 'p1'"):
        stack = source.stack()
    assert not stack[1].any()


@pytest.mark.parametrize("on_disk", [False, True])
def test_image_when_empty_warns_in_every_fit_and_once_in_each(
    as_column, save_nifti, volume, tmp_path, on_disk
):
    frame = as_column(save_nifti(volume, "a.nii"), save_nifti(0 * volume, "b.nii"))
    for _ in range(2):  # decoded, then kept
        source = ImageLoader(cache_dir=tmp_path / "cache" if on_disk else None).open(frame)
        with pytest.warns(UserWarning, match="Every voxel is 0 in the images of 1 row: 'p1'"):
            source.stack()
        source.view([1]).read([0])  # would be an error if it warned again
        source.read([1, 0])


def test_max_voxels_when_exceeded_is_refused_before_decoding(as_column, save_nifti, volume):
    path = save_nifti(volume)
    with pytest.raises(ValueError, match=r"Row 'p0'.* shape \(6, 8, 10\), 480 voxels, and max_voxels=479"):
        ImageLoader(max_voxels=479).open(as_column(path))
    assert CACHE.info()["decoded"] == 0
    assert ImageLoader(max_voxels=480).open(as_column(path)).spec.shape == (6, 8, 10)
    with pytest.raises(ValueError, match="max_voxels=479"):  # although the header is in the cache
        ImageLoader(max_voxels=479).open(as_column(path))
