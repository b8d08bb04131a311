"""PCT: random priorities of CPUs, and a few points where the running CPU's priority drops.

Burckhardt, Kothari, Musuvathi and Nagarakatte, "A randomized scheduler with
probabilistic guarantees of finding bugs" (ASPLOS 2010). A bug of depth d is found with
probability at least 1/(n k^(d-1)) for n CPUs and k steps. Deviation: a CPU at a retry
point drops below all others (the paper's programs do not spin), and k is the length of
the run without preemptions rather than a bound given beforehand.
"""

from __future__ import annotations

from random import Random

from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.sim import NEVER, Cpu, Simulator, Why

DEFAULT_DEPTH = 3


class PriorityPolicy:
    """Always runs the runnable CPU of the highest priority.

    Args:
        priorities: one per CPU, all different, all positive.
        change_points: ascending steps; at the i-th the running CPU's priority becomes
            ``-i``, lower than any before.
    """

    def __init__(self, priorities: list[int], change_points: list[int]) -> None:
        self._priorities = priorities
        self._points = change_points
        self._next = 0
        self._low = 0
        self._woken = False
        self.due = change_points[0] if change_points else NEVER

    def preempt(self, sim: Simulator) -> Cpu | None:
        if self._next < len(self._points) and sim.clock >= self._points[self._next]:
            self._next += 1
            self._sink(sim.current)
        self.due = self._points[self._next] if self._next < len(self._points) else NEVER
        best = self._best(sim)
        return best if best is not sim.current else None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        if why is Why.YIELD:
            self._sink(sim.current)
        return self._best(sim)

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        if self._priorities[cpu.id] > self._priorities[sim.current.id]:
            self.due = sim.clock
            sim.refresh()

    def _sink(self, cpu: Cpu) -> None:
        self._low -= 1
        self._priorities[cpu.id] = self._low

    def _best(self, sim: Simulator) -> Cpu | None:
        runnable = [cpu for cpu in sim.cpus if cpu.runnable]
        return max(runnable, key=lambda cpu: self._priorities[cpu.id], default=None)


def draw_priorities(rng: Random, base: BaseRun, depth: int) -> tuple[list[int], list[int]]:
    """Priorities and change points for a bug of a depth: one point fewer than that."""
    cpus = base.run.contexts
    priorities = rng.sample(range(1, cpus + 1), cpus)
    return priorities, sorted(rng.randrange(base.length) for _ in range(depth - 1))


class Pct:
    """PCT with a fixed depth: random priorities of CPUs, which change at a few points."""

    name = "pct"

    def __init__(self, depth: int = DEFAULT_DEPTH) -> None:
        self.depth = depth

    def attempt(self, rng: Random, base: BaseRun) -> Run:
        return base.rerun.run(policy=PriorityPolicy(*draw_priorities(rng, base, self.depth)))
