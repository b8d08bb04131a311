"""The search: all orders of a scenario, depth first. It remembers states and replays prefixes.

Before each step that conflicts with another CPU, the search tries every CPU that can go on. A
state that was met before is not explored again. The key of a state has the content of all shared
state, what each CPU can still know, and where each CPU is. Steps that commute with everything
the other CPUs do are not choices. ``docs/verify.md`` says why no order is lost.

Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems" (1996), for
persistent sets of one CPU; Holzmann's Spin for remembering states by their hash. Deviations:
the search finds out which steps commute while it explores, and starts again until it learns
nothing new; it reaches a state by replay, because worlds are not copied.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import Enum

from attrs import evolve, field, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import text_of
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.check.vacuous import never_happened
from tdxfuzz.run.blame import NotDeterministicError
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, layer_class_of, run
from tdxfuzz.run.worlds import Rerun
from tdxfuzz.sim import End, OutOfTime
from tdxfuzz.verify import table_search
from tdxfuzz.verify.explorer import Explorer
from tdxfuzz.verify.loops import Loops, loops_in
from tdxfuzz.verify.out_of_time import OutOfTimeInRun, out_of_time
from tdxfuzz.verify.progress import LoopKind
from tdxfuzz.verify.table_search import TableSearch
from tdxfuzz.verify.worklist import RUNS, Bounds, SearchCounts, Worklist

INTERRUPTED = "interrupted"

FEW = 1
"""A search of all orders begins with those of so few preemptions: they are soon gone through,
most bugs show in them, and what commutes is found out meanwhile."""


class StopRule(Enum):
    """What ends a search before all orders have been tried."""

    FINDING = "the first finding"
    EVERY_CHECK = "nothing: each run goes on after a finding, for what other checks find"
    EVERY_BUCKET = "nothing: each run ends with its first finding"


class Verdict(Enum):
    """What can be said of a scenario under a design."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


@frozen
class VerifyResult:
    """The end of a search: ``found`` is the first run with a finding; ``why`` says what
    keeps an unknown verdict from being a pass. ``firsts`` has the first run for each check
    that found something, or for each bucket, where the search went on for those.

    ``ends`` says whether every order ends, be it with a finding; None where that is not known.
    ``loop`` is the kind of loop that was found. With ``starves`` there are orders that do not end,
    as the design declares. ``cut_off`` is a run that was at its step bound, and went on in a fair
    order: it keeps the verdict from being a pass, even if it came to an end there. ``engine`` says
    what was gone through last: tables, or runs.
    """

    verdict: Verdict
    bounds: Bounds
    counts: SearchCounts
    found: Run | None = None
    why: str = ""
    firsts: Mapping[str, Run] = field(factory=dict)
    ends: bool | None = None
    loop: LoopKind | None = None
    starves: bool = False
    cut_off: Run | None = None
    engine: str = RUNS


def _as_case(found: Run, design: Design, checks: tuple[str, ...]) -> Run:
    """The run once more, its order written down as a schedule.

    Raises:
        HarnessError: it shows something else then.
    """
    again = run(evolve(found.case, checks=checks), design)
    wanted = {finding.bucket for finding in found.findings}
    if again.finding is None or again.finding.bucket not in wanted:
        raise NotDeterministicError(
            f"a run that showed {sorted(wanted)} does not show it again", again
        )
    return again


def verify(
    case: Case,
    design: Design = None,
    bounds: Bounds | None = None,
    progress: Callable[[SearchCounts, int], None] | None = None,
    worklist: Worklist | None = None,
    counts: SearchCounts | None = None,
    until: StopRule = StopRule.FINDING,
    stop: Callable[[], bool] = lambda: False,
    tables: bool = True,
) -> VerifyResult:
    """Search all orders of a case's programs, its schedule left aside.

    Args:
        case: world, design, setup and programs.
        design: the class behind its design, if not built in.
        bounds: how far to go; everything by default.
        progress: called after every run, with what was done and what is left to do.
        worklist: where an earlier search stopped; it is changed.
        counts: the counts of that search.
        until: what ends it before all orders were tried.
        stop: asked after every run whether the user has interrupted it. An exception in the middle
            of a run would leave a worklist from which no search may go on.
        tables: whether code need not run again where it is known what it does. Counts and verdicts
            are the same without, but for the number of schedules and their depth.

    Raises:
        HarnessError: the design misused the harness, or raised.
        OutOfTimeInRun: a time limit was over.
    """
    bounds = bounds or Bounds()
    worklist = Worklist() if worklist is None else worklist
    counts = counts or SearchCounts()
    why = ""
    firsts: dict[str, Run] = {}
    cut_off: Run | None = None
    if bounds.preemptions is None and until is StopRule.FINDING and not counts.schedules:
        few = Worklist()
        within = evolve(bounds, preemptions=FEW)
        why, firsts, cut_off = _search(
            case, design, within, progress, few, counts, until, stop, False
        )
        if not firsts:
            counts.begin_again()
            worklist.accesses, worklist.contended = few.accesses, few.contended
            worklist.loops = few.loops
            worklist.begin_again(counts.schedules)
    if not why and not firsts:
        why, firsts, cut_off = _search(
            case, design, bounds, progress, worklist, counts, until, stop, tables
        )
    loops = Loops()
    if not firsts or until is not StopRule.FINDING:
        alone = until is not StopRule.FINDING
        loops = loops_in(worklist, case, design, finished=not why, alone=alone)
    if loops.shown is not None and loops.shown.finding is not None:
        finding = loops.shown.finding
        every_check = until is StopRule.EVERY_CHECK
        firsts.setdefault(finding.check if every_check else finding.bucket, loops.shown)
    found = next(iter(firsts.values()), None)
    if found is not None:
        finished = not why and until is not StopRule.FINDING
        ends = _ends(loops, finished)
        return VerifyResult(
            Verdict.FAIL,
            bounds,
            counts,
            found,
            why,
            firsts,
            ends,
            loops.kind,
            loops.declared,
            engine=worklist.engine,
        )
    why = why or _vacuous(case, counts)
    if why:
        return VerifyResult(
            Verdict.UNKNOWN, bounds, counts, why=why, cut_off=cut_off, engine=worklist.engine
        )
    return VerifyResult(
        Verdict.PASS,
        bounds,
        counts,
        ends=_ends(loops, finished=True),
        starves=loops.declared,
        engine=worklist.engine,
    )


def _vacuous(case: Case, counts: SearchCounts) -> str:
    """Why a search without a finding has shown nothing; "" if it has shown something."""
    unmet = [text_of(fault) for fault in case.faults if text_of(fault) not in counts.met]
    if unmet:
        return f"vacuous: not met: {', '.join(unmet)}"
    never = never_happened(case.design, case.checks, counts.seen)
    return f"vacuous: {never}" if never else ""


def _ends(loops: Loops, finished: bool) -> bool | None:
    """Whether every order ends; None: that is not known."""
    if loops.shown is not None or loops.declared:
        return False
    return True if finished and not loops.ignored else None


BEYOND = 1_000
"""Schedules that are tried once a run did not end: the verdict cannot be pass any more, but there
may be a finding."""


def _search(
    case: Case,
    design: Design,
    bounds: Bounds,
    progress: Callable[[SearchCounts, int], None] | None,
    worklist: Worklist,
    counts: SearchCounts,
    until: StopRule,
    stop: Callable[[], bool],
    tables: bool,
) -> tuple[str, dict[str, Run], Run | None]:
    """Until nothing is left to do, or something ends it: what did, the first runs that found
    something, and one that did not end. ``worklist`` and ``counts`` are changed.
    """
    cut_off: Run | None = None
    began = time.monotonic() - counts.seconds
    firsts: dict[str, Run] = {}
    every_check = until is StopRule.EVERY_CHECK
    why = unended = ""
    most = 0
    rerun = Rerun(case, design, every_check)
    while worklist.todo and not why:
        in_pass = counts.schedules - worklist.began[1]
        if tables and in_pass >= table_search.FIRST_RUNS and not sleeps(bounds, worklist, rerun):
            done = _on_tables(rerun, bounds, progress, worklist, counts, stop, began)
            if done is not None:
                return done, firsts, cut_off
        # A run that does not end has left branches at each of its rounds, all alike.
        branch = worklist.todo.pop(0 if unended else -1)
        session = rerun.ready()
        explorer = Explorer(session, branch, worklist, counts, bounds)
        try:
            ended = session.run_programs()
        except OutOfTime:
            counts.seconds = time.monotonic() - began
            raise OutOfTimeInRun(session.so_far()) from None
        counts.schedules += 1
        counts.seen |= ended.seen
        counts.met.update(map(text_of, ended.faults_met))
        counts.seconds = time.monotonic() - began
        if progress is not None:
            progress(counts, len(worklist.todo))
        findings = explorer.told(ended)
        if every_check:
            for finding in findings:
                if finding.check not in firsts:
                    firsts[finding.check] = _as_case(ended, design, (finding.check,))
        elif findings and findings[0].bucket not in firsts:
            firsts[findings[0].bucket] = _as_case(ended, design, case.checks)
        if firsts and until is StopRule.FINDING:
            break
        explorer.ended()
        if ended.outcome.end is End.REST:
            counts.finals.add(explorer.end())
        elif ended.outcome.end is End.BOUND and not unended:
            try:
                unended, cut_off = _beyond(ended, design)
            except OutOfTime:
                raise OutOfTimeInRun(ended) from None
            most = counts.schedules + BEYOND
            if cut_off.finding is not None:
                firsts.setdefault(cut_off.finding.bucket, cut_off)
        if worklist.must_begin_again(counts.schedules):
            worklist.begin_again(counts.schedules)
            counts.begin_again()
        if unended and counts.schedules >= most:
            why = unended
        if counts.states > bounds.states:
            why = f"the bound of {bounds.states:,} states was reached"
        if bounds.seconds is not None and counts.seconds >= bounds.seconds and worklist.todo:
            why = out_of_time(bounds.seconds)
        if stop() and worklist.todo:
            why = INTERRUPTED
    return why or unended, firsts, cut_off


def sleeps(bounds: Bounds, worklist: Worklist, rerun: Rerun) -> bool:
    """Whether a pass leaves out orders by sleep sets. Then most of its states need one leg only,
    and tables gain nothing.
    """
    softirqs = layer_class_of(rerun.case, rerun.design).frees_sept_from_rcu
    all_orders = bounds.preemptions is None and worklist.graph is None
    return bounds.sleep and bounds.reduce and all_orders and not softirqs


def _on_tables(
    rerun: Rerun,
    bounds: Bounds,
    progress: Callable[[SearchCounts, int], None] | None,
    worklist: Worklist,
    counts: SearchCounts,
    stop: Callable[[], bool],
    began: float,
) -> str | None:
    """A pass on tables, with those that follow it: why it is unfinished, if it is. None: it takes a
    search without tables.
    """
    if rerun.case.design == HOSTILE:
        return None
    tables = worklist.tables
    if not isinstance(tables, TableSearch):
        tables = worklist.tables = TableSearch(worklist, counts, bounds)
    if tables.is_off:
        return None
    on_tables, why = tables, ""

    def is_over() -> bool:
        nonlocal why
        counts.seconds = time.monotonic() - began
        counts.states, counts.transitions = on_tables.states, len(on_tables.table.legs)
        if progress is not None:
            progress(counts, on_tables.missing)
        if counts.states > bounds.states:
            why = f"the bound of {bounds.states:,} states was reached"
        elif bounds.seconds is not None and counts.seconds >= bounds.seconds:
            why = out_of_time(bounds.seconds)
        elif stop():
            why = INTERRUPTED
        return bool(why)

    if not tables.record(rerun, is_over):
        tables.give_up()
        return None
    tables.walk()
    counts.seconds = time.monotonic() - began
    return "" if tables.is_complete else why


def _beyond(ended: Run, design: Design) -> tuple[str, Run]:
    """A run at its step bound goes on in a fair order: what keeps the verdict from being a pass,
    and the longer run.
    """
    longer = run(ended.case, design)
    how = "does not end" if longer.cut_off is not None else "ends in a fair order only"
    return f"a run of more than {ended.case.steps} steps {how}", longer
