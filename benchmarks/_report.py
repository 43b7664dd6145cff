"""What the benchmarks share: arguments, a table on the screen, and a JSON file beside it."""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import joblib
import sklearn
import torch

RESULTS = Path(__file__).parent / "results"
DATA = Path(__file__).parents[2] / "shared" / "data"


def parser(description):
    """Arguments that every benchmark has."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--n-jobs", type=int, default=os.cpu_count(), help="fits at a time")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--results", type=Path, default=RESULTS, help="folder of what is written")
    return arguments


def real_data(name):
    """Folder of a real data set, or an end with a reason where it is absent."""
    folder = DATA / name
    if not folder.is_dir():
        raise SystemExit(
            f"This benchmark needs the data set {name!r} in {folder.parent.name}/; it is absent."
        )
    return folder


def workers(n_jobs):
    """Run fits side by side; loky gives each its share of the cores' threads."""
    return joblib.parallel_config("loky", n_jobs=n_jobs)


def told_by_process(script, *arguments, environment=None):
    """Run a script in a process of its own, with this environment or ours; return the JSON that it prints."""
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def made_by():
    """Tell the versions and the machine that give the figures."""
    return {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "sklearn": sklearn.__version__,
        },
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,  # none on Windows
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def write(folder, name, **content):
    """Write figures, with the versions and the machine that gave them; return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(made_by() | content, indent=1, default=float) + "\n")
    return path


def save(folder, name, comparisons):
    """Write every fold's scores."""
    scores = {title: c.scores.to_dict("records") for title, c in comparisons.items()}
    path = write(folder, name, scores=scores)
    print(f"\nScores of every fold: {path.name} in {folder.name}/")


def show(title, comparison, metric=None):
    """Print one metric of a comparison: means, spread, difference to the reference, seconds."""
    columns = ["mean", "sd", "difference", "p_corrected_t", "fit_seconds"]
    print(f"\n{title}\n{comparison.table(metric)[columns].round(3).to_string()}")
