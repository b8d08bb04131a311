"""One case in many orders: the set-up is made once, and put back before each run."""

from __future__ import annotations

from contextlib import suppress

from tdxfuzz.check.run import Design, Run, Session
from tdxfuzz.host.case import Case
from tdxfuzz.sim import EMPTY, NotRewindableError, Policy, Schedule


class Rerun:
    """Runs the programs of one case again and again, each time from the same beginning.

    A world that is run once is not worth taking note of, so that begins with the second run. A
    design that keeps what cannot be put back gets a new world each time.

    Args:
        case: its schedule is left aside.
        design: the class that ``case.design`` names, where it is not a built-in one.
        every_check: as for :class:`tdxfuzz.check.run.Session`.
    """

    def __init__(self, case: Case, design: Design = None, every_check: bool = False) -> None:
        self.case = case.with_schedule(EMPTY)
        self.design = design
        self._every_check = every_check
        self._kept: Session | None = None
        self._worth_keeping = False

    def ready(
        self, schedule: Schedule = EMPTY, policy: Policy | None = None, traced: bool = False
    ) -> Session:
        """A session about to run the programs. Of the sessions one gets, only the last may
        be used. Arguments and errors are those of :class:`tdxfuzz.check.run.Session`.
        """
        if self._kept is not None:
            self._kept.rewind(schedule, policy, traced)
            return self._kept
        case = self.case.with_schedule(schedule)
        session = Session(case, self.design, traced, policy, every_check=self._every_check)
        if self._worth_keeping:
            with suppress(NotRewindableError):
                self._kept = session.keep()
        self._worth_keeping = True
        return session

    def run(
        self, schedule: Schedule = EMPTY, policy: Policy | None = None, traced: bool = False
    ) -> Run:
        """Run the programs under a schedule, or as ``policy`` likes."""
        return self.ready(schedule, policy, traced).run_programs()

    def run_as(self, policy: Policy) -> Run:
        """Run the programs as ``policy`` likes; a run with a finding, whose switches are
        worth writing down, once more by its schedule.
        """
        chosen = self.run(policy=policy)
        if chosen.finding is None:
            return chosen
        return self.run(Schedule.of(chosen.outcome.switches))
