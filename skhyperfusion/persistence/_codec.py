"""Fitted objects as JSON, arrays and skops, and back: nothing of a file is ever run."""

import functools
import io
import math
import os
import types
from collections.abc import Sequence

import numpy as np
import pandas as pd

from skhyperfusion._optional import import_optional
from skhyperfusion._table._cells import object_array
from skhyperfusion._wording import listing, show
from skhyperfusion.persistence._archive import DamagedFileError
from skhyperfusion.persistence._registry import FUNCTIONS, OURS, SKOPS_TYPES, NotSaved, function_name, name_of

#: The key that tells an encoded object from a dict of the user's; such a dict is encoded as pairs.
TAG = "$"
_NUMERIC = "biuf"
_WIDEST = 1 << 14  # bytes of a cell of text: a file must not ask for more than it brings


class Encoder:
    """Takes objects apart into JSON, with arrays, networks and scikit-learn's objects on the side.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Numeric arrays.
    members : dict of str to bytes
        Members of the archive: objects of scikit-learn by skops, weights of networks.
    """

    def __init__(self):
        self.arrays = {}
        self.members = {}
        self._places = {}  # id of an object that occurs again -> its number
        self._alive = []  # else an id might be given to another object

    def encode(self, value, where):
        """Return the JSON of a value.

        Parameters
        ----------
        value : object
        where : str
            Which attribute or parameter it is, for the message.

        Raises
        ------
        TypeError
            If no file can hold it.
        """
        if value is None or isinstance(value, bool | str) or type(value) is int:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {TAG: "float", "value": repr(value)}
        for kinds, encode in self._kinds():
            if isinstance(value, kinds):
                return encode(value, where)
        return self._object(value, where)

    def _kinds(self):
        return (
            (np.generic, self._scalar),
            (np.ndarray, self._array),
            (pd.DataFrame, self._frame),
            (np.random.RandomState, self._random_state),
            (os.PathLike, lambda value, where: {TAG: "path", "value": os.fspath(value)}),
            (type | types.FunctionType | types.BuiltinFunctionType | types.MethodType, self._callable),
            (functools.partial, self._callable),
        )

    def _object(self, value, where):
        name = name_of(type(value))
        if name is None and type(value) in (list, tuple):
            items = [self.encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
            return items if type(value) is list else {TAG: "tuple", "items": items}
        if type(value) is dict:
            return self._dict(value, where)
        if type(value) in (set, frozenset):
            items = [self.encode(item, where) for item in sorted(value, key=repr)]
            return {TAG: type(value).__name__, "items": items}
        if id(value) in self._places:
            return {TAG: "again", "number": self._places[id(value)]}
        number = self._places[id(value)] = len(self._places)
        self._alive.append(value)
        if name is None:
            return {TAG: "skops", "number": number, "member": self._skops(value, where)}
        state = OURS[name].take_apart(value, self)
        encoded = {key: self.encode(item, f"{where}.{key}") for key, item in state.items()}
        return {TAG: "object", "number": number, "type": name, "state": encoded}

    def _dict(self, value, where):
        if all(type(key) is str for key in value) and TAG not in value:
            return {key: self.encode(item, f"{where}[{key!r}]") for key, item in value.items()}
        pairs = [[self.encode(key, where), self.encode(item, where)] for key, item in value.items()]
        return {TAG: "dict", "pairs": pairs}

    def _scalar(self, value, where):
        if isinstance(value, np.str_ | np.bool_ | np.number) and not isinstance(value, np.complexfloating):
            return {TAG: "scalar", "dtype": value.dtype.str, "value": self.encode(value.item(), where)}
        raise TypeError(_unsavable(where, value))

    def _array(self, value, where):
        if value.dtype.kind in _NUMERIC:
            key = str(len(self.arrays))
            # safetensors holds plain arrays of the processor's own order.
            self.arrays[key] = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
            return {TAG: "array", "key": key, "shape": list(value.shape)}
        if value.dtype.kind in "UO":
            items = [self.encode(item, where) for item in value.ravel().tolist()]
            dtype = "O" if value.dtype.kind == "O" else value.dtype.str
            return {TAG: "items", "dtype": dtype, "shape": list(value.shape), "items": items}
        raise TypeError(_unsavable(where, value))

    def _frame(self, value, where):
        columns = [
            [
                name,
                self.encode(column.to_numpy(dtype=None if column.dtype.kind in _NUMERIC else object), where),
            ]
            for name, column in value.items()
        ]
        return {TAG: "frame", "columns": columns}

    def _random_state(self, value, where):
        return {TAG: "random_state", "state": self.encode(value.get_state(legacy=True), where)}

    def _callable(self, value, where):
        if (name := function_name(value)) is not None:
            return {TAG: "function", "name": name}
        if isinstance(value, functools.partial):
            what = f"functools.partial of {_qualified_name(value.func)}"
        else:
            what = f"{'class' if isinstance(value, type) else 'function'} {_qualified_name(value)}"
        return {TAG: "not saved", "what": what}

    def _skops(self, value, where):
        skops = import_optional("skops.io", "save_model", extra="safe")
        try:
            data = skops.dumps(value)
            untrusted = skops.get_untrusted_types(data=data)
        except Exception as error:  # skops says of each object in its own way that it cannot
            raise TypeError(_unsavable(where, value)) from error
        ours = [name for name in untrusted if name.startswith("skhyperfusion.") and name not in SKOPS_TYPES]
        broken = [name for name in untrusted if name.startswith(("torch.", "skorch."))]
        if ours or broken:
            raise TypeError(
                f"{where} is a {type(value).__name__} that holds {listing(ours + broken, noun='type')}, "
                "which no file can hold there safely. Save the estimators inside it one by one."
            )
        member = f"objects/{len(self.members)}.skops"
        self.members[member] = data
        return member


def _qualified_name(function):
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"


def _unsavable(where, value):
    return (
        f"{where} is {show(value)} (a {type(value).__module__}.{type(value).__qualname__}), which the "
        "file of "
        "a model cannot hold. Use joblib.dump where you trust the reader, or another value."
    )


class Decoder:
    """Puts together what `Encoder` took apart.

    Parameters
    ----------
    archive : Archive
        For the members that JSON refers to.
    arrays : dict of str to ndarray
        Numeric arrays.
    trusted : sequence of str
        Types that the caller trusts beyond the loader's own list.
    overrides : dict of str to object
        Parameters that the file does not hold, by their names.

    Attributes
    ----------
    used : set of str
        Names of what was given and had its place.
    """

    def __init__(self, archive, arrays, trusted, overrides):
        self.archive = archive
        self._arrays = arrays
        self._trusted = tuple(trusted)
        self._overrides = overrides
        self.used = set()
        self._made = {}

    @property
    def made(self):
        """The objects that were put together, each once."""
        return list(self._made.values())

    def decode(self, node):
        """Return the value of a JSON node."""
        if isinstance(node, list):
            return [self.decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        if TAG not in node:
            return self._entries(node)
        decode = self._KINDS.get(node[TAG])
        if decode is None:
            raise DamagedFileError(f"A node of the model's JSON is of the unknown kind {show(node[TAG])}.")
        return decode(self, node)

    def _entries(self, node):
        """Decode the values of a dict; what the file does not hold of them comes from the caller."""
        missing = {key for key, item in node.items() if _is_missing(item) and key in self._overrides}
        self.used |= missing
        return {
            key: self._overrides[key] if key in missing else self.decode(item) for key, item in node.items()
        }

    def _float(self, node):
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[node["value"]]

    def _scalar(self, node):
        return _plain_dtype(node["dtype"]).type(self.decode(node["value"]))

    def _array(self, node):
        return self._arrays[node["key"]].reshape(node["shape"]).copy()

    def _items(self, node):
        items = [self.decode(item) for item in node["items"]]
        array = object_array(items).reshape(node["shape"])
        return array if node["dtype"] == "O" else array.astype(_plain_dtype(node["dtype"]))

    def _frame(self, node):
        return pd.DataFrame({name: self.decode(column) for name, column in node["columns"]})

    def _random_state(self, node):
        random_state = np.random.RandomState()
        random_state.set_state(self.decode(node["state"]))
        return random_state

    def _object(self, node):
        name = node["type"]
        if name not in OURS:
            raise DamagedFileError(
                f"The file names the type {show(name)}, which load_model does not make. It was saved by "
                "another "
                "version of the package, or not by save_model."
            )
        value = OURS[name].new()
        self._made[node["number"]] = value  # before its state, which may refer to it
        state = self._entries(node["state"])
        made = OURS[name].put_together(value, state, self)
        self._made[node["number"]] = made
        return made

    def _skops(self, node):
        skops = import_optional("skops.io", "load_model", extra="safe")
        data = self.archive.read_zip(node["member"])
        try:
            types_ = skops.get_untrusted_types(data=data)
            strange = [name for name in types_ if name not in SKOPS_TYPES and name not in self._trusted]
            value = None if strange else skops.load(io.BytesIO(data), trusted=types_)
        except ImportError:
            raise
        except Exception as error:  # arbitrary bytes make skops raise nearly anything
            raise DamagedFileError(
                f"{self.archive.path!r}, member {node['member']!r} cannot be read by skops: {error}"
            ) from error
        if strange:
            raise UntrustedTypesError(strange)
        self._made[node["number"]] = value
        return value

    _KINDS = {  # noqa: RUF012
        "float": _float,
        "tuple": lambda self, node: tuple(self.decode(item) for item in node["items"]),
        "set": lambda self, node: {self.decode(item) for item in node["items"]},
        "frozenset": lambda self, node: frozenset(self.decode(item) for item in node["items"]),
        "dict": lambda self, node: {self.decode(key): self.decode(item) for key, item in node["pairs"]},
        "scalar": _scalar,
        "array": _array,
        "items": _items,
        "frame": _frame,
        "random_state": _random_state,
        "path": lambda self, node: node["value"],
        "function": lambda self, node: FUNCTIONS[node["name"]],
        "not saved": lambda self, node: NotSaved(node["what"]),
        "again": lambda self, node: self._made[node["number"]],
        "object": _object,
        "skops": _skops,
    }


class UntrustedTypesError(ValueError):
    """A file holds objects of types that neither the loader nor the caller trusts."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        super().__init__(
            "The file holds objects of types that load_model does not trust "
            f"({listing(names, noun='type')}). If you know them and the file's origin, pass "
            f"trusted={self.names!r}."
        )

    def __reduce__(self) -> tuple[type, tuple[list[str]]]:
        return type(self), (self.names,)  # else a copy from a worker took the message for the names


def _is_missing(node):
    return isinstance(node, dict) and node.get(TAG) == "not saved"


def _plain_dtype(name):
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError):
        dtype = np.dtype(object)  # none that is plain either
    # NumPy 1 lets the size of an absurd width run over, below nothing.
    if dtype.kind not in _NUMERIC + "U" or not 0 <= dtype.itemsize <= _WIDEST:
        raise DamagedFileError(f"An array of the dtype {show(name)} is none that save_model writes.")
    return dtype
