"""``max_epochs="auto"``: as many epochs as the number of training rows asks for."""

import numpy as np
import pandas as pd
import pytest

from skhyperfusion import (
    HyperFusionClassifier,
    HyperFusionRegressor,
    HyperFusionSurvival,
    survival_target,
)
from skhyperfusion._engine._length import usual_epochs


@pytest.fixture(scope="module")
def rows():
    """40 rows of numbers with a class and a value: (X, label, value)."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 2)), columns=["age", "dose"])
    return X, np.where(X["age"] > 0, "high", "low"), X["age"] + X["dose"]


def fit(X, y, kind=HyperFusionClassifier, **params):
    return kind(**({"fusion": "tabular", "max_epochs": "auto", "random_state": 0} | params)).fit(X, y)


def test_a_usual_length_has_more_steps_the_more_rows_there_are_and_fewer_epochs():
    n_rows = [4, 30, 60, 200, 600, 2000, 20_000, 1_000_000]
    epochs = [usual_epochs(n, -(-n // 16)) for n in n_rows]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[-1] == 1
    steps = [n_epochs * -(-n // 16) for n_epochs, n in zip(epochs, n_rows, strict=True)]
    assert steps[2:] == sorted(steps[2:])
    assert steps[:2] == pytest.approx([steps[2]] * 2, rel=0.02)  # as many as of 60 rows


@pytest.mark.parametrize("batch_size", [4, 8, 32])
def test_steps_of_a_usual_length_hardly_depend_on_the_batch_size(rows, batch_size):
    X, label, _ = rows
    model = fit(X, label, batch_size=batch_size)
    steps, wanted = model.max_epochs_ * -(-40 // batch_size), usual_epochs(40, 3) * 3
    assert steps == pytest.approx(wanted, rel=0.15)


@pytest.mark.parametrize("kind", [HyperFusionClassifier, HyperFusionRegressor, HyperFusionSurvival])
def test_auto_is_the_number_that_it_stands_for(rows, kind):
    X, label, value = rows
    y = {
        HyperFusionClassifier: label,
        HyperFusionRegressor: value,
        HyperFusionSurvival: survival_target(label == "low", np.exp(value)),
    }[kind]
    model = fit(X, y, kind)
    assert model.max_epochs == "auto"
    assert model.max_epochs_ == model.n_iter_ == usual_epochs(40, 3)
    # The schedule is planned for it, too: its last step is near zero.
    assert model.history_["lr"].iloc[-1] < 0.01 * model.lr
    as_a_number = fit(X, y, kind, max_epochs=model.max_epochs_)
    assert as_a_number.max_epochs_ == model.max_epochs_
    np.testing.assert_array_equal(as_a_number.predict(X), model.predict(X))


def test_auto_counts_the_rows_that_the_network_trains_on(rows):
    X, label, _ = rows
    model = fit(X, label, early_stopping=True, validation_fraction=0.5, n_iter_no_change=1)
    assert model.max_epochs_ == usual_epochs(20, 2) > usual_epochs(40, 3)
    assert model.n_iter_ < model.max_epochs_


def test_auto_with_a_warm_start_goes_on_for_what_the_new_rows_ask_for(rows):
    X, label, _ = rows
    model = fit(X, label, warm_start=True)
    model.fit(X.head(20), label[:20])
    assert model.n_iter_ == model.max_epochs_ == usual_epochs(20, 2)


def test_a_printed_line_tells_how_many_epochs_there_will_be(rows, capsys):
    X, label, _ = rows
    model = fit(X, label, verbose=1)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"epoch {model.max_epochs_}/{model.max_epochs_} ")


def test_a_misspelt_auto_gets_a_suggestion(rows):
    X, label, _ = rows
    with pytest.raises(ValueError, match=r"'max_epochs'.*'auto'.*'auot'.*did you mean 'auto'"):
        fit(X, label, max_epochs="auot")
