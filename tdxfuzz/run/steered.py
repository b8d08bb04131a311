"""A run that is steered while it goes on: who starts what, and who runs how far.

A case says everything beforehand. Here a driver (a Hypothesis machine, a person at a
prompt) decides as it goes, and :meth:`LiveRun.finish` gives the case that says the same.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve
from greenlet import getcurrent, greenlet

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.check.finding import Finding
from tdxfuzz.host import operations
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, Session
from tdxfuzz.sim import NEVER, Cpu, Schedule, Simulator, Why, default_choice, watched


class _Steered:
    """A policy that stops at every decision and lets the driver go on.

    ``asker`` is the greenlet that waits for the decision; ``decisions`` are all that were
    taken, as (step, CPU), those to stay included.
    """

    def __init__(self, driver: greenlet) -> None:
        self._driver = driver
        self.asker: greenlet | None = None
        self.decisions: list[tuple[int, int]] = []
        self.due = NEVER
        self.target: Cpu | None = None
        self.steering = True

    def ask(self, sim: Simulator) -> Cpu | None:
        """Hand over to the driver; the CPU it wants to go on with."""
        self.asker = getcurrent()
        self._driver.switch()
        if self.target is not None:
            self.decisions.append((sim.clock, self.target.id))
        return self.target

    def preempt(self, sim: Simulator) -> Cpu | None:
        if not self.steering or sim.clock < self.due:
            return None
        target = self.ask(sim)
        return None if target is sim.current else target

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        target = self.ask(sim) if self.steering else None
        if target is None or not target.runnable:
            return default_choice(sim, why)
        return target

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """Nothing: the driver sees who can run."""


class LiveRun:
    """CPUs without programs, which get their operations one by one.

    Args:
        design_name: a built-in design, or the name of ``design``.
        world: the machine.
        setup: operations performed beforehand.
        design: a user's design.

    Raises:
        HarnessError: as for :class:`tdxfuzz.run.session.Session`.
    """

    def __init__(
        self,
        design_name: str,
        world: World,
        setup: tuple[Op, ...] = (),
        design: Design = None,
    ) -> None:
        self._policy = _Steered(getcurrent())
        case = Case(design_name, world, setup, programs=((),) * world.cpus)
        self._session = Session(case, design, policy=self._policy)
        # Between two decisions the driver may take its time.
        self._session.watches_itself = False
        self._sim = self._session.sim
        self._programs: list[list[Op]] = [[] for _ in range(world.cpus)]
        self._begun = [0] * world.cpus
        self._busy = [False] * world.cpus
        self._finished = False
        self._run: Run | None = None
        self._policy.asker = greenlet(self._main)
        self._resume()

    @property
    def findings(self) -> list[Finding]:
        """What the checks have found so far."""
        return self._session.findings

    @property
    def operations(self) -> int:
        """Operations started so far, on all CPUs."""
        return sum(map(len, self._programs))

    def idle(self) -> list[int]:
        """CPUs that could start an operation."""
        return [cpu for cpu, busy in enumerate(self._busy) if not busy]

    def under_way(self) -> list[int]:
        """CPUs in the middle of an operation, or workers with something to do, that could go on."""
        busy = [cpu for cpu, is_busy in zip(self._sim.cpus, self._busy, strict=False) if is_busy]
        return [cpu.id for cpu in (*busy, *self._sim.workers) if cpu.runnable]

    def start(self, cpu: int, op: Op, steps: int | None = None) -> None:
        """Start an operation on an idle CPU, and go on for so many steps.

        Without ``steps``: until it ends or cannot go on.
        """
        assert not self._busy[cpu]
        self._busy[cpu] = True
        self._programs[cpu].append(op)
        self.go_on(cpu, steps)

    def go_on(self, cpu: int, steps: int | None = None) -> None:
        """Go on with a CPU for so many steps, or until it ends or cannot go on."""
        self._policy.target = self._sim.cpus[cpu]
        self._policy.due = NEVER if steps is None else self._sim.clock + steps
        self._sim.refresh()
        self._resume()

    def finish(self) -> tuple[Case, Run]:
        """Let everything that is under way end; the case that does the same, and the run.

        The case replayed by itself shows what this run shows.
        """
        self._finished = True
        self._policy.steering = False
        self._policy.target = None
        self._policy.due = NEVER
        self._sim.refresh()
        while self._run is None:
            self._resume()
        case = evolve(
            self._session.case,
            programs=tuple(map(tuple, self._programs)),
            schedule=Schedule.of(self._policy.decisions),
        )
        return case, self._run

    def _resume(self) -> None:
        """Go on where the decision is waited for; returns at the next one, or at the end."""
        if self._policy.asker is not None and not self._policy.asker.dead:
            with watched(self._sim):
                self._policy.asker.switch()

    def _main(self) -> None:
        cpus = range(len(self._programs))
        self._run = self._session.execute([self._body(cpu) for cpu in cpus])

    def _body(self, cpu: int) -> Callable[[], None]:
        def body() -> None:
            while self._has_work(cpu):
                op = self._programs[cpu][self._begun[cpu]]
                self._begun[cpu] += 1
                operations.run(self._session.host, op)
                self._busy[cpu] = False

        return body

    def _has_work(self, cpu: int) -> bool:
        """Wait for an operation; False once there will be none."""
        while self._begun[cpu] == len(self._programs[cpu]):
            if self._finished:
                return False
            target = self._policy.ask(self._sim)
            if target is not None and target.id != cpu:
                self._sim.go_on_with(target)
        return True
