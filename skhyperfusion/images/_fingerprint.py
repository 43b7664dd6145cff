"""Names for callables in cache keys: equal for equal code and state, in every process."""

from __future__ import annotations

import builtins
import copyreg
import dis
import functools
import hashlib
import importlib
import operator
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable
from typing import Any

import joblib
import numpy as np


def fingerprint(function: Callable | tuple) -> str | None:
    """Return a text that changes with all that decides what `function` (or several) returns, or None.

    A function is known by its bytecode, its defaults, what it has captured, and the globals that it reads,
    those of the functions it calls included; not by its name, so that an edited function does not find what
    its former self has left in a cache folder. An object is known by its class's code and its state. What
    is installed (the standard library, NumPy) is known by name and version.

    None where something of this cannot be looked into, such as an open file or a lock: two such callables
    cannot be told apart, and nothing may be shared between them.
    """
    try:
        return _Walk().digest(function)
    except (_UnknownStateError, RecursionError):
        return None


class _UnknownStateError(Exception):
    """Something whose state cannot be looked into."""


_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented), range)


class _Walk:
    """One walk over all that a callable refers to."""

    def __init__(self) -> None:
        self._open: list[int] = []  # ids from the callable down to where the walk is
        self._done: dict[int, tuple[str, Any]] = {}  # with the object, so that no other gets its id

    def digest(self, value: Any) -> str:
        """Return a text that tells `value` from every other, and is the same in every process."""
        if type(value) in _PLAIN:
            return f"{type(value).__name__} {value!r}"
        if id(value) in self._done:
            return self._done[id(value)][0]
        if id(value) in self._open:
            return f"the one {len(self._open) - self._open.index(id(value))} above"
        self._open.append(id(value))
        kind, parts = self._parts(value)
        self._open.pop()
        text = repr((kind, parts)).encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(text).hexdigest()
        self._done[id(value)] = digest, value
        return digest

    def _parts(self, value: Any) -> tuple[str, Any]:
        if isinstance(value, np.ndarray | np.generic | np.dtype) and not _holds_objects(value):
            return "array", joblib.hash(value)
        if type(value) in _CONTAINERS:
            return type(value).__name__, _CONTAINERS[type(value)](self, value)
        for kind, of_kind in _KINDS:
            if isinstance(value, kind):
                return kind.__name__, of_kind(self, value)
        return "object", self._object(value)

    def _items(self, values: Iterable[Any]) -> list[str]:
        return [self.digest(value) for value in values]

    def _set(self, values: Iterable[Any]) -> list[str]:
        return sorted(self._items(values))  # texts have another order in every process

    def _dict(self, value: dict) -> list[tuple[str, str]]:
        return [(self.digest(key), self.digest(item)) for key, item in value.items()]

    def _partial(self, value: functools.partial) -> list[str]:
        return self._items([value.func, value.args, dict(sorted(value.keywords.items()))])

    def _method(self, value: types.MethodType) -> list[str]:
        return self._items([value.__func__, value.__self__])

    def _builtin(self, value: types.BuiltinFunctionType) -> tuple:
        owner = value.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            return _named(value.__module__ or "builtins", value.__qualname__)
        return value.__qualname__, self.digest(owner)

    def _function(self, value: types.FunctionType) -> tuple:
        if _is_installed_as(value.__module__, value.__qualname__, value):
            return _named(value.__module__, value.__qualname__)
        names = _names(value.__code__, ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"))
        asked_for = sorted(names | _texts(value.__code__))  # such as getattr(settings, "FACTOR")
        captured = [self._global(_content(cell), asked_for) for cell in value.__closure__ or ()]
        rest = self._items([value.__defaults__, value.__kwdefaults__, vars(value)])
        return self._code(value.__code__), rest, captured, self._globals(value, asked_for)

    def _code(self, code: types.CodeType) -> tuple:
        constants = [
            self._code(constant) if isinstance(constant, types.CodeType) else self.digest(constant)
            for constant in code.co_consts
        ]
        signature = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return code.co_code, code.co_exceptiontable, signature, names, constants

    def _globals(self, function: types.FunctionType, asked_for: list[str]) -> list[tuple[str, Any]]:
        """Return the globals and imported modules that a function, and the functions within it, read."""
        code, namespace = function.__code__, function.__globals__
        found: list[tuple[str, Any]] = []
        for name in sorted(_names(code, ("LOAD_GLOBAL", "LOAD_NAME"))):
            if name in namespace:
                found.append((name, self._global(namespace[name], asked_for)))
            elif not hasattr(builtins, name):
                found.append((name, "not defined"))
        for name in sorted(_names(code, ("IMPORT_NAME",))):
            found.append((name, self._global(_imported(name, namespace.get("__package__")), asked_for)))
        return found

    def _global(self, value: Any, asked_for: list[str]) -> Any:
        """Return what tells a value that code reads; of a user's module, all that it may ask it for."""
        if not isinstance(value, types.ModuleType) or _is_installed(value.__name__):
            return self.digest(value)
        if id(value) in self._open:
            return value.__name__
        self._open.append(id(value))
        content = vars(value)
        parts = [(name, self._global(content[name], asked_for)) for name in asked_for if name in content]
        self._open.pop()
        return value.__name__, parts

    def _module(self, value: types.ModuleType) -> tuple[str, str, str]:
        if not _is_installed(value.__name__):  # handed about as a value: what it is asked for is not known
            raise _UnknownStateError(value.__name__)
        return _named(value.__name__, "")

    def _class(self, value: type) -> Any:
        if _is_installed(value.__module__):
            return _named(value.__module__, value.__qualname__)
        own = {name: item for name, item in sorted(vars(value).items()) if name not in _NO_BEHAVIOUR}
        return self._items([value.__bases__, type(value), own])

    def _object(self, value: Any) -> Any:
        """Return class and state of an object, taken apart as pickle does it."""
        kind = type(value)
        try:
            reduce = copyreg.dispatch_table.get(kind)
            reduced = value.__reduce_ex__(2) if reduce is None else reduce(value)
        except Exception as error:  # whatever an unknown object raises that is not to be pickled
            raise _UnknownStateError(kind.__qualname__) from error
        if not isinstance(reduced, str):
            # How it is made, of what, its state, its items: the last two are iterators.
            made, (items, pairs) = reduced[:3], (*reduced[3:5], None, None)[:2]
            return self._items([kind, *made, list(items or ()), list(pairs or ())])
        if hasattr(value, "__wrapped__"):  # functools.lru_cache
            return self._items([kind, value.__wrapped__])
        for module in (getattr(value, "__module__", None), kind.__module__):
            if module is not None and _is_installed_as(module, reduced, value):
                return _named(module, reduced)
        raise _UnknownStateError(reduced)


_CONTAINERS: dict[type, Callable[[_Walk, Any], Any]] = {
    list: _Walk._items,
    tuple: _Walk._items,
    dict: _Walk._dict,
    types.MappingProxyType: _Walk._dict,
    set: _Walk._set,
    frozenset: _Walk._set,
}
_KINDS: tuple[tuple[type, Callable[[_Walk, Any], Any]], ...] = (
    (functools.partial, _Walk._partial),
    (types.MethodType, _Walk._method),
    (types.FunctionType, _Walk._function),
    (types.BuiltinFunctionType, _Walk._builtin),
    (types.ModuleType, _Walk._module),
    (type, _Walk._class),
    (property, lambda walk, value: walk._items([value.fget, value.fset])),
    (functools.cached_property, lambda walk, value: walk.digest(value.func)),
    (staticmethod, lambda walk, value: walk.digest(value.__func__)),
    (classmethod, lambda walk, value: walk.digest(value.__func__)),
)
# Of a class: names, places and notes, of which no result depends.
_NO_BEHAVIOUR = {
    *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__firstlineno__"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
    *("__static_attributes__", "__abstractmethods__", "_abc_impl"),
}


def _holds_objects(value: np.ndarray | np.generic | np.dtype) -> bool:
    return (value if isinstance(value, np.dtype) else value.dtype).hasobject


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return ...


def _names(code: types.CodeType, operations: tuple[str, ...]) -> set[str]:
    found = {step.argval for step in dis.get_instructions(code) if step.opname in operations}
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return found.union(*(_names(one, operations) for one in inner))


def _texts(code: types.CodeType) -> set[str]:
    found = {constant for constant in code.co_consts if isinstance(constant, str)}
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return found.union(*(_texts(one) for one in inner))


def _imported(name: str, package: str | None) -> Any:
    """Return the module that ``import name`` within a function gives; None where there is none."""
    for place in (name, f".{name}" if package else name):
        try:
            return importlib.import_module(place, package)
        except ImportError:  # an optional one, or a relative import
            continue
        except Exception as error:  # a module may do anything while it is imported
            raise _UnknownStateError(name) from error
    return None


def _named(module: str, name: str) -> tuple[str, str, str]:
    top = sys.modules.get(module.partition(".")[0])
    return module, name, str(getattr(top, "__version__", sys.version_info[:2]))


@functools.cache
def _installed_folders() -> tuple[str, ...]:
    return tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _is_installed(name: str) -> bool:
    """Tell whether a module is no user's own: it then changes with its version alone."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None:
        return name.partition(".")[0] in sys.stdlib_module_names and name != "__main__"
    return file.startswith(_installed_folders()) or "site-packages" in file or "dist-packages" in file


def _is_installed_as(module: str | None, name: str, value: Any) -> bool:
    if module is None or not _is_installed(module):
        return False
    try:
        return operator.attrgetter(name)(sys.modules[module]) is value
    except (AttributeError, KeyError):  # made inside a function, such as a decorated one
        return False
