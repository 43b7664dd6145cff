"""Which column plays which part: detection, names, positions, pixels and the words of refusal."""

import pathlib

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from cohort_table import TEXT_DTYPE
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skhyperfusion._table import _suffixes
from skhyperfusion._table._cells import object_array
from skhyperfusion._table._columns import ColumnRoles, is_image_cell, resolve_columns
from skhyperfusion._table._suffixes import has_image_suffix

NIFTI = nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4))
ARRAY = np.zeros((4, 4))


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "age": [70.0, None, 81.0],
            "t1w": ["a/p1.nii.gz", None, "a/p3.NII"],
            "sex": ["F", "M", None],
            "subject": ["s1", "s1", "s2"],
        }
    )


@pytest.mark.parametrize("path", ["a.nii", "b.NII.GZ", "c.d/e.jpeg", pathlib.Path("x.npy"), "g h.dcm"])
def test_has_image_suffix_when_known_is_true(path):
    assert has_image_suffix(path)


@pytest.mark.parametrize("path", ["a.txt", "nii", ".nii.gz", "dir/.png", "a.nii/b", "", "a.png.csv"])
def test_has_image_suffix_when_unknown_is_false(path):
    assert not has_image_suffix(path)


def test_has_image_suffix_when_a_reader_is_registered_knows_it(monkeypatch):
    monkeypatch.setattr(_suffixes, "_registered", {".foo"})
    assert has_image_suffix("a.FOO")
    assert not has_image_suffix("a.png")


@pytest.mark.parametrize("cell", ["a.png", np.str_("a.png"), pathlib.Path("a.png"), ARRAY, NIFTI])
def test_is_image_cell_when_image_is_true(cell):
    assert is_image_cell(cell)


@pytest.mark.parametrize("cell", ["png", None, np.nan, pd.NA, 3.0, np.zeros(3), b"a.png", [[1, 2]], {"a": 1}])
def test_is_image_cell_when_no_image_is_false(cell):
    assert not is_image_cell(cell)


@pytest.mark.parametrize(
    "dtype", [TEXT_DTYPE, object, "category", "string[pyarrow]", pd.StringDtype("python")]
)
def test_auto_when_cells_are_paths_finds_the_column(table, dtype):
    roles = resolve_columns(table.astype({"t1w": dtype}))
    assert roles == ColumnRoles(("t1w",), ("age", "sex", "subject"), None, (), False)


@pytest.mark.parametrize("image", [pathlib.Path("a.nii"), ARRAY, NIFTI], ids=["path", "array", "nibabel"])
def test_auto_when_cells_are_objects_finds_the_column(image):
    roles = resolve_columns(pd.DataFrame({"age": [1, 2, 3], "scan": object_array([image, None, image])}))
    assert roles.image == ("scan",)
    assert roles.tabular == ("age",)


def test_auto_when_several_columns_hold_images_takes_all(table):
    table["flair"] = table["t1w"]
    assert resolve_columns(table).image == ("t1w", "flair")


def test_auto_when_column_is_mostly_images_names_the_others(table):
    table.index = ["p1", "p2", "p3"]
    table["t1w"] = ["a.nii", "missing", "c.nii"]
    with pytest.raises(
        ValueError, match=r"'t1w' holds 2 images, but 1 of .*: row 'p2': 'missing'\. Known.*\.nii\.gz"
    ):
        resolve_columns(table)


def test_auto_when_few_cells_are_images_takes_them_for_text(table):
    table["note"] = ["see a.png above", "b.png", "nothing"]
    assert "note" in resolve_columns(table).tabular


def test_auto_when_there_is_no_image_and_all_is_numeric_warns():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": object_array([1, {"foo": "bar"}]), "c": ["<80", "n/a"]})
    with pytest.warns(UserWarning, match="Net found no image column.*tabular network alone is fitted"):
        roles = resolve_columns(frame, estimator_name="Net")
    assert roles == ColumnRoles((), ("a", "b", "c"), None, (), False)


def test_auto_when_there_is_no_image_but_text_shows_first_cells_and_suffixes(table):
    table["t1w"] = ["a.mha", "b.mha", None]
    with pytest.raises(
        ValueError, match=r"Net found no image.*'t1w': 'a.mha', 'b.mha'; 'sex': 'F'.*\.dcm.*image_columns"
    ):
        resolve_columns(table, estimator_name="Net")


def test_auto_when_told_to_ignore_says_nothing(table):
    roles = resolve_columns(table.drop(columns="t1w"), on_no_image="ignore")
    assert roles.image == ()
    assert roles.tabular == ("age", "sex", "subject")


def test_auto_when_an_image_is_needed_and_all_is_numeric_raises():
    with pytest.raises(ValueError, match=r"found no image column in X\. Every column is numeric") as caught:
        resolve_columns(pd.DataFrame({"a": [1.0]}), on_no_image="error")
    assert "fusion" not in str(caught.value)  # who cannot do without images has no such parameter


@pytest.mark.parametrize("request_", ["t1w", ["t1w"], 1, [1], -3, np.int64(1), pd.Index(["t1w"])])
def test_image_columns_when_name_or_position_finds_the_column(table, request_):
    roles = resolve_columns(table, image_columns=request_)
    assert roles.image == ("t1w",)
    assert roles.pixels is False


def test_image_columns_when_suffix_is_unknown_trusts_the_user(table):
    table["t1w"] = ["series/p1", "series/p2", None]
    assert resolve_columns(table, image_columns="t1w").image == ("t1w",)


def test_image_columns_when_order_is_given_keeps_it(table):
    table["flair"] = table["t1w"]
    assert resolve_columns(table, image_columns=["flair", "t1w"]).image == ("flair", "t1w")


def test_image_columns_when_another_column_holds_images_drops_it_with_a_warning(table):
    table["flair"] = table["t1w"]
    with pytest.warns(UserWarning, match=r"image_columns='t1w' does not name .*'flair'"):
        roles = resolve_columns(table, image_columns="t1w")
    assert roles.dropped == ("flair",)
    assert "flair" not in roles.tabular


def test_image_columns_when_none_leaves_no_path_to_be_encoded(table):
    with pytest.warns(UserWarning, match=r"image_columns=None does not name .*'t1w'"):
        roles = resolve_columns(table, image_columns=None)
    assert roles.image == ()
    assert roles.dropped == ("t1w",)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ColumnTransformer([("num", StandardScaler(), ["age"])], remainder="passthrough"),
        lambda: ColumnTransformer(
            [("num", StandardScaler(), ["age"])],
            remainder=ColumnTransformer([("x", "drop", ["sex"])], remainder="passthrough"),
        ),
        lambda: FeatureUnion([("a", ColumnTransformer([("i", "passthrough", ["t1w", "age"])]))]),
        lambda: ColumnTransformer(
            [("num", StandardScaler(), ["age"])],
            remainder="passthrough",
            verbose_feature_names_out="{feature_name}__{transformer_name}",
        ),
        lambda: FunctionTransformer(feature_names_out="one-to-one"),
    ],
    ids=["prefix", "twice", "union", "suffix", "plain"],
)
def test_image_columns_when_a_transformer_renamed_the_column_finds_it(table, make):
    frame = make().set_output(transform="pandas").fit_transform(table)
    roles = resolve_columns(frame, image_columns="t1w")
    assert len(roles.image) == 1
    assert "t1w" in roles.image[0]


def test_image_columns_when_name_fits_two_columns_raises(table):
    frame = table.rename(columns={"t1w": "a__t1w", "sex": "b__t1w"})
    with pytest.raises(ValueError, match=r"'t1w' fits 2 columns: 'a__t1w', 'b__t1w'\. Give the whole"):
        resolve_columns(frame, image_columns="t1w")


def test_image_columns_when_name_is_part_of_a_word_does_not_match(table):
    with pytest.raises(ValueError, match=r"image_columns names 't1', which is not .*; did you mean 't1w'\?"):
        resolve_columns(table, image_columns="t1")


def test_image_columns_when_position_is_out_of_range_raises(table):
    with pytest.raises(ValueError, match="position 4 is out of range, X has 4 columns"):
        resolve_columns(table, image_columns=4)


def test_image_columns_when_column_is_given_twice_raises(table):
    with pytest.raises(ValueError, match="gives column 't1w' more than once"):
        resolve_columns(table, image_columns=["t1w", 1])


def test_image_columns_when_column_is_empty_raises(table):
    table["t1w"] = None
    with pytest.raises(ValueError, match="'t1w' of image_columns holds no image: all its cells are missing"):
        resolve_columns(table, image_columns="t1w")


def _nameless(table):
    transformer = ColumnTransformer([("sex", OneHotEncoder(), ["sex"])], remainder="passthrough")
    array = transformer.fit_transform(table)
    return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])


def test_array_when_one_name_is_requested_finds_the_only_images(table):
    roles = resolve_columns(_nameless(table), image_columns="t1w", has_names=False)
    assert roles.image == ("x4",)


@pytest.mark.parametrize("case", ["two names", "two image columns", "group"])
def test_array_when_name_cannot_be_told_says_set_output(table, case):
    table["flair"] = table["t1w"]
    frame = _nameless(table)
    options = {
        "two names": {"image_columns": ["t1w", "flair"]},
        "two image columns": {"image_columns": "t1w"},
        "group": {"group_column": "subject"},
    }[case]
    with pytest.raises(ValueError, match=r"Net received an array.*\.set_output\(transform='pandas'\)"):
        resolve_columns(frame, has_names=False, estimator_name="Net", **options)


def test_array_when_position_is_given_finds_the_column(table):
    assert resolve_columns(_nameless(table), image_columns=4, has_names=False).image == ("x4",)


def test_array_when_position_leads_to_numbers_beside_paths_raises(table):
    with pytest.raises(
        ValueError, match=r"'x0', which holds numbers, while column 'x4' holds images.*set_output"
    ):
        resolve_columns(_nameless(table), image_columns=[0], has_names=False)


@pytest.mark.parametrize("dtype", [float, int, object, "Float64", "int64[pyarrow]"])
def test_image_columns_when_numeric_are_pixels(dtype):
    frame = pd.DataFrame(np.arange(12).reshape(3, 4), columns=list("abcd")).astype(dtype)
    roles = resolve_columns(frame, image_columns=["a", "b", "c"])
    assert roles == ColumnRoles(("a", "b", "c"), ("d",), None, (), True)


def test_image_columns_when_a_pixel_is_missing_or_odd_are_still_pixels():
    frame = pd.DataFrame(
        {"a": [1.0, np.nan, 2.0], "b": object_array([{"foo": "bar"}, 1.0, 2.0]), "c": [1, 2, 3]}
    )
    assert resolve_columns(frame, image_columns=["a", "b"]).pixels is True


def test_image_columns_when_pixels_and_paths_mix_raises(table):
    with pytest.raises(ValueError, match=r"mixes .* numbers \('age'\) with .* images \('t1w'\)"):
        resolve_columns(table, image_columns=["age", "t1w"])


@pytest.mark.parametrize("request_", ["subject", 3, -1])
def test_group_column_is_no_feature(table, request_):
    roles = resolve_columns(table, group_column=request_)
    assert roles.group == "subject"
    assert roles.tabular == ("age", "sex")


def test_group_column_when_absent_names_the_nearest(table):
    with pytest.raises(ValueError, match=r"group_column names 'subjct', .* did you mean 'subject'"):
        resolve_columns(table, group_column="subjct")


def test_group_column_when_also_an_image_raises(table):
    with pytest.raises(ValueError, match="'t1w' is given both as image_columns and as group_column"):
        resolve_columns(table, image_columns="t1w", group_column="t1w")


def test_resolve_columns_leaves_the_frame_alone(table):
    before = table.copy(deep=True)
    resolve_columns(table, image_columns="t1w", group_column="subject")
    pd.testing.assert_frame_equal(table, before)
