"""Scenarios: small worlds with programs and a name, to be tried in many orders."""

from __future__ import annotations

from attrs import evolve, frozen

from tdxfuzz.case.case import DEFAULT_STEPS, Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.sim import Fault


@frozen
class Scenario:
    """What CPUs do, without saying in which order.

    ``preemptions`` is the bound within which a verdict is earned in minutes; None: all
    orders are. ``faults`` strike in every run, and ``steps`` bounds each. ``file`` is the path of
    the user's file that says all this; "" for a scenario that is built in.
    """

    name: str
    about: str
    world: World
    setup: tuple[Op, ...]
    programs: tuple[tuple[Op, ...], ...]
    preemptions: int | None = None
    faults: tuple[Fault, ...] = ()
    steps: int = DEFAULT_STEPS
    file: str = ""

    def case(self, design: str) -> Case:
        """The scenario under a design, in the default order."""
        return Case(
            design,
            self.world,
            self.setup,
            self.programs,
            faults=self.faults,
            steps=self.steps,
        )

    @property
    def enters(self) -> bool:
        """Whether a CPU enters a vCPU in it, so that guest code runs beside the host."""
        return any(op.name == "enter" for program in self.programs for op in program)

    @property
    def is_raw(self) -> bool:
        """Whether its programs are raw SEAMCALLs alone, so that it needs no host layer."""
        return all(op.is_seamcall for program in self.programs for op in program)


def _scenario(
    name: str,
    about: str,
    world: World,
    setup: str,
    *programs: str,
    preemptions: int | None = None,
) -> Scenario:
    return Scenario(name, about, world, _ops(setup), tuple(map(_ops, programs)), preemptions)


def _ops(text: str) -> tuple[Op, ...]:
    return tuple(Op.parse(part) for part in text.split(";") if part.strip())


HEAVY = 2
"""Preemptions in the scenarios with hundreds of steps a CPU."""

_APART = World(slots=1, guest_ranges=(0,), kernel_ranges=(1, 2))
_TOGETHER = World(slots=1, guest_ranges=(0,), kernel_ranges=(0,))
_WARM = World(slots=2, guest_ranges=(0, 3), kernel_ranges=(1, 2))
"""Slot 1 lies in a range of its own: mapping it first brings the S-EPT pages of slot 0."""

_CROSSED = World(slots=2, guest_ranges=(0, 1), kernel_ranges=(2,), fresh_ranges=(1,))
"""What the programs allocate comes from the range of slot 1. So the pages that ADD gives for the
range of slot 0 lie there, and ADD is in the way of whatever takes that range for itself."""

FEW = 4
"""4KB pages of a 2MB page, where all orders are to be tried."""

_SPLIT = World(
    tds=2,
    slots=1,
    guest_ranges=(0,),
    kernel_ranges=(1, 2),
    areas=1,
    fresh_ranges=(3, 4),
    entries=FEW,
)
_SPLIT_WARM = World(
    tds=2,
    slots=2,
    guest_ranges=(0, 3),
    kernel_ranges=(1,),
    areas=1,
    fresh_ranges=(2,),
    entries=FEW,
)

_RUNS = "vcpu 0; finalize 0"
"""What a TD needs before its vCPU 0 can be entered."""

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _scenario(
            "map-zap",
            "a TD maps a page of a 2MB range while another TD zaps the last page there",
            _APART,
            "create 0; create 1; map 0 0",
            "map 1 0",
            "zap 0 0",
        ),
        _scenario(
            "map-map",
            "two TDs map the first pages of a 2MB range at the same time",
            _WARM,
            "create 0; create 1; map 0 1; map 1 1",
            "map 0 0",
            "map 1 0",
        ),
        _scenario(
            "fault-fault",
            "as map-map, but the TDs need S-EPT pages first",
            _APART,
            "create 0; create 1",
            "map 0 0",
            "map 1 0",
        ),
        _scenario(
            "zap-zap",
            "two TDs zap the last two pages of a 2MB range at the same time",
            _APART,
            "create 0; create 1; map 0 0; map 1 0",
            "zap 0 0",
            "zap 1 0",
        ),
        _scenario(
            "zap-remap",
            "a TD zaps the last page of a 2MB range while another TD maps a page there and zaps it",
            _WARM,
            "create 0; create 1; map 0 0; map 1 1",
            "zap 0 0",
            "map 1 0; zap 1 0",
        ),
        _scenario(
            "convert-map",
            "a page becomes shared and private again while another TD maps a page of its 2MB range",
            _WARM,
            "create 0; create 1; map 0 0; map 0 1; map 1 1",
            "convert 0 0; convert 0 0",
            "map 1 0",
        ),
        _scenario(
            "create-create",
            "two TDs are created at the same time, both with pages of two common 2MB ranges",
            _APART,
            "create 0; destroy 0",
            "create 0",
            "create 1",
            preemptions=HEAVY,
        ),
        _scenario(
            "destroy-create",
            "a TD is destroyed while another is created, both with pages of two common 2MB ranges",
            _APART,
            "create 0",
            "destroy 0",
            "create 1",
            preemptions=HEAVY,
        ),
        _scenario(
            "vcpu-map",
            "a vCPU is added to one TD while another TD maps a page of the same 2MB range",
            _TOGETHER,
            "create 0; create 1",
            "vcpu 0",
            "map 1 0",
        ),
        _scenario(
            "create-destroy",
            "a TD is created while another is destroyed, both with pages of one 2MB range",
            _TOGETHER,
            "create 0",
            "create 1",
            "destroy 0",
            preemptions=HEAVY,
        ),
        _scenario(
            "split-map",
            "a 2MB page is split while another TD maps a page with S-EPT pages from fresh memory",
            _SPLIT,
            "create 0; create 1; map2m 0 0",
            "map 1 0",
            "accept4k 0 0",
            preemptions=HEAVY,
        ),
        _scenario(
            "split-fault",
            "a 2MB page is split while another vCPU faults on it and another TD faults elsewhere",
            _SPLIT_WARM,
            "create 0; create 1; map 0 1; map2m 0 0",
            "map2m 0 0; map 1 0",
            "accept4k 0 0",
            preemptions=HEAVY,
        ),
        _scenario(
            "zap2m-fault",
            "a split 2MB page and the last page of a range are zapped while a CPU faults on both",
            _SPLIT_WARM,
            "create 0; create 1; map 0 0; map 1 1; map2m 0 0; accept4k 0 0",
            "zap2m 0 0; zap 0 0",
            "map2m 0 0; map 1 0",
            preemptions=HEAVY,
        ),
        _scenario(
            "zap-map-zap",
            "two 2MB ranges become empty, and another TD takes the first one again",
            _WARM,
            "create 0; create 1; map 0 0; map 0 1; map 1 1",
            "zap 0 0; zap 0 1",
            "map 1 0; zap 1 1",
        ),
        _scenario(
            "zap-run",
            "a page is zapped that a running vCPU accepts, and another TD's page of that 2MB range",
            _WARM,
            f"create 0; create 1; {_RUNS}; map 0 1; map 0 0; map 1 1; map 1 0",
            "enter 0 0 accept:0,touch:0",
            "zap 0 0; zap 1 0",
            preemptions=HEAVY,
        ),
        _scenario(
            "split-run",
            "a running vCPU accepts 4KB of a 2MB page, which is split; another TD maps a page",
            _SPLIT,
            f"create 0; create 1; {_RUNS}; map2m 0 0",
            "enter 0 0 accept4k:a0",
            "map 1 0",
            preemptions=HEAVY,
        ),
        _scenario(
            "kick-run",
            "a 2MB page is split under a running vCPU, which faults where another TD maps a page",
            _SPLIT,
            f"create 0; create 1; {_RUNS}; map2m 0 0",
            "enter 0 0 touch:a0,accept:0",
            "accept4k 0 0; map 1 0",
            preemptions=HEAVY,
        ),
        _scenario(
            "convert-run",
            "a running vCPU makes a page shared while another TD maps a page of its 2MB range",
            _WARM,
            f"create 0; create 1; {_RUNS}; map 0 1; map 0 0; map 1 1",
            "enter 0 0 accept:0,convert:0",
            "map 1 0",
            preemptions=HEAVY,
        ),
        _scenario(
            "reclaim-run",
            "a TD is destroyed while a running vCPU of another faults in the same 2MB range",
            _TOGETHER,
            f"create 0; create 1; {_RUNS}; map 1 0",
            "enter 0 0 accept:0",
            "destroy 1",
            preemptions=HEAVY,
        ),
        _scenario(
            "create-run",
            "a TD is created while a running vCPU of another faults in the same 2MB range",
            _TOGETHER,
            f"create 0; {_RUNS}",
            "enter 0 0 accept:0",
            "create 1",
            preemptions=HEAVY,
        ),
        _scenario(
            "zap-add-other",
            "a TD zaps the last page of a range; another TD takes a pair from there, and a page",
            _CROSSED,
            f"create 0; create 1; {_RUNS}; map 0 1; map 1 1; zap 1 1",
            "zap 0 1",
            "map 1 0; map 1 1",
        ),
        _scenario(
            "terminate-map",
            "a TD's HKID goes before its pages while a CPU maps one, and one of another TD",
            _WARM,
            f"create 0; create 1; {_RUNS}; map 0 1; map 1 1; zap 0 1",
            "map 0 0; map 1 0",
            "terminate 0; destroy 0",
            preemptions=HEAVY,
        ),
    )
}
"""By name."""


def with_cpus(scenario: Scenario, cpus: int) -> Scenario:
    """The scenario for more CPUs: each further one does what the first of two does, with
    a TD of its own.

    Its TD is made beforehand as that of the first.
    """
    extra = cpus - scenario.world.cpus
    if extra <= 0:
        return scenario
    world = evolve(scenario.world, cpus=cpus, tds=scenario.world.tds + extra)
    setup, programs = list(scenario.setup), list(scenario.programs)
    for i in range(extra):
        td = scenario.world.tds + i
        first = scenario.programs[0]
        own = {op.args[0] for op in first}
        # The first CPU may use several TDs. The further one has one, which is made once.
        setup += dict.fromkeys(_for_td(op, td) for op in scenario.setup if op.args[0] in own)
        programs.append(tuple(dict.fromkeys(_for_td(op, td) for op in first)))
    return evolve(scenario, world=world, setup=tuple(setup), programs=tuple(programs))


def _for_td(op: Op, td: int) -> Op:
    return Op(op.name, (td, *op.args[1:]))
