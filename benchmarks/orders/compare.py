"""The answer of ``verify``, in the words of the search without reductions."""

from __future__ import annotations

from pathlib import Path

from benchmarks.orders.plain_search import Answer
from benchmarks.orders.programs import LoopingProgram
from tdxfuzz.case.case import Case
from tdxfuzz.check import CHECKS
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.session import Design, layer_class_of
from tdxfuzz.verify.loops import LIVELOCK
from tdxfuzz.verify.search import StopRule, verify
from tdxfuzz.verify.worklist import Bounds, SearchCounts, Worklist

WITHOUT = tuple(check for check in CHECKS if check != LIVELOCK)
"""All checks but the one for loops, whose cycles are asked for one by one."""


def design_of(program: LoopingProgram, folder: Path, name: str) -> type[RefcountLayer]:
    """The design of a program, from a file of that name."""
    path = folder / f"{name}.py"
    path.write_text(program.text, encoding="utf-8")
    return class_in(path, "Looping")


def answer_of_verify(case: Case, design: Design = None, bounds: Bounds | None = None) -> Answer:
    """What ``verify`` says of all orders.

    Raises:
        AssertionError: it did not come to an end.
    """
    worklist, counts = Worklist(), SearchCounts()
    result = verify(
        case,
        design,
        bounds or Bounds(),
        worklist=worklist,
        counts=counts,
        until=StopRule.EVERY_BUCKET,
    )
    assert not worklist.todo, result.why
    layer = layer_class_of(case, design)
    contexts = case.world.cpus * (2 if layer.frees_sept_from_rcu else 1)
    graph = worklist.graph
    loops = frozenset(() if graph is None else (c.kind for c in graph.cycles(contexts)))
    buckets = frozenset(b for b in result.firsts if not b.startswith(LIVELOCK))
    return Answer(frozenset(counts.finals), buckets, loops, counts.states)
