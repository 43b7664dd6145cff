"""A file that was changed, cut or made to do harm is refused in words, and runs nothing."""

import io
import json
import os
import random
import zipfile

import numpy as np
import pytest
import skops.io

from skhyperfusion.persistence import DamagedFileError, UntrustedTypesError, load_model
from skhyperfusion.persistence._archive import MANIFEST, write_archive


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}


def test_bytes_changed_anywhere_are_refused_or_harmless(saved, table_study, tmp_path):
    model, path = saved
    X, _, _ = table_study
    expected, rng, data = model.predict_proba(X), random.Random(0), path.read_bytes()
    for _ in range(150):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            mutated[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "model").write_bytes(mutated)
        try:
            loaded = load_model(tmp_path / "model")
        except DamagedFileError:
            continue
        np.testing.assert_array_equal(loaded.predict_proba(X), expected)  # a date in the zip's directory


class Payload:
    """Unpickles to a call; skops, too, would have to be told to trust it."""

    def __reduce__(self):
        return os.mkdir, (Payload.target,)


def test_payload_in_a_preprocessor_does_not_run(saved, tmp_path):
    Payload.target = str(tmp_path / "pwned")
    members = members_of(saved[1])
    name = next(name for name in members if name.endswith(".skops"))
    write_archive(tmp_path / "model", {**members, name: skops.io.dumps(Payload())})
    with pytest.raises(UntrustedTypesError, match="Payload"):
        load_model(tmp_path / "model")
    assert not os.path.exists(Payload.target)


def test_allow_list_in_the_file_counts_for_nothing(saved, tmp_path):
    Payload.target = str(tmp_path / "pwned")
    members = members_of(saved[1])
    name = next(name for name in members if name.endswith(".skops"))
    model = json.loads(members["model.json"])
    model["trusted"] = model["model"]["trusted"] = ["test_damaged_files.Payload"]
    harmful = {**members, name: skops.io.dumps(Payload()), "model.json": json.dumps(model).encode()}
    write_archive(tmp_path / "model", harmful)
    with pytest.raises(UntrustedTypesError):
        load_model(tmp_path / "model")


def nested_with(data, name, content):
    """A zip of skops's with one member changed or added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
        new.writestr(name, content)
    return buffer.getvalue()


def test_bomb_within_a_preprocessor_is_refused_before_it_is_unpacked(saved, tmp_path):
    members = members_of(saved[1])
    name = next(name for name in members if name.endswith(".skops"))
    bomb = nested_with(members[name], "more.bin", bytes(32 << 20))
    write_archive(tmp_path / "model", {**members, name: bomb})
    with pytest.raises(DamagedFileError, match=r"skops', member 'more.bin' would grow from \d+ to 33554432"):
        load_model(tmp_path / "model")


def test_array_that_states_a_size_that_is_not_there_is_refused(saved, tmp_path):
    members = members_of(saved[1])
    name = next(name for name in members if name.endswith(".skops"))
    with zipfile.ZipFile(io.BytesIO(members[name])) as nested:
        array = next(member for member in nested.namelist() if member.endswith(".npy"))
    buffer = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**11,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    false = nested_with(members[name], array, buffer.getvalue() + bytes(16))
    write_archive(tmp_path / "model", {**members, name: false})
    with pytest.raises(DamagedFileError, match="arrays are not of the size that they state"):
        load_model(tmp_path / "model")
