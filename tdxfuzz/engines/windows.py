"""Windows: one preemption in each window in which it makes a difference, then two preemptions.

Musuvathi and Qadeer, "Iterative context bounding for systematic testing of multithreaded
programs" (PLDI 2007). Deviations: where a preemption makes a difference is found out on the way
(:mod:`tdxfuzz.engines.each_window`), from a step drawn at random on and once around, for a hunt
goes on to other programs long before all has been tried; the window with that step is tried at both
ends. A run in which a vCPU was kicked or gave way is worth a second preemption at once, because
what goes on between the kick and the path's second call is seldom reached. To earn a verdict, see
:mod:`tdxfuzz.verify.search`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain
from random import Random

from tdxfuzz.abi import CODES
from tdxfuzz.engines.each_window import each_window
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.sim import EMPTY

BUSY = CODES["OPERAND_BUSY"]


class Windows:
    """Puts one preemption into each window in which it makes a difference, then a second one.
    No order is tried twice: there may be fewer orders than a hunt would try.
    """

    name = "windows"

    def __init__(self) -> None:
        self._base: BaseRun | None = None
        self._left: Iterator[Run] = iter(())

    def attempt(self, rng: Random, base: BaseRun) -> Run | None:
        if base is not self._base:
            self._base, self._left = base, _orders(rng, base)
        return next(self._left, None)


def _orders(rng: Random, base: BaseRun) -> Iterator[Run]:
    singles: list[Run] = []
    # Behind runs in which a call was BUSY, and behind those in which a vCPU was only kicked.
    busy: deque[Iterator[Run]] = deque()
    kicked: deque[Iterator[Run]] = deque()
    turns = deque((busy, kicked))
    start = rng.randrange(base.length)
    targets = list(range(base.run.contexts))
    rng.shuffle(targets)
    for first, last in ((start, None), (0, start - 1)):
        for target in targets:
            for found in each_window(base.rerun, base.run, EMPTY, target, first, last):
                yield found
                if found.met <= base.run.met:
                    singles.append(found)
                else:
                    kind = busy if _met_busy(found) else kicked
                    kind.append(_behind(rng, base, found, targets))
                # One preemption and two in turn.
                second = next(filter(None, map(_next_of, turns)), None)
                turns.rotate()
                if second is not None:
                    yield second
    yield from chain(*busy, *kicked)
    for single in singles:
        yield from _second(base, single, targets, _after(single))


def _met_busy(run: Run) -> bool:
    return any(code == BUSY for _, code in run.calls)


def _next_of(begun: deque[Iterator[Run]]) -> Run | None:
    """The next run of one of these, which take turns; None if all are at their end."""
    while begun:
        second = next(begun[0], None)
        if second is not None:
            begun.rotate(-1)
            return second
        begun.popleft()
    return None


def _behind(rng: Random, base: BaseRun, single: Run, targets: list[int]) -> Iterator[Run]:
    """A second preemption behind that of a run: in each window, from a random step on, which is
    rather near than far.
    """
    first = _after(single)
    start = first + int((single.outcome.steps - first) * rng.random() ** 2)
    yield from _second(base, single, targets, start)
    yield from _second(base, single, targets, first, start - 1)


def _second(
    base: BaseRun, single: Run, targets: list[int], first: int, last: int | None = None
) -> Iterator[Run]:
    for target in targets:
        yield from each_window(base.rerun, single, single.case.schedule, target, first, last)


def _after(single: Run) -> int:
    return single.case.schedule.switches[-1].step + 1
