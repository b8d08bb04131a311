"""Livelock: everybody who could go on only goes round."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from tdxfuzz.sim.cpu import Cpu, State
from tdxfuzz.sim.declared import Declared
from tdxfuzz.sim.errors import StopRun, stop_from_elsewhere

MOST_ROUNDS = 50
"""Retry points that each runnable CPU passes, nobody getting on meanwhile, before a run counts as
livelocked, where no judge of loops confirms it."""


class Livelock(StopRun):
    """All CPUs that could run were in retry loops, round after round, in vain.

    ``cpus`` are those; others are done, or wait for a lock that one of them holds. ``loop``:
    the steps before which the run was seen to be in the same state.
    """

    def __init__(self, cpus: list[Cpu], loop: tuple[int, int] | None = None) -> None:
        how = "went round a retry loop in vain"
        if loop is not None:
            how = "came back to the same state"
        super().__init__(f"{', '.join(map(str, cpus))} {how}")
        self.cpus = cpus
        self.loop = loop

    def __reduce__(self) -> tuple[object, ...]:
        known: dict[str, object] = {"cpus": [], "loop": self.loop}
        return stop_from_elsewhere, (Livelock, str(self), known)


LoopJudge = Callable[[list[Cpu]], Livelock | None]
"""Asked at a retry point of the current CPU when the given CPUs, all that can run, have gone round
many times: the livelock, if they can do so for ever."""


class Rounds:
    """How often each CPU has passed a retry point since anybody got on.

    ``most`` is how many rounds make a livelock likely; ``total`` counts retry points over the whole
    run. Whoever knows what getting on is says so with :meth:`clear`.
    """

    __slots__ = ("_dirty", "_of", "most", "total")

    STATE: ClassVar = Declared(memory="_dirty _of", tally="total", derived="most")

    def __init__(self, cpus: int) -> None:
        self._of = [0] * cpus
        self._dirty = False
        self.most = MOST_ROUNDS
        self.total = 0

    def clear(self) -> None:
        """Somebody got on. Cheap while nobody has gone round."""
        if self._dirty:
            self._of = [0] * len(self._of)
            self._dirty = False

    def pass_by(self, cpu: Cpu, others: Iterable[Cpu]) -> list[Cpu]:
        """``cpu`` goes round once more; all CPUs that can run if by now that is all they do."""
        self.total += 1
        self._dirty = True
        self._of[cpu.id] += 1
        if self._of[cpu.id] < self.most:
            return []
        running = [each for each in others if each is cpu or each.state is State.RUNNABLE]
        if any(self._of[each.id] < self.most for each in running):
            return []
        return running
