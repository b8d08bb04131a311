"""The shrinker: the smallest case of the same bucket that it can find.

Contract, for ``after = shrink(before)``:

* ``after`` has the bucket of ``before``;
* ``size(after) <= size(before)``, compared part by part (see :func:`size`);
* shrinking ``after`` again gives ``after``;
* the same ``before`` always gives the same ``after``.

Whenever an operation goes, the numbers of all steps change, so an old schedule means
nothing for a new program. Each candidate is first tried with the preemptions moved to
the same places of the operations that are left (:mod:`tdxfuzz.search.place`), then, if
an operation went, with every schedule of fewer or as many preemptions as are needed
now. Of several schedules those are preferred that switch between SEAMCALLs rather than
inside one: they read better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, islice

from attrs import evolve, frozen

from tdxfuzz.check.run import Run, SetupError, run
from tdxfuzz.host.case import Case
from tdxfuzz.search.engine import Design
from tdxfuzz.search.place import Place, Progress
from tdxfuzz.search.smaller import SIMPLIFICATIONS, Candidate, Simplification, setup_order
from tdxfuzz.sim import EMPTY, Schedule, Switch

Size = tuple[int, ...]

TRIES_WITH_MORE_THAN_ONE = 800
"""Schedules with two or more preemptions tried for one program."""

NEAR = 10
"""How many steps around an old place the last preemption is looked for."""


@frozen
class Shrunk:
    """The result: the run of the smallest case, and how many replays it took."""

    run: Run
    replays: int


def size(found: Run) -> Size:
    """CPUs at work, operations, preemptions, faults, set-up, world, arguments, disorder."""
    case = found.case
    programs = [program for program in case.programs if program]
    every_op = (*case.setup, *(op for program in programs for op in program))
    world = case.world
    return (
        len(programs),
        case.operations,
        found.preemptions,
        len(case.faults),
        len(case.setup),
        world.cpus + world.tds + world.slots + len(world.guest_ranges) + len(world.kernel_ranges),
        sum(sum(op.args) for op in every_op),
        sum(setup_order(a) > setup_order(b) for a, b in combinations(case.setup, 2)),
    )


def shrink(
    found: Run, design: Design = None, progress: Callable[[Run, int], None] | None = None
) -> Shrunk:
    """Shrink a run that has a finding.

    Args:
        found: the run; its case must replay by itself.
        design: the class behind its design, if not built in.
        progress: told of each smaller run and the replays so far.

    Raises:
        ValueError: the run has no finding.
    """
    if found.finding is None:
        raise ValueError("nothing to shrink: the run has no finding")
    search = ScheduleSearch(found.finding.bucket, design)
    best = search.without_noops(found)
    while True:
        before = best
        for simplify in SIMPLIFICATIONS:
            smaller = _apply(search, best, simplify)
            while smaller is not None:
                best = smaller
                if progress is not None:
                    progress(best, search.replays)
                smaller = _apply(search, best, simplify)
        if best is before:
            best = search.preferred(best)
            if size(best) == size(before):
                return Shrunk(best, search.replays)


def _apply(search: ScheduleSearch, best: Run, simplify: Simplification) -> Run | None:
    """The first candidate of one kind that is smaller and still has the bucket."""
    places = search.places(best)
    for candidate in simplify(best.case.with_schedule(EMPTY)):
        smaller = search.near(candidate, places)
        if smaller is None and candidate.thorough:
            smaller = search.everywhere(candidate.case, best.preemptions)
        if smaller is not None and size(smaller) < size(best):
            return smaller
    return None


class ScheduleSearch:
    """Finds schedules under which programs show a bucket, and counts replays."""

    def __init__(self, bucket: str, design: Design) -> None:
        self._bucket = bucket
        self._design = design
        self.replays = 0

    def preferred(self, found: Run) -> Run:
        """The run of the same programs that reads best; ``found`` if it is that already."""
        best = self.everywhere(found.case, found.preemptions)
        if best is not None and size(best) <= size(found):
            return best
        return self._pushed_forward(found)

    def places(self, found: Run) -> list[tuple[Place, int]]:
        """Where the schedule of ``found`` switches, in terms that survive a change."""
        progress = self._progress(found.case, found.schedule)
        wanted = {(switch.step, switch.cpu) for switch in found.schedule}
        places = []
        for place, target in progress.switches:
            step = progress.step_of(place)
            if step is not None and (step, target) in wanted:
                places.append((place, target))
        return places

    def near(self, candidate: Candidate, places: list[tuple[Place, int]]) -> Run | None:
        """Try a candidate with its preemptions where they were, or a few steps off."""
        case = candidate.case
        moved = [(candidate.move(place), target) for place, target in places]
        switches: list[Switch] = []
        try:
            for place, target in moved:
                if place is None:
                    continue
                now = candidate.cpu(target)
                step = self._progress(case, Schedule(tuple(switches))).step_of(place)
                if step is None or now is None or (switches and step <= switches[-1].step):
                    continue
                switches.append(Switch(step, now))
        except SetupError:
            return None
        hit = self._try(case, Schedule(tuple(switches)))
        if hit is not None or not switches:
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

    def everywhere(self, case: Case, most: int) -> Run | None:
        """A run in the bucket with as few preemptions as can be, ``most`` at the most."""
        try:
            hit = self._try(case, EMPTY)
            if hit is not None or sum(1 for program in case.programs if program) < 2:
                return hit
            progress = self._progress(case, EMPTY)
        except SetupError:
            return None
        steps = range(len(progress.running))
        places = sorted(steps, key=lambda step: (step in progress.inside_call, step))
        for count in range(1, most + 1):
            schedules = _schedules(places, progress.running, case.world.cpus, count)
            for schedule in (
                schedules if count == 1 else islice(schedules, TRIES_WITH_MORE_THAN_ONE)
            ):
                hit = self._try(case, schedule)
                if hit is not None:
                    return hit
        return None

    def without_noops(self, found: Run) -> Run:
        """The same run, its schedule without the switches that did nothing."""
        return evolve(found, case=found.case.with_schedule(found.schedule))

    def _pushed_forward(self, found: Run) -> Run:
        """Each switch at the first step where it still does."""
        switches = list(found.schedule)
        best = found
        for i, switch in enumerate(switches):
            first = switches[i - 1].step + 1 if i else 0
            for step in range(first, switch.step):
                moved = [*switches[:i], Switch(step, switch.cpu), *switches[i + 1 :]]
                hit = self._try(found.case, Schedule(tuple(moved)))
                if hit is not None and size(hit) <= size(best):
                    best, switches = hit, moved
                    break
        return best

    def _try(self, case: Case, schedule: Schedule) -> Run | None:
        """The run, if it has the bucket."""
        self.replays += 1
        try:
            hit = run(case.with_schedule(schedule), self._design)
        except SetupError:
            return None
        if hit.finding is None or hit.finding.bucket != self._bucket:
            return None
        return self.without_noops(hit)

    def _progress(self, case: Case, schedule: Schedule) -> Progress:
        self.replays += 1
        trace = run(case.with_schedule(schedule), self._design, traced=True).trace
        assert trace is not None
        return Progress(trace)


def _schedules(places: list[int], running: list[int], cpus: int, count: int) -> Iterator[Schedule]:
    """Schedules with ``count`` switches, in order of preference.

    ``running`` is who performs each step without preemptions: the first switch away
    from it must name somebody else, or it does nothing.
    """
    for step in places:
        for cpu in range(cpus):
            if cpu == running[step]:
                continue
            if count == 1:
                yield Schedule((Switch(step, cpu),))
                continue
            for rest in _schedules(places, running, cpus, count - 1):
                if rest.switches[0].step > step:
                    yield Schedule((Switch(step, cpu), *rest.switches))
