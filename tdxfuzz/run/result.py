"""What a run was: how it ended, what the checks found, and what it has seen."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum

from attrs import field, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.check.finding import Finding
from tdxfuzz.host.layout import Layout
from tdxfuzz.sim import Fault, Outcome, Schedule, Trace


class Contention(IntEnum):
    """How much the programs have to do with each other."""

    NONE = 0
    """No 2MB range was got or put by more than one CPU."""
    SHARED = 1
    """Some range was."""
    EDGE = 2
    """And in some order that range is empty: its pair comes and goes."""


@frozen
class Run:
    """What a case did.

    ``case`` has the order of the run as its schedule, whatever chose it: to run it again makes the
    same run. ``preemptions`` are the switches away from a CPU that could have gone on. ``calls``
    counts SEAMCALLs by leaf number and status code, and ``setup_steps`` the steps of the set-up,
    neither of a set-up that was put back; ``seen`` are the ids of the checks whose witness
    occurred; ``waits`` how often a CPU waited for a lock; ``adds_met`` whether a pair came while
    another CPU used its range; ``met`` has situations of :data:`tdxfuzz.run.tally.RUNNING`;
    ``contention`` whether the programs met at all; ``longest`` the most steps, of all CPUs, from
    entering get or put to leaving it; ``contexts`` how many there are to switch to, CPUs with
    programs, ``workers`` and softirqs; ``in_setup`` whether the set-up did not get to its end, so
    that no program ran; ``tolerates`` are the statuses that the design expects; ``setup_trace`` and
    ``trace`` are records of the set-up and of what came then, but a run in which no program had
    anything to do has all in ``trace``; ``state`` is what the session's ``fingerprint``, if it had
    one, made of the state at the end. ``cut_off`` tells where a run was that did not end, although
    every CPU got its turn: that is no finding, and nothing is known of it. ``faults_met`` are those
    of the case's faults whose occasion came.
    """

    case: Case
    outcome: Outcome
    findings: tuple[Finding, ...]
    preemptions: int
    calls: Counter[tuple[int, int]]
    seen: frozenset[str]
    setup_steps: int
    waits: int
    adds_met: bool
    met: frozenset[str]
    contention: Contention
    longest: int
    contexts: int
    workers: int
    layout: Layout = field(eq=False)
    in_setup: bool = False
    tolerates: frozenset[str] = frozenset()
    setup_trace: Trace | None = field(default=None, eq=False)
    trace: Trace | None = field(default=None, eq=lambda trace: trace and trace.hash())
    state: int | None = None
    cut_off: Finding | None = None
    faults_met: frozenset[Fault] = frozenset()

    @property
    def cpus(self) -> int:
        """How many CPUs do something: those with programs, and workers."""
        return self.case.world.cpus + self.workers

    @property
    def order(self) -> Schedule:
        """The order of the run, as a schedule that makes it again."""
        return self.case.schedule

    @property
    def told_by_setup(self) -> bool:
        """Whether no program did anything, so that only the set-up can tell the finding."""
        return self.in_setup or not self.case.operations

    @property
    def finding(self) -> Finding | None:
        """The first finding, of which later ones may be consequences."""
        return self.findings[0] if self.findings else None

    @property
    def shown(self) -> Finding | None:
        """What a reproducer of the run is to show: its finding, or that it was cut off."""
        return self.finding or self.cut_off
