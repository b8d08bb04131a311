"""Confirms that a retry loop can go on for ever: the run is in the same state again.

CPUs that have passed many retry points without progress may do so for ever, or count. Once each CPU
that can run is at its retry point, a state is told by shared state, by what checks remember, and
by the local variables of the design at these points. If such a state comes back, the run could
repeat itself. A loop whose variables cannot be read is never confirmed: its run ends at the step
bound, and nothing is claimed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType
from typing import ClassVar

from tdxfuzz.check.base import Check
from tdxfuzz.host.host import Host
from tdxfuzz.run.observer import digest, is_under_test
from tdxfuzz.run.shared_state import SharedState
from tdxfuzz.sim import STATE_AND_MEMORY, Cpu, Declared, Livelock, State, counters_of, site_of

ROUNDS = 3
"""Retry points that each CPU passes without progress before its loop is looked at."""


LOOKS = 64
"""A look costs as much as hundreds of steps. So many are made in a row, from the first, the second,
the fourth … time on: a loop of more rounds is not confirmed."""

SETUP = "set_up"
"""The function that makes a set-up: whoever called it is no part of a state."""


class LoopJudge:
    """Judges the loops of one run.

    Args:
        host: what runs.
        checks: what they remember of the way is part of a state.
        may_starve: a loop that is left if every CPU gets its turn is no livelock. It counts only
            once the run has gone on in a fair order.
    """

    STATE: ClassVar = Declared(derived="_asked _last _seen", fixed="_checks _host _may_starve")

    def __init__(self, host: Host, checks: Sequence[Check], may_starve: bool) -> None:
        self._host = host
        self._checks = checks
        self._may_starve = may_starve
        self._seen: dict[bytes, tuple[int, int]] = {}
        self._last = -1
        self._asked = 0

    def __call__(self, going_round: list[Cpu]) -> Livelock | None:
        """At a retry point of the current CPU: the livelock, if the state was met before."""
        sim = self._host.sim
        if sim.clock < self._last:
            self._seen.clear()  # another run
            self._asked = 0
        self._last = sim.clock
        if self._may_starve and not sim.in_overtime:
            return None
        self._asked += 1
        if self._asked - (1 << self._asked.bit_length() - 1) >= LOOKS:
            return None
        key = self._key()
        if key is None:
            return None
        began, turns = self._seen.setdefault(key, (sim.clock, len(sim.switches)))
        if began == sim.clock:
            return None
        if not sim.running:
            return Livelock(going_round)
        cpus = [cpu for cpu in sim.cpus if cpu.runnable]
        stepped = {sim.current.id, *(cpu for _, cpu in sim.switches[turns:])}
        # A CPU that could go on, and got no turn, may be the one that ends the loop.
        fair = all(cpu.id in stepped for cpu in cpus)
        return Livelock(cpus, (began, sim.clock)) if fair else None

    def _key(self) -> bytes | None:
        """The key of the state; None: a CPU is not at a retry point, or keeps what is not read."""
        sim = self._host.sim
        standing: list[tuple[object, ...]] = []
        for cpu in sim.cpus:
            place: tuple[object, ...] = ()
            if sim.running and cpu.state is State.BLOCKED:
                assert cpu.waiting_for is not None
                turns = sum(1 for _, each in sim.switches if each == cpu.id)
                place = cpu.waiting_for.name, turns
            elif cpu is sim.current or (cpu.state is State.RUNNABLE and sim.running):
                frame = _frame_at_retry_point(cpu, sim.current)
                counters = (
                    None if frame is None else counters_of(frame, is_under_test, outermost=SETUP)
                )
                if counters is None:
                    return None
                in_c = self._host.layer.standing(cpu.id)
                place = site_of(frame), repr(counters), in_c
            standing.append((cpu.id, cpu.state.value, place))
        state = SharedState(self._host)
        remembered = tuple(map(STATE_AND_MEMORY, self._checks))
        return digest((tuple(standing), sim.current.id, state.everything(memory=True), remembered))


def _frame_at_retry_point(cpu: Cpu, current: Cpu) -> FrameType | None:
    if cpu is current:
        return sys._getframe()
    return cpu.greenlet.gr_frame if cpu.at_retry_point and cpu.greenlet is not None else None
