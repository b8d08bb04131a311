"""The one pure function: a case in, what happened and what was wrong with it out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import isfunction

from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.operation import Op
from tdxfuzz.check import C_CHECKS, CAREFUL, CHECKS, HOSTILE_CHECKS
from tdxfuzz.check.base import Check
from tdxfuzz.check.finding import Finding
from tdxfuzz.check.in_flight import InFlight
from tdxfuzz.host import operations
from tdxfuzz.host.c.errors import CodeError
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.host import Host
from tdxfuzz.host.hostile import Hostile
from tdxfuzz.module.watch import ModuleWatch
from tdxfuzz.run.judge import Judge
from tdxfuzz.run.observer import Observer
from tdxfuzz.run.repeats import Repeats, once_more
from tdxfuzz.run.result import Run
from tdxfuzz.run.tally import Tally
from tdxfuzz.sim import (
    End,
    FollowSchedule,
    HarnessError,
    Livelock,
    Outcome,
    Policy,
    Rewind,
    Schedule,
    Simulator,
    Trace,
)

Design = type[RefcountLayer] | None
"""The class that ``case.design`` names, where it is not a built-in one."""

Fingerprint = Callable[[Host], int]
"""A number for the state a host is in: paid for only by runs that asked for it."""

_BUILT_IN: dict[str, type[RefcountLayer]] = {**DESIGNS, HOSTILE: Hostile}


class UnknownDesignError(HarnessError):
    """A case names a design that nobody supplied."""


class DesignError(HarnessError):
    """A design raised: a mistake in its code, never a finding. ``details`` is a traceback."""

    def __init__(self, message: str, details: str) -> None:
        super().__init__(message)
        self.details = details


class SetupError(HarnessError):
    """A setup operation failed, so the programs would run in another world than meant."""


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
    ) -> None:
        layer_class = layer_class_of(case, design)
        self.case = case
        self.findings: list[Finding] = []
        self.traced = traced
        self.trace: Trace | None = None
        self.fingerprint: Fingerprint | None = None
        self._rewind: Rewind | None = None
        self._layer_class = layer_class
        self._follow = FollowSchedule(once_more(case.schedule))
        self.sim = Simulator(
            case.world.cpus,
            policy or self._follow,
            bound=case.steps,
            softirqs=layer_class.frees_sept_from_rcu,
        )
        with self._blaming():
            self.layer = layer_class()
            self.host = Host(self.sim, case, self.layer)
        self._every_check = every_check
        self._in_flight = InFlight(self.sim)
        self._checks = [
            check(self.host, self._in_flight, self.findings)
            for check in _listening(case, careful, layer_class)
        ]
        self._tally = Tally(self.sim)
        self.overhear()
        self._stuck: Livelock | None = None
        try:
            with self._blaming():
                _set_up(self.host, case.setup, self.findings)
        except Livelock as livelock:
            self._stuck = livelock
        self.host.pages.arm()
        self._setup_steps = self.sim.clock

    def overhear(self, *listeners: ModuleWatch) -> None:
        """From now on host and module tell the checks, and in the coming run ``listeners``."""
        judge = Judge([self.host, self._in_flight, *self._checks, self._tally, *listeners])
        self.host.watch = self.host.pages.watch = self.host.held_locks.watch = judge
        self.host.module.watch = judge

    def remembered(self) -> tuple[object, ...]:
        """What the checks remember of the way here, beside what the host keeps for them."""
        return tuple(check.remembers() for check in self._checks)

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
        self._tally.calls.clear()
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
            self.steer(Repeats(Observer(self.host, self.remembered), self._follow, loop))
        return self.execute([_body(self.host, program) for program in self.case.programs])

    def execute(self, bodies: Sequence[Callable[[], None]]) -> Run:
        """Run one body per CPU to the end, and let the checks judge."""
        end = End.STOPPED if self._stuck is None else End.LIVELOCK
        outcome = Outcome(end, 0, (), livelock=self._stuck)
        self.trace = Trace() if self.traced else None
        if self.trace is not None:
            self.sim.trace = self.trace
            self.sim.log = _event_log(self.sim, self.trace)
        if not self.findings and self._stuck is None:
            try:
                with self._blaming():
                    outcome = self.sim.run(bodies)
            except (DesignError, CodeError):
                if not self.findings:
                    raise
                outcome = Outcome(End.STOPPED, self.sim.clock, tuple(self.sim.switches))
        self.sim.log = None
        for check in self._checks:
            check.stopped(outcome)
        if not self.findings or self._every_check:
            self.layer.check_sealed()
        if outcome.end is End.REST:
            for check in self._checks:
                if not self.findings or self._every_check:
                    check.at_rest(outcome)
        return self._result(outcome)

    def _result(self, outcome: Outcome) -> Run:
        return Run(
            case=self.case,
            outcome=outcome,
            findings=tuple(self.findings),
            schedule=self._applied(),
            preemptions=self._follow.preemptions,
            calls=self._tally.calls if self._rewind is None else self._tally.calls.copy(),
            seen=frozenset(check.id for check in self._checks if check.seen),
            setup_steps=self._setup_steps,
            waits=self.sim.waits,
            adds_met=self._in_flight.adds_met,
            contention=self._tally.contention(),
            longest=self._in_flight.longest,
            contexts=len(self.sim.cpus),
            layout=self.host.layout,
            trace=self.trace,
            state=None if self.fingerprint is None else self.fingerprint(self.host),
        )

    def _applied(self) -> Schedule:
        """The case's schedule without its no-ops, and without the second time of its loop."""
        loop, applied = self.case.schedule.loop, self._follow.applied
        if loop is not None:
            applied = [switch for switch in applied if switch.step <= loop[1]]
        return Schedule(tuple(applied), loop)

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        """Turn what a design raises into a :class:`DesignError` that says so."""
        try:
            yield
        except HarnessError:
            raise
        except Exception as error:
            raise _blame(self._layer_class, error) from error


def run(
    case: Case,
    design: Design = None,
    traced: bool = False,
    policy: Policy | None = None,
    careful: bool = False,
) -> Run:
    """Run a case under all checks. Arguments and errors are those of :class:`Session`."""
    return Session(case, design, traced, policy, careful).run_programs()


def checks_of(design: str, layer: Design = None) -> Mapping[str, type[Check]]:
    """The checks there are for a design, or for raw SEAMCALLs, by id; ``layer`` is the class that
    the name means, if it is not a built-in one.
    """
    if design == HOSTILE:
        return HOSTILE_CHECKS
    return {**CHECKS, **C_CHECKS} if layer is not None and layer.in_c else CHECKS


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


def _set_up(host: Host, setup: tuple[Op, ...], findings: list[Finding]) -> None:
    for op in setup:
        result = operations.run(host, op)
        if findings:
            return
        if result:
            raise SetupError(f"set-up operation {str(op)!r} failed; a set-up must succeed")


def _body(host: Host, program: tuple[Op, ...]) -> Callable[[], None]:
    def body() -> None:
        for op in program:
            operations.run(host, op)

    return body


def _event_log(sim: Simulator, trace: Trace) -> Callable[[str, str, str, bool], None]:
    def log(op: str, mode: str, resource: str, ok: bool) -> None:
        trace.add(sim.clock - 1, sim.current.id, "event", resource, op, mode, ok)

    return log


def layer_class_of(case: Case, design: Design = None) -> type[RefcountLayer]:
    """The class of a case's design.

    Raises:
        UnknownDesignError: it is not built in, and none is given.
    """
    layer_class = design or _BUILT_IN.get(case.design)
    if layer_class is None:
        raise UnknownDesignError(
            f"unknown design {case.design!r}; see `tdxfuzz list designs`, or pass the class"
        )
    return layer_class


def _blame(layer_class: type[RefcountLayer], error: Exception) -> HarnessError:
    """Whose mistake an unexpected exception is: the design's, if its file is on the way."""
    own_files = {
        thing.__code__.co_filename for thing in vars(layer_class).values() if isfunction(thing)
    }
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in own_files]
    kind = f"{type(error).__name__}: {error}"
    if own:
        last = own[-1]
        message = f"design {layer_class.__name__} raised {kind} ({last.filename}:{last.lineno})"
    else:
        message = f"internal error under design {layer_class.__name__}, please report it: {kind}"
    details = "".join(traceback.format_exception(error))
    return DesignError(message, details)
