"""scikit-learn's own tools that look into a fitted model; an image column is one feature among the others."""

import matplotlib as mpl
import numpy as np
import pytest
from compatibility import refused, works
from sklearn.calibration import CalibrationDisplay
from sklearn.inspection import PartialDependenceDisplay, partial_dependence, permutation_importance
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
)
from sklearn.model_selection import LearningCurveDisplay, ValidationCurveDisplay

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@works("permutation_importance", "the image is one feature")
def test_permutation_importance_finds_the_image_that_decides(pictures, regressor):
    X, _, y = pictures
    model = regressor(fusion="image", base_channels=4, max_epochs=25, lr=1e-2).fit(X, y)
    result = permutation_importance(model, X, y, n_repeats=3, random_state=0)
    assert result.importances_mean.shape == (4,)
    assert result.importances_mean[0] > 0.1
    np.testing.assert_array_equal(result.importances_mean[1:], 0)  # fusion="image" reads nothing else


@works("permutation_importance", "of a fusion, with several scorers")
def test_permutation_importance_of_a_fusion_scores_every_column(pictures, classifier):
    X, y, _ = pictures
    model = classifier().fit(X, y)
    result = permutation_importance(
        model, X, y, n_repeats=2, scoring=["roc_auc", "neg_log_loss"], random_state=0
    )
    assert (result["neg_log_loss"].importances.std(axis=1) > 0).all()


@works("permutation_importance", "on polars, which scikit-learn hands on as an array of objects")
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_permutation_importance_on_polars_matches_by_position(pictures, classifier):
    pl = pytest.importorskip("polars")
    X, y, _ = pictures
    model = classifier().fit(pl.from_pandas(X), y)
    result = permutation_importance(model, pl.from_pandas(X), y, n_repeats=2, random_state=0)
    expected = permutation_importance(classifier().fit(X, y), X, y, n_repeats=2, random_state=0)
    np.testing.assert_allclose(result.importances, expected.importances)


@works("partial_dependence", "on a numeric column, gaps in other columns")
def test_partial_dependence_on_a_number_varies(pictures, classifier):
    X, y, _ = pictures
    model = classifier(max_epochs=3).fit(X, y)
    result = partial_dependence(model, X, ["pressure"], grid_resolution=4, kind="both")
    assert result["individual"].shape == (1, 24, 4)
    assert np.ptp(result["average"]) > 0


@works(
    "partial_dependence",
    "on a numeric column with gaps",
    note="Without `custom_values` scikit-learn 1.9 makes a grid of NaN, and a flat line of it",
)
def test_partial_dependence_on_a_number_with_gaps_varies_over_values_given(pictures, classifier):
    X, y, _ = pictures
    model = classifier(max_epochs=3).fit(X, y)
    result = partial_dependence(
        model, X, ["age"], custom_values={"age": X["age"].quantile([0.1, 0.5, 0.9])}
    )  # shown
    assert np.ptp(result["average"]) > 0
    assert np.isnan(partial_dependence(model, X, ["age"], grid_resolution=4)["grid_values"][0]).all()


@works("partial_dependence", "on a column of text without gaps")
def test_partial_dependence_on_a_category_has_a_value_for_each(pictures, classifier):
    X, y, _ = pictures
    X = X.fillna({"side": "left"})
    model = classifier().fit(X, y)
    result = partial_dependence(model, X, ["side"], categorical_features=["side"])  # shown
    assert result["grid_values"][0].tolist() == ["left", "right"]


@refused(
    "partial_dependence",
    "on a column of text with gaps",
    words="contains mixed data types",
    reason="scikit-learn's own error; fill the gaps for the plot",
)
def test_partial_dependence_on_a_category_with_gaps_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    model = classifier().fit(X, y)
    with pytest.raises(ValueError, match=words):
        partial_dependence(model, X, ["side"], categorical_features=["side"])


@refused(
    "partial_dependence",
    "on the image column",
    words="can't multiply sequence by non-int of type 'float'",
    reason="scikit-learn's own error: there is no grid of images between two images",
)
def test_partial_dependence_on_the_image_is_refused(pictures, classifier, words):
    X, y, _ = pictures
    model = classifier().fit(X, y)
    with pytest.raises(TypeError, match=words):
        partial_dependence(model, X, ["photo"], grid_resolution=4)


@works("PartialDependenceDisplay", "`from_estimator`")
def test_partial_dependence_display_draws_a_line_for_each_row(pictures, regressor):
    X, _, y = pictures
    display = PartialDependenceDisplay.from_estimator(
        regressor().fit(X, y), X, ["pressure"], kind="both", grid_resolution=3
    )
    assert display.lines_.size == 25


@works("ConfusionMatrixDisplay", "`from_estimator`")
def test_confusion_matrix_display_counts_every_row(pictures, classifier):
    X, y, _ = pictures
    display = ConfusionMatrixDisplay.from_estimator(classifier().fit(X, y), X, y)
    assert display.confusion_matrix.sum() == 24
    assert display.display_labels.tolist() == ["ill", "well"]


@works("RocCurveDisplay", "`from_estimator`; `PrecisionRecallDisplay` and `DetCurveDisplay` alike")
@pytest.mark.parametrize("display", [RocCurveDisplay, PrecisionRecallDisplay, DetCurveDisplay])
def test_curve_display_asks_for_probabilities(pictures, classifier, display):
    X, y, _ = pictures
    drawn = display.from_estimator(classifier().fit(X, y), X, y)
    assert drawn.ax_.get_lines()


@works("RocCurveDisplay", "`from_cv_results`")
def test_roc_curve_of_folds_draws_each(pictures, classifier):
    from sklearn.model_selection import cross_validate

    X, y, _ = pictures
    result = cross_validate(classifier(), X, y, cv=2, return_estimator=True, return_indices=True)
    display = RocCurveDisplay.from_cv_results(result, X, y, pos_label="well")
    assert len(display.fpr) == 2


@works("CalibrationDisplay", "`from_estimator`")
def test_calibration_display_bins_probabilities(pictures, classifier):
    X, y, _ = pictures
    display = CalibrationDisplay.from_estimator(classifier().fit(X, y), X, y, n_bins=3)
    assert len(display.y_prob) == 24


@works("PredictionErrorDisplay", "`from_estimator`")
def test_prediction_error_display_shows_predictions(pictures, regressor):
    X, _, y = pictures
    model = regressor().fit(X, y)
    display = PredictionErrorDisplay.from_estimator(model, X, y, subsample=None)
    np.testing.assert_allclose(display.y_pred, model.predict(X))


@works("LearningCurveDisplay", "`from_estimator`; `ValidationCurveDisplay` alike")
def test_learning_and_validation_curves_are_drawn(pictures, classifier):
    X, y, _ = pictures
    curve = LearningCurveDisplay.from_estimator(
        classifier(), X, y, cv=2, train_sizes=[0.6, 1.0], shuffle=True, random_state=0
    )
    assert np.isfinite(curve.test_scores).all()
    curve = ValidationCurveDisplay.from_estimator(
        classifier(), X, y, param_name="hyper_depth", param_range=[0, 1], cv=2
    )
    assert np.isfinite(curve.test_scores).all()
