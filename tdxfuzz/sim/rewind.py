"""The way back: a graph of objects as it was at one moment.

A world that has been set up once is run many times. To build it again costs more than most
runs; to put back what a run changed costs a fraction of that, and leaves each object the one it
was. Values (numbers, text, frozen attrs, enums, tuples of them) need no putting back; objects
that a run made are simply forgotten. What a class has declared as fixed is not even looked at. An
object that stands for something out of sight has a method ``__rewind__``: it gives the function
that puts that back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from types import (
    BuiltinFunctionType,
    BuiltinMethodType,
    CellType,
    FunctionType,
    GenericAlias,
    MethodType,
    ModuleType,
)

from tdxfuzz.sim.declared import roles_of
from tdxfuzz.sim.schedule import Switch

_VALUES = (int, str, bytes, float, type(None), type, GenericAlias, Enum, range, ModuleType)
_UNSET = object()

Setter = Callable[[object, object], None]
"""Of a slot: it takes the object and its value."""

BOUND = (MethodType, BuiltinFunctionType, BuiltinMethodType)

MADE_IN_PYTHON = 1 << 9
"""``Py_TPFLAGS_HEAPTYPE``."""

_REFUSES: object = Switch.__setattr__
"""What attrs gives every frozen class, of which this is one, to refuse assignment."""

COMPILED = "__mypyc_attrs__"
"""Where a class that mypyc compiled lists its slots."""


class NotRewindableError(Exception):
    """The graph holds something of which nobody knows how to put it back."""


class Rewind:
    """Remembers all that can be reached from some objects; a call puts it back.

    Raises:
        NotRewindableError: something there is neither a value, nor a list, dict, set or
            function, nor an object with attributes.
    """

    def __init__(self, *roots: object) -> None:
        self._lists: list[tuple[list[object], list[object]]] = []
        self._dicts: list[tuple[dict[object, object], dict[object, object]]] = []
        self._sets: list[tuple[set[object], set[object]]] = []
        self._slots: list[tuple[Setter, object, object]] = []
        self._unset: list[tuple[object, str]] = []
        self._closures: list[tuple[CellType, object]] = []
        self._hooks: list[Callable[[], None]] = []
        seen: dict[int, object] = {}
        ahead: list[object] = list(roots)
        while ahead:
            thing = ahead.pop()
            kind = type(thing)
            if kind in _plain or id(thing) in seen:
                continue
            shape = _SHAPES.get(kind)
            if shape is not None:
                seen[id(thing)] = thing
                self._remember_object(thing, shape, ahead)
            elif isinstance(thing, _VALUES):
                _plain.add(kind)
            else:
                seen[id(thing)] = thing
                self._remember(thing, ahead)

    def __call__(self) -> None:
        """Put everything back."""
        for things, items in self._lists:
            things[:] = items
        for mapping, entries in self._dicts:
            mapping.clear()
            mapping.update(entries)
        for members, kept in self._sets:
            members.clear()
            members |= kept
        for put, thing, value in self._slots:
            put(thing, value)
        for thing, name in self._unset:
            if hasattr(thing, name):
                delattr(thing, name)
        for cell, value in self._closures:
            cell.cell_contents = value
        for put_back in self._hooks:
            put_back()

    def _remember(self, thing: object, ahead: list[object]) -> None:
        """Note how one thing is; what can be reached from it is yet to be noted."""
        if isinstance(thing, list | dict | set) and hasattr(thing, "__dict__"):
            ahead.append(thing.__dict__)
        if isinstance(thing, list):
            self._lists.append((thing, list(thing)))
            ahead += _not_plain(thing)
        elif isinstance(thing, dict):
            self._dicts.append((thing, dict(thing)))
            ahead += _not_plain(thing)
            ahead += _not_plain(thing.values())
        elif isinstance(thing, set):
            self._sets.append((thing, set(thing)))
            ahead += _not_plain(thing)
        elif isinstance(thing, tuple | frozenset):
            ahead += _not_plain(thing)
        elif isinstance(thing, BOUND):
            ahead.append(thing.__self__)
        elif isinstance(thing, partial):
            ahead += (thing.func, thing.args, thing.keywords)
        elif isinstance(thing, FunctionType):
            for cell in thing.__closure__ or ():
                self._closures.append((cell, cell.cell_contents))
                ahead.append(cell.cell_contents)
        else:
            kind = type(thing)
            shape = _SHAPES[kind] = _shape(kind)
            self._remember_object(thing, shape, ahead)

    def _remember_object(self, thing: object, shape: Shape, ahead: list[object]) -> None:
        slots, frozen, fixed, hook = shape
        if hook is not None:
            self._hooks.append(hook(thing))
        note, plain = self._slots.append, _plain
        for name, put in slots:
            value = getattr(thing, name, _UNSET)
            if value is _UNSET:
                if not frozen:
                    self._unset.append((thing, name))
                continue
            if not frozen:
                note((put, thing, value))
            if type(value) not in plain:
                ahead.append(value)
        attributes = getattr(thing, "__dict__", None)
        if attributes is not None:
            if not frozen:
                self._dicts.append((attributes, dict(attributes)))
            ahead += _not_plain([attributes[name] for name in attributes if name not in fixed])


_plain: set[type] = set()
"""Types whose objects were found to be values."""


def _not_plain(things: Iterable[object]) -> list[object]:
    return [thing for thing in things if type(thing) not in _plain]


Hook = Callable[[object], Callable[[], None]]
"""A method ``__rewind__``."""

Shape = tuple[tuple[tuple[str, Setter], ...], bool, frozenset[str], Hook | None]

_SHAPES: dict[type, Shape] = {}
"""Of the objects met by now that are none of the built-in kinds."""


def _shape(kind: type) -> Shape:
    """The slots of a class with what sets them, whether its objects never change, the attributes
    that are fixed, and what puts back that which is out of sight.

    Raises:
        NotRewindableError: it is written in C, and may keep something out of sight.
    """
    slots: list[tuple[str, Setter]] = []
    fixed = frozenset([name for name, role in roles_of(kind).items() if role == "fixed"])
    for base in kind.__mro__[:-1]:
        if not base.__flags__ & MADE_IN_PYTHON:
            raise NotRewindableError(f"a {kind.__name__}")
        members = vars(base)
        own = members.get("__slots__", members.get(COMPILED, ()))
        names = (own,) if isinstance(own, str) else own
        for name in names:
            mangled = _mangled(base, name)
            # A compiled class lists what it inherits as well.
            skipped = name in fixed or name in ("__dict__", "__weakref__")
            if not skipped and mangled in members:
                slots.append((mangled, members[mangled].__set__))
    hook: Hook | None = getattr(kind, "__rewind__", None)
    return tuple(slots), kind.__setattr__ is _REFUSES, fixed, hook


def _mangled(kind: type, name: str) -> str:
    private = name.startswith("__") and not name.endswith("__")
    return f"_{kind.__name__.lstrip('_')}{name}" if private else name
