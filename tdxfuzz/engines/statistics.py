"""The counts of a hunt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tdxfuzz.abi import BY_NAME, BY_NUMBER, CODES, status
from tdxfuzz.case.operation import HOST_OPERATIONS
from tdxfuzz.check import CHECKS
from tdxfuzz.engines.tried import Tried
from tdxfuzz.run.result import Run
from tdxfuzz.run.tally import HOST_PRIORITY, RUNNING
from tdxfuzz.sim import End, Fault

BUSY = CODES["OPERAND_BUSY"]

WAITED = "a CPU waited for a lock"
BOTH_IN_RANGE = "both CPUs in get or put of one range"
ADDED_MEANWHILE = "pair added while another CPU used its range"
REMOVED_MEANWHILE = "pair removed while another CPU used its range"
OVERLAPPED = "SEAMCALLs of two CPUs overlapped"


_NUMBER = {name: i for i, name in enumerate((*HOST_OPERATIONS, *BY_NAME))}
"""Numbers for names: the hash of a string differs from process to process."""


def _fingerprint(run: Run) -> int:
    """A number that tells one order of one set of programs from another."""
    case, world = run.case, run.case.world
    lines = (case.setup, *case.programs)
    operations = tuple(tuple((_NUMBER[op.name], *op.args) for op in line) for line in lines)
    return hash((operations, world.guest_ranges, world.kernel_ranges, run.outcome.switches))


class Statistics:
    """Counts over the runs of one search.

    ``discarded`` runs reached their step bound, so they say nothing about their end.
    ``seen`` counts, for each check, the runs in which its witness occurred. ``tried`` is what the
    cases had in them, ``met`` the faults whose occasion came.
    """

    def __init__(self, checks: Iterable[str] = CHECKS) -> None:
        self.checks = tuple(checks)
        self.cases = 0
        self.steps = 0
        self.discarded = 0
        self.seconds = 0.0
        self.calls: Counter[tuple[int, int]] = Counter()
        self.seen: Counter[str] = Counter()
        self.waited = 0
        self.adds_met = 0
        self.busy = 0
        self.met: Counter[str] = Counter()
        self.tried = Tried()
        self.faults_met: set[Fault] = set()
        self._schedules: set[int] = set()

    def add(self, run: Run) -> None:
        """Count one run."""
        self.cases += 1
        self.steps += run.setup_steps + run.outcome.steps
        if run.outcome.end is End.BOUND:
            self.discarded += 1
        self.calls.update(run.calls)
        self.tried.add(run.case)
        self.met.update(run.met)
        self.seen.update(run.seen)
        self.waited += run.waits > 0
        self.adds_met += run.adds_met
        self.faults_met.update(run.faults_met)
        self.busy += any(code == BUSY for _, code in run.calls)
        self._schedules.add(_fingerprint(run))

    def merge(self, other: Statistics) -> None:
        """Count the runs of another search with the same checks, too; the time is left aside."""
        self.cases += other.cases
        self.steps += other.steps
        self.discarded += other.discarded
        self.calls.update(other.calls)
        self.seen.update(other.seen)
        self.waited += other.waited
        self.adds_met += other.adds_met
        self.busy += other.busy
        self.tried.merge(other.tried)
        self.met.update(other.met)
        self.faults_met |= other.faults_met
        self._schedules |= other._schedules

    @property
    def distinct_schedules(self) -> int:
        """The number of different orders, counted for each program separately."""
        return len(self._schedules)

    @property
    def steps_per_second(self) -> int:
        """Atomic steps a second, set-ups included where they were made and not put back."""
        return round(self.steps / self.seconds) if self.seconds else 0

    def unseen(self) -> list[str]:
        """The vacuous checks: their witness never occurred, so the hunt says nothing about them."""
        return [check for check in self.checks if not self.seen[check]]

    def met_by(self) -> list[str]:
        """The checks whose witness occurred."""
        return [check for check in self.checks if self.seen[check]]

    def witnesses(self) -> dict[str, int]:
        """The number of runs in which each interesting situation occurred."""
        return {
            "BUSY seen": self.busy,
            WAITED: self.waited,
            BOTH_IN_RANGE: self.seen["refcount"],
            ADDED_MEANWHILE: self.adds_met,
            REMOVED_MEANWHILE: self.seen["pamt-in-use"],
            OVERLAPPED: self.seen["module-fatal"],
            **{what: self.met[what] for what in RUNNING},
        }

    def impossible(self, is_hostile: bool) -> set[str]:
        """The witnesses that can only be 0: what a check counts that does not listen, and without
        a host layer what only a host layer does.
        """
        by_check = {
            BOTH_IN_RANGE: "refcount",
            REMOVED_MEANWHILE: "pamt-in-use",
            OVERLAPPED: "module-fatal",
        }
        deaf = {what for what, check in by_check.items() if check not in self.checks}
        # A guest gives way to any host.
        host_only = {WAITED, ADDED_MEANWHILE, *RUNNING} - {HOST_PRIORITY}
        return deaf | host_only if is_hostile else deaf

    def table(self) -> dict[str, dict[str, int]]:
        """SEAMCALLs by leaf and status."""
        table: dict[str, dict[str, int]] = {}
        for (leaf, code), count in sorted(self.calls.items()):
            table.setdefault(BY_NUMBER[leaf].name, {})[status(code << 32).name] = count
        return table
