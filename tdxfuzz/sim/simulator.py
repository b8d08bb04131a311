"""The loop: CPUs as greenlets, one of them running, and what happens at a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import ClassVar, NoReturn, Protocol

from greenlet import GreenletExit, getcurrent, greenlet

from tdxfuzz.sim.access import access_name
from tdxfuzz.sim.cpu import Cpu, Named, State
from tdxfuzz.sim.deadlock import hopeless
from tdxfuzz.sim.declared import Declared
from tdxfuzz.sim.departure import note_departure
from tdxfuzz.sim.errors import Hang, HarnessError, OutOfTime, StepBound, StopRun, StrayExitError
from tdxfuzz.sim.livelock import Livelock, LoopJudge, Rounds
from tdxfuzz.sim.local import LocalMemory
from tdxfuzz.sim.outcome import Outcome
from tdxfuzz.sim.softirq import Softirq, softirqs_of
from tdxfuzz.sim.standing import standing
from tdxfuzz.sim.trace import Datum, Trace
from tdxfuzz.sim.why import Why
from tdxfuzz.sim.worker import Worker

DEFAULT_BOUND = 100_000

MORE = 2
"""How many times as many steps as its bound a run may take beyond it."""

EventLog = Callable[[str, str, str, bool], None]
"""Called with operation, mode, resource and success after each logged operation."""

NEVER = 1 << 62


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
    first = sim.current.id + 1 if why is Why.YIELD else 0
    return next((cpu for cpu in (*cpus[first:], *cpus[:first]) if cpu.runnable), None)


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

    ``waits`` counts how often a CPU had to wait for a lock, ``rounds`` how often one went round in
    a retry loop; ``judges_loop``, if there is one, confirms that this can go on for ever. ``local``
    is kept only by a search that remembers states. A run that has used up its ``bound`` of steps is
    over, or goes on as ``beyond`` says, for :data:`MORE` times as many; ``expired``: no time left.

    ``switches`` has every change of CPU, as (step, CPU). ``order`` has only what the policy decided
    otherwise than the default order: a schedule of it makes the same run. ``preemptions`` counts
    switches away from a CPU that could have gone on. In ``cpus`` the CPUs that have programs come
    first, then ``workers``, then ``softirqs``, if there are any: one for each CPU and worker.

    Until :meth:`run` starts and after it ends, code may touch cells freely: steps are
    counted but nobody else can run (this is how a world is set up and inspected).

    Args:
        cpus: number of CPUs.
        policy: who runs next; :class:`DefaultOrder` if it is not given.
        trace: where to record every step, if anywhere.
        bound: steps after which a run is cut off; what comes before it: :data:`DEFAULT_BOUND`.
        softirqs: whether there are softirqs; who raises them sets ``softirq_handler``.
        workers: how many CPUs there are beside those with programs, to be employed.
    """

    STATE: ClassVar = Declared(
        parts="cpus rounds softirqs workers",
        tally="clock order preemptions switches waits",
        derived="_hub _looks _stopped_by bound current due expired in_overtime judges_loop local "
        "log over policy running trace",
        fixed="beyond softirq_handler",
    )

    __slots__ = tuple(STATE.roles)

    def __init__(
        self,
        cpus: int,
        policy: Policy | None = None,
        trace: Trace | None = None,
        bound: int = DEFAULT_BOUND,
        softirqs: bool = False,
        workers: int = 0,
    ) -> None:
        self.workers = [Worker(cpus + i) for i in range(workers)]
        self.cpus = [*map(Cpu, range(cpus)), *self.workers]
        self.softirqs = softirqs_of(self.cpus) if softirqs else []
        self.cpus += self.softirqs
        self.current = self.cpus[0]
        self.softirq_handler: Callable[[], None] | None = None
        self.policy: Policy = DefaultOrder() if policy is None else policy
        self.trace = trace
        self.beyond: Callable[[Simulator], Policy] | None = None
        self.bound = bound
        self.clock = 0
        self.due = max(bound, DEFAULT_BOUND)
        self.expired = False
        self._looks: Callable[[], None] | None = None
        self.in_overtime = False
        self.judges_loop: LoopJudge | None = None
        self.local: LocalMemory | None = None
        self.log: EventLog | None = None
        self.order: list[tuple[int, int]] = []
        self.over = False
        self.preemptions = 0
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
        if self.expired:
            self.stop(OutOfTime())
        if not self.running:
            if self.clock >= max(self.bound, DEFAULT_BOUND):
                self._cut("set-up", self.clock)
            return
        while True:
            if self.clock >= self.bound:
                self._at_bound()
            target = self.policy.preempt(self)
            if target is None:
                break
            self.preemptions += 1
            self._departs(target)
            self.go_on_with(target)
        if self._looks is not None:
            self._looks()
        if self.trace is not None:
            self.trace.add(self.clock, cpu.id, "step", cell.name, access_name(access))
        self.refresh()

    def at_each_step(self, look: Callable[[], None] | None) -> None:
        """From now on call ``look`` before each step of a run; None: no more."""
        self._looks = look
        if self.running:
            self.refresh()

    def refresh(self) -> None:
        """Work out the next step that needs attention."""
        if self.over or self.expired or self.trace is not None or self._looks is not None:
            self.due = -1
        else:
            self.due = min(self.policy.due, self.bound)

    def _at_bound(self) -> None:
        """All steps are used up: the run goes on beyond them, or is cut off."""
        if self.beyond is None or self.in_overtime:
            self._cut("run", self.bound)
        self.policy = self.beyond(self)
        self.in_overtime = True
        self.bound *= 1 + MORE

    def _cut(self, what: str, steps: int) -> NoReturn:
        told = f"the {what} took more than {steps} steps"
        self.stop(StepBound(told, standing(self.cpus, self.current)))

    def retry(self, cell: Named) -> None:
        """A retry point: one step on ``cell`` after which the others go first.

        Raises:
            Livelock: for a long time nobody has done anything but pass retry points.
        """
        self.step(cell, 0)
        # Before a run starts nobody else can go on.
        cpu = self.current
        going_round = self.rounds.pass_by(cpu, self.cpus if self.running else [cpu])
        if going_round or (self.in_overtime and self.judges_loop is not None):
            judge = self.judges_loop
            livelock = Livelock(going_round) if judge is None else judge(going_round)
            if livelock is not None:
                self.stop(livelock)
        if self.running:
            target = self._choose(Why.YIELD)
            if target is not None and target is not cpu:
                cpu.at_retry_point = True
                self.go_on_with(target)
                cpu.at_retry_point = False

    def blocked(self) -> None:
        """Run others until the current CPU, which is blocked, has been woken."""
        self.waits += 1
        self._note("block")
        target = self._choose(Why.BLOCK)
        if target is None:
            self.stop(hopeless(self.cpus))
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
        """Have the handler run on top of the current CPU, at any later step; in a set-up at once,
        for nobody could tell the difference.
        """
        assert self.softirq_handler is not None
        if not self.running:
            self.softirq_handler()
            return
        softirq = self.softirqs[self.current.on]
        if softirq.state is State.DONE:
            self.employ(softirq, self.softirq_handler)

    def employ(self, cpu: Cpu, body: Callable[[], None]) -> None:
        """Have a softirq or worker that is done run ``body``, at any later step."""
        cpu.state = State.RUNNABLE
        cpu.greenlet = greenlet(self._body(cpu, body), self._hub)

    def run(self, bodies: Sequence[Callable[[], None]]) -> Outcome:
        """Run one body per CPU until all are done, one stops the run, or none can go on.

        Raises:
            HarnessError: as raised by a body.
            Exception: whatever else a body raised; the other CPUs are unwound first.
        """
        cpus = self.cpus[: len(self.cpus) - len(self.softirqs) - len(self.workers)]
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
        if isinstance(reason, Hang | OutOfTime):
            raise reason
        return Outcome.after(reason, steps, tuple(self.switches))

    def _loop(self) -> None:
        why = Why.START
        while True:
            target = self._choose(why)
            if target is None:
                if all(cpu.state is State.DONE for cpu in self.cpus):
                    return
                self.stop(hopeless(self.cpus))
            self.go_on_with(target)
            why = Why.DONE

    def _choose(self, why: Why) -> Cpu | None:
        """The policy's choice, and a note of it where the default order has another one."""
        target = self.policy.choose(self, why)
        if target is not None and target is not default_choice(self, why):
            self._departs(target)
            if target is self.current and why is Why.YIELD:
                self.switches.append((self.clock, target.id))
        return target

    def _departs(self, target: Cpu) -> None:
        """The policy leaves the default order here. What happens behind the bound is no part of the
        order: it is the same whatever led there.
        """
        if not self.in_overtime:
            note_departure(self.order, self.switches, (self.clock, target.id))

    def _body(self, cpu: Cpu, body: Callable[[], None]) -> Callable[[], None]:
        def main() -> None:
            try:
                body()
            except GreenletExit as error:
                if self.over:
                    raise
                stray = StrayExitError(type(error).__name__)
                raise stray.with_traceback(error.__traceback__) from None
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

    def record(self, step: int, kind: str, what: str, *data: Datum) -> None:
        """Write what the current CPU did into the trace, if there is one: of the programs, or of
        the set-up before them. CPUs that are unwound do nothing any more.
        """
        if self.trace is not None and not self.over:
            self.trace.add(step, self.current.id, kind, what, *data)

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
