"""Cases that begin alike: their set-up is made once, and put back before each run."""

from __future__ import annotations

from collections import OrderedDict

from tdxfuzz.case.case import Case
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, Fingerprint, Session
from tdxfuzz.sim import EMPTY, NotRewindableError, Policy, Schedule


class Worlds:
    """Runs cases; worlds of cases that begin alike are kept, and put back.

    A design that keeps what cannot be put back gets a new world each time.

    Args:
        design: the class that the cases' design names, where it is not a built-in one.
        every_check: as for :class:`tdxfuzz.run.session.Session`.
        most: how many worlds are kept, those that were used last.
        fingerprint: what each run's ``state`` is made by, if anything.
    """

    def __init__(
        self,
        design: Design = None,
        every_check: bool = False,
        most: int = 64,
        fingerprint: Fingerprint | None = None,
    ) -> None:
        self.design = design
        self._fingerprint = fingerprint
        self._every_check = every_check
        self._most = most
        self._kept: OrderedDict[tuple[object, ...], Session] = OrderedDict()
        self._can_keep = True

    def ready(self, case: Case, policy: Policy | None = None, traced: bool = False) -> Session:
        """A session about to run a case's programs. Of the sessions one gets, only the last
        may be used. Arguments and errors are those of :class:`tdxfuzz.run.session.Session`.
        """
        key = case.design, case.world, case.setup, case.steps, case.checks
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            kept.rewind(case, policy, traced)
            return kept
        session = Session(case, self.design, traced, policy, every_check=self._every_check)
        session.fingerprint = self._fingerprint
        if self._can_keep:
            try:
                self._kept[key] = session.keep()
                # So that no run counts the set-up, the first no more than the others.
                session.rewind(case, policy, traced)
            except NotRewindableError:
                self._can_keep = False
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return session

    def run(self, case: Case, policy: Policy | None = None, traced: bool = False) -> Run:
        """Run a case, or its programs as ``policy`` likes."""
        return self.ready(case, policy, traced).run_programs()


class Rerun:
    """Runs the programs of one case again and again, each time from the same beginning.

    Args:
        case: its schedule is left aside.
        design: the class that ``case.design`` names, where it is not a built-in one.
        every_check: as for :class:`tdxfuzz.run.session.Session`.
        worlds: where other cases that begin alike are run as well, of the same design; then
            ``every_check`` is as it was given there.
    """

    def __init__(
        self,
        case: Case,
        design: Design = None,
        every_check: bool = False,
        worlds: Worlds | None = None,
    ) -> None:
        self.case = case.with_schedule(EMPTY)
        self.design = design
        self._worlds = worlds or Worlds(design, every_check, most=1)

    def ready(
        self, schedule: Schedule = EMPTY, policy: Policy | None = None, traced: bool = False
    ) -> Session:
        """A session about to run the programs; see :meth:`Worlds.ready`."""
        return self._worlds.ready(self.case.with_schedule(schedule), policy, traced)

    def run(
        self, schedule: Schedule = EMPTY, policy: Policy | None = None, traced: bool = False
    ) -> Run:
        """Run the programs under a schedule, or as ``policy`` likes."""
        return self.ready(schedule, policy, traced).run_programs()
