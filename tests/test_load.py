"""Many fits in one process leave nothing behind; benchmarks/load.py has the large numbers."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is told by Linux")
def test_many_fits_when_in_one_process_leave_nothing_behind():
    script = ROOT / "benchmarks" / "load.py"
    # Over few fits one page more or less is a slope: a leak of one batch of images would be ten times this.
    sizes = ["--rows", "2000", "--volumes", "200", "--fits", "25", "--slope", "200"]
    command = [sys.executable, "-W", "ignore", str(script), *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert [name for name in told if name.endswith(" left") and int(told[name])] == []
    assert int(told["fits"]) == 25
