"""Smaller programs for a run that comes back to where it was: its loop goes with it."""

from __future__ import annotations

from tdxfuzz.case.case import Case
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import SetupError
from tdxfuzz.shrink.candidate import Candidate
from tdxfuzz.shrink.order_search import OrderSearch, Switches
from tdxfuzz.shrink.program_point import ProgramPoint
from tdxfuzz.sim import Schedule, Switch


class LoopSearch(OrderSearch):
    """Tries one order of each candidate: the switches and the loop of its origin, at the same
    points of the programs.

    Each run looks whether it does come back (:mod:`tdxfuzz.run.repeats`), so no loop is claimed
    that is none. Other orders are not searched, because they would come back by chance only.
    """

    _first: ProgramPoint | None = None
    _length = 0
    _back: tuple[int, ...] = ()

    def switches_of(self, found: Run) -> Switches:
        """As for any run; where its loop begins and how long it is are noted."""
        loop = found.case.schedule.loop
        assert loop is not None
        progress = self._progress(found.case)
        self._first, self._length = progress.point_of(loop[0]), loop[1] - loop[0]
        self._back = tuple(each.cpu for each in found.case.schedule if each.step == loop[1])
        return super().switches_of(found)

    def search(
        self, candidate: Candidate, old_switches: Switches, max_preemptions: int
    ) -> Run | None:
        """A run of a candidate that comes back in the same bucket, or None."""
        first = None if self._first is None else candidate.point_now(self._first)
        if first is None:
            return None
        case = candidate.case
        try:
            switches = self._moved_switches(candidate, old_switches)
            order = case.with_schedule(Schedule(tuple(switches)))
            step = self._progress(order).performed(first)
        except SetupError:
            return None
        if step is None:
            return None
        end = step + self._length
        switches = [switch for switch in switches if switch.step < end]
        back = [cpu for old in self._back if (cpu := candidate.cpu_now(old)) is not None]
        switches += [Switch(end, cpu) for cpu in back]
        return self._try(case, Schedule(tuple(switches), (step, end)))

    def first_order(self, found: Run) -> Run:
        """The order that there is."""
        return found

    def easiest_to_read(self, found: Run) -> Run:
        """The order that there is."""
        return found

    def _try(self, case: Case, schedule: Schedule) -> Run | None:
        """The run, if it has the bucket because it comes back."""
        hit = super()._try(case, schedule)
        livelock = None if hit is None else hit.outcome.livelock
        return None if livelock is None or livelock.loop != schedule.loop else hit
