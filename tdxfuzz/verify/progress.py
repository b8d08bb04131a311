"""Does every order end? The graph of states that can be come back to, and its cycles.

Programs are finite, so a cycle of states is a loop in which nothing is achieved (Spin calls it a
non-progress cycle). A cycle is *fair* if each CPU that can run throughout it makes a step in it: a
real machine could repeat such a timing for ever. Two kinds are told apart. From a *trap* no end can
be reached any more. In a *starvation* an end can be reached, but one timing repeats for ever, as
with try-lock retries.

Weak fairness can be decided for each strongly connected component as a whole: if one CPU can run
everywhere in it and never steps in it, that holds for each cycle in it. Components are found with
Tarjan, "Depth-first search and linear graph algorithms" (SIAM J. Comput. 1972), without recursion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum

from attrs import define, field, frozen

from tdxfuzz.sim import Schedule, Switch

END = b""
"""Stands for all ends: programs done, a finding."""


class LoopKind(Enum):
    """What can be said of a fair cycle."""

    TRAP = "trap"
    STARVATION = "starvation"


@frozen
class Edge:
    """What a choice leads to: ``to`` is the key of the next state, ``steps`` how many there are on
    the way, ``stepped`` and ``idle`` are the CPUs (as bits) that made one of them, and that could
    not run somewhere on it.
    """

    to: bytes
    steps: int
    stepped: int
    idle: int


@frozen
class Cycle:
    """A fair cycle: ``schedule`` leads from the start to it and once through it; ``cpus`` are
    those that make a step in it.
    """

    kind: LoopKind
    cpus: tuple[int, ...]
    schedule: Schedule


@define
class StateGraph:
    """States by key, with the edge of each choice of a CPU that was made there.

    ``idle`` has the CPUs (as bits) that could not run at a state; ``start`` is the first state.
    """

    start: bytes | None = None
    idle: dict[bytes, int] = field(factory=dict)
    edges: dict[bytes, dict[int, Edge]] = field(factory=dict)

    def arrive(self, chosen: tuple[bytes, int] | None, edge: Edge, idle: int = 0) -> None:
        """A run came to ``edge.to``, where some CPUs are ``idle``, by the choice of a CPU at a
        state; None: from the start.
        """
        if edge.to != END:
            self.idle[edge.to] = idle
            self.edges.setdefault(edge.to, {})
        if chosen is None:
            self.start = edge.to
        else:
            state, cpu = chosen
            self.edges[state][cpu] = edge

    def cycles(self, contexts: int) -> Iterator[Cycle]:
        """A fair cycle of each component that has one, the nearest to the start first.

        Args:
            contexts: how many CPUs there are, softirqs included.
        """
        if self.start is None:
            return
        distance = self._distances(self.start)
        can_end = self._can_end()
        fair = []
        for component in components(
            {s: [e.to for e in es.values()] for s, es in self.edges.items()}
        ):
            inside = set(component)
            within = [
                (state, cpu, edge)
                for state in component
                for cpu, edge in self.edges[state].items()
                if edge.to in inside
            ]
            if within and self._is_fair(component, within, contexts):
                entry = min(component, key=lambda state: distance.get(state, len(distance)))
                fair.append((distance.get(entry, len(distance)), entry, inside))
        for _, entry, inside in sorted(fair, key=lambda found: found[0]):
            kind = LoopKind.STARVATION if entry in can_end else LoopKind.TRAP
            prefix = self._path(self.start, entry)
            choices, stepped = self._walk(entry, inside, contexts)
            cpus = tuple(cpu for cpu in range(contexts) if stepped >> cpu & 1)
            yield Cycle(kind, cpus, self._schedule(self.start, prefix, choices))

    def _schedule(self, start: bytes, prefix: list[int], choices: list[int]) -> Schedule:
        """The order in which choices are made, one after the other, from a state on."""
        switches: list[tuple[int, int]] = []
        clock, at, first = 0, start, 0
        for number, cpu in enumerate((*prefix, *choices)):
            if number == len(prefix):
                first = clock
            switches.append((clock, cpu))
            edge = self.edges[at][cpu]
            clock += edge.steps
            at = edge.to
        switches.append((clock, choices[0]))
        return Schedule(tuple(Switch(*each) for each in switches), loop=(first, clock))

    def _is_fair(
        self, component: list[bytes], within: list[tuple[bytes, int, Edge]], contexts: int
    ) -> bool:
        served = 0
        for state in component:
            served |= self.idle[state]
        for _, _, edge in within:
            served |= edge.stepped | edge.idle
        return served == (1 << contexts) - 1

    def _walk(self, entry: bytes, inside: set[bytes], contexts: int) -> tuple[list[int], int]:
        """Choices that lead from a state through a component and back to it, so that each CPU
        makes a step or could not run somewhere; and the CPUs that made one.
        """
        choices: list[int] = []
        at, served, stepped = entry, self.idle[entry], 0
        everybody = (1 << contexts) - 1
        while served != everybody or at != entry or not choices:
            if served == everybody:
                way = self._path(at, entry, inside) or self._round(at, inside)
            else:
                way = self._towards_unserved(at, inside, served)
            for cpu in way:
                edge = self.edges[at][cpu]
                choices.append(cpu)
                at = edge.to
                served |= edge.stepped | edge.idle | self.idle[at]
                stepped |= edge.stepped
        return choices, stepped

    def _round(self, at: bytes, inside: set[bytes]) -> list[int]:
        """A cycle through a state."""
        for cpu, edge in self.edges[at].items():
            if edge.to in inside:
                return [cpu, *self._path(edge.to, at, inside)]
        raise AssertionError("a component in which a state is on no cycle")

    def _towards_unserved(self, at: bytes, inside: set[bytes], served: int) -> list[int]:
        """The shortest way on which a CPU steps, or cannot run, that did neither yet."""
        back: dict[bytes, tuple[bytes, int]] = {}
        queue = deque([at])
        seen = {at}
        while queue:
            state = queue.popleft()
            for cpu, edge in self.edges[state].items():
                if edge.to not in inside:
                    continue
                if (edge.stepped | edge.idle | self.idle[edge.to]) & ~served:
                    return [*_way(back, at, state), cpu]
                if edge.to not in seen:
                    seen.add(edge.to)
                    back[edge.to] = state, cpu
                    queue.append(edge.to)
        raise AssertionError("a component that is fair and is not")

    def _path(self, source: bytes, to: bytes, inside: set[bytes] | None = None) -> list[int]:
        """The choices on a shortest way from a state to another; none if it is there."""
        back: dict[bytes, tuple[bytes, int]] = {}
        queue = deque([source])
        seen = {source}
        while queue:
            state = queue.popleft()
            if state == to:
                return _way(back, source, state)
            for cpu, edge in self.edges.get(state, {}).items():
                if edge.to not in seen and (inside is None or edge.to in inside):
                    seen.add(edge.to)
                    back[edge.to] = state, cpu
                    queue.append(edge.to)
        raise AssertionError("no way there")

    def _distances(self, source: bytes) -> dict[bytes, int]:
        distance = {source: 0}
        queue = deque([source])
        while queue:
            state = queue.popleft()
            for edge in self.edges.get(state, {}).values():
                if edge.to not in distance:
                    distance[edge.to] = distance[state] + 1
                    queue.append(edge.to)
        return distance

    def _can_end(self) -> set[bytes]:
        """The states from which an end can be reached."""
        before: dict[bytes, list[bytes]] = {}
        for state, edges in self.edges.items():
            for edge in edges.values():
                before.setdefault(edge.to, []).append(state)
        able = {END}
        todo = [END]
        while todo:
            for state in before.get(todo.pop(), ()):
                if state not in able:
                    able.add(state)
                    todo.append(state)
        return able


def _way(back: Mapping[bytes, tuple[bytes, int]], source: bytes, to: bytes) -> list[int]:
    choices = []
    while to != source:
        to, cpu = back[to]
        choices.append(cpu)
    return choices[::-1]


def components(graph: Mapping[bytes, list[bytes]]) -> Iterator[list[bytes]]:
    """The strongly connected components of a graph; what is no key of it is left out."""
    index: dict[bytes, int] = {}
    low: dict[bytes, int] = {}
    stack: list[bytes] = []
    on_stack: set[bytes] = set()
    for root in graph:
        if root in index:
            continue
        work = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            state, successors = work[-1]
            for other in successors:
                if other not in graph:
                    continue
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(graph[other])))
                    break
                if other in on_stack:
                    low[state] = min(low[state], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[state])
                if low[state] == index[state]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == state:
                            break
                    yield component
