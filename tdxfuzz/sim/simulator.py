"""The loop: CPUs as greenlets, one of them running, and what happens at a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import ClassVar, NoReturn, Protocol

from greenlet import GreenletExit, getcurrent, greenlet

from tdxfuzz.sim.access import access_name
from tdxfuzz.sim.cpu import Cpu, Named, State
from tdxfuzz.sim.deadlock import Deadlock
from tdxfuzz.sim.declared import Declared
from tdxfuzz.sim.errors import HarnessError, StepBound, StopRun
from tdxfuzz.sim.livelock import Rounds
from tdxfuzz.sim.local import LocalMemory
from tdxfuzz.sim.outcome import Outcome
from tdxfuzz.sim.softirq import Softirq
from tdxfuzz.sim.trace import Trace

DEFAULT_BOUND = 100_000

EventLog = Callable[[str, str, str, bool], None]
"""Called with operation, mode, resource and success after each logged operation."""

NEVER = 1 << 62


class Why(Enum):
    """Why somebody else has to be chosen."""

    START = "start"
    BLOCK = "block"
    YIELD = "yield"
    DONE = "done"


class Policy(Protocol):
    """Decides who runs. All its freedom is here; all else is determined."""

    due: int
    """The next step before which :meth:`preempt` wants to be asked."""

    def preempt(self, sim: Simulator) -> Cpu | None:
        """A runnable CPU to run instead of the current one, or None to go on."""

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        """A runnable CPU, now that the current one stopped; None if there is none."""

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """``cpu`` became runnable again (a lock was handed to it)."""


def default_choice(sim: Simulator, why: Why) -> Cpu | None:
    """The lowest runnable id; after a yield the next in the ring, itself last. When a softirq
    has ended, its CPU goes on.
    """
    cpus = sim.cpus
    interrupted = cpus[sim.current.on]
    if why is Why.DONE and interrupted is not sim.current and interrupted.runnable:
        return interrupted
    if why is Why.YIELD:
        here = sim.current.id
        order = [cpus[(here + i) % len(cpus)] for i in range(1, len(cpus) + 1)]
    else:
        order = cpus
    return next((cpu for cpu in order if cpu.runnable), None)


class DefaultOrder:
    """Stay on the current CPU until it blocks, yields or ends."""

    __slots__ = ("due",)

    STATE: ClassVar = Declared(derived="due")

    def __init__(self) -> None:
        self.due = NEVER

    def preempt(self, sim: Simulator) -> Cpu | None:
        """None: no CPU is preempted."""
        return None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        """The default choice."""
        return default_choice(sim, why)

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """Nothing: a woken CPU waits for its turn."""


class Simulator:
    """CPUs, the step counter, and the one place where they alternate.

    ``waits`` counts how often a CPU had to wait for a lock, ``rounds`` how often one went
    round in a retry loop. ``local`` is kept only by a search that remembers states.

    Until :meth:`run` starts and after it ends, code may touch cells freely: steps are
    counted but nobody else can run (this is how a world is set up and inspected).

    ``softirqs``, if there are any, come behind the CPUs in ``cpus``, one for each of them.

    Args:
        cpus: number of CPUs.
        policy: who runs next; :class:`DefaultOrder` if it is not given.
        trace: where to record every step, if anywhere.
        bound: steps after which the run is cut off.
        softirqs: whether there are softirqs; who raises them sets ``softirq_handler``.
    """

    __slots__ = (
        "_hub",
        "_stopped_by",
        "bound",
        "clock",
        "cpus",
        "current",
        "due",
        "local",
        "log",
        "over",
        "policy",
        "rounds",
        "running",
        "softirq_handler",
        "softirqs",
        "switches",
        "trace",
        "waits",
    )

    STATE: ClassVar = Declared(
        parts="cpus rounds softirqs",
        tally="clock switches waits",
        derived="_hub _stopped_by current due local log over policy running trace",
        fixed="bound softirq_handler",
    )

    def __init__(
        self,
        cpus: int,
        policy: Policy | None = None,
        trace: Trace | None = None,
        bound: int = DEFAULT_BOUND,
        softirqs: bool = False,
    ) -> None:
        self.cpus = [Cpu(i) for i in range(cpus)]
        self.current = self.cpus[0]
        self.softirqs: list[Softirq] = []
        if softirqs:
            self.softirqs = [Softirq(cpus + i, cpu) for i, cpu in enumerate(self.cpus)]
            self.cpus += self.softirqs
        self.softirq_handler: Callable[[], None] | None = None
        self.policy: Policy = DefaultOrder() if policy is None else policy
        self.trace = trace
        self.bound = bound
        self.clock = 0
        self.due = NEVER
        self.local: LocalMemory | None = None
        self.log: EventLog | None = None
        self.over = False
        self.rounds = Rounds(len(self.cpus))
        self.running = False
        self.switches: list[tuple[int, int]] = []
        self.waits = 0
        self._hub: greenlet | None = None
        self._stopped_by: StopRun | None = None

    def step(self, cell: Named, access: int) -> None:
        """Announce an atomic action on ``cell``; return when it may be performed."""
        if self.clock >= self.due:
            self._attend(cell, access)
        self.clock += 1

    def _attend(self, cell: Named, access: int) -> None:
        """The rare step before which something has to be decided or recorded."""
        if self.over:
            raise GreenletExit
        cpu = self.current
        cpu.next_cell, cpu.next_access = cell, access
        while True:
            if self.clock >= self.bound:
                self.stop(StepBound(f"the run took more than {self.bound} steps"))
            target = self.policy.preempt(self)
            if target is None:
                break
            self.go_on_with(target)
        if self.trace is not None:
            self.trace.add(self.clock, cpu.id, "step", cell.name, access_name(access))
        self.refresh()

    def refresh(self) -> None:
        """Work out the next step that needs attention."""
        if self.over or self.trace is not None:
            self.due = -1
        else:
            self.due = min(self.policy.due, self.bound)

    def retry(self, cell: Named) -> None:
        """A retry point: one step on ``cell`` after which the others go first.

        Raises:
            Livelock: for a long time nobody has done anything but pass retry points.
        """
        self.step(cell, 0)
        # Before a run starts nobody else can go on.
        livelock = self.rounds.pass_by(self.current, self.cpus if self.running else [self.current])
        if livelock is not None:
            self.stop(livelock)
        if self.running:
            target = self.policy.choose(self, Why.YIELD)
            if target is not None and target is not self.current:
                self.go_on_with(target)

    def blocked(self) -> None:
        """Run others until the current CPU, which is blocked, has been woken."""
        self.waits += 1
        self._note("block")
        target = self.policy.choose(self, Why.BLOCK)
        if target is None:
            self.stop(self._hopeless())
        self.go_on_with(target)

    def stop(self, reason: StopRun) -> NoReturn:
        """End the run at once: from here on no primitive acts any more.

        Raises:
            StopRun: ``reason``, through the current CPU.
        """
        self.over = True
        self.due = -1
        self._stopped_by = reason
        raise reason

    def wake(self, cpu: Cpu) -> None:
        """Make a blocked CPU runnable."""
        softirq = self.softirqs[cpu.on] if self.softirqs else None
        if softirq is not None and softirq.active and softirq is not cpu:
            cpu.waiting_for = softirq.interrupt
        else:
            cpu.state = State.RUNNABLE
            cpu.waiting_for = None
        self.policy.woken(self, cpu)

    def raise_softirq(self) -> None:
        """Have the handler run on top of the current CPU, at any later step.

        In a set-up it runs at once: nobody could tell the difference.
        """
        assert self.softirq_handler is not None
        if not self.running:
            self.softirq_handler()
            return
        softirq = self.softirqs[self.current.on]
        if softirq.state is State.DONE:
            softirq.state = State.RUNNABLE
            softirq.greenlet = greenlet(self._body(softirq, self.softirq_handler), self._hub)

    def run(self, bodies: Sequence[Callable[[], None]]) -> Outcome:
        """Run one body per CPU until all are done, one stops the run, or none can go on.

        Raises:
            HarnessError: as raised by a body.
            Exception: whatever else a body raised; the other CPUs are unwound first.
        """
        cpus = self.cpus[: len(self.cpus) - len(self.softirqs)]
        if len(bodies) != len(cpus):
            raise HarnessError(f"{len(bodies)} programs for {len(cpus)} CPUs")
        if self._hub is not None:
            raise HarnessError("a simulator runs once; make another one")
        self._hub = getcurrent()
        for cpu, body in zip(cpus, bodies, strict=True):
            cpu.greenlet = greenlet(self._body(cpu, body), self._hub)
        self.clock = 0
        self.rounds.clear()
        self.running = True
        self.refresh()
        reason: BaseException | None = None
        try:
            self._loop()
        except (StopRun, GreenletExit) as stopped:
            # A ``finally`` block on the way out may have put a GreenletExit in its place.
            reason = self._stopped_by or stopped
        finally:
            steps = self.clock
            self._unwind()
        return Outcome.after(reason, steps, tuple(self.switches))

    def _loop(self) -> None:
        why = Why.START
        while True:
            target = self.policy.choose(self, why)
            if target is None:
                if all(cpu.state is State.DONE for cpu in self.cpus):
                    return
                self.stop(self._hopeless())
            self.go_on_with(target)
            why = Why.DONE

    def _body(self, cpu: Cpu, body: Callable[[], None]) -> Callable[[], None]:
        def main() -> None:
            body()
            cpu.state = State.DONE
            if isinstance(cpu, Softirq):
                cpu.end()
            self._note("done")

        return main

    def go_on_with(self, target: Cpu) -> None:
        """Continue with ``target``; returns when somebody continues with us."""
        self.switches.append((self.clock, target.id))
        self._note("switch", target.id)
        self.current = target
        if isinstance(target, Softirq) and not target.active:
            target.begin()
        assert target.greenlet is not None
        target.greenlet.switch()
        if self.over:
            raise GreenletExit

    def _note(self, kind: str, *data: int) -> None:
        if self.trace is not None:
            waiting = self.current.waiting_for
            what = waiting.name if waiting is not None else ""
            self.trace.add(self.clock, self.current.id, kind, what, *data)

    def _hopeless(self) -> Deadlock:
        """Nobody can go on: each blocked CPU with one (done, or stuck too) in its way."""
        return Deadlock(
            [
                (cpu, cpu.waiting_for, cpu.waiting_for.blockers(cpu)[0])
                for cpu in self.cpus
                if cpu.waiting_for is not None
            ]
        )

    def _unwind(self) -> None:
        """Make every primitive inert and let the suspended CPUs' ``finally`` blocks run."""
        self.over = True
        self.running = False
        self.due = -1
        for cpu in self.cpus:
            for _ in range(3):
                if cpu.greenlet is None or cpu.greenlet.dead:
                    break
                # Why the run ended counts, not what a ``finally`` block makes of it.
                with suppress(Exception):
                    cpu.greenlet.throw(GreenletExit)
            cpu.greenlet = None
        self.over = False
        self.due = NEVER
