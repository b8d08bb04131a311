"""Who runs next: the default order, with a schedule on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.sim.declared import Declared
from tdxfuzz.sim.simulator import NEVER, DefaultOrder, default_choice

if TYPE_CHECKING:
    from tdxfuzz.sim.cpu import Cpu
    from tdxfuzz.sim.schedule import Schedule, Switch
    from tdxfuzz.sim.simulator import Simulator
    from tdxfuzz.sim.why import Why


class FollowSchedule(DefaultOrder):
    """Stay on the current CPU, except where a sparse schedule says otherwise.

    Of several switches at one step each decision there takes the next one. A switch to a CPU that
    cannot run, or that runs already, does nothing.
    """

    __slots__ = ("_at", "_switches")

    STATE: ClassVar = Declared(derived="_at", fixed="_switches")

    def __init__(self, schedule: Schedule) -> None:
        self._switches = schedule.switches
        self._at = 0
        self.due = self._switches[0].step if self._switches else NEVER

    def preempt(self, sim: Simulator) -> Cpu | None:
        switch = self._pop(sim)
        if switch is None:
            return None
        target = sim.cpus[switch.cpu] if switch.cpu < len(sim.cpus) else sim.current
        if target is sim.current or not target.runnable:
            return None
        return target

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        default = default_choice(sim, why)
        switch = self._pop(sim)
        if switch is None or switch.cpu >= len(sim.cpus):
            return default
        target = sim.cpus[switch.cpu]
        return target if target.runnable else default

    def _pop(self, sim: Simulator) -> Switch | None:
        """The next switch due at exactly this step; passes over those that came too late."""
        found = None
        switches = self._switches
        while found is None and self._at < len(switches) and switches[self._at].step <= sim.clock:
            if switches[self._at].step == sim.clock:
                found = switches[self._at]
            self._at += 1
        self.due = switches[self._at].step if self._at < len(switches) else NEVER
        return found
