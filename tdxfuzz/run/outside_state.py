"""State of a design outside of cells: what its code can keep where no step announces it.

Races on such state are not seen, and no world puts it back: what one run leaves there, the next
run meets. So nothing of it may change after ``setup``. Looked at are

* the attributes of the design's object, and of a KVM of the user's;
* the attributes of its class, and of each class that its code names;
* the module globals that its code names, the variables around each function, its default values
  and its attributes.

Cells and other objects of tdxfuzz count as fixed: what they hold is in the key of a state. So do
modules, objects of libraries outside of the standard one, and objects whose content cannot be
read. A cache of :mod:`functools` may fill up: it answers as the function does. That does not hold
for a method of the design, because what cells hold may change: its cache counts.
"""

from __future__ import annotations

import sys
import sysconfig
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import lru_cache, partial
from itertools import count, repeat
from pathlib import Path
from random import Random
from types import (
    BuiltinMethodType,
    CodeType,
    FunctionType,
    GeneratorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)

from attrs import define, field, frozen

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.kvm import Kvm

Outside = Mapping[str, object]
"""For each place, in words, a value that equals that of a later look if nothing changed there."""

_ATOMS = (int, str, bytes, complex, range, type(None))
_REACH_ANY_GLOBAL = frozenset({"globals", "vars", "eval", "exec", "getattr", "setattr", "delattr"})
_MADE_BY_PYTHON = frozenset({"__dict__", "__weakref__", "__doc__", "__annotations__"})
_LIBRARIES = tuple({str(Path(sysconfig.get_path(name))) for name in ("purelib", "platlib")})
_MOST_DEPTH = 50
"""Objects inside of objects are looked into this deep."""


def outside_state(layer: RefcountLayer, kvm: Kvm | None = None) -> Outside:
    """What a design, and the KVM it runs under, keep outside of cells now: to be asked once its
    ``setup`` has run, and again when a run has ended. :func:`changed` compares two such looks.
    """
    return _Look(layer, kvm).seen


def changed(before: Outside, after: Outside) -> list[str]:
    """The places in which two looks at one design differ, in words; empty if nothing changed.

    Examples: ``module global COUNT of mylayer.py``, ``class attribute Layer.seen``,
    ``self.table of Layer``, ``variable n around Layer.get() of mylayer.py``.
    """
    now = [place for place, value in after.items() if before.get(place, _MISSING) != value]
    return now + [place for place in before if place not in after]


@frozen(eq=False)
class _Same:
    """An object that is compared by what it is, not by what it holds."""

    thing: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)


_MISSING = _Same(object())
_Cached = type(lru_cache(str))
"""What :func:`functools.lru_cache` makes of a function."""


@define
class _Look:
    """One look: ``seen`` grows while functions and classes that turn up are looked at in turn."""

    layer: RefcountLayer
    kvm: Kvm | None
    seen: dict[str, object] = field(factory=dict)
    _todo: list[FunctionType | type] = field(factory=list)
    _reached: set[int] = field(factory=set)
    _own: str = ""

    def __attrs_post_init__(self) -> None:
        for owner, base in ((self.layer, RefcountLayer.__annotations__), (self.kvm, ("host",))):
            kind = type(owner)
            for name, value in _attributes(owner):
                if name not in base:
                    self._note(f"self.{name} of {kind.__name__}", value)
            if owner is not None and not _is_ours(kind):
                self._own = self._own or kind.__module__.partition(".")[0]
                self._todo += [each for each in kind.__mro__[:-1] if each not in self._todo]
        self._reached |= set(map(id, self._todo))
        while self._todo:
            thing = self._todo.pop(0)
            if isinstance(thing, FunctionType):
                self._look_at_function(thing)
            else:
                self._look_at_class(thing)

    def _note(self, place: str, value: object) -> None:
        number, name = 1, place
        while name in self.seen:
            number += 1
            name = f"{place} ({number})"
        self.seen[name] = self._content(value, {}, _MOST_DEPTH)

    def _reach(self, thing: FunctionType | type) -> None:
        module = thing.__module__
        if isinstance(thing, FunctionType):
            # A wrapper of Python's own may bear the name of what it wraps.
            module = str(thing.__globals__.get("__name__", module))
        if id(thing) not in self._reached and self._is_theirs(module):
            self._reached.add(id(thing))
            self._todo.append(thing)

    def _is_theirs(self, module: str | None) -> bool:
        """Whether a module is of the design's author."""
        return _is_theirs(module or "", self._own)

    def _look_at_class(self, kind: type) -> None:
        for name, value in vars(kind).items():
            if name in _MADE_BY_PYTHON:
                continue
            self._note(f"class attribute {kind.__name__}.{name}", value)
            if isinstance(value, _Cached) and issubclass(kind, RefcountLayer | Kvm):
                self._note(f"cache of {kind.__name__}.{name}()", value.cache_info().misses)
        for base in kind.__bases__:
            self._reach(base)

    def _look_at_function(self, function: FunctionType) -> None:
        file = _file_of(function.__globals__)
        name = f"{function.__qualname__.rpartition('<locals>.')[2]}() of {file}"
        for argument, value in _defaults(function):
            self._note(f"default value of {argument} in {name}", value)
        around = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for variable, cell in around:
            try:
                value = cell.cell_contents
            except ValueError:
                continue  # it is assigned later
            if variable != "__class__":
                self._note(f"variable {variable} around {name}", value)
        for attribute, value in vars(function).items():
            self._note(f"attribute {attribute} of {name}", value)
        self._look_at_globals(function.__globals__, _names_in(function.__code__))

    def _look_at_globals(self, variables: Mapping[str, object], named: frozenset[str]) -> None:
        """The globals of a module that some code may read or write."""
        names: Iterable[str] = named
        if not named.isdisjoint(_REACH_ANY_GLOBAL):
            names = [name for name in variables if not name.startswith("__")]
        file = _file_of(variables)
        for name in sorted(names):
            place = f"module global {name} of {file}"
            value = variables.get(name, _MISSING)
            if value is _MISSING or place in self.seen:
                continue
            self._note(place, value)
            if isinstance(value, ModuleType) and self._is_theirs(value.__name__):
                self._look_at_globals(vars(value), named)

    def _content(self, value: object, above: dict[int, int], depth: int) -> object:
        """A value that equals that of a later look if nothing has changed in it.

        ``above`` are the objects that it is part of.
        """
        kind = type(value)
        if isinstance(value, _ATOMS) and not isinstance(value, Enum):
            return kind, value
        if kind is float:
            return repr(value)
        if isinstance(value, type | FunctionType | ModuleType):
            if not isinstance(value, ModuleType):
                self._reach(value)
            return _Same(value)
        if id(value) in above:
            return "part of itself", above[id(value)]
        if not depth or _is_ours(kind) or not self._can_be_read(kind):
            return _Same(value)
        if self._is_theirs(kind.__module__):
            self._reach(kind)
        inner = {**above, id(value): len(above)}
        parts = _parts(value)
        held = None if parts is None else [self._content(p, inner, depth - 1) for p in parts]
        own = {name: self._content(each, inner, depth - 1) for name, each in _attributes(value)}
        if held is None and not own:
            return _Same(value)
        return _Same(kind), held, own

    def _can_be_read(self, kind: type) -> bool:
        module = kind.__module__.partition(".")[0]
        if module == "logging":
            return False  # a logger remembers which levels it was asked for
        return module in sys.stdlib_module_names or self._is_theirs(kind.__module__)


def _is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "tdxfuzz"


@lru_cache(maxsize=1024)
def _is_theirs(module: str, own: str) -> bool:
    """Whether a module is of a design's author, whose package is ``own``: not of Python, of
    tdxfuzz, or of an installed library.
    """
    package = module.partition(".")[0]
    if package in ("", "tdxfuzz", "builtins") or package in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return package == own or not file.startswith(_LIBRARIES)


@lru_cache(maxsize=4096)
def _names_in(code: CodeType) -> frozenset[str]:
    """The names that a function, and those inside of it, may look up."""
    inner = (_names_in(each) for each in code.co_consts if isinstance(each, CodeType))
    return frozenset(code.co_names).union(*inner)


def _file_of(variables: Mapping[str, object]) -> str:
    """The file of a module, or its name, by its globals."""
    return Path(str(variables.get("__file__") or variables.get("__name__", "?"))).name


def _defaults(function: FunctionType) -> Iterator[tuple[str, object]]:
    values = function.__defaults__ or ()
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    yield from zip(names[len(names) - len(values) :], values, strict=True)
    yield from (function.__kwdefaults__ or {}).items()


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    """What an object keeps by name, but for the slots of a class of tdxfuzz."""
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        if "__slots__" in vars(kind) and not _is_ours(kind):
            for name, member in vars(kind).items():
                if type(member).__name__ == "member_descriptor" and hasattr(value, name):
                    yield name, member.__get__(value)


def _parts(value: object) -> list[object] | None:
    """What an object of a built-in kind is made of; None if it cannot be read."""
    match value:
        case dict():
            return [part for item in value.items() for part in item]
        case list() | tuple() | deque():
            return list(value)
        case set() | frozenset():
            return sorted(value, key=hash)
        case MethodType():
            return [value.__func__, value.__self__]
        case BuiltinMethodType() | MethodWrapperType():
            return [value.__name__, value.__self__]
        case partial():
            return [value.func, value.args, value.keywords]
        case property():
            return [value.fget, value.fset, value.fdel]
        case classmethod() | staticmethod():
            return [value.__func__]
        case GeneratorType():
            frame = value.gi_frame
            return [] if frame is None else [frame.f_lasti, *frame.f_locals.values()]
        case Random():
            return [value.getstate()]
        case count() | repeat():
            return [repr(value)]
    if hasattr(value, "__length_hint__"):
        return [value.__length_hint__()]
    try:
        return [memoryview(value).tobytes()]  # type: ignore[arg-type]
    except TypeError:
        return None
