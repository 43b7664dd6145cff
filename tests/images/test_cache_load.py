"""The cache under load: killed processes, ten thousand images, and nothing written where nobody asked."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skhyperfusion.images import ImageLoader, cache_info, clear_cache
from skhyperfusion.images._cache import _disk

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_cache_when_processes_are_killed_has_nothing_wrong():
    script = ROOT / "benchmarks" / "cache_kills.py"
    command = [sys.executable, "-W", "ignore", str(script), "--processes", "4", "--kills", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert int(counts["processes killed"]) == 20
    assert int(counts["images read"]) > 20


@pytest.mark.slow
def test_cache_when_ten_thousand_are_kept_gives_them_all(tmp_path):
    n = 10_000
    (tmp_path / "scans").mkdir()
    paths = [str(tmp_path / "scans" / f"{i}.npy") for i in range(n)]
    for i, path in enumerate(paths):
        np.save(path, np.full((4, 4, 5), i + 1, np.float32))
    loader = ImageLoader(intensity=None, cache_dir=tmp_path / "cache")
    for _ in range(2):  # cold, then warm
        n_open = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
        stack = loader.open(pd.DataFrame({"scan": paths})).stack()
        np.testing.assert_array_equal(stack[:, 0, 0, 0, 0, 0], np.arange(1, n + 1))
        if n_open:
            assert len(os.listdir("/proc/self/fd")) <= n_open + 2
        assert cache_info()["decoded"] == n
    assert cache_info(tmp_path / "cache")["disk_images"] == n
    clear_cache(tmp_path / "cache")
    assert cache_info(tmp_path / "cache")["disk_images"] == 0


WATCHED = """
import os, sys
written = set()
def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, (str, bytes, os.PathLike)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.add(os.path.abspath(os.fsdecode(path)))
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.symlink", "os.link"):
        written.update(os.path.abspath(os.fsdecode(a)) for a in arguments[:2] if isinstance(a, (str, bytes)))
import pandas as pd
from skhyperfusion.images import ImageLoader, check_images
sys.addaudithook(watch)
scans, cache = sys.argv[1:]
table = pd.DataFrame({"scan": sorted(os.path.join(scans, name) for name in os.listdir(scans))})
check_images(table)
ImageLoader().open(table).stack()
if cache:
    ImageLoader(cache_dir=cache).open(table).stack()
    ImageLoader(cache_dir=cache).open(table).stack()
print(*(path for path in sorted(written) if path != os.devnull), sep="\\n")
"""


@pytest.mark.slow
@pytest.mark.parametrize("on_disk", [False, True])
def test_files_when_images_are_read_are_written_in_the_folder_that_was_named(
    save_nifti, volume, tmp_path, on_disk
):
    for i in range(3):
        save_nifti(volume + i, f"scans/{i}.nii.gz")
    cache = tmp_path / "cache"
    command = [sys.executable, "-W", "ignore", "-c", WATCHED, str(tmp_path / "scans"), str(cache) * on_disk]
    # Without bytecode: Python itself writes that of what is imported late.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    written = done.stdout.split()
    assert bool(written) == on_disk
    assert [path for path in written if not Path(path).is_relative_to(cache)] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache"] * on_disk + ["scans"]


def test_claims_when_what_is_made_of_an_image_shares_its_number_do_not_wait_for_each_other(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(_disk, "_WAIT", 60)
    store = _disk.DiskCache(tmp_path)
    began = time.monotonic()
    with store.claim("ab" * 32 + _disk.DERIVED), store.claim("ab" * 32):
        assert time.monotonic() - began < 30
