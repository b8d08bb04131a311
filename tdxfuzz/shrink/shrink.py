"""The shrinker: the smallest case of the same bucket that it can find.

Contract, for ``after = shrink(before)``:

* ``after`` has the bucket of ``before``;
* ``size(after) <= size(before)``, compared part by part (see :func:`size`);
* shrinking ``after`` again gives ``after``;
* the same ``before`` always gives the same ``after``.

Whenever an operation goes, the numbers of all steps change, so an old schedule means
nothing for a new program. Each candidate is first tried with the preemptions moved to
the same places of the operations that are left (:mod:`tdxfuzz.shrink.program_point`), then, if
an operation went, with no preemption, one, two … wherever they make a difference
(:mod:`tdxfuzz.engines.each_window`). Of equivalent schedules those are preferred that
switch between SEAMCALLs rather than inside one: they read better.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from attrs import frozen

from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design
from tdxfuzz.shrink.order_search import OrderSearch
from tdxfuzz.shrink.passes import SIMPLIFICATIONS, Simplification, effort, setup_order
from tdxfuzz.sim import EMPTY

CaseSize = tuple[int, ...]


@frozen
class ShrinkResult:
    """The result: the run of the smallest case, and how many replays it took."""

    run: Run
    replays: int


def size(found: Run) -> CaseSize:
    """CPUs at work, operations and faults, preemptions, switches, faults, what operations ask
    of a reader, set-up, world, arguments, disorder of the set-up, arguments in their order.

    A fault has to happen as an operation has, and is rarer: a case with an operation more is
    smaller than one in which memory must run out instead.
    """
    case = found.case
    programs = [program for program in case.programs if program]
    every_op = (*case.setup, *(op for program in programs for op in program))
    world = case.world
    return (
        len(programs),
        case.operations + len(case.faults),
        found.preemptions,
        len(found.schedule),
        len(case.faults),
        sum(effort(op) for program in programs for op in program),
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
    best = search.without_noops(found)
    while True:
        before = best
        best = search.with_fewer_switches(best)
        for simplify in SIMPLIFICATIONS:
            smaller = _apply(search, best, simplify)
            while smaller is not None:
                best = smaller
                if progress is not None:
                    progress(best, search.replays)
                smaller = _apply(search, best, simplify)
        if best is before:
            best = search.easiest_to_read(best)
            if best.case == before.case:
                return ShrinkResult(best, search.replays)


def _apply(search: OrderSearch, best: Run, simplify: Simplification) -> Run | None:
    """The first candidate of one kind that is smaller and still has the bucket."""
    places = search.places(best)
    for candidate in simplify(best.case.with_schedule(EMPTY)):
        # A guess is tried with one preemption at the most.
        if candidate.heavy and best.preemptions < 2:
            continue
        smaller = search.search(candidate, places, best.preemptions)
        if smaller is not None and size(smaller) < size(best):
            return smaller
    return None
