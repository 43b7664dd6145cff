"""How long a training will take: told once, by a warning or a printed line, and with every epoch's line."""

import itertools
import re
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion._engine import _callbacks, _duration
from skhyperfusion._engine._duration import Pace, in_words, is_news


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"scan": list(rng.normal(size=(40, 8, 8))), "age": rng.normal(70, 8, size=40)})
    y = 1000 * (X["age"] + rng.normal(size=40)).to_numpy()
    return X, np.where(X["age"] > 70, "old", "young"), y


@pytest.fixture
def nothing_told(monkeypatch):
    monkeypatch.setattr(_duration, "_told", [])


@pytest.fixture
def slow_clock(monkeypatch, nothing_told):
    """Let each look at the clock of a training be ten seconds later than the one before."""
    ticks = itertools.count(0.0, 10.0)

    class Slow(_callbacks.LongTraining):
        def __init__(self, *args):
            super().__init__(*args, clock=lambda: next(ticks))

    monkeypatch.setattr("skhyperfusion._engine._train.LongTraining", Slow)


class Killed(Callback):
    """Ends its process, as it were, at the end of the third epoch; not where training goes on from there."""

    def on_train_begin(self, net, **kwargs):
        self._n_epochs = 0

    def on_epoch_begin(self, net, **kwargs):
        self._n_epochs += 1
        if self._n_epochs == 4:
            raise RuntimeError("killed")


def small(kind=HyperFusionClassifier, **params):
    settings = {"fusion": "concat", "base_channels": 2, "max_epochs": 5, "batch_size": 16, "random_state": 0}
    return kind(**settings | params)


def test_fit_over_a_minute_warns_once_with_an_estimate_and_what_shortens_it(rows, slow_clock):
    X, y, _ = rows
    with pytest.warns(UserWarning, match="Training will take") as caught:
        cross_val_score(small(), X, y, cv=3)
    (message,) = [str(warning.message) for warning in caught]
    assert message.startswith("Training will take about 100 s: 5 epochs of about 20 s. ")
    for what in ("now 8 x 8; ", "a quarter of", "base_channels", "max_epochs, now 5)", "now 26)"):
        assert what in message
    assert "stops early" not in message


def test_fit_over_a_minute_is_silenced_as_its_warning_says(rows, slow_clock):
    X, y, _ = rows
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small().fit(X, y)
    (silence,) = re.findall(r"warnings\.filterwarnings\(.*\)", str(caught[0].message))
    _duration._told.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(silence)
        small().fit(X, y)
    assert _duration._told  # it was about to be told


def test_fit_over_a_minute_when_verbose_prints_instead(rows, slow_clock, capsys):
    X, y, _ = rows
    small(verbose=1).fit(X, y)
    printed = capsys.readouterr().out.splitlines()
    (told,) = [
        line for line in printed if line.startswith("Training will take about 2 min: 5 epochs of about 30 s")
    ]
    assert printed.index(told) == 1  # the estimate takes two epochs of three steps
    assert "What shortens it" in told
    assert "filterwarnings" not in told


def test_fit_that_holds_rows_out_counts_them_and_says_that_it_may_stop(rows, slow_clock):
    X, y, _ = rows
    with pytest.warns(UserWarning, match="about 3 min: .*, fewer where it stops early"):
        small(early_stopping=True).fit(X, y)


def test_fit_under_a_minute_says_nothing(rows, slow_clock):
    X, y, _ = rows
    small(max_epochs=2).fit(X, y)
    assert _duration._told == []


def test_pretraining_over_a_minute_names_its_own_parameter(rows, slow_clock):
    X, y, _ = rows
    model = small(fusion="hyper", hyper_depth=1, pretrain_embedding=5, max_epochs=1)
    with pytest.warns(UserWarning, match=r"pretrain_embedding, now 5") as caught:
        model.fit(X, y)
    assert "ImageLoader" not in str(caught[0].message)


def test_fit_on_a_constant_backbone_gives_no_advice_on_images(rows, slow_clock):
    X, y, _ = rows
    model = small(frozen_layers="backbone.*", augmentation=None)
    with pytest.warns(UserWarning, match="max_epochs, now 5") as caught:
        model.fit(X, y)
    assert "ImageLoader" not in str(caught[0].message)


@pytest.mark.parametrize(
    ("load", "n_threads", "told"), [(9.0, 2, True), (0.5, 2, False), (9.0, 1, False), (None, 2, False)]
)
def test_fit_over_a_minute_on_a_busy_machine_advises_one_thread(
    rows, slow_clock, monkeypatch, load, n_threads, told
):
    X, y, _ = rows
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    if load is None:  # as on Windows
        monkeypatch.delattr("os.getloadavg", raising=False)
    else:
        monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with pytest.warns(UserWarning, match="Training will take") as caught:
            small(device="cpu").fit(X, y)
    finally:
        torch.set_num_threads(before)
    assert ("(a load of 9.0 on 4 cores)" in str(caught[0].message)) == told
    assert ("OMP_NUM_THREADS=1" in str(caught[0].message)) == told


def test_fit_that_goes_on_from_a_checkpoint_counts_what_is_left(rows, slow_clock, tmp_path):
    X, y, _ = rows

    with pytest.warns(UserWarning, match="5 epochs"), pytest.raises(RuntimeError, match="killed"):
        small(checkpoint_dir=tmp_path, callbacks=[Killed()]).fit(X, y)
    told = _duration._told.copy()
    small(checkpoint_dir=tmp_path, callbacks=[Killed()]).fit(X, y)  # two epochs of 30 s are left
    assert _duration._told == told


def test_pace_leaves_the_warm_up_out_and_waits_for_steps_and_seconds():
    ticks = iter([0.0, 100.0, 101.0, 101.5, 102.0, 102.5, 103.0, 104.0])
    pace = Pace(20, 0, clock=lambda: next(ticks))
    told = [pace.step(training=True, epochs_left=10) for _ in range(7)]
    assert told[:6] == [None] * 6
    # Five steps in three seconds, then 193 more of them at that pace.
    assert told[6] == pytest.approx(104 + 193 * 3 / 5)


def test_pace_counts_a_step_of_validation_as_a_third():
    ticks = iter(np.arange(0.0, 100.0))
    pace = Pace(3, 3, clock=lambda: float(next(ticks)))
    for training in (True, True, True, False, False, False):
        seconds = pace.step(training=training, epochs_left=10)
    # Work of 2 in 4 s behind the warm-up; 36 of the 40 are left.
    assert seconds == pytest.approx(6 + 36 * 2)


def test_an_estimate_is_news_where_none_near_it_was_told(nothing_told):
    assert [is_news(seconds) for seconds in (100, 120, 90, 160, 60, 110)] == [
        True, False, False, True, True, False,
    ]  # fmt: skip


def test_durations_round_up_into_the_next_unit():
    assert [in_words(s) for s in (9.99, 119.4, 121, 7140, 7199, 7200)] == [
        "9.99 s", "119 s", "2 min", "119 min", "2 h 00 min", "2 h 00 min",
    ]  # fmt: skip


@pytest.mark.parametrize("scale_target", [True, False])
def test_verbose_shows_the_loss_of_a_regression_in_the_unit_of_y(rows, capsys, scale_target):
    X, _, y = rows
    model = small(
        HyperFusionRegressor,
        scale_target=scale_target, max_epochs=2, early_stopping=True, verbose=1, lr=1e-3,
    ).fit(X, y)  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    for line, row in zip(lines, model.history_.itertuples(), strict=True):
        train, valid = re.search(r"  RMSE of y (\S+) \(train\), (\S+) \(valid\)  ", line).groups()
        assert float(train) == pytest.approx(model.target_scale_ * np.sqrt(row.train_loss), rel=1e-3)
        assert float(valid) == pytest.approx(model.target_scale_ * np.sqrt(row.valid_loss), rel=1e-3)
    if scale_target:
        assert 3000 < float(valid) < 30000  # y stands in thousandths of a year


def test_verbose_shows_no_unit_where_the_loss_has_none(rows, capsys):
    X, label, y = rows
    small(max_epochs=1, verbose=1).fit(X, label)
    small(HyperFusionRegressor, max_epochs=1, verbose=1).fit(X, np.column_stack([y, y]))
    assert "RMSE" not in capsys.readouterr().out


def test_verbose_shows_the_time_to_go_and_in_all(rows, capsys, monkeypatch):
    X, y, _ = rows
    ticks = iter([0.0, 40.0, 70.0, 100.0])  # the first epoch takes 40 s, others 30 s

    class Timed(_callbacks.EpochLog):
        def __init__(self, *args):
            super().__init__(*args, clock=lambda: next(ticks))

    monkeypatch.setattr("skhyperfusion._engine._train.EpochLog", Timed)
    small(max_epochs=3, verbose=1).fit(X, y)
    ends = [line.split("  ")[-1] for line in capsys.readouterr().out.splitlines()]
    assert ends == ["80 s to go of 2 min", "30 s to go of 100 s", "100 s in all"]


def test_the_clock_of_a_training_never_goes_back():
    assert _callbacks.LongTraining(1, 0, str, 0).clock is time.monotonic
