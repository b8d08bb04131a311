"""Which leaf takes which lock, and how: read off the model while calls succeed.

Every leaf that hostile programs call is made after each hostile set-up, with operands that let it
succeed. So the table cannot differ from what the model does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import evolve, frozen

from tdxfuzz.abi.address import SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE, SETUPS, WORLD, setup_ops
from tdxfuzz.case.operation import Op
from tdxfuzz.generate.hostile_calls import fitting_calls
from tdxfuzz.host.operations import seamcall
from tdxfuzz.module.lock import EXCLUSIVE
from tdxfuzz.run.session import Session

PAMT = {"PAMT_4K": ("4K", SIZE_4K), "PAMT_2M": ("2M", SIZE_2M), "PAMT_1G": ("1G", SIZE_1G)}
"""The resource that the lock of a PAMT entry is, and how much it is about."""

_NO_2M_YET = SETUPS["huge"][:-1]
_TORN_DOWN = SETUPS["empty-teardown"][1:]

ON_2MB_PAGES = (
    (_NO_2M_YET, SETUPS["huge"][-1]),
    (SETUPS["huge"], "TDH.PHYMEM.PAGE.RDMD rcx=D0|1"),
    ((*SETUPS["huge"], *_TORN_DOWN), "TDH.PHYMEM.PAGE.RECLAIM rcx=D0"),
)
"""Calls about 2MB pages that are seldom drawn: the operations before them, and the call."""

_NAME = re.compile(r"(\w+)(?:\[(\w+).*\])?")


@frozen(order=True)
class LockUse:
    """A leaf takes a resource: "4K", "2M" or "1G" of PAMT, or the name of another lock, in a mode:
    "SH", "EX" or "MUTEX". ``of`` is the operand that names the page, "" if none does.
    """

    leaf: str
    resource: str
    mode: str
    of: str


def lock_table() -> list[LockUse]:
    """All uses, by leaf; a lock that is promoted counts as exclusive."""
    uses: set[LockUse] = set()
    for setup in SETUPS:
        for ops in fitting_calls(setup).values():
            for op in ops:
                uses.update(_uses_of(setup_ops(setup), op))
    for before, call in ON_2MB_PAGES:
        uses.update(_uses_of(tuple(map(Op.parse, before)), Op.parse(call)))
    stronger = {(use.leaf, use.resource, use.of) for use in uses if use.mode == EXCLUSIVE}
    return sorted(
        use
        for use in uses
        if use.mode == EXCLUSIVE or (use.leaf, use.resource, use.of) not in stronger
    )


def _uses_of(setup: tuple[Op, ...], op: Op) -> Iterator[LockUse]:
    host = Session(Case(HOSTILE, evolve(WORLD, cpus=1), setup, ((),))).host
    events: list[tuple[str, str, str]] = []

    def log(what: str, mode: str, resource: str, ok: bool) -> None:
        if what in ("acq", "promote") and ok:
            events.append((EXCLUSIVE if what == "promote" else mode, resource, what))

    host.sim.log = log
    status = seamcall(host, op)
    assert not status.is_error, f"{op}: {status}"
    for mode, name, _ in events:
        match = _NAME.fullmatch(name)
        assert match is not None
        kind, address = match.groups()
        if kind not in PAMT:
            yield LockUse(op.name, kind, mode, "")
            continue
        resource, size = PAMT[kind]
        at = int(address, 16)
        named = [
            register.upper()
            for register, value in op.arguments
            if register != "version" and value & ((1 << 40) - 1) & -size == at
        ]
        yield LockUse(op.name, resource, mode, named[0] if named else "")
