"""Interleaved recordings: several CPUs, driven in the recorded order of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import field, frozen

from tdxfuzz.module.call import Call, LogicalProcessor
from tdxfuzz.module.errors import LeafNotModelledError, ModuleFatal
from tdxfuzz.module.snapshot import snapshot
from tdxfuzz.module.watch import ModuleWatch
from tdxfuzz.sim import Policy, StopRun
from tdxfuzz.targets.count import (
    Count,
    event_differences,
    explain,
    fatal_differences,
    first_difference,
    replay_setup,
    self_contradictions,
    state_differences,
)
from tdxfuzz.targets.drive import EventOrder
from tdxfuzz.targets.json_values import mapping, number, sequence
from tdxfuzz.targets.recording import (
    CallResult,
    Fatal,
    LockEvent,
    RecordedCall,
    calls_of,
    cpu_of,
    fatal_of,
    order_of,
    tsc_of,
)
from tdxfuzz.targets.world import ModelUnderTest, World, refuse_missing, world_of


@frozen
class Interleaved:
    """A set-up on CPU 0, a program per CPU, and the order of their events.

    ``placement`` says whether code between events may run late as well as early.
    ``final`` is None where the module died, or where nobody noted it. ``tsc`` says, by its place in
    ``order``, before which event all time-stamp counters are set, and to what.
    """

    id: str
    family: str
    world: World
    setup: tuple[RecordedCall, ...]
    programs: Mapping[int, tuple[RecordedCall, ...]]
    order: tuple[tuple[int, LockEvent], ...]
    placement: str
    final: Mapping[str, object] | None
    fatal: Fatal | None = None
    tsc: Mapping[int, int] = field(factory=dict)


@frozen
class Driven:
    """What the model did when it was driven.

    ``within`` has, of each event, the place of its call in its CPU's program.
    """

    events: list[tuple[int, LockEvent]]
    results: Mapping[tuple[int, int], CallResult]
    fatal: Fatal | None
    within: list[int]


class _StopAtFatal(ModuleWatch):
    """Ends the run as soon as the module is dead."""

    def __init__(self) -> None:
        self.fatal_on: Fatal | None = None

    def fatal(self, lp: LogicalProcessor, call: Call, fatal: ModuleFatal) -> None:
        self.fatal_on = lp.id, fatal.fatal_id
        raise StopRun


def parse(data: Mapping[str, object], params: Mapping[str, bytes]) -> Interleaved:
    """One line of the file."""
    programs: dict[int, tuple[RecordedCall, ...]] = {}
    for item in sequence(data["programs"]):
        program = mapping(item)
        cpu = cpu_of(program["cpu"])
        programs[cpu] = calls_of(program["calls"], cpu)
    if not programs:
        raise ValueError("'programs' is empty")
    world, setup = world_of(mapping(data["config"]), params), calls_of(data["setup"])
    refuse_missing(world, [*programs, *(call.cpu for call in setup)])
    order, final = order_of(data["order"]), data["final"]
    return Interleaved(
        id=str(data["id"]),
        family=str(data.get("family", data.get("kind", ""))),
        world=world,
        setup=setup,
        programs=programs,
        order=order,
        placement=str(data["placement"]),
        final=None if final is None else mapping(final),
        fatal=fatal_of(data.get("fatal")),
        tsc=_moments(data.get("tsc", []), len(order)),
    )


def _moments(data: object, events: int) -> dict[int, int]:
    """A list of ``[place in the order, time-stamp counter]``."""
    pairs = (sequence(item) for item in sequence(data))
    return {number(place, "tsc", 0, events - 1): tsc_of(ticks) for place, ticks in pairs}


def drive(
    bench: ModelUnderTest, programs: Mapping[int, Sequence[RecordedCall]], policy: Policy
) -> Driven:
    """Run a program per CPU on the model as the policy says.

    Raises:
        LeafNotModelledError: a program calls a leaf the model lacks.
    """
    sim = bench.sim
    events: list[tuple[int, LockEvent]] = []
    results: dict[tuple[int, int], CallResult] = {}
    within: list[int] = []
    place = [0] * len(sim.cpus)
    watch = _StopAtFatal()

    def log(op: str, mode: str, what: str, ok: bool) -> None:
        cpu = sim.current.id
        events.append((cpu, (op, mode, what, ok)))
        within.append(place[cpu])

    def body(cpu: int) -> Callable[[], None]:
        def main() -> None:
            for i, call in enumerate(programs.get(cpu, ())):
                place[cpu] = i
                results[cpu, i] = call.on(bench)

        return main

    sim.policy = policy
    sim.log = log
    bench.module.watch = watch
    sim.run([body(cpu.id) for cpu in sim.cpus])
    sim.log = None
    return Driven(events, results, watch.fatal_on, within)


def compare(run: Interleaved, count: Count) -> None:
    """Each event and each call's result is an item; the final state counts with the last.

    Where both placements gave the same on the real module, both are driven.
    """
    for early in (True, False) if run.placement == "any" else (True,):
        if not _compare_placed(run, count, early):
            return


def _compare_placed(run: Interleaved, count: Count, early: bool) -> bool:
    bench = run.world.build(cpus=max(run.programs) + 1)
    where = f"run {run.id} ({run.family}, {'early' if early else 'late'})"
    try:
        trouble = replay_setup(run.setup, bench, where)
        if trouble is not None:
            count.add(run.family, 1, 0, trouble)
            return False
        order = [cpu for cpu, _ in run.order]

        def before(place: int) -> None:
            if place in run.tsc:
                bench.set_tsc(run.tsc[place])

        driven = drive(bench, run.programs, EventOrder(order, early, before=before))
    except LeafNotModelledError as error:
        count.leaf_missing(str(error).split()[0])
        return False

    wanted = [(cpu, event) for cpu, event in run.order if event[3] is not None]
    finished = [
        (cpu, i, call)
        for cpu, calls in sorted(run.programs.items())
        for i, call in enumerate(calls)
        if call.status is not None
    ]
    items = len(wanted) + len(finished)
    agree = 0
    if wanted != driven.events:
        agree = first_difference(wanted, driven.events)
        differences = event_differences(
            [_with_cpu(entry) for entry in wanted], [_with_cpu(entry) for entry in driven.events]
        )
        trouble = "\n".join([f"{where}:", *(f"  {line}" for line in differences)])
    else:
        agree = len(wanted)
        for cpu, i, call in finished:
            result = driven.results.get((cpu, i))
            differences = call.differences(result) if result else ["the model never returned"]
            if not differences:
                agree += 1
            elif trouble is None:
                earlier = run.programs[cpu][:i]
                trouble = explain(f"{where}, CPU {cpu} call {i}", earlier, call, differences)
    if trouble is None:
        if early and driven.fatal is None:  # else it was counted, or there is none
            count.final(run.final)
        rest = _ending(run, driven, bench)
        if rest:
            agree, trouble = agree - 1, "\n".join([f"{where}, at the end:", *rest])
    count.add(run.family, items, agree, trouble)
    return trouble is None


def _ending(run: Interleaved, driven: Driven, bench: ModelUnderTest) -> list[str]:
    """How the ends differ: in who died, or in the final state."""
    if run.fatal != driven.fatal:
        return fatal_differences(run.fatal, driven.fatal)
    if driven.fatal is not None:
        return []
    differences = state_differences(run.final or {}, dict(snapshot(bench.module)))
    return differences + self_contradictions(bench)


def _with_cpu(entry: tuple[int, LockEvent]) -> LockEvent:
    cpu, (op, mode, what, ok) = entry
    return f"CPU {cpu} {op}", mode, what, ok
