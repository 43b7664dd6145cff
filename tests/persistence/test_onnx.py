"""An exported network answers as the estimator does, to a reader without torch and without the package."""

import json

import nibabel as nib
import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx_reader import Reader, encode, read_images
from PIL import Image
from saved_parts import SMALL, OwnPreprocessor
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skhyperfusion import (
    HyperFusionClassifier,
    HyperFusionRegressor,
    HyperFusionSurvival,
    ImageLoader,
    TabularPreprocessor,
    survival_target,
)
from skhyperfusion._encoder import RowEncoder
from skhyperfusion._parameters import FUSIONS
from skhyperfusion.ensemble import FoldEnsembleClassifier
from skhyperfusion.persistence import export_onnx
from skhyperfusion.persistence._onnx_image import describe_images
from skhyperfusion.persistence._onnx_table import describe_table
from skhyperfusion.presets import MNI152_ORIGINS, alzheimer_preprocessor, mni152_hippocampi

ODD = pytest.mark.filterwarnings("ignore:.*silences this")  # later rows are odd on purpose


def plain(description):
    """What comes out of the file."""
    return json.loads(json.dumps(description, allow_nan=False))


@pytest.fixture
def later_rows(table_study):
    """Rows with everything that a table may lack, and a category that is new."""
    X = table_study[0].iloc[:6].copy()
    X["age"] = [70.0, np.nan, 81.0, 64.5, np.nan, 90.0]
    X["tau"] = ["<80", None, 120, "n/a", None, ">1300"]
    X["sex"] = ["F", "M", None, "X", None, "F"]
    return X


@pytest.mark.parametrize(
    "fusion", ["hyper", *(pytest.param(f, marks=pytest.mark.slow) for f in FUSIONS if f != "hyper")]
)
@ODD
def test_classifier_answers_alike(fusion, table_study, later_rows, tmp_path):
    X, labels, _ = table_study
    model = HyperFusionClassifier(fusion=fusion, **SMALL).fit(X, labels)
    export_onnx(model, tmp_path / "model.onnx")
    reader = Reader(tmp_path / "model.onnx")
    for rows in (later_rows, X, X.iloc[:1]):
        expected = model.predict_proba(rows)
        np.testing.assert_allclose(reader(rows), expected, atol=1e-5)
        assert reader.classes(rows) == model.predict(rows).tolist()
    assert reader.about["network"]["output"] == {"name": "probabilities", "classes": ["AD", "CN"]}
    assert [*reader.about["network"]["inputs"]] == {"image": ["image"], "tabular": ["tabular"]}.get(
        fusion, ["image", "tabular"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vgg", "resnet-paper", "vgg-paper"])
def test_other_backbone_in_three_dimensions_answers_alike(backbone, study, tmp_path):
    X, labels, _ = study
    model = HyperFusionClassifier(backbone=backbone, **SMALL).fit(X, labels)
    export_onnx(model, tmp_path / "model.onnx")
    np.testing.assert_allclose(Reader(tmp_path / "model.onnx")(X), model.predict_proba(X), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_regressor_answers_in_the_unit_of_y(n_outputs, table_study, tmp_path):
    X, _, values = table_study
    loader = ImageLoader(bilateral=0)  # two views, whose values are averaged
    y = values * 1000 if n_outputs == 1 else np.column_stack([values, -values])
    model = HyperFusionRegressor(image_loader=loader, precision="float64", **SMALL).fit(X, y)
    export_onnx(model, tmp_path / "model.onnx")
    found = Reader(tmp_path / "model.onnx")(X)
    assert found.shape == y.shape
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["discrete", "cox"])
def test_survival_answers_with_curves(loss, table_study, tmp_path):
    X, _, values = table_study
    y = survival_target(np.arange(len(X)) % 3 > 0, values)
    model = HyperFusionSurvival(loss=loss, **SMALL).fit(X, y)
    export_onnx(model, tmp_path / "model.onnx")
    reader = Reader(tmp_path / "model.onnx")
    output = reader.about["network"]["output"]
    assert output["name"] == {"discrete": "survival", "cox": "risk"}[loss]
    assert output["times"] == model.unique_times_.tolist()
    curves = model.predict_survival_function(X, return_array=True)
    np.testing.assert_allclose(reader.survival(X), curves, atol=1e-5)
    if loss == "cox":
        np.testing.assert_allclose(reader(X), model.predict(X), atol=1e-5)


@pytest.mark.slow
def test_files_tell_of_no_row_and_no_place(study, tmp_path):
    X, labels, _ = study
    X = X.assign(subject=X.index)
    model = HyperFusionClassifier(group_column="subject", **SMALL).fit(X, labels)
    export_onnx(model, tmp_path / "model.onnx")
    network = (tmp_path / "model.onnx").read_bytes()
    text = network + (tmp_path / "model.json").read_bytes()
    for word in (b"sub-0", b".nii", b".py", b"site-packages"):
        assert word not in text
    assert str(tmp_path.parent).encode() not in text
    assert not any(node.metadata_props for node in onnx.load_from_string(network).graph.node)
    assert not any(f'"{row}"'.encode() in text for row in X.index)


# ---- The table, without a network


def fitted_encoder(X, preprocessor, **loader):
    images = [name for name in X if name in ("picture", "scan")]
    encoder = RowEncoder(
        image_columns=images,
        tabular_columns=[name for name in X if name not in images],
        pixels=False,
        image_loader=ImageLoader(**loader),
        tabular_preprocessor=preprocessor,
    )
    encoder.fit_table(X, np.arange(len(X)), encoder.open_images(X))
    return encoder


@pytest.mark.parametrize(
    "preprocessor",
    [
        TabularPreprocessor(image_columns=None),
        TabularPreprocessor(image_columns=None, imputer="median", scaler=None, max_categories=2),
        TabularPreprocessor(image_columns=None, imputer=SimpleImputer(strategy="mean"), add_indicator=False),
        alzheimer_preprocessor(),
    ],
)
@ODD
def test_table_is_encoded_alike(preprocessor):
    rng = np.random.default_rng(0)
    n = 40
    X = pd.DataFrame(
        {
            "age": rng.normal(70, 8, n),
            "weight": [f"{kg:.1f} kg".replace(".", ",") for kg in rng.normal(70, 8, n)],
            "tau": [["<80", 120, None, "1300", "hemolysed"][i % 5] for i in range(n)],
            "count": [f"{100 + 37 * i:,}" for i in range(n)],
            "since": [f"{i % 9 + 1:03d}{'YM'[i % 2]}" for i in range(n)],
            "drinks": pd.array([None if i % 9 == 8 else i % 4 > 1 for i in range(n)], dtype="boolean"),
            "code": rng.integers(0, 4, n),
            "site": [["A", "A", "B", "C", None][i % 5] for i in range(n)],
        }
    )
    X.loc[::7, "age"] = np.nan
    X.loc[[3, 4], "weight"] = ["n/a", None]
    X["code"] = X["code"].astype("category")
    encoder = fitted_encoder(X, preprocessor)
    later = X.iloc[:12].astype(object)
    later.loc[:4, "weight"] = ["70000 g", "1.234,5", "65 kg", "150 lbs", None]
    later.loc[5, "site"] = "Z"
    later.loc[6] = None
    about = plain(describe_table(encoder))
    found = np.array([encode(about, row) for _, row in later.iterrows()])
    np.testing.assert_allclose(found, encoder.encode_table(later), atol=1e-9)


def test_numbers_that_are_passed_through_are_encoded_alike():
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [True, False, True]})
    encoder = fitted_encoder(X, None)
    about = plain(describe_table(encoder))
    np.testing.assert_array_equal([encode(about, row) for _, row in X.iterrows()], encoder.encode_table(X))
    with pytest.raises(ValueError, match="nothing fills it"):
        encode(about, pd.Series({"a": np.nan, "b": True}))


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("unseen", {"age": 70.0, "sex": "X"}),
        ("range", {"age": 7000.0, "sex": "F"}),
        ("rows", {"age": None, "sex": None}),
    ],
)
def test_what_the_estimator_refuses_is_refused(kind, row):
    X = pd.DataFrame({"age": np.linspace(50, 90, 20), "sex": ["F", "M"] * 10})
    preprocessor = TabularPreprocessor(image_columns=None, on_odd={kind: "raise"})
    encoder = fitted_encoder(X, preprocessor)
    frame = pd.DataFrame([row])
    about = plain(describe_table(encoder))
    with pytest.raises(ValueError, match=r"."):
        encoder.encode_table(frame)
    with pytest.raises(ValueError, match=r"no category|far from|no value"):
        encode(about, pd.Series(row))


def test_stated_gaps_and_silent_words_are_read_alike():
    X = pd.DataFrame({"score": [1.0, 2.0, 9.0, 4.0, 5.0, 6.0], "site": ["a", "b", "not sent", "a", "b", "a"]})
    preprocessor = TabularPreprocessor(
        image_columns=None, missing_values=["Not sent", 9], on_odd={"cells": "ignore"}
    )
    encoder = fitted_encoder(X, preprocessor)
    later = X.astype(object)
    later.loc[1, "score"] = "many"
    about = plain(describe_table(encoder))
    found = [encode(about, row) for _, row in later.iterrows()]
    np.testing.assert_allclose(found, encoder.encode_table(later), atol=1e-9)


# ---- The images, without a network


def volume(shape, seed, zooms=(1.0, 1.0, 1.0), axes="RAS"):
    rng = np.random.default_rng(seed)
    voxels = np.zeros(shape, dtype=np.int16)
    voxels[1:-1, 2:-2, 1:-1] = rng.integers(1, 900, size=tuple(np.subtract(shape, (2, 4, 2))))
    to_axes = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes)
    )
    affine = np.diag([*zooms, 1.0]) @ nib.orientations.inv_ornt_aff(to_axes, shape)
    return nib.Nifti1Image(nib.orientations.apply_orientation(voxels, to_axes), affine)


@pytest.mark.parametrize(
    "loader",
    [
        {},
        {"shape": (6, 7, 8), "intensity": "minmax"},
        {"spacing": 1.5, "shape": (7, 7, 7), "intensity": "percentile"},
        {"spacing": (2.0, 1.0, 1.3), "bilateral": 0, "intensity": None},
        {"spacing": 2.0, "bilateral": 0, "orientation": "LPS"},
        {"crop": "foreground", "shape": (8, 8, 8)},
        {"crop": ((1, 9), (2, 10), (0, 8)), "orientation": "PIR"},
        {"shape": (12, 10, 8), "intensity": (5, 90)},
    ],
)
def test_scans_are_read_alike(loader, tmp_path):
    paths = []
    for seed, axes in enumerate(["RAS", "LPS", "PIR"]):
        nib.save(volume((10, 12, 11), seed, axes=axes), tmp_path / f"{seed}.nii.gz")
        paths.append(str(tmp_path / f"{seed}.nii.gz"))
    check_images(pd.DataFrame({"scan": paths}), loader)


def test_later_scans_with_another_field_of_view_are_cut_alike(tmp_path):
    nib.save(volume((10, 12, 11), 0), tmp_path / "a.nii.gz")
    nib.save(volume((13, 10, 12), 1), tmp_path / "b.nii.gz")
    encoder = fitted_encoder(
        pd.DataFrame({"scan": [str(tmp_path / "a.nii.gz")]}), None, spacing=1.0, bilateral=0
    )
    later = pd.DataFrame({"scan": [str(tmp_path / "b.nii.gz")]})
    about = plain(describe_images(encoder))
    with pytest.warns(UserWarning, match="field of view"):
        expected = encoder.open_images(later).read([0])[0]
    np.testing.assert_allclose(read_images(about, later.iloc[0])[0], expected, atol=1e-4)


@pytest.mark.parametrize("loader", [{}, {"channels": "grey", "shape": (6, 8)}, {"channels": "rgb"}])
def test_pictures_are_read_alike(loader, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(2):
        Image.fromarray(rng.integers(0, 255, (9, 7, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    np.save(tmp_path / "a.npy", rng.normal(size=(9, 7, 3)))
    names = ["0.png", "1.png", "a.npy"]
    check_images(pd.DataFrame({"picture": [str(tmp_path / name) for name in names]}), loader)


def test_missing_and_stacked_images_are_read_alike():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {"scan": list(rng.normal(size=(3, 6, 6))), "picture": [*rng.normal(size=(2, 6, 6)), None]}
    )
    check_images(X, {"missing": "zeros"})


def test_pixels_are_read_alike(tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(20, 17)), columns=[f"x{i}" for i in range(17)])
    loader = ImageLoader(shape=(4, 4))
    model = HyperFusionClassifier(image_columns=list(X.columns[:16]), image_loader=loader, **SMALL)
    encoder = model.fit(X, np.arange(20) % 2)._encoder
    about = plain(describe_images(encoder))
    expected = encoder.open_images(X).read(range(20))
    for (_, row), image in zip(X.iterrows(), expected, strict=True):
        np.testing.assert_allclose(read_images(about, row)[0], image, atol=1e-5)


def check_images(X, loader):
    encoder = fitted_encoder(X.assign(age=1.0), None, **loader)
    source = encoder.open_images(X)
    about = plain(describe_images(encoder))
    for position, (_, row) in enumerate(X.iterrows()):
        image, lost = read_images(about, row)
        np.testing.assert_allclose(image, source.read([position])[0], atol=2e-4)
        assert lost == source.missing[position]


def test_crop_of_the_preset_is_told_as_boxes():
    encoder = RowEncoder(
        image_columns=["scan"],
        tabular_columns=[],
        pixels=False,
        image_loader=ImageLoader(crop=mni152_hippocampi, bilateral=0),
        tabular_preprocessor=None,
    )
    encoder.image_spec = fitted_encoder(pd.DataFrame({"scan": [np.ones((4, 4, 4))]}), None).image_spec
    crop = next(step for step in plain(describe_images(encoder))["steps"] if step["do"] == "crop")
    assert crop["boxes"][0] == {"of_shape": [182, 218, 182], "box": [[28, 155], [58, 154], [30, 94]]}
    assert len(crop["boxes"]) == len(MNI152_ORIGINS)


# ---- What cannot be exported


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"tabular_preprocessor": OwnPreprocessor()},
            "tabular_preprocessor=OwnPreprocessor",
        ),
        ({"tabular_preprocessor": TabularPreprocessor(imputer="knn")}, "keeps the training table"),
        (
            {"tabular_preprocessor": TabularPreprocessor(imputer=SimpleImputer(missing_values=0))},
            r"imputer SimpleImputer\(missing_values=0\)",
        ),
        (
            {"tabular_preprocessor": alzheimer_preprocessor(imputer__imputer__max_value=0.5)},
            "imputer StandardizedImputer",
        ),
        ({"tabular_preprocessor": TabularPreprocessor(scaler=MinMaxScaler())}, "scaler=MinMaxScaler"),
        ({"image_loader": ImageLoader(intensity=np.sign)}, r"ImageLoader\(intensity=.*function of your own"),
        ({"image_loader": ImageLoader(crop=lambda v: ((0, 6), (0, 6)))}, r"ImageLoader\(crop=.*your own"),
    ],
)
def test_what_is_no_plain_data_is_refused(changed, words, table_study, tmp_path):
    X, labels, _ = table_study
    X = X[["picture", "age"]].fillna({"age": 70.0})
    model = HyperFusionClassifier(**(SMALL | {"max_epochs": 1} | changed)).fit(X, labels)
    with pytest.raises(ValueError, match=words):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


class Uneven(torch.nn.Module):
    """A backbone that looks at the numbers that it is given."""

    def __init__(self, in_channels):
        super().__init__()
        self.conv = torch.nn.Conv2d(in_channels, 3, 3)

    def forward(self, image):
        return self.conv(image if float(image.sum()) > 0 else -image)


def test_backbone_that_onnx_has_no_word_for_is_refused(table_study, tmp_path):
    X, labels, _ = table_study
    model = HyperFusionClassifier(backbone=lambda c, d: Uneven(c), **SMALL).fit(X, labels)
    with pytest.raises(ValueError, match="torch cannot export this network to ONNX"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_onnxscript_older_than_torch_needs_is_named(table_study, tmp_path, monkeypatch):
    def export(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'onnxscript._framework_apis.torch_2_11'")

    X, labels, _ = table_study
    model = HyperFusionClassifier(fusion="tabular", **SMALL).fit(X, labels)
    monkeypatch.setattr(torch.onnx, "export", export)
    with pytest.raises(
        ImportError, match=r"newer onnxscript beside torch .*torch_2_11.*--upgrade onnxscript"
    ):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_what_is_no_single_fitted_estimator_is_refused(table_study, tmp_path):
    X, labels, _ = table_study
    with pytest.raises(NotFittedError):
        export_onnx(HyperFusionClassifier(), tmp_path / "model.onnx")
    for other in (FoldEnsembleClassifier(HyperFusionClassifier()), make_pipeline(HyperFusionClassifier())):
        with pytest.raises(TypeError, match=rf"not a {type(other).__name__}. Of an ensemble, export each"):
            export_onnx(other, tmp_path / "model.onnx")
    model = HyperFusionClassifier(**SMALL).fit(X, labels)
    with pytest.raises(ValueError, match=r"ends in '.onnx'. Got .*model.pt"):
        export_onnx(model, tmp_path / "model.pt")
