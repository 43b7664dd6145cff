"""Damaged files of models by the hundred; benchmarks/model_fuzz.py has ten thousand."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded by Linux's limits")
def test_file_of_a_model_when_damaged_loads_or_is_refused_within_bounds():
    script = ROOT / "benchmarks" / "model_fuzz.py"
    command = [sys.executable, "-W", "ignore", str(script), "--mutations", "1000", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert int(counts["refused"]) > 500
    assert int(counts["loaded"]) + int(counts["refused"]) == 1000
