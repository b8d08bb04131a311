"""Watching SEAMCALLs on the model: which locks each took, in which order, and its status.

Addresses become roles: the register of an operand, or what the module reached by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import frozen

from tdxfuzz.abi import BY_NUMBER, Registers, Status
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.pamt import PT

if TYPE_CHECKING:
    from tdxfuzz.module.call import LogicalProcessor

Event = tuple[str, str, str, bool]
"""Operation, mode, resource, success: as in a recording."""

ADDRESSED = re.compile(r"PAMT_(1G|2M|4K)\[(0x[0-9a-f]+)\]")
SHIFT = {"1G": 30, "2M": 21, "4K": 12}
WALK = ("1G", "2M", "4K")
PAGE_MASK = 0x000F_FFFF_FFFF_F000
LOCKED_BIT = ("bts", "btr", "cmpxchg")
IMPLICIT = {PT.TDR: "its TDR", PT.EPT: "S-EPT page", PT.REG: "guest page"}


@frozen(order=True)
class Taken:
    """One acquisition or locked instruction: ``ok`` is False where it failed."""

    resource: str
    mode: str
    ok: bool = True

    def __str__(self) -> str:
        return f"{self.resource} {self.mode}" + ("" if self.ok else " ✗")


@frozen(order=True)
class Observation:
    """One call: leaf name, status as text, what it took in order.

    ``released`` names the locks in the order of their release, where that is not the
    reverse of how they were taken.
    """

    leaf: str
    status: str
    taken: tuple[Taken, ...]
    released: tuple[str, ...]


class Roles:
    """Names for the addresses in one call's events.

    ``are_distinct``: no two operands are one page, so that every name is right.
    """

    def __init__(self, module: TdxModule, leaf: int, regs: Registers) -> None:
        self._module = module
        self._operands = [
            (register.upper(), getattr(regs, register) & PAGE_MASK & ~module.hkid_mask)
            for register, meaning in BY_NUMBER[leaf].inputs.items()
            if "HPA" in meaning
        ]
        self.are_distinct = len({page for _, page in self._operands}) == len(self._operands)
        self._walked: list[str] = []
        self._types: dict[int, int] = {}

    def see(self, what: str) -> None:
        """Note what a 4KB entry is used for while the call has not changed it."""
        level, hpa = _address(what)
        if level == "4K":
            self._types.setdefault(hpa, self._module.pamt.type_of(hpa))

    def of_walk(self, level: str, hpa: int) -> str:
        """The operand a walk leads to: of several that fit, the first not walked to yet."""
        shift = SHIFT[level]
        fitting = [name for name, page in self._operands if page >> shift == hpa >> shift]
        if not fitting:
            return "page"
        name = next((name for name in fitting if name not in self._walked), fitting[0])
        self._walked.append(name)
        return name

    def of_implicit(self, level: str, hpa: int) -> str:
        """What the module reached by itself, locking nothing above the entry."""
        pt = PT.REG if level == "2M" else PT(self._types.get(hpa, PT.NDA))
        return IMPLICIT.get(pt, "page")


def _address(what: str) -> tuple[str, int]:
    match = ADDRESSED.fullmatch(what)
    return (match[1], int(match[2], 16)) if match else ("", 0)


@frozen
class Walk:
    """Consecutive acquisitions of PAMT entries: where they begin, and where they end."""

    top: str
    level: str
    hpa: int


def _walks(events: list[Event]) -> dict[int, list[Walk]]:
    """For the index of each acquisition of a PAMT entry, the walk it is part of.

    A walk is in a list of its own, so that two to the same entry stay apart.
    """
    walks: dict[int, list[Walk]] = {}
    current: list[Walk] = []
    for i, (op, _, what, _) in enumerate(events):
        level, hpa = _address(what)
        if op != "acq" or level not in WALK:
            current = []
            continue
        if not current or WALK.index(level) != WALK.index(current[0].level) + 1:
            current = []
        current[:] = [Walk(current[0].top if current else level, level, hpa)]
        walks[i] = current
    return walks


def describe(roles: Roles, leaf: int, status: Status, events: list[Event]) -> Observation:
    """A call's events with roles in place of addresses."""
    walks = _walks(events)
    names: dict[str, list[str]] = {}
    taken: list[Taken] = []
    held: list[str] = []
    released: list[str] = []
    role_of: dict[int, str] = {}
    for i, (op, mode, what, ok) in enumerate(events):
        level, _ = _address(what)
        name = what.split("[")[0]
        if op == "rel":
            released.append(_released(names.get(what, []), released) or name)
        elif op == "promote":
            taken[-1] = Taken(taken[-1].resource, "SH→EX", ok)
        elif op == "acq":
            if i in walks:
                walk = walks[i][0]
                of = roles.of_walk if walk.top == "1G" else roles.of_implicit
                if id(walks[i]) not in role_of:
                    role_of[id(walks[i])] = of(walk.level, walk.hpa)
                name = f"{level}[{role_of[id(walks[i])]}]"
            taken.append(Taken(name, mode, ok))
            if ok:
                names.setdefault(what, []).append(name)
                held.append(name)
        else:
            taken.append(Taken(name, op if op in LOCKED_BIT else mode, ok))
    in_reverse = released == held[::-1]
    return Observation(
        BY_NUMBER[leaf].name, str(status), tuple(taken), () if in_reverse else tuple(released)
    )


def _released(held: list[str], before: list[str]) -> str:
    """Which hold on a lock that is held once or more is given up: that of the same walk."""
    if not held:
        return ""
    role = before[-1][2:] if before else ""
    name = next((name for name in reversed(held) if name[2:] == role), held[-1])
    held.remove(name)
    return name


@contextmanager
def observing(
    tell: Callable[[Observation], None], saw: Callable[[str, str], None] | None = None
) -> Iterator[None]:
    """While this is open, SEAMCALLs of all models are listened to.

    Args:
        tell: called after each that ran alone.
        saw: called after each, with the names of leaf and status.
    """
    original = TdxModule.seamcall

    def seamcall(
        self: TdxModule, lp: LogicalProcessor, leaf: int, regs: Registers, version: int = 0
    ) -> Status:
        if leaf not in BY_NUMBER or self.sim.running or self.sim.log is not None:
            status = original(self, lp, leaf, regs, version)
            if saw is not None and leaf in BY_NUMBER:
                saw(BY_NUMBER[leaf].name, status.name)
            return status
        roles = Roles(self, leaf, regs)
        events: list[Event] = []

        def log(op: str, mode: str, what: str, ok: bool) -> None:
            roles.see(what)
            events.append((op, mode, what, ok))

        self.sim.log = log
        try:
            status = original(self, lp, leaf, regs, version)
        finally:
            self.sim.log = None
        if saw is not None:
            saw(BY_NUMBER[leaf].name, status.name)
        if roles.are_distinct:
            tell(describe(roles, leaf, status, events))
        return status

    with _patched(seamcall):
        yield


@contextmanager
def _patched(seamcall: Callable[..., Status]) -> Iterator[None]:
    original = TdxModule.seamcall
    TdxModule.seamcall = seamcall  # type: ignore[method-assign]  # the one place to listen at
    try:
        yield
    finally:
        TdxModule.seamcall = original  # type: ignore[method-assign]  # as it was
