"""What is run on both sides, and what came of it, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from tdxfuzz.targets.recording import CallResult, LockEvent, RecordedCall
from tdxfuzz.targets.world import AtReset

State = Mapping[str, object]
"""A snapshot, or the parts of it that a library has."""

EVERY = 25
"""Calls between two snapshots."""

_TDMR_INIT = 36

AT_END = -1
"""The place of the snapshot behind the programs."""


@frozen
class Trial:
    """Calls one after the other from a reset on; then a program for each of some LPs, if any.

    ``order``: whose turn it is, event by event, as in section 5 of
    ``corpus/conformance/README.md`` (early). Who has ended is passed over. Behind it the LPs go on
    to their ends, the lowest first. ``closely``: events and a snapshot of each single call.
    """

    world: AtReset
    calls: tuple[RecordedCall, ...]
    programs: Mapping[int, tuple[RecordedCall, ...]] = field(factory=dict)
    order: tuple[int, ...] = ()
    closely: bool = False

    @property
    def size(self) -> int:
        """Calls."""
        return len(self.calls) + sum(map(len, self.programs.values()))

    @property
    def places(self) -> Sequence[int]:
        """After how many calls a snapshot is taken."""
        number = len(self.calls)
        between = [i for i in range(number) if i % EVERY == 0 or (self.closely and self._shows(i))]
        return [*between, number]

    def _shows(self, place: int) -> bool:
        """Whether the call before a place may have changed what a snapshot shows."""
        return self.calls[place - 1].leaf != _TDMR_INIT


@frozen
class Stop:
    """Why nothing more was run: ``fatal``, ``crash``, ``hang``, or ``raised`` (by the model).

    ``place`` is that of the call in its LP's program, if it is known. ``function`` is the one of
    the header that a library was in, if it was no SEAMCALL.
    """

    kind: str
    text: str
    lp: int
    place: int = 0
    function: str = ""


@frozen
class Outcome:
    """What one side did. ``states`` are snapshots by how many calls were made before.

    ``within`` has, of each event, the place of its call in its LP's program; a library does not
    tell, and has none. ``of_calls`` are the events of the calls before the programs, if it was
    looked closely.
    """

    results: tuple[CallResult, ...]
    states: Mapping[int, State]
    events: tuple[tuple[int, LockEvent], ...] = ()
    ran: Mapping[tuple[int, int], CallResult] = field(factory=dict)
    stop: Stop | None = None
    within: tuple[int, ...] = ()
    of_calls: tuple[tuple[LockEvent, ...], ...] = ()


def tidy(state: Mapping[str, object]) -> State:
    """A snapshot in which the order of names of locks says nothing."""
    names = state.get("hp")
    if not isinstance(names, list):
        return state
    return {**state, "hp": sorted(map(str, names))}
