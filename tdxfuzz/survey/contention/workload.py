"""What CPUs do all the time: a part of a boot, a launch, a shutdown, a storm of conversions.

All memory of ten TDs is 42 million faults. Between the first and the last page of a 2MB range a
design with a fast path meets nobody, so that a few gets may stand for all: each costs as many
times what one costs. A design whose get takes a lock each time is run get by get.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import frozen

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.sim import NEVER
from tdxfuzz.survey.contention.bench import PAGES, Bench, Took
from tdxfuzz.survey.contention.clocks import Counted
from tdxfuzz.survey.contention.costs import Costs

ALIKE = 64
"""So many faults in the middle of a range are one, where they take no lock."""

LEAST = 50
"""So many faults for each CPU are in every part, because the first ones are not yet usual."""

WORKLOADS = ("boot", "launch", "shutdown", "storm")


@frozen
class Load:
    """One workload on a number of CPUs.

    ``tds`` share the CPUs; ``huge`` of their ranges are mapped at 2MB; ``ranges`` is how many 2MB
    ranges a part has.
    """

    name: str
    cpus: int
    tds: int
    huge: float
    ranges: int


class Part:
    """A bench that carries out a load until it is used up, ``enough`` CPUs had to wait, or so many
    ``steps`` were made. A launch is not cut short by ``enough``: its longest wait is asked for.

    ``ns`` is how long it was, until the first CPU had left it. ``faults`` and ``counted`` are what
    happened until then.
    """

    def __init__(
        self,
        layer_class: type[RefcountLayer],
        load: Load,
        costs: Costs,
        seed: int,
        alike: int,
        enough: int,
        steps: int,
    ) -> None:
        self._steps = steps
        self.load = load
        self.alike = alike
        blocks = load.cpus if load.name == "storm" else load.ranges + 2 * load.cpus
        self.bench = Bench(layer_class, load.cpus, costs, seed, blocks)
        self.faults = 0
        self.ranges = 0
        self.counted = Counted()
        self._enough = NEVER if load.name == "launch" else enough
        self._free = iter(self.bench.guest_ranges)
        self._over = False
        self.ns = 0.0
        body = {
            "boot": self._boot,
            "launch": self._launch,
            "shutdown": self._shutdown,
            "storm": self._storm,
        }[load.name]
        self._before: list[list[int]] = [self._prepare() for _ in range(load.cpus)]
        # What comes now is the workload; what was prepared met nobody.
        self.bench.gets, self.bench.puts = Took(), Took()
        with _deep(load.cpus):
            self.bench.sim.run([self._body(body, cpu) for cpu in range(load.cpus)])

    def _body(self, body: Callable[[int], None], cpu: int) -> Callable[[], None]:
        def main() -> None:
            body(cpu)
            if not self._over:
                # The others end what they are about, which is not counted: there may be hundreds.
                self._over = True
                self.ns = self.bench.clocks.reached
                self.counted = self.bench.clocks.until_now()

        return main

    def _count(self, faults: int) -> None:
        if not self._over:
            self.faults += faults

    def _goes_on(self) -> bool:
        waited = self.bench.clocks.counted.contentions >= self._enough
        if self._over or (waited and self.faults >= LEAST * self.load.cpus):
            return False
        return self.ranges < self.load.ranges and self.bench.sim.clock < self._steps

    def _prepare(self) -> list[int]:
        """The ranges that a CPU finds in use: one of a boot, its share of a shutdown."""
        load = self.load
        count = load.ranges // load.cpus + 1 if load.name == "shutdown" else 1
        ranges = [next(self._free) for _ in range(count)]
        if load.name in ("boot", "shutdown"):
            for number in ranges:
                for page, _ in self._pages(number):
                    self.bench.get(page)
        return ranges

    def _pages(self, number: int, first: int = 0) -> Iterator[tuple[int, int]]:
        """Pages of a range, and how many faults each stands for: the first one for itself."""
        page = number * PAGES
        at = first
        while at < PAGES:
            alike = 1 if at == 0 else min(self.alike, PAGES - at)
            yield page + at, alike
            at += alike

    def _boot(self, cpu: int) -> None:
        """A vCPU touches the pages of one range after another; it is in the middle of its first,
        or of a fault that maps 2MB.
        """
        bench, rng = self.bench, self.bench.rng
        mean_2mb = bench.costs["fault_2mb"].ns
        number, first = self._before[cpu][0], rng.randrange(1, PAGES)
        if rng.random() < _time_at_2mb(self.load.huge, bench.costs):
            bench.clocks.now[cpu] += rng.random() * mean_2mb
            number, first = next(self._free), 0
        while True:
            if first == 0 and rng.random() < self.load.huge:
                bench.clocks.now[cpu] += rng.uniform(0.5, 1.5) * mean_2mb
                bench.turn()
                self._count(PAGES)
            else:
                if first == 0:
                    sept = bench.pages.alloc_page()
                    assert sept is not None
                    bench.get(sept)
                for page, alike in self._pages(number, first):
                    bench.pause("fault", alike)
                    bench.get(page, alike)
                    self._count(alike)
                    if not self._goes_on():
                        return
            self.ranges += 1
            if not self._goes_on():
                return
            number, first = next(self._free), 0

    def _launch(self, cpu: int) -> None:
        """A vCPU touches the first page of one new 2MB range after another: each get adds. All
        vCPUs begin at once.
        """
        bench = self.bench
        while self._goes_on():
            bench.get(next(self._free) * PAGES)
            self._count(1)
            self.ranges += 1
            bench.pause("first_touch", 1)

    def _shutdown(self, cpu: int) -> None:
        """A CPU removes all pages of a TD; TDs began at different times."""
        bench = self.bench
        bench.clocks.now[cpu] += bench.rng.random() * PAGES * bench.costs["unmap"].ns
        for number in self._before[cpu]:
            pages = list(self._pages(number))
            for i, (page, alike) in enumerate(reversed(pages)):
                bench.pause("unmap", alike)
                bench.put(page, 1 if i + 1 == len(pages) else alike)
                self._count(alike)
                if not self._goes_on():
                    return
            self.ranges += 1

    def _storm(self, cpu: int) -> None:
        """A guest converts a page that is alone in its range, to shared and back."""
        bench = self.bench
        page = self._before[cpu][0] * PAGES
        while self._goes_on():
            bench.pause("convert", 1)
            bench.get(page)
            bench.put(page)
            self._count(1)
            self.ranges += 1


def _time_at_2mb(huge: float, costs: Costs) -> float:
    """The share of its time that a vCPU spends in faults that map 2MB."""
    at_2mb, at_4kb = huge * costs["fault_2mb"].ns, (1 - huge) * PAGES * costs["fault"].ns
    return at_2mb / (at_2mb + at_4kb)


@contextmanager
def _deep(cpus: int) -> Iterator[None]:
    """CPUs that are begun by one another count as so many calls deep."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(usual + 50 * cpus)
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


def alike_of(layer_class: type[RefcountLayer], costs: Costs) -> int:
    """How many gets in the middle of a range may be one under a design: many, if they take no lock
    and make no call when nobody else is there.
    """
    bench = Bench(layer_class, 1, costs, 0, 1)
    page = bench.guest_ranges[0] * PAGES
    locks = []

    def body() -> None:
        bench.get(page)
        bench.get(page + 1)
        for act in (bench.get, bench.put):
            before = bench.clocks.counted.lock_steps, bench.calls
            act(page + 2)
            locks.append((bench.clocks.counted.lock_steps, bench.calls) != before)

    bench.sim.run([body])
    return 1 if any(locks) else ALIKE
