"""What a CPU reads from a piece that no other CPU touches is part of what it knows.

It cannot be left out: the CPU may have put there, in an operation before, what it saw of the
others. That is forgotten when the operation ends; what it read back is not.
"""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.case.world import World
from tdxfuzz.host.design import PageCache
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.observer import Observer
from tdxfuzz.run.outside_watch import OutsideWatch
from tdxfuzz.verify import explorer
from tdxfuzz.verify.search import StopRule, verify

AT_REST, BETWEEN = 8, 7


class KeepsANote(Merged):
    """CPU 1's get notes where a shared turn was, and its put reads and wipes the note."""

    def setup(self) -> None:
        super().setup()
        self.turn = self.atomic("turn", AT_REST)
        self.note = self.atomic("note")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        if self._host.sim.current.id == 1:
            self.note.set(self.turn.read())
        else:
            self.turn.set(AT_REST)
        return super().get(pfn, cache)

    def put(self, pfn: int, hint: bool = False) -> None:
        super().put(pfn, hint)
        if self._host.sim.current.id == 1:
            now, noted = self.turn.read(), self.note.read()
            self.note.set(0)
            self.wiped(now, noted)
            self.turn.add(0)
        else:
            self.turn.set(BETWEEN)

    def wiped(self, now: int, noted: int) -> None:
        """Only a local variable still has what the note said."""


def test_states_that_differ_in_what_was_noted_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    observers: list[Observer] = []

    class Watched(Observer):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            observers.append(self)

    monkeypatch.setattr(explorer, "Observer", Watched)
    # The probe below keeps what it sees outside of cells.
    monkeypatch.setattr(OutsideWatch, "_note", lambda self: None)
    keys: dict[int, set[bytes]] = {AT_REST: set(), BETWEEN: set()}

    class Probed(KeepsANote):
        def wiped(self, now: int, noted: int) -> None:
            if self._host.sim.running and now == BETWEEN:
                keys[noted].add(observers[-1].key())

    programs = (("zap 0 0", "map 0 0"), ("map 1 1", "zap 1 1"))
    case = evolve(
        SCENARIOS["map-zap"].case("Probed"),
        world=World(slots=2, guest_ranges=(0, 3), kernel_ranges=(1, 2)),
        programs=tuple(tuple(map(Op.parse, program)) for program in programs),
    )
    verify(case, Probed, until=StopRule.EVERY_BUCKET)
    assert keys[AT_REST], "CPU 1 maps before CPU 0 zaps"
    assert keys[BETWEEN], "CPU 0 zaps before CPU 1 maps"
    assert not keys[AT_REST] & keys[BETWEEN]
