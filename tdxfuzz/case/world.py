"""The world of a case: CPUs, TDs, and which 2MB ranges of memory serve whom."""

from __future__ import annotations

from collections.abc import Callable

from attrs import Attribute, field, frozen, validators

from tdxfuzz.case.operation import MAX_AREAS, MAX_SLOTS, MAX_TDS
from tdxfuzz.module.variants import DEFAULT, VARIANTS, variant_of

MAX_CPUS = 8
MAX_WORKERS = 8
ALL_ENTRIES = 512
MAX_RANGES = 8


def between(low: int, high: int) -> Callable[[object, Attribute[int], int], None]:
    """A validator: a whole number, both ends included."""
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
            "'fresh_ranges' must not overlap 'kernel_ranges', because those serve the set-up: "
            f"{sorted(used)}"
        )


def _power_of_two(world: World, attribute: object, value: int) -> None:
    if not isinstance(value, int) or not 2 <= value <= 512 or value & value - 1:
        raise ValueError(f"'entries' must be a power of two from 2 to 512: {value!r}")


def _known_variant(world: World, attribute: object, value: str) -> None:
    if variant_of(value) is None:
        raise ValueError(
            f"'module_variant' must be one of {', '.join(VARIANTS)}, or one that "
            f"--module-variant FILE.py:NAME has loaded: {value!r}"
        )


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

    cpus: int = field(default=2, validator=between(1, MAX_CPUS))
    tds: int = field(default=2, validator=between(1, MAX_TDS))
    slots: int = field(default=4, validator=between(1, MAX_SLOTS))
    guest_ranges: tuple[int, ...] = field(default=(0,), validator=_ranges_fit)
    kernel_ranges: tuple[int, ...] = field(default=(1, 2), validator=_ranges_fit)
    dynamic_pamt: bool = field(default=True, validator=validators.instance_of(bool))
    module_variant: str = field(default=DEFAULT.name, validator=_known_variant)
    areas: int = field(default=0, validator=between(0, MAX_AREAS))
    fresh_ranges: tuple[int, ...] = field(default=(), validator=_fresh_fit)
    entries: int = field(default=ALL_ENTRIES, validator=_power_of_two)

    def __attrs_post_init__(self) -> None:
        if self.areas and self.ranges > MAX_RANGES:
            raise ValueError(
                f"'areas' must fit: {self.areas} for each of {self.tds} TDs behind range "
                f"{self.first_area - 1} make {self.ranges} ranges, but there can be {MAX_RANGES}"
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
        numbered = {"td": self.tds, "slot": self.slots, "area": self.areas}
        numbered |= {"vcpu": self.cpus, "cpu": self.cpus}
        return numbered.get(what, 1 << 64)
