"""What objects hold that counts as state, as plain numbers: read off by their declarations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from types import NoneType
from typing import Any

from tdxfuzz.sim.declared import roles_of

Numbers = tuple[object, ...]
"""Nested tuples of ints, and of names where they are not learnt from: the same in every process."""

Read = Callable[[Any], object]

_ATOMS = frozenset({int, bool, str, bytes})
"""What stands for itself. So does None where nothing is hashed: its hash differs by process."""

_HAVE_STATE = ("parts", "locks")

SMALL = 1 << 60
"""Numbers from here on have the hash of a smaller one, and -1 has that of -2."""


def with_its_own_hash(value: int) -> int | Numbers:
    """What stands for a number where hashes are made, so that no other number has its hash."""
    if 0 <= value < SMALL:
        return value
    return value < 0, abs(value) // SMALL, abs(value) % SMALL


class Contents:
    """Reads values: the same numbers, the same state. Looking at it is not a step.

    An object is read field by field, those of the given roles. A class that has a method
    ``in_key(contents)`` says itself what it holds: where different values of its fields are the
    same state, or where it stands for its name only, because it is a part of something else.

    Args:
        roles: which fields are read, by their roles in :class:`~tdxfuzz.sim.declared.Declared`.
        hashed: the numbers must have the same hash in each process.
    """

    __slots__ = ("_atoms", "_hashed", "_of", "_roles", "memory")

    def __init__(self, *roles: str, hashed: bool = False) -> None:
        self._roles = roles
        self._hashed = hashed
        self._atoms = _ATOMS - {int} if hashed else _ATOMS | {NoneType}
        self._of = _Readers(self)
        self.memory = "memory" in roles

    def __call__(self, value: object) -> Any:
        """What a value holds.

        Raises:
            TypeError: nobody has declared what it is made of.
        """
        kind = type(value)
        return value if kind in self._atoms else self._of[kind](value)

    def reader(self, kind: type) -> Read:
        """What reads the objects of a class."""
        if issubclass(kind, int):
            return (lambda value: with_its_own_hash(int(value))) if self._hashed else int
        if kind is NoneType:
            return lambda value: -1
        if issubclass(kind, Enum):
            return {member: i for i, member in enumerate(kind)}.__getitem__
        if issubclass(kind, tuple | list):
            return self._read_each
        if issubclass(kind, dict):
            return self.items
        if issubclass(kind, set | frozenset):
            return lambda value: tuple(sorted(value))
        in_key = getattr(kind, "in_key", None)
        if in_key is not None:
            return lambda value: in_key(value, self)
        if not roles_of(kind):
            raise TypeError(f"{kind.__name__} does not declare its state")
        return lambda value: self._first(value)(value)

    def _first(self, value: object) -> Read:
        """The reader of a class, made when the first of its objects is read."""
        variables = {"of": self._of, "atoms": self._atoms, "small": SMALL}
        # Most fields are small numbers.
        plain = (
            "in atoms or type(held) is int and -1 < held < small" if self._hashed else "in atoms"
        )
        fields = [
            f"held if type(held := value.{name}) {plain} else of[type(held)](held)"
            for name in self._names(value)
        ]
        # As attrs makes methods: a key is made at every state, and a function that is written out
        # takes two thirds of the time. The names are checked where they are declared.
        read: Read = eval(f"lambda value: ({' '.join(field + ',' for field in fields)})", variables)
        self._of[type(value)] = read
        return read

    def _names(self, value: object) -> Iterator[str]:
        """The fields to be read, with those of parts in place of the parts: a part is of the same
        class in each object of a class.
        """
        for name, role in roles_of(type(value)).items():
            if role not in self._roles:
                continue
            held = getattr(value, name)
            if role in _HAVE_STATE and roles_of(type(held)) and not hasattr(held, "in_key"):
                yield from (f"{name}.{inner}" for inner in self._names(held))
            else:
                yield name

    def _read_each(self, values: Sequence[object]) -> Numbers:
        of, atoms = self._of, self._atoms
        if not values or (type(values[0]) in atoms and not self._hashed):
            return tuple(values)
        # The list is faster than a generator.
        return tuple([each if type(each) in atoms else of[type(each)](each) for each in values])

    def items(self, values: dict[Any, object]) -> Numbers:
        """A dictionary, sorted by its keys."""
        of, atoms = self._of, self._atoms
        if not values or type(next(iter(values.values()))) in atoms:
            return tuple(sorted(values.items()))
        return tuple(
            [
                (key, each if type(each) in atoms else of[type(each)](each))
                for key, each in sorted(values.items())
            ]
        )


class _Readers(dict[type, Read]):
    """By class, what reads its objects; worked out when one is met."""

    def __init__(self, contents: Contents) -> None:
        super().__init__()
        self._contents = contents

    def __missing__(self, kind: type) -> Read:
        read = self[kind] = self._contents.reader(kind)
        return read


STATE = Contents("shared", "parts", "locks", hashed=True)
"""All state that CPUs share."""

GUARDED = Contents("shared", "parts", hashed=True)
"""What the locks of an object guard."""

STATE_AND_MEMORY = Contents("shared", "parts", "locks", "memory")
"""All state, and what checks remember of the way."""
