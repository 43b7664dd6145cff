"""Time an epoch beside other programs, by how torch's threads wait for each other.

    python benchmarks/busy_machine.py

The same small fit in processes of their own, with the machine idle and with two processes a core that want it
all the time: as torch does by itself, with ``OMP_WAIT_POLICY=passive`` (threads that wait sleep), and with
one thread. Seconds are those of the median epoch after the first, in turns.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys

from _report import told_by_process
from _speed import epoch_seconds, parser, save, show

from skhyperfusion import HyperFusionClassifier

POLICIES = {
    "by itself": {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}
OMP = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "GOMP_SPINCOUNT")


@contextlib.contextmanager
def others(n):
    """Let so many processes want the processor inside the block."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def seconds_with(policy, side, n_epochs, arguments):
    """Return the seconds of the median epoch of a fit in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in OMP}
    environment |= {"OMP_NUM_THREADS": str(arguments.threads)} | POLICIES[policy]
    given = ["--fit", side, n_epochs, "--seed", arguments.seed]
    return told_by_process(__file__, *given, environment=environment)


def measure(arguments):
    """Return a row for each policy and size of scans, idle and busy."""
    sides, n_epochs, repeats = ((12,), 4, 1) if arguments.quick else ((12, 24), 8, arguments.repeats)
    rows = []
    for side in sides:
        taken = {}
        for n_others in (0, 2 * os.cpu_count()):
            with others(n_others):
                for _ in range(repeats):
                    for policy in POLICIES:
                        seconds = seconds_with(policy, side, n_epochs, arguments)
                        taken.setdefault((policy, n_others > 0), []).append(seconds)
        medians = {key: statistics.median(every) for key, every in taken.items()}
        for policy in POLICIES:
            idle, busy = medians[policy, False], medians[policy, True]
            rows.append(
                {
                    "side": side,
                    "threads wait": policy,
                    "idle_s": idle,
                    "busy_s": busy,
                    "idle_times": idle / medians["by itself", False],
                    "busy_times": busy / medians["by itself", True],
                }
            )
    return rows


def main():
    """Measure, print the table, save it."""
    arguments = parser(__doc__.splitlines()[0], repeats=3)
    arguments.add_argument(
        "--fit", type=int, nargs=2, help=argparse.SUPPRESS
    )  # side and epochs, in a process
    arguments = arguments.parse_args()
    if arguments.fit:
        side, n_epochs = arguments.fit
        model = HyperFusionClassifier(base_channels=4)
        print(epoch_seconds(model, 64, (side,) * 3, n_epochs, arguments.seed).median())
        return
    rows = measure(arguments)
    show("An epoch of 64 scans, beside other programs and not", rows)
    save(arguments, "busy_machine", rows)


if __name__ == "__main__":
    main()
