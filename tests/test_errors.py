"""What a person reads when something is not as it should be: where, what was found, what to do."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, ImageLoader


def small(estimator=HyperFusionClassifier, **params):
    return estimator(**{"base_channels": 2, "max_epochs": 1, "random_state": 0, **params})


def test_no_image_column_in_numbers_warns_and_fits_the_table(study):
    X, y, _ = study
    with pytest.warns(UserWarning, match="found no image column in X.*tabular network alone"):
        model = small().fit(X[["age", "apoe4"]], y)
    assert model.image_columns_ == []
    assert model.predict(X[["age", "apoe4"]]).shape == (40,)


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
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf), at a learning rate of 1e\+18"):
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
