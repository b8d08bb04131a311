"""Fair PCT: priorities for as long as a run usually lasts, then a fair random choice of CPUs.

Deligiannis, Senthilnathan, Nayyar, Lovett and Lal, "Industrial-strength controlled
concurrency testing for C# programs with Coyote" (TACAS 2023). The prefix with priorities
finds safety bugs. The fair suffix lets loops end, so a run that still does not end is a
finding. Deviations: the prefix is as long as the run without preemptions; in the suffix
another CPU goes on every few steps, not at each step.
"""

from __future__ import annotations

from random import Random

from tdxfuzz.engines.pct import DEFAULT_DEPTH, PriorityPolicy, draw_priorities
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.sim import Cpu, Simulator, Why

TURN = 16
"""Steps after which another CPU may go on in the suffix, on average."""


class FairPolicy(PriorityPolicy):
    """As its base until step ``prefix``; from there on any runnable CPU, all as likely.

    Args:
        priorities: one per CPU, all different, all positive.
        change_points: ascending steps, below ``prefix``.
        prefix: the step at which fairness begins.
        rng: decides from there on.
    """

    def __init__(
        self, priorities: list[int], change_points: list[int], prefix: int, rng: Random
    ) -> None:
        super().__init__(priorities, change_points)
        self._prefix = prefix
        self._rng = rng
        self.due = min(self.due, prefix)

    def preempt(self, sim: Simulator) -> Cpu | None:
        if sim.clock < self._prefix:
            target = super().preempt(sim)
            self.due = min(self.due, self._prefix)
            return target
        self.due = sim.clock + 1 + self._rng.randrange(2 * TURN)
        target = self._anyone(sim)
        return target if target is not sim.current else None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        return super().choose(sim, why) if sim.clock < self._prefix else self._anyone(sim)

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        if sim.clock < self._prefix:
            super().woken(sim, cpu)

    def _anyone(self, sim: Simulator) -> Cpu | None:
        runnable = [cpu for cpu in sim.cpus if cpu.runnable]
        return self._rng.choice(runnable) if runnable else None


class FairPct:
    """PCT with a fixed depth, then a fair random choice of CPUs, so that loops end."""

    name = "fair-pct"

    def __init__(self, depth: int = DEFAULT_DEPTH) -> None:
        self.depth = depth

    def attempt(self, rng: Random, base: BaseRun) -> Run:
        priorities, points = draw_priorities(rng, base, self.depth)
        return base.rerun.run(policy=FairPolicy(priorities, points, base.length, rng))
