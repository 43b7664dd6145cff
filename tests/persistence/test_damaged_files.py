"""A file that was changed, cut or made to do harm is refused in words, and runs nothing."""

import io
import json
import os
import random
import zipfile

import numpy as np
import pytest
import skops.io
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from skhyperfusion.persistence import DamagedFileError, UntrustedTypesError, load_model
from skhyperfusion.persistence._archive import MANIFEST, write_archive


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}


def changed(path, target, change):
    """Write the file anew with its JSON changed, its sums right."""
    members = members_of(path)
    model = json.loads(members["model.json"])
    change(model)
    write_archive(target, {**members, "model.json": json.dumps(model).encode()})
    return target


def test_cut_at_any_place_is_refused(saved, tmp_path):
    data = saved[1].read_bytes()
    for length in [0, 1, 100, len(data) // 2, len(data) - 1]:
        (tmp_path / "model").write_bytes(data[:length])
        with pytest.raises(DamagedFileError, match=r"model' is no model|cut"):
            load_model(tmp_path / "model")


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


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.update(model=[]),
        lambda model: model["model"].update(type="os.system"),
        lambda model: model["model"].pop("state"),
        lambda model: model["model"].update({"$": "exec"}),
        lambda model: model["model"]["state"]["network"]["architecture"].update(base_channels=10**9),
        lambda model: model["model"]["state"]["network"]["architecture"].update(fusion="image"),
        lambda model: model["model"]["state"]["network"]["architecture"].update(hyper_depth=10**9),
        lambda model: model["model"]["state"]["network"]["architecture"].update(stranger=1),
        lambda model: model["model"]["state"]["network"].update(weights="../../etc/passwd"),
        lambda model: model["model"]["state"]["feature_names_in_"].update(shape=[10**12]),
        lambda model: model["model"]["state"]["feature_names_in_"].update(dtype="<U1000000000"),
        lambda model: model.update(format=0),
        lambda model: model.update(format="1"),
    ],
)
def test_json_that_does_not_hold_together_is_refused(change, saved, tmp_path):
    with pytest.raises(DamagedFileError, match=r"."):
        load_model(changed(saved[1], tmp_path / "model", change))


def test_newer_format_is_refused_by_its_version(saved, tmp_path):
    def change(model):
        model["format"] = 99
        model["versions"]["skhyperfusion"] = "7.1"

    with pytest.raises(DamagedFileError, match=r"is of format 99.*saved by version '7.1'"):
        load_model(changed(saved[1], tmp_path / "model", change))


def test_weights_of_another_shape_are_refused(saved, tmp_path):
    members = members_of(saved[1])
    name = next(name for name in members if name.startswith("weights/"))
    weights = load_arrays(members[name])
    weights["head.output.weight"] = np.zeros((5, 5), dtype=np.float32)
    write_archive(tmp_path / "model", {**members, name: save_arrays(weights)})
    with pytest.raises(DamagedFileError, match=r"'head.output.weight' is of shape \(5, 5\) in the file"):
        load_model(tmp_path / "model")


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


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "weights/../../evil", "weights\\0.safetensors", "a.py"]
)
def test_member_with_a_strange_name_is_refused_unread(name, saved, tmp_path):
    (tmp_path / "model").write_bytes(saved[1].read_bytes())
    with zipfile.ZipFile(tmp_path / "model", "a") as archive:
        archive.writestr(name, "x")
    with pytest.raises(DamagedFileError, match=r"holds what no saved model does.*nothing of it was read"):
        load_model(tmp_path / "model")


def test_bomb_is_refused_before_it_is_unpacked(saved, tmp_path):
    write_archive(tmp_path / "model", {**members_of(saved[1]), "weights/9.safetensors": bytes(64 << 20)})
    with pytest.raises(DamagedFileError, match="would grow from"):
        load_model(tmp_path / "model")


def test_file_above_max_bytes_is_refused(saved):
    with pytest.raises(DamagedFileError, match=r"unpacks to \d+ bytes, more than max_bytes=1000"):
        load_model(saved[1], max_bytes=1000)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load_model(tmp_path / "absent")
    with pytest.raises(DamagedFileError, match="is a folder"):
        load_model(tmp_path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("card.md", "no manifest")
    (tmp_path / "zip").write_bytes(buffer.getvalue())
    with pytest.raises(DamagedFileError, match="is no model"):
        load_model(tmp_path / "zip")
