"""A case: everything that determines a run. All of it is data."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

from attrs import Attribute, evolve, field, frozen, validators

from tdxfuzz.case.operation import MAX_AREAS, MAX_SLOTS, MAX_TDS, Op
from tdxfuzz.host.faults import KINDS
from tdxfuzz.module.variants import DEFAULT, VARIANTS
from tdxfuzz.sim import EMPTY, Fault, Schedule

MAX_CPUS = 8
ALL_ENTRIES = 512
MAX_RANGES = 8
MAX_OPERATIONS = 64
DEFAULT_STEPS = 20_000
MAX_STEPS = 10_000_000


def _between(low: int, high: int) -> Callable[[object, Attribute[int], int], None]:
    return validators.and_(validators.instance_of(int), validators.ge(low), validators.le(high))


def _ranges_fit(
    world: World, attribute: Attribute[tuple[int, ...]], value: tuple[int, ...]
) -> None:
    valid = range(MAX_RANGES)
    if not value or len(set(value)) != len(value) or any(r not in valid for r in value):
        raise ValueError(
            f"'{attribute.name}' must be one or more of 0..{MAX_RANGES - 1}, each once: "
            f"{list(value)}"
        )


def _fresh_fit(world: World, attribute: Attribute[tuple[int, ...]], value: tuple[int, ...]) -> None:
    if value:
        _ranges_fit(world, attribute, value)
    used = set(value) & set(world.kernel_ranges)
    if used:
        raise ValueError(
            "'fresh_ranges' must have none of 'kernel_ranges', which served the set-up: "
            f"{sorted(used)}"
        )


def _power_of_two(world: World, attribute: object, value: int) -> None:
    if not isinstance(value, int) or not 2 <= value <= 512 or value & value - 1:
        raise ValueError(f"'entries' must be a power of two from 2 to 512: {value!r}")


def _known_variant(world: World, attribute: object, value: str) -> None:
    if value not in VARIANTS:
        raise ValueError(f"'module_variant' must be one of {', '.join(VARIANTS)}: {value!r}")


@frozen
class World:
    """The machine: CPUs, and which 2MB ranges serve whom.

    ``guest_ranges`` hold the guests' pages, ``kernel_ranges`` serve the page allocator
    (control pages, S-EPT pages, PAMT pages); a range may be in both. ``tds`` is the
    number of VMs and ``slots`` of guest pages each of them may map. ``module_variant``
    names a module that is otherwise (``module/variants.py``). ``areas`` are the 2MB areas of
    each guest, each with a range of its own behind all others. Of ``fresh_ranges``, if there
    are any, the allocator serves all that the programs ask for: memory that nobody has used
    before. ``entries`` is how many 4KB pages a 2MB page is split into: fewer than 512 for
    searches in full.

    Raises:
        ValueError: a field is out of range, or there are more ranges than letters.
    """

    cpus: int = field(default=2, validator=_between(1, MAX_CPUS))
    tds: int = field(default=2, validator=_between(1, MAX_TDS))
    slots: int = field(default=4, validator=_between(1, MAX_SLOTS))
    guest_ranges: tuple[int, ...] = field(default=(0,), validator=_ranges_fit)
    kernel_ranges: tuple[int, ...] = field(default=(1, 2), validator=_ranges_fit)
    dynamic_pamt: bool = field(default=True, validator=validators.instance_of(bool))
    module_variant: str = field(default=DEFAULT.name, validator=_known_variant)
    areas: int = field(default=0, validator=_between(0, MAX_AREAS))
    fresh_ranges: tuple[int, ...] = field(default=(), validator=_fresh_fit)
    entries: int = field(default=ALL_ENTRIES, validator=_power_of_two)

    def __attrs_post_init__(self) -> None:
        if self.areas and self.ranges > MAX_RANGES:
            raise ValueError(
                f"'areas' must fit: {self.areas} for each of {self.tds} TDs behind range "
                f"{self.first_area - 1} make {self.ranges} ranges, of at most {MAX_RANGES}"
            )

    @property
    def first_area(self) -> int:
        """The first range that backs an area."""
        return max(self.guest_ranges + self.kernel_ranges + self.fresh_ranges) + 1

    @property
    def ranges(self) -> int:
        """How many ranges there are, used or not."""
        return self.first_area + self.areas * self.tds

    def most(self, what: str) -> int:
        """How many there are of what an operation's argument numbers; no bound: 2 ** 64."""
        return {"td": self.tds, "slot": self.slots, "area": self.areas}.get(what, 1 << 64)


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
    world: World = World()
    setup: tuple[Op, ...] = ()
    programs: tuple[tuple[Op, ...], ...] = ((), ())
    schedule: Schedule = EMPTY
    faults: tuple[Fault, ...] = ()
    steps: int = field(default=DEFAULT_STEPS, validator=_between(1, MAX_STEPS))
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
        self._check_schedule()

    def _check_schedule(self) -> None:
        for i, switch in enumerate(self.schedule):
            # Behind the CPUs come their softirqs, if the design has any.
            if switch.cpu >= 2 * self.world.cpus:
                raise CaseError(
                    "schedule", (i,), f"switch to CPU {switch.cpu} of {self.world.cpus}"
                )

    def _check_op(self, part: str, index: tuple[int, ...], op: Op) -> None:
        for what, value in op.arguments:
            most = self.world.most(what)
            if value >= most:
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
