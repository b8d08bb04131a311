"""Declared state: what each field of a class is, said beside its ``__slots__``.

``STATE = Declared(shared="pages", fixed="name sim")`` is all there is to write. The declarations
are read by :class:`~tdxfuzz.sim.contents.Contents`, which makes the key of a state, and by
:class:`~tdxfuzz.sim.rewind.Rewind`, which takes a snapshot and puts it back. A test walks the
objects of a host and fails at a field that is not declared.
"""

from __future__ import annotations

from collections.abc import Mapping


class Declared:
    """The fields of a class by what they are, as names with blanks between them. ``roles`` has
    the role of each field, by its name.

    Args:
        shared: state that CPUs share: read and written at steps on the object, or guarded by a
            lock. It is part of a state's key.
        parts: objects with state of their own, or containers of such objects, that belong to this
            object. They are there from the beginning, or are made when they are first touched.
        locks: its locks. They guard its shared fields, and those of its parts.
        memory: what a check remembers of the way here. It is part of a state's key.
        tally: counts for statistics, and words for messages: no verdict depends on it.
        derived: follows from the other fields, from where the CPUs stand, or from who listens.
        fixed: does not change any more once a set-up is over. If it is an object with state, that
            is a part of another one.

    Raises:
        ValueError: a name is not one, or occurs twice.
    """

    __slots__ = ("roles",)

    def __init__(
        self,
        *,
        shared: str = "",
        parts: str = "",
        locks: str = "",
        memory: str = "",
        tally: str = "",
        derived: str = "",
        fixed: str = "",
    ) -> None:
        fields = {
            "shared": shared,
            "parts": parts,
            "locks": locks,
            "memory": memory,
            "tally": tally,
            "derived": derived,
            "fixed": fixed,
        }
        self.roles: dict[str, str] = {}
        for role, names in fields.items():
            for name in names.split():
                if not name.isidentifier() or name in self.roles:
                    raise ValueError(f"{name!r} cannot be declared as {role}")
                self.roles[name] = role


def roles_of(kind: type) -> Mapping[str, str]:
    """The role of each field of a class by its name, inherited ones included; empty if nothing is
    declared.
    """
    roles: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        own = vars(base).get("STATE")
        if isinstance(own, Declared):
            roles.update(own.roles)
    return roles
