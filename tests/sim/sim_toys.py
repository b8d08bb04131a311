"""What the simulator's tests share: a small world to run toy programs in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tdxfuzz.sim import RMW, FollowSchedule, Outcome, Schedule, Simulator, StopRun, Trace, Variable

Body = Callable[[], None]


def stop() -> None:
    """A body that ends the run."""
    raise StopRun


class Counter(Variable[int]):
    """An integer with atomic addition."""

    __slots__ = ()

    def add(self, n: int) -> int:
        """Add ``n`` in one step; the value from before."""
        self.sim.step(self, RMW)
        old = self.value
        self.value = old + n
        return old


class World:
    """A simulator that follows some (step, CPU) switches, with a trace unless told not to."""

    def __init__(
        self,
        cpus: int,
        switches: Iterable[tuple[int, int]] = (),
        *,
        traced: bool = True,
        bound: int = 10_000,
    ) -> None:
        self.policy = FollowSchedule(Schedule.of(switches))
        self.trace = Trace()
        self.sim = Simulator(cpus, self.policy, self.trace if traced else None, bound)

    def run(self, *bodies: Body) -> Outcome:
        """Run one body per CPU."""
        return self.sim.run(bodies)

    @property
    def applied(self) -> list[tuple[int, int]]:
        """The switches that changed something."""
        return list(self.sim.order)

    @property
    def order(self) -> list[int]:
        """Which CPU performed each step."""
        return [record.cpu for record in self.trace if record.kind == "step"]

    @property
    def steps(self) -> list[tuple[int, str, object]]:
        """Each step as CPU, cell and access."""
        return [(r.cpu, r.what, r.data[0]) for r in self.trace if r.kind == "step"]


def interleavings(lengths: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All orders in which CPUs with so many steps each can perform them."""
    if not any(lengths):
        yield ()
    for cpu, left in enumerate(lengths):
        if left:
            rest = [n - (i == cpu) for i, n in enumerate(lengths)]
            for order in interleavings(rest):
                yield (cpu, *order)
