"""All orders of a table: the search of :mod:`tdxfuzz.verify.explorer`, on legs in place of runs.

States, transitions, finals and the graph of loops are those that runs would lead to, in the same
order. Where a leg is missing, because there was no time to record it, an order ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from tdxfuzz.tables.table import Leg, Point, Table
from tdxfuzz.verify.progress import END, Edge, StateGraph
from tdxfuzz.verify.worklist import Bounds, SearchCounts

FREE = 1 << 30
"""Preemptions, where they are not bounded."""


@define
class _Branch:
    """A choice that has yet to be made: a CPU at a point, the preemptions left then, the key of the
    state, and the decisions before.
    """

    point: Point
    cpu: int
    budget: int
    key: bytes
    depth: int


class Walk:
    """One walk through a table.

    Args:
        table: of the pass.
        bounds: of the search.
        counts: of the pass; they are changed.
        graph: where loops are looked for, if there are any.
    """

    def __init__(
        self, table: Table, bounds: Bounds, counts: SearchCounts, graph: StateGraph | None
    ) -> None:
        self._legs = table.legs
        self._bounded = bounds.preemptions is not None
        self._most = FREE if bounds.preemptions is None else bounds.preemptions
        self._counts = counts
        self._graph = graph
        self._remembered: dict[bytes, int] = {}
        self._todo: list[_Branch] = []
        if table.start is not None:
            self._go_from(table.start, self._most, None, 0, [Leg(table.start, 0, 0, 0)])
        while self._todo:
            branch = self._todo.pop()
            self._take(branch.point, branch.cpu, branch.budget, branch.key, branch.depth)

    def _take(self, point: Point, cpu: int, budget: int, key: bytes, depth: int) -> None:
        """Choose a CPU at a state, and go on to the end of the order or a state that is known."""
        while True:
            chosen = key, cpu
            legs: list[Leg] = []
            while True:
                leg = self._legs.get((point.key, cpu))
                if leg is None:
                    return
                legs.append(leg)
                if leg.to is None:
                    self._counts.finals.add(leg.final)
                    self._arrive(chosen, END, legs, 0)
                    return
                point = leg.to
                if point.free or budget:
                    break
                cpu = point.cpu
            then = self._decide(point, budget, chosen, depth, legs)
            if then is None:
                return
            key, cpu = then
            depth += 1

    def _go_from(
        self, start: Point, budget: int, chosen: None, depth: int, legs: list[Leg]
    ) -> None:
        then = self._decide(start, budget, chosen, depth, legs)
        if then is not None:
            self._take(start, then[1], budget, then[0], depth + 1)

    def _decide(
        self,
        point: Point,
        budget: int,
        chosen: tuple[bytes, int] | None,
        depth: int,
        legs: Sequence[Leg],
    ) -> tuple[bytes, int] | None:
        """Whom to go on with, and the key of the state; the others are noted."""
        counts = self._counts
        key = point.key + bytes([point.cpu]) if self._bounded else point.key
        self._arrive(chosen, key, legs, point.idle)
        known = self._remembered.get(key)
        if known is None:
            counts.states += 1
        if known is not None and (not self._bounded or known >= budget):
            return None
        self._remembered[key] = budget
        first, *others = point.candidates
        counts.transitions += len(point.candidates)
        counts.depth = max(counts.depth, depth + 1)
        less = budget - (self._bounded and not point.free)
        self._todo += [_Branch(point, cpu, less, key, depth + 1) for cpu in others]
        return key, first

    def _arrive(
        self, chosen: tuple[bytes, int] | None, key: bytes, legs: Sequence[Leg], idle: int
    ) -> None:
        if self._graph is None:
            return
        stepped = 0
        everywhere = idle
        for leg in legs:
            stepped |= leg.stepped
            everywhere |= leg.idle
        steps = sum(leg.steps for leg in legs)
        self._graph.arrive(chosen, Edge(key, steps, stepped, everywhere), idle)
