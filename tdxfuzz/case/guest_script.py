"""What a guest does on a vCPU, as a number and as text.

``touch:0,accept:1,accept:a0,hlt``: up to eight actions, each with a slot (``0``) or a 2MB area
(``a0``) if it is about memory. As a number the first action is the lowest byte.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

from attrs import frozen

MOST_ACTIONS = 8

FIRST_AREA = 8
"""Operands below are slots, the others areas."""

_IDLE = "idle"


class Act(IntEnum):
    """What a guest can do: memory first.

    ``accept`` takes a slot at 4KB and an area at 2MB, ``accept4k`` the first page of an area;
    ``read`` and ``write`` are of a page's attributes; ``convert`` asks the host by MapGPA to make
    a slot shared, or private again.
    """

    TOUCH = 1
    ACCEPT = 2
    ACCEPT4K = 3
    READ = 4
    WRITE = 5
    CONVERT = 6
    VMCALL = 7
    HLT = 8

    @property
    def takes_slot(self) -> bool:
        """Whether it can be about a slot."""
        return self not in (Act.ACCEPT4K, Act.VMCALL, Act.HLT)

    @property
    def takes_area(self) -> bool:
        """Whether it can be about an area."""
        return self not in (Act.CONVERT, Act.VMCALL, Act.HLT)


@frozen
class Action:
    """One action; ``slot`` or ``area`` says what memory it is about, if any."""

    act: Act
    slot: int | None = None
    area: int | None = None

    def __str__(self) -> str:
        name = self.act.name.lower()
        if self.area is not None:
            return f"{name}:a{self.area}"
        return name if self.slot is None else f"{name}:{self.slot}"

    @property
    def byte(self) -> int:
        """The action as a part of a script's number."""
        operand = self.slot if self.area is None else FIRST_AREA + self.area
        return self.act << 4 | (operand or 0)

    @classmethod
    def parse(cls, text: str) -> Action:
        """From the form that ``str`` gives.

        Raises:
            ValueError: what is wrong with it.
        """
        name, colon, operand = text.partition(":")
        try:
            act = Act[name.upper()]
        except KeyError:
            known = ", ".join(each.name.lower() for each in Act)
            raise ValueError(f"unknown guest action {name!r}; known: {known}") from None
        is_area = operand.startswith("a")
        number = operand.removeprefix("a")
        if not colon and not act.takes_slot and not act.takes_area:
            return cls(act)
        kinds = [
            kind for kind, takes in (("SLOT", act.takes_slot), ("aAREA", act.takes_area)) if takes
        ]
        if not number.isdecimal() or not (act.takes_area if is_area else act.takes_slot):
            wanted = " or ".join(f"{name}:{kind}" for kind in kinds) or name
            raise ValueError(f"guest action {text!r}: must be {wanted}")
        return cls(act, None if is_area else int(number), int(number) if is_area else None)


@lru_cache(maxsize=4096)
def script_of(number: int) -> tuple[Action, ...]:
    """The actions that a number stands for.

    Raises:
        ValueError: it stands for none.
    """
    actions = []
    while number:
        code, operand = number >> 4 & 15, number & 15
        number >>= 8
        try:
            act = Act(code)
        except ValueError:
            raise ValueError(f"no guest action has the number {code}") from None
        is_area = operand >= FIRST_AREA
        if act.takes_slot or act.takes_area:
            action = Action(
                act, None if is_area else operand, operand - FIRST_AREA if is_area else None
            )
        else:
            action = Action(act)
        if action.byte != code << 4 | operand or not (
            operand == 0 or (act.takes_area if is_area else act.takes_slot)
        ):
            raise ValueError(f"guest action {act.name.lower()} has no operand {operand}")
        actions.append(action)
    return tuple(actions)


def number_of(script: tuple[Action, ...]) -> int:
    """The number that stands for a script."""
    return int.from_bytes(bytes(action.byte for action in script), "little")


def script_text(number: int) -> str:
    """A script as text; ``"idle"`` for one without actions."""
    return ",".join(map(str, script_of(number))) or _IDLE


def parse_script(text: str) -> int:
    """The number of the script in a text.

    Raises:
        ValueError: what is wrong with it.
    """
    if text == _IDLE:
        return 0
    script = tuple(map(Action.parse, text.split(",")))
    if len(script) > MOST_ACTIONS:
        raise ValueError(f"a guest script has at most {MOST_ACTIONS} actions, not {len(script)}")
    number = number_of(script)
    if script_of(number) != script:
        raise ValueError(f"guest script {text!r}: no such slot or area")
    return number
