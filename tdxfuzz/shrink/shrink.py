"""The shrinker: the smallest case of the same bucket that it can find.

Contract, for ``after = shrink(before)``:

* ``after`` has the bucket of ``before``;
* ``size(after) <= size(before)``, compared part by part (see :func:`size`);
* shrinking ``after`` again gives ``after``;
* the same ``before`` always gives the same ``after``.

When an operation goes, the numbers of all steps change. So an old schedule means nothing for the
new program. Each candidate is first tried with its preemptions at the same points of the
operations that are left (:mod:`tdxfuzz.shrink.program_point`). If an operation went, all orders
with no preemption are tried next, then with one, with two … (:mod:`tdxfuzz.engines.each_window`).
Of equivalent schedules the shrinker prefers one that switches between SEAMCALLs, because a switch
inside a SEAMCALL is harder to read.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from attrs import frozen

from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design
from tdxfuzz.shrink.candidate import Pass
from tdxfuzz.shrink.order_search import OrderSearch
from tdxfuzz.shrink.passes import PASSES
from tdxfuzz.shrink.readability import complexity, setup_order
from tdxfuzz.sim import EMPTY

CaseSize = tuple[int, ...]


@frozen
class ShrinkResult:
    """The result: the run of the smallest case, and how many replays it took."""

    run: Run
    replays: int


def size(found: Run) -> CaseSize:
    """CPUs with a program, operations and faults, preemptions, switches, faults, complexity of
    the operations, set-up, world, arguments, disorder of the set-up, arguments in their order.

    A fault counts as an operation, and then once more, because it is rarer: a case with one more
    operation is smaller than a case in which memory must run out instead.
    """
    case = found.case
    programs = [program for program in case.programs if program]
    every_op = (*case.setup, *(op for program in programs for op in program))
    world = case.world
    return (
        len(programs),
        case.operations + len(case.faults),
        found.preemptions,
        len(found.order),
        len(case.faults),
        sum(complexity(op) for program in programs for op in program),
        len(case.setup),
        world.cpus
        + world.tds
        + world.slots
        + world.areas
        + len(world.guest_ranges)
        + len(world.kernel_ranges)
        + len(world.fresh_ranges)
        + (world.entries.bit_length() if world.areas else 0),
        sum(sum(op.args) for op in every_op),
        sum(setup_order(a) > setup_order(b) for a, b in combinations(case.setup, 2)),
        *(value for op in every_op[len(case.setup) :] for value in op.args),
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
    if found.case.schedule.loop is not None:
        # Another order, or another program, would have to come back to a state by chance.
        return ShrinkResult(found, 0)
    search = OrderSearch(found.finding.bucket, design)
    best = found
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
            best = search.easiest_to_read(best)
            if best.case == before.case:
                return ShrinkResult(best, search.replays)


def _apply(search: OrderSearch, best: Run, shrink_pass: Pass) -> Run | None:
    """The first candidate of one pass that is smaller and still has the bucket."""
    switches = search.switches_of(best)
    for candidate in shrink_pass(best.case.with_schedule(EMPTY)):
        # It gets one preemption at most, so it saves one only of two or more.
        if candidate.more_complex and best.preemptions < 2:
            continue
        smaller = search.search(candidate, switches, best.preemptions)
        if smaller is not None and size(smaller) < size(best):
            return smaller
    return None
