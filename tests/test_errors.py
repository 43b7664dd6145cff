"""What a person reads when something is not as it should be: where, what was found, what to do."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, ImageLoader


def small(estimator=HyperFusionClassifier, **params):
    return estimator(**{"base_channels": 2, "max_epochs": 1, "random_state": 0, **params})


def test_no_image_column_shows_cells_and_suffixes(study):
    X, y, _ = study
    with pytest.raises(
        ValueError, match=r"found no image column in X.*'sex': '[FM]'.*\.nii\.gz.*fusion='tabular'"
    ):
        small().fit(X.drop(columns="scan"), y)


def test_no_image_column_in_numbers_warns_and_fits_the_table(study):
    X, y, _ = study
    with pytest.warns(UserWarning, match="found no image column in X.*tabular network alone"):
        model = small().fit(X[["age", "apoe4"]], y)
    assert model.image_columns_ == []
    assert model.predict(X[["age", "apoe4"]]).shape == (40,)


def test_named_image_column_missing_names_the_nearest(study):
    X, y, _ = study
    with pytest.raises(ValueError, match=r"names 'scam', which is not a column of X; did you mean 'scan'\?"):
        small(image_columns="scam").fit(X, y)


@pytest.mark.parametrize("when", ["fit", "predict"])
def test_path_that_does_not_exist_names_row_column_and_path(study, when):
    X, y, _ = study
    model = small().fit(X, y)
    broken = X.copy()
    broken.loc["p07", "scan"] = "nowhere/p07.nii.gz"
    with pytest.raises(ValueError, match=r"(?s)'p07'.*'scan'.*nowhere/p07\.nii\.gz.*does not exist.*root"):
        model.fit(broken, y) if when == "fit" else model.predict(broken)


def test_missing_path_names_the_row(study):
    X, y, _ = study
    broken = X.copy()
    broken.loc["p03", "scan"] = None
    with pytest.raises(ValueError, match=r"in column 'scan' in 1 row: 'p03'.*missing='zeros'"):
        small().fit(broken, y)


def test_images_of_different_shapes_without_shape_say_what_to_pass(arrays):
    X, y, _ = arrays
    X = X.copy()
    X.at[5, "picture"] = np.ones((9, 8))
    with pytest.raises(ValueError, match=r"(?s)9.*8.*ImageLoader\(shape="):
        small().fit(X, y)
    assert small(image_loader=ImageLoader(shape=(8, 8))).fit(X, y).image_spec_.shape == (8, 8)


def test_images_of_another_shape_at_predict_are_refused(arrays):
    X, y, _ = arrays
    model = small().fit(X, y)
    X = X.assign(picture=[np.ones((6, 6))] * len(X))
    with pytest.raises(ValueError, match=r"(?s)\(6, 6\).*\(8, 8\)"):
        model.predict(X)


def test_column_missing_at_predict_is_named(study):
    X, y, _ = study
    model = small().fit(X, y)
    with pytest.raises(ValueError, match=r"(?s)yet now missing.*X lacks column 'sex'"):
        model.predict(X.drop(columns="sex"))
    with pytest.raises(ValueError, match=r"(?s)unseen at fit time.*- extra"):
        model.predict(X.assign(extra=1))


def test_columns_in_another_order_at_predict_are_matched_by_name(study):
    X, y, _ = study
    model = small().fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X[X.columns[::-1]]), model.predict_proba(X))


def test_all_missing_table_is_named(study):
    X, y, _ = study
    X = X.assign(age=np.nan, sex=None, apoe4=np.nan)
    with pytest.raises(ValueError, match=r"(?s)table holds no usable column.*'age'"):
        small().fit(X, y)
    assert small(fusion="image").fit(X, y).tabular_columns_ == []


def test_images_alone_say_which_fusion_works(study):
    X, y, _ = study
    with pytest.raises(ValueError, match=r"fusion='hyper' needs tabular columns.*fusion='image'"):
        small().fit(X[["scan"]], y)
    assert small(fusion="image").fit(X[["scan"]], y).score(X[["scan"]], y) >= 0


def test_one_class_only_is_named(study):
    X, _, _ = study
    with pytest.raises(ValueError, match=r"at least two classes.*one class only: 'CN' in all 40 rows"):
        small().fit(X, ["CN"] * 40)


@pytest.mark.parametrize("gap", [None, np.nan])
def test_gap_in_labels_names_the_row(study, gap):
    X, y, _ = study
    y = y.astype(object)
    y["p05"] = gap
    with pytest.raises(ValueError, match=r"y contains NaN: the target is missing in 1 row: 'p05'"):
        small().fit(X, y)


def test_gap_or_infinity_in_values_is_refused(study):
    X, _, y = study
    y = y.copy()
    y["p05"] = np.nan
    with pytest.raises(ValueError, match=r"the target is missing in 1 row: 'p05'"):
        small(HyperFusionRegressor).fit(X, y)
    y["p05"] = np.inf
    with pytest.raises(ValueError, match="Input y contains infinity"):
        small(HyperFusionRegressor).fit(X, y)


def test_target_of_another_length_is_refused(study):
    X, y, _ = study
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[40, 39\]"):
        small().fit(X, y[:-1])


def test_target_of_three_axes_is_refused(study):
    X, _, _ = study
    with pytest.raises(ValueError, match=r"y must be of shape .*Got \(40, 2, 2\)"):
        small(HyperFusionRegressor).fit(X, np.ones((40, 2, 2)))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"fusion": "hypr"},
            r"'fusion' parameter of HyperFusionClassifier.*Got 'hypr'.*did you mean 'hyper'\?",
        ),
        ({"backbone": "resnett"}, r"'backbone' parameter.*'resnett'.*did you mean 'resnet'\?"),
        (
            {"external_layers": "head.hiden1"},
            r"no layer matches 'head\.hiden1'; did you mean 'head\.hidden1'\?",
        ),
        ({"external_layers": "backbone.stem.norm"}, r"matches nothing that can be external.*BatchNorm"),
        ({"image_columns": 3.5}, "'image_columns' parameter"),
        ({"image_loader": "loader"}, "'image_loader' parameter"),
        ({"tabular_preprocessor": "none"}, "'tabular_preprocessor' parameter"),
        ({"group_column": "subjet"}, "group_column names 'subjet', which is not a column"),
        ({"augmentation": "strong"}, "'augmentation' parameter"),
        ({"base_channels": 0}, "'base_channels' parameter.*Got 0"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"dropout": [0.1, 0.2]}, "'dropout' must be a number or 6 of them"),
        ({"hyper_depth": -1}, "'hyper_depth' parameter"),
        ({"hyper_width": 0}, "'hyper_width' parameter"),
        ({"embedding_dim": 0}, "'embedding_dim' parameter"),
        ({"shared_embedding": "yes"}, "'shared_embedding' parameter"),
        ({"hyper_init": "kaiming"}, "'hyper_init' parameter"),
        ({"hyper_lr_scale": 0}, "'hyper_lr_scale' parameter"),
        ({"pretrain_embedding": -1}, "'pretrain_embedding' parameter"),
        ({"max_epochs": 0}, "'max_epochs' parameter"),
        ({"lr": 0}, "'lr' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"optimizer": "adamW"}, "'optimizer' parameter.*did you mean 'adamw'"),
        ({"weight_decay": -1}, "'weight_decay' parameter"),
        ({"lr_schedule": "cosin"}, "'lr_schedule' parameter.*did you mean 'cosine'"),
        ({"class_weight": "balance"}, "'class_weight' parameter.*did you mean 'balanced'"),
        ({"early_stopping": "yes"}, "'early_stopping' parameter"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
        ({"n_iter_no_change": 0}, "'n_iter_no_change' parameter"),
        ({"monitor": 3}, "'monitor' parameter"),
        ({"monitor": "balanced_acuracy", "early_stopping": True}, "balanced_acuracy"),
        ({"callbacks": 3}, "'callbacks' parameter"),
        ({"net_params": 3}, "'net_params' parameter"),
        ({"net_params": {"bath_size": 3}}, "bath_size"),
        ({"warm_start": 1}, "'warm_start' parameter"),
        ({"device": 3}, "'device' parameter"),
        ({"precision": "half"}, "'precision' parameter"),
        ({"random_state": "zero"}, "'random_state' parameter"),
        ({"verbose": -1}, "'verbose' parameter"),
    ],
    ids=str,
)
def test_parameter_out_of_its_range_is_refused_at_fit(arrays, params, message):
    X, y, _ = arrays
    with pytest.raises((ValueError, TypeError), match=message):
        small(**params).fit(X, y)


def test_scale_target_that_is_no_boolean_is_refused(arrays):
    X, _, y = arrays
    with pytest.raises(ValueError, match="'scale_target' parameter of HyperFusionRegressor"):
        small(HyperFusionRegressor, scale_target="yes").fit(X, y)


def test_unknown_parameter_is_refused_at_once():
    with pytest.raises(TypeError, match="hyper_dpeth"):
        HyperFusionClassifier(hyper_dpeth=2)
    with pytest.raises(ValueError, match="hyper_dpeth"):
        HyperFusionClassifier().set_params(hyper_dpeth=2)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "embed"])
def test_predict_before_fit_is_refused(study, method):
    with pytest.raises(NotFittedError, match="HyperFusionClassifier instance is not fitted yet"):
        getattr(small(), method)(study[0])
    assert not hasattr(small(), "module_")


def test_divergence_is_told_rather_than_returned(arrays):
    X, _, y = arrays
    with pytest.raises(FloatingPointError, match=r"loss of epoch \d+ is (nan|inf).*Lower lr \(now 1e\+18\)"):
        small(HyperFusionRegressor, lr=1e18, optimizer="sgd", max_epochs=4, lr_schedule=None).fit(X, y)


def test_weights_that_the_last_step_spoilt_are_refused(arrays):
    class Spoil(Callback):
        def on_batch_end(self, net, **_):
            net.module_.head.output.bias.data.fill_(np.inf)

    X, y, _ = arrays
    with pytest.raises(FloatingPointError, match=r"after epoch 1 NaN or.* 1 parameter: 'head.output.bias'"):
        small(max_epochs=1, batch_size=len(X), callbacks=[Spoil()]).fit(X, y)


def test_image_path_column_that_is_not_named_is_dropped_with_a_warning(study):
    X, y, _ = study
    with pytest.warns(UserWarning, match=r"image_columns='scan' does not name are dropped.*'flair'"):
        model = small(image_columns="scan").fit(X.assign(flair=X["scan"]), y)
    assert model.image_columns_ == ["scan"]
    assert "flair" not in model.tabular_columns_


def test_several_image_columns_become_channels(study):
    X, y, _ = study
    model = small().fit(X.assign(flair=X["scan"]), y)
    assert model.image_columns_ == ["scan", "flair"]
    assert model.image_spec_.n_channels == 2


def test_missing_image_with_zeros_becomes_a_flag_of_the_table(study):
    X, y, _ = study
    X = X.copy()
    X.loc[["p03", "p09"], "scan"] = None
    model = small(image_loader=ImageLoader(missing="zeros")).fit(X, y)
    plain = small().fit(X.dropna(subset="scan"), y[X["scan"].notna()])
    assert model.module_.n_tabular_features == plain.module_.n_tabular_features + 1
    everywhere = X.assign(scan=None)
    assert not np.array_equal(model.predict_proba(everywhere), model.predict_proba(X))


def test_pixel_columns_are_one_image(arrays):
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(n_class=2, return_X_y=True, as_frame=True)
    X = pixels[:60].assign(noise=np.arange(60.0) % 7)
    loader = ImageLoader(shape=(8, 8), intensity="minmax")
    model = small(image_columns=list(pixels), image_loader=loader, max_epochs=15, lr=1e-2).fit(X, digits[:60])
    assert model.image_spec_.shape == (8, 8)
    assert model.tabular_columns_ == ["noise"]
    assert model.score(X, digits[:60]) > 0.9
    array = X.to_numpy()
    by_position = small(image_columns=list(range(64)), image_loader=loader, max_epochs=15, lr=1e-2).fit(
        array, digits[:60]
    )
    np.testing.assert_array_equal(by_position.predict_proba(array), model.predict_proba(X))


def test_frames_of_other_kinds_give_the_same_model(study):
    X, y, _ = study
    expected = small().fit(X, y).predict_proba(X)
    pl = pytest.importorskip("polars")
    kinds = [
        X.astype({"scan": object, "sex": object}),
        X.convert_dtypes(),
        pl.from_pandas(X),
        X.set_axis(["a"] * len(X)),
    ]
    for other in kinds:
        np.testing.assert_allclose(small().fit(other, y).predict_proba(other), expected, rtol=1e-6)
    rows = X.to_numpy().tolist()
    np.testing.assert_allclose(small().fit(rows, y).predict_proba(rows), expected, rtol=1e-6)
    assert pd.isna(X["sex"]).any()  # the gaps were there all along
