"""What users did not ask for is not written, and what is one patient's is not told to others."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skhyperfusion import HyperFusionClassifier
from skhyperfusion.persistence import load_model

# Fit, search, predict, save and load, in a process whose every write is noted.
WORK = """
import os, sys
written = set()
def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, (str, bytes, os.PathLike)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.add(os.path.abspath(os.fsdecode(path)))
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.symlink", "os.link"):
        written.update(os.path.abspath(os.fsdecode(a)) for a in arguments[:2] if isinstance(a, (str, bytes)))
import numpy as np, pandas as pd
from sklearn.model_selection import GridSearchCV
from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion.ensemble import FoldEnsembleClassifier
from skhyperfusion.model_selection import compare_estimators
from skhyperfusion.persistence import load_model, model_card
sys.addaudithook(watch)
data, out = sys.argv[1:]
X = pd.read_csv(os.path.join(data, "table.csv"), index_col="id")
y = X.pop("diagnosis")
net = HyperFusionClassifier(base_channels=2, max_epochs=1, random_state=0)
model = net.fit(X, y)
model.predict_proba(X), model.embed(X), model_card(model, X, y)
GridSearchCV(net, {"fusion": ["hyper", "concat"]}, cv=2, error_score="raise").fit(X, y)
FoldEnsembleClassifier(net, cv=2).fit(X, y).predict(X)
compare_estimators({"a": net, "b": net}, X, y, cv=2)
if out:
    cached = HyperFusionClassifier(
        base_channels=2, max_epochs=1, image_loader=ImageLoader(cache_dir=os.path.join(out, "cache"))
    ).fit(X, y)
    cached.save(os.path.join(out, "model.skhf"))
    load_model(os.path.join(out, "model.skhf")).predict(X)
print(*(path for path in sorted(written) if path != os.devnull), sep="\\n")
"""


def write_study(folder):
    rng = np.random.default_rng(0)
    paths = [str(folder / f"eye-{i}.npy") for i in range(12)]
    for path in paths:
        np.save(path, rng.normal(size=(6, 6)).astype(np.float32))
    table = pd.DataFrame({"id": [f"patient-{i:02d}" for i in range(12)], "scan": paths})
    table["age"] = rng.normal(70, 8, 12)
    table["diagnosis"] = ["AD", "CN"] * 6
    table.to_csv(folder / "table.csv", index=False)


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True])
def test_work_when_folders_are_named_writes_into_them_and_nowhere_else(tmp_path, named):
    for name in ("data", "out", "home", "temporary", "here"):
        (tmp_path / name).mkdir()
    write_study(tmp_path / "data")
    # Without bytecode: Python itself writes that of what is imported late.
    environment = os.environ | {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "temporary"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)  # torch sets it in a process that has used its compiler
    out = tmp_path / "out"
    command = [sys.executable, "-W", "ignore", "-c", WORK, str(tmp_path / "data"), str(out) if named else ""]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path / "here"
    )
    assert done.returncode == 0, done.stderr
    # torch's compiler makes an empty folder among the temporary ones when it is imported, whatever it is for.
    temporary = tmp_path / "temporary"
    written = [path for path in done.stdout.split() if not Path(path).is_relative_to(temporary)]
    assert bool(written) == named
    assert [path for path in written if not Path(path).is_relative_to(out)] == []
    assert [*(tmp_path / "home").iterdir(), *(tmp_path / "here").iterdir()] == []
    assert [path for path in temporary.rglob("*") if not path.is_dir()] == []
    assert sorted(path.name for path in out.iterdir()) == ["cache", "model.skhf"] * named


def fitted():
    """A model of rows with ids in the index, numbers that can be told, and a column of notes."""
    rng = np.random.default_rng(1)
    X = pd.DataFrame(
        {
            "scan": list(rng.normal(size=(16, 6, 6))),
            "age": rng.normal(70, 8, 16),
            "tau": rng.normal(300, 9, 16),
        },
        index=[f"patient-{i:02d}" for i in range(16)],
    )
    y = ["AD", "CN"] * 8
    return HyperFusionClassifier(base_channels=2, max_epochs=1, random_state=0).fit(X, y), X


@pytest.mark.parametrize("method", ["repr", "html", "card", "history"])
def test_what_a_model_says_of_itself_names_no_patient(method, tmp_path):
    model, X = fitted()
    model.save(tmp_path / "model.skhf")
    loaded = load_model(tmp_path / "model.skhf")
    for one in (model, loaded):
        text = {
            "repr": lambda m: repr(m) + str(vars(m)),
            "html": lambda m: m._repr_html_(),
            "card": lambda m: card_of(tmp_path / "model.skhf"),
            "history": lambda m: m.history_.to_csv(),
        }[method](one)
        assert [name for name in X.index if name in text] == []
        numbers = [number for name in ("age", "tau") for number in X[name]]
        extremes = [f(X[name]) for name in ("age", "tau") for f in (min, max)]
        told = [number for number in numbers if repr(float(number)) in text]
        assert set(told) <= set(extremes)  # the limits of a column are learned, see SECURITY.md


def card_of(path):
    with zipfile.ZipFile(path) as archive:
        return archive.read("card.md").decode()
