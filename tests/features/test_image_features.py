"""ImageFeatures: voxels and principal components as a transformer of scikit-learn's kind."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator
from table_checks import Study

from skhyperfusion import ImageLoader, TabularPreprocessor
from skhyperfusion.features import ImageFeatures

PIXEL_LOADER = ImageLoader(shape=(1, 1), intensity=None, missing="zeros")
ON_PIXELS = {
    method: ImageFeatures(method, image_columns=[0], image_loader=PIXEL_LOADER, n_components=1)
    for method in ("pca", "voxels")
}
ON_PATHS = {"pca": ImageFeatures(n_components=3), "voxels": ImageFeatures("voxels")}


@pytest.mark.parametrize(
    ("transformer", "check"),
    [
        pytest.param(*case, id=f"{method}-{getattr(case[1], 'func', case[1]).__name__}")
        for method, transformer in ON_PIXELS.items()
        for case in estimator_checks_generator(transformer)
    ],
)
def test_sklearn_contract_on_pixel_columns(transformer, check):
    assert check(clone(transformer)) is None  # it raises where the contract is broken


def test_sklearn_checks_are_yielded_in_full():
    assert len(list(estimator_checks_generator(ON_PIXELS["pca"]))) >= 45


# A table of checks on frames with paths


def check_features_replace_the_images_and_the_rest_passes(transformer, study):
    out = transformer.fit_transform(study.X)
    rest = study.X.drop(columns="scan")
    pd.testing.assert_frame_equal(out[rest.columns], rest)
    features = out.drop(columns=rest.columns)
    assert features.shape[1] >= 3
    assert (features.dtypes == np.float64).all()
    assert (features.std() > 0).all()


def check_names_are_those_of_the_output(transformer, study):
    out = transformer.fit_transform(study.X)
    assert transformer.get_feature_names_out().tolist() == list(out.columns)
    assert any(name.startswith(f"scan_{transformer._features.kind}0") for name in out.columns)
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        transformer.get_feature_names_out(["a", "b", "c", "d"])


def check_set_output_is_obeyed(transformer, study):
    expected = transformer.fit_transform(study.X)
    for library in ("pandas", "polars"):
        frames = pytest.importorskip(library)
        out = clone(transformer).set_output(transform=library).fit_transform(study.X)
        assert isinstance(out, frames.DataFrame)
        assert list(out.columns) == list(expected.columns)
        np.testing.assert_array_equal(np.asarray(out)[:, -3:].astype(float), expected.to_numpy()[:, -3:])


def check_polars_gives_the_same_features(transformer, study):
    polars = pytest.importorskip("polars")
    cells = study.X.astype(object).where(study.X.notna(), None)
    X = polars.DataFrame({name: cells[name].tolist() for name in cells})
    features = [name for name in transformer.fit_transform(study.X) if name.startswith("scan_")]
    expected = transformer.transform(study.X)[features].to_numpy(dtype=float)
    out = clone(transformer).fit_transform(X)[features].to_numpy(dtype=float)
    np.testing.assert_array_equal(out, expected)


def check_arrays_of_objects_are_read(transformer, study):
    expected = transformer.fit_transform(study.X)
    out = clone(transformer).fit_transform(study.X.to_numpy(dtype=object))
    np.testing.assert_array_equal(out[:, 3:].astype(float), expected.iloc[:, 3:].to_numpy(dtype=float))


def check_refit_clone_and_pickle_give_the_same_bits(transformer, study):
    expected = transformer.fit_transform(study.X)
    for other in (clone(transformer).fit(study.X), pickle.loads(pickle.dumps(transformer))):
        pd.testing.assert_frame_equal(other.transform(study.X), expected)


def check_pickle_names_no_scan(transformer, study):
    payload = pickle.dumps(transformer.fit(study.X))
    assert not [path for path in study.X["scan"] if path.encode() in payload]


def check_row_is_its_own(transformer, study):
    expected = transformer.fit_transform(study.X)
    pd.testing.assert_frame_equal(transformer.transform(study.X.iloc[[3]]), expected.iloc[[3]])
    backwards = transformer.transform(study.X[::-1])[::-1]
    pd.testing.assert_frame_equal(backwards, expected, rtol=1e-9)


def check_columns_are_matched_by_name(transformer, study):
    expected = transformer.fit_transform(study.X)
    pd.testing.assert_frame_equal(transformer.transform(study.X[study.X.columns[::-1]]), expected)
    with pytest.raises(ValueError, match="yet now missing:\n- apoe4"):
        transformer.transform(study.X.drop(columns="apoe4"))


def check_table_stays_as_it_is(transformer, study):
    before = study.X.copy(deep=True)
    transformer.fit(study.X).transform(study.X)
    pd.testing.assert_frame_equal(study.X, before)


def check_path_that_does_not_exist_is_named(transformer, study):
    transformer.fit(study.X)
    broken = study.X.assign(scan=["nowhere/gone.nii.gz", *study.X["scan"][1:]])
    with pytest.raises(ValueError, match=r"p00.*'scan'.*gone\.nii\.gz.*does not exist"):
        transformer.transform(broken)


def check_image_of_another_shape_is_named(transformer, study):
    transformer.fit(study.X)
    other = study.X.head(2).copy()
    other["scan"] = [np.ones((4, 4, 4)), other["scan"].iloc[1]]
    with pytest.raises(ValueError, match=r"p00.*shape \(4, 4, 4\).*fitted on"):
        transformer.transform(other)


PATH_CHECKS = [f for name, f in list(globals().items()) if name.startswith("check_")]


@pytest.fixture(scope="module")
def small(study):
    X, labels, values = study
    return Study(X.head(16), labels.head(16), values.head(16))


@pytest.mark.parametrize("check", PATH_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("method", list(ON_PATHS))
def test_transformer_on_a_table_with_paths(method, check, small):
    assert check(clone(ON_PATHS[method]), small) is None


# What it learns


def test_components_are_those_of_the_training_images(arrays):
    X, _, _ = arrays
    loader = ImageLoader(intensity=None)
    transformer = ImageFeatures(n_components=4, image_loader=loader).fit(X)
    flat = np.stack(X["picture"]).reshape(len(X), -1).astype(float)
    flat -= flat.mean(axis=0)
    _, singular, directions = np.linalg.svd(flat, full_matrices=False)
    scores = flat @ directions[:4].T
    scores /= np.sqrt((singular[:4] ** 2 / (len(X) - 1)).mean())
    found = transformer.transform(X).filter(like="picture_pca").to_numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(scores), rtol=1e-3, atol=1e-4)
    assert found.var(axis=0, ddof=1).mean() == pytest.approx(1)


def test_voxels_that_never_vary_are_left_out(arrays):
    X, _, _ = arrays
    images = np.stack(X["picture"])
    images[:, :2] = 7.0
    images[:, 2, 0] *= 1e-4  # the air around a head: it varies, but by next to nothing
    X = X.assign(picture=list(images))
    transformer = ImageFeatures("voxels", image_loader=ImageLoader(intensity=None)).fit(X)
    assert transformer.mask_.shape == (1, 1, 8, 8)
    assert transformer.mask_.sum() == 6 * 8 - 1
    assert transformer.pca_ is None
    features = transformer.transform(X).filter(like="picture_voxel").to_numpy()
    np.testing.assert_array_equal(features, images[:, transformer.mask_[0, 0]].astype(np.float64))


@pytest.mark.parametrize("method", list(ON_PATHS))
def test_fit_is_bit_identical_when_test_rows_change(method, study):
    X, _, _ = study
    transformer = clone(ON_PATHS[method]).fit(X.head(20))
    changed = X.copy()
    changed.loc[X.index[20:], "scan"] = X["scan"].iloc[20:].to_numpy()[::-1]
    again = clone(ON_PATHS[method]).fit(changed.head(20))
    again.transform(changed)
    np.testing.assert_array_equal(again.mask_, transformer.mask_)
    np.testing.assert_array_equal(again._features.center_, transformer._features.center_)
    pd.testing.assert_frame_equal(again.transform(X.head(20)), transformer.transform(X.head(20)))


def test_number_of_components_when_rows_are_few_is_capped_with_a_warning(study):
    X, _, _ = study
    with pytest.warns(UserWarning, match="n_components=60, but 6 training images of 512 voxels .* than 5"):
        transformer = ImageFeatures().fit(X.head(6))
    assert transformer.pca_.n_components_ == 5
    assert transformer.transform(X).filter(like="scan_pca").shape == (len(X), 5)


def test_number_of_components_is_obeyed(study):
    X, _, _ = study
    assert ImageFeatures(n_components=2).fit(X).pca_.n_components_ == 2


@pytest.mark.parametrize("method", list(ON_PATHS))
def test_missing_images_get_the_mean_and_a_flag(method, study):
    X, _, _ = study
    gaps = X.assign(scan=X["scan"].where(np.arange(len(X)) % 5 > 0))
    transformer = clone(ON_PATHS[method]).set_params(image_loader=ImageLoader(missing="zeros"))
    out = transformer.fit_transform(gaps)
    has_scan = gaps["scan"].notna()
    assert out["missingindicator_scan"].tolist() == [0.0 if found else 1.0 for found in has_scan]
    features = out.filter(regex="scan_(pca|voxel)")
    kept = clone(ON_PATHS[method]).fit_transform(gaps[has_scan])
    pd.testing.assert_frame_equal(features[has_scan], kept[features.columns])
    mean = np.tile(features[has_scan].mean(), (8, 1))
    np.testing.assert_allclose(features[~has_scan], mean, atol=1e-5)
    with pytest.raises(ValueError, match=r"No image in column 'scan'.*missing='zeros'"):
        clone(ON_PATHS[method]).fit(gaps)


def test_several_image_columns_are_channels(arrays):
    X, _, _ = arrays
    X = X.assign(second=[image**2 for image in X["picture"]])
    transformer = ImageFeatures("voxels").fit(X)
    assert transformer.image_columns_ == ["picture", "second"]
    assert transformer.mask_.shape == (1, 2, 8, 8)
    with pytest.warns(UserWarning, match="are dropped .1 column: 'picture'"):
        one = ImageFeatures("voxels", image_columns="second").fit(X)
    assert one.passed_columns_ == ["dose", "noise"]


def test_names_that_occur_already_are_told_apart(arrays):
    X, _, _ = arrays
    transformer = ImageFeatures(n_components=2).fit(X.rename(columns={"noise": "picture_pca0"}))
    assert transformer.get_feature_names_out().tolist() == [
        "dose", "picture_pca0", "picture_pca0_2", "picture_pca1",
    ]  # fmt: skip


def test_nested_parameters_of_the_default_loader_can_be_set():
    transformer = ImageFeatures().set_params(image_loader__shape=(4, 4, 4))
    assert transformer.image_loader.shape == (4, 4, 4)
    assert ImageFeatures(image_loader=ImageLoader(root="a")).set_params(
        image_loader__shape=(4, 4)
    ).get_params()["image_loader__root"] == "a"  # fmt: skip


def test_images_are_read_by_the_loader_given(study):
    X, _, _ = study
    transformer = ImageFeatures("voxels", image_loader=ImageLoader(shape=(4, 4, 4))).fit(X)
    assert transformer.mask_.size == 64
    assert transformer.image_spec_.shape == (4, 4, 4)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "pcs"}, "'method' parameter .* Got 'pcs' instead; did you mean 'pca'"),
        ({"n_components": 0}, "'n_components' parameter .* >= 1. Got 0"),
        ({"image_columns": "scam"}, "image_columns names 'scam', .*did you mean 'scan'"),
    ],
)
def test_wrong_parameters_are_refused(parameters, message, study):
    with pytest.raises(ValueError, match=message):
        ImageFeatures(**parameters).fit(study[0])


def test_table_without_images_is_refused(study):
    with pytest.raises(ValueError, match="ImageFeatures found no image column"):
        ImageFeatures().fit(study[0].drop(columns="scan"))


def test_images_that_are_all_the_same_are_refused(study):
    X, _, _ = study
    with pytest.raises(ValueError, match="The 8 training images are all the same"):
        ImageFeatures().fit(X.head(8).assign(scan=X["scan"].iloc[0]))


# In scikit-learn


def test_search_over_components_runs(study):
    X, labels, _ = study
    model = make_pipeline(ImageFeatures(), TabularPreprocessor(imputer="median"), LogisticRegression())
    search = GridSearchCV(model, {"imagefeatures__n_components": [2, 3]}, cv=2, error_score="raise")
    assert search.fit(X, labels).best_params_["imagefeatures__n_components"] in (2, 3)
    assert pickle.loads(pickle.dumps(search)).predict(X).tolist() == search.predict(X).tolist()


def test_pipelines_with_boosting_and_votes_run(study):
    X, labels, values = study
    features = make_pipeline(ImageFeatures(n_components=3), TabularPreprocessor(imputer="median"))
    boosting = make_pipeline(clone(features), HistGradientBoostingClassifier(max_iter=5))
    linear = make_pipeline(clone(features), LogisticRegression())
    vote = VotingClassifier([("boosting", boosting), ("linear", linear)], voting="soft").fit(X, labels)
    assert vote.predict_proba(X).shape == (len(X), 2)
    ridge = make_pipeline(clone(features), Ridge())
    assert np.isfinite(cross_val_score(ridge, X, values, cv=2, error_score="raise")).all()


def test_pixel_columns_become_features():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 17))
    transformer = ImageFeatures(
        image_columns=list(range(16)), image_loader=ImageLoader(shape=(4, 4), intensity=None), n_components=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = transformer.fit_transform(X)
    assert transformer.get_feature_names_out().tolist() == ["x16", "x0_pca0", "x0_pca1"]
    np.testing.assert_array_equal(out[:, 0], X[:, 16])
