"""Points: a design on a number of CPUs under a workload, in parts, scaled to all of it."""

from __future__ import annotations

from attrs import define, field, frozen

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.survey.contention.bench import PAGES, Took
from tdxfuzz.survey.contention.costs import Costs
from tdxfuzz.survey.contention.workload import Load, Part, alike_of

ENOUGH = 100
"""So many contentions make a point, if they come at all."""

PARTS = 3
"""At least so many parts, each with a seed of its own: their spread is told."""

WORK = 600_000
"""Steps, after which a point has to do with the contentions it has."""

STORM_NS = 60e9
"""A storm has no end of its own: it is told for this long."""


@frozen
class Point:
    """What a workload costs under a design on a number of CPUs.

    ``contentions``, ``wait_ns`` and ``busy`` are for all of the workload; ``least`` and ``most``
    are the contentions that single parts would give. ``seen`` is how many there were in the
    parts, whose length is ``part_ns``. ``waiting`` is the share of the time of all CPUs that
    they wait for locks, ``lines`` that for cache lines. ``gave_up`` counts warnings in the parts.
    ``get_ns`` and ``put_ns`` are how long those take that make a SEAMCALL; ``get_wait_ns`` of
    it is waiting for locks.
    """

    design: str
    workload: str
    cpus: int
    contentions: float
    wait_ns: float
    least: float
    most: float
    longest_wait_ns: float
    faults_per_second: float
    waiting: float
    lines: float
    busy: float
    busy_ns: float
    acquisitions: float
    seen: int
    part_ns: float
    gave_up: int
    get_ns: float
    get_longest_ns: float
    get_wait_ns: float
    put_ns: float
    put_longest_ns: float


@define
class Sums:
    """Sums over the parts of a point."""

    ns: float = 0.0
    faults: int = 0
    steps: int = 0
    seen: int = 0
    wait: float = 0.0
    longest: float = 0.0
    line: float = 0.0
    busy: int = 0
    busy_ns: float = 0.0
    acquisitions: int = 0
    gave_up: int = 0
    gets: Took = field(factory=Took)
    puts: Took = field(factory=Took)


def measure(
    name: str,
    layer_class: type[RefcountLayer],
    load: Load,
    whole: int,
    costs: Costs,
    seed: int = 0,
    enough: int = ENOUGH,
    work: int = WORK,
) -> Point:
    """One point.

    Args:
        name: of the design.
        layer_class: the design.
        load: a part's load.
        whole: 2MB ranges of the whole workload; a storm has none.
        costs: what things cost.
        seed: of the first part.
        enough: contentions that make a point.
        work: steps after which it must do with what it has.
    """
    alike = alike_of(layer_class, costs)
    sums, scaled = Sums(), list[float]()
    while len(scaled) < PARTS or (sums.seen < enough and sums.steps < work):
        part = Part(layer_class, load, costs, seed + len(scaled), alike, enough, work // PARTS)
        bench, counted = part.bench, part.counted
        ns = max(part.ns, 1.0)
        share = _share(load, part.faults, ns, whole)
        scaled.append(counted.contentions * share)
        sums.ns += ns
        sums.faults += part.faults
        sums.steps += bench.sim.clock
        sums.seen += counted.contentions
        sums.wait += counted.wait_ns
        sums.longest = max(sums.longest, counted.longest_wait_ns)
        sums.line += counted.line_ns
        sums.busy += bench.busy
        sums.busy_ns += bench.busy_ns
        sums.acquisitions += counted.acquisitions
        sums.gave_up += bench.warnings
        sums.gets.merge(bench.gets)
        sums.puts.merge(bench.puts)
        if sums.steps >= work:
            break
    share = _share(load, sums.faults, sums.ns, whole)
    return Point(
        design=name,
        workload=load.name,
        cpus=load.cpus,
        contentions=sums.seen * share,
        wait_ns=sums.wait * share,
        least=min(scaled),
        most=max(scaled),
        longest_wait_ns=sums.longest,
        faults_per_second=sums.faults / sums.ns * 1e9,
        waiting=sums.wait / (sums.ns * load.cpus),
        lines=sums.line / (sums.ns * load.cpus),
        busy=sums.busy * share,
        busy_ns=sums.busy_ns * share,
        acquisitions=sums.acquisitions * share,
        seen=sums.seen,
        part_ns=sums.ns,
        gave_up=sums.gave_up,
        get_ns=sums.gets.mean_ns,
        get_longest_ns=sums.gets.longest_ns,
        get_wait_ns=sums.gets.mean_wait_ns,
        put_ns=sums.puts.mean_ns,
        put_longest_ns=sums.puts.longest_ns,
    )


def _share(load: Load, faults: int, ns: float, whole: int) -> float:
    """How many such parts the whole workload is."""
    if load.name == "storm":
        return STORM_NS / ns
    return (whole if load.name == "launch" else whole * PAGES) / max(faults, 1)
