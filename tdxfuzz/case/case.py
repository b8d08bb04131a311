"""A case: everything that determines a run. All of it is data."""

from __future__ import annotations

from copy import copy

from attrs import evolve, field, frozen, validators

from tdxfuzz.case.faults import KINDS, problem_of
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import MAX_WORKERS, World, between
from tdxfuzz.sim import EMPTY, Fault, Schedule

MAX_OPERATIONS = 64
DEFAULT_STEPS = 20_000
MAX_STEPS = 10_000_000


class CaseError(ValueError):
    """A part of a case does not fit the rest.

    ``part`` is ``setup``, ``programs``, ``schedule`` or ``faults``; ``index`` says where in it:
    (CPU, operation) for programs.
    """

    def __init__(self, part: str, index: tuple[int, ...], problem: str) -> None:
        super().__init__("".join([part, *(f"[{i}]" for i in index), f": {problem}"]))
        self.part = part
        self.index = index
        self.problem = problem


@frozen
class Case:
    """World, design, programs, schedule, faults and bounds.

    ``setup`` runs first, alone, and is not counted in a case's size. ``steps`` bounds
    the run; a run that is cut off shows nothing about its end. ``checks`` names the only
    checks that listen, if it names any: what one finds may hide what another would.

    Raises:
        CaseError: a part does not fit the world.
        ValueError: a field is out of range.
    """

    design: str = field(validator=validators.instance_of(str))
    world: World = field(factory=World)
    setup: tuple[Op, ...] = ()
    programs: tuple[tuple[Op, ...], ...] = ((), ())
    schedule: Schedule = EMPTY
    faults: tuple[Fault, ...] = ()
    steps: int = field(default=DEFAULT_STEPS, validator=between(1, MAX_STEPS))
    checks: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        if len(self.programs) != self.world.cpus:
            raise CaseError(
                "programs", (), f"{len(self.programs)} programs for {self.world.cpus} CPUs"
            )
        for part, count in (("setup", len(self.setup)), ("programs", self.operations)):
            if count > MAX_OPERATIONS:
                raise CaseError(part, (), f"more than {MAX_OPERATIONS} operations")
        for i, op in enumerate(self.setup):
            self._check_op("setup", (i,), op)
        for cpu, program in enumerate(self.programs):
            for i, op in enumerate(program):
                self._check_op("programs", (cpu, i), op)
        for i, fault in enumerate(self.faults):
            if fault.kind not in KINDS:
                raise CaseError(
                    "faults", (i,), f"unknown kind {fault.kind!r}; known: {', '.join(KINDS)}"
                )
            if fault.only and (problem := problem_of(fault.kind, fault.only)):
                raise CaseError("faults", (i,), problem)
        self._check_schedule()

    def _check_schedule(self) -> None:
        for i, switch in enumerate(self.schedule):
            # Behind the CPUs come the design's workers and the softirqs of all, if it has any.
            if switch.cpu >= 2 * (self.world.cpus + MAX_WORKERS):
                raise CaseError(
                    "schedule",
                    (i,),
                    f"switch to CPU {switch.cpu}, but there are {self.world.cpus} CPUs",
                )

    def _check_op(self, part: str, index: tuple[int, ...], op: Op) -> None:
        for what, value in op.arguments:
            most = self.world.most(what)
            if value >= most:
                raise CaseError(part, index, f"{op}: the world has only {most} {what}s")
        for action in op.script:
            for what, number in (("slot", action.slot), ("area", action.area)):
                if number is not None and number >= self.world.most(what):
                    most = self.world.most(what)
                    raise CaseError(part, index, f"{op}: the world has only {most} {what}s")

    @property
    def operations(self) -> int:
        """Host operations of all CPUs, setup not counted."""
        return sum(len(program) for program in self.programs)

    def with_schedule(self, schedule: Schedule) -> Case:
        """The same case in another order.

        Raises:
            CaseError: it switches to a CPU that there is not.
        """
        # A hunt asks for one at each run: what else there is was checked when this was made.
        other = copy(self)
        object.__setattr__(other, "schedule", schedule)
        other._check_schedule()
        return other

    def on_module(self, variant: str) -> Case:
        """The same case on a module that locks as this variant does."""
        return evolve(self, world=evolve(self.world, module_variant=variant))
