"""A fair order for a run that has used up its steps: does it end if every CPU gets its turn?

First each CPU that can run goes on for a while, then another one, by chance but the same each
time. A loop that only some timing keeps alive ends then. In the second half a CPU goes on until it
stops or comes to a retry point, so that a loop that is left comes back to the same states.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tdxfuzz.sim.simulator import default_choice
from tdxfuzz.sim.why import Why

if TYPE_CHECKING:
    from tdxfuzz.sim.cpu import Cpu
    from tdxfuzz.sim.simulator import Simulator

TURN = 64
"""Steps after which another CPU may go on, on average."""


class FairTurns:
    """A policy: turns by chance until step ``half``, then turns that end at retry points.

    Args:
        sim: the run, at the step from which on this decides.
        half: a step.
    """

    def __init__(self, sim: Simulator, half: int) -> None:
        self._rng = Random(0)
        self._half = half
        self.due = sim.clock

    def preempt(self, sim: Simulator) -> Cpu | None:
        if sim.clock < self.due:
            return None  # a CPU whose turn has just begun
        if sim.clock >= self._half:
            # A CPU that spins without a retry point would keep the others waiting for ever.
            self.due = sim.clock + 4 * TURN
            target = default_choice(sim, Why.YIELD)
            return None if target is sim.current else target
        self.due = sim.clock + 1 + self._rng.randrange(2 * TURN)
        runnable = [cpu for cpu in sim.cpus if cpu.runnable]
        target = self._rng.choice(runnable)
        return None if target is sim.current else target

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        if sim.clock >= self._half:
            self.due = sim.clock + 4 * TURN
            return default_choice(sim, why)
        self.due = sim.clock + 1 + self._rng.randrange(2 * TURN)
        runnable = [cpu for cpu in sim.cpus if cpu.runnable]
        return self._rng.choice(runnable) if runnable else None

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """Nothing: a woken CPU waits for its turn."""
