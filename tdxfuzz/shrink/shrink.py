"""The shrinker: the smallest case of the same bucket that it can find.

Contract, for ``after = shrink(before)``:

* ``after`` has the bucket of ``before``;
* ``size(after) <= size(before)``, compared part by part (see :func:`size`);
* the programs of ``after`` are needed: its set-up does not show the bug by itself;
* shrinking ``after`` again gives ``after``, unless the search stopped early: after
  :data:`tdxfuzz.shrink.order_search.ENOUGH` runs it gives what it has, and says so;
* the same ``before`` always gives the same ``after``: no clock is asked;
* different cases of one bug end in the same case, where passes that build small programs anew
  (:mod:`tdxfuzz.shrink.rebuild`) know one that shows it. Sizes are a total order of programs and
  worlds, and the order of the programs is looked for anew at the end.

When an operation goes, the numbers of all steps change. So an old schedule means nothing for the
new program. Each candidate is first tried with its preemptions at the same points of the
operations that are left (:mod:`tdxfuzz.shrink.program_point`). If an operation went, all orders
with no preemption are tried next, then with one, with two … (:mod:`tdxfuzz.engines.each_window`).
A run that comes back to where it was keeps its loop (:mod:`tdxfuzz.shrink.loop_search`).
Of equivalent schedules the shrinker prefers one that switches between SEAMCALLs, because a switch
inside a SEAMCALL is harder to read.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from attrs import frozen

from tdxfuzz.case.case import Case
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design
from tdxfuzz.shrink.candidate import Pass
from tdxfuzz.shrink.leave_out import out_of_setup
from tdxfuzz.shrink.loop_search import LoopSearch
from tdxfuzz.shrink.order_search import EnoughRuns, OrderSearch
from tdxfuzz.shrink.passes import PASSES
from tdxfuzz.shrink.readability import complexity, place_in_list, setup_order
from tdxfuzz.shrink.usual_ranges import unusual
from tdxfuzz.sim import EMPTY

CaseSize = tuple[int, ...]


@frozen
class ShrinkResult:
    """The result: the run of the smallest case, and how many replays it took.

    ``stopped_early``: there were so many that the search gave up, so shrinking the result may make
    it smaller still.
    """

    run: Run
    replays: int
    stopped_early: bool = False


def size(found: Run) -> CaseSize:
    """How large a case is, as it ran: see :func:`size_of`."""
    told = found.in_setup or not found.case.operations
    return size_of(found.case, found.preemptions, len(found.order), told)


def size_of(case: Case, preemptions: int, switches: int, told_by_setup: bool = False) -> CaseSize:
    """Whether the set-up alone tells the bug, CPUs with a program, operations and faults,
    preemptions, switches, faults, whether there are 2MB pages, whether there are fresh ranges,
    complexity of the operations, set-up, world, unusual ranges, arguments, disorder of the set-up,
    arguments in their order, all operations in their order.

    A fault counts as an operation, and then once more, because it is rarer: a case with one more
    operation is smaller than a case in which memory must run out instead.
    """
    programs = [program for program in case.programs if program]
    in_programs = [op for program in programs for op in program]
    every_op = (*case.setup, *in_programs)
    world = case.world
    return (
        told_by_setup,
        len(programs),
        case.operations + len(case.faults),
        preemptions,
        switches,
        len(case.faults),
        world.areas > 0,
        len(world.fresh_ranges) > 0,
        sum(map(complexity, in_programs)),
        len(case.setup),
        world.cpus
        + world.tds
        + world.slots
        + world.areas
        + len(world.guest_ranges)
        + len(world.kernel_ranges)
        + len(world.fresh_ranges)
        + (world.entries.bit_length() if world.areas else 0),
        *unusual(world),
        sum(sum(op.args) for op in every_op),
        sum(setup_order(a) > setup_order(b) for a, b in combinations(case.setup, 2)),
        *(value for op in in_programs for value in op.args),
        *(value for op in every_op for value in (place_in_list(op), *op.args)),
        *(fault.index for fault in case.faults),
    )


def shrink(
    found: Run, design: Design = None, progress: Callable[[Run, int], None] | None = None
) -> ShrinkResult:
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
    loops = found.case.schedule.loop is not None
    search = (LoopSearch if loops else OrderSearch)(found.finding.bucket, design)
    best = found
    try:
        if search.told_by_setup(best.case):
            best = _out_of_setup(search, best)
        while True:
            before = best
            best = search.with_fewer_switches(best)
            for shrink_pass in PASSES:
                smaller = _apply(search, best, shrink_pass)
                while smaller is not None:
                    best = smaller
                    if progress is not None:
                        progress(best, search.replays)
                    smaller = _apply(search, best, shrink_pass)
            if best is before:
                best = search.easiest_to_read(search.first_order(best))
                if best.case == before.case:
                    return ShrinkResult(best, search.replays)
    except EnoughRuns:
        return ShrinkResult(best, search.replays, stopped_early=True)


def _apply(search: OrderSearch, best: Run, shrink_pass: Pass) -> Run | None:
    """The first candidate of one pass that is smaller and still has the bucket."""
    switches = search.switches_of(best)
    for candidate in shrink_pass(best.case.with_schedule(EMPTY)):
        most = _most_preemptions(candidate.case, best)
        if most is None:
            continue
        smaller = search.search(candidate, switches, most)
        if smaller is None or size(smaller) >= size(best):
            continue
        if not search.told_by_setup(smaller.case):
            return smaller
    return None


def _out_of_setup(search: OrderSearch, found: Run) -> Run:
    """A case whose set-up does not show the bug by itself, because a trace shows programs step by
    step, and the set-up does not stand in it.
    """
    for candidate in out_of_setup(found.case.with_schedule(EMPTY)):
        run = search.search(candidate, [], 0)
        if run is not None and not search.told_by_setup(run.case):
            return run
    return found


def _most_preemptions(case: Case, best: Run) -> int | None:
    """With how many preemptions a case would still be smaller than ``best``; None: with none."""
    limit = size(best)
    for preemptions in range(best.preemptions, -1, -1):
        if size_of(case, preemptions, preemptions, not case.operations) < limit:
            return preemptions
    return None
