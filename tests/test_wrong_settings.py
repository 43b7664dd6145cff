"""What cannot be, or says nothing, is told in our words: targets, weights, monitors, settings of the net."""

import numpy as np
import pandas as pd
import pytest
from skorch.callbacks import Callback

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor


def small(estimator=HyperFusionClassifier, **params):
    return estimator(**{"base_channels": 2, "max_epochs": 3, "random_state": 0, **params})


def epochs_score(*scores):
    """A scorer that gives these scores, one after the other."""
    left = list(scores)
    return lambda estimator, X, y: left.pop(0)


def test_monitor_that_is_nan_never_counts_as_best(arrays):
    X, y, _ = arrays
    scores = (np.nan, 0.2, 0.9, np.nan, 0.5)
    model = small(early_stopping=True, monitor=epochs_score(*scores), max_epochs=5)
    with pytest.warns(UserWarning, match=r"monitor=<function .* gives NaN for the 4 rows held out"):
        model.fit(X, y)
    assert model.best_epoch_ == 3


def test_monitor_that_is_always_nan_keeps_the_last_epoch(arrays):
    X, y, _ = arrays
    model = small(early_stopping=True, monitor=epochs_score(*[np.nan] * 4), max_epochs=4, n_iter_no_change=1)
    with pytest.warns(UserWarning, match="where all are such, the last one counts"):
        model.fit(X, y)
    assert model.best_epoch_ == model.n_iter_ == 4


def test_class_that_no_held_out_row_has_is_named_with_the_monitor(arrays):
    X, y, _ = arrays
    y = np.where(np.arange(len(y)) < 1, "rare", y)
    with pytest.warns(
        UserWarning, match=r"4 rows held out have none of 1 label: 'rare', so that monitor='loss'"
    ):
        small(early_stopping=True).fit(X, y)


def test_text_among_values_names_its_row(arrays):
    X, _, values = arrays
    y = [str(value) for value in values]  # numbers as text are numbers
    X.index = [f"p{i:02d}" for i in range(len(X))]
    small(HyperFusionRegressor, max_epochs=1).fit(X, y)
    y[7] = "<1.0"
    with pytest.raises(ValueError, match=r"holds text in 1 row: 'p07' \(the first is '<1.0'\)"):
        small(HyperFusionRegressor).fit(X, y)
    with pytest.raises(ValueError, match=r"text in 1 row: 'p07'"):
        small(HyperFusionRegressor).fit(X, np.column_stack([values.astype(object), y]))


def test_schedule_counts_the_batches_that_net_params_ask_for(arrays):
    X, y, _ = arrays
    rates = [
        small(max_epochs=4, **params).fit(X, y).history_["lr"].to_numpy()
        for params in ({"batch_size": 6}, {"net_params": {"iterator_train__batch_size": 6}})
    ]
    np.testing.assert_array_equal(*rates)


class Record(Callback):
    """Notes columns of a user's own, text among them."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("cell_count", 3)
        net.history.record("personal_best", 0.5)

    def on_epoch_begin(self, net, **kwargs):
        net.history.record("phase", "warm")


def test_columns_of_a_users_callback_stay_in_the_history_and_are_printed(arrays, capsys):
    X, y, _ = arrays
    history = small(callbacks=[Record()], verbose=1, early_stopping=True).fit(X, y).history_
    assert history[["cell_count", "personal_best", "phase"]].iloc[0].tolist() == [3, 0.5, "warm"]
    assert not {"train_loss_best", "valid_loss_best", "train_batch_count"} & set(history.columns)
    assert "phase 'warm'" in capsys.readouterr().out


@pytest.mark.parametrize("estimator", [HyperFusionClassifier, HyperFusionRegressor])
def test_misspelt_parameter_of_the_constructor_gets_the_suggestion(estimator):
    with pytest.raises(
        TypeError, match=r"unexpected keyword argument 'max_epoch'; did you mean 'max_epochs'\?"
    ):
        estimator(max_epoch=3)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'zzz'$"):
        estimator(zzz=3)


@pytest.mark.parametrize("class_weight", [{"hihg": 2}, {"hihg": 2, "low": 1}])
def test_class_weight_of_a_misspelt_class_is_refused(arrays, class_weight):
    X, y, _ = arrays
    with pytest.raises(ValueError, match=r"names 1 label: 'hihg'.*holds 2 labels.*did you mean 'high'"):
        small(class_weight=class_weight).fit(X, y)
    small(class_weight={"high": 2, "low": 1, "of another fold": 3}).fit(X, y)


def test_values_too_large_for_their_variance_are_refused(arrays):
    X, _, values = arrays
    with pytest.raises(ValueError, match=r"y holds numbers beyond 1e\+100 in"):
        small(HyperFusionRegressor).fit(X, values * 1e300)


def test_code_for_no_value_among_the_values_is_told_of(arrays):
    X, _, values = arrays
    values = pd.Series(np.abs(values), index=[f"p{i}" for i in range(len(X))])
    values["p3"] = -999
    X = X.set_index(values.index)
    with pytest.warns(UserWarning, match="y holds -999 in 1 row: 'p3', far from all other values"):
        small(HyperFusionRegressor).fit(X, values)
