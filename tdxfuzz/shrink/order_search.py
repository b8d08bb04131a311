"""Finding an order under which given programs show a given bug."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.engines.each_window import each_window
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, SetupError
from tdxfuzz.run.worlds import Rerun, Worlds
from tdxfuzz.shrink.candidate import Candidate
from tdxfuzz.shrink.program_point import ProgramPoint, ProgramPoints
from tdxfuzz.sim import EMPTY, Schedule, Switch

MAX_REPLAYS = 400
MAX_SPECULATIVE_REPLAYS = 300
"""Schedules tried for a candidate, and for a speculative one."""

ENOUGH = 10_000
"""Runs after which the shrinker stops with what it has: a count, because a clock would make the
result depend on what else the machine does."""

NEAR = 3
"""How many steps before and behind its old point the last preemption is tried."""

Switches = list[tuple[ProgramPoint, int]]
"""Where the CPU changes, as points that survive a change of the program, and to which CPU."""

ReadingCost = tuple[tuple[bool, int], ...]


def _shorter(run: Run, other: Run) -> bool:
    """Whether an order has fewer preemptions, or as many and fewer switches."""
    mine, its = ((each.preemptions, len(each.order)) for each in (run, other))
    return mine < its


class EnoughRuns(Exception):
    """The search has made as many runs as it may."""


class OrderSearch:
    """Finds schedules under which programs show a bucket, and counts replays.

    It remembers the programs for which it found none, and the cases that do not show the bucket.
    All methods raise :class:`EnoughRuns` once there were :data:`ENOUGH` of them.
    """

    def __init__(self, bucket: str, design: Design) -> None:
        self._bucket = bucket
        self._design = design
        self._in_vain: set[tuple[Case, int]] = set()
        self._not_shown: set[Case] = set()
        self._worlds = Worlds(design)
        self.replays = 0

    def told_by_setup(self, case: Case) -> bool:
        """Whether the set-up of a case shows the bucket by itself."""
        alone = evolve(case, programs=((),) * case.world.cpus, faults=())
        return self._try(alone, EMPTY) is not None

    def switches_of(self, found: Run) -> Switches:
        """The switches in the schedule of a run."""
        progress = self._progress(found.case)
        wanted = {(switch.step, switch.cpu) for switch in found.order}
        switches = []
        for point, target in progress.switches:
            step = progress.step_of(point)
            if step is not None and (step, target) in wanted:
                switches.append((point, target))
        return switches

    def search(
        self, candidate: Candidate, old_switches: Switches, max_preemptions: int
    ) -> Run | None:
        """A run of a candidate in the bucket, or None.

        Args:
            candidate: what to run.
            old_switches: those of the run that the candidate was made of; tried first, or
                near their old points.
            max_preemptions: of the orders that are tried next if the candidate says so, one in
                each window; a speculative candidate gets one at most.
        """
        max_replays = MAX_REPLAYS
        if candidate.speculative:
            max_preemptions, max_replays = min(max_preemptions, 1), MAX_SPECULATIVE_REPLAYS
        try:
            hit = self._near(candidate, old_switches)
            if hit is not None or not candidate.search_everywhere:
                return hit
            if (candidate.case, max_preemptions) in self._in_vain:
                return None
            hit = self._everywhere(candidate.case, max_preemptions, max_replays)
        except SetupError:
            return None
        if hit is None:
            self._in_vain.add((candidate.case, max_preemptions))
        return hit

    def with_fewer_switches(self, found: Run) -> Run:
        """The same programs with a schedule from which no switch can be left out.

        First all switches at once are left out, then half of them, a quarter …, one (Zeller and
        Hildebrandt, "Simplifying and isolating failure-inducing input", TSE 2002).
        """
        best = found
        length = len(best.order)
        while length:
            at = 0
            while at < len(best.order):
                switches = best.order.switches
                fewer = Schedule(switches[:at] + switches[at + length :], best.order.loop)
                hit = self._try(best.case, fewer)
                if hit is not None and _shorter(hit, best):
                    best = hit
                else:
                    at += length
            length = (length + 1) // 2 if length > 1 else 0
        return best

    def first_order(self, found: Run) -> Run:
        """The same programs in the order that a search from nothing finds first, however ``found``
        was come by; ``found`` itself if the search finds none that is as short.
        """
        case = found.case.with_schedule(EMPTY)
        hit = self._everywhere(case, found.preemptions, MAX_REPLAYS)
        if hit is None:
            return found
        hit = self.with_fewer_switches(hit)
        short = hit.preemptions, len(hit.order)
        return hit if short <= (found.preemptions, len(found.order)) else found

    def easiest_to_read(self, found: Run) -> Run:
        """The same programs in an equivalent order, switching between SEAMCALLs if possible.

        Each switch moves back and forth while the bug still shows. Of those steps the first
        outside of a SEAMCALL is taken.
        """
        best, key = found, self._reading(found)
        for i in range(len(found.order)):
            for moved in self._moved(best, i):
                reading = self._reading(moved)
                if reading < key:
                    best, key = moved, reading
        return best

    def _moved(self, found: Run, i: int) -> Iterator[Run]:
        """Runs like ``found`` with its ``i``-th switch at another step: in both directions, while
        the bug shows, and not past another switch.
        """
        switches = list(found.order)
        here = switches[i].step
        first = switches[i - 1].step + 1 if i else 0
        last = switches[i + 1].step - 1 if i + 1 < len(switches) else found.outcome.steps
        for steps in (range(here - 1, first - 1, -1), range(here + 1, last + 1)):
            for step in steps:
                switches[i] = evolve(switches[i], step=step)
                hit = self._try(found.case, Schedule(tuple(switches)))
                if hit is None or hit.order.switches != tuple(switches):
                    break
                yield hit

    def _near(self, candidate: Candidate, old_switches: Switches) -> Run | None:
        """Try the old switches at their points in the candidate, then the last one near there."""
        case = candidate.case
        switches = self._moved_switches(candidate, old_switches)
        hit = self._try(case, Schedule(tuple(switches)))
        if hit is not None or not switches or candidate.search_everywhere:
            return hit
        *before, last = switches
        first = before[-1].step + 1 if before else 0
        for distance in range(1, NEAR + 1):
            for step in (last.step - distance, last.step + distance):
                if step >= first:
                    hit = self._try(case, Schedule((*before, Switch(step, last.cpu))))
                    if hit is not None:
                        return hit
        return None

    def _moved_switches(self, candidate: Candidate, old_switches: Switches) -> list[Switch]:
        """The old switches at their points in a candidate, those that are still there."""
        switches: list[Switch] = []
        for point, target in old_switches:
            point_now, cpu = candidate.point_now(point), candidate.cpu_now(target)
            if point_now is None or cpu is None:
                continue
            case = candidate.case.with_schedule(Schedule(tuple(switches)))
            step = self._progress(case).step_of(point_now)
            if step is not None and not (switches and step <= switches[-1].step):
                switches.append(Switch(step, cpu))
        return switches

    def _everywhere(self, case: Case, max_preemptions: int, max_replays: int) -> Run | None:
        """Try no preemption, then one, then two …, one in each window.

        Each CPU that has a program goes first once: by default, or by a switch at step 0.
        """
        at_work = [cpu for cpu, program in enumerate(case.programs) if program]
        starts = [Schedule((Switch(0, cpu),)) if i else EMPTY for i, cpu in enumerate(at_work)]
        limit = self.replays + max_replays
        for count in range(max_preemptions + 1):
            for start in starts:
                for found in self._orders(case, start, count):
                    self._count()
                    if found.finding is not None and found.finding.bucket == self._bucket:
                        return self._try(case, found.case.schedule)
                    # A softirq is one to switch to.
                    alone = len(at_work) < 2 and found.contexts == case.world.cpus
                    if self.replays >= limit or alone:
                        return None
        return None

    def _orders(self, case: Case, before: Schedule, count: int) -> Iterator[Run]:
        """Runs whose schedules begin with ``before`` and have ``count`` more switches."""
        rerun = self._rerun(case)
        if count == 0:
            yield rerun.run(before)
            return
        for base in self._orders(case, before, count - 1):
            schedule = base.case.schedule
            first = schedule.switches[-1].step + 1 if schedule else 0
            for target in range(base.contexts):
                yield from each_window(rerun, base, schedule, target, first)

    def _try(self, case: Case, schedule: Schedule) -> Run | None:
        """The run, if it has the bucket."""
        ordered = case.with_schedule(schedule)
        if ordered in self._not_shown:
            return None
        self._count()
        try:
            hit = self._rerun(case).run(schedule)
        except SetupError:
            hit = None
        if hit is None or hit.finding is None or hit.finding.bucket != self._bucket:
            self._not_shown.add(ordered)
            return None
        return hit

    def _count(self) -> None:
        if self.replays >= ENOUGH:
            raise EnoughRuns
        self.replays += 1

    def _reading(self, found: Run) -> ReadingCost:
        """How a schedule reads: a switch inside a SEAMCALL is worse, a late one too."""
        inside = self._progress(found.case).inside_call
        return tuple((switch.step in inside, switch.step) for switch in found.order)

    def _progress(self, case: Case) -> ProgramPoints:
        self._count()
        trace = self._rerun(case).run(case.schedule, traced=True).trace
        assert trace is not None
        return ProgramPoints(trace)

    def _rerun(self, case: Case) -> Rerun:
        """For the programs of a case; worlds that were set up lately are kept."""
        return Rerun(case, self._design, worlds=self._worlds)
