"""Damage the file of a saved model in thousands of ways, load each, and count what becomes of them.

    python benchmarks/model_fuzz.py

Half of the files are damaged as disks and networks do it: bytes changed, lost, repeated. The other half are
made by who knows the format: a member is changed and its sums are right, so that what is wrong is found by
the decoder alone. Every file must load, or be refused by an error of `skhyperfusion.persistence`. The
process may allocate `--bound` MB beyond what it has when it begins, each file may take `--patience` seconds,
and nothing may be written; else the exit status is 1.
"""

import argparse
import hashlib
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from skhyperfusion import HyperFusionClassifier
from skhyperfusion.persistence import DamagedFileError, UntrustedTypesError, load_model
from skhyperfusion.persistence._archive import MANIFEST
from skhyperfusion.persistence._registry import MissingParameterError

REFUSED = (DamagedFileError, UntrustedTypesError, MissingParameterError)
WRONG = ("too slow", "beyond the bound", "another error", "written elsewhere")
ODD = [None, True, -1, 0, 10**9, 10**30, 1e300, "", "x" * 1000, "../../etc/passwd", "os.system", [], {}, [[]]]


class TooSlow(BaseException):
    """A file took longer than it may."""


def save_models(folder):
    """Save two models, one with a transformer of scikit-learn's; return their files' bytes."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "scan": list(rng.normal(size=(16, 6, 6)).astype(np.float32)),
            "age": rng.normal(70, 8, 16),
            "tau": ["<80", 120, None, 300.5] * 4,
            "sex": ["F", "M"] * 8,
        }
    )
    encode = make_column_transformer(
        (SimpleImputer(), ["age"]), (OneHotEncoder(sparse_output=False), ["sex"])
    )
    contents = []
    for i, preprocessor in enumerate(["default", encode]):
        model = HyperFusionClassifier(
            tabular_preprocessor=preprocessor, base_channels=2, max_epochs=1, random_state=0
        )
        path = folder / f"{i}.skhf"
        model.fit(X, ["a", "b"] * 8).save(path)
        contents.append(path.read_bytes())
    return contents


def damaged(content, draw):
    """Change, lose or repeat bytes."""
    data = bytearray(content)
    kind = draw.randrange(4)
    place = draw.randrange(len(data))
    if kind == 0:
        for _ in range(draw.randint(1, 20)):
            data[draw.randrange(len(data))] = draw.randrange(256)
    elif kind == 1:
        del data[place:]
    elif kind == 2:
        del data[place : place + draw.randint(1, 200)]
    else:
        data[place:place] = data[draw.randrange(len(data)) :][: draw.randint(1, 200)]
    return bytes(data)


def crafted(content, draw):
    """Change a member, and let its sums be right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}
    name = draw.choice([*members, "model.json", "model.json"])
    if name == "model.json":
        model = json.loads(members[name])
        for _ in range(draw.randint(1, 3)):
            change_node(model, draw)
        members[name] = json.dumps(model).encode()
    else:
        members[name] = damaged(members[name], draw)
    sums = {n: {"size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in members.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, json.dumps(sums))
        for n, d in members.items():
            archive.writestr(n, d)
    return stream.getvalue()


def change_node(node, draw):
    """Exchange, drop or repeat something at a random depth of a JSON tree."""
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and draw.random() < 0.85:
            node = node[key]
            continue
        kind = draw.randrange(3)
        if kind == 0:
            node[key] = draw.choice(ODD)
        elif kind == 1:
            del node[key]
        else:
            other = draw.choice(keys)
            node[key] = node[other] if not isinstance(node[other], dict | list) else draw.choice(ODD)
        return


def watch_writes(allowed):
    """Return a set that fills with the paths that the process opens for writing, makes or moves."""
    written = set()

    def hook(event, arguments):
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                written.add(os.path.abspath(os.fsdecode(path)))
        elif event in ("os.mkdir", "os.rename", "os.remove", "os.symlink", "os.link", "subprocess.Popen"):
            written.add(f"{event} {arguments[0]}")
        written.discard(allowed)

    sys.addaudithook(hook)
    return written


def too_slow(*_):
    raise TooSlow


def run(n_mutations, bound, patience, seed):
    """Return the counts of the outcomes, and the errors that should not be."""
    counts, strange = Counter(), Counter()
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        contents = save_models(Path(folder))
        path = os.path.join(folder, "damaged.skhf")
        for content in contents:  # what loading imports is no cost of a damaged file
            Path(path).write_bytes(content)
            load_model(path)
        written = watch_writes(path)
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + (bound << 20),) * 2)
        signal.signal(signal.SIGALRM, too_slow)
        for i in range(n_mutations):
            content = (damaged if i % 2 else crafted)(draw.choice(contents), draw)
            Path(path).write_bytes(content)
            signal.setitimer(signal.ITIMER_REAL, patience)
            try:
                load_model(path)
                counts["loaded"] += 1
            except REFUSED:
                counts["refused"] += 1
            except TooSlow:
                counts["too slow"] += 1
            except MemoryError:
                counts["beyond the bound"] += 1
            except Exception as error:  # whatever it is, it is none that the user is promised
                counts["another error"] += 1
                strange[f"{type(error).__name__}: {str(error)[:150]}"] += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        counts["written elsewhere"] = len(written)
        strange.update(written)
    return counts, strange


def main():
    """Print the counts; the exit status is 1 where something went wrong."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--mutations", type=int, default=10_000)
    arguments.add_argument("--bound", type=int, default=256, help="MB that loading may allocate")
    arguments.add_argument("--patience", type=float, default=10, help="seconds for each file")
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    start = time.perf_counter()
    counts, strange = run(given.mutations, given.bound, given.patience, given.seed)
    for name in ("loaded", "refused", *WRONG):
        print(f"{name:<25}{counts[name]:>8}")
    print(f"{'seconds':<25}{time.perf_counter() - start:>8.0f}")
    for text, n in strange.most_common(20):
        print(f"{n:>6} x {text}", file=sys.stderr)
    sys.exit(
        any(counts[name] for name in ("too slow", "beyond the bound", "another error", "written elsewhere"))
    )


if __name__ == "__main__":
    main()
