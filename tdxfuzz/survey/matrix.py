"""The matrix of designs and checks: each cell is clean, found or unknown, with the reason.

A design runs every standard scenario in all orders on two CPUs. Every check is on, so that one
finding does not hide another. It also runs the life of a TD once for each allocation that
fails and for each SEAMCALL that must be repeated, and a hunt on three CPUs. A cell is *clean*
if all of that was finished, the check did not fire, and its witness occurred. It is *unknown*
if a bound was reached or the witness never occurred.

``livelock`` needs no witness: the searches say of all their orders whether they end. Its cell is
*declared* if some do not, and the design says that this is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from attrs import evolve, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import ALLOC, ENTROPY, INTERRUPT
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS, Scenario
from tdxfuzz.case.world import World
from tdxfuzz.check import ALL_CHECKS, CHECKS
from tdxfuzz.engines.events import HuntEvent
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, Session, checks_of, run
from tdxfuzz.sim import Fault
from tdxfuzz.verify.loops import LIVELOCK
from tdxfuzz.verify.progress import LoopKind
from tdxfuzz.verify.search import INTERRUPTED, StopRule, Verdict, verify
from tdxfuzz.verify.worklist import Bounds

LIFE = tuple(
    map(
        Op.parse,
        (
            "create 0",
            "vcpu 0",
            "map 0 0",
            "convert 0 0",
            "map2m 0 0",
            "accept4k 0 0",
            "zap2m 0 0",
            "destroy 0",
        ),
    )
)
SMALL_WORLD = World(cpus=1, tds=1, slots=1, areas=1, entries=4)
FAULTS = {ALLOC: 80, ENTROPY: 160, INTERRUPT: 160}
"""Kinds of faults, and up to which occasion of a TD's life each strikes once."""

HUGE_PAGES = "2MB pages"
RUNNING = "running TDs"

GROUPS: dict[str, Callable[[Scenario], bool]] = {
    HUGE_PAGES: lambda scenario: scenario.world.areas > 0,
    RUNNING: lambda scenario: scenario.enters,
}
"""Columns of their own: what any check found in those of the scenarios."""

_WITNESSES = {HUGE_PAGES: "a 2MB page was split", RUNNING: "a vCPU was entered"}

COLUMNS = (*CHECKS, *GROUPS)
"""Of a design in Python."""

HUNT_CPUS = 3


class MatrixCell(Enum):
    """What is known of one check under one design."""

    CLEAN = "clean"
    DECLARED = "declared"
    FOUND = "found"
    UNKNOWN = "unknown"


@frozen
class MatrixEntry:
    """One cell, of a check or of one of :data:`GROUPS`; ``found`` is a case that shows it,
    ``bounds`` says what was done, ``why`` what is missing. ``loop`` is the kind of a livelock that
    a search in all orders has found.
    """

    design: str
    check: str
    cell: MatrixCell
    bounds: str
    why: str = ""
    found: Case | None = None
    loop: LoopKind | None = None


@frozen
class Effort:
    """How much to do for each design: seconds for each scenario, and for the hunt; the
    scenarios; the module variant; the checks that listen, if not all do.
    """

    scenario_seconds: float
    hunt_seconds: float
    scenarios: tuple[Scenario, ...] = tuple(SCENARIOS.values())
    seed: int = 1
    variant: str = DEFAULT.name
    checks: tuple[str, ...] = ()

    def narrowed(self, case: Case) -> Case:
        """A case with the checks and on the module of this effort."""
        case = evolve(case, checks=self.checks)
        return case if self.variant == DEFAULT.name else case.on_module(self.variant)


def row(
    design_name: str,
    design: Design,
    effort: Effort,
    progress: Callable[[str], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> list[MatrixEntry]:
    """All cells of one design.

    The hunt stops at its first finding, so that it adds at most one.

    Args:
        design_name: as it stands in cases.
        design: the class behind it, if not built in.
        effort: how much to do.
        progress: told what is being done.
        stop: asked again and again whether the user has interrupted it; what is left out then
            leaves cells unknown.

    Raises:
        HarnessError: the design misused the harness, or raised.
    """

    def tell(text: str) -> None:
        if progress is not None:
            progress(f"{design_name}: {text}")

    found: dict[str, Run] = {}
    seen: set[str] = set()
    unfinished: dict[str, str] = {}
    ends: list[bool | None] = []
    loop: LoopKind | None = None
    for scenario in effort.scenarios:
        name = scenario.name
        if stop():
            unfinished[name] = INTERRUPTED
            continue
        tell(f"all orders of {name}")
        groups = [group for group, holds in GROUPS.items() if holds(scenario)]
        bounds = Bounds(scenario.preemptions, seconds=effort.scenario_seconds)
        case = effort.narrowed(scenario.case(design_name))
        result = verify(case, design, bounds, until=StopRule.EVERY_CHECK, stop=stop)
        seen |= result.counts.seen
        ends.append(result.ends)
        for check, shown in result.firsts.items():
            if check == LIVELOCK and check not in found:
                loop = result.loop
            found.setdefault(check, shown)
            for group in groups:
                found.setdefault(group, shown)
        seen.update(groups)
        if result.verdict is not Verdict.PASS and result.why:
            unfinished[name] = result.why
    if not stop():
        tell("one run for each fault")
        for check, shown in _found_with_faults(design_name, design, effort, stop):
            found.setdefault(check, shown)
    if not stop():
        tell(f"a hunt with {HUNT_CPUS} CPUs")
        seen |= _hunt(design_name, design, effort, stop, found)
    if stop():
        unfinished.setdefault("faults and hunt", INTERRUPTED)
    elif ends and None not in ends:
        seen.add(LIVELOCK)
    text = _bounds_text(effort)
    apart = {
        group: {scenario.name for scenario in effort.scenarios if not holds(scenario)}
        for group, holds in GROUPS.items()
    }
    checks = [
        check
        for check in checks_of(design_name, design)
        if not effort.checks or check in effort.checks
    ]
    entries = [
        _entry(
            design_name,
            column,
            found.get(column),
            text,
            [
                f"{name}: {why}"
                for name, why in unfinished.items()
                if name not in apart.get(column, ())
            ],
            column in seen,
        )
        for column in (*checks, *GROUPS)
    ]
    return [
        _of_livelock(entry, loop, False in ends) if entry.check == LIVELOCK else entry
        for entry in entries
    ]


def _of_livelock(entry: MatrixEntry, loop: LoopKind | None, starves: bool) -> MatrixEntry:
    """The cell of ``livelock``: which kind it is, or that it is declared."""
    if entry.cell is MatrixCell.CLEAN and starves:
        return evolve(entry, cell=MatrixCell.DECLARED)
    return evolve(entry, loop=loop)


def _hunt(
    design_name: str,
    design: Design,
    effort: Effort,
    stop: Callable[[], bool],
    found: dict[str, Run],
) -> set[str]:
    """The checks of which a hunt met the witness; its finding is added to those found."""

    def listen(event: HuntEvent) -> None:
        if stop():
            raise KeyboardInterrupt

    plan = HuntPlan(
        design_name,
        Budget(seconds=effort.hunt_seconds),
        design=design,
        seed=effort.seed,
        cpus=HUNT_CPUS,
        variant=effort.variant,
        checks=effort.checks,
    )
    result = hunt(plan, (listen,))
    first = result.found
    if first is not None and first.finding is not None:
        found.setdefault(first.finding.check, first)
    return set(result.statistics.seen)


def _entry(
    design: str, check: str, shown: Run | None, bounds: str, unfinished: list[str], seen: bool
) -> MatrixEntry:
    if shown is not None:
        return MatrixEntry(design, check, MatrixCell.FOUND, bounds, found=shown.case)
    if unfinished:
        return MatrixEntry(design, check, MatrixCell.UNKNOWN, bounds, "; ".join(unfinished))
    if not seen:
        never = _WITNESSES.get(check) or ALL_CHECKS[check].witness
        return MatrixEntry(
            design, check, MatrixCell.UNKNOWN, bounds, f"it never happened that {never}"
        )
    return MatrixEntry(design, check, MatrixCell.CLEAN, bounds)


def _bounds_text(effort: Effort) -> str:
    whole = [scenario.name for scenario in effort.scenarios if scenario.preemptions is None]
    parts = [f"on 2 CPUs all orders of {', '.join(whole)}"] if whole else []
    for scenario in effort.scenarios:
        most = scenario.preemptions
        if most is not None:
            plural = "s" if most > 1 else ""
            parts.append(f"orders of {scenario.name} with up to {most} preemption{plural}")
    if effort.variant != DEFAULT.name:
        parts.insert(0, f"on the module variant {effort.variant}")
    if effort.checks:
        parts.insert(0, f"only {', '.join(effort.checks)} listened")
    parts.append(
        "in the life of a TD one run for each allocation that fails, each SEAMCALL that is "
        "interrupted, and each SEAMCALL that gets no entropy"
    )
    parts.append(f"a hunt of {effort.hunt_seconds:g} s on {HUNT_CPUS} CPUs")
    return "; ".join(parts)


def _found_with_faults(
    design_name: str, design: Design, effort: Effort, stop: Callable[[], bool]
) -> Iterator[tuple[str, Run]]:
    """What each check finds in a TD's life on one CPU, one allocation after the other failing, and
    so on; the run in which it alone listens.
    """
    told: set[str] = set()
    for kind, most in FAULTS.items():
        for index in range(most):
            if stop():
                return
            case = Case(design_name, SMALL_WORLD, programs=(LIFE,), faults=(Fault(kind, index),))
            shown = Session(effort.narrowed(case), design, every_check=True).run_programs()
            for finding in shown.findings:
                if finding.check not in told:
                    alone = run(evolve(shown.case, checks=(finding.check,)), design)
                    if alone.finding is not None:
                        told.add(finding.check)
                        yield finding.check, alone
