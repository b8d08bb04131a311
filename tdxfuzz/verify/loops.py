"""Loops that a search has found: shown by a run, or declared by the design."""

from __future__ import annotations

from attrs import evolve, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.run.blame import NotDeterministicError
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, layer_class_of, run
from tdxfuzz.verify.progress import LoopKind
from tdxfuzz.verify.worklist import Worklist

LIVELOCK = "livelock"
"""The check that judges loops."""


@frozen
class Loops:
    """``shown`` is a run of a loop that the design does not declare, and ``kind`` says what it is;
    ``declared`` says that there are loops which it does. ``ignored``: there may be loops, but the
    check that judges them does not listen.
    """

    shown: Run | None = None
    kind: LoopKind | None = None
    declared: bool = False
    ignored: bool = False


def loops_in(
    worklist: Worklist, case: Case, design: Design, finished: bool, alone: bool = False
) -> Loops:
    """The fair cycles among the states of a search.

    Args:
        worklist: of the search.
        case: what was searched.
        design: the class behind its design, if not built in.
        finished: whether all was explored; before, an end may not have been come to yet, so that
            no loop is called a trap.
        alone: no other check may end the run that shows a loop, as none ended the search's.

    Raises:
        NotDeterministicError: a cycle is none when it is run.
    """
    if worklist.graph is None:
        return Loops()
    if case.checks and LIVELOCK not in case.checks:
        return Loops(ignored=True)
    if alone:
        case = evolve(case, checks=(LIVELOCK,))
    layer = layer_class_of(case, design)
    cpus = case.world.cpus + layer.kworkers
    contexts = cpus * (2 if layer.frees_sept_from_rcu else 1)
    declared = False
    for cycle in worklist.graph.cycles(contexts):
        kind = cycle.kind if finished else LoopKind.STARVATION
        if kind is LoopKind.STARVATION and layer.may_starve:
            declared = True
            continue
        shown = run(case.with_schedule(cycle.schedule), design)
        if shown.finding is None or shown.finding.check != LIVELOCK:
            told = "a run that came back to a state does not come back to it again"
            raise NotDeterministicError(told, shown)
        return Loops(shown, kind, declared)
    return Loops(declared=declared)
