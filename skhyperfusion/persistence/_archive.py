"""The file of a saved model: a zip of a few members, whole or not at all, checked before it is read."""

import hashlib
import io
import json
import math
import os
import re
import zipfile

from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic

from skhyperfusion._files import write_whole
from skhyperfusion._wording import listing, show

MANIFEST = "manifest.json"
#: Members that a file may have, and nothing else: no folders, no names that lead out of one.
_MEMBER = re.compile(r"manifest\.json|model\.json|card\.md|arrays\.safetensors|weights/\d{1,4}\.safetensors|"
                     r"objects/\d{1,4}\.skops")  # fmt: skip
#: A zip of zeros unpacks to a thousand times its size; weights and tables do not.
_MOST_MEMBERS, _MOST_COMPRESSION, _SMALL = 4096, 500, 1 << 20
_MOST_MANIFEST = 1 << 20


class DamagedFileError(ValueError):
    """A file is no saved model, or was changed or cut since it was written."""


def write_archive(path, members):
    """Write members to a zip; a crash on the way leaves what stood at `path` before.

    Parameters
    ----------
    path : path
        The file to make or to replace.
    members : dict of str to bytes
        Contents by name. A manifest of their sizes and SHA-256 sums is added.
    """
    path = os.path.abspath(os.fspath(path))
    folder = os.path.dirname(path)
    if os.path.isdir(path) or not os.path.isdir(folder):
        found = "is a folder" if os.path.isdir(path) else f"lies in {folder!r}, which is no folder"
        raise ValueError(f"A model cannot be saved to {path!r}: it {found}. Give the path of a file.")
    sums = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in members.items()
    }

    contents = {MANIFEST: json.dumps(sums, indent=1), **members}

    def write(file):
        if too_small := _write_zip(file, contents):
            file.seek(0)
            file.truncate()
            _write_zip(file, contents, stored=too_small)

    write_whole(path, write)


def _write_zip(file, contents, stored=()):
    """Write a zip, and return the members that shrink so far that `Archive` takes them for a bomb.

    A mask, or the coefficients of a sparse model, are hardly anything but zeros: as `stored`, they stay long.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data, zipfile.ZIP_STORED if name in stored else None)
        return [info.filename for info in archive.infolist() if _shrinks_too_far(info)]


def _shrinks_too_far(info):
    return info.file_size > max(_SMALL, _MOST_COMPRESSION * info.compress_size)


class Archive:
    """The members of a saved model, each checked against the manifest when it is read.

    Parameters
    ----------
    path : path
        A file that `write_archive` made.
    max_bytes : int
        Unpacked size of all members together, above which the file is refused before anything is unpacked.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DamagedFileError
        If it is no such file, was changed or cut, or unpacks to more than `max_bytes`.
    """

    def __init__(self, path, max_bytes):
        self.path = os.fspath(path)
        self._max_bytes = max_bytes
        if os.path.isdir(self.path):
            raise DamagedFileError(f"{self.path!r} is a folder, not the file of a saved model.")
        try:
            # The file is kept open: it cannot be exchanged between the check and the reading.
            self._file = open(self.path, "rb")  # noqa: SIM115
        except FileNotFoundError as error:
            raise FileNotFoundError(f"There is no file {self.path!r} to load a model from.") from error
        try:
            self._zip = zipfile.ZipFile(self._file)
            self._check_members()
            self._sums = self._read_manifest()
        except BaseException as error:
            self._file.close()
            if isinstance(error, DamagedFileError | KeyboardInterrupt | MemoryError):
                raise
            # Arbitrary bytes make the readers of zip and JSON raise nearly anything.
            raise DamagedFileError(
                f"{self.path!r} is no model that save_model wrote, or it was cut short or changed: {error}"
            ) from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def __contains__(self, name):
        return name in self._sums

    def read(self, name):
        """Return the bytes of a member.

        Raises
        ------
        DamagedFileError
            If there is none of that name, or its bytes are not those that were written.
        """
        if name not in self._sums:
            raise DamagedFileError(f"{self.path!r} lacks its member {show(name)}: it was cut or changed.")
        data = self._unpack(name, self._sums[name]["size"])
        if hashlib.sha256(data).hexdigest() != self._sums[name]["sha256"]:
            raise DamagedFileError(
                f"{self.path!r}, member {name!r}: its bytes are not those that were saved. "
                "Copy the file anew."
            )
        return data

    def read_zip(self, name):
        """Return the bytes of a member that is a zip itself; its own sizes are checked as the file's are.

        Raises
        ------
        DamagedFileError
            As `read`; if a size is none of a model's, or an array states another than it has.
        """
        data = self.read(name)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as inner:
                infos = inner.infolist()
                self._check_sizes(infos, f", member {name!r}")
                false = [info.filename for info in infos if not _holds_its_array(inner, info)]
        except DamagedFileError:
            raise
        except Exception as error:  # as above
            raise DamagedFileError(f"{self.path!r}, member {name!r} cannot be unpacked: {error}") from error
        if false:
            raise DamagedFileError(
                f"{self.path!r}, member {name!r}: arrays are not of the size that they state "
                f"({listing(false, noun='array')}). Nothing was made of them."
            )
        return data

    def _unpack(self, name, size):
        try:
            with self._zip.open(name) as member:
                data = member.read(size + 1)
        except Exception as error:  # as above
            raise DamagedFileError(f"{self.path!r}, member {name!r} cannot be unpacked: {error}") from error
        if len(data) != size:
            raise DamagedFileError(
                f"{self.path!r}, member {name!r} has another length than the {size} bytes that were saved."
            )
        return data

    def _check_members(self):
        infos = self._zip.infolist()
        names = [info.filename for info in infos]
        strange = [name for name in names if not _MEMBER.fullmatch(name)]
        if strange or len(names) > _MOST_MEMBERS or len(set(names)) < len(names):
            found = listing(strange, noun="member") if strange else f"{len(names)} members, some of one name"
            raise DamagedFileError(
                f"{self.path!r} holds what no saved model does ({found}); nothing of it was read."
            )
        self._check_sizes(infos)

    def _check_sizes(self, infos, inside=""):
        for info in infos:
            if _shrinks_too_far(info):
                raise DamagedFileError(
                    f"{self.path!r}{inside}, member {info.filename!r} would grow from {info.compress_size} "
                    f"to {info.file_size} bytes, which no model does; nothing of it was read."
                )
        total = sum(info.file_size for info in infos)
        if total > self._max_bytes:
            raise DamagedFileError(
                f"{self.path!r}{inside} unpacks to {total} bytes, more than max_bytes={self._max_bytes}. "
                "Raise max_bytes if you know the file to be a model of that size."
            )

    def _read_manifest(self):
        size = self._zip.getinfo(MANIFEST).file_size
        if size > _MOST_MANIFEST:
            raise DamagedFileError(f"{self.path!r}: its manifest of {size} bytes is no manifest.")
        sums = json.loads(self._unpack(MANIFEST, size))
        sizes = {info.filename: info.file_size for info in self._zip.infolist() if info.filename != MANIFEST}
        stated = {name: entry["size"] for name, entry in sums.items()}
        if sizes != stated:
            differing = sorted(set(sizes.items()) ^ set(stated.items()))
            raise DamagedFileError(
                f"{self.path!r}: members are not those of its manifest "
                f"({listing(sorted({name for name, _ in differing}), noun='member')}); it was cut or changed."
            )
        return sums


def _holds_its_array(nested, info):
    """Tell whether a .npy in a zip is as long as its header says; what is no .npy is."""
    if not info.filename.endswith(".npy"):
        return True
    with nested.open(info) as file:
        read = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}[read_magic(file)]
        shape, _, dtype = read(file)
        return info.file_size == file.tell() + math.prod(shape) * dtype.itemsize
