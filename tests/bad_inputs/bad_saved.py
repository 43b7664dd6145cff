"""Bad inputs: files that are given to `load_model`, and are no saved model, or none any more."""

import io
import json
import zipfile

import numpy as np
from bad_case import BadInput
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from skhyperfusion.persistence import DamagedFileError
from skhyperfusion.persistence._archive import MANIFEST, write_archive


def bad(name, spoil, *words, error=DamagedFileError):
    return BadInput(f"saved: {name}", spoil, error, words, ways=("load_model",))


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}


def only(content):
    """Let the file hold these bytes and no others."""
    return lambda path: path.write_bytes(content)


def cut(share):
    """Leave a part of the file."""

    def spoil(path):
        data = path.read_bytes()
        path.write_bytes(data[: int(share * (len(data) - 1))])

    return spoil


def changed(change):
    """Write the file anew with its JSON changed, its sums right."""

    def spoil(path):
        members = members_of(path)
        model = json.loads(members["model.json"])
        change(model)
        write_archive(path, {**members, "model.json": json.dumps(model).encode()})

    return spoil


def architecture(**changes):
    return changed(lambda model: model["model"]["state"]["network"]["architecture"].update(changes))


def names(**changes):
    return changed(lambda model: model["model"]["state"]["feature_names_in_"].update(changes))


def with_member(name, content):
    """Write the file anew with one member more, or another, its sums right."""
    return lambda path: write_archive(path, {**members_of(path), name: content})


def with_bomb(name, content):
    """Add a member that shrinks to next to nothing, which `write_archive` keeps long."""

    def spoil(path):
        with_member(name, content)(path)
        with zipfile.ZipFile(path) as archive:
            contents = {member: archive.read(member) for member in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, bytes_ in contents.items():
                archive.writestr(member, bytes_)

    return spoil


def without(name):
    return lambda path: write_archive(path, {n: c for n, c in members_of(path).items() if n != name})


def smuggled(name):
    """Add a member of which the manifest does not know."""

    def spoil(path):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, "x")

    return spoil


def zipped(**members):
    """Let the file be a zip of other things."""

    def spoil(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return spoil


def other_weights(path):
    """Exchange the weights of one layer for those of another shape."""
    members = members_of(path)
    name = next(name for name in members if name.startswith("weights/"))
    weights = load_arrays(members[name])
    weights["head.output.weight"] = np.zeros((5, 5), dtype=np.float32)
    write_archive(path, {**members, name: save_arrays(weights)})


def folder(path):
    path.unlink()
    path.mkdir()


def newer(model):
    model["format"] = 99
    model["versions"]["skhyperfusion"] = "7.1"


def with_object(content):
    """Let the preprocessor be held by a member of skops, of these bytes, its sums right."""

    def spoil(path):
        members = members_of(path)
        model = json.loads(members["model.json"])
        model["model"] = {"$": "skops", "number": 0, "member": "objects/0.skops"}
        members["model.json"] = json.dumps(model).encode()
        write_archive(path, {**members, "objects/0.skops": content})

    return spoil


def zip_of(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


TOGETHER = "does not hold together"
UNREAD = ("holds what no saved model does", "nothing of it was read")
SAVED = [
    bad("no file", lambda path: path.unlink(), "There is no file", "model.skhf", error=FileNotFoundError),
    bad("folder", folder, "model.skhf", "is a folder"),
    bad("empty file", only(b""), "model.skhf", "is no model that save_model wrote"),
    bad("text", only(b"id,age\np10,70\n"), "model.skhf", "is no model that save_model wrote"),
    bad("pickle", only(b"\x80\x04K\x03."), "model.skhf", "is no model that save_model wrote"),
    bad("cut after a byte", only(b"P"), "model.skhf", "is no model", "cut short"),
    bad("cut in the middle", cut(0.5), "model.skhf", "is no model", "cut short"),
    bad("cut by a byte", cut(1), "model.skhf", "is no model", "cut short"),
    bad("zip of other things", zipped(card="no manifest"), "model.skhf", *UNREAD, "'card'"),
    bad("zip of a card alone", zipped(**{"card.md": "no manifest"}), "is no model"),
    bad("manifest that is no JSON", zipped(**{"manifest.json": "{"}), "is no model"),
    bad("manifest of something else", zipped(**{"manifest.json": "[]"}), "is no model"),
    bad("without its JSON", without("model.json"), "lacks its member 'model.json'"),
    bad("without its arrays", without("arrays.safetensors"), "lacks its member 'arrays.safetensors'"),
    bad("JSON that is none", with_member("model.json", b"{"), "model.json is no JSON"),
    bad("JSON of a list", with_member("model.json", b"[]"), "names no format that save_model writes"),
    bad("JSON of endless brackets", with_member("model.json", b"[" * 100_000), "model.json is no JSON"),
    bad("JSON without a model", with_member("model.json", b'{"format": 1}'), "names no format"),
    bad("arrays that are none", with_member("arrays.safetensors", b"x" * 100), TOGETHER),
    bad("format of zero", changed(lambda model: model.update(format=0)), "names no format", "0"),
    bad("format of text", changed(lambda model: model.update(format="1")), "names no format", "'1'"),
    bad("newer format", changed(newer), "is of format 99", "saved by version '7.1'", "install that one"),
    bad("model that is a list", changed(lambda model: model.update(model=[])), "which is no estimator"),
    bad("type of the system", changed(lambda model: model["model"].update(type="os.system")), "os.system"),
    bad("model without a state", changed(lambda model: model["model"].pop("state")), TOGETHER, "state"),
    bad("mark of no kind", changed(lambda model: model["model"].update({"$": "exec"})), "exec"),
    bad("network beyond any memory", architecture(base_channels=10**9), "There is no network"),
    bad("network of other widths", architecture(base_channels=7), "The weights are not those"),
    bad("network of another fusion", architecture(fusion="image"), "The weights are not those"),
    bad("network of endless layers", architecture(hyper_depth=10**9), "has no 1000000000 layers"),
    bad("network with a stranger", architecture(stranger=1), TOGETHER, "stranger"),
    bad("weights at a path", changed(lambda model: model["model"]["state"]["network"].update(
        weights="../../etc/passwd")), "lacks its member '../../etc/passwd'"),
    bad("weights of another shape", other_weights, "'head.output.weight' is of shape (5, 5) in the file"),
    bad("names of an absurd shape", names(shape=[10**12]), TOGETHER),
    bad("names of an absurd width", names(dtype="<U1000000000"), "is none that save", "U1000000000"),
    *[
        bad(f"member {name!r}", smuggled(name), *UNREAD)
        for name in ("../evil", "/tmp/evil", "weights/../../evil", "weights\\0.safetensors", "a.py")
    ],
    bad("member of the manifest alone", smuggled("weights/9.safetensors"), "model.skhf"),
    bad("object that is no zip", with_object(b"x" * 100), "objects/0.skops", "cannot be unpacked"),
    bad("object of other things", with_object(zip_of(readme=b"x")), "objects/0.skops",
        "cannot be read by skops"),
    bad("object with a bomb", with_object(zip_of(zeros=bytes(64 << 20))), "objects/0.skops", "'zeros'",
        "would grow from"),
    bad("bomb", with_bomb("weights/9.safetensors", bytes(64 << 20)), "would grow from",
        "nothing of it was read"),
]  # fmt: skip
