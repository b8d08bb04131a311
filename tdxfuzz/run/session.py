"""The one pure function: a case in, what happened and what was wrong with it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from attrs import evolve
from greenlet import GreenletExit

from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.operation import Op
from tdxfuzz.check import C_CHECKS, CAREFUL, CHECKS, HOSTILE_CHECKS
from tdxfuzz.check.base import Check
from tdxfuzz.check.finding import Finding
from tdxfuzz.check.in_flight import InFlight
from tdxfuzz.host import operations
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.host import Host
from tdxfuzz.host.hostile import Hostile
from tdxfuzz.module.watch import ModuleWatch
from tdxfuzz.run.blame import DesignError, blaming, without_end
from tdxfuzz.run.cut_off import cut_off
from tdxfuzz.run.event_log import event_log
from tdxfuzz.run.judge import Judge
from tdxfuzz.run.loop_judge import ROUNDS, LoopJudge
from tdxfuzz.run.observer import Observer
from tdxfuzz.run.outside_watch import OutsideWatch
from tdxfuzz.run.repeats import Repeats, once_more
from tdxfuzz.run.result import Run
from tdxfuzz.run.sources import Look, Looking, Sources
from tdxfuzz.run.tally import Tally
from tdxfuzz.sim import (
    MORE,
    NEVER,
    STATE_AND_MEMORY,
    End,
    FairTurns,
    FollowSchedule,
    HarnessError,
    Livelock,
    Outcome,
    Policy,
    Rewind,
    Schedule,
    Simulator,
    StepBound,
    StrayExitError,
    Switch,
    Trace,
    watched,
)

Design = type[RefcountLayer] | None
"""The class that ``case.design`` names, where it is not a built-in one."""

Fingerprint = Callable[[Host], int]
"""A number for the state a host is in: paid for only by runs that asked for it."""

_BUILT_IN: dict[str, type[RefcountLayer]] = {**DESIGNS, HOSTILE: Hostile}


class UnknownDesignError(HarnessError):
    """A case names a design that nobody supplied."""


class SetupError(HarnessError):
    """A setup operation failed, so the programs would run in another world than meant.

    ``setup`` is the whole set-up, ``index`` the operation in it, ``problem`` how it failed.
    """

    def __init__(self, setup: tuple[Op, ...], index: int, failure: str) -> None:
        self.setup = setup
        self.index = index
        self.problem = f"{str(setup[index])!r} failed: {failure}; it must succeed"
        super().__init__(f"set-up operation {self.problem}")


class Session:
    """A host under all checks: set up, then run, then judged. One that has been told to
    :meth:`keep` its set-up can be run again and again (:mod:`tdxfuzz.run.worlds`).

    Args:
        case: what to run; its programs may be left to :meth:`execute`.
        design: the class that ``case.design`` names, where it is not a built-in one.
        traced: keep a trace of every step.
        policy: decides in place of the case's schedule.
        careful: compare the module's tables after every call, not only at rest.
        every_check: go on after a finding, until each check has found what it can.
        sources: the trace names lines of the design's code.
        look: is shown the host before each record of a trace, those of the set-up included.

    Raises:
        UnknownDesignError: ``case.design`` is not built in and ``design`` is not given.
        DesignError: the design raised.
        HarnessError: the design used the harness wrongly, or the set-up failed.
    """

    def __init__(
        self,
        case: Case,
        design: Design = None,
        traced: bool = False,
        policy: Policy | None = None,
        careful: bool = False,
        every_check: bool = False,
        sources: bool = False,
        look: Look | None = None,
    ) -> None:
        layer_class = layer_class_of(case, design)
        self.case = case
        self.findings: list[Finding] = []
        self.traced = traced
        self.trace: Trace | None = None
        self.setup_trace: Trace | None = None
        self.fingerprint: Fingerprint | None = None
        self._rewind: Rewind | None = None
        self._layer_class = layer_class
        self._follow = FollowSchedule(once_more(case.schedule))
        self.sim = Simulator(
            case.world.cpus,
            policy or self._follow,
            bound=case.steps,
            softirqs=layer_class.frees_sept_from_rcu,
            workers=layer_class.kworkers,
        )
        with watched(self.sim), blaming(layer_class):
            self.layer = layer_class()
            try:
                self.host = Host(self.sim, case, self.layer)
            except (Livelock, StepBound) as endless:
                raise without_end(self.layer, self.sim.current, endless) from None
        where = Sources(self.layer, self.sim) if sources else None
        self._where = where if look is None else Looking(look, self.host, where)
        self._outside = OutsideWatch(self.sim, self.layer, self.host.kvm)
        self._every_check = every_check
        self._in_flight = InFlight(self.sim)
        self._checks = [
            check(self.host, self._in_flight, self.findings)
            for check in _listening(case, careful, layer_class)
        ]
        self._tally = Tally(self.sim, self.host.guests)
        self.overhear()
        self._stuck: Livelock | None = None
        self.watches_itself = True
        self._setup_steps = 0
        self._in_setup = True
        self.sim.rounds.most = ROUNDS
        self.sim.judges_loop = LoopJudge(
            self.host, self._checks, may_starve=bool(self.layer.may_starve)
        )
        if traced:
            self.sim.trace = self.setup_trace = Trace(self._where)
        try:
            with watched(self.sim), blaming(layer_class):
                set_up(self.host, case.setup, self.findings)
            self._outside.look()
        except Livelock as livelock:
            self._stuck = livelock
        except StepBound as bound:
            raise self._with_run(without_end(self.layer, self.sim.current, bound)) from None
        except DesignError as error:
            raise self._with_run(error) from error.__cause__
        self._in_setup = bool(self.findings) or self._stuck is not None
        self.sim.trace = None
        self.sim.beyond = _in_fair_turns
        self.host.pages.arm()
        self._setup_steps = self.sim.clock

    def overhear(self, *listeners: ModuleWatch) -> None:
        """From now on host and module tell the checks, and in the coming run ``listeners``."""
        own = () if self._outside.is_inert else (self._outside,)
        judge = Judge([self.host, self._in_flight, *self._checks, self._tally, *own, *listeners])
        self.host.watch = self.host.pages.watch = self.host.held_locks.watch = judge
        self.host.module.watch = judge

    def remembered(self) -> tuple[object, ...]:
        """What the checks remember of the way here, beside what the host keeps for them. A run
        with a finding is not looked at again at rest.
        """
        found = bool(self.findings) and not self._every_check
        return found, *map(STATE_AND_MEMORY, self._checks)

    def keep(self) -> Session:
        """From now on each run begins with what the set-up has left.

        Raises:
            NotRewindableError: the design keeps something that cannot be put back.
        """
        sim = self.sim
        # A policy may know a great deal, and each run brings its own.
        policy, sim.policy = sim.policy, self._follow
        self._rewind = Rewind(self.host, self._checks, self._in_flight, self._tally, self.findings)
        sim.policy = policy
        return self

    def rewind(self, case: Case, policy: Policy | None = None, traced: bool = False) -> None:
        """Back to the set-up, of which :meth:`keep` has taken note; to be run once more.

        Args:
            case: begins as the one that was set up; programs, faults and schedule may differ.
            policy: decides in place of the schedule.
            traced: keep a trace of every step.
        """
        assert self._rewind is not None
        self._rewind()
        self._setup_steps = 0
        self._tally.clear()
        self.case = self.host.case = case
        self.host.expect(case.faults)
        self.traced = traced
        self._follow = FollowSchedule(once_more(case.schedule))
        self.sim.policy = policy or self._follow

    def steer(self, policy: Policy) -> None:
        """In the coming run ``policy`` decides, not the case's schedule."""
        self.sim.policy = policy

    def run_programs(self) -> Run:
        """Run the case's programs to the end, and let the checks judge."""
        loop = self.case.schedule.loop
        if loop is not None and self.sim.policy is self._follow:
            # The loop is known, however many rounds led to it.
            self.sim.rounds.most = NEVER
            self.steer(Repeats(Observer(self.host, self.remembered), self._follow, loop))
        return self.execute([operations.body(self.host, program) for program in self.case.programs])

    def execute(self, bodies: Sequence[Callable[[], None]]) -> Run:
        """Run one body per CPU to the end, and let the checks judge."""
        end = End.STOPPED if self._stuck is None else End.LIVELOCK
        outcome = Outcome(end, 0, (), livelock=self._stuck)
        if self.traced:
            self.trace = Trace(self._where)
            if self.setup_trace is not None and (self._in_setup or not self.case.operations):
                self.trace.records += self.setup_trace.records
            self.sim.trace = self.trace
            self.sim.log = event_log(self.sim, self.trace)
        if not self.findings and self._stuck is None:
            try:
                with self._watching(), blaming(self._layer_class):
                    outcome = self.sim.run(bodies)
            except DesignError as error:
                if not self.findings:
                    raise self._with_run(error) from error.__cause__
                outcome = self._stopped()
        self.sim.log = self.sim.trace = None
        for check in self._checks:
            check.stopped(outcome)
        if not self.findings or self._every_check:
            self.layer.check_sealed()
        if outcome.end is End.REST:
            for check in self._checks:
                if not self.findings or self._every_check:
                    check.at_rest(outcome)
        try:
            self._outside.after_run(found=bool(self.findings))
        except DesignError as error:
            raise self._with_run(error) from None
        return self._result(outcome)

    def _watching(self) -> AbstractContextManager[None]:
        return watched(self.sim) if self.watches_itself else nullcontext()

    def _stopped(self) -> Outcome:
        """The outcome of a run that came to no end of its own."""
        return Outcome(End.STOPPED, self.sim.clock, tuple(self.sim.switches))

    def so_far(self) -> Run:
        """The run up to where it was stopped."""
        return self._result(self._stopped())

    def _with_run(self, error: DesignError) -> DesignError:
        """The error, with the run up to it."""
        self.sim.log = None
        finding = error.as_finding(max(self.sim.clock - 1, 0), self.sim.current.id)
        error.run = evolve(self._result(self._stopped()), findings=(finding,))
        return error

    def _cut_off(self, outcome: Outcome) -> Finding | None:
        if outcome.bound is None:
            return None
        waiting = [(cpu, cpu.waiting_for.name) for cpu in self.sim.cpus if cpu.waiting_for]
        return cut_off(outcome.bound, self.layer, waiting, max(outcome.steps - 1, 0))

    def _result(self, outcome: Outcome) -> Run:
        return Run(
            case=self.case.with_schedule(self._order()),
            outcome=outcome,
            findings=tuple(self.findings),
            preemptions=self.sim.preemptions,
            calls=self._tally.calls if self._rewind is None else self._tally.calls.copy(),
            seen=frozenset(check.id for check in self._checks if check.seen),
            setup_steps=self._setup_steps,
            waits=self.sim.waits,
            adds_met=self._in_flight.adds_met,
            met=frozenset(self._tally.met),
            contention=self._tally.contention(),
            longest=self._in_flight.longest,
            contexts=len(self.sim.cpus),
            workers=len(self.sim.workers),
            layout=self.host.layout,
            in_setup=self._in_setup,
            tolerates=self.layer.tolerates,
            setup_trace=self.setup_trace,
            trace=self.trace,
            cut_off=self._cut_off(outcome),
            faults_met=frozenset(fault for fault in self.case.faults if self.host.met(fault)),
            state=None if self.fingerprint is None else self.fingerprint(self.host),
        )

    def _order(self) -> Schedule:
        """What has decided in the run, without the second time of a loop."""
        loop = self.case.schedule.loop
        most = NEVER if loop is None else loop[1]
        switches = (Switch(step, cpu) for step, cpu in self.sim.order if step <= most)
        return Schedule(tuple(switches), loop)


def run(
    case: Case,
    design: Design = None,
    traced: bool = False,
    policy: Policy | None = None,
    careful: bool = False,
    sources: bool = False,
    look: Look | None = None,
) -> Run:
    """Run a case under all checks. Arguments and errors are those of :class:`Session`."""
    session = Session(case, design, traced, policy, careful, sources=sources, look=look)
    return session.run_programs()


def checks_of(design: str, layer: Design = None) -> Mapping[str, type[Check]]:
    """The checks there are for a design, or for raw SEAMCALLs, by id; ``layer`` is the class that
    the name means, if it is not a built-in one.
    """
    if design == HOSTILE:
        return HOSTILE_CHECKS
    return CHECKS if layer is None or layer.c_file is None else {**CHECKS, **C_CHECKS}


def _listening(case: Case, careful: bool, layer_class: type[RefcountLayer]) -> list[type[Check]]:
    """The checks that a case asks for.

    Raises:
        HarnessError: it asks for one that does not exist.
    """
    checks = checks_of(case.design, layer_class)
    if careful:
        checks = {**checks, **CAREFUL}
    for name in case.checks:
        if name not in checks:
            raise HarnessError(f"unknown check {name!r}; known: {', '.join(checks)}")
    return [check for name, check in checks.items() if not case.checks or name in case.checks]


def set_up(host: Host, setup: tuple[Op, ...], findings: list[Finding]) -> None:
    """Perform the operations of a set-up, until something is found.

    Raises:
        SetupError: one failed.
    """
    for index, op in enumerate(setup):
        try:
            result = operations.run(host, op)
        except GreenletExit as error:
            stray = StrayExitError(type(error).__name__)
            raise stray.with_traceback(error.__traceback__) from None
        if findings:
            return
        failure = operations.failure(result)
        if failure:
            raise SetupError(setup, index, failure)


def _in_fair_turns(sim: Simulator) -> Policy:
    """What decides once a run has used up its steps."""
    return FairTurns(sim, half=sim.clock + sim.bound * MORE // 2)


def layer_class_of(case: Case, design: Design = None) -> type[RefcountLayer]:
    """The class of a case's design.

    Raises:
        UnknownDesignError: it is not built in, and none is given.
    """
    layer_class = design or _BUILT_IN.get(case.design)
    if layer_class is None:
        base, plus, kvm = case.design.partition("+")
        if plus and base in _BUILT_IN:
            raise UnknownDesignError(
                f"{case.design!r} is {base} under a KVM of the user's, {kvm}; pass the class"
            )
        raise UnknownDesignError(
            f"unknown design {case.design!r}; see `tdxfuzz list designs`, or pass the class"
        )
    return layer_class
