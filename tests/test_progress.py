"""Silent work makes no bar, and no bar waits for a lock that a killed process took with it."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from forks import run_forking
from tqdm.std import TqdmDefaultWriteLock, tqdm

from skhyperfusion._meta import run_fits
from skhyperfusion._progress import progress_bar
from skhyperfusion.images import ImageLoader, check_images


def opened_and_read(paths):
    return len(ImageLoader(memory=0).open(paths).stack())


def checked(paths):
    return len(check_images(paths, verbose=0))


def fitted(paths):
    return dict(run_fits(len, {"first": (paths,)}, name="fits"))["first"]


@pytest.mark.parametrize("work", [opened_and_read, checked, fitted])
def test_silent_work_when_the_lock_of_bars_is_never_given_back_goes_on(work, tmp_path):
    scans = [str(tmp_path / f"{i}.npy") for i in range(3)]
    for i, scan in enumerate(scans):
        np.save(scan, np.arange(i, i + 24.0).reshape(2, 3, 4))
    paths = pd.DataFrame({"scan": scans})
    # The lock is let go first, so that a thread that waits for it ends as well.
    with ThreadPoolExecutor(1) as pool, tqdm.get_lock():
        assert pool.submit(work, paths).result(timeout=60) == 3


def test_bar_when_another_process_was_killed_with_the_lock_in_hand_is_shown(capsys):
    tqdm(disable=True)  # makes the lock that forked processes share

    def counted():
        with progress_bar(1, "Fits", "fit", verbose=1) as bar:
            bar.update()
        return True

    with ThreadPoolExecutor(1) as pool, TqdmDefaultWriteLock.mp_lock:
        assert pool.submit(counted).result(timeout=60)
    assert "1/1" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_bar_when_forked_while_a_thread_draws_one_is_shown_in_the_child():
    done = run_forking(
        """
        import signal, threading
        from skhyperfusion._progress import _Shown, progress_bar
        drawing = threading.Thread(target=_Shown.get_lock().acquire)
        drawing.start(); drawing.join()
        """,
        """
        signal.alarm(20)
        with progress_bar(1, 'Fits', 'fit', verbose=1) as bar:
            bar.update()
        os._exit(0)
        """,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "1/1" in done.stderr


def test_bar_when_it_becomes_slow_shows_each_step(capsys):
    with progress_bar(1010, "Fits", "fit", verbose=1) as bar:
        time.sleep(0.15)  # as long as tqdm lies between two looks
        bar.update(1000)
        time.sleep(0.15)
        bar.update()
        assert "1001/1010" in capsys.readouterr().err


def test_bar_when_verbose_shows_its_name_its_steps_and_the_last_words(capsys):
    with progress_bar(4, "Fits", "fit", verbose=1, n_done=1) as bar:
        for _ in range(3):
            bar.set_postfix_str("fold 3", refresh=False)
            bar.update()
    shown = capsys.readouterr().err
    assert "Fits:  25%" in shown
    assert "4/4" in shown
    assert "fold 3" in shown


def test_bar_when_silent_shows_nothing(capsys):
    with progress_bar(2, "Fits", "fit", verbose=0) as bar:
        bar.set_postfix_str("fold 1")
        bar.update(2)
    assert capsys.readouterr() == ("", "")
