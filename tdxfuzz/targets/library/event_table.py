"""Which events a leaf has, and in which order: read off the model while calls succeed.

Whoever writes the hook of a library (``tdxt_hook``) has to tell of the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from random import Random

from attrs import define, frozen

from tdxfuzz.abi.address import SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.case.hostile import SETUPS
from tdxfuzz.generate.hostile_calls import fitting_calls, hostile_case
from tdxfuzz.host.operations import seamcall
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.module.platform import Platform
from tdxfuzz.run.session import Session
from tdxfuzz.targets.library.boot import TDMR_BASE, boot_calls, plain_plan
from tdxfuzz.targets.library.caps import Caps
from tdxfuzz.targets.library.compare import leaf_name
from tdxfuzz.targets.library.draw import Drawer
from tdxfuzz.targets.library.model import ModelSide
from tdxfuzz.targets.library.names import HEADER_MODES, HEADER_OPS, MODES, OPS, kind_of_resource
from tdxfuzz.targets.recording import LockEvent

DRAWN = 60
"""Sequences of calls that are drawn."""

_SIZES = {"PAMT_1G": SIZE_1G, "PAMT_2M": SIZE_2M, "PAGE_COUNT": SIZE_2M}
"""Bytes that a resource is about, if it is more than a page."""

_ADDRESS = (1 << 40) - 1
"""Bits of an address below those of the HKID, in the worlds of set-ups."""


@frozen
class EventRow:
    """An event of a leaf, in the words of ``tdxfuzz_target.h``.

    ``way`` numbers the sequences of events that calls of the leaf have, ``after`` is a state in
    which it was seen; ``step`` is the place in the sequence. ``of`` is the operand whose page or TD
    it is about: several with "/" between them if calls that succeed cannot tell, "" if none is.
    """

    leaf: str
    way: int
    after: str
    step: int
    op: str
    mode: str
    kind: str
    of: str
    ok: bool


_Event = tuple[str, str, str, bool]
"""Operation, mode, kind of resource, success."""

_Seen = tuple[str, str, list[LockEvent], Mapping[str, int]]
"""A call that succeeded: its leaf, after what, its events, its operands."""


@define
class _Way:
    """A sequence of events, and for each the operands that it was about in all calls so far."""

    after: str
    operands: list[set[str]]


def event_table() -> list[EventRow]:
    """All that were seen, by leaf."""
    ways: dict[str, dict[tuple[_Event, ...], _Way]] = {}
    for leaf, after, events, inputs in (*_of_boot(), *_of_setups(), *_of_drawn()):
        operands = [_operands(what, inputs) for _, _, what, _ in events]
        way = ways.setdefault(leaf, {}).setdefault(
            tuple(map(_event, events)), _Way(after, operands)
        )
        way.operands = [one & other for one, other in zip(way.operands, operands, strict=True)]
    return [
        EventRow(leaf, number, way.after, step, op, mode, kind, "/".join(sorted(of)), ok)
        for leaf, of_leaf in sorted(ways.items())
        for number, (events, way) in enumerate(of_leaf.items(), start=1)
        for step, ((op, mode, kind, ok), of) in enumerate(
            zip(events, way.operands, strict=True), start=1
        )
    ]


def _of_boot() -> Iterator[_Seen]:
    plan = plain_plan(Platform(), 2, TDMR_BASE)
    side = ModelSide(plan.world, 1, closely=True)
    for call in boot_calls(plan):
        before = len(side.results)
        result = side.call(call)
        assert result is not None
        assert result.status.ok, f"{call}: {result.status}"
        yield leaf_name(call), "boot", side.events_of(before), call.inputs


def _of_setups() -> Iterator[_Seen]:
    for setup in SETUPS:
        for leaf, ops in fitting_calls(setup).items():
            for op in ops:
                host = Session(hostile_case(setup, 1, ((),))).host
                events: list[LockEvent] = []
                host.sim.log = _noting(events)
                status = seamcall(host, op)
                assert status.ok, f"{op}: {status}"
                yield leaf, setup, events, dict(op.arguments)


def _of_drawn() -> Iterator[_Seen]:
    """What set-ups do not lead to, such as vCPUs that run."""
    drawer = Drawer(Caps("", frozenset(HANDLERS)), interleaved=0.0)
    for number in range(DRAWN):
        trial = drawer.draw(Random(f"events {number}")).trial
        side = ModelSide(trial.world, 1, closely=True)
        for call in trial.calls:
            before = len(side.results)
            result = side.call(call)
            if result is None:
                break
            if result.status.ok:
                yield leaf_name(call), "drawn calls", side.events_of(before), call.inputs


def _noting(events: list[LockEvent]) -> Callable[[str, str, str, bool], None]:
    return lambda op, mode, what, ok: events.append((op, mode, what, ok))


def _event(event: LockEvent) -> _Event:
    op, how, what, ok = event
    mode = HEADER_MODES[MODES.index(how)] if how in MODES else how
    return HEADER_OPS[OPS.index(op)], mode, kind_of_resource(what), bool(ok)


def _operands(what: str, inputs: Mapping[str, int]) -> set[str]:
    """The operands that name what an event is about, or a page in it."""
    address = re.search(r"\[(0x\w+)", what)
    if address is None:
        return set()
    size = _SIZES.get(kind_of_resource(what), SIZE_4K)
    return {
        name.upper()
        for name, value in inputs.items()
        if name != "version" and value & _ADDRESS & -size == int(address[1], 16)
    }
